"""Text embeddings of class names, for TSL: made once, stored in the checkpoint, so that inference needs no text encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_sam2s.errors import TrainingError
from napari_sam2s.wording import counted

TEMPLATES = ("a photo of a {}.", "a photo of a {}, a surgical instrument.")  # after OVSeg; the paper does not say


def embed_names(names: Sequence[str], how: str, dim: int) -> Tensor:
    """Return the embeddings of class names ``(K, dim)``.

    Parameters
    ----------
    how
        ``"fixed"``; ``"clip"`` or ``"clip:FOLDER"``; ``"sentences:FOLDER"``.

    Raises
    ------
    TrainingError
        If it is none of these, or the encoder has another width.
    """
    kind, _, place = how.partition(":")
    if kind == "fixed":
        return fixed_embeddings(names, dim)
    if kind not in ("clip", "sentences") or (kind == "sentences" and not place):
        raise TrainingError(f"text_embeddings = {how!r} is not 'fixed', 'clip', 'clip:FOLDER' or 'sentences:FOLDER'.")
    try:
        if kind == "sentences":
            found = sentence_embeddings(names, Path(place))
        else:
            found = clip_embeddings(names, place) if place else clip_embeddings(names)
    except (OSError, ValueError, TypeError, KeyError) as error:  # as it suits transformers, where there is no such encoder
        raise TrainingError(
            f"The text encoder of text_embeddings = {how!r} cannot be read: give the folder of one that transformers reads."
        ) from error
    if found.shape[1] != dim:
        raise TrainingError(
            f"The text encoder gives {counted(found.shape[1], 'number')}, the network compares {dim}: take another."
        )
    return found


def fixed_embeddings(names: Sequence[str], dim: int) -> Tensor:
    """Return orthogonal unit vectors ``(K, dim)`` that carry no meaning: for tests, and where there is no text encoder."""
    if len(names) > dim:
        raise TrainingError(
            f"{counted(len(names), 'class does', 'classes do')} not fit in {dim} orthogonal directions: use a text encoder."
        )
    generator = torch.Generator().manual_seed(0)
    return torch.linalg.qr(torch.randn(dim, len(names), generator=generator))[0].T.contiguous()


def add_names(names: Sequence[str], embeddings: Tensor, more: Sequence[str], how: str) -> Tensor:
    """Return the embeddings of the classes a network has and of ``more`` ones, ``(K, dim)``; the former stay as they are.

    Parameters
    ----------
    names, embeddings
        Of the network.
    how
        As in :func:`embed_names`. Fixed vectors are orthogonal to all others; a text encoder has to be the one that the
        network's own embeddings come from, since vectors of two encoders are not to be compared.

    Raises
    ------
    TrainingError
        If it is another one, or there are too many classes.
    """
    dim = embeddings.shape[1]
    if how == "fixed":
        if len(names) + len(more) > dim:
            raise TrainingError(
                f"{counted(len(names) + len(more), 'class does', 'classes do')} not fit in {dim} directions: use a text"
                " encoder."
            )
        drawn = torch.randn(dim, len(more), generator=torch.Generator().manual_seed(len(names)))
        basis = torch.linalg.qr(torch.cat((embeddings.float().T.cpu(), drawn), dim=1))[0]
        return torch.cat((embeddings, basis.T[len(names) :].to(embeddings)))
    found = embed_names([*names, *more], how, dim).to(embeddings)
    if not torch.allclose(found[: len(names)], embeddings, atol=0.02):
        raise TrainingError(
            f"text_embeddings = {how!r} gives other embeddings of {', '.join(names[:3])} ... than the network has: take the "
            "text encoder that it was trained with, or 'fixed'."
        )
    return torch.cat((embeddings, found[len(names) :]))


def clip_embeddings(names: Sequence[str], model: str = "openai/clip-vit-base-patch32") -> Tensor:
    """Return CLIP's text embeddings of class names, ``(K, 512)`` unit vectors, averaged over the templates.

    Parameters
    ----------
    model
        A name on the model hub, or a local folder.
    """
    transformers = _transformers()
    network = transformers.CLIPTextModelWithProjection.from_pretrained(model).eval()
    tokenizer = transformers.CLIPTokenizerFast.from_pretrained(model)
    return _averaged(names, tokenizer, lambda tokens: network(**tokens).text_embeds)


def sentence_embeddings(names: Sequence[str], folder: Path) -> Tensor:
    """Return a sentence encoder's embeddings (mean of the last layer over the tokens), ``(K, D)`` unit vectors.

    Parameters
    ----------
    folder
        Of a local encoder that ``transformers`` reads, such as MiniLM.
    """
    transformers = _transformers()
    network = transformers.AutoModel.from_pretrained(folder).eval()

    def encode(tokens: Any) -> Tensor:
        kept = tokens["attention_mask"][..., None]
        return (network(**tokens).last_hidden_state * kept).sum(1) / kept.sum(1)

    return _averaged(names, transformers.AutoTokenizer.from_pretrained(folder), encode)


def _averaged(names: Sequence[str], tokenizer: Any, encode: Callable[[Any], Tensor]) -> Tensor:
    """Return the mean of what each name's sentences are encoded as."""
    sentences = [[template.format(name) for template in TEMPLATES] for name in names]
    with torch.inference_mode():
        tokens = [tokenizer(alike, padding=True, return_tensors="pt") for alike in sentences]
        return F.normalize(torch.stack([F.normalize(encode(t), dim=1).mean(0) for t in tokens]), dim=1).clone()


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise TrainingError("Text embeddings need transformers: pip install 'napari-sam2s[train]'.") from error
    return transformers

"""Reading checkpoints: official SAM 2 and SAM 2.1, fine-tunes of them, and our own."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from napari_sam2s.errors import ModelError
from napari_sam2s.masklets.validation import user_path
from napari_sam2s.model.cuda_graphs import Graphs
from napari_sam2s.model.downloads import checked_weights, sha256_once
from napari_sam2s.model.edgetam import EdgeTAM
from napari_sam2s.model.edgetam_weights import folded, is_edgetam, is_folded, official, unfolded
from napari_sam2s.model.model_registry import loadable, registry
from napari_sam2s.model.network import SAM2S
from napari_sam2s.model.network_config import CONFIGS, EDGETAM, ModelConfig, check_image_size
from napari_sam2s.model.own_models import own_models, own_weights
from napari_sam2s.model.speed import Mode, apply_speed, fast_image_size, fast_speed, round_weights

BUILT_IN = "sam2s-nano"
WEIGHTS = Path(__file__).parent / "weights"
_PREFIXES = ("module.", "_orig_mod.", "model.")  # that wrappers leave in front of the names


def load_model(
    name_or_path: str | Path = BUILT_IN,
    device: str = "auto",
    dtype: torch.dtype | None = None,
    image_size: int | None = None,
    mode: Mode = "exact",
) -> SAM2S:
    """Load a model, ready for tracking.

    On CUDA its ``graphs`` replay what repeats itself (:mod:`napari_sam2s.model.cuda_graphs`); ``None`` there turns that off.

    Parameters
    ----------
    name_or_path
        ``"sam2s-nano"`` (built in), a SAM 2 model that was downloaded (``"sam2.1-tiny"``, ``"sam2.1-small"``,
        ``"sam2.1-base-plus"``, ``"sam2.1-large"``, or the same with ``sam2-``), or the path of a checkpoint (``.pt``,
        ``.safetensors``). The architecture is recognised from the weights alone.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``.
    dtype
        Of the arithmetic: ``torch.float32``, the default, or ``torch.bfloat16``, which is mixed precision as SAM 2's own
        predictor has it; the weights stay float32, except on CUDA those of products.
        It pays on GPUs, and on CPUs with AMX or AVX512-BF16.
    image_size
        Side of the square that frames are squashed into, a multiple of 32; the model's own by default.
    mode
        ``"exact"``, or ``"fast"``: an input without padded windows (unless ``image_size`` is given), memories at half
        resolution and fewer of them, and a trunk of lower precision where that pays; see :mod:`napari_sam2s.model.speed`.

    Raises
    ------
    ModelError
        If there is no such model, the file is no checkpoint of a network we know, the device is not there, or it does not
        compute in ``dtype``.
    """
    path = find_weights(name_or_path)
    weights, config, metadata = read_checkpoint(path)
    config = config if config is not None else recognise(weights, path)
    if mode not in ("exact", "fast"):
        raise ModelError(f"mode={mode!r} is not one of 'exact' and 'fast'.")
    if dtype not in (None, torch.float32, torch.bfloat16):
        raise ModelError(f"dtype={dtype} is not one of torch.float32 and torch.bfloat16.")
    if image_size is not None:
        check_image_size(image_size)
        config = replace(config, image_size=image_size)
    elif mode == "fast":
        config = replace(config, image_size=fast_image_size(config))
    model = EdgeTAM(config) if config.latents else SAM2S(config)
    _load(model, weights, path)
    model.metadata = {**metadata, "source": str(name_or_path), "sha256": sha256_once(path), "mode": mode}
    if model.semantic is not None and "class_names" in metadata:
        model.semantic.set_classes(metadata["class_names"], metadata["text_embeddings"].float())
    model.requires_grad_(False)
    model = model.to(choose_device(device), torch.float32).eval()
    model.arithmetic = torch.bfloat16 if dtype == torch.bfloat16 else None
    if mode == "fast":
        apply_speed(model, fast_speed(config, model.device))
    if model.device.type == "cuda":
        if model.arithmetic is not None:
            round_weights(model, model.arithmetic)
        model.graphs = Graphs()
    return model


def find_weights(name_or_path: str | Path) -> Path:
    """Return the file of a model; a published one is compared with the SHA-256 that is known of it."""
    name = str(name_or_path)
    if name == BUILT_IN:
        return WEIGHTS / f"{BUILT_IN}.pt"
    own = own_models()
    if name in own:
        return own_weights(own[name])
    if name in (known := loadable()):
        return checked_weights(name)
    path = user_path(name_or_path)
    if name in registry() and not path.is_file():
        raise ModelError(f"{name} is {registry()[name].family.title}, which this version of napari-sam2s cannot load.")
    if not path.is_file():
        raise ModelError(f"There is no model {name!r}: give one of {', '.join((*known, *own))}, or the path of a checkpoint.")
    return path


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], ModelConfig | None, dict[str, Any]]:
    """Return the weights of a file, its configuration and what it says of itself; runs no code from the file."""
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            content: Any = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise ModelError(f"The weights {path} are missing: install napari-sam2s anew, or give a checkpoint's path.") from error
    except Exception as error:  # pickle, zip and safetensors each have their own
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(f"{path} is not a checkpoint, or is damaged ({reason}).") from error
    if not isinstance(content, Mapping):
        raise ModelError(f"{path} holds a {type(content).__name__}, not the weights of a network.")
    weights = content.get("model", content)
    weights = {_plain(str(k)): v for k, v in weights.items() if isinstance(v, Tensor)} if isinstance(weights, Mapping) else {}
    if not weights:
        raise ModelError(f"{path} holds no weights: its entries are {', '.join(map(str, list(content)[:5])) or 'none'}.")
    found = content.get("scales")
    scales: Mapping[str, Tensor] = found if isinstance(found, Mapping) else {}
    if bare := [name for name, w in weights.items() if w.dtype == torch.int8 and name not in scales]:
        raise ModelError(f"{path} has weights in 8 bits without their scales ({_some(bare)}): take the file as it was packed.")
    weights = {name: w.float() * scales[name] if name in scales else w for name, w in weights.items()}
    config = ModelConfig.from_dict(content["config"]) if isinstance(content.get("config"), Mapping) else None
    return weights, config, dict(content.get("sam2s", {}))


def in_8_bits(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Round a matrix or kernel to 8 bits, with one scale for each of its rows.

    Returns
    -------
    The rounded weight, int8, and the scales it is to be multiplied with, float32, of shape ``(rows, 1, ...)``:
    what :func:`read_checkpoint` puts together again where a file has them under ``"scales"``.
    """
    scale = weight.abs().flatten(1).amax(dim=1).clamp(min=1e-12) / 127
    scale = scale.view(-1, *[1] * (weight.ndim - 1)).float()
    return (weight.float() / scale).round().to(torch.int8), scale


def _plain(name: str) -> str:
    changed = True
    while changed:
        changed = False
        for prefix in _PREFIXES:
            if name.startswith(prefix):
                name, changed = name[len(prefix) :], True
    return name


def recognise(weights: Mapping[str, Tensor], path: Path) -> ModelConfig:
    """Tell the architecture from names and shapes: the size from the trunk, 2.0 or 2.1 from what only 2.1 has."""
    if is_edgetam(weights):
        return EDGETAM
    patch = weights.get("image_encoder.trunk.patch_embed.proj.weight")
    blocks = {int(m[1]) for name in weights if (m := re.match(r"image_encoder\.trunk\.blocks\.(\d+)\.", name))}
    version = "2.1" if "no_obj_embed_spatial" in weights and "obj_ptr_tpos_proj.weight" in weights else "2"
    for config in CONFIGS.values():
        trunk = config.trunk
        if trunk.kind != "hiera" or not config.name.startswith(f"sam{version}-") or patch is None:
            continue
        if patch.shape[0] == trunk.embed_dim and len(blocks) == sum(trunk.stages):
            return replace(config, long_term="long_tpos_enc" in weights, semantic="semantic.cls_token" in weights)
    some = ", ".join(sorted(weights)[:3])
    raise ModelError(
        f"{path} is not a SAM 2 network we know ({len(weights)} tensors, such as {some}). SAM 2, SAM 2.1 and SAM2S in the "
        "sizes tiny, small, base-plus and large, and EdgeTAM can be loaded."
    )


def _load(model: SAM2S, weights: Mapping[str, Tensor], path: Path) -> None:
    own = {name: weight.shape for name, weight in model.state_dict().items()}
    fold = isinstance(model, EdgeTAM) and not is_folded(weights)
    if fold:
        own, weights = unfolded(own), official(weights)
    missing = sorted(set(own) - set(weights))
    unknown = sorted(set(weights) - set(own))
    shapes = [n for n in own if n in weights and own[n] != weights[n].shape]
    if missing or shapes:
        raise ModelError(
            f"{path} does not fit {model.config.name}: {len(missing)} tensors are missing ({_some(missing)}), "
            f"{len(shapes)} have another shape ({_some(shapes)}), {len(unknown)} are unknown ({_some(unknown)})."
        )
    _check_finite({n: weights[n] for n in own}, path)
    if unknown:
        warnings.warn(f"{path}: {len(unknown)} tensors are unknown and left out ({_some(unknown)}).", stacklevel=3)
    if fold:
        weights = folded(weights, model.state_dict())
        _check_finite(weights, path)  # a norm may have a variance below 0
    model.load_state_dict({n: weights[n].float() if weights[n].is_floating_point() else weights[n] for n in model.state_dict()})


def _check_finite(weights: Mapping[str, Tensor], path: Path) -> None:
    if bad := [n for n, w in weights.items() if w.is_floating_point() and not torch.isfinite(w).all()]:
        raise ModelError(f"{path} is damaged: {len(bad)} tensors hold numbers that are not finite ({_some(bad)}).")


def _some(names: list[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + (" ..." if len(names) > most else "") or "none"


def choose_device(name: str) -> torch.device:
    """Return the device of a name; ``"auto"`` takes CUDA, else MPS, else the CPU."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(f"The device {name!r} cannot be used here: take 'cpu' or 'auto'.") from error
    return device

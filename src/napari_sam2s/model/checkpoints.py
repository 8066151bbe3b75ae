"""Reading checkpoints: official SAM 2 and SAM 2.1, fine-tunes of them, and our own."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from napari_sam2s.errors import InputSizeUnknown, ModelError
from napari_sam2s.masklets.validation import user_path
from napari_sam2s.model.checkpoint_file import Checkpoint, open_checkpoint, read_checkpoint, some
from napari_sam2s.model.checkpoint_fit import Differences, compare, put_in
from napari_sam2s.model.cuda_graphs import Graphs
from napari_sam2s.model.downloads import checked_weights, sha256_once, state_of
from napari_sam2s.model.edgetam import EdgeTAM
from napari_sam2s.model.edgetam_weights import is_edgetam
from napari_sam2s.model.input_size import input_size
from napari_sam2s.model.model_registry import families, loadable, registry
from napari_sam2s.model.network import SAM2S
from napari_sam2s.model.network_config import CONFIGS, EDGETAM, EFFICIENTTAM, SAM3, ModelConfig, check_image_size
from napari_sam2s.model.own_models import own_models, own_weights
from napari_sam2s.model.sam3 import Sam3Tracker
from napari_sam2s.model.sam3_weights import has_tracker, is_sam3
from napari_sam2s.model.speed import Mode, apply_speed, fast_image_size, fast_speed, round_weights
from napari_sam2s.wording import counted

__all__ = [
    "BUILT_IN",
    "WEIGHTS",
    "Examined",
    "choose_device",
    "examine",
    "find_weights",
    "load_model",
    "read_checkpoint",
    "recognise",
    "unchanged_weights",
]

BUILT_IN = "sam2s-nano"
WEIGHTS = Path(__file__).parent / "weights"
ENDINGS = (".pt", ".pth", ".ckpt", ".safetensors")


def load_model(
    name_or_path: str | Path = BUILT_IN,
    device: str = "auto",
    dtype: torch.dtype | None = None,
    image_size: int | None = None,
    mode: Mode = "exact",
    strict: bool = True,
) -> SAM2S:
    """Load a model, ready for tracking.

    On CUDA its ``graphs`` replay what repeats itself (:mod:`napari_sam2s.model.cuda_graphs`); ``None`` there turns that off.

    Parameters
    ----------
    name_or_path
        ``"sam2s-nano"`` (built in), a model that was downloaded or added (``napari-sam2s models`` lists them:
        ``"sam2.1-tiny"``, ``"medsam2"`` ...), or the path of a checkpoint (``.pt``, ``.safetensors``). The architecture is
        recognised from the weights alone.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``.
    dtype
        Of the arithmetic: ``torch.float32``, the default, or ``torch.bfloat16``, which is mixed precision as SAM 2's own
        predictor has it; the weights stay float32, except on CUDA those of products. SAM 3's default on CUDA is the latter.
        It pays on GPUs, and on CPUs with AMX or AVX512-BF16.
    image_size
        Side of the square that frames are squashed into, a multiple of 32 (SAM 3: of 336); by default what the model was
        trained at, see :func:`napari_sam2s.model.input_size.input_size`.
    mode
        ``"exact"``, or ``"fast"``: an input without padded windows (unless ``image_size`` is given), memories at half
        resolution and fewer of them, and a trunk of lower precision where that pays; see :mod:`napari_sam2s.model.speed`.
    strict
        Refuse a checkpoint with tensors that are unknown, missing or of another shape. Without it they are left out, with a
        warning; what was left out is in ``metadata["differences"]``.

    Raises
    ------
    InputSizeUnknown
        If nobody knows at which size a checkpoint was trained, and no ``image_size`` is given.
    CheckpointDiffers
        If a checkpoint does not hold just the tensors of its network.
    ModelError
        If there is no such model, the file is no checkpoint of a network we know, the device is not there, or it does not
        compute in ``dtype``.
    """
    if mode not in ("exact", "fast"):
        raise ModelError(f"mode={mode!r} is not one of 'exact' and 'fast'.")
    if dtype not in (None, torch.float32, torch.bfloat16):
        raise ModelError(f"dtype={dtype} is not one of torch.float32 and torch.bfloat16.")
    if image_size is not None:
        check_image_size(image_size)
    with unchanged_weights(name_or_path) as path:
        file = open_checkpoint(path)
    model, facts = _network(str(name_or_path), file, strict)
    config, metadata = model.config, file.metadata
    size = image_size or input_size(str(name_or_path), file, facts["sha256"])
    try:
        config = replace(config, image_size=size)
    except ModelError as error:  # what a file says of itself may be wrong
        raise error if image_size else ModelError(f"{path}: {error}") from None
    if mode == "fast" and image_size is None:
        config = replace(config, image_size=fast_image_size(config))
    model.config = config
    model.metadata = {**metadata, **facts, "mode": mode}
    if model.semantic is not None and "class_names" in metadata:
        model.semantic.set_classes(metadata["class_names"], metadata["text_embeddings"].float())
    model.requires_grad_(False)
    model = model.to(choose_device(device), torch.float32).eval()
    large_on_gpu = config.trunk.kind == "vit" and model.device.type == "cuda"
    model.arithmetic = torch.bfloat16 if dtype == torch.bfloat16 or (dtype is None and large_on_gpu) else None
    if mode == "fast":
        apply_speed(model, fast_speed(config, model.device))
    if model.device.type == "cuda":
        if model.arithmetic is not None:
            round_weights(model, model.arithmetic)
        model.graphs = Graphs()
    return model


@contextmanager
def unchanged_weights(name_or_path: str | Path) -> Iterator[Path]:
    """Give the file of a model, and make sure that what is read in the block is what was compared; see :func:`find_weights`.

    Raises
    ------
    ModelError
        If it is changed meanwhile.
    """
    path = find_weights(name_or_path)
    before = state_of(path)
    find_weights(name_or_path)  # of the file as it was just now, which costs nothing if it is still the same
    yield path
    if state_of(path) != before:
        raise ModelError(f"{path} changed while it was read: load it again when no program writes to it.")


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
    if name in registry() and not path.exists():
        raise ModelError(f"{name} is {registry()[name].family.title}, which this version of napari-sam2s cannot load.")
    if path.is_dir():
        inside = [p.name for p in sorted(path.iterdir()) if p.suffix in ENDINGS]
        raise ModelError(f"{path} is a folder: give the file of weights in it ({some(inside)}).")
    if not os.path.isfile(path):  # noqa: PTH113 - not an error of its own where the folder must not be read
        if len(path.parts) > 1 or path.suffix in ENDINGS:
            raise ModelError(f"There is no file {path}: check its path, or take a name that `napari-sam2s models` lists.")
        raise ModelError(f"There is no model {name!r}: give one of {', '.join((*known, *own))}, or the path of a checkpoint.")
    return path


def _network(name: str, file: Checkpoint, strict: bool) -> tuple[SAM2S, dict[str, str]]:
    """Return the network of a checkpoint with its weights, and what there is to say of where they come from."""
    config = _config_of(name, file)
    model = _made_as_said(file, config, filled=not strict)
    found = put_in(model, config.name, file.weights, file.path, strict=strict)
    if file.averaged:
        warnings.warn(f"{file.path} also holds averaged weights ({file.averaged}), which are not used.", stacklevel=3)
    facts = {"source": name, "sha256": sha256_once(file.path)}
    told = {"differences": str(found), "averaged": file.averaged}
    return model, facts | {key: words for key, words in told.items() if words}


def _config_of(name: str, file: Checkpoint) -> ModelConfig:
    """Return what a file's network is; under a published name it must be of that one's shape, which no pinned hash may tell."""
    config = file.config if file.config is not None else recognise(file.weights, file.path)
    entry = registry().get(name)
    if entry is not None and entry.shape and config.trunk != CONFIGS[entry.shape].trunk:
        raise ModelError(
            f"{file.path} is a network {config.name}, so it is not {name}, which has the shape of {entry.shape}: delete it and "
            "get it again, or add it under another name (`napari-sam2s models add FILE --name NAME`)."
        )
    return config


def _made_as_said(file: Checkpoint, config: ModelConfig, *, filled: bool) -> SAM2S:
    """Return a network of a configuration, which in a file of somebody else's may be any."""
    try:
        return _made(config, filled=filled)
    except Exception as error:
        if file.config is None:
            raise
        first = str(error).partition("\n")[0][:200]
        raise ModelError(
            f"{file.path} has a configuration from which no network can be built ({first}): get it again."
        ) from error


def network_of(config: ModelConfig) -> type[SAM2S]:
    """Return the class of a configuration's network."""
    if config.trunk.kind == "vit":
        return Sam3Tracker
    return EdgeTAM if config.latents else SAM2S


def _made(config: ModelConfig, *, filled: bool = True) -> SAM2S:
    """Return a network that nobody has trained, the same each time; not ``filled`` its weights are whatever was in memory."""
    with torch.random.fork_rng(devices=()), nullcontext() if filled else _Unfilled():
        torch.manual_seed(0)
        return network_of(config)(config)


class _Unfilled(TorchFunctionMode):
    """Draws no random weights, which for a large network take a second, where all of them come from a file."""

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        if getattr(function, "__module__", "") == "torch.nn.init":
            return given["tensor"] if "tensor" in given else args[0]
        return function(*args, **given)


@dataclass(frozen=True)
class Examined:
    """What a checkpoint is, without using it."""

    network: str  # such as "sam2.1-tiny"
    parameters: int
    input_size: int | None  # None: it has to be asked
    differences: Differences


def examine(path: Path, name: str = "") -> Examined:
    """Say what a checkpoint is.

    Raises
    ------
    ModelError
        If it is no checkpoint of a network we know.
    """
    file = open_checkpoint(path)
    config = _config_of(name, file)
    network = _made_as_said(file, config, filled=False)
    try:
        size: int | None = input_size(name or str(path), file, sha256_once(path))
    except InputSizeUnknown:
        size = None
    count = sum(parameter.numel() for parameter in network.parameters())
    return Examined(config.name, count, size, compare(network, file.weights))


def recognise(weights: Mapping[str, Tensor], path: Path) -> ModelConfig:
    """Tell the architecture from names and shapes: the size from the trunk, 2.0 or 2.1 from what only 2.1 has."""
    if is_edgetam(weights):
        return EDGETAM
    if is_sam3(weights):
        if not has_tracker(weights):
            raise ModelError(f"{path} is SAM 3's detector without its tracker: take the whole file, such as sam3.pt.")
        return SAM3
    patch = weights.get("image_encoder.trunk.patch_embed.proj.weight")
    if patch is not None and patch.ndim != 4:
        raise ModelError(f"{path} has an image_encoder.trunk.patch_embed.proj.weight of an unexpected shape: get it again.")
    if "image_encoder.neck.convs.0.norm_0.weight" in weights and patch is not None:
        return _efficienttam(patch.shape[0], path)
    blocks = {int(m[1]) for name in weights if (m := re.match(r"image_encoder\.trunk\.blocks\.(\d+)\.", name))}
    version = "2.1" if "no_obj_embed_spatial" in weights and "obj_ptr_tpos_proj.weight" in weights else "2"
    for config in CONFIGS.values():
        trunk = config.trunk
        if trunk.kind != "hiera" or not config.name.startswith(f"sam{version}-") or patch is None:
            continue
        if patch.shape[0] == trunk.embed_dim and len(blocks) == sum(trunk.stages):
            return replace(config, long_term="long_tpos_enc" in weights, semantic="semantic.cls_token" in weights)
    raise ModelError(f"{path} {_foreign(weights)}")


def _efficienttam(width: int, path: Path) -> ModelConfig:
    if re.match(r"efficienttam_\w+_[12](\W|$)", path.name):  # of the same shapes, so that nothing else tells it
        raise ModelError(
            f"{path} has the name of an EfficientTAM with pooled memories, which cannot be loaded: take efficienttam_s.pt, "
            "efficienttam_ti.pt, or one of 512x512."
        )
    for config in EFFICIENTTAM:
        if config.trunk.embed_dim == width:
            return config
    raise ModelError(f"{path} is an EfficientTAM {width} wide, which is not one of those we know.")


_OTHERS = {  # beginnings of names of tensors
    "vision_encoder.": "has the names of Hugging Face's transformers: take the publisher's own .pt file instead.",
    "image_encoder.patch_embed.": "is a SAM 1 network, such as MedSAM, which handles single pictures only: use one of SAM 2.",
    "detector.": "is a part of SAM 3 without its image encoder: take the whole file, such as sam3.pt.",
    "tracker.": "is a part of SAM 3 without its image encoder: take the whole file, such as sam3.pt.",
    "image_encoder.": "is a network of the SAM 2 family with an unknown trunk, so it cannot be loaded.",
}


def _foreign(weights: Mapping[str, Tensor]) -> str:
    """Say what a file is that is not a SAM 2 network."""
    for family in families().values():
        if not family.loads and any(name.startswith(family.signs) for name in weights):
            return f"is a network of {family.title}, which this version of napari-sam2s cannot load."
    if any(".lora_" in name for name in weights):
        return "has LoRA weights without their network: merge them into the network and save all of it."
    has_encoder = any(name.startswith(("image_encoder.", "vision_encoder.")) for name in weights)
    if not has_encoder and any(name.startswith(("sam_mask_decoder.", "memory_attention.")) for name in weights):
        return "is a part of a SAM 2 network, without its image encoder: save the whole network, not only the trained parts."
    for sign, words in _OTHERS.items():
        if any(name.startswith(sign) for name in weights):
            return words
    names = ", ".join(sorted(weights)[:3])
    return (
        f"is not a SAM 2 network we know ({counted(len(weights), 'tensor')}, such as {names}). SAM 2, SAM 2.1 and SAM2S in the"
        " sizes tiny, small, base-plus and large, EdgeTAM, EfficientTAM, and SAM 3's tracker can be loaded."
    )


def choose_device(name: str) -> torch.device:
    """Return the device of a name; ``"auto"`` takes CUDA, else MPS, else the CPU."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()  # which "meta" cannot
    except (RuntimeError, AssertionError) as error:
        raise ModelError(f"The device {name!r} cannot be used here: take 'cpu' or 'auto'.") from error
    return device

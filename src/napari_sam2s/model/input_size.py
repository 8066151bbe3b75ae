"""At which input size a checkpoint was trained: a file of SAM 2.1 tiny's shape may be of 1024 or of 512, and runs at both.

At another size than its own a network is slower or sees less, and gives other masks, without a word. So the size is known or
is asked for, and never assumed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from napari_sam2s.errors import InputSizeUnknown, ModelError
from napari_sam2s.masklets.validation import quoted
from napari_sam2s.model.checkpoint_file import Checkpoint
from napari_sam2s.model.model_registry import entry_of_hash, registry
from napari_sam2s.model.network_config import SAM3, check_image_size, possible_size
from napari_sam2s.model.own_models import own_models, remembered_size
from napari_sam2s.model.sam3_weights import trained_size

KEYS = ("input_size", "image_size", "img_size", "resolution")
_IN_YAML = re.compile(rf"^\s*(?:{'|'.join(KEYS)})\s*:\s*(\d+)\s*(?:#.*)?$", re.MULTILINE)
_DEPTH = 4


def input_size(name: str, file: Checkpoint, sha256: str) -> int:
    """Return the side of the input that a checkpoint was trained at, in pixels.

    In this order: what the user has said of the file; a sidecar (``x.json`` or ``x.yaml`` beside ``x.pt``, with
    ``input_size`` or ``image_size``); the registry, by the file's SHA-256 or the model's name; the checkpoint's own metadata;
    what SAM 3's tables of rotations span.

    Raises
    ------
    InputSizeUnknown
        If none of them knows.
    ModelError
        If what a sidecar says cannot be.
    """
    own, entry = own_models().get(name), registry().get(name)
    if own is not None and own.input_size and own.sha256 == sha256:  # and not of an earlier file of that name
        return own.input_size
    if own is None and entry is not None:  # a published model by its name, whatever was said of a copy of its file
        return file.config.image_size if entry.built_in and file.config is not None else entry.input_size
    known = remembered_size(sha256) or _sidecar(file.path)
    if known is None and (entry := entry_of_hash(sha256)) is not None:
        known = entry.input_size
    if known is None and file.config is not None:
        known = file.config.image_size
    if known is None:
        known = only_size(file.beside) or trained_size(file.weights, SAM3)
    if known is None:
        raise InputSizeUnknown(
            f"{file.path} does not say at which input size it was trained. Name the size once with `napari-sam2s models add "
            f"{quoted(file.path)} --input-size N` (SAM 2 itself: 1024, MedSAM2 and SurgSAM-2: "
            "512), or give image_size=N for now.",
            str(file.path),
        )
    return known


def only_size(content: Any) -> int | None:
    """Return the one input size that metadata name; ``None`` if they name none, or several."""
    sizes = {size for size in _sizes(content, _DEPTH) if possible_size(size)}
    return sizes.pop() if len(sizes) == 1 else None


def _sizes(content: Any, depth: int) -> Iterator[int]:
    if not isinstance(content, Mapping):
        content = getattr(content, "__dict__", {})  # a Namespace
    for key, value in content.items():
        number = value[0] if isinstance(value, list | tuple) and len(set(map(str, value))) == 1 else value
        if str(key) in KEYS and str(number).isdecimal():
            yield int(number)
        elif depth and (isinstance(value, Mapping) or hasattr(value, "__dict__")):
            yield from _sizes(value, depth - 1)


def _sidecar(path: Path) -> int | None:
    stems = [path.with_suffix(""), path]
    places = [stem.with_name(stem.name + ending) for stem in stems for ending in (".json", ".yaml", ".yml")]
    if path.name == "model.safetensors":  # as Hugging Face lays out its folders
        places.append(path.with_name("config.json"))
    for place in places:
        if not place.is_file():
            continue
        try:
            text = place.read_text(encoding="utf-8")
            content = json.loads(text) if place.suffix == ".json" else None
        except (OSError, ValueError) as error:
            raise ModelError(f"{place}, which lies beside {path.name}, cannot be read ({error}): move it away.") from error
        if place.suffix == ".json":
            size = only_size(content)
        else:
            named = set(_IN_YAML.findall(text))
            size = int(named.pop()) if len(named) == 1 else None
        if size is not None:
            try:
                check_image_size(size)
            except ModelError as error:
                raise ModelError(f"{place}: {error}") from error
            return size
    return None

"""What a file of weights holds, read without running any code of it: tensors, our own configuration, what it says of itself."""

from __future__ import annotations

import argparse
import json
import pathlib
import re
import zipfile
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_sam2s.errors import ModelError
from napari_sam2s.model.network_config import ModelConfig

_PREFIXES = ("module.", "_orig_mod.", "model.")  # that wrappers leave in front of the names
_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_REFUSED = re.compile(r"(?:Unsupported global: GLOBAL|Unsupported class|Trying to load unsupported GLOBAL) ([\w.]+)")


@dataclass(frozen=True)
class Checkpoint:
    """A file of weights."""

    path: Path
    weights: dict[str, Tensor]
    config: ModelConfig | None = None  # of our own files
    metadata: dict[str, Any] = field(default_factory=dict)  # what our own files say of themselves
    beside: dict[str, Any] = field(default_factory=dict)  # what else lies beside the weights, such as training arguments


def open_checkpoint(path: Path) -> Checkpoint:
    """Read a ``.pt``, ``.pth`` or ``.safetensors`` file; runs no code from it.

    Beside the weights there may be numbers and arrays of NumPy, ``argparse.Namespace`` and paths, as training scripts leave
    them.

    Raises
    ------
    ModelError
        If it is cut short, damaged, something else, holds code, or holds no weights.
    """
    try:
        content = _safetensors(path) if path.suffix == ".safetensors" else _pickled(path)
    except FileNotFoundError as error:
        raise ModelError(
            f"The weights {path} are missing: reinstall napari-sam2s, or give the path of a checkpoint."
        ) from error
    except Exception as error:  # pickle, zip and safetensors each have their own
        raise ModelError(_why(path, error)) from error
    if not isinstance(content, Mapping):
        raise ModelError(f"{path} holds a {type(content).__name__}, not the weights of a network.")
    nested = next((content[key] for key in ("model", "state_dict", "model_state_dict") if key in content), content)
    weights = {_plain(str(k)): v for k, v in nested.items() if isinstance(v, Tensor)} if isinstance(nested, Mapping) else {}
    if not weights:
        raise ModelError(f"{path} holds no weights: its entries are {', '.join(map(str, list(content)[:5])) or 'none'}.")
    found = content.get("scales")
    scales: Mapping[str, Tensor] = found if isinstance(found, Mapping) else {}
    if bare := [name for name, w in weights.items() if w.dtype == torch.int8 and name not in scales]:
        raise ModelError(f"{path} has weights in 8 bits without their scales ({some(bare)}): take the file as it was packed.")
    weights = {name: w.float() * scales[name] if name in scales else w for name, w in weights.items()}
    config = content.get("config")
    ours = isinstance(config, Mapping) and isinstance(config.get("trunk"), Mapping)
    said = content.get("sam2s", {})
    beside = {str(k): v for k, v in content.items() if k not in ("sam2s", "scales") and v is not nested and k not in weights}
    return Checkpoint(
        path,
        weights,
        ModelConfig.from_dict(dict(config)) if ours and isinstance(config, Mapping) else None,
        dict(said) if isinstance(said, Mapping) else {},
        {} if ours else beside,
    )


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], ModelConfig | None, dict[str, Any]]:
    """Return the weights of a file, its configuration and what it says of itself; see :func:`open_checkpoint`."""
    file = open_checkpoint(path)
    return file.weights, file.config, file.metadata


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


def some(names: list[str] | tuple[str, ...], most: int = 8) -> str:
    """Return the first of many names in words."""
    return ", ".join(names[:most]) + (" ..." if len(names) > most else "") or "none"


def _plain(name: str) -> str:
    changed = True
    while changed:
        changed = False
        for prefix in _PREFIXES:
            if name.startswith(prefix):
                name, changed = name[len(prefix) :], True
    return name


def _safetensors(path: Path) -> dict[str, Any]:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return {**(file.metadata() or {}), "model": {name: file.get_tensor(name) for name in file.keys()}}  # noqa: SIM118


def _pickled(path: Path) -> Any:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:  # torch does not compare the checksums itself; a second for a gigabyte
            if (changed := archive.testzip()) is not None:
                raise ValueError(f"its part {changed} has other content than was written")
    with torch.serialization.safe_globals(_harmless()):
        return torch.load(path, map_location="cpu", weights_only=True)


def _harmless() -> list[Any]:
    """Return what a pickle may name beside tensors: it makes plain data, and runs nothing."""
    from _codecs import encode

    core: Any = np._core.multiarray  # type: ignore[attr-defined]
    made: list[Any] = [np.dtype, np.ndarray, argparse.Namespace, defaultdict, set, frozenset, complex, slice, encode]
    made += [(np.dtypes.__dict__[name]) for name in np.dtypes.__all__ if name != "ObjectDType"]
    for where in ("numpy._core.multiarray", "numpy.core.multiarray"):  # of NumPy 2 and 1
        made += [(core.scalar, f"{where}.scalar"), (core._reconstruct, f"{where}._reconstruct")]
    for module in ("pathlib", "pathlib._local"):
        made += [(pathlib.PurePosixPath, f"{module}.PosixPath"), (pathlib.PureWindowsPath, f"{module}.WindowsPath")]
    return made


def _why(path: Path, error: Exception) -> str:
    """Return in one sentence why a file cannot be read, and what to do."""
    with path.open("rb") as file:
        start = file.read(64)
    size = path.stat().st_size
    again = "copy or download it again"
    if start.startswith(b"version https://git-lfs"):
        return f"{path} is a pointer of Git LFS, not the file itself: fetch it with `git lfs pull`, or download it."
    if start.lstrip()[:1] == b"<":
        return f"{path} is a web page, not a checkpoint: download the file itself."
    if path.suffix == ".safetensors" and (lacking := _lacking(path, start, size)):
        return f"{path} is cut short ({lacking} of its bytes are missing): {again}."
    if start.startswith(b"PK") and not zipfile.is_zipfile(path):
        return f"{path} is cut short or damaged (its end, {size} bytes in, is not that of such a file): {again}."
    words = _ESCAPES.sub("", str(error)).strip()
    if refused := _REFUSED.search(words):
        return (
            f"{path} holds {refused[1]}, which is code and is not run: save the weights alone, as in "
            "torch.save({'model': network.state_dict()}, FILE)."
        )
    first = next((line.strip() for line in words.splitlines() if line.strip()), type(error).__name__)
    return f"{path} is not a checkpoint, or is damaged ({first[:200]}): {again}."


def _lacking(path: Path, start: bytes, size: int) -> int:
    """Return how many bytes a safetensors file lacks, by its own header."""
    header = int.from_bytes(start[:8], "little")
    if size < 8 or header > 100 * 2**20:
        return 0
    if size < 8 + header:
        return 8 + header - size
    with path.open("rb") as file:
        file.seek(8)
        try:
            facts = json.loads(file.read(header))
            ends = [int(each["data_offsets"][1]) for name, each in facts.items() if name != "__metadata__"]
        except (ValueError, TypeError, KeyError, IndexError, AttributeError):
            return 0
    return max(8 + header + max(ends, default=0) - size, 0)

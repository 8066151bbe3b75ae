"""What a file of weights holds, read without running any code of it: tensors, our own configuration, what it says of itself."""

from __future__ import annotations

import argparse
import pathlib
import re
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_sam2s.errors import ModelError
from napari_sam2s.model.network_config import ModelConfig
from napari_sam2s.model.unreadable_file import why_unreadable, wrong_by_form

_PREFIXES = ("model.", "base_model.")  # that wrappers leave in front of the names,
_INSIDE = re.compile(
    r"(?:^|(?<=\.))(?:module|_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module|_forward_module)\."
)  # or in them
_TRUNK = re.compile(r"^(.+?\.)image_encoder\.(?:module\.)?trunk\.")  # behind the name that someone's own class gave a network
_WEIGHTS = ("model", "state_dict", "model_state_dict", "module", "net", "network", "weights", "params")  # where they may lie,
_AVERAGED = re.compile(r"ema|swa|averaged", re.I)  # and where their average over the training
_DEPTH = 3
NAMED = 8  # of many tensors


@dataclass(frozen=True)
class Checkpoint:
    """A file of weights."""

    path: Path
    weights: dict[str, Tensor]
    config: ModelConfig | None = None  # of our own files
    metadata: dict[str, Any] = field(default_factory=dict)  # what our own files say of themselves
    beside: dict[str, Any] = field(default_factory=dict)  # what else lies beside the weights, such as training arguments
    averaged: str = ""  # under which name another set of weights lies that was averaged over the training, and is not taken


def open_checkpoint(path: Path) -> Checkpoint:
    """Read a ``.pt``, ``.pth`` or ``.safetensors`` file; runs no code from it.

    Beside the weights there may be numbers and arrays of NumPy, ``argparse.Namespace`` and paths, as training scripts leave
    them.

    Raises :class:`ModelError` if it cannot be read, is cut short, damaged, something else, holds code, or holds no weights.
    """
    try:
        path.open("rb").close()
    except FileNotFoundError as error:
        raise ModelError(
            f"The weights {path} are missing: reinstall napari-sam2s, or give the path of a checkpoint."
        ) from error
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}): check its permissions, or copy it elsewhere.") from error
    try:
        content = _safetensors(path) if _is_safetensors(path) else _pickled(path)
    except ModelError:
        raise
    except Exception as error:  # pickle, zip and safetensors each have their own
        raise ModelError(why_unreadable(path, error)) from error
    if not isinstance(content, Mapping):
        raise ModelError(f"{path} holds a {type(content).__name__}, not the weights of a network.")
    nested = _where_weights_are(content, path)
    weights = _named({str(k): v for k, v in nested.items() if isinstance(v, Tensor)}, path)
    found = content.get("scales")
    scales: Mapping[str, Tensor] = found if isinstance(found, Mapping) else {}
    weights = {name: _dense(name, w, scales.get(name), path) for name, w in weights.items()}
    config = content.get("config")
    ours = isinstance(config, Mapping) and isinstance(config.get("trunk"), Mapping)
    said = content.get("sam2s", {})
    beside = {str(k): v for k, v in content.items() if k not in ("sam2s", "scales") and v is not nested and k not in weights}
    return Checkpoint(
        path,
        weights,
        _config(config, path) if ours and isinstance(config, Mapping) else None,
        dict(said) if isinstance(said, Mapping) else {},
        {} if ours else beside,
        next(_averaged(content, nested, _DEPTH), ""),
    )


def _config(said: Mapping[Any, Any], path: Path) -> ModelConfig:
    try:
        return ModelConfig.from_dict(dict(said))
    except (TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise ModelError(f"{path} has a configuration that cannot be read ({error}): copy or download it again.") from error


def _averaged(content: Mapping[Any, Any], taken: Mapping[Any, Any], depth: int) -> Iterator[str]:
    """Yield the names under which weights lie that were averaged, and are not those that are taken."""
    for key, value in content.items():
        if isinstance(value, Mapping) and value is not taken:
            if _AVERAGED.search(str(key)) and _has_tensors(value):
                yield str(key)
            elif depth:
                yield from _averaged(value, taken, depth - 1)


def _has_tensors(value: Any) -> bool:
    return isinstance(value, Mapping) and any(isinstance(v, Tensor) and isinstance(k, str) for k, v in value.items())


def _where_weights_are(content: Mapping[Any, Any], path: Path) -> Mapping[Any, Any]:
    """Return the part of a file that holds the weights, however deep training scripts have put it.

    Raises :class:`ModelError` if there is none, or several of which none has a name that tells.
    """
    inside: Any = content
    for _ in range(_DEPTH):
        found = [inside[key] for key in _WEIGHTS if isinstance(inside.get(key), Mapping)]
        if found and _has_tensors(found[0]):
            return found[0]
        if _has_tensors(inside):
            return inside
        others = {str(key): value for key, value in inside.items() if isinstance(value, Mapping) and not _is_of_optimizer(key)}
        several = [key for key, value in others.items() if _has_tensors(value)]
        if len(several) > 1:
            raise ModelError(f"{path} holds several networks ({some(several)}): save only the one you want.")
        if several:
            return others[several[0]]
        if not found and len(others) != 1:
            break
        inside = found[0] if found else next(iter(others.values()))
    raise ModelError(f"{path} holds no weights: its entries are {', '.join(map(str, list(content)[:5])) or 'none'}.")


def _is_of_optimizer(key: Any) -> bool:
    return any(word in str(key) for word in ("optim", "sched", "scaler", "callback", "sam2s", "scales", "config"))


def _named(weights: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Return weights by the names of the network's own tensors, without what wrappers left in them.

    Raises :class:`ModelError` if two have one name then: which of them is meant is not known.
    """
    names = {name: _plain(name) for name in weights}
    if fronts := {match[1] for name in names.values() if (match := _TRUNK.match(name))}:
        if len(fronts) > 1 or any(name.startswith("image_encoder.") for name in names.values()):
            also = some(sorted(front.rstrip(".") for front in fronts))
            raise ModelError(f"{path} holds several networks ({also}): save only the one you want.")
        front = fronts.pop()
        if not front.startswith(("detector.", "tracker.")):  # parts of SAM 3 have names of their own
            names = {name: plain.removeprefix(front) for name, plain in names.items()}
    found: dict[str, Tensor] = {}
    for name, weight in weights.items():
        if names[name] in found:
            raise ModelError(f"{path} holds {names[name]} twice, with and without a wrapper's name in front: save one of them.")
        found[names[name]] = weight
    return found


def _dense(name: str, weight: Tensor, scale: Tensor | None, path: Path) -> Tensor:
    """Return a weight as numbers that can be put into a network.

    Raises :class:`ModelError` if it is quantised or holds no values.
    """
    if weight.is_quantized or weight.is_meta or weight.layout != torch.strided:
        raise ModelError(f"{path} has weights that are not plain numbers ({name}): save them dense, in float32 or 16 bits.")
    if scale is not None:
        return weight.float() * scale
    # With numbers of 8 bits torch can do little.
    return weight.float() if weight.is_floating_point() and weight.element_size() == 1 else weight


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], ModelConfig | None, dict[str, Any]]:
    """Return the weights of a file, its configuration and what it says of itself; see :func:`open_checkpoint`."""
    file = open_checkpoint(path)
    return file.weights, file.config, file.metadata


def some(names: list[str] | tuple[str, ...]) -> str:
    """Return the first of many names in words."""
    return ", ".join(names[:NAMED]) + (" ..." if len(names) > NAMED else "") or "none"


def _plain(name: str) -> str:
    name = _INSIDE.sub("", name)
    changed = True
    while changed:
        changed = False
        for prefix in _PREFIXES:
            if name.startswith(prefix):
                name, changed = name[len(prefix) :], True
    return name


def _is_safetensors(path: Path) -> bool:
    """Whether a file begins as such a file does, whatever it is called: with the length of a header of JSON."""
    with path.open("rb") as file:
        start = file.read(9)
    if start[8:] == b"{" and int.from_bytes(start[:8], "little") < path.stat().st_size:
        return True
    return path.suffix.lower() == ".safetensors" and not start.startswith((b"PK", b"\x80"))


def _safetensors(path: Path) -> dict[str, Any]:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return {**(file.metadata() or {}), "model": {name: file.get_tensor(name) for name in file.keys()}}  # noqa: SIM118


def _pickled(path: Path) -> Any:
    if wrong := wrong_by_form(path):
        raise ModelError(wrong)
    # By its name torch would take some of them for safetensors. Its warnings are of what is an error with us.
    with torch.serialization.safe_globals(_harmless()), warnings.catch_warnings(), path.open("rb") as file:
        warnings.simplefilter("ignore")
        return torch.load(file, map_location="cpu", weights_only=True)


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

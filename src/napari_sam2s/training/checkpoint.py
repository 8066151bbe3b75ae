"""Checkpoints: of a run, to resume, and of a model, to use; and what a checkpoint says of the machine it was made on."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import torch

from napari_sam2s.formats.atomic_write import make_folder, whole_file
from napari_sam2s.model.network import SAM2S
from napari_sam2s.wording import counted


def save_atomically(state: dict[str, Any], path: Path) -> None:
    """Write a file whole or not at all.

    Raises :class:`FormatError` if it cannot be written, as on a full disk; the earlier file stays.
    """
    make_folder(path.parent)
    with whole_file(path) as part, part.open("wb") as file:  # given a name alone, torch does not say that the disk is full
        torch.save(state, file)


def model_state(model: SAM2S, metadata: dict[str, Any], *, half: bool = True) -> dict[str, Any]:
    """Return what :func:`napari_sam2s.load_model` reads: weights, architecture, and what the model says of itself."""
    weights = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    if half:
        weights = {name: value.half() if value.is_floating_point() else value for name, value in weights.items()}
    classes: dict[str, Any] = {}
    if model.semantic is not None and model.semantic.class_names:
        classes = {"class_names": list(model.semantic.class_names), "text_embeddings": model.semantic.text_embeddings.cpu()}
    return {"model": weights, "config": model.config.to_dict(), "sam2s": {**metadata, **classes}}


def hardware() -> str:
    """Return the processor (and graphics card) of this machine in words."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    words = f"{name}, {counted(os.cpu_count() or 1, 'core')}"
    return f"{words}, {torch.cuda.get_device_name(0)}" if torch.cuda.is_available() else words

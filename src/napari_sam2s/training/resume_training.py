"""Resuming a run: its last checkpoint is read, and what it was begun with is compared with what is asked now."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from napari_sam2s.errors import ModelError, TrainingError, is_out_of_memory
from napari_sam2s.model.checkpoints import read_checkpoint
from napari_sam2s.model.network import SAM2S
from napari_sam2s.training.training_config import TrainingConfig

# Stages are compared one by one; the classes are compared as the network has them, wherever they come from.
COMPARED_OTHERWISE = ("stages", "validation", "class_names", "text_embeddings")


def read_last(path: Path, device: torch.device) -> dict[str, Any]:
    """Return the checkpoint that a run resumes from. Raises :class:`TrainingError` if it cannot be read."""
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # pickle and zip each have their own
        if is_out_of_memory(error):
            raise
        raise TrainingError(
            f"{path} is damaged, or is not the checkpoint of a run. Start again in another folder, with the model.pt "
            f"beside it as init."
        ) from error
    if not isinstance(state, dict) or not {"model", "optimizer", "average", "step", "seed", "name"} <= set(state):
        raise TrainingError(f"{path} was not written by a run, so it cannot be resumed: use another folder.")
    return state


def check_same(path: Path, state: Mapping[str, Any], config: TrainingConfig, model: SAM2S) -> None:
    """Make sure that a checkpoint is one of this run.

    Stages that are not over may be edited between two sittings of a run, and how it is validated; nothing else may.

    Raises :class:`TrainingError` (naming what is another).
    """
    if state.get("clocked"):
        raise TrainingError(
            f"{path} belongs to a run with a fixed time (--within), which cannot be resumed. Choose another "
            f"folder; give the model.pt "
            "beside it as init to train it further."
        )
    before = {**_config_before(path, state), "seed": state["seed"], "model": state["name"]}
    if difference := _difference(before, config, state["step"]):
        raise TrainingError(f"{path} belongs to another run ({difference}): undo this change, or use another folder.")
    names, embeddings = _classes_before(path, state)
    if names is None or model.semantic is None:
        return
    if tuple(names) != tuple(model.class_names):
        changed = sorted(set(names) ^ set(model.class_names)) or list(names)
        raise TrainingError(
            f"{path} belongs to a run that knows other classes ({', '.join(changed)}; a network's own classes were not added "
            "to by class_names before): set class_names back, or take another folder."
        )
    own = model.semantic.text_embeddings
    if embeddings is not None and not torch.allclose(embeddings.to(own), own, atol=1e-3):
        raise TrainingError(
            f"{path} belongs to a run with other text embeddings: set text_embeddings back, or use another folder."
        )


def _config_before(path: Path, state: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a run was begun with; early ones noted it in their model only."""
    if "config" in state:
        return dict(state["config"])
    return dict(_model_before(path).get("provenance", {}).get("config", {}))


def _classes_before(path: Path, state: Mapping[str, Any]) -> tuple[Sequence[str] | None, Tensor | None]:
    if "class_names" not in state:
        state = _model_before(path)
    return state.get("class_names"), state.get("text_embeddings")


def _model_before(path: Path) -> dict[str, Any]:
    try:
        return read_checkpoint(path.with_name("model.pt"))[2]
    except ModelError:
        return {}


def _difference(before: Mapping[str, Any], config: TrainingConfig, step: int) -> str:
    """Say in which setting a run differs from a configuration, "" if in none that matters any more."""
    now = config.to_dict()
    whole = "image_size" in before  # else it is not known what the run was begun with
    defaults = {field.name: field.default for field in fields(TrainingConfig) if field.default is not MISSING} if whole else {}
    for name, value in now.items():
        known = before.get(name, defaults.get(name, value))
        if name not in COMPARED_OTHERWISE and _plain(known) != _plain(value):
            return f"{name} was {_plain(known)}, is {_plain(value)}"
    done = 0
    for number, stage in enumerate(before.get("stages", ())):
        done += stage["steps"]
        if done > step:
            break
        if number >= len(now["stages"]):
            return f"stage {stage['name']!r} is over, but the configuration no longer has it"
        for name, value in now["stages"][number].items():
            if _plain(stage.get(name, value)) != _plain(value):
                return f"stage {stage['name']!r} is over: its {name} was {_plain(stage[name])}, is {_plain(value)}"
    return ""


def _plain(value: Any) -> str:
    """Return a value as text, lists and tuples alike."""
    return json.dumps(value, sort_keys=True)

"""A network with more parts than the one it starts from, which answers as that one until it has learned to use them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import Tensor

from napari_sam2s.model.checkpoints import find_weights, read_checkpoint
from napari_sam2s.model.network import SAM2S
from napari_sam2s.model.network_config import ModelConfig

Weights = dict[str, Tensor]


def grow(source: str, settings: Callable[[ModelConfig], dict[str, Any]], fill: Callable[[Weights], None]) -> dict[str, object]:
    """Return a checkpoint to train from.

    Parameters
    ----------
    source
        A model's name or file.
    settings
        Returns what changes in its configuration.
    fill
        Is given all weights, the old ones and new ones as a network is made with them, and puts in what is known better.
    """
    weights, config, metadata = read_checkpoint(find_weights(source))
    assert config is not None
    config = replace(config, **settings(config))
    model = SAM2S(config)
    state = {**model.state_dict(), **weights}
    fill(state)
    model.load_state_dict(state)
    return {"model": model.state_dict(), "config": config.to_dict(), "sam2s": metadata}


def copy_keys(state: Weights, into: str) -> None:
    """Let the head for first prompts compare by the pretrained keys of matching: ``into`` is the beginning of their names."""
    for part in ("fine", "coarse"):
        for name in ("weight", "bias"):
            state[f"{into}{part}.{name}"] = state[f"matching.pretrained.{part}.{name}"]

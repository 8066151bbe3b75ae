"""The SAM2S network: images and memories in, mask logits out.

Importing this package is light: torch comes with the first name that needs it, so that the viewer opens at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_sam2s.model.checkpoints import load_model
    from napari_sam2s.model.network import SAM2S
    from napari_sam2s.model.network_config import CONFIGS, ModelConfig
    from napari_sam2s.model.speed import Speed, apply_speed

__all__ = [
    "CONFIGS",
    "SAM2S",
    "ModelConfig",
    "Speed",
    "apply_speed",
    "load_model",
]

_HOME = {
    "CONFIGS": "network_config",
    "SAM2S": "network",
    "ModelConfig": "network_config",
    "Speed": "speed",
    "apply_speed": "speed",
    "load_model": "checkpoints",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

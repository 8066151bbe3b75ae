"""The SAM2S network: images and memories in, mask logits out.

Importing this package is light: torch comes with the first name that needs it, so that the viewer opens at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_sam2s.lazy_names import lazy_names

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

__getattr__ = lazy_names(
    __name__,
    checkpoints="load_model",
    network="SAM2S",
    network_config="CONFIGS ModelConfig",
    speed="Speed apply_speed",
)

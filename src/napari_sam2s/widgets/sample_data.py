"""``File > Open Sample > SAM2S``: built-in cases, drawn as they are looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_sam2s.synthetic import samples
from napari_sam2s.video import open_video
from napari_sam2s.widgets.napari_reader import video_layer

if TYPE_CHECKING:
    from napari.types import LayerData


def _layer(clip: Any) -> list[LayerData]:
    video = open_video(clip, axes="TYXC", limits=(0, 255), fps=clip.fps)
    video.name = clip.name
    data, attributes, kind = video_layer(video)
    attributes["metadata"]["truth"] = clip  # masks(frame) and objects, to be judged against
    return [(data, attributes, kind)]


def laparoscopy_minute() -> list[LayerData]:
    """Return a minute of drawn laparoscopy: three instruments and an organ."""
    return _layer(samples.sixty_seconds())


def hard_reentry() -> list[LayerData]:
    """Return two graspers that leave for long and come back."""
    return _layer(samples.hard_reentry())


def short_case() -> list[LayerData]:
    """Return the six seconds of the demo."""
    return _layer(samples.demo_case())


def cells() -> list[LayerData]:
    """Return a time-lapse of drawn nuclei that drift, grow and divide."""
    return _layer(samples.cells())

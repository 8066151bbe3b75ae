"""Which frame of an image the viewer shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import napari
    from napari.layers import Image, Labels

MOVES = ("scale", "translate", "rotate", "shear", "affine", "units")  # events after which the image lies elsewhere


class TimeAxis:
    """The time axis of an image in the viewer's world.

    Napari takes a millisecond to transform one point, after every move of the slider. What it does is linear, so it is asked
    once for each axis, and again when the image was moved.
    """

    def __init__(self, image: Image) -> None:
        self._image = image
        self._line: tuple[np.ndarray[Any, np.dtype[np.float64]], float] | None = None  # slopes, and where the origin is
        for name in MOVES:
            if name in image.events.emitters:
                image.events.emitters[name].connect(self._moved)

    def frame(self, point: Sequence[float]) -> int:
        """Return the frame at a point of the world: the nearest one, as far as there is one."""
        if self._line is None or len(self._line[0]) != len(point):
            self._line = self._ask(len(point))
        slopes, start = self._line
        return min(max(round(start + float(np.dot(slopes, point))), 0), self._image.data.shape[0] - 1)

    def _ask(self, dimensions: int) -> tuple[np.ndarray[Any, np.dtype[np.float64]], float]:
        start = float(self._image.world_to_data(np.zeros(dimensions))[0])
        slopes = [float(self._image.world_to_data(axis)[0]) - start for axis in np.eye(dimensions)]
        return np.array(slopes), start

    def _moved(self, event: Any = None) -> None:
        self._line = None

    def close(self) -> None:
        """Let go of the image."""
        for name in MOVES:
            if name in self._image.events.emitters:
                self._image.events.emitters[name].disconnect(self._moved)


def show_frame(viewer: napari.viewer.Viewer, layer: Image | Labels, frame: int) -> None:
    """Show a frame of a layer: not a step of the slider, which beside a layer of another rate is another frame."""
    viewer.dims.set_point(viewer.dims.ndim - 3, layer.data_to_world((frame, 0, 0))[0])


def play_at_its_speed(viewer: napari.viewer.Viewer, fps: float | None) -> None:
    """Have napari's play button play a video at its own speed, not at ten frames a second; where there is such a button."""
    dims = getattr(getattr(getattr(viewer, "window", None), "_qt_viewer", None), "dims", None)
    axis = viewer.dims.ndim - 3
    sliders = getattr(dims, "slider_widgets", ())
    if fps and 0 <= axis < len(sliders):
        sliders[axis].fps = fps

"""Videos stay flat: a view in three dimensions reads all their frames at once, which ends napari for want of memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import psutil
from napari.components import ViewerModel
from qtpy.QtCore import QTimer

from napari_sam2s.widgets.preflight import size

VOXEL_BYTES = 25  # that napari takes for a colour video in 3-D with our two layers (24 measured), 12 of them for the video
OF_FREE = 0.5  # of the memory that is free, which a volume may take


def stay_flat(viewer: ViewerModel, shape: tuple[int, int, int], warn: Callable[[str], None]) -> Callable[[], None]:
    """Go back to two dimensions where three do not fit into the memory.

    Parameters
    ----------
    shape
        Of the video, ``(T, Y, X)``.
    warn
        Tells the user why.

    Returns
    -------
    What ends this.
    """
    dims, camera = viewer.dims, viewer.scene.camera

    def look(event: Any = None) -> None:
        wanted = VOXEL_BYTES * math.prod(shape)
        if dims.ndisplay == 3 and wanted > OF_FREE * psutil.virtual_memory().available:
            point, zoom, centre = dims.point, camera.zoom, camera.center
            dims.ndisplay = 2
            QTimer.singleShot(0, lambda: back(point, zoom, centre))  # napari fits the picture anew after this
            warn(f"In 3-D, napari reads all {shape[0]} frames at once: {size(wanted)}. The view stays in 2-D.")

    def back(point: tuple[float, ...], zoom: float, centre: Any) -> None:
        dims.point, camera.zoom, camera.center = point, zoom, centre

    look.__module__ = f"napari.{__name__}"  # napari tells its own listeners first, and those read the layers
    dims.events.ndisplay.connect(look, position="first")
    return lambda: dims.events.ndisplay.disconnect(look)

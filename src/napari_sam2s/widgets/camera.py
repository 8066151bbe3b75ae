"""What the camera shows when the widget and its timeline take their part of the window."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QObject, QTimer

if TYPE_CHECKING:
    import napari

SETTLE_MS = 150  # until the docks have their sizes
FITS = 6  # a busy machine hears of a canvas's new size late


def keep_whole_picture(viewer: napari.viewer.Viewer, owner: QObject) -> None:
    """Fit the picture into the canvas again once the docks are laid out, unless the user has zoomed or moved it.

    Napari fits a picture when it is opened; a dock that comes later cuts off what is beside. The middle of the picture is in
    the middle then, and no longer once the user has turned the wheel somewhere.
    """
    camera = viewer.scene.camera
    zoom, centre = camera.zoom, camera.center
    viewer.reset_view()
    if not np.allclose(centre, camera.center):
        camera.zoom, camera.center = zoom, centre
        return
    fitted = (camera.zoom, tuple(camera.center))
    timer, left = QTimer(owner), FITS

    def fit() -> None:
        nonlocal fitted, left
        left -= 1
        if (camera.zoom, tuple(camera.center)) == fitted:  # nobody has moved it since
            viewer.reset_view()
            fitted = (camera.zoom, tuple(camera.center))
        else:
            left = 0
        if left <= 0:
            timer.stop()
            timer.deleteLater()

    timer.timeout.connect(fit)
    timer.start(SETTLE_MS)

"""What the camera shows when the widget and its timeline take their part of the window."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QObject, QTimer

if TYPE_CHECKING:
    import napari

SETTLE_MS = 150  # until the docks have their sizes
NEAR = 0.15  # in which napari's own first fit and its later ones differ


def keep_whole_picture(viewer: napari.viewer.Viewer, owner: QObject) -> None:
    """Fit the picture into the canvas again once the docks are laid out, if it fits it now.

    Napari fits a picture when it is opened; a dock that comes later cuts off what is beside. Who has zoomed or moved the
    picture keeps it as it is.
    """
    camera = viewer.scene.camera
    zoom, centre = camera.zoom, camera.center
    viewer.reset_view()
    if abs(zoom / camera.zoom - 1) > NEAR or not np.allclose(centre, camera.center):
        camera.zoom, camera.center = zoom, centre
        return
    timer = QTimer(owner)
    timer.setSingleShot(True)
    timer.timeout.connect(viewer.reset_view)
    timer.timeout.connect(timer.deleteLater)
    timer.start(SETTLE_MS)

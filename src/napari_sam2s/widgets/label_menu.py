"""Masks that are there already as prompts: a menu of the Labels layers and what is in them on the frame on show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray
from qtpy.QtWidgets import QMenu, QPushButton

from napari_sam2s.masklets.labels import LabelView
from napari_sam2s.widgets.session import Session

if TYPE_CHECKING:
    import napari

MOST_LABELS = 500  # of one frame that are taken at once
TIP = "Take masks of another Labels layer (Cellpose, StarDist, painted by hand) as prompts of this frame."


class LabelMenu(QMenu):
    """One entry for all labels of a layer on the frame on show, and one for the label that is chosen in it."""

    def __init__(self, session: Session, button: QPushButton) -> None:
        super().__init__(button)
        self._session = session
        self.setToolTipsVisible(True)
        button.setToolTip(TIP)
        button.setMenu(self)
        self.aboutToShow.connect(self.fill)

    def fill(self) -> None:
        """Look at what there is."""
        self.clear()
        session = self._session
        if session.project is None:
            self._say("Open a video first.")
            return
        offered = 0
        for layer in session.viewer.layers:
            if not isinstance(layer, Labels) or isinstance(layer.data, LabelView):
                continue
            labels = labels_on_show(session.viewer, layer, session.project.shape[1:])
            ids = () if labels is None else tuple(int(i) for i in np.unique(labels) if i)
            if labels is None or not ids:
                continue
            self._offer(layer, labels, ids)
            offered += 1
        if not offered:
            self._say("No Labels layer has masks of the video's size on this frame.")

    def _offer(self, layer: Labels, labels: NDArray[Any], ids: tuple[int, ...]) -> None:
        chosen, name = int(layer.selected_label), layer.name
        if len(ids) <= MOST_LABELS:
            text = f"{name}: all {len(ids)} objects" if len(ids) > 1 else f"{name}: the object"
            self.addAction(text, lambda: self._session.take_masks({f"{name} {i}": labels == i for i in ids}))
        else:
            self._say(f"{name}: {len(ids)} labels, {MOST_LABELS} at most can be taken at once")
        if chosen in ids and len(ids) > 1:
            self.addAction(
                f"{name}: label {chosen} alone", lambda: self._session.take_masks({f"{name} {chosen}": labels == chosen})
            )

    def _say(self, text: str) -> None:
        self.addAction(text).setEnabled(False)


def labels_on_show(viewer: napari.viewer.Viewer, layer: Labels, size: tuple[int, ...]) -> NDArray[Any] | None:
    """Return the labels ``(Y, X)`` of a layer on the frame on show; ``None`` where it has none of that size.

    A layer ``(Y, X)`` is taken for the frame on show, whichever that is.
    """
    shape = tuple(int(n) for n in layer.data.shape)
    if getattr(layer, "multiscale", False) or len(shape) not in (2, 3) or shape[-2:] != tuple(size):
        return None
    if len(shape) == 2:
        return np.asarray(layer.data)
    at = round(float(layer.world_to_data(viewer.dims.point)[0]))
    return np.asarray(layer.data[at]) if 0 <= at < shape[0] else None

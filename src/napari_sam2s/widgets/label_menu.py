"""Masks that are there already as prompts: a menu of the layers and files that hold labels of the frame on show."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels
from numpy.typing import NDArray
from qtpy.QtWidgets import QFileDialog, QMenu, QPushButton

from napari_sam2s.errors import FormatError
from napari_sam2s.formats.label_picture import read_label_picture
from napari_sam2s.masklets.labels import LabelView
from napari_sam2s.widgets.session import Session
from napari_sam2s.widgets.start_folder import start_folder
from napari_sam2s.wording import counted

if TYPE_CHECKING:
    import napari

MOST_LABELS = 500  # of one frame that are taken at once
THERE = 0.5  # of the pixels of a label that an object covers already: it is that object, and would be tracked twice
ALIKE = 0.5  # of the pixels of labels that have the value of their neighbours; of a picture of things few have
TIP = "Take masks of another layer or file (Cellpose, StarDist, painted by hand) as prompts of this frame."
FILES = "Labels (*.tif *.tiff *.png *.npy);;All files (*)"


class LabelMenu(QMenu):
    """One entry for all labels of a layer on the frame on show, one for the label that is chosen in it, and one for a file."""

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
            labels = labels_on_show(session.viewer, layer, session.project.shape[1:]) if layer is not session.image else None
            ids = () if labels is None else tuple(int(i) for i in np.unique(labels) if i)
            if labels is None or not ids:
                continue
            self._offer(layer, labels, ids)
            offered += 1
        if not offered:
            self._say("No layer has labels of the video's size on this frame.")
        self.addAction("A file of labels ...", self._choose_file)

    def _offer(self, layer: Image | Labels, labels: NDArray[Any], ids: tuple[int, ...]) -> None:
        name, chosen = layer.name, int(layer.selected_label) if isinstance(layer, Labels) else 0

        def hide() -> None:
            layer.visible = False  # it lies over the masks of the objects, and has other ones on every other frame

        if len(ids) <= MOST_LABELS:
            if ids != (new := self._new(labels)) and new:
                self.addAction(
                    f"{name}: the {len(new)} of {len(ids)} that are no objects yet", lambda: self._take(name, labels, new, hide)
                )
            text = f"{name}: all {counted(len(ids), 'object')}" if len(ids) > 1 else f"{name}: the object"
            self.addAction(text, lambda: self._take(name, labels, ids, hide))
        else:
            self._say(f"{name}: {counted(len(ids), 'label')}, {MOST_LABELS} at most can be taken at once")
        if chosen in ids and len(ids) > 1:
            self.addAction(f"{name}: label {chosen} alone", lambda: self._take(name, labels, (chosen,)))

    def _take(self, name: str, labels: NDArray[Any], ids: tuple[int, ...], then: Callable[[], None] = lambda: None) -> None:
        twice = len(set(ids) - set(self._new(labels)))
        self._session.take_masks({f"{name} {i}": labels == i for i in ids})
        if twice:
            self._session.warn(
                f"{twice} of {counted(len(ids), 'mask')} of {name} lie on objects that you already have. Both are tracked now."
                " U removes all of them. Then the menu offers the new ones alone."
            )
        then()
        self._session.activate_prompts()

    def _new(self, labels: NDArray[Any]) -> tuple[int, ...]:
        """Return the labels ``(Y, X)`` of the frame on show that no object lies on."""
        session, there = self._session, np.zeros(labels.shape, bool)
        for mask in session.project.masks(session.frame).values() if session.project is not None else ():
            there |= mask
        ids, areas = np.unique(labels, return_counts=True)
        known = dict(zip(*np.unique(labels[there], return_counts=True), strict=True))
        return tuple(int(i) for i, n in zip(ids, areas, strict=True) if i and known.get(i, 0) <= THERE * n)

    def _choose_file(self) -> None:
        folder = str(start_folder(self._session.viewer))  # masks often lie beside their video
        if name := QFileDialog.getOpenFileName(self.parentWidget(), "A file of labels", folder, FILES)[0]:
            self.take_file(Path(name))

    def take_file(self, path: Path) -> None:
        """Take all labels of a file, of its page for the frame on show, as prompts; say what is wrong with it."""
        session = self._session
        if session.project is None:
            return
        try:
            labels, size = read_label_picture(path, session.frame), session.project.shape[1:]
        except FormatError as error:
            session.warn(str(error))
            return
        ids = tuple(int(i) for i in np.unique(labels) if i)
        if labels.shape != size:
            session.warn(f"{path.name} is {labels.shape[1]} x {labels.shape[0]}, the video {size[1]} x {size[0]} pixels.")
        elif not 0 < len(ids) <= MOST_LABELS:
            session.warn(
                f"{path.name} has {counted(len(ids), 'label')} for frame {session.frame}; 1 to {MOST_LABELS} can be taken."
            )
        else:
            self._take(path.stem, labels, ids)

    def _say(self, text: str) -> None:
        self.addAction(text).setEnabled(False)


def labels_on_show(viewer: napari.viewer.Viewer, layer: Any, size: tuple[int, ...]) -> NDArray[Any] | None:
    """Return the labels ``(Y, X)`` of a layer on the frame on show; ``None`` where it has none of that size.

    A layer ``(Y, X)`` is taken for the frame on show, whichever that is. An Image layer has labels where its values are whole
    numbers, and most pixels have the value of their neighbours: so napari opens a file of labels.
    """
    if not isinstance(layer, Image | Labels) or isinstance(layer.data, LabelView) or getattr(layer, "rgb", False):
        return None
    shape = tuple(int(n) for n in layer.data.shape)
    if getattr(layer, "multiscale", False) or len(shape) not in (2, 3) or shape[-2:] != tuple(size):
        return None
    if layer.data.dtype.kind not in "uib":
        return None
    at = round(float(layer.world_to_data(viewer.dims.point)[0])) if len(shape) == 3 else 0
    if not 0 <= at < shape[0]:
        return None
    found = np.asarray(layer.data[at] if len(shape) == 3 else layer.data)
    return found if isinstance(layer, Labels) or _looks_like_labels(found) else None


def _looks_like_labels(picture: NDArray[Any]) -> bool:
    inside = picture[:-1, :-1] != 0
    alike = (picture[:-1, :-1] == picture[1:, :-1]) & (picture[:-1, :-1] == picture[:-1, 1:])
    return bool(picture.min() >= 0 and np.count_nonzero(inside & alike) > ALIKE * np.count_nonzero(inside))

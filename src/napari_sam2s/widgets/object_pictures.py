"""Small pictures of the objects for their table: cut out of frames while they are on show anyway."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QSize, Qt
from qtpy.QtGui import QColor, QIcon, QImage, QPainter, QPixmap

from napari_sam2s.masklets import rle
from napari_sam2s.widgets.click_pictures import MARGIN, lit
from napari_sam2s.widgets.form_parts import quiet_timer
from napari_sam2s.widgets.session import Session

WIDTH, HEIGHT, BAR = 40, 26, 6  # pixels; a bar in the object's colour stands at the left
QUIET_MS = 400  # on one frame until pictures are made of it


@dataclass(frozen=True, eq=False)
class ObjectPicture:
    """A picture of an object."""

    prompted: bool  # it is of a frame on which the user has said what the object is
    image: QImage
    frame: int
    mask: rle.Mask  # that the object had there


class ObjectPictures(QObject):
    """Makes the pictures of objects, each once: of the first frame on show that has it, then of the first prompted one.

    Parameters
    ----------
    wanted
        Returns the ids of the objects that are seen in the table now.
    made
        Called when there are new pictures.
    """

    def __init__(
        self, session: Session, parent: QObject, wanted: Callable[[], Iterable[int]], made: Callable[[], None]
    ) -> None:
        super().__init__(parent)
        self._session, self._wanted, self._made = session, wanted, made
        self.known: dict[int, ObjectPicture] = {}
        self._timer = quiet_timer(self, QUIET_MS, self.look)
        session.moved.connect(self.wait)
        session.changed.connect(self.wait)
        session.opened.connect(lambda _: self.known.clear())

    def wait(self) -> None:
        """Look once nothing has happened for a while."""
        self._timer.start()

    def look(self) -> None:
        """Make what is missing of the frame on show; no other frame is read for it, and none in the midst of a run."""
        session = self._session
        project, video = session.project, session.video
        if project is None or video is None or session.tracking:
            return
        frame = session.frame
        prompted = {p.object_id for p in project.prompts(frame=frame)}
        there = {e.object_id: e.mask for e in project.masks.entries(frame) if e.mask.area}
        old = [i for i, p in self.known.items() if p.frame == frame and p.mask != there.get(i)]  # corrected, or undone
        for i in old:
            del self.known[i]
        wanted = {i for i in self._wanted() if (p := self.known.get(i)) is None or (i in prompted and not p.prompted)}
        masks = {i: mask for i, mask in there.items() if i in wanted}
        if masks:
            picture = video[frame]
            self.known.update(
                {i: ObjectPicture(i in prompted, _cut_out(picture, mask), frame, mask) for i, mask in masks.items()}
            )
        if masks or old:
            self._made()


def _cut_out(picture: NDArray[np.uint8], mask: rle.Mask) -> QImage:
    """Return the part of a frame ``(Y, X, 3)`` that a mask lies in, with a margin; what is not the object is dim and grey."""
    parts = []
    for start, side, whole in zip((mask.y0, mask.x0), (mask.height, mask.width), picture.shape, strict=False):
        room = max(4, round(MARGIN * side))
        parts.append(slice(max(0, start - room), min(whole, start + side + room)))
    rows, columns = _as_wide((parts[0], parts[1]), (picture.shape[0], picture.shape[1]))
    there = np.zeros((rows.stop - rows.start, columns.stop - columns.start), dtype=bool)
    y, x = mask.y0 - rows.start, mask.x0 - columns.start
    there[y : y + mask.height, x : x + mask.width] = rle.decode_crop(mask)
    return _image(lit(picture[rows, columns], there))


def _as_wide(here: tuple[slice, slice], size: tuple[int, int]) -> tuple[slice, slice]:
    """Return a part of a frame of a size ``(Y, X)`` with more around it, so that it is as wide for its height as a picture."""
    sides = [place.stop - place.start for place in here]
    wanted = max(sides[0], round(sides[1] * HEIGHT / (WIDTH - BAR))), max(sides[1], round(sides[0] * (WIDTH - BAR) / HEIGHT))
    parts = []
    for place, side, want, whole in zip(here, sides, wanted, size, strict=True):
        first = min(max(0, place.start - (want - side) // 2), max(0, whole - want))
        parts.append(slice(first, min(whole, first + want)))
    return parts[0], parts[1]


def picture_icon(picture: ObjectPicture, colour: QColor) -> QIcon:
    """Return a picture beside a bar of a colour, which both stay what they are where their row is chosen."""
    whole = QPixmap(QSize(WIDTH, HEIGHT))
    whole.fill(Qt.GlobalColor.transparent)
    painter = QPainter(whole)
    painter.fillRect(0, 0, BAR, HEIGHT, colour)
    image = picture.image
    painter.drawImage(BAR + (WIDTH - BAR - image.width()) // 2, (HEIGHT - image.height()) // 2, image)
    painter.end()
    icon = QIcon()
    for mode in (QIcon.Mode.Normal, QIcon.Mode.Selected):
        icon.addPixmap(whole, mode)
    return icon


def _image(pixels: NDArray[np.uint8]) -> QImage:
    pixels = np.ascontiguousarray(pixels)
    height, width = pixels.shape[:2]
    image = QImage(pixels.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
    smooth = Qt.TransformationMode.SmoothTransformation
    return image.scaled(WIDTH - BAR, HEIGHT, Qt.AspectRatioMode.KeepAspectRatio, smooth).copy()

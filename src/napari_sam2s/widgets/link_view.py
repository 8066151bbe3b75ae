"""Uncertain links of a converted data set in the review queue: taking them up, and both objects side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QImage, QMouseEvent, QPixmap
from qtpy.QtWidgets import QGridLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_sam2s.datasets import ReviewList, find_review_list
from napari_sam2s.errors import Sam2sError
from napari_sam2s.masklets import Question

if TYPE_CHECKING:
    from napari_sam2s.widgets.segment_widget import SegmentWidget
    from napari_sam2s.widgets.session import Session

SIDE = 180  # pixels of a picture
AROUND = 1.8  # how much wider than the larger of the two masks they are
LEAST = 24  # pixels of the video that are shown


class ClickedPicture(QLabel):
    """A picture that goes somewhere when it is clicked."""

    def __init__(self) -> None:
        super().__init__()
        self.go: Callable[[], None] = lambda: None
        self.setFixedWidth(SIDE)
        self.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.setCursor(Qt.CursorShape.PointingHandCursor)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Go there."""
        self.go()


class LinkView(QWidget):
    """Offers the links of the video that is open, if it has any, and shows what one asks."""

    taken_up = Signal(int)  # so many links

    def __init__(self, host: SegmentWidget) -> None:
        super().__init__()
        self._host = host
        self._session: Session | None = None
        self._list: ReviewList | None = None
        self.offer = QPushButton()
        self.offer.setToolTip(
            "This video was converted with `napari-sam2s convert`, which left it to you who is who where it was not certain. "
            "Its masks and these questions come into the project; what you answer is written into review.json, too."
        )
        self.offer.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.offer.clicked.connect(self.take_up)
        self.pictures = QWidget()
        self.before, self.new = ClickedPicture(), ClickedPicture()
        self.before_name, self.new_name = QLabel(), QLabel()
        grid = QGridLayout(self.pictures)
        grid.setContentsMargins(0, 0, 0, 0)
        for column, (picture, name) in enumerate(((self.before, self.before_name), (self.new, self.new_name))):
            picture.setToolTip("Click to go there.")
            name.setAlignment(Qt.AlignmentFlag.AlignHCenter)
            grid.addWidget(picture, 0, column, Qt.AlignmentFlag.AlignHCenter)
            grid.addWidget(name, 1, column)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.offer)
        layout.addWidget(self.pictures)
        self.refresh()
        self.show_question(None)

    def refresh(self) -> None:
        """Look whether there is something to offer."""
        session = self._host.session
        if session is not self._session:
            self._session, self._list = session, None
            if session is not None:
                try:
                    self._list = find_review_list(session.video.path)
                except Sam2sError as error:
                    self._host.say(str(error))
        count = 0
        if session is not None and self._list is not None and not self._list.taken_up(session.project):
            try:
                count = self._list.undecided()
            except Sam2sError as error:
                self._host.say(str(error))
        self.offer.setVisible(count > 0)
        self.offer.setText(f"Decide {count} uncertain link{'s' * (count != 1)} of the conversion")

    def take_up(self) -> None:
        """Put the conversion's masks and links into the project."""
        session, found = self._host.session, self._list
        if session is not None and found is not None:
            self.offer.setVisible(False)
            self._host.say(f"reading the masks of {found.video} ...")
            session.edit(lambda project: self.taken_up.emit(found.take_up(project)))

    @property
    def list(self) -> ReviewList | None:
        """The list that the project's answers go to."""
        return self._list

    def show_question(self, question: Question | None) -> None:
        """Show both objects, the one that was there before on the left; nothing without a question."""
        session = self._host.session
        self.pictures.setVisible(question is not None and session is not None)
        if question is None or session is None:
            return
        project = session.project
        places = ((question.candidate, question.seen), (question.object_id, question.frame))
        masks = [project.mask(frame, i) for i, frame in places]
        side = max(_extent(mask) for mask in masks if mask is not None)
        for (i, frame), mask, picture, name in zip(
            places, masks, (self.before, self.new), (self.before_name, self.new_name), strict=True
        ):
            known = project.objects.get(i)
            if mask is not None:
                picture.setPixmap(_outlined(np.asarray(session.video[frame]), mask, known.colour, round(AROUND * side)))
            picture.go = lambda frame=frame: self._host.go_to(frame)  # type: ignore[misc]
            name.setText(f"{known.name}, frame {frame}")


def _extent(mask: NDArray[np.bool_]) -> int:
    """Return the longer side of a mask's bounding box."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(max(np.ptp(rows), np.ptp(columns))) + 1 if len(rows) else 1


def _outlined(picture: NDArray[np.uint8], mask: NDArray[np.bool_], colour: tuple[int, int, int], side: int) -> QPixmap:
    """Return what lies around a mask in a picture ``(Y, X, 3)``, at most ``side`` pixels of it each way, outlined."""
    where = np.argwhere(mask)
    middle = (where.min(axis=0) + where.max(axis=0)) // 2 if len(where) else (0, 0)
    cut = []
    for centre, length in zip(middle, mask.shape, strict=True):
        wide = min(max(side, LEAST), length)
        first = min(max(int(centre) - wide // 2, 0), length - wide)
        cut.append(slice(first, first + wide))
    part, shape = picture[tuple(cut)], mask[tuple(cut)]
    scale = SIDE / max(shape.shape)
    size = max(1, round(shape.shape[1] * scale)), max(1, round(shape.shape[0] * scale))
    # The outline is drawn in pixels of the screen: in those of the video it would vanish.
    small = np.array(Image.fromarray(part).resize(size, Image.Resampling.BILINEAR))
    outline = Image.fromarray(shape).convert("L").resize(size).filter(ImageFilter.MaxFilter(3))
    inside = np.asarray(outline) > 127
    small[inside & ~_shrunk(inside)] = colour
    image = QImage(small.tobytes(), size[0], size[1], 3 * size[0], QImage.Format.Format_RGB888).copy()
    return QPixmap.fromImage(image)


def _shrunk(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return a mask ``(Y, X)`` without its outermost two pixels."""
    return np.asarray(Image.fromarray(mask).convert("L").filter(ImageFilter.MinFilter(5))) > 127

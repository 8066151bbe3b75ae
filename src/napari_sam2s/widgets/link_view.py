"""Uncertain links of a converted data set in the review queue: taking them up, and both objects side by side."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QImage, QMouseEvent, QPixmap
from qtpy.QtWidgets import QGridLayout, QLabel, QWidget

from napari_sam2s.datasets import ReviewList, find_review_list
from napari_sam2s.errors import Sam2sError
from napari_sam2s.masklets import Question
from napari_sam2s.widgets.form_parts import button, stacked
from napari_sam2s.widgets.project_worker import ProjectWorker
from napari_sam2s.widgets.session import Session
from napari_sam2s.wording import counted

SIDE = 180  # pixels of a picture
OFFER_TIP = (
    "`napari-sam2s convert` was not certain about identities in this video. Click to add its masks and questions to the "
    "project. Your answers are written to review.json, too."
)
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

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._worker: ProjectWorker | None = None  # of the video that the list is of
        self.list: ReviewList | None = None  # that the project's answers go to
        self.offer = button("", self.take_up, OFFER_TIP, Qt.FocusPolicy.NoFocus)
        self.pictures = QWidget()
        self.before, self.new = ClickedPicture(), ClickedPicture()
        self.before_name, self.new_name = QLabel(), QLabel()
        grid = QGridLayout(self.pictures)
        grid.setContentsMargins(0, 0, 0, 0)
        for n, (picture, name) in enumerate(((self.before, self.before_name), (self.new, self.new_name))):
            picture.setToolTip("Click to go there.")
            name.setAlignment(Qt.AlignmentFlag.AlignHCenter)
            grid.addWidget(picture, 0, n, Qt.AlignmentFlag.AlignHCenter)
            grid.addWidget(name, 1, n)
        stacked(self.offer, self.pictures, into=self)
        self.refresh()
        self.show_question(None)

    def refresh(self) -> None:
        """Look whether there is something to offer."""
        worker = self._session.worker
        if worker is not self._worker:
            self._worker, self.list = worker, None
            if worker is not None:
                try:
                    self.list = find_review_list(worker.video.path)
                except Sam2sError as error:
                    self._session.tell(str(error))
        count = 0
        if worker is not None and self.list is not None and not self.list.taken_up(worker.project):
            try:
                count = self.list.undecided()
            except Sam2sError as error:
                self._session.tell(str(error))
        self.offer.setVisible(count > 0)
        self.offer.setText(f"Decide {counted(count, 'uncertain link')} of the conversion")

    def take_up(self) -> None:
        """Put the conversion's masks and links into the project."""
        if (found := self.list) is not None:
            self.offer.setVisible(False)
            self._session.tell(f"Reading the masks of {found.video} ...")
            self._session.edit(lambda project: self.taken_up.emit(found.take_up(project)))

    def show_question(self, question: Question | None) -> None:
        """Show both objects, the one that was there before on the left; nothing without a question."""
        worker = self._session.worker
        self.pictures.setVisible(question is not None and worker is not None)
        if question is None or worker is None:
            return
        project = worker.project
        places = ((question.candidate, question.seen), (question.object_id, question.frame))
        masks = [project.mask(frame, i) for i, frame in places]
        side = max(_extent(mask) for mask in masks if mask is not None)
        for (i, frame), mask, picture, name in zip(
            places, masks, (self.before, self.new), (self.before_name, self.new_name), strict=True
        ):
            known = project.objects.get(i)
            if mask is not None:
                picture.setPixmap(_outlined(np.asarray(worker.video[frame]), mask, known.colour, round(AROUND * side)))
            picture.go = lambda frame=frame: self._session.go_to(frame)  # type: ignore[misc]
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

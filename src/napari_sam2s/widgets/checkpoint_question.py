"""What a checkpoint leaves open, asked of the user: its input size, or whether to go on without tensors that do not fit."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QWidget

from napari_sam2s.errors import CheckpointDiffers, InputSizeUnknown
from napari_sam2s.widgets.form_parts import button, side_by_side, stacked, wrapped

SIZES = (1024, 512, 768, 640, 448, 384, 256, 896)
MOST = 5  # names that are shown
ASK_SIZE = (
    "This file does not say its input size. At a wrong size the masks get worse. SAM 2 has 1024; MedSAM2 and SurgSAM-2 have "
    "512. For other files, ask their makers. Your answer is remembered."
)


class CheckpointQuestion(QWidget):
    """A question below the model menu; not there until it is asked."""

    sized = Signal(int)  # the input size, in pixels
    accepted = Signal()  # go on without what does not fit

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.words = wrapped()
        self.sizes = QComboBox()
        self.sizes.addItem("choose ...", 0)
        for side in SIZES:
            self.sizes.addItem(f"{side} x {side}", side)
        self.sizes.setToolTip("The size that the network was trained at.")
        self.size_button = button("Use this size", self._size, "Load the model at this input size, and remember it.")
        self.accept_button = button(
            "Load without them", self._accept, "Load the model all the same, without the tensors that do not fit."
        )
        stacked(self.words, side_by_side(self.sizes, self.size_button, self.accept_button), into=self)
        self.setVisible(False)

    def ask(self, error: Exception) -> None:
        """Ask what an error leaves open."""
        size = isinstance(error, InputSizeUnknown)
        self.sizes.setVisible(size)
        self.size_button.setVisible(size)
        self.accept_button.setVisible(not size)
        self.words.setText(ASK_SIZE if size else _in_words(error))
        self.sizes.setCurrentIndex(0)  # nothing is proposed: a wrong size gives worse masks without a word
        self.setVisible(True)

    def _size(self) -> None:
        if side := self.sizes.currentData():
            self.setVisible(False)
            self.sized.emit(side)

    def _accept(self) -> None:
        self.setVisible(False)
        self.accepted.emit()


def _in_words(error: Exception) -> str:
    if not isinstance(error, CheckpointDiffers):
        return str(error)
    parts = []
    for names, what in ((error.missing, "missing"), (error.shapes, "of another shape"), (error.unknown, "unknown")):
        if names:
            more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
            parts.append(f"{len(names)} {what}: {', '.join(names[:MOST])}{more}.")
    warning = "Without them the network is not the one that was trained. Check many masks before you trust them."
    return " ".join(("This file does not fit its network.", *parts, warning))

"""Track every N-th frame: the number N, read as a sentence."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QValidator
from qtpy.QtWidgets import QSpinBox, QWidget

from napari_sam2s.widgets.preflight import MOST_EVERY, ordinal
from napari_sam2s.widgets.settings import remember, remembered


class StrideSpinBox(QSpinBox):
    """The working rate: "every frame", or "every 5th frame (5/s)" with the frames between filled in. Remembered."""

    chosen = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setRange(1, MOST_EVERY)
        self.setKeyboardTracking(False)
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.setValue(int(remembered("run", "every", 1)))
        self.valueChanged.connect(self._changed)
        self.show_video(None)

    @property
    def every(self) -> int:
        """The N of "every N-th frame"."""
        return self.value() if self.isEnabled() else 1

    def show_video(self, fps: float | None) -> None:
        """Offer rates of a video of so many frames a second; of one that does not know it, every frame is tracked."""
        self.setEnabled(bool(fps))
        self.setToolTip(  # Qt breaks no lines itself
            "Track every N-th frame. The frames between are filled with shapes\nthat follow the motion, and marked as filled. "
            f"This is several times\nfaster, but too coarse for fast motion. The video has {fps:.3g} frames per second."
            if fps
            else "Every frame is tracked, because this image has no frame rate."
        )
        self.lineEdit().setText(self.textFromValue(self.value()))

    def take(self, every: int) -> None:
        """Take a rate that was proposed."""
        self.setValue(every)

    def _changed(self, value: int) -> None:
        remember("run", every=value)
        self.chosen.emit(value)

    # What is written in it

    def textFromValue(self, value: int) -> str:
        """Return the sentence."""
        if not self.isEnabled() or value == 1:
            return "every frame"
        return f"every {ordinal(value)} frame"

    def valueFromText(self, text: str) -> int:
        """Return its number, or what was typed alone."""
        digits = "".join(c if c.isdigit() else " " for c in text).split()
        return int(digits[0]) if digits else 1

    def validate(self, text: str, position: int) -> tuple[QValidator.State, str, int]:
        """Take anything: what has no number means every frame."""
        return QValidator.State.Acceptable, text, position

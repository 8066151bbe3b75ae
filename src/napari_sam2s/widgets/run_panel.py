"""The part of the widget that tracks: direction, range, the button, what it would cost, how far it is."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_sam2s.widgets.stride_spinbox import RateBox


class RunPanel(QWidget):
    """Buttons and bars; it decides nothing."""

    track = Signal()  # or pause
    resume = Signal()
    changed = Signal()  # direction, range or rate
    whole = Signal()  # the range is to be all of the video

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.direction = QComboBox()
        self.direction.addItems(["forward", "backward", "both"])
        self.direction.setToolTip("Where tracking goes from the frame on show; 'both' goes forward, then backward from it.")
        self.direction.currentTextChanged.connect(lambda _: self.changed.emit())
        self.whole_button = button("all frames", self.whole.emit, "Take the whole video again.")
        self.rate = RateBox()
        self.rate.chosen.connect(lambda _: self.changed.emit())
        self.follow = QCheckBox("follow")
        self.follow.setChecked(True)
        self.follow.setToolTip("Show the frames as they are tracked. Moving the slider yourself stops this until the next run.")
        self.track_button = button("Track", self.track.emit, "Follow the objects from this frame on; press again to pause.")
        self.resume_button = button("Go on", self.resume.emit, "Go on with the run that was interrupted, to the same masks.")
        self.resume_button.setVisible(False)
        self.preflight = QLabel()
        self.preflight.setWordWrap(True)
        self.preflight.setToolTip("What Track would cost: frames, objects, time, disk, and memory where the model runs.")
        self.preflight.linkActivated.connect(lambda every: self.rate.take(int(every)))
        self.progress = QProgressBar()
        self.progress.setToolTip("How far the run is.")
        where = QHBoxLayout()
        where.addWidget(QLabel("direction"))
        where.addWidget(self.direction, 1)
        where.addWidget(self.whole_button)
        how = QHBoxLayout()
        how.addWidget(QLabel("track"))
        how.addWidget(self.rate, 1)
        how.addWidget(self.follow)
        buttons = QHBoxLayout()
        buttons.addWidget(self.track_button, 2)
        buttons.addWidget(self.resume_button, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for part in (where, how, buttons):
            layout.addLayout(part)
        for line in (self.preflight, self.progress):
            layout.addWidget(line)
        self.progress.setVisible(False)
        self.show_bounds(0, 1, 1)

    def show_running(self, running: bool, key: str) -> None:
        """Name the button for what it does next."""
        self.track_button.setText(f"{'Pause' if running else 'Track'} ({key})")

    def show_progress(self, done: int, total: int) -> None:
        """Show how far a run is."""
        self.progress.setVisible(True)
        # Qt's bar paints itself at once, and the window with its canvas along with it: 50 ms where OpenGL is drawn in software.
        # Switched on again, it is painted together with whatever else has changed.
        self.progress.setUpdatesEnabled(False)
        self.progress.setMaximum(total)
        self.progress.setValue(done)
        self.progress.setUpdatesEnabled(True)

    def show_bounds(self, first: int, stop: int, frames: int) -> None:
        """Say which frames are between the handles of the timeline."""
        everything = (first, stop) == (0, frames)
        self.whole_button.setText("all frames" if everything else f"{first} to {stop - 1}  ✕")
        self.whole_button.setEnabled(not everything)
        self.whole_button.setToolTip(
            "Tracking may go through the whole video; drag the handles of the timeline to bound it."
            if everything
            else "Tracking stays between the handles of the timeline; press to take the whole video again."
        )


def button(text: str, action: Any, tip: str) -> QPushButton:
    """Return a button with a tooltip, that leaves the keyboard to the canvas."""
    made = QPushButton(text)
    made.setToolTip(tip)
    made.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    made.clicked.connect(lambda: action())
    return made

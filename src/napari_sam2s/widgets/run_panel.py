"""The part of the widget that tracks: direction, range, the button, what it would cost, how far it is."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QProgressBar, QStackedWidget, QWidget

from napari_sam2s.widgets.form_parts import button, menu, side_by_side, stacked, wrapped
from napari_sam2s.widgets.stride_spinbox import StrideSpinBox

PREFLIGHT_LINES = 3
BAR_HEIGHT = 8  # pixels


class RunPanel(QWidget):
    """Buttons and bars; it decides nothing."""

    track = Signal()  # or pause
    resume = Signal()
    changed = Signal()  # direction, range or rate
    whole = Signal()  # the range is to be all of the video

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        tip = "Where tracking goes from the frame on show; 'both' goes forward, then backward from it."
        self.direction = menu(("forward", "backward", "both"), tip)
        self.direction.currentTextChanged.connect(lambda _: self.changed.emit())
        self.whole_button = button(
            "", self.whole.emit, "Tracking stays between the handles of the timeline. Press to take the whole video again."
        )
        self.rate = StrideSpinBox()
        self.rate.chosen.connect(lambda _: self.changed.emit())
        self.follow = QCheckBox("follow")
        self.follow.setChecked(True)
        self.follow.setToolTip("Show the frames as they are tracked. Moving the slider yourself stops this until the next run.")
        self.track_button = button("Track", self.track.emit, "Track the objects from this frame on. Press again to pause.")
        self.resume_button = button(
            "Resume", self.resume.emit, "Resume the interrupted run. The masks are the same as without the interruption."
        )
        self.resume_button.setVisible(False)
        # Its lines and the bar keep their room while they are empty: the buttons stay where they are.
        self.preflight = wrapped(
            tip="What Track would cost: frames, objects, time, disk, and memory where the model runs.\n"
            "Disk is what the project may grow by: room that earlier runs left in it is used first.",
            lines=PREFLIGHT_LINES,
        )
        self.preflight.linkActivated.connect(lambda every: self.rate.take(int(every)))
        self.below = QStackedWidget()  # in its place, pictures of the answers to a click
        self.below.addWidget(self.preflight)
        self.progress = QProgressBar()
        self.progress.setToolTip("How far the run is.")
        self.progress.setTextVisible(False)
        self.progress.setFixedHeight(BAR_HEIGHT)
        policy = self.progress.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self.progress.setSizePolicy(policy)
        stacked(
            side_by_side(self.direction, (self.rate, 1), self.follow),
            side_by_side((self.track_button, 2), (self.whole_button, 1), (self.resume_button, 1)),
            self.progress,
            self.below,
            into=self,
        )
        self.progress.setVisible(False)
        self.show_bounds(0, 1, 1)

    def show_running(self, running: bool, key: str) -> None:
        """Name the button for what it does next; there is nothing to resume while a run is at work."""
        self.resume_button.setVisible(self.resume_button.isVisibleTo(self) and not running)
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
        self.whole_button.setText(f"{first} to {stop - 1}  ✕")
        self.whole_button.setVisible(not everything)

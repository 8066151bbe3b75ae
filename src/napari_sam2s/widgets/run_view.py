"""What the widget shows of tracking: before, meanwhile and after."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer

from napari_sam2s.errors import ProjectError
from napari_sam2s.tracking.propagation_plan import Segment
from napari_sam2s.widgets.notifications import RunNotices
from napari_sam2s.widgets.preflight import (
    MASK_BYTES,
    TELLING_MASKS,
    Preflight,
    duration,
    full_rate,
    keep_rate,
    measured_rate,
    setup_of,
)
from napari_sam2s.widgets.timeline import lanes_of

if TYPE_CHECKING:
    from napari_sam2s.widgets.segment_widget import SegmentWidget
    from napari_sam2s.widgets.session import Session

REDRAW_SECONDS = 1.0  # between two drawings of the timeline while tracking
FOLLOW_SECONDS = 0.25  # between two jumps of the view to the frame that is tracked
PREFLIGHT_MS = 150  # after the last change that it depends on
RATE_FRAMES = 10  # of a run from which its speed counts


class RunView(QObject):
    """Keeps table, timeline, bars and the preflight line of a widget up to date."""

    def __init__(self, widget: SegmentWidget) -> None:
        super().__init__(widget)
        self._widget = widget
        self._panel = widget.run_panel
        self._notices = RunNotices(widget)
        self._drawn = self._followed = 0.0
        self._jumping = self._follow = False
        self._rate = 0.0  # of this run, frames a second
        self._full_rate = 0.0  # of the latest run, had it tracked every frame
        self._every = 1
        self._objects = 1
        self._done = 0  # of this run so far, in all its legs
        self._before = 0  # of legs that are over
        self._total: int | None = None
        self._lasts = 0.0  # seconds that a redraw of the lanes takes
        self._mask_bytes = float(MASK_BYTES)
        self.facts: dict[str, Any] = {}
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(PREFLIGHT_MS)
        self._timer.timeout.connect(self.show_preflight)
        self._panel.changed.connect(self._timer.start)
        widget.timeline.bounds_changed.connect(self._bounded)

    def watch(self, session: Session) -> None:
        """Listen to a session."""
        session.started.connect(self._started)
        session.progressed.connect(self._progressed)
        session.stopped.connect(self._stopped)
        self._rate = self._full_rate = 0.0
        self._panel.rate.show_video(session.video.fps)

    def forget(self, session: Session) -> None:
        """Stop listening."""
        session.started.disconnect(self._started)
        session.progressed.disconnect(self._progressed)
        session.stopped.disconnect(self._stopped)
        self._notices.close()
        self._timer.stop()
        self._panel.progress.setVisible(False)
        self._panel.show_running(False, self._widget.keys.key("track"))  # a run that went on was paused

    def start(self, every: int = 1, objects: int = 1) -> None:
        """Show that a run is to begin, of which every ``every``-th frame is tracked if that is known."""
        self._expect(None, every, objects)
        self._follow = self._panel.follow.isChecked()
        self._panel.show_running(True, self._widget.keys.key("track"))
        self._widget.status.setText("tracking")
        self._notices.start()

    def _expect(self, total: int | None, every: int, objects: int) -> None:
        self._every, self._objects = every, objects
        self._total, self._done, self._before = total, 0, 0

    def _started(self, legs: Sequence[Segment]) -> None:
        self._expect(sum(leg.frames for leg in legs), legs[0].stride, len({i for leg in legs for i in leg.objects}))

    def moved(self) -> None:
        """Another frame is on show: if not by us, the user wants to look elsewhere."""
        session = self._widget.session
        if session is not None and session.tracking and not self._jumping:
            self._follow = False
        self._timer.start()

    def _bounded(self, first: int, stop: int) -> None:
        self._panel.show_bounds(first, stop, self._widget.timeline.frames)
        self._timer.start()

    def _progressed(self, done: int, total: int, frame: int, rate: float) -> None:
        widget = self._widget
        if widget.session is None:
            return
        if self._before + done < self._done:  # another leg
            self._before = self._done
        self._done, self._rate = self._before + done, rate
        whole = max(self._total or total, self._done)
        left = duration((whole - self._done) / rate) if rate else "?"
        self._panel.show_progress(self._done, whole)
        text = f"{rate:.1f} frames/s, {left} left"
        widget.status.setText(f"frame {frame}: {self._done} of {whole}, {text}")
        now = time.monotonic()
        if now - self._drawn > max(REDRAW_SECONDS, 20 * self._lasts):
            self.draw_lanes()
            self._drawn = time.monotonic()
            self._lasts = self._drawn - now
        if frame == widget.frame and widget.layers is not None:
            widget.layers.redraw_masks()
        elif self._follow and now - self._followed > FOLLOW_SECONDS:
            self._followed = now
            self._jump(frame)
        self._notices.show(self._done, whole, text)

    def _jump(self, frame: int) -> None:
        self._jumping = True
        try:
            self._widget.go_to(frame)
        finally:
            self._jumping = False

    def _stopped(self, how: str) -> None:
        widget = self._widget
        if widget.session is not None and widget.session.tracking:  # the next run waits already
            widget.refresh()
            return
        self._panel.show_running(False, widget.keys.key("track"))
        text = f"{self._done} frame{'s' * (self._done != 1)}, {self._rate:.1f} frames/s"
        if how in ("finished", "paused"):
            widget.status.setText(f"{how}: {text}")
        self._notices.end(how, text)
        if self._done >= RATE_FRAMES * self._every and self._rate and self.facts:
            self._full_rate = full_rate(self._rate, self._every, self._objects)
            keep_rate(setup_of(self.facts), self._objects, self._full_rate)
        widget.refresh()

    # Before a run

    def refresh(self) -> None:
        """Show table, timeline and what a run would cost, as the project is now."""
        session = self._widget.session
        if session is None:
            self._widget.table.show_project(None, None)
            self._widget.timeline.show_lanes(1, [])
            self._panel.preflight.setText("")
            self._panel.resume_button.setVisible(False)
            return
        self.draw_lanes()
        self._panel.resume_button.setVisible(session.interrupted)
        self._timer.start()

    def draw_lanes(self) -> None:
        """Draw the table and the timeline."""
        widget = self._widget
        assert widget.session is not None
        project = widget.session.project
        if widget.table.state() != widget.table.State.EditingState:  # or a name is lost while it is typed
            widget.table.show_project(project, widget.current_object)
        lanes = lanes_of(project)
        known = sum(s.stop - s.start for lane in lanes for s in lane.spans if s.state != "unseen")
        if known > TELLING_MASKS:
            self._mask_bytes = project.path.stat().st_size / known
        frames = project.shape[0]
        if frames != widget.timeline.frames:
            widget.timeline.show_lanes(frames, lanes, project.fps)
            self._panel.show_bounds(*widget.timeline.bounds, frames)
        else:
            widget.timeline.show_lanes(frames, lanes, project.fps)

    def show_preflight(self) -> None:
        """Say what a run from here would cost."""
        session = self._widget.session
        if session is None or session.tracking:
            return
        try:
            self._panel.preflight.setText(self.preflight().html)
        except (ProjectError, OSError) as error:
            self._panel.preflight.setText(str(error))

    def preflight(self) -> Preflight:
        """Return what a run from the frame on show would cost."""
        session = self._widget.session
        assert session is not None
        legs = self._widget.legs()
        objects = len({i for leg in legs for i in leg.objects})
        return Preflight(
            legs,
            self._full_rate or measured_rate(setup_of(self.facts), objects),
            self._mask_bytes,
            shutil.disk_usage(session.project.path.parent).free,
            self.facts.get("device", ""),
            self.facts.get("memory_bytes"),
            session.video.fps,
        )

"""Runs as the user begins and sees them: what one would cost, how far it is, and when it is over."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal

from napari_sam2s.errors import ProjectError
from napari_sam2s.tracking.propagation_plan import Segment, correction, left_out, plan
from napari_sam2s.widgets.form_parts import quiet_timer
from napari_sam2s.widgets.keys import Keys
from napari_sam2s.widgets.lessons import learned
from napari_sam2s.widgets.notifications import RunNotifications
from napari_sam2s.widgets.preflight import (
    Preflight,
    duration,
    free_bytes,
    full_rate,
    keep_rate,
    mask_bytes,
    measured_rate,
    setup_of,
    speed,
)
from napari_sam2s.widgets.project_worker import NOTHING_TO_TRACK, ProjectWorker
from napari_sam2s.widgets.run_panel import RunPanel
from napari_sam2s.widgets.session import Session
from napari_sam2s.widgets.timeline import Timeline
from napari_sam2s.widgets.timeline_model import timeline_rows
from napari_sam2s.wording import counted, frames_in_words

REDRAW_SECONDS = 1.0  # between two drawings of the timeline while tracking
SHOW_SECONDS = 0.3  # between two changes of text, bar and view while tracking: for each, Qt draws the whole window
KEEP_MS = 300  # from the last move of a handle until its place is kept
PREFLIGHT_MS = 150  # after the last change that it depends on
PAUSING = "Pausing after this frame ..."
RATE_FRAMES = 10  # of a run from which its speed counts


class RunView(QObject):
    """Begins, pauses and resumes runs, and keeps timeline, bars and the preflight line up to date."""

    redrawn = Signal()  # the timeline, in the midst of a run

    def __init__(self, session: Session, panel: RunPanel, timeline: Timeline, keys: Keys) -> None:
        super().__init__(panel)
        self._session, self._panel, self._timeline, self._keys = session, panel, timeline, keys
        self._notifications = RunNotifications(panel)
        self._drawn = self._shown = 0.0
        self._jumping = self._turning = False  # it is not the user who moves the slider
        self._rate = 0.0  # of this run, frames a second
        self._full_rate = 0.0  # of the latest run, had it tracked every frame
        self._every = 1
        self._objects = 1
        self._done = 0  # of this run so far, in all its segments
        self._before = 0  # of segments that are over
        self._total: int | None = None
        self._left_out = ""  # what to say of frames that this run leaves out
        self._lasts = 0.0  # seconds that a redraw of the timeline takes
        self.facts: dict[str, Any] = {}
        self._timer = quiet_timer(self, PREFLIGHT_MS, self.show_preflight)
        self._bounds_timer = quiet_timer(self, KEEP_MS, self._keep_bounds)
        panel.changed.connect(self._timer.start)
        panel.track.connect(self.track)
        panel.resume.connect(self.resume)
        panel.whole.connect(lambda: timeline.set_bounds(0, timeline.frames))
        timeline.bounds_changed.connect(self._bounded)
        session.opened.connect(self._watch)
        session.closing.connect(self._forget)
        session.moved.connect(self._moved)

    # What the user does

    def segments(self) -> list[Segment]:
        """Return what :meth:`track` would propagate now."""
        worker = self._session.worker
        return [] if worker is None else self._planned(worker)()

    def _planned(self, worker: ProjectWorker) -> Callable[[], list[Segment]]:
        """Return what plans a run from the frame on show, later on: by then, clicks may be answered that are not yet."""
        direction: Any = self._panel.direction.currentText()
        frame, bounds, every = self._session.frame, self._session.bounds, self._panel.rate.every
        span = self._session.correction

        def planned() -> list[Segment]:
            corrected = worker.corrected
            if span is not None and corrected and span[0] <= frame < span[1]:
                return correction(worker.project, frame, span, corrected, every)
            return plan(worker.project, frame, direction, bounds, corrected, every)

        return planned

    def track(self) -> None:
        """Track objects from the frame on show, each to its next confirmed frame; or pause.

        Whoever has clicked during a run has paused it thereby, and wants to track from the click.
        """
        worker = self._session.worker
        if not self._session.need_video() or worker is None:
            return
        if worker.tracking and not (worker.pausing and worker.answering):
            worker.pause()
            self._session.tell(PAUSING)
        elif worker.answering or self.segments():
            self._start()
            worker.track(self._planned(worker))
        else:
            self._session.tell(NOTHING_TO_TRACK)

    def resume(self) -> None:
        """Resume the run that was interrupted, or that a click is pausing now."""
        worker = self._session.worker
        if not self._session.need_video() or worker is None or (worker.tracking and not (worker.pausing and worker.answering)):
            return
        if worker.interrupted or (worker.tracking and worker.project.runs):
            self._start(*worker.interrupted_as)
            worker.resume()
        else:
            self._session.tell("No run was interrupted. Press the key to track.")

    # While a run is at work

    def _watch(self, worker: ProjectWorker) -> None:
        worker.started.connect(self._started)
        worker.progressed.connect(self._progressed)
        worker.stopped.connect(self._stopped)
        self._session.viewer.dims.events.ndisplay.connect(self._turn)
        self._rate = self._full_rate = 0.0
        self._panel.rate.show_video(worker.video.fps)
        frames = worker.project.shape[0]
        self._timeline.show_rows(frames, [], worker.project.fps)
        self._timeline.set_bounds(*(worker.project.runs.bounds or (0, frames)))

    def _forget(self, worker: ProjectWorker) -> None:
        worker.started.disconnect(self._started)
        worker.progressed.disconnect(self._progressed)
        worker.stopped.disconnect(self._stopped)
        self._session.viewer.dims.events.ndisplay.disconnect(self._turn)
        self._notifications.close()
        self._timer.stop()
        if self._bounds_timer.isActive():
            self._bounds_timer.stop()
            self._keep_bounds(worker)
        self._panel.progress.setVisible(False)
        self._panel.show_running(False, self._keys.key("track"))  # a run at work was paused

    def _start(self, every: int = 1, objects: int = 1) -> None:
        """Show that a run is to begin, with the stride ``every`` if that is known."""
        self._expect(None, every, objects)
        self._session.following = self._panel.follow.isChecked()
        self._panel.show_running(True, self._keys.key("track"))
        self._panel.preflight.setText("")  # of the frame on show, and by what was known of the speed: both are told below
        self._session.tell("Tracking ...")
        self._notifications.start()

    def _expect(self, total: int | None, every: int, objects: int) -> None:
        self._every, self._objects = every, objects
        self._total, self._done, self._before = total, 0, 0
        self._left_out = ""

    def _started(self, segments: Sequence[Segment]) -> None:
        if not self._session.hears(self):
            return
        self._expect(sum(s.frames for s in segments), segments[0].stride, len({i for s in segments for i in s.objects}))
        project = self._session.project
        if project is not None and (gap := left_out(project, segments, self._session.bounds)):
            stay = f"Frame {gap[0]} stays" if len(gap) == 1 else f"Frames {frames_in_words(gap, 1)} stay"
            begin = f"go to frame {gap[-1] + gap.step} and press {self._keys.key('track')} there"
            self._left_out = f"{stay} without masks: {begin}. "
            self._session.notify(self._left_out.rstrip())

    def _moved(self) -> None:
        """Show that another frame is on show; if the user moved there, following ends."""
        self._timeline.set_current(self._session.frame)
        if self._session.tracking and not self._jumping and not self._turning:
            self._session.following = False
        self._timer.start()

    def _turn(self, event: Any = None) -> None:
        """Hear that napari goes to 3-D or back, and then to the frame that its camera looks at."""
        self._turning = True
        QTimer.singleShot(0, self._turned)

    def _turned(self) -> None:
        self._turning = False

    def _bounded(self, first: int, stop: int) -> None:
        self._session.bounds = (first, stop)
        self._panel.show_bounds(first, stop, self._timeline.frames)
        self._timer.start()
        self._bounds_timer.start()

    def _keep_bounds(self, worker: ProjectWorker | None = None) -> None:
        """Keep the range with the project: whoever opens it again tracks the same frames."""
        if (worker := worker or self._session.worker) is not None:
            bounds = self._session.bounds
            worker.project.runs.keep_bounds(None if bounds == (0, worker.project.shape[0]) else bounds)

    def _progressed(self, done: int, total: int, frame: int, rate: float) -> None:
        session = self._session
        if not session.hears(self):
            return
        if self._before + done < self._done:  # another segment
            self._before = self._done
        self._done, self._rate = self._before + done, rate
        if frame == session.frame and session.layers is not None:
            session.layers.redraw_masks()
        now = time.monotonic()
        if now - self._shown > SHOW_SECONDS or self._done <= 1:
            self._shown = now
            self._show_progress(frame, max(self._total or total, self._done))

    def _show_progress(self, frame: int, whole: int) -> None:
        """Show how far a run is, and the frame it has come to."""
        rate, now = self._rate, time.monotonic()
        left = duration((whole - self._done) / rate) if rate else "?"
        text = f"{speed(rate)}, {left} left" if rate and self._done > 1 else "starting"  # the first frame's masks are known
        self._panel.show_progress(self._done, whole)
        self._session.tell(f"Frame {frame}: {self._done} of {whole}, {text}")
        if now - self._drawn > max(REDRAW_SECONDS, 20 * self._lasts):
            self.draw_timeline()
            self.redrawn.emit()
            self._drawn = time.monotonic()
            self._lasts = self._drawn - now
        if self._session.following and frame != self._session.frame:
            self._jump(frame)
        self._notifications.show(self._done, whole, text)

    def _jump(self, frame: int) -> None:
        self._jumping = True
        try:
            self._session.go_to(frame)
        finally:
            self._jumping = False

    def _stopped(self, how: str) -> None:
        if not self._session.hears(self):
            return
        session = self._session
        if session.tracking:  # the next run waits already
            session.changed.emit()
            return
        session.following = False
        self._panel.show_running(False, self._keys.key("track"))
        text = counted(self._done, "frame") + (f", {speed(self._rate)}" if self._rate else "")
        if how in ("finished", "paused"):
            key = self._keys.key
            doubts = f"{key('review_next')} shows what is in doubt, if anything."
            then = (
                doubts
                if how == "finished"
                else f"{self._still_old()}{key('resume')} resumes the run, {key('track')} tracks from the frame on show."
            )
            session.tell(f"Tracking {how}: {text}. {self._left_out}{then}")
        if how == "finished":
            session.correction = None
            learned()
        self._notifications.end(how, text)
        if self._done >= RATE_FRAMES * self._every and self._rate and self.facts:
            self._full_rate = full_rate(self._rate, self._every, self._objects)
            keep_rate(setup_of(self.facts), self._objects, self._full_rate)
        session.changed.emit()

    def _still_old(self) -> str:
        """Say where a run that was paused leaves masks of before: they look like the new ones."""
        project = self._session.project
        run = project.runs[-1] if project is not None and project.runs else None
        if project is None or run is None or run.next_frame is None:
            return ""
        known = project.masks.origins(run.next_frame)
        if not any(i in known for i in run.provenance.get("objects") or ()):
            return ""
        where = f"From frame {run.next_frame} on" if run.direction == "forward" else f"Up to frame {run.next_frame}"
        return f"{where} the masks are still the earlier ones. "

    # Before a run

    def refresh(self) -> None:
        """Show the timeline and what a run would cost, as the project is now."""
        worker = self._session.worker
        self._panel.resume_button.setVisible(worker is not None and worker.interrupted and not worker.tracking)
        if worker is not None and worker.project.runs and worker.project.runs[-1].status == "undone":
            self._panel.progress.setVisible(False)
        if worker is None:
            self._timeline.show_rows(1, [])
            self._panel.preflight.setText("")
            return
        self.draw_timeline()
        self._timer.start()

    def draw_timeline(self) -> None:
        """Draw the timeline."""
        project = self._session.project
        assert project is not None
        rows = timeline_rows(project)
        self._timeline.show_rows(project.shape[0], rows, project.fps)
        self._timeline.set_current(self._session.frame)

    def show_preflight(self) -> None:
        """Show what a run from here would cost."""
        if self._session.worker is None or self._session.tracking:
            return
        try:
            self._panel.preflight.setText(self.preflight(self._session.worker).html)
        except (ProjectError, OSError) as error:
            self._panel.preflight.setText(str(error))

    def preflight(self, worker: ProjectWorker) -> Preflight:
        """Return what a run from the frame on show would cost."""
        segments = self._planned(worker)()
        objects = len({i for segment in segments for i in segment.objects})
        return Preflight(
            segments,
            self._full_rate if objects == self._objects and self._full_rate else measured_rate(setup_of(self.facts), objects),
            mask_bytes(worker.project),
            shutil.disk_usage(worker.project.path.parent).free,
            self.facts.get("device", ""),
            self.facts.get("memory_bytes"),
            worker.video.fps,
            int(self.facts.get("object_bytes", 0)),
            free_bytes(worker.project),
        )

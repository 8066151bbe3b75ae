"""One video at work: its project, its engine, and the thread in which both are talked to.

Everything here is the public API put in order; nothing touches napari, and torch is imported in the thread only, so that
the widget is there at once. Jobs run one after the other in one thread, and what happens is told through Qt signals, which
arrive in the main thread.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from qtpy.QtCore import QObject, Signal

from napari_sam2s.errors import ProjectError, Sam2sError, is_out_of_memory
from napari_sam2s.masklets import Project, Prompt
from napari_sam2s.tracking.engine import Engine, EngineLost
from napari_sam2s.video import Video
from napari_sam2s.widgets.plan import Leg
from napari_sam2s.widgets.tracker_source import OUT_OF_MEMORY, Choice, TrackerSource

if TYPE_CHECKING:
    from napari_sam2s.tracking import ProjectRun, RemoteTracker

PROGRESS_SECONDS = 0.25  # each word of it costs the viewer a painting of its window
_log = logging.getLogger(__name__)


class Session(QObject):
    """A video, its project and its tracker."""

    ready = Signal(object)  # the engine's facts: model, device, threads, and memory_bytes (taken, in all)
    failed = Signal(str)
    lost = Signal(str)  # the engine died, or its device is full: going on is possible
    prompted = Signal(int, int)  # frame, object
    progressed = Signal(int, int, int, float)  # done, of, frame, frames a second
    stopped = Signal(str)  # a run is over: finished, paused or failed
    changed = Signal()  # objects, prompts or history

    def __init__(self, video: Video, path: Path, choice: Choice) -> None:
        super().__init__()
        self.video = video
        self.project = Project.open(path) if path.exists() else Project.create(path, video)
        try:
            self.project.check_video(video)
        except ProjectError:
            self.project.close()
            raise
        self.source = TrackerSource(video, self.project, choice, self.ready.emit)
        self.tracking = False
        self.corrected: set[int] = set()  # objects that got a prompt since they were last tracked
        self._pause = threading.Event()
        self._jobs = ThreadPoolExecutor(1, thread_name_prefix="sam2s")
        self._closed = False

    def start(self) -> Future[Any]:
        """Warm up in the background: start the engine, load the model, and tell it the prompts that are known."""

        def warm() -> None:
            self.source.fresh()

        return self._do(warm)

    def change(self, choice: Choice) -> Future[Any]:
        """Go on with another model, device or memory policy; what was found stays."""
        self.pause()

        def change() -> None:
            self.source.change(choice)
            self.source.get()

        return self._do(change)

    def prompt(self, prompt: Prompt) -> Future[Any]:
        """Prompt an object; pauses tracking first."""
        self.pause()

        def ask() -> None:
            tracker = self.source.fresh()
            points, labels = (prompt.points, prompt.labels) if prompt.points else (None, None)
            tracker.prompt(prompt.object_id, prompt.frame, points=points, labels=labels, box=prompt.box, mask=prompt.mask)
            self.corrected.add(prompt.object_id)
            self.prompted.emit(prompt.frame, prompt.object_id)

        return self._do(ask)

    def replace_prompts(self, object_id: int, frame: int, prompts: Sequence[Prompt]) -> Future[Any]:
        """Take back what was said of an object on a frame, and say this instead."""
        self.pause()

        def ask() -> None:
            with self.project.step("change prompts"):
                self.project.remove_prompts(object_id, frame)
                self.project.delete(object_id, frame, frame + 1)
            self.source.stale.add(object_id)
            self.corrected.add(object_id)
            for prompt in prompts:
                self.prompt(prompt)
            self.prompted.emit(frame, object_id)

        return self._do(ask)

    def painted(self, frame: int, objects: Sequence[int]) -> Future[Any]:
        """Let the tracker know masks that were painted, as mask prompts that the project holds already."""

        def tell() -> None:
            tracker = self.source.fresh()
            for i in objects:
                mask = self.project.mask(frame, i)
                if mask is not None and mask.any():
                    tracker.replay(Prompt(i, frame, mask=mask))
                    self.corrected.add(i)
            self.prompted.emit(frame, objects[0])

        return self._do(tell)

    def track(self, legs: Sequence[Leg]) -> Future[Any]:
        """Propagate one leg after the other, until paused."""
        return self._run(lambda tracker: self._follow_all(tracker, legs))

    def resume(self) -> Future[Any]:
        """Go on with the run that was interrupted, and with the legs that were to come after it."""

        def go_on(tracker: RemoteTracker) -> None:
            from napari_sam2s.tracking import continue_run

            run = continue_run(tracker)
            then = next(r for r in self.project.runs if r.id == run.id).provenance.get("then", [])
            if self._follow(run):
                self._follow_all(tracker, [Leg(**{**leg, "objects": tuple(leg["objects"])}) for leg in then])

        return self._run(go_on)

    def _run(self, work: Callable[[RemoteTracker], None]) -> Future[Any]:
        self._pause.clear()
        self.tracking = True

        return self._do(lambda: work(self.source.fresh()), running=True)

    def _follow_all(self, tracker: RemoteTracker, legs: Sequence[Leg]) -> None:
        from napari_sam2s.tracking import ProjectRun

        for n, leg in enumerate(legs):
            then = [asdict(later) for later in legs[n + 1 :]]
            objects = [i for i in leg.objects if i in tracker.object_ids]
            rate = None if leg.every == 1 or not self.video.fps else self.video.fps / leg.every
            more: dict[str, Any] = {"objects": objects, "rate": rate, "provenance": {"then": then}}
            if objects and not self._follow(ProjectRun(tracker, leg.start, leg.stop, leg.way, **more), last=not then):
                return

    def _follow(self, run: ProjectRun, *, last: bool = True) -> bool:
        """Do a run; return whether it came to its end."""
        started = told = time.monotonic()
        frames = iter(run)
        for frame, _ in frames:
            now = time.monotonic()
            if now - told > PROGRESS_SECONDS or run.done == 1:
                told = now
                self.progressed.emit(run.done, len(run), frame, run.done / max(now - started, 1e-9))
            if self._pause.is_set() and run.done < len(run):
                frames.close()  # type: ignore[attr-defined]
                run.pause()
                self._end("paused")
                return False
        if len(run):
            self.progressed.emit(run.done, len(run), run.frames[-1], run.done / max(time.monotonic() - started, 1e-9))
        self.corrected -= set(run.objects)
        if last:
            self._end("finished")
        return True

    def _end(self, how: str) -> None:
        self.tracking = False  # before the signal arrives: whoever hears it may ask
        self.stopped.emit(how)

    @property
    def choice(self) -> Choice:
        """Which model runs, and where."""
        return self.source.choice

    @property
    def engine(self) -> Engine | None:
        """The process or cluster that the model runs in."""
        return self.source.engine

    @property
    def tracker(self) -> RemoteTracker | None:
        """The tracker, once it is there."""
        return self.source.tracker

    def pause(self) -> None:
        """Stop tracking after the current frame."""
        self._pause.set()

    @property
    def interrupted(self) -> bool:
        """Whether there is a run to go on with."""
        if self.tracking:
            return False
        runs = self.project.runs
        return bool(runs) and runs[-1].unfinished

    @property
    def interrupted_as(self) -> tuple[int, int]:
        """Every which frame the run to go on with tracks, and how many objects."""
        facts = self.project.runs[-1].provenance
        rate = facts.get("rate")
        return (max(round(self.video.fps / rate), 1) if rate and self.video.fps else 1, len(facts.get("objects") or (0,)))

    def edit(self, change: Callable[[Project], Any]) -> Future[Any]:
        """Change the project otherwise, as by surgery; pauses tracking first."""
        self.pause()

        def apply() -> None:
            try:
                change(self.project)
            finally:
                self.source.all_stale()
                self.changed.emit()

        return self._do(apply)

    def undo(self) -> Future[Any]:
        """Undo the last step."""
        return self._history("undo")

    def redo(self) -> Future[Any]:
        """Redo what was undone."""
        return self._history("redo")

    def _history(self, what: Literal["undo", "redo"]) -> Future[Any]:
        self.pause()

        def toggle() -> None:
            getattr(self.project, what)()
            self.source.all_stale()
            self.changed.emit()

        return self._do(toggle)

    def settle(self, timeout: float = 60.0) -> None:
        """Wait until all jobs given so far are done; for scripts and tests."""
        self._jobs.submit(lambda: None).result(timeout=timeout)

    def _do(self, job: Callable[[], None], *, running: bool = False) -> Future[Any]:
        def guarded() -> None:
            try:
                job()
            except EngineLost as error:
                self.source.drop_tracker()
                self._tell(self.lost, str(error), running)
            except Sam2sError as error:
                self._tell(self.failed, str(error), running)
            except Exception as error:  # noqa: BLE001  the edge of the thread: what is not told here is told nowhere
                if is_out_of_memory(error):
                    self.source.close()
                    self._tell(self.lost, OUT_OF_MEMORY, running)
                else:
                    _log.exception("a job of the session failed")
                    self._tell(self.failed, f"That went wrong ({type(error).__name__}: {error}); the log has more.", running)
            finally:
                if running:
                    self.tracking = False

        return self._jobs.submit(guarded)

    def _tell(self, signal: Any, message: str, running: bool) -> None:
        self.tracking = False
        if self._closed:
            return
        if running:
            self.stopped.emit("failed")
        signal.emit(message)

    def close(self) -> None:
        """Stop, and let go of the engine and the file. What was found stays in the project."""
        if self._closed:
            return
        self._closed = True
        self.pause()
        self._jobs.shutdown(wait=True, cancel_futures=True)
        self.source.close()
        self.project.close()

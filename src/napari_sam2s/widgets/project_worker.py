"""The work on one open video: its project, its engine, and the thread in which both are used.

Everything here is the public API put in order; nothing touches napari, and torch is imported in the thread only, so that
the widget is there at once. Jobs run one after the other in one thread, and Qt signals carry what happens to the
main thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, Signal

from napari_sam2s.errors import CheckpointDiffers, InputSizeUnknown, ProjectError, Sam2sError, TrackingError, is_out_of_memory
from napari_sam2s.masklets import Project, Prompt
from napari_sam2s.tracking.engine import EngineLost
from napari_sam2s.tracking.prompt_replacement import replace_prompts
from napari_sam2s.tracking.propagation_plan import Segment
from napari_sam2s.tracking.run_controller import RunController
from napari_sam2s.video import Video
from napari_sam2s.widgets.background_job import unexpected
from napari_sam2s.widgets.clear_colours import recolour
from napari_sam2s.widgets.tracker_source import OUT_OF_MEMORY, Choice, TrackerSource

QUESTIONS = (InputSizeUnknown, CheckpointDiffers)  # errors that the user can answer
NOTHING_TO_TRACK = "Click an object first, then track it."


class ProjectWorker(QObject):
    """A video, its project and its tracker."""

    ready = Signal(object)  # the engine's facts: model, device, threads, and memory_bytes (taken, in all)
    failed = Signal(str)
    refused = Signal(object, object)  # a choice, and the one that is used again
    asked = Signal(object)  # the error of a checkpoint that can be used once the user has answered
    lost = Signal(str)  # the engine died, or its device is full: the run can be resumed
    prompted = Signal(int, int)  # frame, object
    offered = Signal(int, int, object)  # object, frame, the candidates that answer its clicks there
    started = Signal(object)  # a run begins: its segments
    progressed = Signal(int, int, int, float)  # done, of, frame, frames a second
    stopped = Signal(str)  # a run is over: finished, paused, failed, or idle if there was nothing to track
    changed = Signal()  # objects, prompts or history

    def __init__(self, video: Video, path: Path, choice: Choice) -> None:
        super().__init__()
        self.video = video
        self.project = Project.open(path) if path.exists() else Project.create(path, video)
        try:
            self.project.video.check(video)
        except ProjectError:
            self.project.close()
            raise
        self.source = TrackerSource(video, self.project, choice, self.ready.emit)
        self._runs = RunController(self.project, self.source.fresh, self.progressed.emit, self.source.all_stale)
        self._pauses: list[threading.Event] = []  # of the run at work, and of those that wait for it
        self._change: Future[Any] | None = None  # the latest job that changes prompts or masks
        self._jobs = ThreadPoolExecutor(1, thread_name_prefix="sam2s")
        self._closed = False

    def start(self) -> Future[Any]:
        """Warm up in the background: start the engine, load the model, and tell it the prompts that are known."""

        def warm() -> None:
            self.source.fresh()

        return self._do(warm)

    def change(self, choice: Choice) -> Future[Any]:
        """Take another model, device or memory policy; the masks stay. If it is refused, what worked before is taken again."""
        self.pause()

        def change() -> None:
            before = self.source.worked
            self.source.change(choice)
            try:
                self.source.get()
            except EngineLost:
                raise
            except Sam2sError as error:
                if before is None or isinstance(error, QUESTIONS):
                    raise
                self.source.change(replace(before, memory=choice.memory))  # which nothing refuses
                self.source.get()
                self.refused.emit(choice, before)
                raise TrackingError(f"{error} What worked before is used again.") from error

        return self._do(change)

    def prompt(self, prompt: Prompt, *, reset: bool = False) -> Future[Any]:
        """Prompt an object, with ``reset`` in place of what was said of it on that frame; pauses tracking first."""
        self.pause()

        def ask() -> None:
            since = self.project.history.last
            self._ask(prompt, reset=reset)
            recolour(self.project, prompt.object_id, prompt.frame, self.video[prompt.frame])
            self.project.history.merge(since, "choose answer" if reset else "prompt", "prompt", "set colour")
            self.prompted.emit(prompt.frame, prompt.object_id)

        return self._do_change(ask)

    def prompt_all(self, prompts: Sequence[Prompt], since: int, label: str) -> Future[Any]:
        """Give several prompts as one step of undo, with the steps after number ``since`` of the same label; pauses first."""
        self.pause()

        def ask() -> None:
            try:
                for prompt in prompts:
                    self._ask(prompt)
            finally:
                self.project.history.merge(since, label, "prompt")
                self.prompted.emit(prompts[-1].frame, prompts[-1].object_id)

        return self._do_change(ask)

    def candidates(self, object_id: int, frame: int) -> Future[Any]:
        """Ask what the clicks and the box of an object on a frame may mean; ``offered`` has the answer. Nothing changes."""

        def ask() -> None:
            said = [p for p in self.project.prompts(object_id, frame) if p.mask is None]
            points = [point for p in said for point in p.points]
            labels = [label for p in said for label in p.labels]
            box = next((p.box for p in reversed(said) if p.box is not None), None)
            found = self.source.fresh().candidates(frame, points=points or None, labels=labels or None, box=box)
            self.offered.emit(object_id, frame, found)

        return self._do(ask)

    def _ask(self, prompt: Prompt, *, reset: bool = False) -> None:
        self.source.fresh().give(prompt, reset=reset)
        self._runs.note_prompt(prompt.object_id)

    def replace_prompts(self, object_id: int, frame: int, prompts: Sequence[Prompt], *label: str) -> Future[Any]:
        """Put these prompts in the place of an object's on a frame, as one step of undo of that label."""
        self.pause()

        def ask() -> None:
            self.source.stale.add(object_id)
            self._runs.note_prompt(object_id)
            try:
                replace_prompts(self.project, object_id, frame, prompts, self._ask, *label)
            finally:
                self.prompted.emit(frame, object_id)

        return self._do_change(ask)

    def painted(self, frame: int, objects: Sequence[int]) -> Future[Any]:
        """Pass masks that were painted on to the tracker, as mask prompts that the project holds already."""

        def pass_on() -> None:
            tracker = self.source.fresh()
            for i in objects:
                mask = self.project.mask(frame, i)
                if mask is not None and mask.any():
                    tracker.replay(Prompt(i, frame, mask=mask))
                    self._runs.note_prompt(i)
                elif frame in tracker.conditioning.get(i, ()):  # all of it was erased, and its prompts along with it
                    tracker.forget(i, frame)
                    self._runs.note_prompt(i)
            self.prompted.emit(frame, objects[0])

        return self._do_change(pass_on)

    def track(self, segments: Callable[[], Sequence[Segment]]) -> Future[Any]:
        """Propagate one segment after the other, until paused.

        ``segments`` is called in the worker's thread, once all earlier prompts are answered.
        """

        def follow(pause: threading.Event) -> str:
            self.source.fresh()
            chosen = segments()
            if not chosen:
                self.failed.emit(NOTHING_TO_TRACK)
                return "idle"
            self.started.emit(chosen)
            return "finished" if self._runs.propagate(chosen, pause) else "paused"

        return self._run(follow)

    def resume(self) -> Future[Any]:
        """Resume the run that was interrupted, and the segments that were to come after it."""
        return self._run(lambda pause: "finished" if self._runs.resume(pause) else "paused")

    def _run(self, work: Callable[[threading.Event], str]) -> Future[Any]:
        pause = threading.Event()
        self._pauses.append(pause)

        def run() -> None:
            try:
                how = "paused" if pause.is_set() else work(pause)
            finally:
                self._pauses.remove(pause)  # before the signal arrives: whoever hears it may ask
            self.stopped.emit(how)

        return self._do(run, running=True)

    @property
    def tracking(self) -> bool:
        """Whether a run is at work, or is to begin."""
        return bool(self._pauses)

    @property
    def pausing(self) -> bool:
        """Whether every run stops after the frame at hand."""
        return all(pause.is_set() for pause in self._pauses)

    @property
    def answering(self) -> bool:
        """Whether the latest change of prompts or masks is yet to be done."""
        return self._change is not None and not self._change.done()

    @property
    def corrected(self) -> set[int]:
        """Objects that got a prompt since they were last tracked."""
        return self._runs.corrected

    def pause(self) -> None:
        """Stop tracking after the current frame; a run that waits does not begin."""
        for pause in tuple(self._pauses):
            pause.set()

    @property
    def interrupted(self) -> bool:
        """Whether there is a run to resume."""
        if self.tracking:
            return False
        runs = self.project.runs
        return bool(runs) and runs[-1].unfinished

    @property
    def interrupted_as(self) -> tuple[int, int]:
        """The stride of the run to resume, and how many objects it tracks."""
        facts = self.project.runs[-1].provenance
        rate = facts.get("rate")
        return (max(round(self.video.fps / rate), 1) if rate and self.video.fps else 1, len(facts.get("objects") or (0,)))

    def edit(self, change: Callable[[Project], Any]) -> Future[Any]:
        """Change the project, as a track edit or undo does; pauses tracking first."""
        self.pause()

        def apply() -> None:
            try:
                self.source.edited(change)
            finally:
                self.changed.emit()

        return self._do_change(apply)

    def settle(self, timeout: float = 60.0) -> None:
        """Wait until all jobs given so far are done; for scripts and tests."""
        self._jobs.submit(lambda: None).result(timeout=timeout)

    def _do_change(self, job: Callable[[], None]) -> Future[Any]:
        self._change = self._do(job)
        return self._change

    def _do(self, job: Callable[[], None], *, running: bool = False) -> Future[Any]:
        def guarded() -> None:
            try:
                job()
            except EngineLost as error:
                self.source.drop_tracker()
                self._report(self.lost, str(error), running)
            except Sam2sError as error:
                self._report(self.failed, str(error), running)
                if isinstance(error, QUESTIONS) and not self._closed:
                    self.asked.emit(error)
            except Exception as error:  # noqa: BLE001  the edge of the thread: what is not reported here is lost
                if is_out_of_memory(error):
                    self.source.close()
                    self._report(self.lost, OUT_OF_MEMORY, running)
                else:
                    self._report(self.failed, unexpected(error), running)

        return self._jobs.submit(guarded)

    def _report(self, signal: Any, message: str, running: bool) -> None:
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

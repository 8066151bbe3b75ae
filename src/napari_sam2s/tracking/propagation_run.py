"""Propagation into a project: with provenance, snapshots to go on from, and resuming after any death."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

import torch

from napari_sam2s.errors import ProjectError, TrackingError
from napari_sam2s.masklets import Project, Run
from napari_sam2s.model.checkpoints import load_model
from napari_sam2s.model.network import SAM2S
from napari_sam2s.model.speed import Speed, apply_speed
from napari_sam2s.tracking.frame_ranges import check_followed, check_frames
from napari_sam2s.tracking.policy import MemoryPolicy
from napari_sam2s.tracking.propagation_plan import remaining, stretches
from napari_sam2s.tracking.tracker import Tracker

if TYPE_CHECKING:
    from napari_sam2s.tracking.remote import RemoteTracker

SNAPSHOT_SECONDS = 2.0
OneWay = Literal["forward", "backward"]
_SIGN = {"forward": 1, "backward": -1}


class ProjectRun:
    """One propagation in one direction, whose every frame is on disk when it is yielded.

    An object leaves it at the next frame on which its mask is confirmed, see :func:`stretches`. Iterate over it; stop anywhere
    and call :meth:`pause`, or let the process die: :func:`resume_run` goes on, to the same masks as an uninterrupted run.

    Parameters
    ----------
    tracker
        With prompts, and a project as its results.
    start, stop, direction, rate
        As in :meth:`Tracker.propagate`.
    objects
        Ids to follow; all by default.
    run
        A run to go on with, whose snapshot the tracker has taken up.
    """

    def __init__(
        self,
        tracker: Tracker | RemoteTracker,
        start: int | None = None,
        stop: int | None = None,
        direction: OneWay = "forward",
        *,
        objects: Sequence[int] | None = None,
        rate: float | None = None,
        run: int | None = None,
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
        if not isinstance(tracker.results, Project):
            raise TrackingError("A run is kept in a project: give the tracker one.")
        self.tracker = tracker
        self.project = tracker.results
        self.direction = direction
        self.rate = None if rate is None else float(rate)  # kept as JSON, which knows none of NumPy's numbers
        self.objects = check_followed(tracker.conditioning, objects)
        sign = _SIGN[direction]
        self.frames = tracker.frames(self.objects, start, stop, sign)
        self.done = 0
        self._next = self.frames.start
        self._whole = True  # whether the tracker is between two frames: within one, some objects are ahead of others
        facts: dict[str, Any] = {**tracker.describe(), "objects": list(self.objects), "rate": self.rate, **(provenance or {})}
        self.id = run
        if run is None:
            confirmed = {i: self.project.masks.confirmed_frames(i) for i in self.objects}
            cut = stretches(check_frames(self.frames), self.objects, tracker.conditioning, confirmed)
            if any(leave in self.frames or objects != self.objects for _, leave, objects in cut):
                # As they are now: whoever goes on with the run must come by the same.
                facts["stretches"] = [(begin, None if end == self.frames.stop else end, who) for begin, end, who in cut]
            self.id = self.project.runs.start(
                next_frame=self.frames.start, stop_frame=self.frames.stop, direction=direction, **facts
            )
            self._snapshot(self.frames.start)
        else:
            cut = facts.get("stretches") or [(self.frames.start, None, self.objects)]
            self.project.runs.resume(run)
        self._stretches = remaining(cut, self.frames)

    def __len__(self) -> int:
        return sum(abs(end - begin) for begin, end, _ in self._stretches)

    def __iter__(self) -> Iterator[tuple[int, dict[int, Any]]]:
        saved = time.monotonic()
        self.tracker.run = self.id
        try:
            steps = self._steps()
            while True:
                self._whole = False
                step = next(steps, None)
                if step is None:
                    break
                frame, masks = step
                self.done += 1
                self._next = self._after(frame)
                self._whole = True
                if time.monotonic() - saved > SNAPSHOT_SECONDS:
                    self._snapshot(self._next)
                    saved = time.monotonic()
                yield frame, masks
        except BaseException:
            # Left behind by its caller, or failed: it can be gone on with, and no longer stands in the way of undo.
            with suppress(ProjectError):
                self.project.runs.finish(self._id, "interrupted")
            raise
        finally:
            self.tracker.run = None
        self.project.runs.finish(self._id)

    def _steps(self) -> Iterator[tuple[int, dict[int, Any]]]:
        for begin, end, objects in self._stretches:
            yield from self.tracker.propagate(begin, end, self.direction, objects=objects, rate=self.rate)

    def pause(self) -> None:
        """Keep what is needed to go on later.

        A run that was interrupted in the middle of a frame, as Ctrl+C does, goes on from the latest snapshot that is whole.
        """
        if self._whole:
            self._snapshot(self._next)
        self.project.runs.finish(self._id, "paused")

    @property
    def _id(self) -> int:
        assert self.id is not None
        return self.id

    def _after(self, frame: int) -> int:
        """Return the frame that the tracker's state goes on with: at a working rate it is ahead of what is yielded."""
        reached = self.tracker.reached
        return (frame if reached is None else reached) + _SIGN[self.direction]

    def _snapshot(self, frame: int) -> None:
        self.project.runs.save_snapshot(self._id, frame, self.direction, self.tracker.snapshot())


def unfinished(project: Project) -> Run | None:
    """Return the latest run that did not come to its end, if it is the latest of all."""
    runs = project.runs
    return runs[-1] if runs and runs[-1].unfinished else None


def resume_run(project: Project, video: Any, model: SAM2S | None = None, device: str = "auto") -> ProjectRun:
    """Take up the latest run of a project where it stopped, in this process.

    Raises
    ------
    TrackingError
        If nothing was interrupted, or the model is not the one it was made with.
    """
    run, _ = interrupted(project)
    facts = run.provenance
    if model is None:
        source, mode = facts.get("model_source") or facts["model"], facts.get("mode", "exact")
        dtype = getattr(torch, facts.get("precision", "float32"))
        model = load_model(source, device=device, image_size=facts["image_size"], mode=mode, dtype=dtype)
        if mode == "exact" and facts.get("speed"):  # fast mode has chosen its own for the device
            apply_speed(model, Speed(**facts["speed"]))
    return continue_run(Tracker(model, video, project, MemoryPolicy(**facts["memory"])))


def interrupted(project: Project) -> tuple[Run, tuple[int, str, bytes]]:
    """Return the run to go on with and its snapshot.

    Raises
    ------
    TrackingError
        If there is none.
    """
    run = unfinished(project)
    if run is None:
        raise TrackingError(f"{project.path.name} has no interrupted run to go on with.")
    snapshot = project.runs.latest_snapshot(run.id)
    if snapshot is None:
        raise TrackingError(f"Run {run.id} of {project.path.name} has no snapshot: track again from a prompt.")
    return run, snapshot


def continue_run(tracker: Tracker | RemoteTracker) -> ProjectRun:
    """Go on with the latest run of a tracker's project; the tracker must be as the run was made.

    Raises
    ------
    TrackingError
        If nothing was interrupted, or the weights are others.
    """
    project = tracker.results
    assert isinstance(project, Project)
    run, (frame, direction, state) = interrupted(project)
    facts = tracker.describe()
    made_with, now = run.provenance.get("model_hash"), facts["model_hash"]
    if made_with and made_with != now:
        raise TrackingError(
            f"Run {run.id} was made with other weights than {run.provenance['model']} has now: take those, or track again "
            "from a prompt."
        )
    for name in ("image_size", "mode", "precision"):
        if name in run.provenance and run.provenance[name] != facts[name]:
            raise TrackingError(
                f"Run {run.id} was made with {name} {run.provenance[name]}, this tracker has {facts[name]}: take the same, or "
                "track again from a prompt."
            )
    speed = run.provenance.get("speed")
    if speed and facts["mode"] == "exact" and speed != facts["speed"]:
        given = ", ".join(f"{name}={value!r}" for name, value in speed.items())
        raise TrackingError(
            f"Run {run.id} was made with other shortcuts than this tracker takes: apply Speed({given}) to the model, or track "
            "again from a prompt."
        )
    tracker.restore(state)
    assert direction in ("forward", "backward")
    more = {"objects": run.provenance.get("objects"), "rate": run.provenance.get("rate"), "provenance": run.provenance}
    return ProjectRun(tracker, frame, run.stop_frame, direction, **more, run=run.id)  # type: ignore[arg-type]


def one_after_the_other(tracker: Tracker | RemoteTracker, legs: Sequence[Mapping[str, Any]]) -> Iterator[ProjectRun]:
    """Begin runs, each when the one before it has come to its end and the next is asked for.

    Parameters
    ----------
    legs
        ``start``, ``stop``, ``way``, ``objects``, and ``every`` which frame is tracked. Every run keeps those that are to come
        after it in its provenance, so that whoever goes on with it can go on with them.
    """
    for n, leg in enumerate(legs):
        rate = None if leg["every"] == 1 or not (fps := getattr(tracker.video, "fps", None)) else fps / leg["every"]
        then = {"then": [dict(later) for later in legs[n + 1 :]]}
        yield ProjectRun(tracker, leg["start"], leg["stop"], leg["way"], objects=leg["objects"], rate=rate, provenance=then)


def still_to_come(run: ProjectRun) -> Iterator[ProjectRun]:
    """Begin the runs that were to come after one that was gone on with, each when it is asked for."""
    known = next(r for r in run.project.runs if r.id == run.id)
    return one_after_the_other(run.tracker, known.provenance.get("then", []))


def reload_prompts(tracker: Tracker | RemoteTracker, project: Project, object_id: int) -> None:
    """Let a tracker know exactly the prompts that a project has of an object: after undo, or on opening it."""
    tracker.forget(object_id)
    for prompt in project.prompts(object_id):
        tracker.replay(prompt)

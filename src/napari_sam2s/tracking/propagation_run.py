"""Propagation into a project: with provenance and snapshots, resumed after any death to the same masks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from napari_sam2s.errors import ProjectError, TrackingError
from napari_sam2s.masklets import Project, Run
from napari_sam2s.model.speed import Speed, apply_speed
from napari_sam2s.model.video_model import VideoModel
from napari_sam2s.tracking.crop_tracker import make_tracker
from napari_sam2s.tracking.engine import PRECISIONS, EngineModel, ModelChoice
from napari_sam2s.tracking.frame_ranges import check_followed, check_frames
from napari_sam2s.tracking.policy import MemoryPolicy
from napari_sam2s.tracking.propagation_plan import OneDirection, Segment, cut_where_confirmed, remaining
from napari_sam2s.tracking.tracker import Tracker

SNAPSHOT_SECONDS = 2.0
_SIGN = {"forward": 1, "backward": -1}


class ProjectRun:
    """One propagation in one direction, whose every frame is on disk when it is yielded.

    An object leaves it at the next frame on which its mask is confirmed, see :mod:`propagation_plan`. Iterate over it; stop
    anywhere and call :meth:`pause`, or let the process die: :func:`resume_run` comes to the masks of an uninterrupted run. It
    yields again the frames after the latest snapshot, so that work done for each frame is done for every one at least once.

    Parameters
    ----------
    tracker
        With prompts, and a project as its results.
    start, stop, direction, rate
        As in :meth:`Tracker.propagate`.
    objects
        Ids to track; all by default.
    run
        A run to resume, whose snapshot the tracker has taken up: see :meth:`resume`.
    """

    def __init__(
        self,
        tracker: Tracker,
        start: int | None = None,
        stop: int | None = None,
        direction: OneDirection = "forward",
        *,
        objects: Sequence[int] | None = None,
        rate: float | None = None,
        run: int | None = None,
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
        self.tracker = tracker
        self.project = _project_of(tracker)
        self.direction = direction
        self.rate = None if rate is None else float(rate)  # kept as JSON, which knows none of NumPy's numbers
        self.objects = check_followed(tracker.conditioning, objects)
        sign = _SIGN[direction]
        over = run is not None and start == stop and start is not None  # killed before the next segment had begun
        self.frames = (
            range(start, start, sign) if over and start is not None else tracker.frames(self.objects, start, stop, sign)
        )
        self.done = 0
        self._next = self.frames.start
        self._whole = True  # whether the tracker is between two frames: within one, some objects are ahead of others
        facts: dict[str, Any] = {**tracker.describe(), "objects": list(self.objects), "rate": self.rate, **(provenance or {})}
        self.id = run
        if run is None:
            confirmed = {i: self.project.masks.confirmed_frames(i) for i in self.objects}
            parts = cut_where_confirmed(check_frames(self.frames), self.objects, tracker.conditioning, confirmed)
            if any(end in self.frames or objects != self.objects for _, end, objects in parts):
                # As they are now: whoever resumes the run must come by the same.
                facts["parts"] = [(begin, None if end == self.frames.stop else end, who) for begin, end, who in parts]
            self.id = self.project.runs.start(
                next_frame=self.frames.start,
                stop_frame=self.frames.stop,
                direction=direction,
                snapshot=tracker.snapshot(),
                **facts,
            )
        else:
            everything: Any = [(self.frames.start, None, self.objects)]
            parts = facts.get("parts") or facts.get("stretches") or everything  # the second name in older projects
            self.project.runs.resume(run)
        self._parts = remaining(parts, self.frames)

    def __len__(self) -> int:
        return sum(abs(end - begin) for begin, end, _ in self._parts)

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
                yield frame, masks
                # Only now: a resumed run yields again every frame whose receiver may have died before it was done with it.
                if time.monotonic() - saved > SNAPSHOT_SECONDS:
                    self._snapshot(self._next)
                    saved = time.monotonic()
        except BaseException:
            # Left behind by its caller, or failed: it can be resumed, and no longer stands in the way of undo.
            with suppress(ProjectError):
                self.project.runs.finish(self._id, "interrupted")
            raise
        finally:
            self.tracker.run = None
        if self.later:  # until the next one begins, so that whoever dies in between can go on
            self._snapshot(self.frames.stop)
            self.project.runs.finish(self._id, "interrupted")
        else:
            self.project.runs.finish(self._id)

    def _steps(self) -> Iterator[tuple[int, dict[int, Any]]]:
        for begin, end, objects in self._parts:
            yield from self.tracker.propagate(begin, end, self.direction, objects=objects, rate=self.rate)

    def follow(self, tell: Callable[[int, float], None], paused: Callable[[], bool], every: float) -> bool:
        """Do it until ``paused`` says so; return whether it came to its end.

        ``tell`` is called with the frame and the seconds so far: after the first frame, then ``every`` so many seconds, and at
        the end.
        """
        started = told = time.monotonic()
        frames = iter(self)
        for frame, _ in frames:
            now = time.monotonic()
            if now - told > every or self.done == 1:
                told = now
                tell(frame, now - started)
            if paused() and self.done < len(self):
                frames.close()  # type: ignore[attr-defined]
                self.pause()
                return False
        if len(self):
            tell(self.frames[-1], time.monotonic() - started)
        return True

    def pause(self) -> None:
        """Keep what is needed to resume.

        A run that was interrupted in the middle of a frame, as Ctrl+C does, is resumed from the latest snapshot that is whole.
        """
        if self._whole:
            self._snapshot(self._next)
        self.project.runs.finish(self._id, "paused")

    @property
    def _id(self) -> int:
        assert self.id is not None
        return self.id

    def _after(self, frame: int) -> int:
        """Return the frame that comes next for the tracker's state: at a working rate it is ahead of what is yielded."""
        reached = self.tracker.reached
        return (frame if reached is None else reached) + _SIGN[self.direction]

    def _snapshot(self, frame: int) -> None:
        self.project.runs.save_snapshot(self._id, frame, self.direction, self.tracker.snapshot())

    @classmethod
    def resume(cls, tracker: Tracker) -> ProjectRun:
        """Resume the latest run of a tracker's project; the tracker must be as the run was made.

        Raises
        ------
        TrackingError
            If nothing was interrupted, or the weights are others.
        """
        project = _project_of(tracker)
        run, (frame, direction, state) = _to_resume(project)
        _check_alike(run, tracker.describe())
        tracker.restore(state)
        assert direction in ("forward", "backward")
        facts = run.provenance
        objects, rate = facts.get("objects"), facts.get("rate")
        stop = run.stop_frame
        return cls(tracker, frame, stop, direction, objects=objects, rate=rate, run=run.id, provenance=facts)  # type: ignore[arg-type]

    @property
    def later(self) -> list[Segment]:
        """The segments that are to be propagated after this run."""
        facts = next(r for r in self.project.runs if r.id == self.id).provenance
        return [
            Segment.from_facts(each) for each in facts.get("later") or facts.get("then") or ()
        ]  # the second name in older projects


def _project_of(tracker: Tracker) -> Project:
    if not isinstance(tracker.results, Project):
        raise TrackingError("A run is kept in a project: give the tracker one.")
    return tracker.results


def resumable_run(project: Project) -> Run | None:
    """Return the run that can be resumed: the latest of all, if it did not come to its end."""
    runs = project.runs
    return runs[-1] if runs and runs[-1].unfinished else None


def resume_run(
    project: Project,
    video: Any,
    model: VideoModel | None = None,
    device: str = "auto",
    load: Callable[[ModelChoice], Any] = ModelChoice.load,
) -> ProjectRun:
    """Resume the latest run of a project where it stopped: with a model, or with that which ``load`` makes of its choice.

    Raises
    ------
    TrackingError
        If nothing was interrupted, or the model is not the one it was made with.
    """
    run = _to_resume(project)[0]
    facts = run.provenance
    if not {"model", "image_size", "memory"} <= facts.keys():
        raise _unknown(run, project)
    if model is None:
        source, mode = facts.get("model_source") or facts["model"], facts.get("mode", "exact")
        strict = not facts.get("differences")  # the user went on without them
        choice = ModelChoice(source, device, facts["image_size"], facts.get("precision", "float32"), mode, strict)
        network = load(choice)
        if (
            mode == "exact" and facts.get("speed") and not isinstance(network, EngineModel)
        ):  # fast mode has chosen its own for the device
            apply_speed(network, Speed(**facts["speed"]))
        model = network
    policy = MemoryPolicy(**facts["memory"])
    return ProjectRun.resume(make_tracker(model, video, project, policy, crop=bool(facts.get("crop"))))


def _to_resume(project: Project) -> tuple[Run, tuple[int, str, bytes]]:
    """Return the run to resume and its snapshot, or raise a :class:`TrackingError`."""
    run = resumable_run(project)
    if run is None:
        tracked = project.runs or set(project.frames) - {prompt.frame for prompt in project.prompts()}
        begin = "" if tracked else " Tracking never started: give the same `napari-sam2s track` command again."
        raise TrackingError(f"{project.path.name} has no interrupted run to resume.{begin}")
    snapshot = project.runs.latest_snapshot(run.id)
    if snapshot is None:
        raise TrackingError(f"Run {run.id} of {project.path.name} has no snapshot: track again from a prompt.")
    if not _readable(run.provenance):
        raise _unknown(run, project)
    return run, snapshot


def _unknown(run: Run, project: Project) -> TrackingError:
    return TrackingError(f"Run {run.id} of {project.path.name} does not say how it was made: track again from a prompt.")


def _readable(facts: Mapping[str, Any]) -> bool:
    """Whether what a run says of how it was made can be, as far as it says it."""
    try:
        MemoryPolicy(**facts.get("memory", {}))
        if facts.get("speed"):
            Speed(**facts["speed"])
        whole = [facts.get("image_size", 0), *(facts.get("objects") or ())]
        words = [facts.get(name, "") for name in ("model", "mode")]
        known = all(isinstance(n, int) for n in whole) and all(isinstance(word, str) for word in words)
        return known and facts.get("precision", "float32") in PRECISIONS and isinstance(facts.get("rate"), int | float | None)
    except (TypeError, ValueError):
        return False


def _check_alike(run: Run, now: Mapping[str, Any]) -> None:
    """Raise a :class:`TrackingError` if a run was made with another model, or one that computes otherwise."""
    then = run.provenance
    if then.get("model_hash") and then["model_hash"] != now["model_hash"]:
        raise TrackingError(
            f"Run {run.id} was made with other weights than {then['model']} has now: use the earlier weights, or "
            f"track again from a prompt."
        )
    if bool(then.get("crop")) != bool(now.get("crop")):
        crop = "in crops that follow the objects" if then.get("crop") else "in the whole frame"
        raise TrackingError(
            f"Run {run.id} tracked {crop}: resume it like that (`napari-sam2s resume` does), or track from a prompt."
        )
    for name in ("image_size", "mode", "precision"):
        if name in then and then[name] != now[name]:
            raise TrackingError(
                f"Run {run.id} was made with {name} {then[name]}, but this tracker has {now[name]}: use the same "
                f"value, or track again "
                "from a prompt."
            )
    speed = then.get("speed")
    # A shortcut that a run does not name came later.
    if speed and now["mode"] == "exact" and any(now["speed"].get(name) != value for name, value in speed.items()):
        given = ", ".join(f"{name}={value!r}" for name, value in speed.items())
        raise TrackingError(
            f"Run {run.id} was made with other Speed settings than this tracker has: apply Speed({given}) to the "
            f"model, or track "
            "again from a prompt."
        )


def segment_runs(tracker: Tracker, segments: Sequence[Segment]) -> Iterator[ProjectRun]:
    """Begin a run for each segment, when the one before it has come to its end and the next is asked for.

    Objects without a prompt are left out. Every run keeps the segments that are to come after it in its provenance, so that
    whoever resumes it can do those too: see :attr:`ProjectRun.later`.
    """
    known = [replace(s, objects=tuple(i for i in s.objects if i in tracker.object_ids)) for s in segments]
    known = [segment for segment in known if segment.objects]
    if not known:
        with _finished_before(tracker):
            return
    for n, s in enumerate(known):
        later = {"later": [each.facts() for each in known[n + 1 :]]}
        rate = s.rate(tracker.video)
        with _finished_before(tracker):
            run = ProjectRun(tracker, s.start, s.stop, s.direction, objects=s.objects, rate=rate, provenance=later)
        yield run


@contextmanager
def _finished_before(tracker: Tracker) -> Iterator[None]:
    """Begin a run; the one before it, which came to its end and waited for this one, is finished in the same instant."""
    project = _project_of(tracker)
    with project.store.transaction():
        before = project.runs[-1] if project.runs else None
        if before is not None and before.status == "interrupted" and before.next_frame == before.stop_frame:
            project.runs.finish(before.id)
        yield


def reload_prompts(tracker: Tracker, project: Project, object_id: int) -> None:
    """Let a tracker know exactly the prompts that a project has of an object: after undo, or on opening it."""
    tracker.forget(object_id)
    for prompt in project.prompts(object_id):
        tracker.replay(prompt)

"""One video of a batch, tracked by a worker: what is missing in its project, and nothing else."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam2s.batching.batch_videos import BatchVideo, PromptSource
from napari_sam2s.batching.shared_files import SharedFiles
from napari_sam2s.errors import ProjectError, PromptError, Sam2sError, is_out_of_memory
from napari_sam2s.masklets import Project
from napari_sam2s.masklets.project_draft import project_draft
from napari_sam2s.masklets.types import Prompt
from napari_sam2s.tracking.engine import EngineLost, ModelChoice
from napari_sam2s.tracking.frame_ranges import Direction, directions

if TYPE_CHECKING:
    from napari_sam2s.tracking.propagation_plan import Segment
    from napari_sam2s.tracking.propagation_run import ProjectRun
    from napari_sam2s.tracking.tracker import Tracker
    from napari_sam2s.video import Video

TELL_SECONDS = 0.5  # between two words on how far it is
TOPIC = "sam2s-batch"
UNSEEN = "unseen"  # the state of an outcome: the client is to stream the video
Tell = Callable[[dict[str, Any]], None]
Load = Callable[[ModelChoice], Any]


@dataclass(frozen=True)
class BatchTask:
    """What a worker needs to know; all of it travels by value but the files, which are read where it is done."""

    batch: str  # which call of `batch`
    video: BatchVideo
    files: SharedFiles  # by which a worker knows whether it sees what is meant
    prompts: PromptSource
    model: ModelChoice
    memory: str = "divemem"
    direction: Direction = "both"
    rate: float | None = None
    fps: float | None = None
    crop: bool = False


@dataclass(frozen=True)
class BatchOutcome:
    """What came of it."""

    state: str
    objects: int = 0
    frames: int = 0
    tracked: int = 0
    seconds: float = 0.0
    worker: str = ""
    message: str = ""
    notes: tuple[str, ...] = field(default=())


# Two videos at once in one process would share torch's threads, and on a GPU the buffers of the recorded graphs.
_one_at_a_time = threading.Lock()
_stopped: set[str] = set()


def stop_batch(batch: str) -> None:
    """Let the tasks of a batch pause in this process, each with all it has found in its project."""
    _stopped.add(batch)


async def stop_on_worker(batch: str) -> None:
    """Do as :func:`stop_batch` does; dask asks for a coroutine where it is not to wait for the answer of every worker."""
    stop_batch(batch)


def track_task(task: BatchTask) -> BatchOutcome:
    """Track a video on a worker of dask.

    What a user can mend (a damaged video, a missing prompt) comes back as an outcome, because a second attempt would end the
    same way; anything else is raised, for dask to try again.
    """
    from distributed import get_worker

    worker = get_worker()
    where = f"{socket.gethostname()} ({worker.address})"

    def tell(facts: dict[str, Any]) -> None:
        worker.log_event(f"{TOPIC}-{task.batch}", {"project": str(task.video.project), "worker": where, **facts})

    if hidden := task.files.hidden():
        return BatchOutcome(UNSEEN, worker=where, message=hidden)
    with _one_at_a_time:
        return do_task(task, tell, worker=where)


def do_task(task: BatchTask, tell: Tell, load: Load | None = None, worker: str = "") -> BatchOutcome:
    """Track a video, which is read and written in this process.

    Parameters
    ----------
    tell
        Called with facts of :class:`BatchRow` as they change.
    load
        Gives the network of a choice, here or in an engine; by default it is here.
    worker
        Who does the work.

    Raises
    ------
    EngineLost
        If the engine with the network is gone; the video can be gone on with.
    """
    began = time.monotonic()
    tell({"state": "running", "attempt": 1})
    try:
        outcome = _track(task, tell, load)
    except EngineLost:
        raise
    except Sam2sError as error:
        outcome = BatchOutcome("failed", message=str(error))
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise MemoryError("The worker has too little memory. Use a smaller image size or model.") from error
    return replace(outcome, seconds=time.monotonic() - began, worker=worker)


def _track(task: BatchTask, tell: Tell, load: Load | None) -> BatchOutcome:
    with _opened(task) as video, _project(task, video) as project:
        frames, objects = project.shape[0], len(project.objects)
        tell({"frames": frames, "objects": objects})
        notes = list(video.warnings)
        tracked, paused = 0, False
        for run in _runs(task, project, video, notes, load):
            tell({"total": tracked + len(run)})
            paused = not _follow(task, run, tracked, tell)
            tracked += run.done
            if paused:
                break
        state = "stopped" if paused else "done" if tracked else "nothing to do"
        return BatchOutcome(state, objects, frames, tracked, message=" ".join(dict.fromkeys(notes)))


def _follow(task: BatchTask, run: ProjectRun, before: int, tell: Tell) -> bool:
    """Do a run; return whether it came to its end."""

    def tell_of(_: int, seconds: float) -> None:
        tell({"tracked": before + run.done, "seconds": seconds})

    return run.follow(tell_of, lambda: task.batch in _stopped, TELL_SECONDS)


def _opened(task: BatchTask) -> Video:
    from napari_sam2s.video.video import open_video, reopen_video

    project = task.video.project
    if not project.is_file():
        return open_video(task.video.video, fps=task.fps)
    with Project.open(project, "r") as known:
        return reopen_video(task.video.video, fps=known.fps, stream=known.video.stream)


def _project(task: BatchTask, video: Video) -> Project:
    """Open the project of a video; make it of its masks where there is none."""
    path, given = task.video.project, task.video.prompts
    if task.prompts == "project" and not path.is_file():
        raise PromptError(
            f"There is no project {path} with prompts: open the video in the widget and click its objects, or give masks with "
            "--prompts masks."
        )
    if not path.is_file() and not given:
        wanted = "_frame0.png" if task.prompts == "masks" else "_labels.tif"
        raise PromptError(f"{task.video.video.name} has no prompts: save masks as {task.video.video.stem}{wanted}.")
    if not path.is_file():
        _make_project(task, video)
    project = Project.open(path)
    try:
        project.video.check(video)
        if task.prompts == "masks" and given:
            _check_same(project, _mask_prompts(task.video), given[0][1])
    except BaseException:
        project.close()
        raise
    return project


def _make_project(task: BatchTask, video: Video) -> None:
    """Make a project with its first prompts, whole or not at all."""
    from napari_sam2s.formats.import_project import import_project
    from napari_sam2s.tracking.prompts import check_prompt

    path, given = task.video.project, task.video.prompts
    if task.prompts == "first-labels":
        if len(given) > 1:
            raise PromptError(f"{given[0][1].name} and {given[1][1].name} both hold labels of this video: keep one of them.")
        kind = "ome-zarr" if given[0][1].suffix == ".zarr" else "davis" if given[0][1].is_dir() else "tiff"
        import_project(given[0][1], kind, path, video, kind="prompts")
        return
    shape = (video.shape[0], video.shape[1], video.shape[2])
    prompts = [check_prompt(p, shape) for p in _mask_prompts(task.video)]
    with project_draft(path) as draft, Project.create(draft, video) as project:
        ids = {i: project.add_object(f"object {i}").id for i in sorted({p.object_id for p in prompts})}
        for p in prompts:
            assert p.mask is not None
            project.keep_prompt(replace(p, object_id=ids[p.object_id]), p.mask, None)


def _mask_prompts(video: BatchVideo) -> list[Prompt]:
    """Return the prompts of a video's label pictures; the value of a pixel is the object's id."""
    from napari_sam2s.formats.label_picture import prompts_of_picture

    return [prompt for frame, path in video.prompts for prompt in prompts_of_picture(path, frame)]


def _check_same(project: Project, prompts: list[Prompt], picture: Path) -> None:
    """Refuse masks that are not those which the project was made of: its results would be taken for theirs."""
    known = [(p.frame, p.mask) for p in project.prompts()]
    for wanted in prompts:
        if not any(
            frame == wanted.frame and mask is not None and np.array_equal(mask, np.asarray(wanted.mask))
            for frame, mask in known
        ):
            raise ProjectError(
                f"{project.path.name} was made from other masks than those now in {picture.name} and similar files. Use "
                "--prompts project to continue it, or move it away to start again."
            )


def _runs(task: BatchTask, project: Project, video: Video, notes: list[str], load: Load | None) -> Iterator[ProjectRun]:
    """Yield what is to be tracked, each when the one before has come to its end: first what was interrupted."""
    from napari_sam2s.tracking.working_rate import find_stride

    if not project.prompts():
        raise PromptError(f"{project.path} has no prompts: open its video in the widget and click the objects.")
    stride, signs = find_stride(video, task.rate), [sign for sign, _ in directions(task.direction, None)]
    runs = project.runs
    # One of an older version may have died before it could be resumed.
    if runs and runs[-1].unfinished and runs.latest_snapshot(runs[-1].id) is not None:
        yield from _interrupted(task, project, video, load)
    if not any(missing(project, sign, stride) for sign in signs):
        return
    tracker = _tracker(task, project, video, load)
    notes += _thin(project, tracker)
    for sign in signs:
        before: list[Segment] = []
        while (segments := missing(project, sign, stride)) and segments != before:
            before = segments
            yield from _segment_runs(tracker, segments)


def _interrupted(task: BatchTask, project: Project, video: Video, load: Load | None) -> Iterator[ProjectRun]:
    """Yield the run that was interrupted and those that were to come after it."""
    from napari_sam2s.tracking.propagation_run import resume_run

    run = resume_run(project, video, device=task.model.device, load=load or ModelChoice.load)
    tracker, later = run.tracker, run.later
    yield run
    if {(p.object_id, p.frame) for p in project.prompts()} != {(i, t) for i, ts in tracker.conditioning.items() for t in ts}:
        tracker = _tracker(task, project, video, load)  # prompted since then
    yield from _segment_runs(tracker, later)


def _segment_runs(tracker: Tracker, segments: list[Segment]) -> Iterator[ProjectRun]:
    from napari_sam2s.tracking.propagation_run import segment_runs

    return segment_runs(tracker, segments)


def _thin(project: Project, tracker: Tracker) -> list[str]:
    """Return what is to be said of objects that the network hardly sees."""
    from napari_sam2s.tracking.prompts import too_thin

    facts = tracker.describe()
    if facts.get("crop"):
        return []
    side = facts["image_size"]
    return [thin for p in project.prompts() if p.mask is not None and (thin := too_thin(p.mask, side))]


def _tracker(task: BatchTask, project: Project, video: Video, load: Load | None) -> Tracker:
    """Return a tracker that knows the prompts of its project."""
    from napari_sam2s.tracking.crop_tracker import make_tracker
    from napari_sam2s.tracking.propagation_run import reload_prompts

    tracker = make_tracker((load or _load)(task.model), video, project, task.memory, crop=task.crop)
    for known in project.objects:
        reload_prompts(tracker, project, known.id)
    return tracker


def missing(project: Project, sign: int, stride: int = 1) -> list[Segment]:
    """Return what nobody has looked at in a direction (1 forward, -1 backward), from the first prompt of each object on.

    Empty when everything is known. What lies behind a confirmed frame takes a further call, when all before it is tracked.
    """
    from napari_sam2s.tracking.propagation_plan import find_frontier, followed, plan

    ends = []
    for i in followed(project):
        prompted = [p.frame for p in project.prompts(i)]
        end = find_frontier(project, i, min(prompted) if sign > 0 else max(prompted), sign)
        if 0 <= end < project.shape[0]:
            ends.append(end)
    if not ends:
        return []
    start = (min(ends) if sign > 0 else max(ends)) - sign
    return plan(project, start, "forward" if sign > 0 else "backward", stride=stride)


@lru_cache(maxsize=1)
def _load(choice: ModelChoice) -> Any:
    return choice.load()

"""A batch: one task a video on dask.distributed, told as it goes, and begun again where it ended."""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sam2s.batching.batch_rows import BatchRow, write_summary
from napari_sam2s.batching.batch_task import TOPIC, UNSEEN, BatchOutcome, BatchTask, stop_batch, stop_on_worker, track_task
from napari_sam2s.batching.batch_videos import PromptSource, find_batch
from napari_sam2s.batching.shared_files import SharedFiles, marked
from napari_sam2s.batching.streams import STREAMED, Streams
from napari_sam2s.errors import FormatError, ModelError, TrackingError
from napari_sam2s.formats.atomic_write import folder_for
from napari_sam2s.formats.text_cells import csv_place
from napari_sam2s.tracking.engine import PRECISIONS, ModelChoice
from napari_sam2s.tracking.frame_ranges import Direction, directions
from napari_sam2s.wording import counted

if TYPE_CHECKING:
    from distributed import Security

    from napari_sam2s.batching.local_workers import LocalWorkers

POLL_S = 0.2
ASK_S = 5.0  # between two questions for workers, while nothing is at work
PAUSE_S = 20.0  # that tasks get to pause after Ctrl+C
NO_WORKER = "No worker has joined the scheduler: start one with `dask worker ADDRESS --nthreads 1`, or stop with Ctrl+C."
SCHEDULER_GONE = "The scheduler ended or restarted: give the same command again to track what is missing."
SUMMARY = "sam2s-batch.csv"
MOST_RETRIES = 1000
WORKERS_PER_CORE = 4  # at most: a slip of the keyboard would fill the memory
Progress = Callable[[Sequence[BatchRow]], None]


def batch(
    videos: Iterable[Path | str] | Path | str,
    *,
    prompts: PromptSource = "project",
    prompt_folder: Path | str | None = None,
    out: Path | str | None = None,
    model: str | Path = "sam2s-nano",
    image_size: int | None = None,
    device: str = "auto",
    precision: str = "float32",
    fast: bool = False,
    strict: bool = True,
    memory: str = "divemem",
    direction: Direction = "both",
    rate: float | None = None,
    fps: float | None = None,
    crop: bool = False,
    scheduler: str | None = None,
    security: Security | str | Path | None = None,
    workers: int | None = None,
    gpus: int = 0,
    retries: int = 2,
    summary: Path | str | None = None,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> list[BatchRow]:
    """Track many videos, each into its own project; what is tracked already is left as it is.

    Every video is one task, read and written by the worker that does it. A video or a project's folder that a worker does not
    see (compared by content) is read and written here, and small frames are sent to a worker. A worker that dies is replaced,
    and its video resumed where it was. Call again after anything: what is missing is done, and nothing else.

    Parameters
    ----------
    videos
        Files, or folders of videos. A project stands for its video.
    prompts, prompt_folder, out
        Where prompts come from and projects go: see :func:`napari_sam2s.batching.batch_videos.find_batch`.
    model, image_size, device, precision, strict
        As :func:`napari_sam2s.load_model` takes them; names and paths are those of the workers.
        ``precision`` is ``"float32"`` or ``"bfloat16"``.
    fast
        Fast mode.
    memory, direction, rate
        As in :class:`Tracker` and :meth:`Tracker.propagate`.
    fps
        Frames a second of pictures, which do not know it.
    crop
        Whether each object is tracked in a window that follows it: see :class:`CropTracker`.
    scheduler
        The address of a dask scheduler; by default workers are started on this machine.
    security
        For an address: a ``distributed.Security`` or a folder of keys, as :class:`Engine` takes it.
    workers
        How many on this machine; by default one for every two cores.
    gpus
        How many GPUs: on this machine a worker for each; of a cluster so many videos at once, on workers that were started
        with ``--resources GPU=1``.
    retries
        How often a video is tried again after an error that is not its own, such as too little memory.
    summary
        The CSV to write; by default ``sam2s-batch.csv`` in ``out``, or beside the first project.
    progress
        Called about five times a second with all rows.
    stop
        Set it in another thread to let every video pause with all it had found; their ``state`` is ``"stopped"`` then.

    Returns
    -------
    list of BatchRow
        One for each video, also for those that failed: look at ``state`` and ``message``.

    Raises
    ------
    Sam2sError
        If the batch cannot begin. What goes wrong with a single video is in its row.
    KeyboardInterrupt
        After Ctrl+C, when every video that was at work has paused with all it had found.
    """
    directions(direction, None)
    sources = [videos] if isinstance(videos, str | Path) else list(videos)
    found = find_batch(sources, prompts, out, prompt_folder)
    if not 0 <= retries <= MOST_RETRIES:
        raise TrackingError(f"retries={retries}: a video is tried again 0 to {MOST_RETRIES} times.")
    _check_counts(workers, gpus)
    if precision not in PRECISIONS:
        raise ModelError(f"precision={precision!r} is not one of {', '.join(PRECISIONS)}.")
    place = found[0].project.parent / SUMMARY if summary is None else csv_place(summary)
    choice = ModelChoice(str(model), device, image_size, precision, "fast" if fast else "exact", strict=strict)
    name = uuid.uuid4().hex[:12]
    mark = "" if scheduler is None else f".{TOPIC}-{name}"  # workers of this machine see what we see
    seen = [SharedFiles.of(v, mark) for v in found]
    tasks = [
        BatchTask(name, v, f, prompts, choice, memory, direction, rate, fps, crop) for v, f in zip(found, seen, strict=True)
    ]
    with ExitStack() as opened:
        opened.enter_context(folder_for(*{one.project.parent for one in found}))
        opened.enter_context(marked([one.project.parent for one in found], mark))
        link = opened.enter_context(_connected(scheduler, security, workers, gpus, len(found)))
        run = _Batch(link, tasks, place, gpus=gpus, retries=retries, progress=progress, stop=stop)
        opened.callback(run.close)
        return run.do()


def _check_counts(workers: int | None, gpus: int) -> None:
    if gpus < 0 or (workers is not None and workers < 1):
        raise TrackingError(f"Workers are 1 or more and GPUs 0 or more; got {workers} and {gpus}.")
    cores = os.cpu_count() or 1
    if (workers or 0) > WORKERS_PER_CORE * cores:
        raise TrackingError(
            f"{counted(workers or 0, 'worker is', 'workers are')} too many for {counted(cores, 'core')}: give"
            f" {WORKERS_PER_CORE * cores} or fewer."
        )


@dataclass(frozen=True)
class _Link:
    """A scheduler that we are connected to."""

    client: Any
    address: str
    security: Any
    local: LocalWorkers | None  # those of this machine


@contextmanager
def _connected(address: str | None, security: Any, workers: int | None, gpus: int, videos: int) -> Iterator[_Link]:
    """Connect to a scheduler, or to workers of this machine."""
    from napari_sam2s.batching.local_workers import LocalWorkers, usual_count
    from napari_sam2s.tracking.engine import connect

    with ExitStack() as opened:
        local = None
        if address is None:
            if security is not None:
                raise TrackingError(
                    "Workers on this machine make their own keys: give `security` only together with an address."
                )
            local = opened.enter_context(LocalWorkers(workers or usual_count(videos), gpus))
            address, security = local.address, local.keys
        elif workers is not None:
            raise TrackingError(f"The workers at {address} are started there: leave out their number.")
        client = connect(address, security, direct=False)
        opened.callback(client.close, timeout=1)
        if local is None and gpus:
            _check_resources(client, address)
        yield _Link(client, address, security, local)


def _check_resources(client: Any, address: str) -> None:
    """Refuse workers none of which offers a GPU: dask would wait for one for ever. A cluster without workers may yet grow."""
    offered = client.run_on_scheduler(offered_resources)
    if offered and not any("GPU" in of_worker for of_worker in offered):
        raise TrackingError(f"No worker at {address} offers a GPU: start them with `dask worker {address} --resources GPU=1`.")


def offered_resources(dask_scheduler: Any) -> list[dict[str, float]]:
    """Return the resources of every worker; runs in the scheduler."""
    return [dict(worker.resources) for worker in dask_scheduler.workers.values()]


class _Batch:
    """One call of :func:`batch`, when all is connected."""

    def __init__(
        self,
        link: _Link,
        tasks: Sequence[BatchTask],
        summary: Path,
        *,
        gpus: int,
        retries: int,
        progress: Progress | None,
        stop: threading.Event | None = None,
    ) -> None:
        self._client, self._local, self._summary, self._retries = link.client, link.local, summary, retries
        self._progress, self._stopping = progress, stop or threading.Event()
        self._submit_with = {"pure": False, "retries": retries} | ({"resources": {"GPU": 1}} if gpus else {})
        self._at_once = gpus if gpus and link.local is None else len(tasks)
        self._waiting = list(reversed(tasks))
        self._open: dict[Any, BatchRow] = {}  # by future
        self._unseen: list[BatchTask] = []  # by workers, and not yet streamed
        self._streamed: dict[Any, BatchTask] = {}  # by future
        most = max(1, min(self._at_once, os.cpu_count() or 1))
        self._streams = Streams(
            link.client, link.address, link.security, tell=lambda facts: self._hear((0.0, facts)), most=most, gpus=gpus > 0
        )
        self.rows = [BatchRow(task.video.video, task.video.project) for task in tasks]
        self._by_project = {str(row.project): row for row in self.rows}
        self._tasks = {str(task.video.project): task for task in tasks}
        self._name = tasks[0].batch
        self._ask_next = time.monotonic() + ASK_S
        self._topic = f"{TOPIC}-{self._name}"

    def do(self) -> list[BatchRow]:
        """Do all of it."""
        write_summary(self.rows, self._summary)  # that it cannot be written is better known now
        self._client.subscribe_topic(self._topic, self._hear)
        try:
            while self._waiting or self._open or self._unseen or self._streamed:
                if self._stopping.is_set():
                    self._stop()
                    break
                self._submit()
                self._tell()
                time.sleep(POLL_S)
                if self._local is not None:
                    self._local.mend()
                self._collect()
                self._stream()
                self._say_if_alone()
        except KeyboardInterrupt:
            self._stop()
            raise
        finally:
            write_summary(self.rows, self._summary)
            with suppress(Exception):  # its scheduler may be gone
                self._client.unsubscribe_topic(self._topic)
            self._tell()
        return self.rows

    def _submit(self) -> None:
        while self._waiting and len(self._open) + len(self._streamed) < self._at_once:
            task = self._waiting.pop()
            future = self._client.submit(track_task, task, key=f"{self._topic}-{len(self._waiting)}", **self._submit_with)
            self._open[future] = self._row(task)

    def _row(self, task: BatchTask) -> BatchRow:
        return self._by_project[str(task.video.project)]

    def _stream(self) -> None:
        """Begin with videos that no worker sees, as far as workers are idle."""
        while self._unseen and len(self._open) + len(self._streamed) < self._at_once:
            try:
                future = self._streams.start(self._unseen[0])
            except (OSError, TimeoutError, TrackingError):
                for task in self._unseen:
                    self._row(task).state, self._row(task).message = "failed", SCHEDULER_GONE
                self._unseen.clear()
                return
            if future is None:
                return
            self._streamed[future] = self._unseen.pop(0)

    def _collect_streamed(self) -> bool:
        """Take up what became of videos that are streamed; return whether there was any."""
        over = [future for future in self._streamed if future.done()]
        for future in over:
            task, error = self._streamed.pop(future), future.exception()
            self._streams.done(future)
            row = self._row(task)
            if error is None:
                _take(row, future.result())
            elif row.attempts <= self._retries:
                row.state, row.message = "waiting", "its worker died or failed; it resumes"
                self._unseen.append(task)
            else:
                row.state, row.message = "failed", _why(error, row)
        return bool(over)

    def close(self) -> None:
        """End what streams."""
        self._streams.close()

    def _hear(self, event: tuple[float, dict[str, Any]]) -> None:
        """Take up what a worker says of its video."""
        facts = dict(event[1])
        row = self._by_project[facts.pop("project")]
        if row.over:
            return  # said before it ended, and heard after
        if facts.pop("attempt", 0):
            row.attempts += 1
            row.message = "" if row.attempts == 1 else "its worker died or failed; it resumes"
        for name, value in facts.items():
            setattr(row, name, value)

    def _say_if_alone(self) -> None:
        """Say where one sees it that a scheduler has no workers: all would wait without a word."""
        first = next((row for row in self.rows if row.state == "waiting"), None)
        now = time.monotonic()
        if first is None or now < self._ask_next or any(row.state == "running" for row in self.rows):
            return
        self._ask_next = now + ASK_S
        with suppress(OSError, TimeoutError):  # the scheduler may be gone, which the futures will say
            if self._client.status == "running":
                first.message = "" if self._client.nthreads() else NO_WORKER

    def _collect(self) -> None:
        changed = self._collect_streamed()
        for future, row in list(self._open.items()):
            status = future.status
            # A task whose worker died before its outcome was fetched is lost until the scheduler has done it again.
            if status == "pending" or (status == "lost" and self._client.status == "running"):
                continue
            del self._open[future]
            changed = True
            if status == "finished" and (outcome := future.result(timeout=60)).state == UNSEEN:
                row.message = f"To be {STREAMED}: {outcome.message}"
                self._unseen.append(self._tasks[str(row.project)])
            elif status == "finished":
                _take(row, outcome)
            elif status == "error":
                row.state, row.message = "failed", _why(future.exception(timeout=60), row)
            else:  # lost or cancelled: the scheduler was ended or restarted
                row.state, row.message = "failed", SCHEDULER_GONE
            future.release()
        if changed:
            with suppress(FormatError):  # the last one says that it cannot be written; the videos go on
                write_summary(self.rows, self._summary)

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress(self.rows)

    def _stop(self) -> None:
        """Let what is at work pause; what is in its project can be gone on with."""
        self._waiting.clear()
        self._unseen.clear()
        stop_batch(self._name)  # what is streamed
        with suppress(Exception):  # the scheduler may be gone; projects survive that, too
            self._client.run(stop_on_worker, self._name, wait=False)
            for future, row in list(self._open.items()):
                if row.state == "waiting":
                    future.cancel()
                    del self._open[future]
            until = time.monotonic() + PAUSE_S
            while (self._open or self._streamed) and time.monotonic() < until:
                self._collect()
                time.sleep(POLL_S)
        for row in self.rows:
            if not row.over:
                row.state = "stopped"


def _take(row: BatchRow, outcome: BatchOutcome) -> None:
    row.state, row.message, row.worker = outcome.state, outcome.message, outcome.worker
    row.seconds = outcome.seconds
    row.attempts = max(row.attempts, 1)
    if outcome.state != "failed":
        row.objects, row.frames, row.tracked, row.total = outcome.objects, outcome.frames, outcome.tracked, outcome.tracked


def _why(error: BaseException, row: BatchRow) -> str:
    """Say why a video failed although it was tried again."""
    from distributed.scheduler import KilledWorker

    if isinstance(error, KilledWorker):
        return (
            f"Its worker died {counted(row.attempts, 'time')} (killed, or out of memory): use a smaller model, or track this"
            " video alone."
        )
    if "deserializ" in str(error) or isinstance(error, ImportError):  # dask's word for what it could not unpack
        return "The scheduler or a worker lacks this version of napari-sam2s: install the same one wherever they run."
    said = str(error) if isinstance(error, MemoryError) else f"{type(error).__name__}: {error}"
    return f"It was tried {counted(max(row.attempts, 1), 'time')}, and failed: {' '.join(said.split())}"

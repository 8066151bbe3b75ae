"""The benchmark of SAM2S: every video of every subset, prompted once, tracked throughout, scored; one result file a video.

Nothing here loads a network: what tracks is handed in, and where the work is done is for the caller to say.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from napari_sam2s.errors import EvaluationError
from napari_sam2s.evaluation.benchmark_videos import BenchmarkVideo
from napari_sam2s.evaluation.clicks import PROMPTS
from napari_sam2s.evaluation.evaluate import evaluate
from napari_sam2s.evaluation.protocols import prompt_all
from napari_sam2s.evaluation.report import write_report
from napari_sam2s.evaluation.result import Evaluation, merge
from napari_sam2s.evaluation.scores import Protocol, finite
from napari_sam2s.formats import read_davis, write_davis
from napari_sam2s.formats.atomic_write import folder_for, whole_file
from napari_sam2s.masklets.protocol import Renumbered

PROTOCOL = Protocol(skip="ends", missing="error", void=255, late="own-clip")
MASKS = "masks"
_FORBIDDEN = '/\\:*?"<>|'


@dataclass(frozen=True)
class Setting:
    """What is compared: a model under a memory policy, prompted in one way."""

    model: str
    memory: str
    prompt: str
    image_size: int | None = None
    strict: bool = True  # False: go on without the tensors that do not fit

    def __post_init__(self) -> None:
        if self.prompt not in PROMPTS:
            raise EvaluationError(f"{self.prompt!r} is not a prompt: choose one of {', '.join(PROMPTS)}.")

    @property
    def folder(self) -> str:
        """A name for its folder of results."""
        name = Path(self.model).stem if Path(self.model).suffix in (".pt", ".pth", ".safetensors") else self.model
        size = f"-{self.image_size}" if self.image_size else ""
        return "".join("_" if c in _FORBIDDEN else c for c in f"{name}{size}-{self.memory}-{self.prompt}")


@dataclass(frozen=True)
class Job:
    """One video under one setting; it can be sent to another process or machine that sees the same folders."""

    source: BenchmarkVideo
    setting: Setting
    protocol: Protocol
    out: Path
    keep_masks: bool = False

    @property
    def path(self) -> Path:
        """Its result file."""
        return self.out / self.setting.folder / self.source.subset / f"{self.source.name}.json"

    @property
    def masks(self) -> Path:
        """DAVIS root of its masks, if they are kept."""
        return self.out / self.setting.folder / self.source.subset / MASKS


def plan(
    videos: Iterable[BenchmarkVideo],
    settings: Iterable[Setting],
    out: Path,
    *,
    protocol: Protocol = PROTOCOL,
    keep_masks: bool = False,
) -> list[Job]:
    """Return a job for each video under each setting."""
    videos = list(videos)
    jobs = [Job(video, setting, protocol, out, keep_masks) for setting in settings for video in videos]
    paths = [job.path for job in jobs]
    if len(set(paths)) < len(paths):
        raise EvaluationError("Two models have the same name: rename the file of one of them.")
    return jobs


def run_video(
    job: Job, make_tracker: Callable[[Any], Any], progress: Callable[[int, int], None] | None = None
) -> dict[str, Any]:
    """Track and score one video; return its result as plain data.

    Parameters
    ----------
    job
        What to do.
    make_tracker
        Of a video, a new tracker that keeps its results (``tracker.results`` with ``masks(frame)``) and says what they
        depend on (``tracker.describe()``).
    progress
        Called with how many frames are tracked, and of how many.

    Notes
    -----
    ``seconds`` are those of propagation from end to end: reading and decoding frames, the network, masks at the size of the
    video. Prompting and scoring are not in it.
    """
    source = job.source
    if not source.root.is_dir():
        raise EvaluationError(f"{source.root} is not there; workers on other machines must see it under the same path.")
    truth, places = source.truth(), source.places()
    numbers = {place: number for number, place in places.items()}
    with source.video() as video:
        tracker = make_tracker(video)
        prompted = prompt_all(tracker, Renumbered(truth, places), job.setting.prompt)
        total = len(video) - min(prompted.values())
        frames = 0
        started = time.perf_counter()
        for frames, _ in enumerate(tracker.propagate(), 1):
            if progress is not None:
                progress(frames, total)
        seconds = time.perf_counter() - started
    found = Renumbered(_Found(tracker.results, truth.objects, (len(numbers), *video.shape[1:3])), numbers)
    name = f"{source.subset}/{source.name}"
    scores = evaluate({name: found}, {name: truth}, **asdict(job.protocol), subset_of={name: source.subset})
    if job.keep_masks:
        write_davis(found, job.masks, source.name)
    return {
        "subset": source.subset,
        "video": source.name,
        "settings": settings_of(job, tracker.describe()),
        "frames": frames,
        "objects": len(prompted),
        "prompted_on": {str(i): numbers[place] for i, place in prompted.items()},
        "seconds": seconds,
        "made_with": tracker.describe(),
        "evaluation": finite(scores.to_dict(frames=True)),
    }


def settings_of(job: Job, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a result depends on: two results are of the same setting if these agree."""
    data = {
        "model": facts["model"],
        "model_hash": facts["model_hash"],
        "image_size": facts["image_size"],
        "memory": facts["memory"],
        "prompt": job.setting.prompt,
        # Results of before it was there know no offset; a benchmark's frames are numbered alike by construction.
        "protocol": {name: value for name, value in asdict(job.protocol).items() if name != "offset"},
    }
    plain: dict[str, Any] = json.loads(json.dumps(data))
    return plain


@dataclass
class _Found:
    """A tracker's results with the objects' names; a frame before the first prompt is empty."""

    results: Any
    objects: Any
    shape: tuple[int, ...]

    @property
    def frames(self) -> range:
        return range(self.shape[0])

    def masks(self, frame: int) -> Any:
        return self.results.masks(frame)


def finished(job: Job, settings: Mapping[str, Any], *, again: bool = False) -> bool:
    """Whether a job's result is there, so that it need not be done.

    Raises :class:`EvaluationError` if a result is there that was made under another setting, unless it is to be made
    ``again``.
    """
    if not job.path.is_file():
        return False
    try:
        known = json.loads(job.path.read_bytes())["settings"]
    except (ValueError, KeyError, TypeError):
        known = None
    if known == settings:
        return True
    if not again:
        differing = "other data" if known is None else ", ".join(k for k in settings if known.get(k) != settings[k])
        raise EvaluationError(
            f"{job.path} was made with another {differing}: choose another --out, or replace such results with --again."
        )
    return False


def save(job: Job, result: Mapping[str, Any]) -> None:
    """Write a result, whole or not at all."""
    part = job.path.with_name(f"{job.path.name}.{os.getpid()}.part")
    with folder_for(job.path.parent), whole_file(job.path, part):
        part.write_text(json.dumps(result, indent=1), encoding="utf-8")


@dataclass(frozen=True)
class Outcome:
    """All results of one setting."""

    setting: Setting
    evaluation: Evaluation
    frames: Mapping[str, int]  # tracked, by subset
    seconds: Mapping[str, float]
    made_with: Mapping[str, Any]

    @property
    def fps(self) -> float:
        """Frames a second over all videos, as long as they are: see :func:`run_video`."""
        return sum(self.frames.values()) / max(sum(self.seconds.values()), 1e-9)

    @property
    def average(self) -> float:
        """The mean of the subsets' J&F, each counting once (the paper's average)."""
        means = [self.evaluation.subset(s).jf for s in self.evaluation.subsets]
        return sum(means) / len(means)


def collect(jobs: Iterable[Job]) -> Iterator[Outcome]:
    """Put the results that are there together, setting by setting."""
    by_setting: dict[Setting, list[dict[str, Any]]] = {}
    for job in jobs:
        if job.path.is_file():
            by_setting.setdefault(job.setting, []).append(json.loads(job.path.read_bytes()))
    for setting, results in by_setting.items():
        frames: dict[str, int] = {}
        seconds: dict[str, float] = {}
        for result in results:
            subset = result["subset"]
            frames[subset] = frames.get(subset, 0) + result["frames"]
            seconds[subset] = seconds.get(subset, 0.0) + result["seconds"]
        evaluation = merge(Evaluation.from_dict(result["evaluation"]) for result in results)
        yield Outcome(setting, evaluation, frames, seconds, results[0]["made_with"])


def write_reports(jobs: list[Job], outcomes: Iterable[Outcome], page: str) -> Path:
    """Write ``benchmark.md`` with the tables, and a report for each setting beside its results; return the former."""
    out = jobs[0].out
    for outcome in outcomes:
        mine = [job for job in jobs if job.setting == outcome.setting and job.path.is_file()]
        folder = out / outcome.setting.folder / "report"
        shutil.rmtree(folder, ignore_errors=True)  # of an earlier run of ours
        names = {f"{job.source.subset}/{job.source.name}": job for job in mine}
        with_masks = {n: job for n, job in names.items() if (job.masks / "Annotations" / job.source.name).is_dir()}
        whole = len(with_masks) == len(names)
        write_report(
            outcome.evaluation,
            folder,
            prediction={n: read_davis(j.masks)[j.source.name] for n, j in with_masks.items()} if whole else None,
            truth={n: j.source.truth() for n, j in names.items()} if whole else None,
            videos={n: j.source.frames() for n, j in names.items()} if whole else None,
        )
    path = out / "benchmark.md"
    with whole_file(path) as part:
        part.write_text(page + "\n", encoding="utf-8")
    return path

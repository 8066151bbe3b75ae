"""Scoring a prediction against ground truth: folders, projects, clips or arrays on either side."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import EvaluationError
from napari_sam2s.evaluation.masklet_sources import ProjectFile, aligned, closed, find_videos, name_alike
from napari_sam2s.evaluation.region_and_boundary import boundary_f, dice, hausdorff_95, iou, surface_dice
from napari_sam2s.evaluation.result import Evaluation, Frames
from napari_sam2s.evaluation.scores import FrameScore, ObjectScore, Protocol
from napari_sam2s.evaluation.temporal import Identities, longest_lost, returns, visibility_switches
from napari_sam2s.masklets import Project
from napari_sam2s.masklets.protocol import Masklets

Progress = Callable[[int, int], None]  # done, of


def evaluate(
    prediction: Any,
    truth: Any,
    *,
    skip: str = "ends",
    missing: str = "error",
    void: int | None = 255,
    late: str = "first-seen",
    tolerance: float = 0.008,
    surface: float | None = None,
    spacing: tuple[float, float] | None = None,
    offset: int | None = None,
    processes: int = 1,
    subset_of: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Score masks as the field does: J, F and J&F of DAVIS 2017, the mean over all objects of all videos.

    Parameters
    ----------
    prediction, truth
        A DAVIS root or folder of PNGs, a project file or :class:`Project`, a label array ``(T, Y, X)``, a synthetic clip,
        or a mapping of video names to any of these. The objects are those of the ground truth; what is predicted beyond
        them costs nothing. Ground truth may be sparse: only its annotated frames are scored. Neither is written to.
    skip, missing, void, late, tolerance, surface, spacing, offset
        See :class:`Protocol`.
    processes
        Videos are shared out among so many processes.
    subset_of
        The subset that a video belongs to, by name.
    progress
        Called with how many frames are done, and of how many; with several processes, how many videos.

    Raises
    ------
    EvaluationError
        If a video or frame is missing from the prediction, the two sides number their frames differently, sizes differ, or
        nothing is left to score.
    """
    protocol = Protocol(skip, missing, void, late, tolerance, surface, spacing, offset)
    if processes < 1:
        raise EvaluationError(f"processes={processes}: there must be at least one.")
    truths = find_videos(truth, void)
    predictions = name_alike(find_videos(prediction, None), truths)
    jobs = [(name, predictions[name], truths[name], protocol) for name in truths]
    results = _in_processes(jobs, processes, progress) if processes > 1 and len(jobs) > 1 else _in_turn(jobs, progress)
    objects = tuple(score for scores, _ in results for score in scores)
    frames = {key: value for _, per_frame in results for key, value in per_frame.items()}
    if not objects:
        raise EvaluationError("Nothing is left to score: the ground truth has no objects on the frames that count.")
    return Evaluation(protocol, objects, frames, dict(subset_of or {}))


Job = tuple[str, Masklets, Masklets, Protocol]
Result = tuple[list[ObjectScore], Frames]


def _in_turn(jobs: list[Job], progress: Progress | None) -> list[Result]:
    total, done = sum(len(list(job[2].frames)) for job in jobs) if progress else 0, 0
    results = []
    for job in jobs:
        before = done

        def report(frames: int, before: int = before) -> None:
            nonlocal done
            done = before + frames
            if progress is not None:
                progress(done, total)

        results.append(_score(job, report))
    return results


def _in_processes(jobs: list[Job], processes: int, progress: Progress | None) -> list[Result]:
    # A project's connection stays in its process: the others open the file themselves, to read.
    sent = [(name, ProjectFile.instead_of(p), ProjectFile.instead_of(t), protocol) for name, p, t, protocol in jobs]
    results = []
    with ProcessPoolExecutor(min(processes, len(jobs)), mp_context=get_context("spawn")) as pool:
        for done, result in enumerate(pool.map(_score, sent), 1):
            results.append(result)
            if progress is not None:
                progress(done, len(jobs))
    return results


def _score(job: Job, report: Callable[[int], None] | None = None) -> Result:
    name, prediction, truth, protocol = job
    with closed(prediction), closed(truth):
        prediction = aligned(name, prediction, truth, protocol.offset)
        identities = Identities()
        tracks = _score_frames(name, prediction, truth, protocol, identities, report)
        classes = {o.id: o.class_name or "" for o in truth.objects}
    scores = [
        _summarise(name, i, rows, classes.get(i, ""), identities.switches.get(i, 0))
        for i, rows in sorted(tracks.items())
        if rows
    ]
    frames = {(name, i): {row.t: FrameScore(row.j, row.f, row.present, row.predicted) for row in tracks[i]} for i in tracks}
    return scores, {key: rows for key, rows in frames.items() if rows}


class _Row:
    """One object on one scored frame."""

    __slots__ = ("dice", "f", "hd95", "j", "nsd", "predicted", "present", "t")

    def __init__(self, t: int, ours: NDArray[np.bool_], true: NDArray[np.bool_], protocol: Protocol) -> None:
        self.t = t
        self.present, self.predicted = bool(true.any()), bool(ours.any())
        self.j, self.f, self.dice = iou(ours, true), boundary_f(ours, true, protocol.tolerance), dice(ours, true)
        self.hd95 = self.nsd = math.nan
        if protocol.surface is not None:
            spacing = protocol.spacing or (1.0, 1.0)
            self.hd95 = hausdorff_95(ours, true, spacing)
            self.nsd = surface_dice(ours, true, protocol.surface, spacing)


def _score_frames(
    name: str,
    prediction: Masklets,
    truth: Masklets,
    protocol: Protocol,
    identities: Identities,
    report: Callable[[int], None] | None,
) -> dict[int, list[_Row]]:
    known = {o.id for o in truth.objects}
    tracks: dict[int, list[_Row]] = {i: [] for i in known} if protocol.late == "all" else {}
    frames = list(truth.frames)
    kept = {"ends": frames[1:-1], "prompt": frames[1:], "none": frames}[protocol.skip]
    if protocol.late == "own-clip" and protocol.skip != "none":
        kept = frames[:-1] if protocol.skip == "ends" else frames  # the first frame is another one for every object
    scored = set(kept)
    predicted: set[int] = set()
    for done, (t, true, ours) in enumerate(_masks(name, prediction, truth, protocol, scored), 1):
        true = {i: m for i, m in true.items() if i in known}
        predicted |= ours.keys()
        started = _starting(true, ours, known, tracks, protocol, t in scored)
        if t in scored:
            size = _size(name, t, true, ours)
            empty = np.zeros(size, dtype=bool)
            # In a project an object may be unknown on a frame on which another is known; elsewhere it is absent then.
            unknown = known - true.keys() if isinstance(truth, Project | ProjectFile) else set()
            for i, rows in tracks.items():
                if i not in unknown and (i not in started or protocol.late != "own-clip" or protocol.skip == "none"):
                    rows.append(_Row(t, ours.get(i, empty), true.get(i, empty), protocol))
            identities.feed(true, ours, {i: rows[-1].j for i, rows in tracks.items() if rows and rows[-1].t == t})
        if report is not None:
            report(done)
    if predicted and known and not predicted & known:
        text = f"{name}: the prediction has the ids {sorted(predicted)[:5]}, the ground truth {sorted(known)[:5]}"
        warnings.warn(f"{text}: objects are scored by their ids, so nothing is found. Give them the same ids.", stacklevel=2)
    if protocol.late == "first-seen":
        # As in vos-benchmark: what ground truth never shows on scored frames is not an object there.
        tracks = {i: rows for i, rows in tracks.items() if any(row.present for row in rows)}
    return tracks


MasksOf = Mapping[int, NDArray[np.bool_]]


def _starting(
    true: MasksOf, ours: MasksOf, known: set[int], tracks: dict[int, list[_Row]], protocol: Protocol, scored: bool
) -> set[int]:
    """Let the tracks begin of the objects that count from this frame on; return them."""
    shown = {i for i, m in true.items() if m.any()}
    if protocol.late == "first-seen":
        shown = (shown | {i for i, m in ours.items() if i in known and m.any()}) if scored else set()
    started = shown - set(tracks)
    tracks.update({i: [] for i in sorted(started)})
    return started


def _masks(
    name: str, prediction: Masklets, truth: Masklets, protocol: Protocol, scored: set[int]
) -> Iterator[tuple[int, MasksOf, MasksOf]]:
    """Yield frame, true and predicted masks, without what is void in the ground truth."""
    predicted = set(prediction.frames)
    ignored: Callable[[int], NDArray[np.bool_] | None] = getattr(truth, "ignored", lambda _: None)
    for t in truth.frames:
        true = truth.masks(t)
        if t in predicted:
            ours = prediction.masks(t)
        elif t in scored and protocol.missing == "error":
            raise EvaluationError(f"{name}: frame {t} has no prediction; use missing='empty' to count it as empty.")
        else:
            ours = {}
        void = ignored(t)
        if void is not None:
            _size(name, t, {0: void}, ours)
            true, ours = ({i: m & ~void for i, m in masks.items()} for masks in (true, ours))
        yield t, true, ours


def _size(name: str, t: int, true: MasksOf, ours: MasksOf) -> tuple[int, ...]:
    sizes = {m.shape for m in (*true.values(), *ours.values())}
    if len(sizes) > 1:
        a, b = sorted(sizes)[:2]
        raise EvaluationError(f"{name}: masks on frame {t} have the sizes {a} and {b} (Y, X); they must agree.")
    return sizes.pop() if sizes else (1, 1)


def _summarise(video: str, object_id: int, rows: list[_Row], class_name: str, switches: int) -> ObjectScore:
    j, there, ours = ([getattr(row, name) for row in rows] for name in ("j", "present", "predicted"))
    back = returns(there, j)
    distances = [row.hd95 for row in rows if not math.isnan(row.hd95)]
    return ObjectScore(
        video=video,
        object_id=object_id,
        frames=len(rows),
        j=float(np.mean(j)),
        f=float(np.mean([row.f for row in rows])),
        dice=float(np.mean([row.dice for row in rows])),
        absent_frames=there.count(False),
        false_presence=sum(row.predicted and not row.present for row in rows),
        visibility_switches=visibility_switches(there),
        predicted_switches=visibility_switches(ours),
        longest_lost=longest_lost(there, j),
        returns=back.count,
        reidentified=back.found,
        reidentified_after=back.frames,
        id_switches=switches,
        hd95=float(np.mean(distances)) if distances else math.nan,
        hd95_undefined=sum(row.present != row.predicted for row in rows) if not math.isnan(rows[0].nsd) else 0,
        nsd=float(np.mean([row.nsd for row in rows])),
        class_name=class_name,
    )

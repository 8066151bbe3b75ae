"""From a folder that a user downloaded to the project's masklet layout: DAVIS folders and a meta.json.

``TARGET/<subset>/`` holds ``JPEGImages/<video>/00012.jpg`` (annotated frames, numbered as in the source),
``Annotations/<video>/00012.png`` (palette, the value is the object's id), ``Ignore/`` where pixels are unlabelled,
``ImageSets/all.txt``, ``meta.json`` and, where links are uncertain, ``review.json``. Where objects overlap,
``Annotations_objects/<video>/001/00012.png`` keeps each of them whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.datasets.conversion_report import Linked, Made, Report
from napari_sam2s.datasets.instance_linking import Linker, Propagate
from napari_sam2s.datasets.metadata import Dataset
from napari_sam2s.datasets.source import Reading, SourceFrame, SourceVideo, close_videos
from napari_sam2s.datasets.subset_folder import SubsetFolder
from napari_sam2s.errors import DatasetError
from napari_sam2s.masklets import rle

Progress = Callable[[str, int, int], None]  # video, frames done, frames in all


def convert(
    dataset: Dataset,
    source: Path | str,
    target: Path | str | None,
    *,
    propagate: Propagate | None = None,
    progress: Progress | None = None,
) -> Report:
    """Convert a source dataset; with ``target=None`` read all of it and only count (a dry run).

    A video that is in ``meta.json`` is finished and left as it is, so that a conversion can be interrupted and gone on with.

    Parameters
    ----------
    dataset
        One of :data:`napari_sam2s.datasets.DATASETS`.
    source
        The folder with the download.
    target
        A folder for subsets; each becomes a folder of its own in it.
    propagate
        Our tracker, to link objects that the source does not; see :mod:`napari_sam2s.datasets.instance_linking`.
    progress
        Called with a video's name, the frames done and the frames in all.

    Raises
    ------
    DatasetError
        At the first thing that is not as the dataset's facts say, naming the file.
    """
    root = Path(source)
    if not root.is_dir():
        raise DatasetError(f"There is no folder {root}: give the folder with the download of {dataset.title}.")
    videos = list(dataset.read(root))
    _check(dataset, root, videos)
    total = sum(len(video.frames) for video in videos)
    writers = {} if target is None else {s.name: SubsetFolder(Path(target) / s.name, dataset, s) for s in dataset.subsets}
    made = {s.name: Made(s) for s in dataset.subsets}
    done = 0
    try:
        for video in videos:
            writer = writers.get(video.subset)
            if writer is not None and writer.has(video.name):
                writer.count(video.name, made[video.subset])
                done += len(video.frames)
                continue
            kept = _link(dataset, video, propagate, _after(progress, done, total))
            made[video.subset].add(kept, dataset, linked=writer is not None)
            if writer is not None:
                writer.write(kept)
            done += len(video.frames)
    finally:
        close_videos()
        for writer in writers.values():
            writer.commit()
    report = Report(dataset, None if target is None else Path(target), tuple(made.values()))
    for name, writer in writers.items():
        writer.finish(made[name])
    return report


def _after(progress: Progress | None, done: int, total: int) -> Callable[[str, int], None] | None:
    return None if progress is None else lambda video, n: progress(video, done + n, total)


def _check(dataset: Dataset, root: Path, videos: Iterable[SourceVideo]) -> None:
    names = Counter((video.subset, video.name) for video in videos)
    twice = [name for (_, name), count in names.items() if count > 1]
    if twice:
        raise DatasetError(f"{root} holds {twice[0]} more than once: keep one copy of {dataset.title} in it.")
    if not names:
        raise DatasetError(f"{root} has nothing of {dataset.title}. Expected is: {dataset.layout}.")


def _link(
    dataset: Dataset, video: SourceVideo, propagate: Propagate | None, progress: Callable[[str, int], None] | None
) -> Linked:
    linker = Linker(video.name, {i: c.name for i, c in dataset.categories.items()}, propagate)
    kept: Linked | None = None
    for n, frame in enumerate(video.frames):
        reading = frame.annotation()
        _check_size(frame, reading)
        if kept is None:
            kept = Linked(video, linker, reading.size)
        elif reading.size != kept.size:
            raise DatasetError(f"{video.name}: frame {frame.index} is {reading.size} (Y, X), those before {kept.size}.")
        masks = linker.step(frame, reading.instances)
        kept.masks.append({i: rle.encode(mask) for i, mask in masks.items()})
        kept.ignore.append(None if reading.ignore is None else rle.encode(reading.ignore))
        kept.overlapping_pixels += _overlap(masks.values())
        if progress is not None:
            progress(video.name, n + 1)
    if kept is None:
        raise DatasetError(f"{video.name} has no annotated frames. Expected is: {dataset.layout}.")
    return kept


def _check_size(frame: SourceFrame, reading: Reading) -> None:
    size = frame.picture.size()
    if size != reading.size:
        raise DatasetError(
            f"{frame.picture.path} is {size} (Y, X), its annotation {reading.size}: they belong to different frames."
        )


def _overlap(masks: Iterable[NDArray[np.bool_]]) -> int:
    depth: Any = 0
    for mask in masks:
        depth = depth + mask.astype(np.uint8)
    return int(np.count_nonzero(depth > 1)) if not isinstance(depth, int) else 0

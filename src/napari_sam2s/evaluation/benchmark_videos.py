"""The videos of a benchmark: the subsets below a folder, each a DAVIS root as ``napari-sam2s convert`` makes it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from napari_sam2s.errors import EvaluationError
from napari_sam2s.evaluation.published import SUBSETS
from napari_sam2s.formats.davis_layout import (
    ANNOTATIONS,
    PICTURES,
    DavisFolder,
    NumberedPictures,
    find_roots,
    picture_places,
    pictures_of,
    read_davis,
    split_of,
)
from napari_sam2s.video import Video, open_video


@dataclass(frozen=True)
class BenchmarkVideo:
    """One video of a subset: pictures and ground truth, both by the source's frame numbers."""

    subset: str
    name: str
    root: Path  # of the subset
    masks: Path
    pictures: Path

    def truth(self) -> DavisFolder:
        """Open the ground truth."""
        return DavisFolder(self.masks)

    def video(self) -> Video:
        """Open the pictures as a video without gaps."""
        return open_video(self.pictures)

    def frames(self) -> NumberedPictures:
        """Open the pictures by their own numbers."""
        return NumberedPictures(self.pictures)

    def places(self) -> dict[int, int]:
        """Return the place in the video of every frame; all that are annotated are there."""
        return picture_places(self.pictures, self.truth().frames)


def find_benchmark_videos(root: Path | str, subsets: Iterable[str] = ()) -> list[BenchmarkVideo]:
    """Find the subsets under a folder, up to two levels deep, and their videos; those of SA-SV come first.

    A subset is a folder with ``JPEGImages`` and ``Annotations``; its name is the folder's, and SA-SV's are known whatever
    their case and punctuation. What ``meta.json`` calls a training split is left out unless it is asked for by name.

    Raises
    ------
    EvaluationError
        If there is none, or one that is asked for is not there.
    FormatError
        If pictures of a video are missing.
    """
    root = Path(root)
    if not root.is_dir():
        raise EvaluationError(f"There is no folder {root}.")
    found: dict[str, Path] = {}
    for folder in find_roots(root):
        name = _canonical(folder.resolve().name)
        if name in found:
            raise EvaluationError(f"{found[name]} and {folder} are both called {name}: keep one of them in {root}.")
        found[name] = folder
    wanted = [_canonical(name) for name in subsets]
    absent = [name for name in wanted if name not in found]
    if absent:
        raise EvaluationError(f"{root} holds no subset {absent[0]!r}; there are {', '.join(found) or 'none'}.")
    order = [s.name for s in SUBSETS if s.name in found]
    order += [name for name in found if name not in order and (name in wanted or split_of(found[name]) != "train")]
    chosen = [name for name in order if not wanted or name in wanted]
    videos = [
        BenchmarkVideo(name, video, found[name], masks.folder, pictures_of(found[name], masks))
        for name in chosen
        for video, masks in read_davis(found[name]).items()
    ]
    if not videos:
        raise EvaluationError(
            f"{root} holds no subset to test on: a folder with {PICTURES}/<video> and {ANNOTATIONS}/<video>, as "
            "`napari-sam2s convert` makes it."
        )
    return videos


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _canonical(name: str) -> str:
    return next((s.name for s in SUBSETS if _plain(s.name) == _plain(name)), name)

"""Recordings with ground truth on disk, in the project's masklet layout: DAVIS folders, whose numbers are the source's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import EvaluationError
from napari_sam2s.evaluation.published import SUBSETS
from napari_sam2s.formats.davis import ANNOTATIONS, META, read_davis
from napari_sam2s.masklets.protocol import Masklets
from napari_sam2s.masklets.types import Object
from napari_sam2s.video import Video, open_video
from napari_sam2s.video.image_folder import picture_numbers

PICTURES = "JPEGImages"


class Frames:
    """The pictures of a folder by their own numbers: ``frames[25]`` is ``00025.jpg``, ``(Y, X, 3)``."""

    def __init__(self, folder: Path) -> None:
        self._video = open_video(folder)
        self._places = {number: place for place, number in enumerate(picture_numbers(folder))}

    def __getitem__(self, number: int) -> NDArray[np.uint8]:
        return self._video[self._places[number]]


@dataclass
class Renumbered:
    """Masklets whose frame ``n`` becomes ``numbers[n]``: from places in a sequence to the source's numbers."""

    masklets: Any
    numbers: Sequence[int]

    @property
    def objects(self) -> Sequence[Object]:
        """The objects."""
        return tuple(self.masklets.objects)

    @property
    def frames(self) -> list[int]:
        """Frames by their new numbers."""
        return [self.numbers[place] for place in self.masklets.frames]

    @cached_property
    def _places(self) -> Mapping[int, int]:
        return {number: place for place, number in enumerate(self.numbers)}

    def masks(self, frame: int) -> Mapping[int, NDArray[np.bool_]]:
        """Return ``{object id: (Y, X) bool}``."""
        masks: Mapping[int, NDArray[np.bool_]] = self.masklets.masks(self._places[frame])
        return masks


@dataclass(frozen=True)
class Recording:
    """One video of a subset: pictures and ground truth."""

    subset: str
    name: str
    root: Path  # of the subset

    @property
    def pictures(self) -> Path:
        """Its folder of pictures."""
        return self.root / PICTURES / self.name

    def video(self) -> Video:
        """Open the pictures as a video without gaps."""
        return open_video(self.pictures)

    def frames(self) -> Frames:
        """Open the pictures by their own numbers."""
        return Frames(self.pictures)

    def numbers(self) -> list[int]:
        """Return the source's number of every frame of the video."""
        return picture_numbers(self.pictures)

    def truth(self) -> Masklets:
        """Return the ground truth, by the source's numbers."""
        truth = read_davis(self.root)[self.name]
        lacking = sorted(set(truth.frames) - set(self.numbers()))
        if lacking:
            raise EvaluationError(f"{self.pictures} has no picture of the annotated frame {lacking[0]} ({len(lacking)} lack).")
        return truth


def find_recordings(root: Path | str, subsets: Iterable[str] = ()) -> list[Recording]:
    """Find the subsets under a folder, up to two levels deep, and their videos; those of SA-SV come first.

    A subset is a folder with ``JPEGImages`` and ``Annotations``; its name is the folder's, and SA-SV's are known whatever
    their case and punctuation. What ``meta.json`` calls a training split is left out unless it is asked for by name.

    Raises
    ------
    EvaluationError
        If there is none, one that is asked for is not there, or pictures of a video are missing.
    """
    root = Path(root)
    if not root.is_dir():
        raise EvaluationError(f"There is no folder {root}.")
    folders = [f for f in (root, *sorted(root.glob("*")), *sorted(root.glob("*/*"))) if _is_subset(f)]
    found: dict[str, Path] = {}
    for folder in folders:
        name = _canonical(folder.resolve().name)
        if name in found:
            raise EvaluationError(f"{found[name]} and {folder} are both called {name}: keep one of them in {root}.")
        found[name] = folder
    wanted = [_canonical(name) for name in subsets]
    absent = [name for name in wanted if name not in found]
    if absent:
        raise EvaluationError(f"{root} holds no subset {absent[0]!r}; there are {', '.join(found) or 'none'}.")
    order = [s.name for s in SUBSETS if s.name in found]
    order += [name for name in found if name not in order and (name in wanted or not _is_training(found[name]))]
    chosen = [name for name in order if not wanted or name in wanted]
    recordings = [recording for name in chosen for recording in _recordings(name, found[name])]
    if not recordings:
        raise EvaluationError(
            f"{root} holds no subset to test on: a folder with {PICTURES}/<video> and {ANNOTATIONS}/<video>, as "
            "`napari-sam2s convert` makes it."
        )
    return recordings


def _is_subset(folder: Path) -> bool:
    return (folder / PICTURES).is_dir() and (folder / ANNOTATIONS).is_dir()


def _recordings(subset: str, folder: Path) -> list[Recording]:
    names = list(read_davis(folder))
    for name in names:
        if not (folder / PICTURES / name).is_dir():
            raise EvaluationError(f"{folder / PICTURES} has no pictures of {name}, which is annotated.")
    return [Recording(subset, name, folder) for name in names]


def _is_training(folder: Path) -> bool:
    path = folder / META
    if not path.is_file():
        return False
    try:
        return bool(json.loads(path.read_text(encoding="utf-8")).get("split") == "train")
    except (ValueError, AttributeError) as error:
        raise EvaluationError(f"{path} cannot be read ({error}).") from error


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _canonical(name: str) -> str:
    return next((s.name for s in SUBSETS if _plain(s.name) == _plain(name)), name)

"""Real videos with masks on disk, to learn from or to judge by: projects, DAVIS roots, and folders of such roots."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import ProjectError, TrainingError
from napari_sam2s.formats.davis import ANNOTATIONS, META, DavisFolder, read_davis
from napari_sam2s.masklets import Masklets, Project
from napari_sam2s.masklets.types import Object
from napari_sam2s.video import open_video
from napari_sam2s.video.image_folder import picture_numbers

PICTURES = "JPEGImages"


class Truth(Masklets, Protocol):
    """Masks by their frame in the video, and what is not known of them."""

    def unknown(self, frame: int) -> frozenset[int]:
        """Return the objects that nobody looked for on a frame."""

    def ignored(self, frame: int) -> NDArray[np.bool_] | None:
        """Return the pixels ``(Y, X)`` of a frame that nobody labelled; ``None`` if there are none."""


@dataclass(frozen=True)
class Recording:
    """A video, and what is known of the objects in it."""

    name: str
    video: Any  # shape (T, Y, X, 3), video[i] a frame
    truth: Truth
    path: Path  # of the video


class ProjectTruth:
    """The masks of a project. An object without a mask on a frame is unknown there: absence is an empty mask."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self.objects: Sequence[Object] = project.objects
        # Masks of removed objects are still in the file, and their frames among the project's.
        self._known = {o.id: frozenset(map(int, project.masks.series(o.id).frames)) for o in self.objects}
        self.frames = sorted(frozenset[int]().union(*self._known.values()))

    def masks(self, frame: int) -> Mapping[int, NDArray[np.bool_]]:
        """Return ``{object id: (Y, X) bool}``."""
        return self._project.masks(frame)

    def unknown(self, frame: int) -> frozenset[int]:
        """Return the objects that nobody looked for on a frame."""
        return frozenset(i for i, frames in self._known.items() if frame not in frames)

    def ignored(self, frame: int) -> None:
        """Return ``None``: a project has no void pixels."""


class FolderTruth:
    """The masks of a DAVIS folder, whose files are named by the source's numbers; here a frame is a picture's place."""

    def __init__(self, folder: DavisFolder, pictures: Path) -> None:
        places = {number: place for place, number in enumerate(picture_numbers(pictures))}
        lacking = [number for number in folder.frames if number not in places]
        if lacking:
            raise TrainingError(
                f"{pictures} has no picture of the annotated frame {lacking[0]} ({len(lacking)} lack): pictures and masks "
                "belong together by their numbers, so give both the same."
            )
        self._folder = folder
        self._numbers = {places[number]: number for number in folder.frames}
        self.frames = sorted(self._numbers)

    @property
    def objects(self) -> Sequence[Object]:
        """The objects."""
        return self._folder.objects

    def masks(self, frame: int) -> Mapping[int, NDArray[np.bool_]]:
        """Return ``{object id: (Y, X) bool}``."""
        return self._folder.masks(self._numbers[frame])

    def unknown(self, frame: int) -> frozenset[int]:
        """Return no objects: all are annotated on a frame that has a file."""
        return frozenset()

    def ignored(self, frame: int) -> NDArray[np.bool_] | None:
        """Return the pixels ``(Y, X)`` that are void or unlabelled; ``None`` if there are none."""
        return self._folder.ignored(self._numbers[frame])


def open_recordings(source: Path) -> Iterator[Recording]:
    """Open a project, or the videos of a DAVIS root or of a folder of such roots (as `napari-sam2s convert` makes it).

    Of a folder of roots those are left out that their ``meta.json`` calls a test split.

    Raises
    ------
    TrainingError
        If a video is gone or not the one the masks belong to, or there are only test splits.
    FormatError
        If there are no masks.
    """
    if source.is_file():
        yield _open_project(source)
        return
    roots = _roots(source)
    for root in roots:
        for name, folder in read_davis(root).items():
            shown = name if roots == [source] else f"{root.name}/{name}"
            pictures = _pictures(root, folder, shown)
            yield Recording(shown, open_video(pictures), FolderTruth(folder, pictures), pictures.resolve())


def _open_project(path: Path) -> Recording:
    project = Project.open(path, mode="r")
    if project.video.path is None or not project.video.path.exists():
        raise TrainingError(f"The video {project.video.path} of {path} is gone: put it beside the project.")
    video = open_video(project.video.path)
    try:
        project.video.check(video)
    except ProjectError as error:
        raise TrainingError(f"{project.video.path} is not the video of {path}. {error}") from error
    return Recording(path.stem, video, ProjectTruth(project), project.video.path.resolve())


def _pictures(root: Path, folder: DavisFolder, name: str) -> Path:
    """Return where the pictures of a video are: under a resolution, as DAVIS's 480p, if its masks are."""
    inside = folder.folder.relative_to(root / ANNOTATIONS if (root / ANNOTATIONS).is_dir() else root)
    for pictures in (root / PICTURES / inside, root / PICTURES / folder.name):
        if pictures.is_dir():
            return pictures
    raise TrainingError(f"The masks of {name} have no pictures: there is no folder {root / PICTURES / inside}.")


def _roots(source: Path) -> list[Path]:
    """Return a DAVIS root itself, or those up to two levels below a folder."""
    if (source / ANNOTATIONS).is_dir():
        return [source]
    below = [*sorted(source.glob("*")), *sorted(source.glob("*/*"))]
    roots = [folder for folder in below if (folder / PICTURES).is_dir() and (folder / ANNOTATIONS).is_dir()]
    if not roots:
        return [source]
    kept = [root for root in roots if not _is_test(root)]
    if not kept:
        raise TrainingError(f"{source} holds nothing but test splits (so says their {META}): name one to use it all the same.")
    return kept


def _is_test(root: Path) -> bool:
    path = root / META
    if not path.is_file():
        return False
    try:
        return bool(json.loads(path.read_text(encoding="utf-8")).get("split") == "test")
    except (ValueError, AttributeError) as error:
        raise TrainingError(f"{path} cannot be read ({error}).") from error

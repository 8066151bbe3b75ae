"""Real videos with masks on disk, to learn from or to judge by: projects, DAVIS roots, and folders of such roots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import ProjectError, TrainingError
from napari_sam2s.formats.davis_layout import (
    ANNOTATIONS,
    META,
    find_roots,
    picture_places,
    pictures_of,
    read_davis,
    split_of,
)
from napari_sam2s.masklets import Masklets, Project
from napari_sam2s.masklets.protocol import Renumbered
from napari_sam2s.masklets.types import Object
from napari_sam2s.video import open_video


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


class FolderTruth(Renumbered):
    """The masks of a DAVIS folder; a frame is a picture's place, as in the video of its pictures."""

    def unknown(self, frame: int) -> frozenset[int]:
        """Return no objects: all are annotated on a frame that has a file."""
        return frozenset()


def open_recordings(source: Path) -> Iterator[Recording]:
    """Open a project, or the videos of a DAVIS root or of a folder of such roots (as `napari-sam2s convert` makes it).

    Of a folder of roots those are left out that their ``meta.json`` calls a test split.

    Raises
    ------
    TrainingError
        If a video is gone or not the one the masks belong to, or there are only test splits.
    FormatError
        If there are no masks, or masks have no picture.
    """
    if source.is_file():
        yield _open_project(source)
        return
    roots = _roots(source)
    for root in roots:
        for name, folder in read_davis(root).items():
            shown = name if roots == [source] else f"{root.name}/{name}"
            pictures = pictures_of(root, folder)
            truth = FolderTruth(folder, picture_places(pictures, folder.frames))
            yield Recording(shown, open_video(pictures), truth, pictures.resolve())


def _open_project(path: Path) -> Recording:
    project = Project.open(path, mode="r")
    project.store.check_pages()
    if project.video.path is None or not project.video.path.exists():
        raise TrainingError(f"The video {project.video.path} of {path} is no longer there: put it beside the project.")
    video = open_video(project.video.path)
    try:
        project.video.check(video)
    except ProjectError as error:
        raise TrainingError(f"{project.video.path} is not the video of {path}. {error}") from error
    return Recording(path.stem, video, ProjectTruth(project), project.video.path.resolve())


def _roots(source: Path) -> list[Path]:
    """Return a DAVIS root itself, or those up to two levels below a folder."""
    if (source / ANNOTATIONS).is_dir():
        return [source]
    roots = find_roots(source)
    if not roots:
        return [source]
    kept = [root for root in roots if split_of(root) != "test"]
    if not kept:
        raise TrainingError(f"{source} holds only test splits (as their {META} says): name one split to use it anyway.")
    return kept

"""What can be scored: folders, project files, projects, clips and arrays, as masklets by the names of their videos."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import EvaluationError, FormatError, Sam2sError
from napari_sam2s.formats.davis_layout import read_davis
from napari_sam2s.masklets import Project
from napari_sam2s.masklets.protocol import LabelMasklets, Masklets, Renumbered
from napari_sam2s.masklets.types import Object
from napari_sam2s.masklets.validation import plain
from napari_sam2s.wording import counted


class ProjectFile:
    """The masks of a project file, opened to read when they are asked for; it can be sent to another process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._project: Project | None = None

    @classmethod
    def instead_of(cls, masklets: Masklets) -> Masklets:
        """Return the file of an open project, and anything else as it is."""
        return cls(masklets.path) if isinstance(masklets, Project) else masklets

    def _opened(self) -> Project:
        if self._project is None:
            self._project = Project.open(self.path, mode="r")
            self._project.store.check_pages()
        return self._project

    @property
    def objects(self) -> Sequence[Object]:
        """Objects of the project."""
        return self._opened().objects

    @property
    def frames(self) -> Iterable[int]:
        """Frames on which anything is known."""
        return self._opened().frames

    def masks(self, frame: int) -> Mapping[int, NDArray[np.bool_]]:
        """Return ``{object id: (Y, X) bool}``."""
        return self._opened().masks(frame)

    def close(self) -> None:
        """Close the file; asking for more opens it again."""
        if self._project is not None:
            self._project.close()
            self._project = None

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_project": None}


@contextmanager
def closed(masklets: Masklets) -> Iterator[None]:
    """Close afterwards what was opened here."""
    try:
        yield
    finally:
        if isinstance(masklets, ProjectFile):
            masklets.close()


def find_videos(source: Any, void: int | None) -> dict[str, Masklets]:
    """Return the masklets of one side of an evaluation, by the names of the videos.

    Raises :class:`EvaluationError` if it is nothing that can be scored.
    """
    try:
        source = plain(source)
    except Sam2sError as error:
        raise EvaluationError(str(error)) from None
    if isinstance(source, Mapping):
        videos: dict[str, Masklets] = {}
        for name, value in source.items():
            inner = find_videos(value, void)
            if len(inner) != 1:
                raise EvaluationError(
                    f"{name!r} holds {counted(len(inner), 'video')}: name each one, or give its folder alone."
                )
            videos[str(name)] = next(iter(inner.values()))
        return videos
    if isinstance(source, str | Path):
        path = Path(source)
        if path.is_file():
            Project.open(path, mode="r").close()  # so that what is no project is said at once
            return {path.stem: ProjectFile(path)}
        return dict(read_davis(path, void=void))
    if isinstance(source, Project):
        return {source.path.stem: source}
    if hasattr(source, "masks") and hasattr(source, "frames"):
        return {str(getattr(source, "name", "video")): source}
    if hasattr(source, "shape") and hasattr(source, "dtype"):
        try:
            if np.ma.is_masked(source):
                raise FormatError("Some pixels of the labels are masked. Fill them first, as in `labels.filled(0)`.")
            return {"video": LabelMasklets(source)}
        except FormatError as error:
            raise EvaluationError(str(error)) from error
    raise EvaluationError(f"A {type(source).__name__} cannot be scored: give a folder, a project or an array (T, Y, X).")


def aligned(name: str, prediction: Masklets, truth: Masklets, offset: int | None) -> Masklets:
    """Return a prediction with ``offset`` added to its frame numbers.

    Raises :class:`EvaluationError` if sizes differ; or no offset is given, and one side counts its frames from 0 and the
    other the same ones from 1.
    """
    sizes = [tuple(shape[1:3]) for m in (prediction, truth) if (shape := getattr(m, "shape", None)) is not None]
    if len(set(sizes)) > 1:
        raise EvaluationError(
            f"{name}: prediction and ground truth have the sizes {sizes[0]} and {sizes[1]} (Y, X); they must agree."
        )
    if offset is None:
        ours, true = list(prediction.frames), list(truth.frames)
        if ours and true and {min(ours), min(true)} == {0, 1} and max(true) - max(ours) == min(true) - min(ours):
            raise EvaluationError(
                f"{name}: the frames of the prediction are {min(ours)} to {max(ours)}, of the ground truth {min(true)} to "
                f"{max(true)}: if they are the same ones, give offset={min(true) - min(ours)} (--offset), else offset=0."
            )
    if not offset:
        return prediction
    return Renumbered(prediction, {frame: frame + offset for frame in prediction.frames})


def name_alike(predictions: Mapping[str, Masklets], truths: Mapping[str, Masklets]) -> dict[str, Masklets]:
    """Return the predictions by the names that the ground truth gives the videos.

    One video on each side is the same video, whatever the folders are called.

    Raises :class:`EvaluationError` if a video is missing.
    """
    if len(truths) == len(predictions) == 1:
        return {next(iter(truths)): next(iter(predictions.values()))}
    # Earlier exports have the ending of the video in their names.
    known = {Path(name).stem: masklets for name, masklets in predictions.items()} if len(predictions) > 1 else {}
    if len(known) == len(predictions):
        predictions = known | dict(predictions)
    lacking = sorted(set(truths) - set(predictions))
    if lacking:
        raise EvaluationError(f"The prediction has no video {lacking[0]!r} ({len(lacking)} of {len(truths)} are missing).")
    return {name: predictions[name] for name in truths}

"""What a tracker is made of, checked before it is: a model, an open video, and where results go."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_sam2s.errors import TrackingError
from napari_sam2s.masklets import Project


def shape_of_video(video: Any) -> tuple[int, int, int]:
    """Return ``(T, Y, X)`` of a video of RGB frames.

    Raises :class:`TrackingError` if it is not open, or has another shape or type.
    """
    if not hasattr(video, "shape"):
        raise TrackingError(f"{_say(video)} is not an open video: give what sam2s.open_video(PATH) returns.")
    shape = tuple(int(n) for n in video.shape)
    if len(shape) != 4 or shape[3] != 3 or min(shape) < 1:
        raise TrackingError(f"A video has the shape (T, Y, X, 3); got {shape}. Open it with sam2s.open_video.")
    if (kind := np.dtype(getattr(video, "dtype", np.uint8))) != np.uint8:
        raise TrackingError(f"The frames are of {kind}, but uint8 is needed: open them with sam2s.open_video.")
    return shape[0], shape[1], shape[2]


def check_parts(model: Any, project: Any, shape: tuple[int, int, int]) -> None:
    """Make sure that a model can be asked, and that results may go where they are to.

    Raises :class:`TrackingError` if it is a name or path alone, or the project is that of a video of another ``shape``,
    ``(T, Y, X)``.
    """
    if not (hasattr(model, "facts") or hasattr(model, "create")):  # here, or in an engine
        raise TrackingError(f"{_say(model)} is not a model: give what sam2s.load_model(NAME) returns.")
    if project is not None and not hasattr(project, "write_masks"):
        raise TrackingError(f"{_say(project)} is not an open project: give what sam2s.Project.open(PATH) returns.")
    if isinstance(project, Project) and project.shape != shape:
        raise TrackingError(
            f"The project's video has {project.shape} frames, rows and columns, and this one {shape}: it is another."
        )


def _say(thing: Any) -> str:
    return f"{str(thing)!r}" if isinstance(thing, str) or hasattr(thing, "__fspath__") else f"A {type(thing).__name__}"

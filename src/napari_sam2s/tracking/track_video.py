"""The whole of it in one call: a video and prompts in, masks out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from napari_sam2s.errors import TrackingError
from napari_sam2s.masklets.colours import COLOURS
from napari_sam2s.masklets.types import Object, Prompt
from napari_sam2s.model.checkpoints import load_model
from napari_sam2s.model.video_model import VideoModel
from napari_sam2s.tracking.crop_tracker import make_tracker
from napari_sam2s.tracking.frame_ranges import Direction, directions
from napari_sam2s.tracking.policy import MemoryPolicy
from napari_sam2s.tracking.results import MemoryResults, ResultStore
from napari_sam2s.tracking.tracker import Tracker
from napari_sam2s.video import open_video


class Masks(MemoryResults):
    """What :func:`track` gives: masks and scores of every frame, as run lengths in memory."""

    def __init__(self, shape: tuple[int, int, int], objects: tuple[Object, ...]) -> None:
        super().__init__(shape[1:])
        self.shape = shape
        self.objects = objects

    @classmethod
    def for_objects(cls, video: Any, ids: Iterable[int]) -> Masks:
        """Return none yet, of objects with these ids in a video ``(T, Y, X, ...)``."""
        t, y, x = (int(n) for n in video.shape[:3])
        return cls((t, y, x), tuple(Object(i, f"object {i}", colour=COLOURS[(i - 1) % len(COLOURS)]) for i in sorted(ids)))


def track(
    video: Any,
    prompts: Iterable[Prompt],
    *,
    model: VideoModel | str | Path = "sam2s-nano",
    memory: str | MemoryPolicy = "divemem",
    start: int | None = None,
    stop: int | None = None,
    direction: Direction = "forward",
    rate: float | None = None,
    project: ResultStore | None = None,
    device: str = "auto",
    crop: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> ResultStore:
    """Track objects through a video.

    Parameters
    ----------
    video
        Whatever :func:`open_video` opens: a path, an array, a :class:`Video`.
    prompts
        Where objects are, at least one prompt each.
    model
        A loaded model, or the name or path of one.
    memory, start, stop, direction, rate
        See :class:`Tracker` and :meth:`Tracker.propagate`.
    project
        Where results go; by default memory, which suits short videos.
    crop
        Whether each object is tracked at full resolution in a crop that follows it, for small objects in large frames:
        see :class:`CropTracker`.
    progress
        Called after each frame with how many are done, and of how many.

    Returns
    -------
    Project or Masks
        ``.masks(frame)`` is ``{object id: (Y, X) bool}``, ``.scores(frame)`` is ``{object id: Scores}``.
    """
    prompts = list(prompts)
    if not prompts:
        raise TrackingError("There is nothing to track: give at least one Prompt(object_id, frame, points=...).")
    if wrong := [p for p in prompts if not isinstance(p, Prompt)]:
        raise TrackingError(
            f"{wrong[0]!r} is not a Prompt: give Prompt(object_id, frame, points=...), from napari_sam2s.masklets."
        )
    opened = open_video(video)
    network: VideoModel = load_model(model, device=device) if isinstance(model, str | Path) else model
    results = project if project is not None else Masks.for_objects(opened, {p.object_id for p in prompts})
    tracker = make_tracker(network, opened, results, memory, crop=crop)
    for p in prompts:
        tracker.give(p)
    total = count_frames(tracker, start, stop, direction)
    for done, _ in enumerate(tracker.propagate(start, stop, direction, rate=rate), 1):
        if progress is not None:
            progress(done, total)
    return results


def count_frames(tracker: Tracker, start: int | None, stop: int | None, direction: Direction) -> int:
    """Return how many frames a run visits."""
    return sum(len(tracker.frames(tracker.object_ids, start, end, sign)) for sign, end in directions(direction, stop))

"""One object that a crop follows: an ordinary tracker on a video that shows only the window around it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import TrackingError
from napari_sam2s.masklets import rle
from napari_sam2s.masklets.mask_writer import Row
from napari_sam2s.masklets.types import Origin, Prompt, Scores
from napari_sam2s.model.frames import resize_frame
from napari_sam2s.model.video_model import VideoModel
from napari_sam2s.tracking.candidates import Candidate
from napari_sam2s.tracking.crop_window import Bounds, Window, around, better_for, box_of, first_window, following, holds
from napari_sam2s.tracking.engine import EngineModel
from napari_sam2s.tracking.policy import MemoryPolicy
from napari_sam2s.tracking.prompts import merge
from napari_sam2s.tracking.results import ResultStore
from napari_sam2s.tracking.tracker import Tracker

ATTEMPTS = 4  # at a window that suits what is found in it


@dataclass
class Windows:
    """The windows of one object by frame; of other frames the one around the mask that is known there."""

    object_id: int
    store: ResultStore
    frame: tuple[int, int]  # (Y, X) of the video
    known: dict[int, Window] = field(default_factory=dict)

    def __getitem__(self, frame: int) -> Window:
        if frame not in self.known:
            mask = self.store.mask(frame, self.object_id)
            box = None if mask is None else box_of(rle.encode(mask))
            if box is None:
                raise LookupError(f"nothing says where object {self.object_id} is on frame {frame}")
            self.known[frame] = around(box, self.frame)
        return self.known[frame]


class WindowedVideo:
    """The video as one object's windows show it: ``video[i]`` is ``(size, size, 3)``."""

    dtype = np.dtype(np.uint8)
    reads_ahead = False  # the next window depends on what is found in this one

    def __init__(self, video: Any, windows: Windows, size: int) -> None:
        self._video, self._windows = video, windows
        self.shape = (int(video.shape[0]), size, size, 3)

    def __getitem__(self, frame: int) -> NDArray[np.uint8]:
        """Return a frame; LookupError where the object was not looked for yet, so that nobody reads ahead."""
        window = self._windows[frame]
        part = np.asarray(self._video[frame])[window.rows, window.columns]
        return resize_frame(part, self.shape[1])


class WindowResults:
    """Where the tracker of a window puts what it finds: in the real results, in coordinates of the video."""

    def __init__(self, windows: Windows, size: int) -> None:
        self._windows, self._size = windows, size
        self.latest: tuple[int, rle.Mask] | None = None  # frame and mask in the video, of what was written last
        self.answer: Scores | None = None

    def write_masks(self, rows: Iterable[Row], *, origin: Origin = "propagated", run: int | None = None) -> None:
        """Keep masks of windows."""
        placed = []
        for frame, object_id, mask, scores in rows:
            array = rle.decode(mask, (self._size, self._size)) if isinstance(mask, rle.Mask) else mask
            self.latest = frame, self._windows[frame].place(array)
            placed.append((frame, object_id, self.latest[1], scores))
        self._windows.store.write_masks(placed, origin=origin, run=run)

    def mask(self, frame: int, object_id: int) -> NDArray[np.bool_] | None:
        """Return what a window shows of a mask that is known."""
        mask = self._windows.store.mask(frame, object_id)
        if mask is None:
            return None
        empty = not mask.any() and frame not in self._windows.known
        return np.zeros((self._size, self._size), bool) if empty else self._windows[frame].cut_mask(mask, self._size)

    def scores(self, frame: int) -> dict[int, Scores]:
        """Return the scores of a frame."""
        return self._windows.store.scores(frame)

    def keep_prompt(self, prompt: Prompt, mask: NDArray[np.bool_], scores: Scores | None, *, reset: bool = False) -> None:
        """Note the answer; the prompt itself is kept when its window is settled."""
        self.answer = scores

    def prompts(self, object_id: int | None = None, frame: int | None = None) -> list[Prompt]:
        """Return the prompts, in coordinates of the video."""
        return self._windows.store.prompts(object_id, frame)


class CropObject:
    """An object and the window that follows it; see :class:`CropTracker`."""

    def __init__(
        self,
        object_id: int,
        model: VideoModel | EngineModel,
        video: Any,
        store: ResultStore,
        memory: str | MemoryPolicy,
        size: int,
    ) -> None:
        self.id = object_id
        self.size = size
        self.frame = (int(video.shape[1]), int(video.shape[2]))
        self._store = store
        self._windows = Windows(object_id, store, self.frame)
        self._results = WindowResults(self._windows, size)
        # It encodes a frame in one window, then moves on: there is nothing to come back to in a cache.
        self.tracker = Tracker(model, WindowedVideo(video, self._windows, size), self._results, memory, cache_bytes=0)
        self.last: tuple[int, Window] | None = None  # the frame that was tracked last, and its window

    @property
    def conditioning(self) -> list[int]:
        """The object's conditioning frames."""
        return self.tracker.conditioning.get(self.id, [])

    def prompt(self, prompt: Prompt, *, reset: bool) -> NDArray[np.bool_]:
        """Answer a prompt in a window that suits it; return the mask ``(Y, X)``."""
        frame = prompt.frame
        before = [] if reset else self._store.prompts(self.id, frame)
        whole = reduce(merge, [*before, prompt])
        window = self._windows.known.get(frame) if frame in self.conditioning and not reset else None
        fresh = window is None or not holds(window, whole)
        if fresh:
            window = first_window(whole, None if reset else self._box(frame), self.frame, self.size)
        assert window is not None
        for attempt in range(ATTEMPTS):
            found = self._answer(whole if fresh else prompt, window, fresh=fresh, reset=reset)
            better = better_for(window, box_of(found), self.frame)
            if prompt.mask is not None or better is None or better == window or attempt == ATTEMPTS - 1:
                break
            window, fresh = better, True
        mask = prompt.mask.copy() if prompt.mask is not None else rle.decode(found, self.frame)
        self._store.keep_prompt(prompt, mask, self._results.answer, reset=reset)
        return mask

    def _answer(self, prompt: Prompt, window: Window, *, fresh: bool, reset: bool) -> rle.Mask:
        frame = prompt.frame
        if fresh:
            if frame in self.conditioning:
                self.tracker.forget(self.id, frame)
            self.tracker.forget_frames()
            self._windows.known[frame] = window
        try:
            return window.place(self.tracker.give(window.cut(prompt, self.size), reset=reset))
        finally:
            if frame not in self.conditioning:  # it was refused
                self._windows.known.pop(frame, None)

    def candidates(self, prompt: Prompt, window: Window) -> list[Candidate]:
        """Return what a first prompt may mean, as masks ``(size, size)`` of a window."""
        self._windows.known[prompt.frame] = window
        cut = window.cut(prompt, self.size)
        return self.tracker.candidates(prompt.frame, points=cut.points or None, labels=cut.labels or None, box=cut.box)

    def replay(self, prompt: Prompt) -> None:
        """Take up a prompt that the results hold already."""
        frame = prompt.frame
        known = self._windows.known.get(frame) if frame in self.conditioning else None
        if known is None or not holds(known, prompt):
            if known is not None:
                self.tracker.forget(self.id, frame)
            whole = reduce(merge, [*self._store.prompts(self.id, frame), prompt])
            self.tracker.forget_frames()
            self._windows.known[frame] = first_window(whole, self._box(frame), self.frame, self.size)
        self.tracker.replay(self._windows.known[frame].cut(prompt, self.size))

    def forget(self, frame: int | None) -> None:
        """Forget the prompts of a frame, or all."""
        self.tracker.forget(self.id, frame)
        self._keep_windows()

    def follow(self, frames: range) -> Iterator[tuple[int, rle.Mask | None]]:
        """Track the object; yield each frame with its mask, ``None`` where it is not tracked yet."""
        if self.last is not None and self.last[0] != frames.start - frames.step:
            self.last = None
        self._keep_windows()
        self.tracker.forget_frames()
        direction = "forward" if frames.step > 0 else "backward"
        steps = self.tracker.propagate(frames.start, frames.stop, direction, objects=[self.id])  # type: ignore[arg-type]
        for frame in frames:
            if frame not in self.conditioning:
                self._windows.known[frame] = self._next_window(frame, frames.step)
            self._results.latest = None
            reached, _ = next(steps)
            if reached != frame:
                raise TrackingError(f"Frame {reached} came where {frame} was expected. Propagate again.")
            latest = self._results.latest
            self.last = frame, self._windows.known[frame]
            if frame in self.conditioning:
                mask = self._store.mask(frame, self.id)
                yield frame, None if mask is None else rle.encode(mask)
            else:
                # Its frame before is all that the next window needs.
                self._windows.known.pop(frame - frames.step, None) if frame - frames.step not in self.conditioning else None
                yield frame, None if latest is None else latest[1]

    def _next_window(self, frame: int, sign: int) -> Window:
        before = frame - sign
        box = self._box(before) if before >= 0 else None
        if self.last is not None and self.last[0] == before:
            return following(self.last[1], box, self.frame, self.size)
        if before in self._windows.known:
            return following(self._windows.known[before], box, self.frame, self.size)
        if box is not None:
            return around(box, self.frame)
        nearest = min(self.conditioning, key=lambda t: abs(t - frame))
        return self._windows[nearest]

    def _box(self, frame: int) -> Bounds | None:
        mask = self._store.mask(frame, self.id)
        return None if mask is None else box_of(rle.encode(mask))

    def _keep_windows(self) -> None:
        """Forget the windows of frames without prompts: the object may be looked for elsewhere there."""
        for frame in self._windows.known.keys() - set(self.conditioning):
            del self._windows.known[frame]

    def state(self) -> dict[str, Any]:
        """Return the windows, as plain data."""
        windows = {str(t): vars(self._windows.known[t]) for t in self.conditioning}
        return {"windows": windows, "last": None if self.last is None else [self.last[0], vars(self.last[1])]}

    def restore(self, snapshot: bytes, state: dict[str, Any]) -> None:
        """Go back to what :meth:`state` and the tracker's snapshot say."""
        self.tracker.restore(snapshot)
        self.tracker.forget_frames()
        self._windows.known = {int(t): Window(**window) for t, window in state["windows"].items()}
        self.last = None if state["last"] is None else (int(state["last"][0]), Window(**state["last"][1]))

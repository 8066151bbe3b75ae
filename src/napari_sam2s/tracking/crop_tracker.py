"""Tracking small objects in large frames: each at full resolution, inside a window that moves and grows with it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import TrackingError
from napari_sam2s.masklets import rle
from napari_sam2s.masklets.types import Prompt
from napari_sam2s.model.video_model import VideoModel
from napari_sam2s.tracking.candidates import Candidate
from napari_sam2s.tracking.crop_object import CropObject
from napari_sam2s.tracking.crop_window import first_window
from napari_sam2s.tracking.engine import EngineModel
from napari_sam2s.tracking.policy import MemoryPolicy
from napari_sam2s.tracking.results import ResultStore, refuse_unknown
from napari_sam2s.tracking.tracker import Tracker
from napari_sam2s.tracking.working_rate import Masks

SNAPSHOT_KIND = "crop 1"


class CropTracker(Tracker):
    """Track objects, each in a crop of the frame that follows it.

    Prompts, masks and results are in coordinates of the video. Every frame is tracked: there is no rate. Every object takes an
    encoding of its own on each, so that the time grows with their number.

    Parameters
    ----------
    model, video, project, memory
        As in :class:`Tracker`.

    Raises
    ------
    TrackingError
        If the video is none.
    """

    def __init__(
        self,
        model: VideoModel | EngineModel,
        video: Any,
        project: ResultStore | None = None,
        memory: str | MemoryPolicy = "divemem",
    ) -> None:
        super().__init__(model, video, project, memory)  # whose own actor only knows what all objects have in common
        self._memory = memory
        self._size = int(super().describe()["image_size"])
        self._objects: dict[int, CropObject] = {}
        self._loops = 0  # how many propagations were begun, or ended by prompts

    def describe(self) -> dict[str, Any]:
        """Return what results depend on, for a project's provenance."""
        return {**super().describe(), "crop": True}

    def _give(self, prompt: Prompt, reset: bool) -> NDArray[np.bool_]:
        refuse_unknown(self.results, prompt.object_id)
        with self._prompts_change():
            one = self._objects.get(prompt.object_id) or self._new(prompt.object_id)
            mask = one.prompt(prompt, reset=reset)
            self._objects[prompt.object_id] = one
        return mask

    @contextmanager
    def _prompts_change(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
                self._loops += 1
            finally:
                self.conditioning = {i: one.conditioning for i, one in self._objects.items()}

    def _candidates(self, prompt: Prompt) -> list[Candidate]:
        frame_size = (self.shape[1], self.shape[2])
        window = first_window(prompt, None, frame_size, self._size)
        found = self._new(1).candidates(prompt, window)
        return [Candidate(rle.decode(window.place(each.mask), frame_size), each.iou) for each in found]

    def replay(self, prompt: Prompt) -> None:
        """Take up a prompt that the results hold already, as when a project is opened."""
        with self._prompts_change():
            one = self._objects.get(prompt.object_id) or self._new(prompt.object_id)
            one.replay(prompt)
            self._objects[prompt.object_id] = one

    def forget(self, object_id: int, frame: int | None = None) -> None:
        """Forget the prompts of an object, on one frame or altogether; its masks stay."""
        with self._prompts_change():
            if (one := self._objects.get(object_id)) is not None:
                one.forget(frame)
                if not one.conditioning:
                    del self._objects[object_id]

    def forget_frames(self) -> None:
        """Forget the pixels and encodings of all frames, as when the video shows other ones from now on."""
        with self._lock:
            for one in self._objects.values():
                one.tracker.forget_frames()

    def _run(self, ids: tuple[int, ...], ranges: Sequence[range], stride: int) -> Iterator[tuple[int, Masks]]:
        if stride > 1:
            raise TrackingError("A crop follows its object from frame to frame, so it needs every frame: leave out the rate.")
        return self._follow(ids, ranges)

    def _follow(self, ids: tuple[int, ...], ranges: Sequence[range]) -> Iterator[tuple[int, Masks]]:
        self._loops += 1
        ours, begun = self._loops, set[int]()
        size = (self.shape[1], self.shape[2])
        for frames in ranges:
            loops = {i: self._objects[i].follow(frames) for i in ids}
            for frame in frames:
                with self._lock:
                    if self._loops != ours:
                        raise TrackingError(
                            "Prompts were added or another loop was started, so this one ended. Propagate again."
                        )
                    for i in ids:
                        self._objects[i].tracker.run = self.run
                    found = {i: next(loops[i])[1] for i in ids}
                self.reached = frame
                conditioned = all(frame in self._objects[i].conditioning for i in ids)
                if frame not in begun or not conditioned:
                    yield frame, {i: rle.decode(mask, size) for i, mask in found.items() if mask is not None}
            begun.add(frames.start)

    def snapshot(self) -> bytes:
        """Return the state of all memory banks and windows; see :meth:`Tracker.snapshot`."""
        with self._lock:
            state = {
                str(i): {**one.state(), "banks": base64.b64encode(one.tracker.snapshot()).decode()}
                for i, one in self._objects.items()
            }
        return json.dumps({"kind": SNAPSHOT_KIND, "shape": self.shape, "objects": state}).encode()

    def restore(self, snapshot: bytes) -> None:
        """Take up the state of a snapshot; see :meth:`Tracker.restore`.

        Raises :class:`TrackingError` if it is none of a crop, or as there.
        """
        try:
            state = json.loads(snapshot)
        except ValueError:
            state = {}
        if state.get("kind") != SNAPSHOT_KIND or tuple(state["shape"][1:]) != self.shape[1:]:
            raise TrackingError("The snapshot is not of a crop of this video: resume without crop, or propagate again.")
        with self._prompts_change():
            objects = {}
            for name, each in state["objects"].items():
                objects[int(name)] = one = self._new(int(name))
                one.restore(base64.b64decode(each["banks"]), each)
            self._objects = objects

    def _new(self, object_id: int) -> CropObject:
        return CropObject(object_id, self.model, self.video, self.results, self._memory, self._size)


def make_tracker(
    model: VideoModel | EngineModel,
    video: Any,
    project: ResultStore | None = None,
    memory: str | MemoryPolicy = "divemem",
    *,
    crop: bool = False,
) -> Tracker:
    """Return a tracker of the whole frame, or one whose crops follow the objects."""
    return CropTracker(model, video, project, memory) if crop else Tracker(model, video, project, memory)

"""Tracking small objects in large frames: each at full resolution, inside a window that moves and grows with it."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_sam2s.errors import PromptError, TrackingError
from napari_sam2s.masklets import rle
from napari_sam2s.masklets.types import Prompt, Scores
from napari_sam2s.model.video_model import VideoModel
from napari_sam2s.tracking.candidates import Candidate
from napari_sam2s.tracking.crop_object import CropObject
from napari_sam2s.tracking.crop_window import first_window
from napari_sam2s.tracking.engine import EngineModel
from napari_sam2s.tracking.frame_ranges import Direction, check_followed, check_frames, directions, frame_range
from napari_sam2s.tracking.policy import MemoryPolicy
from napari_sam2s.tracking.prompts import check_prompt, make_prompt
from napari_sam2s.tracking.results import MemoryResults, ResultStore, refuse_unknown
from napari_sam2s.tracking.tracker import Tracker
from napari_sam2s.tracking.working_rate import Masks, find_stride

SNAPSHOT_KIND = "crop 1"


class CropTracker:
    """Track objects, each in a crop of the frame that follows it.

    It is used as :class:`Tracker` is; prompts, masks and results are in coordinates of the video. Every object takes an
    encoding of its own on every frame, so that the time grows with their number.

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
        self._any = Tracker(model, video, None, memory)  # checks the video, and knows what all have in common
        self.model, self.video, self.shape = model, video, self._any.shape
        self._memory = memory
        self._size = int(self._any.describe()["image_size"])
        self.results: ResultStore = project if project is not None else MemoryResults(self.shape[1:])
        self._objects: dict[int, CropObject] = {}
        self._lock = threading.RLock()
        self._loops = 0  # how many propagations were begun, or ended by prompts
        self.run: int | None = None  # of the project, that propagated masks belong to
        self.reached: int | None = None

    @property
    def conditioning(self) -> dict[int, list[int]]:
        """The conditioning frames of each object."""
        return {i: one.conditioning for i, one in self._objects.items()}

    @property
    def object_ids(self) -> tuple[int, ...]:
        """The objects that have a prompt."""
        return tuple(self._objects)

    @property
    def policy(self) -> MemoryPolicy:
        """What is remembered."""
        return self._any.policy

    def describe(self) -> dict[str, Any]:
        """Return what results depend on, for a project's provenance."""
        return {**self._any.describe(), "objects": list(self.object_ids), "crop": True}

    def device_memory(self) -> tuple[int, int]:
        """Return how many bytes are taken where the model runs, and how many there are."""
        return self._any.device_memory()

    def object_bytes(self) -> int:
        """Return about how many bytes the network remembers of an object; see :meth:`Tracker.object_bytes`."""
        return self._any.object_bytes()

    def prompt(
        self,
        object_id: int,
        frame: int,
        *,
        points: ArrayLike | None = None,
        labels: int | Sequence[int] | None = None,
        box: Sequence[float] | None = None,
        mask: NDArray[np.bool_] | None = None,
        reset: bool = False,
    ) -> NDArray[np.bool_]:
        """Say where an object is on a frame, and see its mask ``(Y, X)`` bool there; see :meth:`Tracker.prompt`."""
        prompt = make_prompt(object_id, frame, self.shape, points=points, labels=labels, box=box, mask=mask)
        return self.give(prompt, reset=reset)

    def give(self, prompt: Prompt, *, reset: bool = False) -> NDArray[np.bool_]:
        """Do as :meth:`prompt` does, with a :class:`Prompt`."""
        prompt = check_prompt(prompt, self.shape)
        refuse_unknown(self.results, prompt.object_id)
        with self._lock:
            one = self._objects.get(prompt.object_id) or self._new(prompt.object_id)
            mask = one.prompt(prompt, reset=reset)
            self._objects[prompt.object_id] = one
            self._loops += 1
        return mask

    def candidates(
        self,
        frame: int,
        *,
        points: ArrayLike | None = None,
        labels: int | Sequence[int] | None = None,
        box: Sequence[float] | None = None,
    ) -> list[Candidate]:
        """Return what a first prompt may mean; see :meth:`Tracker.candidates`."""
        prompt = make_prompt(1, frame, self.shape, points=points, labels=labels, box=box)
        if prompt.box is None and not any(prompt.labels):
            raise PromptError("Negative points alone say where nothing is: add a positive point or a box.")
        frame_size = (self.shape[1], self.shape[2])
        window = first_window(prompt, None, frame_size, self._size)
        found = self._new(1).candidates(prompt, window)
        return [Candidate(rle.decode(window.place(each.mask), frame_size), each.iou) for each in found]

    def replay(self, prompt: Prompt) -> None:
        """Take up a prompt that the results hold already, as when a project is opened."""
        with self._lock:
            one = self._objects.get(prompt.object_id) or self._new(prompt.object_id)
            one.replay(prompt)
            self._objects[prompt.object_id] = one
            self._loops += 1

    def forget(self, object_id: int, frame: int | None = None) -> None:
        """Forget the prompts of an object, on one frame or altogether; its masks stay."""
        with self._lock:
            if (one := self._objects.get(object_id)) is not None:
                one.forget(frame)
                if not one.conditioning:
                    del self._objects[object_id]
            self._loops += 1

    def propagate(
        self,
        start: int | None = None,
        stop: int | None = None,
        direction: Direction = "forward",
        *,
        objects: Sequence[int] | None = None,
        rate: float | None = None,
    ) -> Iterator[tuple[int, Masks]]:
        """Track objects from frame to frame; see :meth:`Tracker.propagate`. Every frame is tracked: there is no rate.

        Raises
        ------
        TrackingError
            As there, and if a rate would leave out frames.
        """
        if find_stride(self.video, rate) > 1:
            raise TrackingError("A crop follows its object from frame to frame, so it needs every one: leave out the rate.")
        ids = check_followed(self.conditioning, objects)
        ranges = [check_frames(self.frames(ids, start, end, sign)) for sign, end in directions(direction, stop)]
        return self._run(ids, ranges)

    def _run(self, ids: tuple[int, ...], ranges: Sequence[range]) -> Iterator[tuple[int, Masks]]:
        self._loops += 1
        ours, begun = self._loops, set[int]()
        size = (self.shape[1], self.shape[2])
        for frames in ranges:
            loops = {i: self._objects[i].follow(frames) for i in ids}
            for frame in frames:
                with self._lock:
                    if self._loops != ours:
                        raise TrackingError(
                            "Prompts were given, or another loop was begun, so this one ended. Propagate again."
                        )
                    for i in ids:
                        self._objects[i].tracker.run = self.run
                    found = {i: next(loops[i])[1] for i in ids}
                self.reached = frame
                conditioned = all(frame in self._objects[i].conditioning for i in ids)
                if frame not in begun or not conditioned:
                    yield frame, {i: rle.decode(mask, size) for i, mask in found.items() if mask is not None}
            begun.add(frames.start)

    def frames(self, ids: Sequence[int], start: int | None, stop: int | None, sign: int) -> range:
        """Return the frames a run of this direction (1 forward, -1 backward) visits."""
        return frame_range(self.conditioning, self.shape[0], ids, start, stop, sign)

    def scores(self, frame: int) -> dict[int, Scores]:
        """Return what the model thinks of the masks on a frame, ``{object id: Scores}``."""
        return self.results.scores(frame)

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

        Raises
        ------
        TrackingError
            If it is none of a crop, or as there.
        """
        try:
            state = json.loads(snapshot)
        except ValueError:
            state = {}
        if state.get("kind") != SNAPSHOT_KIND or tuple(state["shape"][1:]) != self.shape[1:]:
            raise TrackingError("The snapshot is not of a crop of this video: resume without crop, or propagate again.")
        with self._lock:
            objects = {}
            for name, each in state["objects"].items():
                objects[int(name)] = one = self._new(int(name))
                one.restore(base64.b64decode(each["banks"]), each)
            self._objects = objects
            self._loops += 1

    def _new(self, object_id: int) -> CropObject:
        return CropObject(object_id, self.model, self.video, self.results, self._memory, self._size)


def make_tracker(
    model: VideoModel | EngineModel,
    video: Any,
    project: ResultStore | None = None,
    memory: str | MemoryPolicy = "divemem",
    *,
    crop: bool = False,
) -> Tracker | CropTracker:
    """Return a tracker of the whole frame, or one whose crops follow the objects."""
    return CropTracker(model, video, project, memory) if crop else Tracker(model, video, project, memory)

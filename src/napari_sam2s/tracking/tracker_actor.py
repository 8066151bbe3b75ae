"""The tracker in another process, the far end: what :class:`RemoteTracker` talks to, beside the model.

It has no video and no project: frames are sent to it, and it sends back what it finds.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_sam2s.masklets import rle
from napari_sam2s.masklets.types import Origin, Prompt, Scores
from napari_sam2s.model.checkpoints import load_model
from napari_sam2s.model.speed import Mode
from napari_sam2s.tracking.policy import MemoryPolicy
from napari_sam2s.tracking.tracker import Tracker

EncodedRow = tuple[int, int, rle.Mask, Scores | None]  # frame, object id, mask, scores
FED_FRAMES = 48  # small frames that are kept: enough for clicks back and forth around the cursor


class _FedFrames:
    """The video as the host sees it: small frames that were sent."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.shape = (*shape, 3)
        self.frames: dict[int, NDArray[np.uint8]] = {}

    def feed(self, frame: int, image: NDArray[np.uint8] | None) -> None:
        if image is not None:
            self.frames.pop(frame, None)
            self.frames[frame] = image
        while len(self.frames) > FED_FRAMES:
            del self.frames[next(iter(self.frames))]

    def __getitem__(self, frame: int) -> NDArray[np.uint8]:
        return self.frames[frame]


class _Outbox:
    """Results on their way back. Knows only the masks that came with the question."""

    def __init__(self) -> None:
        self.rows: list[EncodedRow] = []
        self.seen: dict[tuple[int, int], NDArray[np.bool_]] = {}

    def write_masks(self, rows: Iterable[Any], *, origin: Origin = "propagated", run: int | None = None) -> None:
        self.rows += [(frame, i, rle.encode(mask), scores) for frame, i, mask, scores in rows]

    def check_object(self, object_id: int) -> None:
        """Take any object: the near end has asked the project."""

    def keep_prompt(self, prompt: Prompt, mask: NDArray[np.bool_], scores: Scores | None, *, reset: bool = False) -> None:
        self.write_masks([(prompt.frame, prompt.object_id, mask, scores)])

    def mask(self, frame: int, object_id: int) -> NDArray[np.bool_] | None:
        return self.seen.get((frame, object_id))

    def scores(self, frame: int) -> dict[int, Scores]:
        return {i: s for t, i, _, s in self.rows if t == frame and s is not None}

    def prompts(self, object_id: int | None = None, frame: int | None = None) -> list[Prompt]:
        return []

    def take(self) -> list[EncodedRow]:
        """Return what has gathered, and forget it."""
        rows, self.rows, self.seen = self.rows, [], {}
        return rows


class TrackerHost:
    """A tracker and its model, where they run. Arguments are those of :func:`load_model` and :class:`Tracker`."""

    def __init__(
        self,
        model: str,
        device: str,
        image_size: int | None,
        shape: tuple[int, int, int],
        memory: str | MemoryPolicy,
        precision: str = "float32",
        mode: Mode = "exact",
    ) -> None:
        self._frames = _FedFrames(shape)
        self._outbox = _Outbox()
        network = load_model(model, device=device, image_size=image_size, dtype=getattr(torch, precision), mode=mode)
        self._tracker = Tracker(network, self._frames, self._outbox, memory)

    def describe(self) -> dict[str, Any]:
        """Return what results depend on."""
        return {**self._tracker.describe(), "class_names": list(self._tracker.model.class_names)}

    def memory(self) -> tuple[int, int]:
        """Return how many bytes are taken where the model runs, and how many there are: of the GPU, or of this machine."""
        device = self._tracker.model.device
        if device.type == "cuda":
            free, total = torch.cuda.mem_get_info(device)
            return total - free, total
        import psutil  # comes with dask.distributed

        return int(psutil.Process().memory_info().rss), int(psutil.virtual_memory().total)

    def has_frame(self, frame: int) -> bool:
        """Whether a frame was sent and is still here."""
        return frame in self._frames.frames

    def prompt(
        self, prompt: Prompt, image: NDArray[np.uint8] | None, seen: rle.Mask | None, reset: bool, replay: bool
    ) -> list[EncodedRow]:
        """Take a prompt; see :meth:`Tracker.prompt`."""
        self._frames.feed(prompt.frame, image)
        if seen is not None:
            self._outbox.seen[prompt.frame, prompt.object_id] = rle.decode(seen, self._tracker.shape[1:])
        if replay:
            self._tracker.replay(prompt)
        else:
            points, labels = (prompt.points, prompt.labels) if prompt.points else (None, None)
            self._tracker.prompt(
                prompt.object_id,
                prompt.frame,
                points=points,
                labels=labels,
                box=prompt.box,
                mask=prompt.mask,
                reset=reset,
            )
        return self._outbox.take()

    def forget(self, object_id: int, frame: int | None) -> None:
        """See :meth:`Tracker.forget`."""
        self._tracker.forget(object_id, frame)

    def step(
        self, frame: int, image: NDArray[np.uint8], objects: tuple[int, ...], sign: int, stride: int = 1
    ) -> list[EncodedRow]:
        """Track one frame; see :meth:`Tracker.step`."""
        self._frames.feed(frame, image)
        self._tracker.step(frame, objects, sign, stride)
        return self._outbox.take()

    def lacking(self, start: int, objects: tuple[int, ...], sign: int, stride: int) -> dict[int, list[int]]:
        """See :meth:`Tracker.lacking`."""
        return self._tracker.lacking(start, objects, sign, stride)

    def recollect(
        self, frame: int, image: NDArray[np.uint8], masks: dict[int, rle.Mask], scores: dict[int, Scores], sign: int
    ) -> None:
        """See :meth:`Tracker.recollect`."""
        self._frames.feed(frame, image)
        size = self._tracker.shape[1:]
        self._tracker.recollect(frame, {i: rle.decode(mask, size) for i, mask in masks.items()}, scores, sign)

    def conditioning(self) -> dict[int, list[int]]:
        """Return the conditioning frames of each object."""
        return self._tracker.conditioning

    def snapshot(self) -> bytes:
        """See :meth:`Tracker.snapshot`."""
        return self._tracker.snapshot()

    def restore(self, snapshot: bytes) -> None:
        """See :meth:`Tracker.restore`."""
        self._tracker.restore(snapshot)

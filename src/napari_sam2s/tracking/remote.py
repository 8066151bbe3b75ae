"""The tracker in another process, the near end: :class:`RemoteTracker` here, :class:`TrackerHost` there.

Frames travel at the network's resolution, masks come back as run lengths. The two ends keep in step by construction: a
frame is tracked when it is asked for, so whoever stops asking has paused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_sam2s.errors import TrackingError
from napari_sam2s.masklets import Project, rle
from napari_sam2s.masklets.types import Prompt, Scores
from napari_sam2s.model.frames import resize_frame
from napari_sam2s.model.speed import Mode
from napari_sam2s.tracking.engine import Engine, RemoteObject
from napari_sam2s.tracking.frame_ranges import Direction, check_followed, check_frames, frame_range, known_masks, ways
from napari_sam2s.tracking.policy import MemoryPolicy
from napari_sam2s.tracking.prompts import make_prompt
from napari_sam2s.tracking.tracker_actor import EncodedRow, TrackerHost
from napari_sam2s.tracking.working_rate import Filled, find_stride, read_order, spans, walk


class _Ahead:
    """Frames read in a thread, one ahead of the reader, in an order that is known beforehand; the latest are kept."""

    def __init__(self, read: Callable[[int], NDArray[np.uint8]], order: Sequence[int]) -> None:
        self._read = read
        self._order = iter(order)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="sam2s-read")
        self._next: tuple[int, Future[NDArray[np.uint8]]] | None = None
        self._latest: tuple[int, NDArray[np.uint8]] | None = None

    def __enter__(self) -> _Ahead:
        self._advance()
        return self

    def __exit__(self, *exception: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _advance(self) -> None:
        following = next(self._order, None)
        self._next = None if following is None else (following, self._pool.submit(self._read, following))

    def __call__(self, frame: int) -> NDArray[np.uint8]:
        if self._latest is None or self._latest[0] != frame:
            assert self._next is not None
            assert self._next[0] == frame
            self._latest = frame, self._next[1].result()
            self._advance()
        return self._latest[1]


class RemoteTracker:
    """A :class:`Tracker` whose network runs in an :class:`Engine`; results go to a project here.

    Parameters
    ----------
    engine
        Where to run.
    model, device, image_size, mode
        As in :func:`load_model`; names and paths are those of the engine's machine.
    video, project, memory
        As in :class:`Tracker`.
    """

    def __init__(
        self,
        engine: Engine,
        model: str,
        video: Any,
        project: Project,
        memory: str | MemoryPolicy = "divemem",
        *,
        device: str = "auto",
        image_size: int | None = None,
        precision: str = "float32",
        mode: Mode = "exact",
    ) -> None:
        self.engine = engine
        self.video = video
        self.results = project
        self.shape = (int(video.shape[0]), int(video.shape[1]), int(video.shape[2]))
        self.run: int | None = None
        self.reached: int | None = None  # see Tracker
        arguments = (model, device, image_size, self.shape, memory, precision, mode)
        self._host: RemoteObject = engine.create(TrackerHost, *arguments)
        self.facts: dict[str, Any] = self._host.call("describe")
        self.image_size = int(self.facts["image_size"])
        self.conditioning: dict[int, list[int]] = {}

    @property
    def object_ids(self) -> tuple[int, ...]:
        """The objects that have a prompt."""
        return tuple(self.conditioning)

    def describe(self) -> dict[str, Any]:
        """Return what results depend on."""
        return {**self.facts, "objects": list(self.object_ids)}

    def prompt(
        self,
        object_id: int,
        frame: int,
        *,
        points: ArrayLike | None = None,
        labels: Sequence[int] | None = None,
        box: Sequence[float] | None = None,
        mask: NDArray[np.bool_] | None = None,
        reset: bool = False,
    ) -> NDArray[np.bool_]:
        """See :meth:`Tracker.prompt`."""
        new = make_prompt(object_id, frame, self.shape, points=points, labels=labels, box=box, mask=mask)
        self.results.check_object(object_id)
        rows = self._ask(new, reset=reset, replay=False)
        _, _, encoded, scores = rows[-1]
        result = rle.decode(encoded, self.shape[1:])
        self.results.keep_prompt(new, result, scores, reset=reset)
        return result

    def memory(self) -> tuple[int, int]:
        """See :meth:`TrackerHost.memory`."""
        used, total = self._host.call("memory")
        return int(used), int(total)

    def replay(self, prompt: Prompt) -> None:
        """See :meth:`Tracker.replay`."""
        self._ask(prompt, reset=False, replay=True)

    def _ask(self, prompt: Prompt, *, reset: bool, replay: bool) -> list[EncodedRow]:
        image = None if self._host.call("has_frame", prompt.frame) else self._small(prompt.frame)
        seen = self.results.mask(prompt.frame, prompt.object_id)
        known = None if seen is None else rle.encode(seen)
        rows: list[EncodedRow] = self._host.call("prompt", prompt, image, known, reset, replay)
        self.conditioning = self._host.call("conditioning")
        return rows

    def forget(self, object_id: int, frame: int | None = None) -> None:
        """See :meth:`Tracker.forget`."""
        self._host.call("forget", object_id, frame)
        self.conditioning = self._host.call("conditioning")

    def frames(self, ids: Sequence[int], start: int | None, stop: int | None, sign: int) -> range:
        """See :meth:`Tracker.frames`."""
        return frame_range(self.conditioning, self.shape[0], ids, start, stop, sign)

    def propagate(
        self,
        start: int | None = None,
        stop: int | None = None,
        direction: Direction = "forward",
        *,
        objects: Sequence[int] | None = None,
        rate: float | None = None,
    ) -> Iterator[tuple[int, dict[int, rle.Mask]]]:
        """See :meth:`Tracker.propagate`; the masks are encoded, and only those that were found now. One way at a time."""
        ids = check_followed(self.conditioning, objects)
        (sign, end), *others = ways(direction, stop)
        if others:
            raise TrackingError("An engine tracks one way at a time: propagate forward, then backward.")
        return self._run(ids, check_frames(self.frames(ids, start, end, sign)), find_stride(self.video, rate))

    def _run(self, ids: tuple[int, ...], frames: range, stride: int) -> Iterator[tuple[int, dict[int, rle.Mask]]]:
        sign = frames.step
        before, known_before = known_masks(self.results, frames, ids, self.conditioning) if stride > 1 else ({}, False)
        pieces = spans(frames, stride, {t for i in ids for t in self.conditioning[i]}, known_before=known_before)
        self._take_up(frames.start, ids, sign, stride)

        def step(frame: int) -> dict[int, rle.Mask]:
            rows: list[EncodedRow] = self._host.call("step", frame, pixels(frame), ids, sign, stride)
            if rows:
                self.results.write_masks(rows, origin="propagated", run=self.run)
            found = {i: mask for _, i, mask, _ in rows}
            prompted = [i for i in ids if frame in self.conditioning[i]] if stride > 1 else []
            seen = {i: mask for i in prompted if (mask := self.results.mask(frame, i)) is not None}
            return found | {i: rle.encode(mask) for i, mask in seen.items()}

        with _Ahead(self._small, read_order(pieces, from_before=known_before)) as pixels:
            walked = walk(
                pieces,
                image=pixels,
                step=step,
                before={i: rle.encode(mask) for i, mask in before.items()},
                mask=lambda mask: rle.decode(mask, self.shape[1:]),
                keep=self._keep_filled,
            )
            for frame, self.reached, masks in walked:
                yield frame, masks

    def _take_up(self, start: int, ids: tuple[int, ...], sign: int, stride: int) -> None:
        wanted: dict[int, list[int]] = self._host.call("lacking", start, ids, sign, stride)
        for frame, lacking in wanted.items():
            known = {i: rle.encode(mask) for i in lacking if (mask := self.results.mask(frame, i)) is not None}
            if known:
                self._host.call("recollect", frame, self._small(frame), known, self.results.scores(frame), sign)

    def _keep_filled(self, filled: Filled) -> dict[int, dict[int, rle.Mask]]:
        encoded = {t: {i: rle.encode(mask) for i, mask in masks.items()} for t, masks in filled}
        rows = [(t, i, mask, None) for t, masks in encoded.items() for i, mask in masks.items()]
        self.results.write_masks(rows, origin="interpolated", run=self.run)
        return encoded

    def scores(self, frame: int) -> dict[int, Scores]:
        """See :meth:`Tracker.scores`."""
        return self.results.scores(frame)

    def snapshot(self) -> bytes:
        """See :meth:`Tracker.snapshot`."""
        data: bytes = self._host.call("snapshot")
        return data

    def restore(self, snapshot: bytes) -> None:
        """See :meth:`Tracker.restore`."""
        self._host.call("restore", snapshot)
        self.conditioning = self._host.call("conditioning")

    def _small(self, frame: int) -> NDArray[np.uint8]:
        return resize_frame(np.asarray(self.video[frame]), self.image_size)

"""The tracker: prompts and frames in, masks out."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from napari_sam2s import __version__
from napari_sam2s.errors import TrackingError
from napari_sam2s.masklets.types import Prompt, Scores
from napari_sam2s.model.network import SAM2S
from napari_sam2s.tracking.frame_ranges import Direction, check_followed, check_frames, frame_range, known_masks, ways
from napari_sam2s.tracking.object_states import TrackedObjects
from napari_sam2s.tracking.policy import MemoryPolicy, find_policy
from napari_sam2s.tracking.predictor import Sight
from napari_sam2s.tracking.prompts import make_prompt
from napari_sam2s.tracking.results import MemoryResults, ResultStore
from napari_sam2s.tracking.snapshot import read_snapshot, write_snapshot
from napari_sam2s.tracking.working_rate import Filled, find_stride, spans, walk

FEATURE_CACHE_BYTES = 256 * 2**20


class Tracker:
    """Follow objects through a video.

    Parameters
    ----------
    model
        From :func:`napari_sam2s.load_model`.
    video
        Anything with ``shape (T, Y, X, 3)`` whose ``video[i]`` is a frame ``(Y, X, 3)`` uint8 RGB, such as what
        :func:`napari_sam2s.open_video` returns.
    project
        Where masks, scores and prompts go; ``None`` keeps them in memory.
    memory
        ``"divemem"`` (SAM2S), ``"vanilla"`` (SAM 2) or a :class:`MemoryPolicy`.
    cache_bytes
        How much the encodings of visited frames may take: a second click on a frame then costs only the decoder.

    Notes
    -----
    The state of an object is bounded whatever the video's length. On a CPU results are deterministic for a given number
    of threads.
    """

    def __init__(
        self,
        model: SAM2S,
        video: Any,
        project: ResultStore | None = None,
        memory: str | MemoryPolicy = "divemem",
        *,
        cache_bytes: int = FEATURE_CACHE_BYTES,
    ) -> None:
        shape = tuple(int(n) for n in video.shape)
        if len(shape) != 4 or shape[3] != 3 or min(shape) < 1:
            raise TrackingError(f"A video has the shape (T, Y, X, 3); got {shape}. Open it with sam2s.open_video.")
        if (kind := np.dtype(getattr(video, "dtype", np.uint8))) != np.uint8:
            raise TrackingError(f"The frames are of {kind}, where uint8 is wanted: open them with sam2s.open_video.")
        self.model = model.eval()
        self.video = video
        self.policy = find_policy(memory, model.metadata, model.config.num_maskmem - 1)
        self.shape = shape[:3]
        self._sight = Sight(self.model, video, self.policy, cache_bytes)
        self._objects = TrackedObjects(self._sight)
        self.results: ResultStore = project if project is not None else MemoryResults(shape[1:3])
        self.run: int | None = None  # of the project, that propagated masks belong to
        self.reached: int | None = None  # the frame up to which a propagation has kept everything

    @property
    def object_ids(self) -> tuple[int, ...]:
        """The objects that have a prompt."""
        return tuple(self._objects.banks)

    @property
    def conditioning(self) -> dict[int, list[int]]:
        """The conditioning frames of each object."""
        return self._objects.conditioning

    def describe(self) -> dict[str, Any]:
        """Return what results depend on, for a project's provenance."""
        metadata = self.model.metadata
        return {
            "model": self.model.config.name,
            "model_source": metadata.get("source", ""),
            "model_hash": metadata.get("sha256", ""),
            "image_size": self.model.image_size,
            "mode": metadata.get("mode", "exact"),
            "precision": "float32" if self.model.arithmetic is None else str(self.model.arithmetic).removeprefix("torch."),
            "speed": asdict(self.model.speed),
            "memory": asdict(self.policy),
            "objects": list(self.object_ids),
            "napari_sam2s": __version__,
            "torch": torch.__version__,
            "device": str(self.model.device),
            "threads": torch.get_num_threads(),
            "machine": platform.machine(),
        }

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
        """Say where an object is on a frame, and see its mask there.

        Prompts on the same frame add up, and the earlier answer helps the next one; ``reset`` starts anew. The frame
        becomes a conditioning frame of the object.

        Parameters
        ----------
        object_id
            Any integer from 1 on; with a project, an object of it.
        frame
            Index of the frame.
        points, labels
            ``(y, x)`` in pixels of the video, and 1 (the object) or 0 (not the object) for each; all 1 by default.
        box
            ``(y0, x0, y1, x1)``.
        mask
            ``(Y, X)`` bool; stands alone.

        Returns
        -------
        The mask ``(Y, X)`` bool.

        Raises
        ------
        PromptError
            If the prompt does not fit the video; nothing has changed then.
        ProjectError
            If the project does not have the object.
        """
        new = make_prompt(object_id, frame, self.shape, points=points, labels=labels, box=box, mask=mask)
        self.results.check_object(object_id)
        result, scores = self._objects.condition(new, self.results.mask(frame, object_id), reset=reset)
        self.results.keep_prompt(new, result, scores, reset=reset)
        return result

    def replay(self, prompt: Prompt) -> None:
        """Take up a prompt that the results hold already, as when a project is opened."""
        self._objects.take_up(prompt, self.results.mask(prompt.frame, prompt.object_id))

    def forget(self, object_id: int, frame: int | None = None) -> None:
        """Forget the prompts of an object, on one frame or altogether; its masks stay."""
        self._objects.forget(object_id, frame)

    def propagate(
        self,
        start: int | None = None,
        stop: int | None = None,
        direction: Direction = "forward",
        *,
        objects: Sequence[int] | None = None,
        rate: float | None = None,
    ) -> Iterator[tuple[int, dict[int, NDArray[np.bool_]]]]:
        """Follow objects from frame to frame.

        Each step is done when it is asked for, so the loop may stop anywhere; everything until then is in the results.
        An object is followed from its first conditioning frame on in the direction of tracking, and is absent before.
        A run that starts where the tracker has not just been takes up the masks that are known of the frames before it.

        Parameters
        ----------
        start
            First frame; by default the first conditioning frame of any object (the last one when going backward).
        stop
            Frame to stop before: by default the end of the video in that direction. Going backward it is the frame after
            which to stop, so that ``propagate(100, 49, "backward")`` ends with frame 50.
        direction
            ``"both"`` goes forward from ``start`` up to ``stop``, then backward from ``start`` to the beginning.
        objects
            Ids to follow; all by default.
        rate
            Frames per second to track at. The frames between are filled by :mod:`napari_sam2s.tracking.interpolation` and
            kept with the origin ``"interpolated"``, without scores; propagating over them again without a rate tracks them.
            By default every frame is tracked.

        Yields
        ------
        frame, masks
            Index, and ``{object id: (Y, X) bool}``; every frame in order, at any rate.

        Raises
        ------
        TrackingError
            If there is nothing to follow, the range is empty or lies outside the video, or the rate fits no frame rate.
        """
        ids = check_followed(self.conditioning, objects)
        ranges = [check_frames(self.frames(ids, start, end, sign)) for sign, end in ways(direction, stop)]
        return self._run(ids, ranges, find_stride(self.video, rate))

    def _run(
        self, ids: tuple[int, ...], ranges: Sequence[range], stride: int
    ) -> Iterator[tuple[int, dict[int, NDArray[np.bool_]]]]:
        for frames in ranges:
            sign = frames.step
            before, known_before = known_masks(self.results, frames, ids, self.conditioning) if stride > 1 else ({}, False)
            conditioning = {t for i in ids for t in self._objects.banks[i].conditioning}
            pieces = spans(frames, stride, conditioning, known_before=known_before)
            self._take_up(frames.start, ids, sign, stride)
            walked = walk(
                pieces,
                image=self._sight.pixels,
                step=lambda frame, sign=sign: self.step(frame, ids, sign, stride),  # type: ignore[misc]
                before=before,
                mask=lambda mask: mask,
                keep=self._keep_filled,
            )
            for frame, self.reached, masks in walked:
                yield frame, masks

    def _take_up(self, start: int, ids: tuple[int, ...], sign: int, stride: int) -> None:
        """Remember what is known of the frames before a run, where the tracker has not just been."""
        for frame, lacking in self.lacking(start, ids, sign, stride).items():
            known = {i: mask for i in lacking if (mask := self.results.mask(frame, i)) is not None}
            if known:
                self.recollect(frame, known, self.results.scores(frame), sign)

    def _keep_filled(self, filled: Filled) -> dict[int, dict[int, NDArray[np.bool_]]]:
        rows = [(t, i, mask, None) for t, masks in filled for i, mask in masks.items()]
        self.results.write_masks(rows, origin="interpolated", run=self.run)
        return dict(filled)

    def lacking(self, start: int, ids: Sequence[int], sign: int, stride: int) -> dict[int, list[int]]:
        """Return ``{frame: object ids}`` that a run from ``start`` would remember had it been here before."""
        wanted: dict[int, list[int]] = {}
        for i in ids:
            for t in self._objects.banks[i].missing(start, sign, stride):
                if 0 <= t < self.shape[0]:
                    wanted.setdefault(t, []).append(i)
        return dict(sorted(wanted.items(), reverse=sign < 0))

    def recollect(self, frame: int, masks: Mapping[int, NDArray[np.bool_]], scores: Mapping[int, Scores], sign: int) -> None:
        """Remember masks that are known already, as if they had just been tracked in the direction ``sign``."""
        self._objects.recollect(frame, masks, scores, sign)

    def frames(self, ids: Sequence[int], start: int | None, stop: int | None, sign: int) -> range:
        """Return the frames a run of this direction (1 forward, -1 backward) visits."""
        return frame_range(self.conditioning, self.shape[0], ids, start, stop, sign)

    def scores(self, frame: int) -> dict[int, Scores]:
        """Return what the model thinks of the masks on a frame, ``{object id: Scores}``."""
        return self.results.scores(frame)

    def snapshot(self) -> bytes:
        """Return the state of all memory banks; :meth:`restore` goes on from it to the same masks, bit for bit."""
        return write_snapshot(self.shape, self.policy, self._objects.banks)

    def restore(self, snapshot: bytes) -> None:
        """Take up the state of a snapshot.

        Raises
        ------
        TrackingError
            If it was made by another version, for a video of another size, or under another memory policy.
        """
        embeddings = self.model.config.num_maskmem
        self._objects.banks = read_snapshot(snapshot, self.shape, self.policy, embeddings, self.model.device)

    def step(self, frame: int, ids: Sequence[int], sign: int, stride: int = 1) -> dict[int, NDArray[np.bool_]]:
        """Track one frame, ``stride`` frames after the last in the direction ``sign``: what :meth:`propagate` is made of."""
        rows = self._objects.step(frame, ids, sign, stride)
        if rows:
            self.results.write_masks(rows, origin="propagated", run=self.run)
        masks = {}
        for i in ids:
            if frame in self._objects.banks[i].conditioning:
                known = self.results.mask(frame, i)
                masks[i] = known if known is not None else np.zeros(self.shape[1:], dtype=bool)
        return masks | {i: mask for _, i, mask, _ in rows}

"""The tracker: prompts and frames in, masks out."""

from __future__ import annotations

import platform
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from napari_sam2s import __version__
from napari_sam2s.errors import PromptError, TrackingError
from napari_sam2s.masklets.vocabulary import Prompt, Scores
from napari_sam2s.model.network import MASK_SCALE, MASK_SHIFT, SAM2S, Decoded
from napari_sam2s.tracking.memory_bank import BACKWARD, FORWARD, MemoryBank, Recall
from napari_sam2s.tracking.policy import MemoryPolicy, find_policy
from napari_sam2s.tracking.prompts import make_prompt, mask_to_network, merge
from napari_sam2s.tracking.ranges import Direction, frame_range, known_masks
from napari_sam2s.tracking.rate import Filled, find_stride, spans, walk
from napari_sam2s.tracking.results import MemoryResults, ResultStore
from napari_sam2s.tracking.sight import Sight
from napari_sam2s.tracking.snapshot import read_snapshot, write_snapshot
from napari_sam2s.tracking.upsampling import MaskUpsampler

FEATURE_CACHE_BYTES = 256 * 2**20
RECENT_LOGITS = 8  # frames per object whose logits are kept, for a correction right after pausing
LOGIT_CLAMP = 32.0  # of an earlier answer that becomes a prompt, as in SAM 2


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
        if len(shape) != 4 or shape[3] != 3 or shape[0] < 1:
            raise TrackingError(f"A video has the shape (T, Y, X, 3); got {shape}. Open it with sam2s.open_video.")
        self.model = model.eval()
        self.video = video
        self.policy = find_policy(memory, model.metadata)
        self.shape = shape[:3]
        self._sight = Sight(self.model, video, self.policy, cache_bytes)
        self.results: ResultStore = project if project is not None else MemoryResults(shape[1:3])
        self.run: int | None = None  # of the project, that propagated masks belong to
        self.reached: int | None = None  # the frame up to which a propagation has kept everything
        self._stride = 1  # of the latest propagation
        self._banks: dict[int, MemoryBank] = {}
        self._prompts: dict[tuple[int, int], Prompt] = {}  # what was said of (object, frame) so far
        self._logits: dict[tuple[int, int], Tensor] = {}  # low-resolution answers to these
        self._recent_logits: OrderedDict[tuple[int, int], Tensor] = OrderedDict()  # of the last frames tracked
        self._upsample = MaskUpsampler(4 * model.config.grid, (shape[1], shape[2]))

    @property
    def object_ids(self) -> tuple[int, ...]:
        """The objects that have a prompt."""
        return tuple(self._banks)

    @property
    def conditioning(self) -> dict[int, list[int]]:
        """The conditioning frames of each object."""
        return {i: list(bank.conditioning) for i, bank in self._banks.items()}

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
            If the prompt does not fit the video.
        """
        if object_id < 1:
            raise PromptError(f"Object ids are integers from 1 on; got {object_id}.")
        new = make_prompt(object_id, frame, self.shape, points=points, labels=labels, box=box, mask=mask)
        decoded = self._condition(new, reset=reset)
        result = new.mask if new.mask is not None else self._upsample(decoded.logits[0, 0])
        self.results.keep_prompt(new, result, self._sight.scores(decoded, 0))
        return result

    def replay(self, prompt: Prompt) -> None:
        """Take up a prompt that the results hold already, as when a project is opened."""
        # The first prompt of a frame was given without the answer that is known by now.
        self._condition(prompt, reset=(prompt.object_id, prompt.frame) not in self._prompts)

    def _condition(self, new: Prompt, *, reset: bool = False) -> Decoded:
        """Answer a prompt and make its frame a conditioning one."""
        object_id, frame = key = (new.object_id, new.frame)
        if reset:
            self._prompts.pop(key, None)
            self._logits.pop(key, None)
            self._recent_logits.pop(key, None)
        whole = merge(self._prompts.get(key), new)
        seen = None if reset else self.results.mask(frame, object_id)
        if whole.box is None and whole.labels and not any(whole.labels) and (seen is None or not seen.any()):
            raise PromptError("Only negative points say where the object is not: add a positive point or a box.")
        with torch.inference_mode():
            bank = self._banks.get(object_id)
            # A correction of a tracked frame looks at it with what the object remembers.
            corrects = bank is not None and seen is not None and frame not in bank.conditioning
            recall = self._recall(object_id, frame, FORWARD) if corrects else None
            decoded = self._sight.answer(whole, recall, self._earlier_logits(whole, seen))
            memory = self._sight.remember(frame, decoded, prompted=True)[0]
        bank = self._banks.setdefault(object_id, MemoryBank(self.policy))
        bank.condition(memory)
        self._prompts[key] = whole
        self._logits[key] = decoded.logits
        return decoded

    def forget(self, object_id: int, frame: int | None = None) -> None:
        """Forget the prompts of an object, on one frame or altogether; its masks stay."""
        bank = self._banks.get(object_id)
        if bank is None:
            return
        for key in [k for k in self._prompts if k[0] == object_id and frame in (None, k[1])]:
            del self._prompts[key]
            self._logits.pop(key, None)
            bank.forget(key[1])
        if not bank.conditioning:
            del self._banks[object_id]

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
            ``"both"`` goes forward from ``start``, then backward from it.
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
            If there is nothing to follow, the range lies outside the video, or the rate fits no frame rate.
        """
        ids = tuple(self._banks) if objects is None else tuple(objects)
        if unknown := [i for i in ids if i not in self._banks]:
            raise TrackingError(f"Object {unknown[0]} has no prompt: say where it is on a frame first.")
        if not ids:
            raise TrackingError("There is nothing to follow: give an object a point, a box or a mask first.")
        return self._run(ids, start, stop, direction, find_stride(self.video, rate))

    def _run(
        self, ids: tuple[int, ...], start: int | None, stop: int | None, direction: Direction, stride: int
    ) -> Iterator[tuple[int, dict[int, NDArray[np.bool_]]]]:
        for sign in {"forward": (FORWARD,), "backward": (BACKWARD,), "both": (FORWARD, BACKWARD)}[direction]:
            frames = self.frames(ids, start, stop if direction != "both" else None, sign)
            before = known_masks(self.results, frames, ids) if stride > 1 else {}
            conditioning = {t for i in ids for t in self._banks[i].conditioning}
            pieces = spans(frames, stride, conditioning, known_before=before.keys() == set(ids))
            for frame, lacking in (self.lacking(frames.start, ids, sign, stride) if frames else {}).items():
                known = {i: mask for i in lacking if (mask := self.results.mask(frame, i)) is not None}
                if known:
                    self.recollect(frame, known, self.results.scores(frame), sign)
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

    def _keep_filled(self, filled: Filled) -> dict[int, dict[int, NDArray[np.bool_]]]:
        rows = [(t, i, mask, None) for t, masks in filled for i, mask in masks.items()]
        self.results.write_masks(rows, origin="interpolated", run=self.run)
        return dict(filled)

    def lacking(self, start: int, ids: Sequence[int], sign: int, stride: int) -> dict[int, list[int]]:
        """Return ``{frame: object ids}`` that a run from ``start`` would remember had it been here before."""
        wanted: dict[int, list[int]] = {}
        for i in ids:
            for t in self._banks[i].missing(start, sign, stride):
                if 0 <= t < self.shape[0]:
                    wanted.setdefault(t, []).append(i)
        return dict(sorted(wanted.items(), reverse=sign < 0))

    @torch.inference_mode()
    def recollect(self, frame: int, masks: Mapping[int, NDArray[np.bool_]], scores: Mapping[int, Scores], sign: int) -> None:
        """Remember masks that are known already, as if they had just been tracked in the direction ``sign``."""
        features = self._sight.encode(frame)
        for i, mask in masks.items():
            prompt = mask_to_network(mask, self.model.image_size).to(self.model.device)
            memory = self._sight.remember(frame, self.model.decode_mask(features, prompt))[0]
            if i in scores:
                memory.iou, memory.object_score = scores[i].iou, scores[i].object_score
            self._banks[i].recollect(memory, sign)

    def frames(self, ids: Sequence[int], start: int | None, stop: int | None, sign: int) -> range:
        """Return the frames a run of this direction (1 forward, -1 backward) visits."""
        return frame_range(self.conditioning, self.shape[0], ids, start, stop, sign)

    def scores(self, frame: int) -> dict[int, Scores]:
        """Return what the model thinks of the masks on a frame, ``{object id: Scores}``."""
        return self.results.scores(frame)

    def snapshot(self) -> bytes:
        """Return the state of all memory banks; :meth:`restore` goes on from it to the same masks, bit for bit."""
        return write_snapshot(self.shape, self.policy, self._banks)

    def restore(self, snapshot: bytes) -> None:
        """Take up the state of a snapshot.

        Raises
        ------
        TrackingError
            If it was made by another version, for another video or under another memory policy.
        """
        self._banks = read_snapshot(snapshot, self.shape, self.policy, self.model.device)

    @torch.inference_mode()
    def step(self, frame: int, ids: Sequence[int], sign: int, stride: int = 1) -> dict[int, NDArray[np.bool_]]:
        """Track one frame, ``stride`` frames after the last in the direction ``sign``: what :meth:`propagate` is made of."""
        self._stride = stride
        masks: dict[int, NDArray[np.bool_]] = {}
        followed = []
        for i in ids:
            conditioning = self._banks[i].conditioning
            if frame in conditioning:
                known = self.results.mask(frame, i)
                masks[i] = known if known is not None else np.zeros(self.shape[1:], dtype=bool)
            elif any((frame - t) * sign > 0 for t in conditioning):
                followed.append(i)
        rows = []
        for group in self._sight.batches([(i, self._recall(i, frame, sign)) for i in followed]):
            attended = self._sight.attend(self._sight.encode(frame), [recall for _, recall in group])
            decoded = self.model.decode(attended, multimask=True)
            memories = self._sight.remember(frame, decoded)
            for row, ((i, _), memory) in enumerate(zip(group, memories, strict=True)):
                self._banks[i].append(memory, sign, self._stride)
                self._recent_logits[i, frame] = decoded.logits[row : row + 1]
                masks[i] = self._upsample(decoded.logits[row, 0])
                rows.append((frame, i, masks[i], self._sight.scores(decoded, row)))
        while len(self._recent_logits) > RECENT_LOGITS * len(self._banks):
            self._recent_logits.popitem(last=False)
        if rows:
            self.results.write_masks(rows, origin="propagated", run=self.run)
        return masks

    def _recall(self, object_id: int, frame: int, sign: int) -> Recall:
        return self._banks[object_id].recall(frame, sign, self._stride, self.model.speed.memories)

    def _earlier_logits(self, prompt: Prompt, seen: NDArray[np.bool_] | None) -> Tensor | None:
        """Return the earlier answer on this frame as a prompt, ``(1, 1, 4g, 4g)``."""
        key = (prompt.object_id, prompt.frame)
        logits = self._logits.get(key, self._recent_logits.get(key))
        if logits is None and seen is not None and seen.any():
            # Of a frame tracked long ago only the mask is kept, not its logits.
            small = mask_to_network(seen, 4 * self.model.config.grid).to(self.model.device)
            logits = small * MASK_SCALE + MASK_SHIFT
        return None if logits is None else logits.clamp(-LOGIT_CLAMP, LOGIT_CLAMP)

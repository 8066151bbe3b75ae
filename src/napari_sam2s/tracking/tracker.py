"""The tracker: prompts and frames in, masks out.

It owns the ranges, the results and the loop. What knows the objects and the network is a :class:`TrackerActor`: here, or in
the process of an :class:`Engine`. A frame is tracked when it is asked for, so whoever stops asking has paused.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_sam2s.errors import PromptError, TrackingError
from napari_sam2s.masklets import rle
from napari_sam2s.masklets.types import Prompt, Scores
from napari_sam2s.model.video_model import VideoModel
from napari_sam2s.tracking.candidates import Candidate
from napari_sam2s.tracking.engine import EngineModel
from napari_sam2s.tracking.frame_ranges import Direction, check_followed, check_frames, directions, frame_range, known_masks
from napari_sam2s.tracking.given_parts import check_parts, shape_of_video
from napari_sam2s.tracking.policy import MemoryPolicy
from napari_sam2s.tracking.prompts import check_prompt, make_prompt, too_thin
from napari_sam2s.tracking.results import MemoryResults, ResultStore, refuse_unknown
from napari_sam2s.tracking.small_frames import SmallFrames
from napari_sam2s.tracking.tracker_actor import FEATURE_CACHE_BYTES, AnyMask, TrackerActor
from napari_sam2s.tracking.working_rate import Filled, Masks, find_stride, read_order, spans, walk


@dataclass
class _Loop:
    """One propagation of a tracker."""

    over: bool = False
    snapshot: bytes | None = None  # what it remembers, while another one is at work
    said: int = 0


class Tracker:
    """Track objects through a video.

    Parameters
    ----------
    model
        From :func:`napari_sam2s.load_model`, or :meth:`Engine.model` for one that runs in another process.
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
        model: VideoModel | EngineModel,
        video: Any,
        project: ResultStore | None = None,
        memory: str | MemoryPolicy = "divemem",
        *,
        cache_bytes: int = FEATURE_CACHE_BYTES,
    ) -> None:
        self.shape = shape_of_video(video)
        check_parts(model, project, self.shape)
        self.model = model
        self.video = video
        self._remote = isinstance(model, EngineModel)
        self._actor: TrackerActor
        if isinstance(model, EngineModel):
            self._actor = model.create(TrackerActor, self.shape, memory, cache_bytes)
            self._frames = SmallFrames(video, int(self._actor.describe()["image_size"]))
        else:
            self._frames = SmallFrames(video, model.facts.image_size)
            self._actor = TrackerActor(model, self.shape, memory, cache_bytes, self._frames)
        self.results: ResultStore = project if project is not None else MemoryResults(self.shape[1:])
        self.conditioning: dict[int, list[int]] = {}  # the conditioning frames of each object
        self._lock = threading.RLock()  # held while a question is answered, never between two frames
        self._loop: _Loop | None = None  # whose memories the actor has
        self._said = 0  # how often prompts changed
        self.run: int | None = None  # of the project, that propagated masks belong to
        self.reached: int | None = None  # the frame up to which a propagation has kept everything

    @property
    def object_ids(self) -> tuple[int, ...]:
        """The objects that have a prompt."""
        return tuple(self.conditioning)

    @property
    def policy(self) -> MemoryPolicy:
        """What is remembered."""
        return MemoryPolicy(**self._actor.describe()["memory"])

    def describe(self) -> dict[str, Any]:
        """Return what results depend on, for a project's provenance."""
        return {**self._actor.describe(), "objects": list(self.object_ids)}

    def device_memory(self) -> tuple[int, int]:
        """Return how many bytes are taken where the model runs, and how many there are: of the GPU, or of that machine."""
        used, total = self._actor.device_memory()
        return int(used), int(total)

    def object_bytes(self) -> int:
        """Return about how many bytes the network remembers of an object: what a run keeps to be resumed."""
        return int(self._actor.object_bytes())

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
        """Say where an object is on a frame, and see its mask there.

        Prompts on the same frame add up, and the earlier answer helps the next one; ``reset`` starts anew. The frame
        becomes a conditioning frame of the object.

        Parameters
        ----------
        object_id, frame
            Any integer from 1 on (with a project, an object of it), and the index of the frame.
        points, labels
            ``(y, x)`` in pixels of the video, and 1 (the object) or 0 (not the object) for each; all 1 by default.
        box
            ``(y0, x0, y1, x1)``.
        mask
            ``(Y, X)`` bool; stands alone.

        Returns
        -------
        numpy.ndarray of bool, (Y, X)

        Raises
        ------
        PromptError
            If the prompt does not fit the video; nothing has changed then.
        ProjectError
            If the project does not have the object.
        """
        return self._give(make_prompt(object_id, frame, self.shape, points=points, labels=labels, box=box, mask=mask), reset)

    def give(self, prompt: Prompt, *, reset: bool = False) -> NDArray[np.bool_]:
        """Do as :meth:`prompt` does, with a :class:`Prompt`."""
        return self._give(check_prompt(prompt, self.shape), reset)

    def _give(self, prompt: Prompt, reset: bool) -> NDArray[np.bool_]:
        refuse_unknown(self.results, prompt.object_id)
        if prompt.mask is not None and (thin := too_thin(prompt.mask, self._frames.size)):
            warnings.warn(thin, stacklevel=3)
        with self._lock:
            answer = self._actor.prompt(prompt, *self._known_there(prompt), reset)
            self.conditioning = answer.conditioning
            self._said += 1
            mask = self._decode(answer.mask)
            self.results.keep_prompt(prompt, mask, answer.scores, reset=reset)
        return mask

    def candidates(
        self,
        frame: int,
        *,
        points: ArrayLike | None = None,
        labels: int | Sequence[int] | None = None,
        box: Sequence[float] | None = None,
    ) -> list[Candidate]:
        """Return what a first prompt may mean: the whole, a part, a finer part (SAM 2's three masks).

        No object and no memory changes. Give the chosen one with ``prompt(object_id, frame, mask=candidate.mask)``.

        Parameters
        ----------
        frame, points, labels, box
            As :meth:`prompt` takes them.

        Returns
        -------
        list of Candidate
            One to three, ``mask`` ``(Y, X)`` bool and ``iou`` as predicted, best first. Masks that are empty or nearly the
            same as a better one are left out, so there may be none.

        Raises
        ------
        PromptError
            If the prompt does not fit the video.
        """
        prompt = make_prompt(1, frame, self.shape, points=points, labels=labels, box=box)
        if prompt.box is None and not any(prompt.labels):
            raise PromptError("Negative points do not say where the object is: add a positive point or a box.")
        return self._candidates(prompt)

    def _candidates(self, prompt: Prompt) -> list[Candidate]:
        image = None if self._actor.has_frame(prompt.frame) else self._frames(prompt.frame)
        return [Candidate(self._decode(mask), iou) for mask, iou in self._actor.candidates(prompt, image)]

    def replay(self, prompt: Prompt) -> None:
        """Take up a prompt that the results hold already, as when a project is opened."""
        with self._lock:
            self.conditioning = self._actor.replay(prompt, *self._known_there(prompt))
            self._said += 1

    def _known_there(self, prompt: Prompt) -> tuple[NDArray[np.uint8] | None, AnyMask | None]:
        """Return what the actor may lack when it is prompted: the frame, and the mask that is known there."""
        image = None if self._actor.has_frame(prompt.frame) else self._frames(prompt.frame)
        mask = self.results.mask(prompt.frame, prompt.object_id)
        return image, None if mask is None else self._encode(mask)

    def forget(self, object_id: int, frame: int | None = None) -> None:
        """Forget the prompts of an object, on one frame or altogether; its masks stay."""
        with self._lock:
            self.conditioning = self._actor.forget(object_id, frame)
            self._said += 1

    def forget_frames(self) -> None:
        """Forget the pixels and encodings of all frames, as when the video shows other ones from now on."""
        with self._lock:
            self._frames.forget()
            self._actor.forget_frames()

    def propagate(
        self,
        start: int | None = None,
        stop: int | None = None,
        direction: Direction = "forward",
        *,
        objects: Sequence[int] | None = None,
        rate: float | None = None,
    ) -> Iterator[tuple[int, Masks]]:
        """Track objects from frame to frame.

        Each step is done when it is asked for, so the loop may stop anywhere; everything until then is in the results.
        An object is tracked from its first conditioning frame on in the direction of tracking, and is absent before.
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
            Ids to track; all by default.
        rate
            Frames per second to track at. The frames between are filled by :mod:`napari_sam2s.tracking.interpolation` and
            kept with the origin ``"interpolated"``, without scores; propagating over them again without a rate tracks them.
            By default every frame is tracked.

        Yields
        ------
        frame, masks
            Index, and ``{object id: (Y, X) bool}``; every frame in order, at any rate. In both directions a frame comes twice
            where one object is tracked forward there and another backward; the second time with both.

        Raises
        ------
        TrackingError
            If there is nothing to track, the range is empty or lies outside the video, or the rate fits no frame rate;
            in the loop, if a tracked object was forgotten, or another loop of this tracker got prompts.
        """
        ids = check_followed(self.conditioning, objects)
        ranges = [check_frames(self.frames(ids, start, end, sign)) for sign, end in directions(direction, stop)]
        return self._run(ids, ranges, find_stride(self.video, rate))

    def _run(self, ids: tuple[int, ...], ranges: Sequence[range], stride: int) -> Iterator[tuple[int, Masks]]:
        loop = _Loop()
        earlier = range(0)  # the frames of the first direction
        try:
            for frames in ranges:
                steps = self._walk(ids, frames, stride)
                while True:
                    with self._lock:
                        self._switch_to(loop)
                        step = next(steps, None)
                    if step is None:
                        break
                    frame, self.reached, masks = step
                    if frame in earlier:  # what comes last of a frame is whole: it has what the first direction found, too
                        if frame == frames.start and all(frame in self.conditioning[i] for i in masks):
                            continue
                        found = {i: self.results.mask(frame, i) for i in ids if i not in masks}
                        masks = {i: mask for i, mask in found.items() if mask is not None} | masks
                    yield frame, masks
                earlier = frames
        finally:
            loop.over = True

    def _switch_to(self, loop: _Loop) -> None:
        """Go on with what a loop remembers, where another one has been at work since; in threads, or one inside the other."""
        before = self._loop
        if before is loop:
            return
        if before is not None and not before.over:
            before.snapshot, before.said = self._actor.snapshot(), self._said
        if loop.snapshot is not None:
            if loop.said != self._said:
                raise TrackingError("Prompts were added in another loop of this tracker, so this one ended. Propagate again.")
            self._actor.restore(loop.snapshot)
            loop.snapshot = None
        self._loop = loop

    def _walk(self, ids: tuple[int, ...], frames: range, stride: int) -> Iterator[tuple[int, int, Masks]]:
        sign = frames.step
        before, known_before = known_masks(self.results, frames, ids, self.conditioning) if stride > 1 else ({}, False)
        conditioning = {t for i in ids for t in self.conditioning[i]}
        parts = spans(frames, stride, conditioning, known_before=known_before)
        self._take_up(frames.start, ids, sign, stride)
        # An engine computes meanwhile; here a thread would only take the processor from the network.
        order = read_order(parts, from_before=known_before)
        ahead = self._remote and getattr(self.video, "reads_ahead", True)
        with self._frames.ahead(order) if ahead else nullcontext():
            yield from walk(
                parts,
                image=self._frames,
                step=lambda frame: self.step(frame, ids, sign, stride, frames[-1]),
                before=before,
                keep=self._keep_filled,
            )

    def _take_up(self, start: int, ids: tuple[int, ...], sign: int, stride: int) -> None:
        """Remember what is known of the frames before a run, where the tracker has not just been."""
        for frame, lacking in self.lacking(start, ids, sign, stride).items():
            known = {i: self._encode(mask) for i in lacking if (mask := self.results.mask(frame, i)) is not None}
            if known:
                image = self._frames(frame) if self._remote else None
                self._actor.recollect(frame, image, known, self.results.scores(frame), sign)

    def _keep_filled(self, filled: Filled) -> None:
        rows = [(t, i, mask, None) for t, masks in filled for i, mask in masks.items()]
        self.results.write_masks(rows, origin="interpolated", run=self.run)

    def lacking(self, start: int, ids: Sequence[int], sign: int, stride: int) -> dict[int, list[int]]:
        """Return ``{frame: object ids}`` that a run from ``start`` would remember had it been here before."""
        return self._actor.lacking(start, ids, sign, stride)

    def frames(self, ids: Sequence[int], start: int | None, stop: int | None, sign: int) -> range:
        """Return the frames a run of this direction (1 forward, -1 backward) visits."""
        return frame_range(self.conditioning, self.shape[0], ids, start, stop, sign)

    def scores(self, frame: int) -> dict[int, Scores]:
        """Return what the model thinks of the masks on a frame, ``{object id: Scores}``."""
        return self.results.scores(frame)

    def snapshot(self) -> bytes:
        """Return the state of all memory banks; :meth:`restore` goes back to it, and on to the same masks, bit for bit."""
        with self._lock:
            return self._actor.snapshot()

    def restore(self, snapshot: bytes) -> None:
        """Take up the state of a snapshot.

        Raises
        ------
        TrackingError
            If it was made by another version, for a video of another size, or under another memory policy.
        """
        with self._lock:
            self.conditioning = self._actor.restore(snapshot)
            self._said += 1

    def step(self, frame: int, ids: Sequence[int], sign: int, stride: int = 1, last: int | None = None) -> Masks:
        """Track one frame, ``stride`` after the one before in the direction ``sign``, of a run up to the frame ``last``."""
        if gone := [i for i in ids if i not in self.conditioning]:
            raise TrackingError(f"Object {gone[0]} was forgotten while it is tracked: propagate again without it.")
        following = None if stride > 1 or last in (None, frame) else frame + sign
        with self._frames.sent_for(frame, following, self._remote) as (image, along):
            rows = self._actor.step(frame, image, tuple(ids), sign, stride, along)
        if rows:
            self.results.write_masks(rows, origin="propagated", run=self.run)
        masks = {}
        for i in ids:
            if frame in self.conditioning[i]:
                known = self.results.mask(frame, i)
                masks[i] = known if known is not None else np.zeros(self.shape[1:], dtype=bool)
        return masks | {i: self._decode(mask) for _, i, mask, _ in rows}

    def _encode(self, mask: NDArray[np.bool_]) -> AnyMask:
        return rle.encode(mask) if self._remote else mask

    def _decode(self, mask: AnyMask) -> NDArray[np.bool_]:
        return rle.decode(mask, self.shape[1:]) if isinstance(mask, rle.Mask) else mask

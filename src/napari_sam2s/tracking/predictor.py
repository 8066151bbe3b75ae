"""What tracking asks of the network: a frame encoded, objects found on it under what they remember, new memories."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_sam2s.masklets.types import Prompt, Scores
from napari_sam2s.model.stages import MASK_SCALE, MASK_SHIFT, Decoded, Features
from napari_sam2s.model.video_model import Memory, PointPrompt, Recall, VideoModel
from napari_sam2s.tracking.closer_look import closer_logits, closer_window, look_closer, most_alike, place
from napari_sam2s.tracking.crop_window import Window
from napari_sam2s.tracking.encode_ahead import EncodeAhead, HalfOfTheThreads
from napari_sam2s.tracking.policy import MemoryPolicy
from napari_sam2s.tracking.prompts import mask_to_network, to_network, with_inside
from napari_sam2s.tracking.upsampling import MaskUpsampler

LOGIT_CLAMP = 32.0  # of an earlier answer that becomes a prompt, as in SAM 2
BATCH_BYTES = 2**30  # that reading their memories may take; more objects than fit are tracked batch by batch


class FrameAnswer(NamedTuple):
    """What a network makes of a prompt."""

    decoded: Decoded
    finer: list[NDArray[np.bool_] | None]  # the masks (Y, X) that were asked for; None where upsampled logits are as fine


class FramePredictor:
    """A network and the frames of one video, of which the encodings of the latest ones are kept.

    Parameters
    ----------
    model
        The network.
    pixels
        Gives a frame at the network's resolution, ``(S, S, 3)``.
    shape
        Of the video, ``(T, Y, X)``.
    policy
        What is remembered.
    cache_bytes
        How much the encodings may take.
    """

    def __init__(
        self,
        model: VideoModel,
        pixels: Callable[[int], NDArray[np.uint8]],
        shape: tuple[int, int, int],
        policy: MemoryPolicy,
        cache_bytes: int,
    ) -> None:
        self.model = model
        self.policy = policy
        self.size = shape[1:]
        self._pixels = pixels
        self._length = shape[0]
        self.pointer_unit = max(min(shape[0], policy.pointers + 1) - 1, 1)  # SAM 2's unit of distance
        self._features: OrderedDict[int, Features] = OrderedDict()
        self._prompted: tuple[int, Features | None] | None = None  # the latest prompted frame, as first prompts see it
        self._cache_bytes = cache_bytes
        self._ahead = EncodeAhead(lambda pixels, outlined: model.encode_frame(pixels, outlined=outlined))
        self._half = HalfOfTheThreads()
        self._present = False  # whether anything was found on the frame that was tracked last

    @property
    def cached_bytes(self) -> int:
        """What the encodings that are kept take."""
        return sum(features.nbytes for features in self._features.values())

    def encode(self, frame: int) -> Features:
        """Encode a frame, or take it from the cache."""
        features = self._features.get(frame)
        if features is None:
            features = self._features[frame] = self._ahead.take(frame) or self._encode(frame)
            while len(self._features) > 1 and self.cached_bytes > self._cache_bytes:
                self._features.popitem(last=False)
        self._features.move_to_end(frame)
        return features

    def _encode(self, frame: int) -> Features:
        with self._half if self.model.device.type == "cpu" else nullcontext():  # as in the other thread, see `encoding`
            return self.model.encode_frame(self._pixels(frame))

    def forget_frames(self) -> None:
        """Forget the encodings of all frames."""
        self._ahead.forget()
        self._features.clear()
        self._prompted = None

    def answer(self, prompt: Prompt, recall: Recall | None, earlier: Tensor | None, *, ambiguous: bool = False) -> FrameAnswer:
        """Decode a prompted frame.

        Parameters
        ----------
        prompt
            All that was said of the object on that frame.
        recall
            What the object remembers, for a correction of a tracked frame.
        earlier
            Logits ``(1, 1, 4g, 4g)`` of the answer that the prompt corrects.
        ambiguous
            Whether every mask that points and a box may mean is wanted.
        """
        if prompt.mask is not None:
            return FrameAnswer(self.answer_mask(prompt.frame, prompt.mask), [prompt.mask])
        closer = recall is None and self.model.facts.encodes_prompted
        window = closer_window(prompt, None, self.size) if closer else None
        if window is not None:
            before = None if earlier is None else closer_logits(earlier, window, self.size)
            seen = self._see(prompt, window, before, ambiguous)
            found = [place(low, window, self.size) for low in (seen.all_shown[0] if ambiguous else seen.shown[0])]
            if any(mask.any() for mask in found):
                return FrameAnswer(self._as_if_given(prompt.frame, found[0], seen), list(found))
        prompted = self._encode_prompted(prompt.frame) if recall is None else None
        given = self._given(prompt, self.size, earlier, ambiguous)
        decoded = self.model.answer(self.encode(prompt.frame), prompted, given, recall)
        wanted = decoded.all_logits[0] if ambiguous else decoded.logits[0]
        finer = [self._refined(prompt, low) if closer else None for low in wanted]
        if finer[0] is not None and not ambiguous:
            decoded = self._as_if_given(prompt.frame, finer[0], decoded)
        return FrameAnswer(decoded, finer)

    def _given(self, prompt: Prompt, size: tuple[int, int], earlier: Tensor | None, ambiguous: bool) -> PointPrompt:
        points, labels = (t.to(self.model.device) for t in to_network(prompt, size, self.model.facts.image_size))
        return PointPrompt(points, labels, earlier, ambiguous)

    def _see(self, prompt: Prompt, window: Window, earlier: Tensor | None, ambiguous: bool) -> Decoded:
        """Answer a first prompt in a window of its frame; the answer cannot be remembered."""
        side = self.model.facts.image_size
        prompted = self.model.encode_prompted(look_closer(self._pixels(prompt.frame), window, self.size))
        given = self._given(window.cut(prompt, side), (side, side), earlier, ambiguous)
        return self.model.answer(None, prompted, given, None)

    def correct(self, prompt: Prompt, mask: NDArray[np.bool_]) -> FrameAnswer:
        """Answer points and a box that correct a mask ``(Y, X)``, as a network takes them whose ``facts.head_corrects``."""
        return self.answer(with_inside(prompt, mask, always=True), None, self.mask_logits(mask))

    def find_again(self, prompt: Prompt, recall: Recall) -> FrameAnswer:
        """Answer points on a frame of which nothing is known of an object that is remembered from others.

        Where it should be by these memories is known less exactly: that place is corrected.
        """
        given = self._given(prompt, self.size, None, False)
        found = self.model.answer(self.encode(prompt.frame), None, given, recall)
        likely = MaskUpsampler(self.size)(found.shown[0, 0])
        return self.correct(prompt, likely) if likely.any() else self.answer(prompt, None, None)

    def mask_logits(self, mask: NDArray[np.bool_]) -> Tensor:
        """Return a mask ``(Y, X)`` as logits ``(1, 1, 4g, 4g)`` of an answer."""
        return mask_to_network(mask, self.model.facts.logits_size).to(self.model.device) * MASK_SCALE + MASK_SHIFT

    def _refined(self, prompt: Prompt, answer: Tensor) -> NDArray[np.bool_] | None:
        """Show the network its answer ``(4g, 4g)`` to a first prompt from near; ``None`` where that shows nothing more."""
        window = closer_window(prompt, answer, self.size)
        if window is None:
            return None
        near = closer_logits(answer[None, None].clamp(-LOGIT_CLAMP, LOGIT_CLAMP), window, self.size)
        if len(prompt.labels) > 1:
            low = self._see(prompt, window, near, False).shown[0, 0]
        else:  # from near, too, a click may mean several things: what was meant is most like the answer
            shown = self._see(prompt, window, None, True).all_shown[0]
            low = shown[most_alike(shown, near[0, 0])]
        mask = place(low, window, self.size)
        return mask if mask.any() else None

    def _as_if_given(self, frame: int, mask: NDArray[np.bool_], scored: Decoded) -> Decoded:
        """Return what would be remembered of a mask that the user gave, with the scores of the answer that it is."""
        given = self.answer_mask(frame, mask)
        return replace(given, iou=scored.iou, object_score=scored.object_score, all_iou=scored.all_iou)

    def answer_mask(self, frame: int, mask: NDArray[np.bool_]) -> Decoded:
        """Take a mask ``(Y, X)`` as the answer."""
        given = mask_to_network(mask, self.model.facts.mask_size).to(self.model.device)
        return self.model.decode_mask(self.encode(frame), given)

    def _encode_prompted(self, frame: int) -> Features | None:
        if not self.model.facts.encodes_prompted:
            return None
        if self._prompted is None or self._prompted[0] != frame:
            self._prompted = frame, self.model.encode_prompted(self._pixels(frame))
        return self._prompted[1]

    def follow(self, frame: int, recalls: list[Recall]) -> tuple[Decoded, Tensor, Tensor | None]:
        """Find objects by what they remember; return also their memories of this frame, as :meth:`keep` takes them."""
        found = self.model.track(self.encode(frame), recalls)
        self._present = bool((found[0].object_score > 0).any()) if found[0].object_score.is_cpu else True
        return found

    @contextmanager
    def encoding(self, frame: int, following: int | None) -> Iterator[None]:
        """Track ``frame`` with half of a CPU's cores, and encode the frame ``following`` with the other half meanwhile.

        Half it is without such a frame, too: results may depend on the number of threads, but never on where a run began.
        """
        if self.model.device.type != "cpu":
            yield
            return
        with self._half:
            self.encode(frame)
            if self._half.spares and following is not None and not self._ahead.has(following):
                pixels = self._pixels_ahead(following)
                if pixels is not None:
                    self._ahead.start(following, pixels, self._present)
            yield

    def remember(self, frame: int, decoded: Decoded, *, prompted: bool = False) -> list[Memory]:
        """Return a memory of every object that was decoded on a frame."""
        maps, patches = self.model.remember(self.encode(frame), decoded, prompted=prompted)
        return self.keep(frame, decoded, maps, patches, [self.scores(decoded, row) for row in range(len(maps))])

    def keep(self, frame: int, decoded: Decoded, maps: Tensor, patches: Tensor | None, scores: list[Scores]) -> list[Memory]:
        """Return the memories of :meth:`follow` one by one; ``scores`` are those of :meth:`read`."""
        features = self.encode(frame)
        image = features.embedding[0].half() if self.policy.long_term and self.policy.compare == "image" else None
        keys = features.keys[0].half() if features.keys is not None else None
        # Clones, so that one object's memory does not keep the whole batch alive.
        return [
            Memory(
                frame,
                maps[row].clone(),
                decoded.pointer[row].clone(),
                scores[row].iou,
                scores[row].object_score,
                image,
                keys,
                None if patches is None else patches[row].clone(),
            )
            for row in range(len(maps))
        ]

    def read(
        self, decoded: Decoded, upsample: MaskUpsampler, ahead: int | None = None
    ) -> tuple[list[NDArray[np.bool_]], list[Scores]]:
        """Return the masks ``(Y, X)`` at the video's size and what the network thinks of them.

        A GPU is waited for once; meanwhile it is given the frame ``ahead`` to encode, if there is one.
        """
        numbers = [decoded.iou.float()[:, None], decoded.object_score.float()[:, None]]
        classes = self.model.class_scores(decoded)
        together = torch.cat(numbers if classes is None else [*numbers, classes.float()], dim=1)
        logits = decoded.shown[:, 0]
        if logits.device.type == "cuda":
            # To pinned memory, which need not be waited for yet; copied from there, as there is little of it.
            waiting = upsample.on_device(logits).to("cpu", non_blocking=True)
            together = together.to("cpu", non_blocking=True)
            done = torch.cuda.Event()
            done.record(torch.cuda.current_stream(logits.device))
            if ahead is not None and self._pixels_ahead(ahead) is not None:
                self.encode(ahead)
            done.synchronize()
            masks = [mask.numpy().copy() for mask in waiting]
        else:
            masks = [upsample(low) for low in logits]
        names = self.model.facts.class_names
        return masks, [
            Scores(iou, score, dict(zip(names, rest, strict=True)) if rest else {}) for iou, score, *rest in together.tolist()
        ]

    def _pixels_ahead(self, frame: int) -> NDArray[np.uint8] | None:
        """Return the pixels of a frame that will be wanted, if it is not encoded yet and there is room for it."""
        room = self._cache_bytes >= 4 * max((f.nbytes for f in self._features.values()), default=0)
        if frame in self._features or not 0 <= frame < self._length or not room:
            return None
        try:
            return self._pixels(frame)
        except Exception:  # noqa: BLE001 - cannot be read, or has not arrived: the step that needs the frame will say so
            return None

    def scores(self, decoded: Decoded, row: int) -> Scores:
        """Return what the network thinks of one of the masks."""
        classes = self.model.class_scores(decoded)
        named = {} if classes is None else dict(zip(self.model.facts.class_names, classes[row].tolist(), strict=True))
        return Scores(float(decoded.iou[row]), float(decoded.object_score[row]), named)

    def batches(self, recalls: list[tuple[int, Recall]]) -> list[list[tuple[int, Recall]]]:
        """Put objects together that remember the same kinds of frames, so that nothing needs padding; not too many at once."""
        groups: dict[tuple[int, ...], list[tuple[int, Recall]]] = {}
        for item in recalls:
            groups.setdefault((len(item[1].pointers), *item[1].slots), []).append(item)
        batches = []
        for group in groups.values():
            size = max(BATCH_BYTES // self.model.facts.bytes_per_memory // max(len(group[0][1].slots), 1), 1)
            batches += [group[n : n + size] for n in range(0, len(group), size)]
        return batches

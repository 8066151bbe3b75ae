"""The objects of one video, a frame at a time: what was said of each, what it remembers, where it is."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import nullcontext

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_sam2s.errors import PromptError
from napari_sam2s.masklets.types import Prompt, Scores
from napari_sam2s.model.stages import Decoded
from napari_sam2s.model.video_model import Recall
from napari_sam2s.tracking.candidates import Candidate, rank
from napari_sam2s.tracking.memory_bank import FORWARD, MemoryBank
from napari_sam2s.tracking.predictor import LOGIT_CLAMP, FrameAnswer, FramePredictor
from napari_sam2s.tracking.prompts import merge, only_excludes, with_inside
from napari_sam2s.tracking.upsampling import MaskUpsampler

RECENT_LOGITS = 8  # frames per object whose logits are kept, for a correction right after pausing
Key = tuple[int, int]  # object id, frame
Found = tuple[int, int, NDArray[np.bool_], Scores]  # frame, object id, mask (Y, X), scores


class ObjectStates:
    """A memory bank for each object, and the answers that its prompts got.

    Knows neither ranges of frames nor where results go: that is :class:`Tracker`.

    Parameters
    ----------
    predictor
        The network and the video's frames.
    """

    def __init__(self, predictor: FramePredictor) -> None:
        self.predictor = predictor
        self.model = predictor.model
        self.banks: dict[int, MemoryBank] = {}
        self._stride = 1  # of the latest propagation
        self._prompts: dict[Key, Prompt] = {}  # all that was said so far
        self._corrected: set[Key] = set()  # frames that had been tracked when they were prompted
        self._given: set[Key] = set()  # frames of which a mask was given first
        self._logits: dict[Key, Tensor] = {}  # low-resolution answers to that, (1, 1, 4g, 4g)
        self._recent_logits: OrderedDict[Key, Tensor] = OrderedDict()  # of the last frames tracked
        self._upsample = MaskUpsampler(predictor.size)

    @property
    def conditioning(self) -> dict[int, list[int]]:
        """The conditioning frames of each object."""
        return {i: list(bank.conditioning) for i, bank in self.banks.items()}

    def logits(self, object_id: int, frame: int) -> Tensor | None:
        """Return the low-resolution logits ``(1, 1, 4g, 4g)`` of a prompted or just tracked frame, while they are kept."""
        key = (object_id, frame)
        return self._logits.get(key, self._recent_logits.get(key))

    def condition(
        self, new: Prompt, seen: NDArray[np.bool_] | None, *, reset: bool = False
    ) -> tuple[NDArray[np.bool_], Scores]:
        """Answer a prompt and make its frame a conditioning one.

        Parameters
        ----------
        new
            What is said now; it adds to what was said of the object on that frame, unless ``reset``.
        seen
            The mask ``(Y, X)`` known there so far.

        Returns
        -------
        The mask ``(Y, X)``, and what the network thinks of it.

        Raises
        ------
        PromptError
            If only negative points say where the object is; nothing has changed then.
        """
        object_id, frame = key = (new.object_id, new.frame)
        if reset:
            seen = None
        whole = new if reset else merge(self._prompts.get(key), new)
        if only_excludes(whole) and (seen is None or not seen.any()):
            raise PromptError(
                f"Object {object_id} has only negative points on frame {frame}, which only say where it is not: add a positive "
                "point or a box."
            )
        if reset:
            self._given.discard(key)
        with torch.inference_mode():
            corrects = seen is not None and self._corrects(key)
            answer = self._answer_by_head if self.model.facts.head_corrects else self._answer
            decoded, finer = answer(whole, seen, corrects=corrects, reset=reset)
            self._condition(whole, decoded, corrects=corrects)
        if reset:
            self._recent_logits.pop(key, None)
        mask = self._upsample(decoded.shown[0, 0]) if finer[0] is None else finer[0].copy()
        return mask, self.predictor.scores(decoded, 0)

    def candidates(self, prompt: Prompt) -> list[Candidate]:
        """Return what points and a box may mean where nothing is known yet, best first; nothing has changed then."""
        with torch.inference_mode():
            decoded, finer = self.predictor.answer(prompt, None, None, ambiguous=True)
        masks = [self._upsample(low) if mask is None else mask for low, mask in zip(decoded.all_shown[0], finer, strict=True)]
        return rank(Candidate(mask, iou) for mask, iou in zip(masks, decoded.all_iou[0].clamp(0, 1).tolist(), strict=True))

    def _corrects(self, key: Key) -> bool:
        """Whether a prompt corrects what was tracked there, rather than being the first word on an object or a frame."""
        object_id, frame = key
        known = self.banks[object_id].conditioning if object_id in self.banks else {}
        return any(t != frame for t in known) and (frame not in known or key in self._corrected)

    def _answer(self, whole: Prompt, seen: NDArray[np.bool_] | None, *, corrects: bool, reset: bool) -> FrameAnswer:
        """Answer all that was said of an object on a frame whose mask so far is ``seen``, as SAM 2 does."""
        key = whole.object_id, whole.frame
        # A correction of a tracked frame looks at it with what the object remembers, with every click.
        recall = self._recall(*key, FORWARD) if corrects else None
        asked = whole if corrects or seen is None else with_inside(whole, seen)
        return self.predictor.answer(asked, recall, None if reset else self._earlier_logits(key, seen))

    def _answer_by_head(self, whole: Prompt, seen: NDArray[np.bool_] | None, *, corrects: bool, reset: bool) -> FrameAnswer:
        """Answer it by a head for first prompts that corrects: it sees masks that it did not find, too."""
        key = whole.object_id, whole.frame
        if seen is not None and seen.any():
            if whole.mask is None and (corrects or key in self._given):
                return self.predictor.correct(whole, seen)
            return self.predictor.answer(with_inside(whole, seen), None, self._earlier_logits(key, seen))
        # Points alone may mean several things. What the object remembers of other frames tells which, if less exactly.
        bank = self.banks.get(whole.object_id)
        if whole.points and whole.box is None and bank is not None and any(t != whole.frame for t in bank.conditioning):
            return self.predictor.find_again(whole, self._recall(*key, FORWARD))
        return self.predictor.answer(whole, None, None)

    def _condition(self, whole: Prompt, decoded: Decoded, *, corrects: bool) -> None:
        """Make a frame a conditioning one, with this as the answer to all that was said of the object there."""
        key = (whole.object_id, whole.frame)
        memory = self.predictor.remember(whole.frame, decoded, prompted=True)[0]
        bank = MemoryBank(self.predictor.policy, self.model.facts.recent_memories)
        self.banks.setdefault(whole.object_id, bank).condition(memory)
        self._prompts[key] = whole
        if whole.mask is not None:
            self._given.add(key)
        self._logits[key] = decoded.logits
        (self._corrected.add if corrects else self._corrected.discard)(key)

    @torch.inference_mode()
    def take_up(self, prompt: Prompt, known: NDArray[np.bool_] | None) -> None:
        """Remember a prompt that was answered before, when the answer ``known`` ``(Y, X)`` is still there.

        What an object remembered when a tracked frame was corrected is gone by now, and a click alone would be answered
        otherwise: so what was answered is taken as a mask that the user had given. First prompts are answered anew.
        """
        key = (prompt.object_id, prompt.frame)
        corrects = self._corrects(key)
        shown = corrects or (key in self._given and self.model.facts.head_corrects)
        first = key not in self._prompts
        excludes = only_excludes(merge(self._prompts.get(key), prompt))
        if prompt.mask is not None or not (excludes or (shown and known is not None)):
            self.condition(prompt, known, reset=first)
            return
        mask = np.zeros(self.predictor.size, dtype=bool) if known is None else known
        decoded = self.predictor.answer_mask(prompt.frame, mask)
        self._condition(merge(self._prompts.get(key), prompt), decoded, corrects=corrects)

    def _earlier_logits(self, key: Key, seen: NDArray[np.bool_] | None) -> Tensor | None:
        """Return the earlier answer on this frame as a prompt, ``(1, 1, 4g, 4g)``."""
        # Of a frame that was just tracked only if its mask is still there: it may be undone by now.
        logits = self.logits(*key) if seen is not None else self._logits.get(key)
        if logits is None and seen is not None and seen.any():
            # Of a frame tracked long ago only the mask is kept, not its logits.
            logits = self.predictor.mask_logits(seen)
        return None if logits is None else logits.clamp(-LOGIT_CLAMP, LOGIT_CLAMP)

    def forget(self, object_id: int, frame: int | None = None) -> None:
        """Forget what was said of an object, on one frame or altogether."""
        bank = self.banks.get(object_id)
        # After going back to a snapshot the banks may know of fewer prompts than were given since, or of others.
        known = {t for i, t in self._prompts if i == object_id} | set(bank.conditioning if bank is not None else ())
        for t in known if frame is None else known & {frame}:
            self._prompts.pop((object_id, t), None)
            self._logits.pop((object_id, t), None)
            self._corrected.discard((object_id, t))
            self._given.discard((object_id, t))
            if bank is not None:
                bank.forget(t)
        if bank is not None and not bank.conditioning:
            del self.banks[object_id]

    def forget_frames(self) -> None:
        """Forget the encodings of frames, and what was answered on tracked ones."""
        self.predictor.forget_frames()
        self._recent_logits.clear()

    @torch.inference_mode()
    def step(self, frame: int, ids: Sequence[int], sign: int, stride: int, following: int | None = None) -> list[Found]:
        """Find objects on a frame, ``stride`` frames after the last in the direction ``sign``, and remember it.

        Left out are objects that were prompted there, and those that come to be known only further on. The frame
        ``following`` is the next one, which may be encoded meanwhile; at a stride the frames between are read first.
        """
        self._stride = stride
        known = {i: self.banks[i].conditioning for i in ids}
        followed = [i for i, at in known.items() if frame not in at and any((frame - t) * sign > 0 for t in at)]
        rows: list[Found] = []
        for group in self.predictor.batches([(i, self._recall(i, frame, sign)) for i in followed]):
            with self.predictor.encoding(frame, following) if stride == 1 else nullcontext():
                decoded, maps, patches = self.predictor.follow(frame, [recall for _, recall in group])
                masks, scores = self.predictor.read(decoded, self._upsample, following)
                memories = self.predictor.keep(frame, decoded, maps, patches, scores)
            for row, ((i, _), memory) in enumerate(zip(group, memories, strict=True)):
                self.banks[i].append(memory, sign, stride)
                self._recent_logits[i, frame] = decoded.logits[row : row + 1]
                rows.append((frame, i, masks[row], scores[row]))
        while len(self._recent_logits) > RECENT_LOGITS * len(self.banks):
            self._recent_logits.popitem(last=False)
        return rows

    def _recall(self, object_id: int, frame: int, sign: int) -> Recall:
        facts = self.model.facts
        recall = self.banks[object_id].recall(frame, sign, self._stride, facts.most_memories, facts.most_conditioning)
        recall.unit = self.predictor.pointer_unit
        return recall

    @torch.inference_mode()
    def recollect(self, frame: int, masks: Mapping[int, NDArray[np.bool_]], scores: Mapping[int, Scores], sign: int) -> None:
        """Remember masks that are known already, as if they had just been tracked in the direction ``sign``."""
        for i, mask in masks.items():
            memory = self.predictor.remember(frame, self.predictor.answer_mask(frame, mask))[0]
            if i in scores:
                memory.iou, memory.object_score = scores[i].iou, scores[i].object_score
            self.banks[i].recollect(memory, sign)

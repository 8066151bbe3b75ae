"""The memory bank of one object: conditioning, long-term and short-term memories, bounded whatever the video's length.

Each direction of tracking has its own short- and long-term memories; the conditioning ones are shared. Frames are told
apart by their index, so "the six most recent" are those at a distance of 1 to 6 behind the frame in question, as in SAM 2.
At a working rate only one frame in ``stride`` is tracked, and distances count in strides: what is remembered is then the
same as of a video that was thinned out.

What lies ahead of a frame in the direction of tracking was found by an earlier pass, and does not count there: a second
pass finds what the first one found. Long-term memories ahead are kept until the new pass has come over them, so that one
that tracks a segment anew takes nothing away from the frames behind it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_sam2s.model.stages import LONG_TERM
from napari_sam2s.model.video_model import Memory, Recall
from napari_sam2s.tracking.policy import MemoryPolicy

FORWARD, BACKWARD = 1, -1
T = TypeVar("T")


@dataclass
class Trail:
    """What one direction of tracking left behind."""

    recent: dict[int, Memory] = field(default_factory=dict)  # by frame
    pointers: dict[int, Tensor] = field(default_factory=dict)  # by frame
    long_term: list[Memory] = field(default_factory=list)  # in the order of tracking
    candidates: list[Memory] = field(default_factory=list)


class MemoryBank:
    """Everything the tracker knows of one object.

    Parameters
    ----------
    policy
        What to keep.
    recent
        How many recent frames the network tells apart; the slot after theirs is that of conditioning ones.
    """

    def __init__(self, policy: MemoryPolicy, recent: int = 6) -> None:
        self.policy = policy
        self.conditioning_slot = recent
        self.conditioning: dict[int, Memory] = {}
        self.trails = {FORWARD: Trail(), BACKWARD: Trail()}

    def condition(self, memory: Memory) -> None:
        """Remember a frame that the user prompted, for ever.

        What was chosen as long-term beyond it was tracked before the user said otherwise, so it is forgotten; so are the
        candidates.
        """
        self.conditioning[memory.frame] = memory
        for direction, trail in self.trails.items():
            trail.candidates.clear()
            trail.long_term = [m for m in trail.long_term if (memory.frame - m.frame) * direction > 0]
            trail.recent.pop(memory.frame, None)
            trail.pointers.pop(memory.frame, None)

    def forget(self, frame: int) -> None:
        """Drop a conditioning frame whose prompts were removed."""
        self.conditioning.pop(frame, None)

    def missing(self, frame: int, direction: int, stride: int = 1) -> list[int]:
        """Return the frames behind ``frame`` that would be among the recent ones had they just been tracked.

        None beyond the nearest conditioning frame: what was found there may be what the prompt corrects.
        """
        passed = [(frame - t) * direction for t in self.conditioning if (frame - t) * direction >= 0]
        known = _by_slot(self.trails[direction].recent, frame, direction, stride, self.policy.short_term)
        behind = [(slot + 1) * stride for slot in range(self.policy.short_term) if slot not in known]
        return [frame - direction * d for d in behind if passed and d < min(passed)]

    def recollect(self, memory: Memory, direction: int) -> None:
        """Remember a frame whose mask was known: as a recent one, never as a long-term one."""
        self.trails[direction].recent[memory.frame] = memory
        self.trails[direction].pointers[memory.frame] = memory.pointer

    def append(self, memory: Memory, direction: int, stride: int = 1) -> None:
        """Remember a tracked frame."""
        trail = self.trails[direction]
        self._come_over(memory.frame, direction, stride)
        trail.recent[memory.frame] = memory
        trail.pointers[memory.frame] = memory.pointer
        # One more than the next frame needs, so that a correction of the last tracked frame sees what that frame saw.
        _keep_near(trail.recent, memory.frame, self.policy.short_term * stride)
        _keep_near(trail.pointers, memory.frame, self.policy.pointers * stride)
        if self.policy.long_term:
            self._consider(memory, direction, stride)

    def _come_over(self, frame: int, direction: int, stride: int) -> None:
        """Forget what an earlier pass has left where this one comes along, now that it tracks a frame."""
        trail = self.trails[direction]
        steps = [(frame - t) * direction for t in (*trail.recent, *self.conditioning)]
        step = min([stride, *(d for d in steps if d > 0)])  # from the frame that was tracked before
        trail.long_term = [m for m in trail.long_term if not 0 <= (frame - m.frame) * direction < step]
        trail.candidates = _behind(trail.candidates, frame, direction)
        for entries in (trail.recent, trail.pointers):
            for ahead in [t for t in entries if (frame - t) * direction <= 0]:
                del entries[ahead]

    def recall(
        self, frame: int, direction: int, stride: int = 1, most: int | None = None, most_conditioning: int | None = None
    ) -> Recall:
        """Return what is remembered for ``frame``: conditioning first, then the most distant recent, then long-term.

        Of the recent and long-term ones those that the tracking has passed count, of the conditioning ones all. What is
        remembered of the frame itself, because it was prompted, is left out. ``most`` memories at most are given (fast mode): a
        conditioning one first, and of the others the latest. Of more than ``most_conditioning`` conditioning ones the nearest
        are given as such, and another one as a recent one if it is among those.
        """
        policy, trail = self.policy, self.trails[direction]
        conditioning = _nearest([m for t, m in self.conditioning.items() if t != frame], frame, most_conditioning)
        chosen = {m.frame for m in conditioning}
        others = {t: m for t, m in self.conditioning.items() if t not in chosen}
        recent = _by_slot(trail.recent | others, frame, direction, stride, policy.short_term)
        near = {m.frame for m in recent.values()}
        # A long-term memory that is still among the recent ones is not read twice.
        passed = self._latest_long_term(frame, direction)
        long_term = [m for m in passed if m.frame not in near and m.frame not in self.conditioning]
        entries = [(self.conditioning_slot, m) for m in conditioning]
        entries += [(slot, recent[slot]) for slot in sorted(recent, reverse=True)] + [(LONG_TERM, m) for m in long_term]
        if most is not None and len(entries) > most:
            entries = _foremost(entries, frame, most, self.conditioning_slot)
        pointers, distances = [], []
        for memory in conditioning:
            distance = (frame - memory.frame) * direction
            if distance >= 0:  # SAM 2 gives pointers of the past only
                pointers.append(memory.pointer)
                distances.append(distance / stride)
        known = trail.pointers | {t: m.pointer for t, m in others.items()}
        for slot, pointer in sorted(_by_slot(known, frame, direction, stride, policy.pointers).items()):
            pointers.append(pointer)
            distances.append(slot + 1.0)
        return Recall([m for _, m in entries], [slot for slot, _ in entries], pointers, distances)

    def _consider(self, memory: Memory, direction: int, stride: int) -> None:
        """DiveMem: collect confident frames; of each full set keep the one that differs most from the last kept (Eq. 2)."""
        policy, trail = self.policy, self.trails[direction]
        # The IoU head is not trained on absent objects, so its word counts only where the object is there.
        if memory.iou <= policy.iou_threshold or memory.object_score <= 0:
            if policy.require_consecutive:
                trail.candidates.clear()
            return
        if policy.require_consecutive and trail.candidates:
            gap = (memory.frame - trail.candidates[-1].frame) * direction
            if not 0 < gap <= stride:
                trail.candidates.clear()
        trail.candidates.append(memory)
        if len(trail.candidates) < policy.candidates:
            return
        reference = self._compared(self._reference(memory.frame, direction))
        # All at once, as each number that is read waits for the GPU.
        scores = torch.stack([F.cosine_similarity(self._compared(c), reference, dim=0) for c in trail.candidates]).tolist()
        chosen = trail.candidates[scores.index(min(scores))]
        ahead = [m for m in trail.long_term if (m.frame - memory.frame) * direction > 0]
        trail.long_term = [*self._latest_long_term(memory.frame, direction), chosen][-policy.long_term :] + ahead
        trail.candidates.clear()

    def _latest_long_term(self, frame: int, direction: int) -> list[Memory]:
        """Return the long-term memories that count on a frame: the latest of those that the tracking has passed."""
        passed = _behind(self.trails[direction].long_term, frame, direction)
        return passed[max(len(passed) - self.policy.long_term, 0) :]

    def _reference(self, newest: int, direction: int) -> Memory:
        """Return the latest of the long-term and conditioning memories, in the order of tracking."""
        passed = [m for m in self.conditioning.values() if (newest - m.frame) * direction >= 0]
        known = self._latest_long_term(newest, direction)[-1:] + passed or list(self.conditioning.values())
        return max(known, key=lambda m: m.frame * direction)

    def _compared(self, memory: Memory) -> Tensor:
        features = memory.image if self.policy.compare == "image" and memory.image is not None else memory.map
        return features.flatten().float()

    def state(self) -> dict[str, Any]:
        """Return everything as plain data and tensors, for a snapshot."""
        return {
            "conditioning": [vars(m) for m in self.conditioning.values()],
            "trails": {
                direction: {
                    "recent": [vars(m) for m in trail.recent.values()],
                    "pointers": dict(trail.pointers),
                    "long_term": [vars(m) for m in trail.long_term],
                    "candidates": [vars(m) for m in trail.candidates],
                }
                for direction, trail in self.trails.items()
            },
        }

    @classmethod
    def from_state(cls, policy: MemoryPolicy, state: dict[str, Any], recent: int = 6) -> MemoryBank:
        """Make the bank that :meth:`state` described."""
        bank = cls(policy, recent)
        bank.conditioning = _by_frame(state["conditioning"])
        for direction, trail in state["trails"].items():
            bank.trails[direction] = Trail(
                recent=_by_frame(trail["recent"]),
                pointers=dict(trail["pointers"]),
                long_term=[Memory(**m) for m in trail["long_term"]],
                candidates=[Memory(**m) for m in trail["candidates"]],
            )
        return bank


def _by_frame(states: Iterable[dict[str, Any]]) -> dict[int, Memory]:
    return {state["frame"]: Memory(**state) for state in states}


def _behind(memories: Iterable[Memory], frame: int, direction: int) -> list[Memory]:
    """Return those of frames that the tracking has passed when it comes to a frame."""
    return [m for m in memories if (frame - m.frame) * direction > 0]


def _by_slot(entries: dict[int, T], frame: int, direction: int, stride: int, slots: int) -> dict[int, T]:
    """Return what lies behind a frame by its distance in strides: 0 the most recent; of two in one slot the nearer."""
    found: dict[int, T] = {}
    for t in sorted(entries, key=lambda t: -t * direction):
        slot = -(-(frame - t) * direction // stride) - 1
        if 0 <= slot < slots:
            found.setdefault(slot, entries[t])
    return found


def _nearest(memories: list[Memory], frame: int, most: int | None) -> list[Memory]:
    """Choose conditioning memories: the nearest on either side of a frame, then the nearest of the others, as SAM 2 does."""
    if most is None or len(memories) <= most:
        return memories
    order = sorted(memories, key=lambda m: abs(m.frame - frame))
    before = [m for m in order if m.frame < frame][:1]
    after = [m for m in order if m.frame > frame][:1]
    first = before + after
    chosen = {m.frame for m in (first + [m for m in order if all(m is not one for one in first)])[:most]}
    return [m for m in memories if m.frame in chosen]


def _foremost(entries: list[tuple[int, Memory]], frame: int, most: int, conditioning: int) -> list[tuple[int, Memory]]:
    """Choose ``most`` memories: the nearest conditioning one, then the latest, of which the last place is a long-term one's."""

    def nearness(entry: tuple[int, Memory]) -> int:
        return abs(frame - entry[1].frame)

    first = sorted((e for e in entries if e[0] == conditioning), key=nearness)
    recent = sorted((e for e in entries if e[0] not in (conditioning, LONG_TERM)), key=nearness)
    long_term = sorted((e for e in entries if e[0] == LONG_TERM), key=nearness)
    chosen = first[:1] + recent[: max(most - 1 - bool(long_term), 1)] + long_term[:1]
    picked = {id(m) for _, m in chosen}
    others = [e for e in recent + first[1:] + long_term[1:] if id(e[1]) not in picked]
    kept = {id(m) for _, m in (chosen + others)[:most]}
    return [e for e in entries if id(e[1]) in kept]


def _keep_near(entries: dict[int, Any], frame: int, distance: int) -> None:
    for far in [t for t in entries if abs(t - frame) > distance]:
        del entries[far]

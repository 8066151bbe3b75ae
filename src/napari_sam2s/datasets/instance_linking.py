"""Which object of this frame is which of the frame before, where the source does not say.

Objects of one category are matched by overlap with where they are expected: where our own tracker sees them now, or, without
one, where they were. What is certain is linked. What is not becomes an object of its own and is listed for a person to
decide, with the candidates; nothing is guessed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from napari_sam2s.datasets.source import Instance, Picture, SourceFrame
from napari_sam2s.masklets import rle
from napari_sam2s.masklets.overlaps import iou

Masks = Mapping[int, NDArray[np.bool_]]
# Pictures (Y, X, 3) from the frame of the masks to the frame asked for, both included; gives the masks on the last of them.
Propagate = Callable[[Sequence[NDArray[np.uint8]], Masks], Masks]

ACCEPT = 0.5  # overlap (IoU) from which a link is certain
SETTLED = 0.7  # overlap with the mask before from which the tracker need not be asked
DOUBT = 0.2  # overlap below which it is no candidate
MARGIN = 0.2  # by which the runner-up must be worse
INSIDE = 0.7  # share of a part that must lie in what is expected of an object to be a piece of it
COVERED = 0.5  # share of an expected object that must lie in a part to be covered by it
MOST_LOST = 5  # objects out of sight that are looked for, the last seen first


@dataclass(frozen=True)
class Uncertain:
    """A link for a person to decide: whether ``object``, new on ``frame``, is one of the candidates."""

    video: str
    frame: int
    object: int
    category: str
    reason: str
    candidates: tuple[tuple[int, float], ...]  # object, overlap; the best first

    def as_json(self) -> dict[str, Any]:
        """Return it for the review file; a person fills in ``same_as``."""
        described = asdict(self)
        described["candidates"] = [{"object": i, "overlap": round(v, 3)} for i, v in self.candidates]
        return {**described, "same_as": None}


@dataclass
class _Masklet:
    category: int
    mask: rle.Mask
    step: int  # when it was last seen
    picture: Picture
    hint: str | None


@dataclass
class Linker:
    """Gives ids to the instances of one video, frame by frame.

    Parameters
    ----------
    video
        Name, for the list.
    categories
        Names of categories.
    propagate
        Our tracker; see :data:`Propagate`. Without it objects are expected where they were, which leaves more to decide.
    """

    video: str
    categories: Mapping[int, str]
    propagate: Propagate | None = None
    uncertain: list[Uncertain] = field(default_factory=list)
    objects: dict[int, int] = field(default_factory=dict)  # category of each id
    _named: dict[tuple[int, str], int] = field(default_factory=dict)
    _masklets: dict[int, _Masklet] = field(default_factory=dict)
    _step: int = 0
    _frame: SourceFrame | None = None

    def step(self, frame: SourceFrame, instances: Sequence[Instance]) -> dict[int, NDArray[np.bool_]]:
        """Return ``{object id: (Y, X) bool}`` of a frame; frames come in order of time."""
        masks: dict[int, NDArray[np.bool_]] = {}
        loose: dict[int, list[Instance]] = defaultdict(list)
        for instance in instances:
            if instance.identity is None:
                loose[instance.category].append(instance)
            else:
                i = self._id_of(instance.category, instance.identity)
                masks[i] = masks[i] | instance.mask if i in masks else instance.mask
        for i, mask in masks.items():
            self._masklets[i] = _Masklet(self.objects[i], rle.encode(mask), self._step, frame.picture, None)
        for category, group in loose.items():
            masks |= self._link(frame, category, group)
        self._step += 1
        self._frame = frame
        return masks

    def _id_of(self, category: int, identity: str) -> int:
        key = category, identity
        if key not in self._named:
            self._named[key] = self._new(category)
        return self._named[key]

    def _new(self, category: int) -> int:
        object_id = len(self.objects) + 1
        self.objects[object_id] = category
        return object_id

    def _link(self, frame: SourceFrame, category: int, group: Sequence[Instance]) -> dict[int, NDArray[np.bool_]]:
        size = group[0].mask.shape[0], group[0].mask.shape[1]
        # An object that the source names on this frame is not looked for among what it leaves unnamed.
        of_category = {i: m for i, m in self._masklets.items() if m.category == category and m.step < self._step}
        live = {i: rle.decode(m.mask, size) for i, m in of_category.items() if m.step == self._step - 1}
        lost = sorted((i for i in of_category if i not in live), key=lambda i: -of_category[i].step)
        expected = self._expected(frame, live, group)
        links, doubts = _match(group, expected, {i: of_category[i].hint for i in live})
        masks: dict[int, NDArray[np.bool_]] = {}
        for n, i in links.items():
            masks[i] = masks[i] | group[n].mask if i in masks else group[n].mask
        gone = [i for i in live if i not in masks]
        for n in [n for n in range(len(group)) if n not in links]:
            known = None if n in doubts else self._recognise(frame, group[n], [i for i in lost if i not in masks])
            object_id = known if known is not None else self._new(category)
            if known is None:
                self._doubt(frame, object_id, doubts.get(n), group[n], expected, gone, lost)
            masks[object_id] = group[n].mask
            links[n] = object_id
        hints = {i: group[n].hint for n, i in links.items()}
        for i, mask in masks.items():
            self._masklets[i] = _Masklet(category, rle.encode(mask), self._step, frame.picture, hints[i])
        return masks

    def _expected(self, frame: SourceFrame, live: Masks, group: Sequence[Instance]) -> Masks:
        """Return where the objects of the frame before should be now."""
        if not live or self.propagate is None or self._frame is None:
            return live
        table = _overlaps(group, live)
        settled = table.shape[0] == table.shape[1] and ((table >= SETTLED).sum(axis=0) == 1).all()
        if settled and (np.where(table >= SETTLED, 0.0, table) < DOUBT).all():
            return live
        pictures = [p.read() for p in (self._frame.picture, *frame.between, frame.picture)]
        return self.propagate(pictures, live)

    def _recognise(self, frame: SourceFrame, instance: Instance, lost: Sequence[int]) -> int | None:
        """Return the object out of sight that the tracker sees here again, if it is sure."""
        if self.propagate is None or not lost:
            return None
        size = instance.mask.shape[0], instance.mask.shape[1]
        now = frame.picture.read()
        found = []
        for i in lost[:MOST_LOST]:
            known = self._masklets[i]
            seen = self.propagate([known.picture.read(), now], {i: rle.decode(known.mask, size)})
            found.append((iou(seen[i], instance.mask), i))
        found.sort(reverse=True)
        runner_up = found[1][0] if len(found) > 1 else 0.0
        return found[0][1] if found[0][0] >= ACCEPT and found[0][0] - runner_up >= MARGIN else None

    def _doubt(
        self,
        frame: SourceFrame,
        object_id: int,
        reason: str | None,
        instance: Instance,
        expected: Masks,
        gone: Sequence[int],
        lost: Sequence[int],
    ) -> None:
        """Note a new object that may be an old one."""
        if reason is None and gone:
            reason = "it appears where another object of its class was lost"
        elif reason is None and lost:
            reason = "an object of its class was seen before and may have come back"
        if reason is None:
            return  # there was none of its kind that it could be
        overlaps = {i: iou(mask, instance.mask) for i, mask in expected.items()}
        ranked = sorted(((i, overlaps.get(i, 0.0)) for i in {*overlaps, *lost[:MOST_LOST]}), key=lambda item: -item[1])
        name = self.categories[instance.category]
        self.uncertain.append(Uncertain(self.video, frame.index, object_id, name, reason, tuple(ranked)))


def _overlaps(group: Sequence[Instance], expected: Masks) -> NDArray[np.float64]:
    table = [[iou(mask, instance.mask) for mask in expected.values()] for instance in group]
    return np.array(table, dtype=np.float64).reshape(len(group), len(expected))


def _match(
    group: Sequence[Instance], expected: Masks, hints: Mapping[int, str | None]
) -> tuple[dict[int, int], dict[int, str]]:
    """Return certain links ``{place in the group: object id}``, and why others are doubtful."""
    ids = list(expected)
    table = _overlaps(group, expected)
    links: dict[int, int] = {}
    doubts: dict[int, str] = {}
    for n, k in zip(*linear_sum_assignment(table, maximize=True), strict=True):
        reason = _why_doubtful(table, int(n), int(k), group[n].hint, [hints[i] for i in ids])
        if reason is None:
            links[int(n)] = ids[k]
        elif table[n, k] >= DOUBT:
            doubts[int(n)] = reason
    for n, instance in enumerate(group):
        area = np.count_nonzero(instance.mask)
        shared = {i: np.count_nonzero(mask & instance.mask) for i, mask in expected.items()}
        covered = [i for i in ids if shared[i] >= COVERED * np.count_nonzero(expected[i]) > 0]
        if len(covered) > 1 and instance.hint is None:
            links.pop(n, None)
            doubts[n] = "it covers several objects that touch, or one object that hides another"
        elif n not in links and instance.hint is None:
            owners = [i for i in ids if shared[i] >= INSIDE * area and i in links.values()]
            if len(owners) == 1:  # a piece, cut off by something in front
                links[n] = owners[0]
                doubts.pop(n, None)
    return links, doubts


def _why_doubtful(table: NDArray[np.float64], n: int, k: int, hint: str | None, hints: Sequence[str | None]) -> str | None:
    """Return why a match is not certain, or ``None`` if it is."""
    overlap = table[n, k]
    rivals = np.concatenate([np.delete(table[n], k), np.delete(table[:, k], n)])
    runner_up = float(rivals.max(initial=0.0))
    if hint is not None and hint == hints[k] and overlap >= DOUBT and overlap >= runner_up:
        return None  # the source's own number agrees
    if overlap < ACCEPT:
        return f"the best overlap is only {overlap:.2f}"
    if overlap - runner_up < MARGIN:
        return "two objects of its class overlap it equally"
    if hint is not None and hint in hints:
        return "the number in the source says that it is another object"
    return None

"""Who is who over time: certain links are made, all others are listed."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2s.datasets.instance_linking import Linker
from napari_sam2s.datasets.source import Instance, SourceFrame

SIZE = (60, 120)


class Shown:
    """A picture that remembers how often it was read."""

    def __init__(self, t):
        self.t = t

    def read(self):
        return np.full((*SIZE, 3), self.t, np.uint8)


def box(y, x, height=20, width=20):
    mask = np.zeros(SIZE, bool)
    mask[y : y + height, x : x + width] = True
    return mask


def follow(frames, propagate=None):
    """Link a list of frames, each a list of masks, (mask, hint) or instances; return the ids of each frame, and the list."""
    linker = Linker("case", {1: "grasper", 2: "hook"}, propagate)
    ids = []
    for t, given in enumerate(frames):
        instances = []
        for item in given:
            if isinstance(item, Instance):
                instances.append(item)
            else:
                mask, hint = item if isinstance(item, tuple) else (item, None)
                instances.append(Instance(1, mask, hint=hint))
        masks = linker.step(SourceFrame(t, Shown(t), None), instances)
        found = []
        for instance in instances:
            found.append(next(i for i, m in masks.items() if (m & instance.mask).sum() == instance.mask.sum()))
        ids.append(found)
    return ids, linker.uncertain


def test_slow_things_keep_their_ids_whatever_their_order():
    ids, doubts = follow([[box(5, 5), box(5, 60)], [box(5, 57), box(6, 8)], [box(7, 10), box(5, 55)]])
    assert ids == [[1, 2], [2, 1], [1, 2]]
    assert doubts == []


def test_a_first_appearance_is_no_doubt():
    ids, doubts = follow([[box(5, 5)], [box(5, 6), box(5, 80)]])
    assert ids == [[1], [1, 2]]
    assert doubts == []


def test_a_jump_is_listed_and_a_tracker_settles_it():
    frames = [[box(5, 5)], [box(30, 90)]]
    ids, doubts = follow(frames)
    assert ids == [[1], [2]]
    [doubt] = doubts
    assert (doubt.frame, doubt.object, doubt.category, doubt.candidates) == (1, 2, "grasper", ((1, 0.0),))
    assert "object of its class was lost" in doubt.reason
    ids, doubts = follow(frames, lambda pictures, masks: {i: box(30, 88) for i in masks})
    assert ids == [[1], [1]]
    assert doubts == []


def test_a_weak_overlap_is_listed():
    ids, doubts = follow([[box(5, 5)], [box(5, 14)]])  # IoU 0.38
    assert ids == [[1], [2]]
    assert "only 0.38" in doubts[0].reason
    assert doubts[0].candidates == ((1, pytest.approx(0.379, abs=0.001)),)


def test_two_alike_are_listed():
    frames = [[box(5, 5), box(5, 12)], [box(5, 8)]]
    _, doubts = follow(frames, lambda pictures, masks: {1: box(5, 7), 2: box(5, 9)})
    assert len(doubts) == 1
    assert {i for i, _ in doubts[0].candidates} == {1, 2}


def test_two_that_touch_are_one_part_and_listed():
    ids, doubts = follow([[box(5, 5), box(5, 30)], [box(5, 5, 20, 45)], [box(5, 5), box(5, 30)]])
    assert ids[1] == [3]
    assert "cover" in doubts[0].reason
    assert {i for i, _ in doubts[0].candidates} == {1, 2}
    assert len(doubts) == 3  # and when they part again nobody knows which is which


def test_a_piece_behind_something_belongs_to_its_object():
    whole = box(5, 5, 20, 80)
    left, right = box(5, 5, 20, 50), box(5, 62, 20, 23)
    ids, doubts = follow([[whole], [left, right], [whole]])
    assert ids == [[1], [1, 1], [1]]
    assert doubts == []


def test_coming_back_is_listed_unless_the_tracker_is_sure():
    frames = [[box(5, 5)], [], [box(5, 90)]]
    ids, doubts = follow(frames)
    assert ids == [[1], [], [2]]
    assert "may have come back" in doubts[0].reason
    asked = []

    def sees(pictures, masks):
        asked.append([int(p[0, 0, 0]) for p in pictures])
        return {i: box(5, 91) for i in masks}

    ids, doubts = follow(frames, sees)
    assert ids == [[1], [], [1]]
    assert doubts == []
    assert asked == [[0, 2]]  # from where it was last seen to now
    ids, doubts = follow(frames, lambda pictures, masks: {i: box(30, 30) for i in masks})
    assert ids == [[1], [], [2]]
    assert len(doubts) == 1


def test_the_source_s_number_settles_a_weak_overlap_or_contradicts():
    ids, doubts = follow([[(box(5, 5), "7")], [(box(5, 14), "7")]])
    assert ids == [[1], [1]]
    assert doubts == []
    ids, doubts = follow([[(box(5, 5), "1"), (box(5, 60), "2")], [(box(5, 6), "2"), (box(5, 61), "1")]])
    assert ids == [[1, 2], [3, 4]]
    assert [d.reason for d in doubts] == ["the number in the source says that it is another object"] * 2


def test_still_things_cost_the_tracker_nothing():
    def never(pictures, masks):
        raise AssertionError("asked")

    ids, _ = follow([[box(5, 5), box(5, 60)], [box(5, 6), box(6, 60)]], never)
    assert ids == [[1, 2], [1, 2]]


def test_frames_between_lead_the_tracker():
    seen = []

    def sees(pictures, masks):
        seen.extend(int(p[0, 0, 0]) for p in pictures)
        return {i: box(5, 60) for i in masks}

    linker = Linker("case", {1: "grasper"}, sees)
    linker.step(SourceFrame(0, Shown(0), None), [Instance(1, box(5, 5))])
    masks = linker.step(SourceFrame(3, Shown(3), None, (Shown(1), Shown(2))), [Instance(1, box(5, 60))])
    assert list(masks) == [1]
    assert seen == [0, 1, 2, 3]


def test_kinds_are_not_mixed_and_identities_are_obeyed():
    hook = Instance(2, box(5, 5), identity="hook")
    ids, doubts = follow([[hook], [box(5, 5)], [Instance(2, box(30, 90), identity="hook")]])
    assert ids == [[1], [2], [1]]
    assert doubts == []


def test_what_the_source_stops_naming_goes_on():
    """EndoVis17: a folder for each instrument, then only types."""
    named = [Instance(1, box(5, 5), identity="Left"), Instance(1, box(5, 60), identity="Right")]
    ids, doubts = follow([named, [box(5, 62), box(5, 6)]])
    assert ids == [[1, 2], [2, 1]]
    assert doubts == []

"""DiveMem as the paper says it."""

from __future__ import annotations

import pytest
import torch

from napari_sam2s.errors import TrackingError
from napari_sam2s.model.stages import LONG_TERM
from napari_sam2s.model.video_model import Memory
from napari_sam2s.tracking import DIVEMEM, VANILLA
from napari_sam2s.tracking.memory_bank import BACKWARD, FORWARD, MemoryBank
from napari_sam2s.tracking.policy import MemoryPolicy, find_policy


def memory(frame, *, iou=0.99, score=5.0, angle=0.0):
    """Return a memory whose image features are a unit vector of this angle."""
    image = torch.tensor([torch.cos(torch.tensor(angle)), torch.sin(torch.tensor(angle))])[:, None, None]
    return Memory(frame, torch.full((1, 1, 1), float(frame)), torch.full((2,), float(frame)), iou, score, image.half())


def bank_of(policy, frames=range(1, 30), **facts):
    bank = MemoryBank(policy)
    bank.condition(memory(0))
    for t in frames:
        bank.append(memory(t, **{k: v(t) for k, v in facts.items()}), FORWARD)
    return bank


def long_frames(bank, direction=FORWARD):
    return [m.frame for m in bank.trails[direction].long_term]


def test_vanilla_sees_the_condition_and_the_last_six():
    recall = bank_of(VANILLA).recall(30, FORWARD)
    assert [float(m) for m in recall.frames] == [0, 24, 25, 26, 27, 28, 29]
    assert recall.slots == [6, 5, 4, 3, 2, 1, 0]
    assert len(recall.pointers) == 16
    assert recall.distances == [30, *range(1, 16)]


def test_of_five_confident_frames_the_most_different_from_the_last_kept_is_kept():
    angles = {1: 0.1, 2: 0.2, 3: 1.2, 4: 0.3, 5: 0.4}
    bank = bank_of(DIVEMEM, range(1, 6), angle=lambda t: angles[t])
    assert long_frames(bank) == [3]
    angles |= {6: 1.2, 7: 1.1, 8: 1.3, 9: 0.0, 10: 1.0}  # now compared with frame 3
    for t in range(6, 11):
        bank.append(memory(t, angle=angles[t]), FORWARD)
    assert long_frames(bank) == [3, 9]


def test_the_oldest_leaves_first_and_the_condition_stays():
    bank = bank_of(DIVEMEM, range(1, 61), angle=lambda t: 0.01 * t)
    assert len(long_frames(bank)) == DIVEMEM.long_term
    assert long_frames(bank) == sorted(long_frames(bank))
    assert min(long_frames(bank)) > 35
    assert list(bank.conditioning) == [0]


@pytest.mark.parametrize(
    ("facts", "why"),
    [({"iou": lambda t: 0.95}, "not above the threshold"), ({"score": lambda t: -1.0}, "the object is not there")],
)
def test_frames_in_doubt_are_not_kept(facts, why):
    assert long_frames(bank_of(DIVEMEM, range(1, 30), **facts)) == [], why


def test_one_frame_in_doubt_starts_the_count_anew():
    doubt = {"iou": lambda t: 0.5 if t % 5 == 0 else 0.99}  # never five in a row
    assert long_frames(bank_of(DIVEMEM, range(1, 30), **doubt)) == []
    lenient = MemoryPolicy(name="lenient", require_consecutive=False)
    assert len(long_frames(bank_of(lenient, range(1, 30), **doubt))) == 4


def test_a_long_term_memory_among_the_last_six_is_read_once():
    bank = bank_of(DIVEMEM, range(1, 8), angle=lambda t: 0.1 * t)
    assert long_frames(bank) == [5]
    assert LONG_TERM not in bank.recall(8, FORWARD).slots
    assert bank.recall(13, FORWARD).slots.count(LONG_TERM) == 1


def test_each_direction_has_its_own():
    bank = bank_of(DIVEMEM, range(1, 20), angle=lambda t: 0.1 * t)
    assert long_frames(bank, BACKWARD) == []
    assert [float(m) for m in bank.recall(5, BACKWARD).frames] == [0]


def test_a_correction_forgets_what_was_chosen_beyond_it():
    bank = bank_of(DIVEMEM, range(1, 30), angle=lambda t: 0.1 * t)
    kept = long_frames(bank)
    bank.condition(memory(16))
    assert long_frames(bank) == [t for t in kept if t < 16]
    assert sorted(bank.conditioning) == [0, 16]


def test_nothing_grows_with_the_video():
    bank = bank_of(DIVEMEM, range(1, 3000), angle=lambda t: 0.01 * t)
    trail = bank.trails[FORWARD]
    assert len(trail.recent) <= 7
    assert len(trail.pointers) <= 16
    assert len(trail.long_term) == 4
    assert len(trail.candidates) < 5


def test_after_a_long_absence_divemem_holds_what_vanilla_has_lost():
    """Seen from many sides for 40 frames, then away for 60: only then does the object come back."""
    facts = {"score": lambda t: 5.0 if t < 40 else -5.0, "angle": lambda t: 0.03 * t}
    vanilla, divemem = (bank_of(p, range(1, 100), **facts) for p in (VANILLA, DIVEMEM))
    seen = [int(m) for m in vanilla.recall(100, FORWARD).frames]
    assert [t for t in seen if t < 40] == [0]  # the other six are of its absence
    diverse = [int(m) for m in divemem.recall(100, FORWARD).frames if m < 40]
    assert len(diverse) == 5
    views = torch.stack([m.image.flatten().float() for m in divemem.trails[FORWARD].long_term])
    assert float((views @ views.T).min()) < 0.95


def test_at_a_stride_distances_count_in_strides():
    bank = MemoryBank(DIVEMEM)
    bank.condition(memory(0))
    for t in range(5, 80, 5):
        bank.append(memory(t, angle=0.02 * t), FORWARD, 5)
    recall = bank.recall(80, FORWARD, 5)
    recent = [(int(m), s) for m, s in zip(recall.frames, recall.slots, strict=True) if 0 <= s < 6]
    assert recent == [(50, 5), (55, 4), (60, 3), (65, 2), (70, 1), (75, 0)]
    assert recall.distances[:3] == [16, 1, 2]
    assert long_frames(bank)  # five key frames in a row are consecutive
    off_grid = bank.recall(77, FORWARD, 5)  # the last frame of a video
    assert [int(m) for m, s in zip(off_grid.frames, off_grid.slots, strict=True) if s == 0] == [75]


def test_of_too_many_memories_the_foremost_are_read():
    bank = bank_of(DIVEMEM, range(1, 61), angle=lambda t: 0.01 * t)
    whole, four = bank.recall(61, FORWARD), bank.recall(61, FORWARD, most=4)
    assert len(whole.frames) > 7
    assert [int(m) for m in four.frames[:3]] == [0, 59, 60]
    assert four.slots == [6, 1, 0, LONG_TERM]
    assert int(four.frames[3]) == max(t for t in long_frames(bank) if t < 55)
    assert bank_of(VANILLA).recall(30, FORWARD, most=3).slots == [6, 1, 0]


def recalls(bank, frames, direction, stride=1):
    """Track frames, and return what was remembered for each."""
    found = []
    for t in frames:
        seen = bank.recall(t, direction, stride)
        found.append((seen.frames, seen.slots, seen.distances))
        bank.append(memory(t, iou=0.5 if t % 11 == 0 else 0.99, angle=0.07 * t), direction, stride)
    return found


@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize("direction", [FORWARD, BACKWARD])
@pytest.mark.parametrize("consecutive", [True, False])
def test_a_second_pass_remembers_what_the_first_did(stride, direction, consecutive):
    bank = MemoryBank(MemoryPolicy(require_consecutive=consecutive))
    bank.condition(memory(0 if direction == FORWARD else 100))
    frames = range(stride, 100, stride) if direction == FORWARD else range(100 - stride, -1, -stride)
    first = recalls(bank, frames, direction, stride)
    recalls(bank, frames[: len(frames) // 2], direction)  # half-way, at another rate
    second = recalls(bank, frames, direction, stride)
    assert second == first
    assert any(LONG_TERM in slots for _, slots, _ in first)


def test_a_stretch_tracked_anew_sees_nothing_of_ahead_and_takes_nothing_away_there():
    bank = bank_of(DIVEMEM, range(1, 100), angle=lambda t: 0.1 * t)
    kept = long_frames(bank)
    assert min(kept) > 60
    assert bank.recall(30, FORWARD).frames == [0]
    again = recalls(bank, range(30, 50), FORWARD)
    assert all(t < 30 + n for n, (frames, _, _) in enumerate(again) for t in frames)
    assert long_frames(bank)[-4:] == kept
    ahead = [
        m for m, s in zip(bank.recall(100, FORWARD).frames, bank.recall(100, FORWARD).slots, strict=True) if s == LONG_TERM
    ]
    assert ahead == [t for t in kept if t < 100]
    recalls(bank, range(50, 100), FORWARD)
    assert len(long_frames(bank)) == DIVEMEM.long_term
    assert len(set(long_frames(bank))) == DIVEMEM.long_term


@pytest.mark.parametrize("short_term", [1, 3, 6])
def test_conditioning_frames_have_their_own_slot_however_many_recent_ones_are_kept(short_term):
    policy = MemoryPolicy(short_term=short_term, long_term=0)
    recall = bank_of(policy).recall(30, FORWARD)
    assert recall.slots == [6, *range(short_term - 1, -1, -1)]
    again = MemoryBank.from_state(policy, bank_of(policy).state())
    assert again.recall(30, FORWARD, most=2).slots == [6, 0]
    assert bank_of(policy).recall(30, FORWARD, most=2).frames == [0, 29]


def test_of_many_conditioning_frames_the_nearest_are_read():
    """As SAM 3 has it: one on either side, then the nearest; what is left out may be among the recent ones."""
    bank = bank_of(VANILLA)
    for t in (20, 25, 28, 50, 60):
        bank.condition(memory(t))
    recall = bank.recall(30, FORWARD, most_conditioning=2)
    assert recall.frames == [28, 50, 24, 25, 26, 27, 29]
    assert recall.slots == [6, 6, 5, 4, 3, 2, 0]
    assert recall.distances == [2, 1, *range(3, 16)]  # of those ahead there is no pointer
    assert bank.recall(30, FORWARD, most_conditioning=4).frames[:4] == [20, 25, 28, 50]
    assert bank.recall(28, FORWARD, most_conditioning=1).frames[0] == 25
    assert bank.recall(30, FORWARD).frames[:6] == [0, 20, 25, 28, 50, 60]


def test_more_recent_frames_than_the_network_tells_apart_are_refused():
    with pytest.raises(TrackingError, match="'mine' keeps 7 recent frames, but the network can tell only 6 apart"):
        find_policy(MemoryPolicy(name="mine", short_term=7), {})
    with pytest.raises(TrackingError, match="short_term of 1 to 6"):
        find_policy("vanilla", {"policy": {"vanilla": {"short_term": 8}}})
    assert find_policy(MemoryPolicy(short_term=7), {}, 7).short_term == 7


def test_state_and_back():
    bank = bank_of(DIVEMEM, range(1, 33), angle=lambda t: 0.1 * t)
    again = MemoryBank.from_state(DIVEMEM, bank.state())
    for t in range(33, 45):
        for b in (bank, again):
            b.append(memory(t, angle=0.1 * t), FORWARD)
    a, b = bank.recall(45, FORWARD), again.recall(45, FORWARD)
    assert a.slots == b.slots
    assert [float(m) for m in a.frames] == [float(m) for m in b.frames]


def test_policies_are_data():
    assert find_policy("divemem", {"policy": {"divemem": {"iou_threshold": 0.6}}}).iou_threshold == 0.6
    assert find_policy("divemem", {}) == DIVEMEM
    assert (DIVEMEM.iou_threshold, DIVEMEM.candidates, DIVEMEM.long_term) == (0.95, 5, 4)
    with pytest.raises(TrackingError, match="'best'"):
        find_policy("best", {})
    with pytest.raises(TrackingError, match="gamma"):
        find_policy("divemem", {"policy": {"divemem": {"gamma": 1}}})
    with pytest.raises(TrackingError, match="at least 1"):
        MemoryPolicy(short_term=0)

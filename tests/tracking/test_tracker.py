"""The tracker: prompts, directions, ranges, snapshots, bounds, bad input."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_sam2s.errors import ProjectError, PromptError, TrackingError
from napari_sam2s.masklets import Project, Prompt
from napari_sam2s.tracking import VANILLA, MemoryPolicy, Tracker, track
from napari_sam2s.video import open_video
from tests.inside import actor_of

BOX = np.zeros((48, 80), bool)
BOX[10:30, 20:50] = True


def run(tracker, *args, **keywords):
    return {t: {i: m.copy() for i, m in masks.items()} for t, masks in tracker.propagate(*args, **keywords)}


def same(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[t][i], b[t][i]) for t in a for i in a[t])


@pytest.mark.parametrize("memory", ["divemem", "vanilla"])
def test_a_mask_prompt_comes_back_as_it_was_and_every_frame_follows(random_nano, clip, memory):
    tracker = Tracker(random_nano, clip, memory=memory)
    np.testing.assert_array_equal(tracker.prompt(1, 0, mask=BOX), BOX)
    masks = run(tracker)
    assert list(masks) == list(range(40))
    np.testing.assert_array_equal(masks[0][1], BOX)
    assert all(m[1].shape == (48, 80) and m[1].dtype == bool for m in masks.values())
    scores = tracker.scores(7)[1]
    assert 0 <= scores.iou <= 1
    assert scores.object_score > 0


def test_the_loop_may_stop_anywhere_and_go_on(attentive, clip):
    whole, parts = (Tracker(attentive, clip) for _ in range(2))
    for tracker in (whole, parts):
        tracker.prompt(1, 0, points=[(20, 30)])
        tracker.prompt(2, 0, box=(5, 5, 20, 40))
    expected = run(whole, 0, 28)
    found = {}
    for t, masks in parts.propagate():
        found[t] = masks
        if t == 11:
            break
    found |= run(parts, 12, 20) | run(parts, 20, 28)
    assert same(found, expected)


@pytest.mark.slow
def test_objects_that_remember_the_same_frames_are_matched_together(another_nano, clip, monkeypatch):
    matching = another_nano.matching
    torch.manual_seed(1)
    for layer in (matching.to_embedding, matching.to_coarse_skip, matching.to_fine_skip):
        torch.nn.init.normal_(layer.weight, std=0.1)  # a fresh one adds nothing to what the decoder sees
    seen, forward = [], matching.forward
    monkeypatch.setattr(matching, "forward", lambda *given: (seen.append(given[-1]), forward(*given))[1])
    prompts = {1: (0, BOX), 2: (0, np.roll(BOX, 20, axis=1)), 3: (2, np.roll(BOX, 10, axis=0))}
    together = Tracker(another_nano, clip, memory="vanilla")
    for i, (t, mask) in prompts.items():
        together.prompt(i, t, mask=mask)
    found = run(together, 0, 30)
    # The latest frames are the same for all, the prompted ones are not.
    assert seen[-1] == ((0, 0, 0), (0, 0, 2))
    for i, (t, mask) in prompts.items():
        alone = Tracker(another_nano, clip, memory="vanilla")
        alone.prompt(i, t, mask=mask)
        for frame, masks in run(alone, t, 30).items():
            assert np.count_nonzero(masks[i] != found[frame][i]) <= 4, (i, frame)  # of 3840 pixels, for rounding


def test_what_was_said_after_a_snapshot_is_forgotten_and_told_again_as_it_was(attentive, clip):
    tracker, fresh = Tracker(attentive, clip), Tracker(attentive, clip)
    tracker.prompt(1, 0, points=[(20, 30)])
    before = tracker.snapshot()
    tracker.forget(1, 0)
    for one in (tracker, fresh):
        one.prompt(1, 5, points=[(20, 30)])
        one.prompt(2, 5, points=[(5, 60)])
    tracker.restore(before)
    for i in (1, 2):
        tracker.forget(i)
    assert tracker.conditioning == {}
    for i, at in ((1, (20.0, 30.0)), (2, (5.0, 60.0))):
        tracker.replay(Prompt(i, 5, (at,), (1,)))
    assert tracker.conditioning == {1: [5], 2: [5]}
    assert same(run(tracker, 5), run(fresh, 5))


@pytest.mark.slow
def test_snapshots_go_on_bit_for_bit(random_nano, another_nano, clip):
    """In another process they do in test_engine.py, test_survival.py and test_cli.py."""
    tracker = Tracker(random_nano, clip, memory="divemem")
    tracker.prompt(1, 0, points=[(20, 30), (5, 5)], labels=[1, 0])
    tracker.prompt(2, 3, box=(5, 5, 20, 40))
    expected = run(tracker, 0, 32)
    again = Tracker(random_nano, clip, memory="divemem")
    again.prompt(1, 0, points=[(20, 30), (5, 5)], labels=[1, 0])
    again.prompt(2, 3, box=(5, 5, 20, 40))
    run(again, 0, 17)
    anew = Tracker(another_nano, clip)
    anew.restore(again.snapshot())
    found = run(anew, 17, 32)
    assert list(found) == list(range(17, 32))
    assert same(found, {t: expected[t] for t in found})


def test_directions_and_ranges(attentive, clip):
    tracker = Tracker(attentive, clip)
    tracker.prompt(1, 20, points=[(20, 30)])
    assert list(run(tracker, direction="backward")) == list(range(20, -1, -1))
    assert list(run(tracker, 30, 24, "backward")) == list(range(30, 24, -1))
    assert list(run(tracker, 22, 26)) == [22, 23, 24, 25]
    assert [t for t, _ in tracker.propagate(direction="both")] == [*range(20, 40), *range(19, -1, -1)]
    assert [t for t, _ in tracker.propagate(stop=25, direction="both")] == [*range(20, 25), *range(19, -1, -1)]


@pytest.mark.parametrize("kind", [np.int64, np.uint8])
def test_numbers_of_numpy_are_numbers(attentive, clip, tmp_path, kind):
    with Project.create(tmp_path / "a.sam2s", clip) as project:
        plain, tracker = Tracker(attentive, clip), Tracker(attentive, clip, project)
        i = project.add_object().id
        plain.prompt(1, 5, mask=BOX)
        tracker.prompt(kind(i), kind(5), mask=BOX)
        found = run(tracker, kind(5), kind(9), objects=[kind(i)])
        found |= run(tracker, direction="backward")
        assert same(found, run(plain, 5, 9) | run(plain, direction="backward"))
        assert {type(t) for t in found} == {type(i) for masks in found.values() for i in masks} == {int}
        assert project.frames == list(range(9))
        np.testing.assert_array_equal(project.mask(5, 1), BOX)
        assert [(p.object_id, p.frame) for p in project.prompts(1, 5)] == [(1, 5)]
        for bad in ({"start": 1.5}, {"stop": "9"}, {"objects": [1.0]}):
            with pytest.raises(TrackingError, match="integer"):
                list(tracker.propagate(**bad))


def test_propagating_twice_gives_the_same_masks(attentive, clip):
    policy = MemoryPolicy(name="keen", iou_threshold=0.0, candidates=2)
    tracker = Tracker(attentive, clip, memory=policy)
    tracker.prompt(1, 12, points=[(20, 30)])
    first = [(t, masks[1].copy()) for t, masks in tracker.propagate(direction="both")]
    assert len(actor_of(tracker).objects.banks[1].trails[1].long_term) == policy.long_term
    for (t, known), (again, masks) in zip(first, tracker.propagate(direction="both"), strict=True):
        assert t == again
        np.testing.assert_array_equal(masks[1], known)


def test_fewer_recent_frames_and_too_many(random_nano, clip):
    with pytest.raises(TrackingError, match="can tell only 6 apart"):
        Tracker(random_nano, clip, memory=MemoryPolicy(name="mine", short_term=8))
    tracker = Tracker(random_nano, clip, memory=MemoryPolicy(name="mine", short_term=2))
    tracker.prompt(1, 0, mask=BOX)
    assert len(run(tracker, 0, 9)) == 9
    assert actor_of(tracker).objects.banks[1].recall(9, 1).slots == [6, 1, 0]


def test_an_object_is_not_followed_before_it_was_shown(attentive, clip):
    tracker = Tracker(attentive, clip)
    tracker.prompt(1, 0, points=[(20, 30)])
    tracker.prompt(2, 6, points=[(30, 60)])
    masks = run(tracker, 0, 10)
    assert 2 not in masks[5]
    assert 2 in masks[6]
    assert 2 in masks[7]


def test_objects_do_not_disturb_each_other(random_nano, clip):
    alone, together = (Tracker(random_nano, clip) for _ in range(2))
    for tracker in (alone, together):
        tracker.prompt(1, 0, points=[(20, 30)])
    together.prompt(2, 0, points=[(30, 60)])
    together.prompt(3, 2, box=(5, 5, 20, 40))
    a, b = run(alone, 0, 15), run(together, 0, 15)
    differing = sum(np.count_nonzero(a[t][1] != b[t][1]) for t in a)
    assert differing <= 15  # a batch rounds differently by some ulp: a pixel at the border may flip


def test_a_correction_mid_video_changes_what_follows_and_nothing_before(attentive, clip):
    tracker = Tracker(attentive, clip)
    tracker.prompt(1, 0, points=[(20, 30)])
    before = run(tracker)
    corrected = tracker.prompt(1, 12, points=[(40, 70)], labels=[0])
    np.testing.assert_array_equal(tracker.results.mask(12, 1), corrected)
    np.testing.assert_array_equal(tracker.results.mask(11, 1), before[11][1])
    assert tracker.conditioning == {1: [0, 12]}
    run(tracker, 12)
    tracker.forget(1, 12)
    assert tracker.conditioning == {1: [0]}
    tracker.forget(1)
    assert tracker.object_ids == ()


def test_clicks_add_up_until_reset(random_nano, clip):
    tracker = Tracker(random_nano, clip)
    first = tracker.prompt(1, 0, points=[(20, 30)])
    tracker.prompt(1, 0, points=[(40, 70)], labels=[0])
    np.testing.assert_array_equal(tracker.prompt(1, 0, points=[(20, 30)], reset=True), first)


def test_a_second_click_costs_no_encoding(random_nano, clip, monkeypatch):
    tracker = Tracker(random_nano, clip)
    tracker.prompt(1, 3, points=[(20, 30)])
    monkeypatch.setattr(type(random_nano), "encode", lambda *_: pytest.fail("encoded again"))
    tracker.prompt(1, 3, points=[(40, 60)], labels=[0])
    tracker.prompt(2, 3, box=(5, 5, 20, 40))


def test_a_lost_object_is_absent_not_everywhere(clip, another_nano):
    model = another_nano
    tracker = Tracker(model, clip, memory="vanilla")
    tracker.prompt(1, 0, points=[(20, 30)])
    with torch.no_grad():
        model.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(-8.0)
    for t, masks in tracker.propagate(0, 12):
        if t:
            assert not masks[1].any()
            assert tracker.scores(t)[1].object_score < 0


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ({"frame": 40, "points": [(1, 1)]}, "Frame 40"),
        ({"points": [(48, 10)]}, "outside"),
        ({"points": [(float("nan"), 10)]}, "outside"),
        ({"points": [(10, 10)], "labels": [0]}, "negative"),
        ({"points": [(10, 10)], "labels": [1, 1]}, "label"),
        ({"points": [(10, 10)], "labels": [3]}, "3"),
        ({"box": (10, 10, 10, 20)}, "box"),
        ({"box": (10, 10, 5, 20)}, "box"),
        ({"mask": np.zeros((48, 80), bool)}, "empty"),
        ({"mask": np.ones((4, 8), bool)}, "mask"),
        ({}, "prompt is empty"),
        ({"points": [(10, 10)], "mask": BOX}, "cannot be combined"),
        ({"object_id": 0, "points": [(10, 10)]}, "from 1 to 2147483647"),
        ({"object_id": 1.5, "points": [(10, 10)]}, "from 1 to 2147483647"),
        ({"frame": 0.5, "points": [(10, 10)]}, "index"),
        ({"points": [(10, 10, 3)]}, "pairs"),
        ({"points": [[[10, 10]]]}, "pairs"),
        ({"box": (60, 10, 70, 20)}, "outside the frame of 48 x 80 pixels"),
        ({"object_id": 2**31, "points": [(10, 10)]}, "from 1 to 2147483647"),
        ({"points": np.zeros((1, 2), "M8[s]")}, "pairs of numbers"),
        ({"points": np.ma.array([[10.0, 10.0]], mask=[[True, False]])}, "pairs of numbers"),
        ({"points": [(10, 10)], "labels": [[1], [1, 0]]}, "different lengths"),
        ({"box": 5}, "four numbers"),
        ({"box": "1234"}, "four numbers"),
        ({"box": [[1, 2, 30, 40]]}, r"of the shape \(1, 4\)"),
    ],
)
def test_bad_prompts_are_one_sentence_and_change_nothing(attentive, clip, prompt, words):
    tracker = Tracker(attentive, clip)
    arguments = {"object_id": 1, "frame": 0, **prompt}
    with pytest.raises(PromptError, match=words):
        tracker.prompt(arguments.pop("object_id"), arguments.pop("frame"), **arguments)
    assert tracker.object_ids == ()


def test_a_bad_prompt_leaves_an_answered_frame_as_it_was(attentive, clip):
    tracker, other = Tracker(attentive, clip), Tracker(attentive, clip)
    for t in (tracker, other):
        t.prompt(1, 0, points=[(20, 30)])
    with pytest.raises(PromptError, match="negative"):
        tracker.prompt(1, 0, points=[(10, 10)], labels=[0], reset=True)
    more = {"points": [(40, 70)], "labels": [0]}
    np.testing.assert_array_equal(tracker.prompt(1, 0, **more), other.prompt(1, 0, **more))
    np.testing.assert_array_equal(actor_of(tracker).objects.logits(1, 0), actor_of(other).objects.logits(1, 0))


def test_an_object_that_the_project_does_not_have(attentive, clip, tmp_path):
    with Project.create(tmp_path / "a.sam2s", clip) as project:
        tracker = Tracker(attentive, clip, project)
        with pytest.raises(ProjectError, match=r"no object 7 \(it has none\)"):
            tracker.prompt(7, 0, points=[(20, 30)])
        known = project.add_object().id
        with pytest.raises(ProjectError, match=r"no object 7 \(it has \[1\]\)"):
            tracker.prompt(7, 0, points=[(20, 30)])
        tracker.prompt(known, 0, points=[(20, 30)])
        assert tracker.object_ids == (known,)
        assert len(list(tracker.propagate(0, 3))) == 3


def test_bad_runs(attentive, clip):
    tracker = Tracker(attentive, clip)
    with pytest.raises(TrackingError, match="nothing to track"):
        tracker.propagate()
    tracker.prompt(1, 0, points=[(20, 30)])
    with pytest.raises(TrackingError, match="Object 5"):
        tracker.propagate(objects=[5])
    with pytest.raises(TrackingError, match="direction='sideways' is not one of 'forward'"):
        tracker.propagate(direction="sideways")
    with pytest.raises(TrackingError, match="not in the video"):
        next(iter(tracker.propagate(50)))
    for start, stop, way in ((8, 2, "forward"), (2, 8, "backward"), (20, 2, "both"), (40, 40, "forward")):
        with pytest.raises(TrackingError, match=f"no frames from {start} up to {stop}"):
            tracker.propagate(start, stop, way)
    for kind in (np.uint16, np.float32):
        with pytest.raises(TrackingError, match=f"frames are of {np.dtype(kind)}, but uint8 is needed: open them with"):
            Tracker(attentive, clip.astype(kind))
    with pytest.raises(TrackingError, match=r"\(T, Y, X, 3\)"):
        Tracker(attentive, clip[..., 0])
    with pytest.raises(TrackingError, match="policy"):
        Tracker(attentive, clip, memory="vanilla").restore(tracker.snapshot())
    tracker.prompt(1, 30, points=[(20, 30)])
    with pytest.raises(TrackingError, match="prompt on frame 30, the video only 30 frames"):
        Tracker(attentive, clip[:30]).restore(tracker.snapshot())
    with pytest.raises(TrackingError, match="has shape"):
        Tracker(attentive, clip[:, :40]).restore(tracker.snapshot())
    with pytest.raises(TrackingError, match="cannot be read"):
        tracker.restore(b"nonsense")
    with pytest.raises(TrackingError, match="nothing to track"):
        track(clip, [])


def test_of_frames_that_are_not_finite_the_network_sees_black(random_nano):
    stack = np.random.default_rng(0).random((5, 40, 40)).astype(np.float32)
    stack[0], stack[1, 0, 0], stack[3, :5] = 0, 1, 0  # what becomes black and white
    black, prompts = stack.copy(), [Prompt(1, 0, ((20.0, 20.0),), (1,))]
    stack[3, :5] = np.nan
    found = [track(s, prompts, model=random_nano) for s in (open_video(a, limits=(0, 1)) for a in (black, stack))]
    np.testing.assert_array_equal(found[0].masks(4)[1], found[1].masks(4)[1])


def test_a_video_smaller_than_a_cell(random_nano):
    tiny = np.random.default_rng(0).integers(0, 255, (4, 3, 5, 3), dtype=np.uint8)
    results = track(tiny, [Prompt(1, 0, ((1.0, 2.0),), (1,))], model=random_nano)
    assert results.masks(3)[1].shape == (3, 5)


def test_track_is_the_whole_of_it(attentive, clip):
    told = []
    prompts = [Prompt(1, 0, ((20.0, 30.0),), (1,)), Prompt(2, 0, box=(5.0, 5.0, 20.0, 40.0))]
    results = track(clip, prompts, model=attentive, stop=9, progress=lambda *p: told.append(p))
    assert results.frames == list(range(9))
    assert told[-1] == (9, 9)
    assert [o.id for o in results.objects] == [1, 2]
    by_hand = Tracker(attentive, clip)
    by_hand.prompt(1, 0, points=[(20, 30)])
    by_hand.prompt(2, 0, box=(5, 5, 20, 40))
    for t, masks in by_hand.propagate(0, 9):
        np.testing.assert_array_equal(results.masks(t)[1], masks[1])


def test_many_objects_go_in_batches_that_fit(random_nano, clip, monkeypatch):
    prompts = [Prompt(i + 1, 0, box=(2.0 + i, 3.0 + i, 20.0 + i, 30.0 + i)) for i in range(12)]
    whole = track(clip, prompts, model=random_nano, stop=4)
    sizes = []
    decode = type(random_nano).decode
    monkeypatch.setattr(type(random_nano), "decode", lambda m, a, **k: sizes.append(len(a.embedding)) or decode(m, a, **k))
    monkeypatch.setattr("napari_sam2s.tracking.predictor.BATCH_BYTES", 15 * random_nano.facts.bytes_per_memory)
    parts = track(clip, prompts, model=random_nano, stop=4)
    tracked = sizes[12:]
    assert sum(tracked) == 36
    assert max(tracked) == 12  # of one memory each
    assert min(tracked) <= 5  # of three
    for i in range(1, 13):
        assert np.count_nonzero(whole.masks(3)[i] != parts.masks(3)[i]) <= 3


@pytest.mark.slow
def test_memory_is_bounded(random_nano, clip):
    long = np.tile(clip, (3, 1, 1, 1))
    tracker = Tracker(random_nano, long, memory=VANILLA, cache_bytes=2**20)
    tracker.prompt(1, 0, points=[(20, 30)])
    sizes = [len(tracker.snapshot()) for t, _ in tracker.propagate() if t in (50, 115)]
    assert sizes[1] <= sizes[0] * 1.01
    assert actor_of(tracker).predictor.cached_bytes <= 2**20
    assert len(actor_of(tracker).objects._recent_logits) <= 8


@pytest.mark.slow
def test_mixed_precision_takes_every_prompt_stays_near_and_goes_on_from_a_snapshot(another_nano, random_nano, clip):
    another_nano.arithmetic = torch.bfloat16
    mixed, again, exact = (Tracker(m, clip) for m in (another_nano, another_nano, random_nano))
    for tracker in (mixed, exact):
        tracker.prompt(1, 0, points=[(20, 30)])
        tracker.prompt(1, 0, points=[(10, 60)], labels=[0])
        tracker.prompt(2, 0, box=(5, 5, 20, 40))
        tracker.prompt(3, 0, mask=BOX)
    assert mixed.describe()["precision"] == "bfloat16"
    assert exact.describe()["precision"] == "float32"
    found, expected = run(mixed, 0, 12), run(exact, 0, 12)
    differ = np.mean([found[t][i] != expected[t][i] for t in found for i in found[t]])
    assert 0 < differ < 0.1
    again.restore(mixed.snapshot())
    assert same(run(again, 12, 20), run(mixed, 12, 20))

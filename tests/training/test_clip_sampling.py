"""What a training clip is made of."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest

from napari_sam2s.masklets import Object
from napari_sam2s.synthetic.clip import ArrayClip
from napari_sam2s.training.augment import augment, cut_away, jitter_labels
from napari_sam2s.training.clip_sampling import Role, Sample, collate, draw_sample, sample_divemem, sample_vanilla
from napari_sam2s.training.data import make_ahead


def clip_of(frames, visible=None):
    """A square that is there on some frames; the picture tells the frame."""
    images = np.stack([np.full((32, 32, 3), t, np.uint8) for t in range(frames)])
    stack = np.zeros((frames, 2, 32, 32), bool)
    for t in range(frames) if visible is None else visible:
        stack[t, 0, 4:12, 4:12] = True
    stack[:, 1, 20:28, 20:28] = True
    return ArrayClip("c", images, stack, (Object(1, "a", "grasper"), Object(2, "b")))


def test_vanilla_is_consecutive_either_way():
    directions = set()
    for seed in range(30):
        drawn = sample_vanilla(np.random.default_rng(seed), 50, 8)
        steps = set(np.diff(drawn.indices))
        assert steps in ({1}, {-1})
        directions |= steps
        assert drawn.roles == (Role.CONDITION, *[Role.SHORT] * 7)
    assert directions == {1, -1}


def test_divemem_is_one_condition_two_long_five_consecutive():
    far = 0
    for seed in range(50):
        drawn = sample_divemem(np.random.default_rng(seed), 200, 8)
        assert drawn.roles == (Role.CONDITION, Role.LONG, Role.LONG, *[Role.SHORT] * 5)
        assert len(set(drawn.indices)) == 8
        assert set(np.diff(drawn.indices[3:])) in ({1}, {-1})
        far += abs(drawn.indices[1] - drawn.indices[3]) > 20
    assert far > 30  # drawn from the whole video


def test_divemem_often_shows_an_object_coming_back():
    clip = clip_of(60, visible=[*range(20), *range(45, 60)])
    back = 0
    for seed in range(100):
        drawn = sample_divemem(np.random.default_rng(seed), 60, 8, clip.presence())
        there = clip.presence()[list(drawn.indices[3:]), 0]
        assert set(np.diff(drawn.indices[3:])) in ({1}, {-1})
        back += not there[0] and there.any()
    assert 40 <= back <= 70  # by chance about 15
    always = sample_divemem(np.random.default_rng(0), 60, 8, np.ones((60, 1), dtype=bool))
    assert len(set(always.indices)) == 8  # nothing comes back, and a clip is drawn all the same


@pytest.mark.parametrize("length", [1, 2, 3, 7])
def test_short_videos_are_repeated_never_skipped(length):
    for sampler in (sample_vanilla, sample_divemem):
        drawn = sampler(np.random.default_rng(0), length, 8)
        assert len(drawn.indices) == 8
        assert set(drawn.indices) <= set(range(length))
        assert len(set(drawn.indices)) == length


def test_every_object_is_on_the_first_frame():
    clip = clip_of(40, visible=range(10, 20))
    for seed in range(20):
        rng = np.random.default_rng(seed)
        sample = draw_sample(rng, clip, 8, divemem=seed % 2 == 0, max_objects=2, class_index=lambda n: 3 if n else -1)
        assert sample.masks[0].any(axis=(1, 2)).all()
        assert sample.masks.shape[:2] == (8, len(sample.classes))
        assert set(sample.classes.tolist()) <= {3, -1}


def test_a_video_without_objects_gives_nothing():
    clip = clip_of(10, visible=[])
    clip.stack[:] = False
    assert draw_sample(np.random.default_rng(0), clip, 4, divemem=False, max_objects=2, class_index=lambda n: -1) is None


def sample(seed=0, frames=6):
    return draw_sample(np.random.default_rng(seed), clip_of(40), frames, divemem=False, max_objects=2, class_index=lambda n: -1)


def test_batches_know_whose_objects_are_whose():
    batch = collate([sample(0), sample(1)])
    assert batch.frames.shape == (6, 2, 32, 32, 3)
    assert batch.masks.shape == (6, 4, 32, 32)
    assert batch.clip_of.tolist() == [0, 0, 1, 1]


def test_cutting_away_hides_consecutive_frames_only():
    first = sample(0, 8)
    hidden = cut_away(np.random.default_rng(0), first, sample(1, 8))
    gone = ~hidden.masks.any(axis=(1, 2, 3))
    assert gone.any()
    assert not gone[0]
    assert first.masks[gone].any()  # the original is untouched
    runs = np.flatnonzero(gone)
    assert set(np.diff(runs)) <= {1}


def test_augmenting_moves_pictures_and_masks_together():
    turned = set()
    for seed in range(10):
        before = sample()
        before.frames[:, before.masks[0, 0]] = 200  # paint the first object
        after = augment(np.random.default_rng(seed), before)
        turned.add(bool((after.masks != before.masks).any()))
        painted = after.frames[0, ..., 0] > after.frames[0, 31, 31, 0]
        np.testing.assert_array_equal(painted & after.masks[0, 0], after.masks[0, 0])
        assert after.frames.dtype == np.uint8
    assert turned == {True, False}


def test_jittered_labels_grow_and_shrink_but_never_vanish():
    masks = np.zeros((4, 2, 32, 32), dtype=bool)
    masks[:, 0, 8:24, 8:24], masks[:, 1, 4:6, 4:6] = True, True
    sample = Sample(np.zeros((4, 32, 32, 3), np.uint8), masks, np.array([-1, -1]), (Role.CONDITION,) + (Role.SHORT,) * 3)
    areas = {int(a) for seed in range(9) for a in jitter_labels(np.random.default_rng(seed), sample, 2).masks[:, 0].sum((1, 2))}
    assert min(areas) == 12 * 12
    assert 16 * 16 in areas
    assert max(areas) > 18 * 18
    assert jitter_labels(np.random.default_rng(0), sample, 2).masks[:, 1].any(axis=(1, 2)).all()


@pytest.mark.slow
def test_workers_keep_opencv_to_one_thread():
    """Many workers with as many threads as there are cores each stand in each other's way."""
    cv2 = pytest.importorskip("cv2")
    threads = defaultdict(cv2.getNumThreads)  # its items are made where they are asked for; a worker can import it
    assert list(make_ahead(threads, [(0,), (1,)], 1)) == [1, 1]

"""Synthetic clips: seeded, exact, alive."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2s.errors import TrainingError
from napari_sam2s.synthetic.laparoscopy import INSTRUMENT_CLASSES, Laparoscopy


def test_the_same_seed_gives_the_same_pixels_in_any_order():
    a, b = Laparoscopy(5, 20, (96, 128)), Laparoscopy(5, 20, (96, 128))
    late = a[15]
    for t in range(20):
        np.testing.assert_array_equal(a[t], b[t])
    np.testing.assert_array_equal(b[15], late)
    assert not np.array_equal(Laparoscopy(6, 20, (96, 128))[0], a[0])


@pytest.mark.parametrize("name", INSTRUMENT_CLASSES)
def test_every_instrument_is_drawn_where_its_mask_is(name):
    with_it = Laparoscopy(1, 4, (128, 160), classes=(name,), organ=None, effects=False)
    without = Laparoscopy(1, 4, (128, 160), classes=(name,), organ=None, effects=False)
    without.instruments.clear()
    mask = with_it.masks(2)[1]
    assert with_it.objects[0].class_name == name
    assert 0.005 < mask.mean() < 0.6
    changed = (with_it[2].astype(int) - without[2]).any(axis=-1)
    assert (changed & ~mask).mean() < 0.01  # nothing is drawn beyond the mask
    assert (changed & mask).sum() > 0.95 * mask.sum()


def test_at_least_eight_classes():
    assert len(INSTRUMENT_CLASSES) >= 8


def test_the_nearer_instrument_covers_the_other():
    for seed in range(30):
        clip = Laparoscopy(seed, 10, (96, 128), classes=("grasper", "suction", "hook"), organ="liver")
        for t in (0, 9):
            masks = list(clip.masks(t).values())
            assert np.sum(masks, axis=0).max() <= 1


def test_absences_are_as_long_as_asked():
    clip = Laparoscopy(3, 300, (64, 64), classes=("grasper",), organ=None, absences=1, absence_frames=(40, 40))
    visible = clip.visible(1)
    gone = np.flatnonzero(~visible)
    assert visible[0]
    assert 40 <= len(gone) <= 70
    assert set(np.diff(gone)) == {1}
    assert visible[-1]


def test_things_move_but_not_by_jumps():
    clip = Laparoscopy(0, 30, (96, 96), absences=0)
    centres = np.array([np.argwhere(clip.masks(t)[1]).mean(axis=0) for t in range(30) if clip.masks(t)[1].any()])
    steps = np.linalg.norm(np.diff(centres, axis=0), axis=1)
    assert steps.max() < 12
    assert np.ptp(centres, axis=0).max() > 2


def test_it_is_a_video():
    from napari_sam2s.video import open_video

    clip = Laparoscopy(0, 6, (64, 80))
    video = open_video(clip, axes="TYXC", limits=(0, 255))
    np.testing.assert_array_equal(video[3], clip[3])
    with pytest.raises(IndexError):
        clip[6]


def test_presence_is_told_without_drawing():
    clip = Laparoscopy(5, 120, (64, 64), classes=("hook", "suction"), organ="liver", absences=1, absence_frames=(30, 40))
    told = clip.presence()
    assert told.shape == (120, 3)
    drawn = np.stack([clip.visible(o.id) for o in clip.objects], axis=1)
    assert (told == drawn)[:, :2].mean() > 0.9
    assert not told[:, :2].all(axis=0).any()


@pytest.mark.parametrize(
    ("wanted", "words"), [({"classes": ("nope",)}, "no instrument 'nope'"), ({"organ": "heart"}, "no organ 'heart'")]
)
def test_what_cannot_be_drawn_is_said(wanted, words):
    with pytest.raises(TrainingError, match=words):
        Laparoscopy(0, 6, (64, 64), **wanted)

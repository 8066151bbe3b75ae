"""What a laparoscope does to a picture changes the picture, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2s.synthetic.laparoscopy import Laparoscopy

SIZE = (96, 128)


def clips(wanted, count=1, **keywords):
    """Return clips of the first seeds that have what is wanted."""
    found = []
    for seed in range(80):
        clip = Laparoscopy(seed, 60, SIZE, **keywords)
        if wanted(clip):
            found.append(clip)
        if len(found) == count:
            return found
    raise AssertionError("no seed has it")


def sharpness(image):
    return np.abs(np.diff(image.astype(float), axis=1)).mean()


def test_masks_are_the_same_without_effects():
    for seed in range(6):
        plain, shown = (Laparoscopy(seed, 60, SIZE, absences=1, absence_frames=(5, 9), effects=e) for e in (False, True))
        for t in (0, 25, 59):
            for i, mask in plain.masks(t).items():
                if shown.bleeding is None or shown.organ is None or i != shown.organ.id:
                    np.testing.assert_array_equal(shown.masks(t)[i], mask)
                else:
                    assert not (shown.masks(t)[i] & ~mask).any()


def test_blood_hides_what_it_covers_of_an_organ():
    plain, bloody = (Laparoscopy(3, 120, SIZE, classes=("hook",), organ="liver", bleeding=b) for b in (False, True))
    t = int(np.argmax([bloody.bleeding.level(t) for t in range(120)]))
    lost = plain.masks(t)[2] & ~bloody.masks(t)[2]
    assert lost.sum() > 20
    assert np.abs(bloody.look(t)[0] - plain.look(t)[0])[:, lost].mean() > 0.05


@pytest.mark.parametrize(
    "wanted",
    [
        lambda c: c.effects.smoke is not None,
        lambda c: c.effects.shake is not None,
        lambda c: c.effects.defocus is not None,
        lambda c: c.effects.quality > 0,
        lambda c: c.bleeding is not None,
        lambda c: any(i.stain for i in c.instruments),
    ],
    ids=["smoke", "shake", "defocus", "compression", "blood", "stains"],
)
def test_each_effect_comes_and_is_the_same_in_any_order(wanted):
    (clip,) = clips(wanted)
    again = clips(wanted)[0]
    late = again[40].copy()
    for t in (3, 40):
        np.testing.assert_array_equal(clip[t], (again[t] if t != 40 else late))


def test_a_defocused_frame_is_less_sharp():
    (clip,) = clips(lambda c: c.effects.defocus is not None and c.effects.shake is None and not c.effects.quality)
    strength = [clip.effects.defocus(t) for t in range(60)]
    assert sharpness(clip[int(np.argmax(strength))]) < sharpness(clip[int(np.argmin(strength))])


def test_blood_is_dark_and_red_and_lies_under_the_instruments():
    (clip,) = clips(lambda c: c.bleeding is not None and not any(i.stain for i in c.instruments))
    amounts = [clip.bleeding.level(t) for t in range(60)]
    t = int(np.argmax(amounts))
    bloody = clip.look(t)[0]
    clip.bleeding = None
    dry = clip.look(t)[0]
    wet = np.abs(bloody - dry).max(axis=0) > 0.05
    assert wet.mean() > 0.01
    assert bloody[:, wet].mean() < dry[:, wet].mean()
    assert bloody[0, wet].mean() > 2 * bloody[1:, wet].mean()


def test_some_instruments_come_back_from_elsewhere():
    turned = [
        clip.instruments[0]
        for clip in (Laparoscopy(s, 200, SIZE, classes=("hook",), absences=1, absence_frames=(30, 40)) for s in range(30))
    ]
    moved = [i for i in turned if i.visits[0][0]]
    assert 5 < len(moved) < 25
    instrument = moved[0]
    start, stop = instrument.away[0]
    before, after = instrument.pose(start - 1, SIZE), instrument.pose(stop, SIZE)
    assert abs(np.angle(np.exp(1j * (after.angle - before.angle)))) > 0.3

"""``File > Open Sample``."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2s.widgets import sample_data


@pytest.mark.parametrize(("make", "frames"), [(sample_data.short_case, 150), (sample_data.laparoscopy_minute, 1500)])
def test_samples_are_lazy_and_know_the_truth(make, frames):
    data, attributes, kind = make()[0]
    assert kind == "image"
    assert data.shape[0] == frames
    frame = np.asarray(data[frames // 2])
    assert frame.dtype == np.uint8
    assert frame.std() > 10
    truth = attributes["metadata"]["truth"]
    masks = truth.masks(frames // 2)
    assert set(masks) == {o.id for o in truth.objects}
    assert any(m.any() for m in masks.values())


def test_the_hard_case_has_long_absences():
    truth = sample_data.hard_reentry()[0][1]["metadata"]["truth"]
    seen = np.array([[m.any() for m in truth.masks(t).values()] for t in range(0, 600, 10)])
    assert (~seen).sum(axis=0).min() >= 8  # each object is away for at least 80 frames in all
    assert seen[0].all()

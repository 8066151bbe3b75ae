"""Simulated users."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from napari_sam2s.evaluation.clicks import correction, deepest
from napari_sam2s.model.prompt_encoder import NEGATIVE, POSITIVE
from napari_sam2s.training import prompt_sampling


def blobs(count: int) -> np.ndarray:
    """Random unions of rectangles, some of them at the picture's edge."""
    rng = np.random.default_rng(1)
    masks = np.zeros((count, 48, 64), bool)
    for mask in masks:
        for _ in range(3):
            y, x, h, w = rng.integers(0, 40), rng.integers(0, 56), rng.integers(2, 20), rng.integers(2, 20)
            mask[y : y + h, x : x + w] = True
    return masks


@pytest.mark.parametrize("with_opencv", [True, False])
def test_inner_distance_is_euclidean_and_ends_at_the_edge(monkeypatch, with_opencv):
    if not with_opencv:
        monkeypatch.setattr(prompt_sampling, "cv2", None)
    for mask in blobs(10):
        expected = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
        np.testing.assert_allclose(prompt_sampling.fast_inner_distance(mask), expected, rtol=1e-6)
        _, y, x = deepest(mask, prompt_sampling.fast_inner_distance)
        assert expected[y, x] == expected.max()


def test_corrections_of_many_objects_are_those_of_each():
    truth = blobs(20)
    answers = np.roll(truth, 5, axis=2)
    answers[3] = truth[3]  # nothing to correct
    first = prompt_sampling.sample_prompts(np.random.default_rng(0), truth)
    after = prompt_sampling.add_corrections(first, truth, answers)
    for n in range(20):
        click = correction(truth[n], answers[n], prompt_sampling.fast_inner_distance)
        label = int(after.labels[n, -1])
        if n == 3:
            assert click is None
            assert label not in (POSITIVE, NEGATIVE)
            continue
        y, x, expected = click
        assert (label, after.points[n, -1].tolist()) == (POSITIVE if expected else NEGATIVE, [x, y])
        assert truth[n, y, x] == (label == POSITIVE)

"""Colours of objects that the eye tells apart."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from skimage.color import rgb2lab

from napari_sam2s.masklets.colours import CLEAR, COLOURS, GIVEN, lab, unlike


def least(colours):
    places = rgb2lab(np.array(colours, dtype=np.uint8)[None])[0]
    return min(np.linalg.norm(a - b) for a, b in itertools.combinations(places, 2))


def test_lab_is_what_scikit_image_says():
    colours = np.random.default_rng(0).integers(0, 256, (50, 3), dtype=np.uint8)
    np.testing.assert_allclose(lab(colours), rgb2lab(colours[None])[0], atol=0.05)


@pytest.mark.parametrize(("count", "apart"), [(8, CLEAR), (20, 39), (63, 23)])
def test_new_objects_are_unlike_all_others(count, apart):
    given = []
    for _ in range(count):
        given.append(unlike(given))
    assert given[0] == COLOURS[0]
    assert least(given) >= apart


def test_when_all_are_taken_they_begin_again():
    assert unlike(GIVEN) in GIVEN

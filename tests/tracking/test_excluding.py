"""A right click in a mask that was given: what it excludes goes, and what else is known of the object stays."""

import numpy as np

from napari_sam2s import Tracker, load_model
from napari_sam2s.masklets.types import Prompt
from napari_sam2s.synthetic.samples import cells
from napari_sam2s.tracking.prompts import with_inside
from tests.inside import actor_of


def test_a_point_deep_in_the_mask_and_far_from_what_is_excluded():
    mask = np.zeros((40, 60), bool)
    mask[10:21, 5:16] = mask[10:31, 30:51] = True  # centres (15, 10) and (20, 40)
    asked = with_inside(Prompt(1, 0, ((20.0, 40.0),), (0,)), mask)
    assert (asked.points, asked.labels) == (((15.0, 10.0), (20.0, 40.0)), (1, 0))
    asked = with_inside(Prompt(1, 0, ((15.0, 10.0), (5.0, 5.0)), (0, 0)), mask)
    assert (asked.points[0], asked.labels) == ((20.0, 40.0), (1, 0, 0))
    for said in (Prompt(1, 0, ((15.0, 10.0), (5.0, 5.0)), (1, 0)), Prompt(1, 0, ((5.0, 5.0),), (0,), (0.0, 0.0, 9.0, 9.0))):
        assert with_inside(said, mask) is said, "it is said already where the object is"
    alone = Prompt(1, 0, ((15.0, 10.0),), (0,))
    assert with_inside(alone, np.zeros_like(mask)) is alone
    asked = with_inside(Prompt(1, 0, ((2.0, 2.0), (15.0, 10.0)), (1, 0)), mask, always=True)
    assert (asked.points, asked.labels) == (((20.0, 40.0), (2.0, 2.0), (15.0, 10.0)), (1, 1, 0)), "far from what is excluded"


def test_a_right_click_takes_a_neighbour_out_of_a_mask_and_leaves_the_rest():
    drawn = cells((192, 192))
    masks = list(drawn.masks(0).values())
    one, other = max(((a, b) for a in masks for b in masks if a is not b), key=lambda pair: pair[0].sum() + pair[1].sum())
    tracker = Tracker(load_model(image_size=256), np.asarray(drawn[0])[None])
    tracker.prompt(1, 0, mask=one | other)
    inside = with_inside(Prompt(1, 0, ((0.0, 0.0),), (0,)), other).points[0]
    left = tracker.prompt(1, 0, points=[inside], labels=[0])
    assert (left & one).sum() > 0.8 * one.sum()
    assert (left & other).sum() < 0.1 * other.sum()
    assert actor_of(tracker).objects._prompts[1, 0].labels == (0,), "what the user said"

"""What is not known teaches nothing: objects that nobody looked for, unlabelled pixels, frames of an object's own video."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_sam2s.masklets import Object
from napari_sam2s.model.network import SAM2S
from napari_sam2s.model.network_config import CONFIGS
from napari_sam2s.synthetic.clip import ArrayClip
from napari_sam2s.training.augment import augment, augment_as_sam2, cut_away
from napari_sam2s.training.clip_sampling import Role, collate, draw_sample
from napari_sam2s.training.data import StepDataset
from napari_sam2s.training.forward import ClipForward
from napari_sam2s.training.losses import LossWeights, mask_losses, mean_losses
from napari_sam2s.training.targets import known_rows, make_targets
from napari_sam2s.training.training_config import read_config

SIDE = 64


class Partial(ArrayClip):
    """A clip of two squares; nobody looked for the second one on frames 2 and 3, and a corner of every frame is unlabelled."""

    def unknown(self, index):
        return frozenset({2}) if index in (2, 3) else frozenset()

    def ignored(self, index):
        return self.corner() if index != 1 else None

    @staticmethod
    def corner():
        pixels = np.zeros((SIDE, SIDE), bool)
        pixels[48:, 40:] = True
        return pixels


def clip_of(kind=Partial, name="c"):
    rng = np.random.default_rng(0)
    stack = np.zeros((6, 2, SIDE, SIDE), bool)
    stack[:, 0, 8:24, 8:24] = True
    stack[:, 1, 30:46, 36:52] = True
    stack[2:4, 1] = False
    images = rng.integers(0, 60, (6, SIDE, SIDE, 3)).astype(np.uint8)
    images[stack.any(axis=1)] += 150
    return kind(name, images, stack, (Object(1, "a"), Object(2, "b")))


def draw(kind=Partial):
    return draw_sample(np.random.default_rng(1), clip_of(kind), 6, divemem=False, max_objects=2, class_index=lambda n: -1)


def test_clips_say_what_is_not_known_and_batches_put_it_together():
    partial, exact = draw(), draw(ArrayClip)
    assert exact.known is None
    assert exact.ignored is None
    assert sorted(partial.known.all(axis=1).tolist()) == [False] * 2 + [True] * 4
    assert partial.ignored.any(axis=(1, 2)).sum() == 5
    both = collate([exact, partial])
    assert both.known.shape == (6, 4)
    assert both.known[:, :2].all()
    assert both.ignored.shape == (6, 2, SIDE, SIDE)
    assert not both.ignored[:, 0].any()
    np.testing.assert_array_equal(both.ignored[:, 1], partial.ignored)
    alone = collate([exact])
    assert alone.known is None
    assert alone.ignored is None


@pytest.mark.parametrize("change", [augment, augment_as_sam2])
def test_unlabelled_pixels_move_with_the_picture(change):
    sample = draw()
    sample.masks[:, 0] = sample.ignored  # so that both have to end in the same place
    sample.masks[0, 0] = True
    moved = 0
    for seed in range(6):
        after = change(np.random.default_rng(seed), sample)
        np.testing.assert_array_equal(after.ignored[1:], after.masks[1:, 0])
        moved += (after.ignored != sample.ignored).any()
        np.testing.assert_array_equal(after.known, sample.known)
    assert moved > 1


def test_on_frames_of_another_video_an_object_is_known_to_be_absent():
    sample = draw()
    hidden = cut_away(np.random.default_rng(0), sample, draw(ArrayClip))
    cut = ~hidden.masks.any(axis=(1, 2, 3))
    assert cut.any()
    assert hidden.known[cut].all()
    assert not hidden.ignored[cut].any()
    np.testing.assert_array_equal(hidden.known[~cut], sample.known[~cut])


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return SAM2S(replace(CONFIGS["sam2s-nano"], image_size=SIDE)).train()


def losses_of(network, batch, **options):
    with torch.no_grad():
        output = ClipForward(network, LossWeights(), **options)(batch, np.random.default_rng(3), mask_share=0.5)
    return {name: float(value) for name, value in output.losses.items()}, output.iou


@pytest.mark.parametrize("stride", [1, 2])
def test_an_object_that_nobody_looked_for_teaches_nothing_on_that_frame(network, stride):
    batch = collate([replace(draw(), ignored=None)])
    options = {"loss_stride": stride, "later_corrections": 1.0}
    losses = losses_of(network, batch, **options)
    filled = batch.masks.clone()
    filled[~batch.known] = True
    assert losses_of(network, replace(batch, masks=filled), **options)[0] == losses[0]
    taught = losses_of(network, replace(batch, known=None), **options)
    assert taught[0]["occlusion"] != losses[0]["occlusion"]
    assert taught[1] == pytest.approx(losses[1]) or np.isnan(losses[1])


def test_a_frame_of_which_nothing_is_known_is_left_out(network):
    batch = collate([draw(ArrayClip)])
    unknown = torch.ones(batch.masks.shape[:2], dtype=torch.bool)
    unknown[3:] = False
    long = losses_of(network, replace(batch, known=unknown))[0]
    short = replace(batch, frames=batch.frames[:3], masks=batch.masks[:3], roles=batch.roles[:3])
    assert long == pytest.approx(losses_of(network, short)[0], rel=1e-4)


def test_every_known_object_counts_once():
    one, two = {"dice": torch.tensor(1.0)}, {"dice": torch.tensor(4.0)}
    assert mean_losses([(one, 2), (two, 1), ({}, 0)]) == {"dice": pytest.approx(2.0)}
    assert mean_losses([(one, 2), (two, 2)]) == {"dice": pytest.approx(2.5)}


@pytest.mark.parametrize("stride", [1, 2])
def test_what_is_answered_on_unlabelled_pixels_costs_nothing(stride):
    batch = collate([replace(draw(), known=None)])
    t = next(t for t in range(6) if batch.ignored[t].any() and batch.masks[t].flatten(1).any(1).all())
    targets = make_targets(batch, t, None, stride=stride)
    assert float(targets.soft.max()) <= 1 + 1e-5
    answers = torch.where(targets.whole > 0, 4.0, -4.0)
    losses = []
    for value in (-9.0, 9.0):
        answers = torch.where(targets.ignored[:, None], value, answers)
        iou = torch.ones(2, 1)
        losses.append(
            mask_losses(
                answers,
                iou,
                torch.ones(2),
                *(targets.hard, targets.soft, LossWeights()),
                visible=targets.visible,
                counted=targets.counted,
            )
        )
    for name in ("arl", "dice", "iou"):
        assert float(losses[0][name]) == pytest.approx(float(losses[1][name]), abs=2e-3 if stride > 1 else 1e-6), name
    assert float(losses[1]["iou"]) < 0.1


def test_a_user_corrects_nothing_that_is_not_known():
    batch = collate([draw()])
    t = next(t for t in range(6) if not batch.known[t].all() and batch.ignored[t].any())
    rows = known_rows(batch)[t]
    targets = make_targets(batch, t, rows)
    truth, answers = targets.seen_by_user(np.ones((2, SIDE, SIDE), bool))
    unknown = int((~batch.known[t]).nonzero())
    np.testing.assert_array_equal(answers[unknown], truth[unknown])
    assert not (answers[1 - unknown] & Partial.corner()).any()
    assert answers[1 - unknown].sum() == SIDE * SIDE - Partial.corner().sum()


@pytest.mark.parametrize("thick", [1, 2])
def test_a_thin_object_is_visible_however_much_the_losses_are_reduced(thick):
    """A line across the blocks that are averaged covers half of none."""
    batch = collate([draw(ArrayClip)])
    batch.masks[2] = False
    batch.masks[2, 0, 21 : 21 + thick, 4:60] = True
    targets = make_targets(batch, 2, None, stride=2)
    assert targets.visible.tolist() == [True, False]
    right = torch.where(torch.nn.functional.max_pool2d(targets.whole, 2) > 0, 6.0, -6.0)
    found = mask_losses(
        right,
        torch.ones(2, 1),
        torch.tensor([8.0, -8.0]),
        *(targets.hard, targets.soft, LossWeights()),
        visible=targets.visible,
    )
    missed = mask_losses(
        right * 0 - 6,
        torch.ones(2, 1),
        torch.tensor([-8.0, -8.0]),
        *(targets.hard, targets.soft, LossWeights()),
        visible=targets.visible,
    )
    assert found["occlusion"] < 0.01
    assert found["iou"] < 0.1
    assert missed["occlusion"] > 3
    assert missed["dice"] > found["dice"] > 0


def test_cuts_are_from_other_videos_only(write_config):
    """In its own video an object would be in sight while it is taught to be absent."""
    config = read_config(write_config({"steps": 4, "frames": 6, "batch": 4}, objects=2, family="recorded", more="cuts = 1.0"))
    own = clip_of(ArrayClip)
    own.stack[:] |= own.stack.any(axis=0)
    alone = StepDataset(config, {"recorded": lambda seed, frames: own}, [])
    assert alone[0].masks.flatten(2).any(dim=2).all()
    namesake = replace(own)  # of another folder
    mixed = StepDataset(config, {"recorded": lambda seed, frames: (own, namesake)[seed % 2]}, [])
    absent = [~mixed[step].masks.flatten(2).any(dim=2) for step in range(4)]
    assert any(a.any() for a in absent)
    assert all(role is not Role.LONG for role in mixed[0].roles)

"""The losses, number by number."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from napari_sam2s.training.losses import (
    LossWeights,
    dice_loss,
    focal_loss,
    mask_losses,
    soften,
    total,
    true_iou,
    tsl_loss,
)


def square(n=1, side=32):
    masks = torch.zeros(n, 1, side, side)
    masks[..., 8:20, 10:24] = 1
    return masks


def logits_of(masks, sure=20.0):
    return (masks * 2 - 1) * sure


def test_weights_are_the_papers():
    assert LossWeights() == LossWeights(arl=20.0, dice=1.0, iou=1.0, occlusion=1.0, tsl=0.1)


def test_softening_keeps_the_inside_and_the_sum():
    hard = square()
    soft = soften(hard)
    assert soft[0, 0, 14, 16] == pytest.approx(1)
    assert soft[0, 0, 0, 0] == 0
    assert float(soft.sum()) == pytest.approx(float(hard.sum()), rel=1e-5)
    assert 0 < soft[0, 0, 7, 16] < 0.5 < soft[0, 0, 8, 16] < 1
    taps = torch.exp(-(torch.arange(-2.0, 3) ** 2) / 2)
    assert soft[0, 0, 7, 16] == pytest.approx(float(taps[3:].sum() / taps.sum()), abs=1e-6)
    full = torch.ones(1, 1, 8, 8)
    torch.testing.assert_close(soften(full), full)  # also at the picture's edge


def test_focal_is_sam2s_where_targets_are_hard():
    torch.manual_seed(0)
    logits, targets = torch.randn(2, 3, 16, 16), (torch.rand(2, 3, 16, 16) > 0.5).float()
    p = logits.sigmoid()
    entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    p_t = p * targets + (1 - p) * (1 - targets)
    expected = (0.25 * targets + 0.75 * (1 - targets)) * entropy * (1 - p_t) ** 2
    torch.testing.assert_close(focal_loss(logits, targets), expected.flatten(2).mean(2))


def test_a_perfect_answer_costs_nothing():
    hard = square()
    losses = mask_losses(logits_of(hard), torch.ones(1, 1), torch.full((1,), 20.0), hard, hard, LossWeights())
    assert float(total(losses, LossWeights())) < 1e-3
    assert float(dice_loss(logits_of(hard), hard)) < 1e-3
    assert float(true_iou(logits_of(hard), hard)) == 1


def test_of_three_masks_only_the_best_is_taught_but_all_iou_heads():
    hard = square()
    wrong = torch.roll(hard, 9, 3)
    answers = torch.cat((logits_of(wrong, 3.0), logits_of(hard, 3.0), logits_of(1 - hard, 3.0)), dim=1).requires_grad_()
    iou = torch.full((1, 3), 0.5, requires_grad=True)
    losses = mask_losses(answers, iou, torch.zeros(1), hard, soften(hard), LossWeights())
    total(losses, LossWeights()).backward()
    moved = answers.grad.abs().sum((0, 2, 3))
    assert moved[1] > 0
    assert moved[0] == moved[2] == 0
    assert (iou.grad != 0).all()


def test_the_choice_does_not_depend_on_the_blur():
    hard = square()
    answers = torch.cat((logits_of(hard, 5.0), logits_of(soften(hard) - 0.3, 5.0)), dim=1)
    a, b = (mask_losses(answers, torch.zeros(1, 2), torch.zeros(1), hard, s, LossWeights()) for s in (hard, soften(hard)))
    assert a["dice"] == b["dice"]


def test_absent_objects_teach_only_their_absence():
    hard = torch.zeros(1, 1, 32, 32)
    logits = torch.randn(1, 3, 32, 32)
    losses = mask_losses(logits, torch.rand(1, 3), torch.full((1,), 2.0), hard, hard, LossWeights())
    assert losses["arl"] == losses["dice"] == losses["iou"] == 0
    assert float(losses["occlusion"]) == pytest.approx(math.log1p(math.exp(2.0)), rel=1e-5)


def test_tsl_counts_only_known_classes_that_are_seen():
    scores = torch.tensor([[5.0, 0.0], [0.0, 5.0], [5.0, 0.0]])
    classes, visible = torch.tensor([0, 0, -1]), torch.tensor([True, True, True])
    expected = F.cross_entropy(scores[:2], classes[:2])
    torch.testing.assert_close(tsl_loss(scores, classes, visible), expected)
    assert tsl_loss(scores, classes, torch.tensor([True, False, True])) < 0.01
    assert tsl_loss(scores, torch.full((3,), -1), visible) == 0

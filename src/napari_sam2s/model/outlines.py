"""Outlines of tracked masks, by the head for first prompts: tracking knows where an object is, the head how far it reaches.

A small network that tracks keeps hold of an object, and is rough about its border. Segment Anything has learned from a thousand
times as many outlines. So every tracked mask is shown to the head, as a mask and its box, and the head's answer is what users
see. Tracking remembers its own masks: remembering the head's answers was no better (``docs/explanation/outlines.md``).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

import torch
from torch import Tensor

from napari_sam2s.model.edges import with_edges
from napari_sam2s.model.frames import Spread, scale
from napari_sam2s.model.mask_decoder import choose_mask
from napari_sam2s.model.network_config import ModelConfig
from napari_sam2s.model.prompt_encoder import BOX_FIRST, BOX_SECOND
from napari_sam2s.model.speed import AdjustableNetwork, in_own_arithmetic
from napari_sam2s.model.stages import Decoded, Features

LEAST = 4  # cells of a mask's logits, below which it says too little
LEAST_SHARED = 0.25  # IoU with the tracked mask, which costs nothing on real video
CERTAIN = 10.0  # logits of the mask that the head is shown: its border counts for nothing, so that the picture decides


class Outliner(AdjustableNetwork, Protocol):
    """What is asked here of a network, which needs this file."""

    config: ModelConfig
    spread: Spread
    interactive: Any  # Segment Anything's head, where ``config.prompt_side`` says so

    def encode_interactive(self, image: Tensor, side: int) -> Features | None:
        """Encode frames ``(N, 3, S, S)`` as the head sees them at a side, 0 for its own."""


def with_outlines(model: Outliner, features: Features, decoded: Decoded) -> Decoded:
    """Return tracked masks as they are shown; what is remembered of them stays.

    Parameters
    ----------
    model
        Whose head outlines, if it has Segment Anything's and is not told to leave it out
        (:class:`~napari_sam2s.model.speed.Speed`).
    features
        Of the frame, with its picture.
    decoded
        ``B`` objects that were tracked on it.
    """
    radius = model.config.edge_radius
    if not _outlines(model):
        return with_edges(features, decoded, radius)
    outlined = replace(decoded, logits=_outlined(model, features, decoded.logits, everywhere=not decoded.logits.is_cpu))
    return replace(decoded, drawn=with_edges(features, outlined, radius).drawn)


def for_outlines(model: Outliner, features: Features, *, wanted: bool) -> Features:
    """Return a frame's features, where it is wanted with what :func:`with_outlines` needs; on a GPU that is made there."""
    if wanted and _outlines(model) and features.embedding.is_cpu and features.seen_by_head is None:
        features.seen_by_head = _seen_by_head(model, features)
    return features


def _outlines(model: Outliner) -> bool:
    return bool(model.config.edge_radius and model.config.prompt_side) and not model.speed.plain_outlines


def _outlined(model: Outliner, features: Features, logits: Tensor, *, everywhere: bool) -> Tensor:
    """Return logits ``(B, 1, h, w)`` outlined by the head, those of absent objects as they are.

    ``everywhere`` shows absent objects to the head, too, so that a GPU is not waited for.
    """
    inside = logits > 0
    present = inside.sum(dim=(1, 2, 3)) >= LEAST
    if everywhere:
        answers = _answers(model, _seen_by_head(model, features), inside)
        return torch.where(present[:, None, None, None] & _same(answers, inside), answers, logits.float())
    if not present.any():
        return logits
    if features.seen_by_head is None:  # not all objects of a frame come at once
        features.seen_by_head = _seen_by_head(model, features)
    answers = _answers(model, features.seen_by_head, inside[present])
    outlined = logits.float().clone()
    outlined[present] = torch.where(_same(answers, inside[present]), answers, outlined[present])
    return outlined


def _same(answers: Tensor, inside: Tensor) -> Tensor:
    """Return whether answers show what was tracked, ``(B, 1, 1, 1)``: others are another thing, or nothing."""
    found = answers > 0
    shared, both = ((found & inside).sum(dim=(1, 2, 3)), (found | inside).sum(dim=(1, 2, 3)))
    return (shared >= LEAST_SHARED * both)[:, None, None, None]


def _seen_by_head(model: Outliner, features: Features) -> Features:
    assert features.image is not None
    seen = model.encode_interactive(scale(features.image, model.spread), model.config.outline_side)
    assert seen is not None
    return seen


@in_own_arithmetic
def _answers(model: Outliner, seen: Features, inside: Tensor) -> Tensor:
    """Return what the head makes of masks ``(B, 1, h, w)``."""
    size = model.config.image_size
    corners = (boxes(inside) * (size / inside.shape[-1]) - 0.5).unflatten(1, (2, 2))
    labels = torch.arange(BOX_FIRST, BOX_SECOND + 1, device=inside.device).expand(len(inside), -1)
    answers = model.interactive(seen, corners, labels, torch.where(inside, CERTAIN, -CERTAIN), size, boxed=True)
    chosen: Tensor = choose_mask(answers, multimask=False, replace_unstable=True)[0]["logits"]
    return chosen.float()


def boxes(masks: Tensor) -> Tensor:
    """Return the borders ``(B, 4)`` of masks ``(B, 1, h, w)``, as x0, y0, x1, y1 of cells and without asking the device."""
    borders = []
    for axis in (2, 3):
        there = masks.any(dim=axis)[:, 0]
        cells = torch.arange(there.shape[1], device=masks.device)
        borders += [torch.where(there, cells, there.shape[1]).amin(dim=1), torch.where(there, cells + 1, 0).amax(dim=1)]
    return torch.stack((borders[0], borders[2], borders[1], borders[3]), dim=1).float()

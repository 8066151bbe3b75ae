"""Prompts to train on: masks, boxes and clicks drawn from the ground truth, and clicks that correct an answer."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_sam2s.evaluation.clicks import box_of, correction, deepest, inner_distance
from napari_sam2s.model.prompt_encoder import BOX_FIRST, BOX_SECOND, NEGATIVE, PADDING, POSITIVE

try:
    import cv2
except ImportError:  # it is in the extra "train"
    cv2 = None  # type: ignore[assignment]

THREADS = 8  # that look for clicks; both libraries let go of Python's lock meanwhile
MASK_SHARE, CLICK_SHARE = 0.5, 0.25  # the rest are boxes, as in SAM 2's recipe
CENTRE_SHARE = 0.5  # of clicks, at the innermost pixel; the others anywhere inside


@dataclass
class PromptBatch:
    """Prompts of ``N`` objects, each a mask, or points with labels (-1 is none)."""

    points: Tensor  # (N, P, 2) as (x, y) in pixels of the input
    labels: Tensor  # (N, P)
    use_mask: NDArray[np.bool_]  # (N,)


def fast_inner_distance(mask: NDArray[np.bool_]) -> NDArray[Any]:
    """Return :func:`inner_distance`, several times as fast where OpenCV is there."""
    if cv2 is None:
        return inner_distance(mask)
    return cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, thread_name_prefix="prompts")


def _for_each(function: Callable[..., Any], *arrays: NDArray[Any]) -> list[Any]:
    """Map over objects, by threads where there are many."""
    return list(_pool().map(function, *arrays) if len(arrays[0]) > THREADS else map(function, *arrays))


def sample_click(rng: np.random.Generator, mask: NDArray[np.bool_]) -> tuple[int, int]:
    """Return a pixel ``(y, x)`` of a mask: half of the time the innermost one."""
    if rng.random() < CENTRE_SHARE:
        return deepest(mask, fast_inner_distance)[1:]
    pixels = np.argwhere(mask)
    y, x = pixels[rng.integers(len(pixels))]
    return int(y), int(x)


def sample_prompts(rng: np.random.Generator, masks: NDArray[np.bool_], mask_share: float = MASK_SHARE) -> PromptBatch:
    """Draw the first prompt of each of ``N`` visible objects ``(N, S, S)``."""
    points = np.zeros((len(masks), 2, 2), dtype=np.float32)
    labels = np.full((len(masks), 2), PADDING, dtype=np.int64)
    use_mask = rng.random(len(masks)) < mask_share
    for n, mask in enumerate(masks):
        if rng.random() < CLICK_SHARE / (1 - MASK_SHARE):
            y, x = sample_click(rng, mask)
            points[n, 0], labels[n, 0] = (x, y), POSITIVE
        else:
            top, left, bottom, right = box_of(mask)
            box = np.array([[left, top], [right, bottom]], dtype=np.float32)
            sides = box[1] - box[0]
            points[n] = np.clip(box + rng.normal(0, 0.05, (2, 2)) * sides, 0, mask.shape[0])
            labels[n] = BOX_FIRST, BOX_SECOND
    return PromptBatch(torch.from_numpy(points), torch.from_numpy(labels), use_mask)


def add_corrections(prompts: PromptBatch, truth: NDArray[np.bool_], answers: NDArray[np.bool_]) -> PromptBatch:
    """Append one click for each object ``(N, S, S)`` where its answer is most wrong."""
    points = np.zeros((len(truth), 1, 2), dtype=np.float32)
    labels = np.full((len(truth), 1), PADDING, dtype=np.int64)
    for n, click in enumerate(_for_each(partial(correction, distance=fast_inner_distance), truth, answers)):
        if click is not None:
            y, x, label = click
            points[n, 0], labels[n, 0] = (x, y), POSITIVE if label else NEGATIVE
    return PromptBatch(
        torch.cat((prompts.points, torch.from_numpy(points)), dim=1),
        torch.cat((prompts.labels, torch.from_numpy(labels)), dim=1),
        prompts.use_mask,
    )

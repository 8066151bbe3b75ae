"""Simulated users: masks, boxes and clicks made from the ground truth, and clicks that correct an answer."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from torch import Tensor

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


def _inner_distance(mask: NDArray[np.bool_]) -> NDArray[Any]:
    """Return each pixel's distance to the nearest pixel outside of the mask; outside of the picture counts as such.

    OpenCV's exact transform is several times as fast as SciPy's.
    """
    padded = np.pad(mask, 1)
    if cv2 is None:
        return distance_transform_edt(padded)[1:-1, 1:-1]
    return cv2.distanceTransform(padded.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, thread_name_prefix="prompts")


def _for_each(function: Callable[..., Any], *arrays: NDArray[Any]) -> list[Any]:
    """Map over objects, by threads where there are many."""
    return list(_pool().map(function, *arrays) if len(arrays[0]) > THREADS else map(function, *arrays))


def _deepest(mask: NDArray[np.bool_]) -> tuple[float, int, int]:
    """Return the largest inner distance of a mask and its ``(y, x)``; 0 of an empty mask."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return 0.0, 0, 0
    # Around the box everything is outside of the mask, so the box alone gives the same distances.
    distance = _inner_distance(mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    y, x = np.unravel_index(int(distance.argmax()), distance.shape)
    return float(distance[y, x]), int(y + rows[0]), int(x + columns[0])


def innermost(mask: NDArray[np.bool_]) -> tuple[int, int]:
    """Return the ``(y, x)`` farthest from the mask's border (the picture's edge counts as one)."""
    return _deepest(mask)[1:]


def sample_click(rng: np.random.Generator, mask: NDArray[np.bool_]) -> tuple[int, int]:
    """Return a pixel ``(y, x)`` of a mask: half of the time the innermost one."""
    if rng.random() < CENTRE_SHARE:
        return innermost(mask)
    pixels = np.argwhere(mask)
    y, x = pixels[rng.integers(len(pixels))]
    return int(y), int(x)


def correction(truth: NDArray[np.bool_], answer: NDArray[np.bool_]) -> tuple[int, int, int] | None:
    """Return ``(y, x, label)`` at the middle of the largest error, or ``None`` where there is none.

    SAM 2's rule: of the missing and the superfluous part the one with the larger inner distance; positive if missing.
    """
    missing, superfluous = truth & ~answer, answer & ~truth
    if not missing.any() and not superfluous.any():
        return None
    inside, outside = _deepest(missing), _deepest(superfluous)
    positive = inside[0] > outside[0]
    _, y, x = inside if positive else outside
    return y, x, POSITIVE if positive else NEGATIVE


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
            rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            box = np.array([[columns[0], rows[0]], [columns[-1] + 1, rows[-1] + 1]], dtype=np.float32)
            sides = box[1] - box[0]
            points[n] = np.clip(box + rng.normal(0, 0.05, (2, 2)) * sides, 0, mask.shape[0])
            labels[n] = BOX_FIRST, BOX_SECOND
    return PromptBatch(torch.from_numpy(points), torch.from_numpy(labels), use_mask)


def add_corrections(prompts: PromptBatch, truth: NDArray[np.bool_], answers: NDArray[np.bool_]) -> PromptBatch:
    """Append one click for each object ``(N, S, S)`` where its answer is most wrong."""
    points = np.zeros((len(truth), 1, 2), dtype=np.float32)
    labels = np.full((len(truth), 1), PADDING, dtype=np.int64)
    for n, click in enumerate(_for_each(correction, truth, answers)):
        if click is not None:
            y, x, label = click
            points[n, 0], labels[n, 0] = (x, y), label
    return PromptBatch(
        torch.cat((prompts.points, torch.from_numpy(points)), dim=1),
        torch.cat((prompts.labels, torch.from_numpy(labels)), dim=1),
        prompts.use_mask,
    )

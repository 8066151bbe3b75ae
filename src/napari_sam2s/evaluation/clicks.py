"""Simulated users: clicks and boxes made from ground truth, for evaluation and for training (SAM 2's appendix)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_cdt, distance_transform_edt

from napari_sam2s.errors import EvaluationError

PROMPTS = ("1-click", "3-click", "5-click", "box", "mask")


Mask = NDArray[np.bool_]  # (Y, X)
Distance = Callable[[Mask], NDArray[Any]]


def inner_distance(mask: Mask) -> NDArray[np.float64]:
    """Return each pixel's distance to the nearest pixel outside of the mask; outside of the picture counts as such."""
    distance: NDArray[np.float64] = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    return distance


def deepest(mask: Mask, distance: Distance = inner_distance) -> tuple[float, int, int]:
    """Return the largest inner distance of a mask and its ``(y, x)``; 0 of an empty mask."""
    if not mask.any():
        return 0.0, 0, 0
    top, left, bottom, right = box_of(mask)
    # Around the box everything is outside of the mask, so the box alone gives the same distances.
    depths = distance(mask[top:bottom, left:right])
    y, x = np.unravel_index(int(depths.argmax()), depths.shape)
    return float(depths[y, x]), int(y) + top, int(x) + left


def box_of(mask: Mask) -> tuple[int, int, int, int]:
    """Return the box of a mask that is not empty, ``(y0, x0, y1, x1)``, the last two exclusive."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def correction(truth: Mask, answer: Mask, distance: Distance = inner_distance) -> tuple[int, int, int] | None:
    """Return ``(y, x, label)`` at the middle of the largest error, or ``None`` where there is none.

    SAM 2's rule: of the missing and the wrong part the one with the larger inner distance; label 1 if missing, 0 if wrong.
    """
    missing, wrong = truth & ~answer, answer & ~truth
    if not missing.any() and not wrong.any():
        return None
    inside, outside = deepest(missing, distance), deepest(wrong, distance)
    label = int(inside[0] > outside[0])
    _, y, x = inside if label else outside
    return y, x, label


def next_click(truth: Mask, answer: Mask | None = None) -> tuple[tuple[int, int], int]:
    """Return where a careful user clicks next, ``((y, x), label)``: the middle of the largest error.

    With no answer yet it is the middle of the object, and of a right answer a middle of it once more.
    """
    click = correction(truth, np.zeros_like(truth) if answer is None else answer)
    if click is not None:
        return click[:2], click[2]
    y, x = np.unravel_index(int(distance_transform_cdt(truth).argmax()), truth.shape)
    return (int(y), int(x)), 1


def prompt_first(tracker: Any, object_id: int, frame: int, truth: Mask, kind: str) -> Mask:
    """Prompt an object as a protocol asks and return the mask; ``tracker`` is a :class:`Tracker` or does as one does.

    Raises :class:`EvaluationError` if ``kind`` is not one of ``PROMPTS``, or the object is not on the frame.
    """
    if kind not in PROMPTS:
        raise EvaluationError(f"{kind!r} is not a prompt: choose one of {', '.join(PROMPTS)}.")
    if not truth.any():
        raise EvaluationError(f"Object {object_id} is not on frame {frame}, so it cannot be prompted there.")
    prompt: Callable[..., Mask] = tracker.prompt
    if kind == "mask":
        return prompt(object_id, frame, mask=truth)
    if kind == "box":
        return prompt(object_id, frame, box=box_of(truth))
    answer = None
    for _ in range(int(kind[0])):
        point, label = next_click(truth, answer)
        answer = prompt(object_id, frame, points=[point], labels=[label])
    assert answer is not None
    return answer

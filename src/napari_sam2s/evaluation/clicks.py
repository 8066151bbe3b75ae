"""Simulated users: prompts of a first frame, made from ground truth (SAM 2, appendix on interactive evaluation)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_cdt, distance_transform_edt

from napari_sam2s.errors import EvaluationError

PROMPTS = ("1-click", "3-click", "5-click", "box", "mask")


def next_click(truth: NDArray[np.bool_], answer: NDArray[np.bool_] | None = None) -> tuple[tuple[int, int], int]:
    """Return where a careful user clicks next, ``((y, x), label)``: the middle of the largest error.

    That is the pixel deepest inside the missing or the wrong part, whichever is deeper; the frame's edge counts as its end.
    With no answer yet it is the middle of the object.
    """
    missing = truth if answer is None else truth & ~answer
    wrong = np.zeros_like(truth) if answer is None else answer & ~truth
    depths = [distance_transform_edt(np.pad(part, 1))[1:-1, 1:-1] for part in (missing, wrong)]
    label = int(depths[0].max() > depths[1].max())
    chosen = depths[0] if label else depths[1]
    if not chosen.max():
        chosen, label = distance_transform_cdt(truth).astype(float), 1
    y, x = np.unravel_index(int(chosen.argmax()), truth.shape)
    return (int(y), int(x)), label


def prompt_first(tracker: Any, object_id: int, frame: int, truth: NDArray[np.bool_], kind: str) -> NDArray[np.bool_]:
    """Prompt an object as a protocol asks and return the mask; ``tracker`` is a :class:`Tracker` or does as one does.

    Raises
    ------
    EvaluationError
        If ``kind`` is not one of ``PROMPTS``, or the object is not on the frame.
    """
    if kind not in PROMPTS:
        raise EvaluationError(f"{kind!r} is not a prompt: choose one of {', '.join(PROMPTS)}.")
    if not truth.any():
        raise EvaluationError(f"Object {object_id} is not on frame {frame}, so it cannot be prompted there.")
    prompt: Callable[..., NDArray[np.bool_]] = tracker.prompt
    if kind == "mask":
        return prompt(object_id, frame, mask=truth)
    if kind == "box":
        rows, columns = np.flatnonzero(truth.any(axis=1)), np.flatnonzero(truth.any(axis=0))
        return prompt(object_id, frame, box=(rows[0], columns[0], rows[-1] + 1, columns[-1] + 1))
    answer = None
    for _ in range(int(kind[0])):
        point, label = next_click(truth, answer)
        answer = prompt(object_id, frame, points=[point], labels=[label])
    assert answer is not None
    return answer

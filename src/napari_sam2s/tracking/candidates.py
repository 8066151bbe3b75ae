"""What a click may mean: the whole, a part of it, a finer part."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.masklets.overlaps import iou

SAME = 0.95  # IoU from which on two answers are one


class Candidate(NamedTuple):
    """One answer to an ambiguous prompt."""

    mask: NDArray[np.bool_]  # (Y, X)
    iou: float  # that the network predicts


def rank(answers: Iterable[Candidate]) -> list[Candidate]:
    """Return the answers that show something and differ from better ones, best first."""
    ranked: list[Candidate] = []
    for answer in sorted(answers, key=lambda candidate: candidate.iou, reverse=True):
        if answer.mask.any() and all(iou(answer.mask, better.mask) < SAME for better in ranked):
            ranked.append(answer)
    return ranked

"""How far several trackings of the same objects agree, where no ground truth says which is right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from napari_sam2s.masklets.overlaps import iou
from napari_sam2s.masklets.protocol import Masklets


def agreement(one: Masklets, other: Masklets, frames: Iterable[int] | None = None) -> float:
    """Return the mean J of two sets of masks, over objects of the mean over frames; 1 is the same, NaN nothing to compare.

    Parameters
    ----------
    frames
        That count; by default those that both have. Frames on which neither shows the object count as agreed.
    """
    ids = sorted({o.id for o in one.objects} & {o.id for o in other.objects})
    counted = sorted(set(one.frames) & set(other.frames) if frames is None else set(frames))
    scores: dict[int, list[float]] = {i: [] for i in ids}
    for frame in counted:
        ours, theirs = one.masks(frame), other.masks(frame)
        for i in ids:
            a, b = ours.get(i), theirs.get(i)
            if a is None and b is None:
                continue  # neither was asked for it
            empty = np.zeros_like(a if a is not None else b)
            scores[i].append(iou(empty if a is None else a, empty if b is None else b))
    means = [float(np.mean(each)) for each in scores.values() if each]
    return float(np.mean(means)) if means else float("nan")


def agreement_table(runs: Mapping[str, Masklets], frames: Iterable[int] | None = None) -> dict[str, dict[str, float]]:
    """Return :func:`agreement` of each with each, by name and name."""
    counted = None if frames is None else list(frames)
    table: dict[str, dict[str, float]] = {name: {} for name in runs}
    names = list(runs)
    for n, a in enumerate(names):
        for b in names[n + 1 :]:
            table[a][b] = table[b][a] = agreement(runs[a], runs[b], counted)
    return table

"""How each object moved between two tracked frames, from what the flow saw and from where its masks are.

Both masks of an object go to every knot between them, along one of a few ways each: as the flow was fitted, as only its middle
went, or not at all; each as it is, or with the shift that it misses. Those two are taken that reach the other mask and meet in
between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from napari_sam2s.tracking.optical_flow import CELLS, Affine, fit_affine

TRUST = 0.05  # of overlap with the other mask that seen motion may lack for each piece of its way
MEETING = 0.5  # weight of meeting between the frames, where reaching the other mask has 1
COVERED_CELLS = 1.0  # of the motion's picture, from which on an object counts as covered by another

Coverage = NDArray[np.float32]  # (64, 64): how much of every cell of the motion's picture a mask covers
FarAffines = list[Affine]  # from a shape's own frame to every knot, in the order of knots


@dataclass
class Ways:
    """An object's coverage of the motion's cells on both frames, and how it moves from each to every knot."""

    coverages: tuple[Coverage, Coverage]
    paths: tuple[FarAffines | None, FarAffines | None]  # None where the object is absent

    @classmethod
    def of(
        cls, first: NDArray[np.bool_], last: NDArray[np.bool_], flows: list[NDArray[np.float32]], times: Sequence[float]
    ) -> Ways:
        """Choose how an object moved; ``times`` of the knots go from 0 on the first frame to 1 on the last."""
        a, b = _coverage(first), _coverage(last)
        forward = _paths(a, b, [f[0] for f in flows], times) if a.any() else None
        backward = _paths(b, a, [f[1] for f in reversed(flows)], [1 - t for t in reversed(times)]) if b.any() else None
        if backward is not None:
            backward.paths = [path[::-1] for path in backward.paths]
        return cls((a, b), _best(a, forward, b, backward))

    def brought(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return what the last frame's shape covers on the first frame, and the first one's on the last."""
        return tuple(  # type: ignore[return-value]
            coverage if path is None else _warped(coverage, [path[end]])[0]
            for coverage, path, end in zip(self.coverages[::-1], self.paths[::-1], (0, -1), strict=True)
        )


def covering(ways: Mapping[int, Ways]) -> dict[int, list[int]]:
    """Return for each object those that lie over it.

    One lies over another where the other would be, by what is known of it from the other frame, and is not seen. Motions are
    not exact, so of two objects at most one lies over the other: the one that hides more.
    """
    ids = list(ways)
    hidden = np.zeros((len(ids), len(ids)))  # cells of each object that each other one hides, on both frames
    for n, way in enumerate(ways.values()):
        if len(ids) > 1 and all(path is not None for path in way.paths):
            for end, there in enumerate(way.brought()):
                covers = np.stack([other.coverages[end] for other in ways.values()])
                hidden[n] += (np.minimum(there, covers) * (1 - way.coverages[end])).sum(axis=(1, 2))
    over = (hidden > COVERED_CELLS) & (hidden > hidden.T)  # nothing is over itself, as the second cannot hold there
    return {i: [k for k, lies in zip(ids, row, strict=True) if lies] for i, row in zip(ids, over, strict=True)}


def _coverage(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return how much of every cell of the motion's picture a mask covers, ``(64, 64)``."""
    if not mask.any():
        return np.zeros((CELLS, CELLS), np.float32)
    rows, columns = (_area(n, CELLS) for n in mask.shape)
    return (rows @ torch.from_numpy(mask).float() @ columns.T).numpy()


@lru_cache(maxsize=16)
@torch.inference_mode(False)
def _area(length: int, cells: int) -> Tensor:
    """Return the ``(cells, length)`` matrix that averages over the pixels of every cell, as torch's "area" does."""
    index, pixel = torch.arange(cells)[:, None], torch.arange(length)
    covered = ((pixel >= index * length // cells) & (pixel < -(-(index + 1) * length // cells))).float()
    return covered / covered.sum(dim=1, keepdim=True)


@dataclass
class _Paths:
    """Ways that a shape may have gone from its own frame to every knot up to the other's, and how credible each is."""

    paths: list[FarAffines]
    scores: NDArray[np.float64]


def _paths(own: Coverage, other: Coverage, flows: list[NDArray[np.float32]], times: Sequence[float]) -> _Paths:
    """Propose how a shape went; ``times`` of the knots go from 0 on its own frame to 1 on the other."""
    seen = [np.eye(3)]
    for motion in flows:
        seen.append(fit_affine(motion, _warped(own, seen[-1:])[0]) @ seen[-1])
    if not other.any():
        return _Paths([seen], np.zeros(1))
    way = _way(seen, _centre(own))
    # Seen motion as it was fitted, or only how its middle went: what is fitted of turning and stretching may be noise.
    paths = [_still(len(seen)), seen, _shifted(_still(len(seen)), way)]
    # What these miss of the way from mask to mask may be a plain shift: spread over time, or as the motion that was seen.
    arrived = _warped(own, [path[-1] for path in paths])
    misses = [_centre(other) - _centre(coverage) for coverage in arrived]
    spread = np.asarray(times), _shares(way, times), _shares(way, times)
    paths += [_shifted(path, part[:, None] * miss) for path, part, miss in zip(paths, spread, misses, strict=True)]
    arrived = np.concatenate((arrived, _warped(own, [path[-1] for path in paths[3:]])))
    # What was seen is believed unless the other mask speaks clearly against it: both ends of a way there and back are alike.
    trust = min(TRUST * len(flows), 8 * TRUST)
    return _Paths(paths, np.array([_overlap(c, other) + trust * (n % 3 > 0) for n, c in enumerate(arrived)]))


def _best(
    a: Coverage, forward: _Paths | None, b: Coverage, backward: _Paths | None
) -> tuple[FarAffines | None, FarAffines | None]:
    """Return the two paths, from the first frame and from the last, that are credible and meet at the knots between."""
    if forward is None or backward is None:
        return tuple(None if side is None else side.paths[0] for side in (forward, backward))  # type: ignore[return-value]
    scores = forward.scores[:, None] + backward.scores
    between = range(1, len(forward.paths[0]) - 1)
    for knot in between:  # paths that meet half-way at the wrong place tear the shape in two
        there = _warped(a, [path[knot] for path in forward.paths])[:, None]
        back = _warped(b, [path[knot] for path in backward.paths])
        shared = np.minimum(there, back).sum(axis=(2, 3)) / np.maximum(np.maximum(there, back).sum(axis=(2, 3)), 1e-6)
        scores += MEETING * shared / len(between)
    i, j = np.unravel_index(int(np.argmax(scores)), scores.shape)
    return forward.paths[i], backward.paths[j]


def _still(knots: int) -> FarAffines:
    return [np.eye(3)] * knots


def _way(path: FarAffines, centre: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far a shape's centre ``(x, y)`` has gone at every knot, ``(knots, 2)``."""
    return np.stack([matrix[:2] @ (*centre, 1.0) for matrix in path]) - centre


def _shares(way: NDArray[np.float64], times: Sequence[float]) -> NDArray[np.float64]:
    """Return which part of a way is gone at every knot, from 0 to 1; of hardly any way, the times."""
    gone = np.append(0.0, np.linalg.norm(np.diff(way, axis=0), axis=1).cumsum())
    return gone / gone[-1] if gone[-1] >= 1.0 else np.asarray(times)


def _shifted(path: FarAffines, shifts: NDArray[np.float64]) -> FarAffines:
    moved = []
    for matrix, shift in zip(path, shifts, strict=True):
        by = np.eye(3)
        by[:2, 2] = shift
        moved.append(by @ matrix)
    return moved


def _warped(coverage: NDArray[np.float32], motions: list[Affine]) -> NDArray[np.float32]:
    """Return a coverage after each of several motions, ``(len(motions), 64, 64)``."""
    to_cells = np.array([[CELLS / 2, 0, CELLS / 2], [0, CELLS / 2, CELLS / 2], [0, 0, 1]])
    thetas = np.linalg.inv(to_cells) @ np.linalg.inv(np.stack(motions)) @ to_cells
    image = torch.from_numpy(coverage)[None, None].expand(len(motions), -1, -1, -1)
    return F.grid_sample(image, sampling_grid(thetas, CELLS, CELLS), align_corners=False)[:, 0].numpy()


def sampling_grid(thetas: NDArray[np.float64], h: int, w: int) -> Tensor:
    """Return where torch is to sample, ``(B, h, w, 2)``; ``F.affine_grid`` costs ten times as much."""
    matrices = torch.from_numpy(thetas[:, :2]).float()
    return (_homogeneous(h, w) @ matrices.transpose(1, 2)).unflatten(1, (h, w))


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def _homogeneous(h: int, w: int) -> Tensor:
    """Return ``(x, y, 1)`` of every cell in torch's normalised coordinates, ``(h * w, 3)``."""
    y, x = ((torch.arange(n) + 0.5) * (2 / n) - 1 for n in (h, w))
    return torch.stack((x.expand(h, w), y[:, None].expand(h, w), torch.ones(h, w)), dim=-1).flatten(0, 1)


def _centre(coverage: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the centre ``(x, y)`` of a coverage, in cells; of nothing, the middle of the picture."""
    total = float(coverage.sum())
    if total <= 0:
        return np.full(2, CELLS / 2)
    line = np.arange(CELLS) + 0.5
    return np.array((coverage.sum(0) @ line, coverage.sum(1) @ line)) / total


def _overlap(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    return float(np.minimum(a, b).sum() / max(float(np.maximum(a, b).sum()), 1e-6))

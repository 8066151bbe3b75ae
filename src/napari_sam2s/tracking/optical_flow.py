"""Motion between two frames, coarse and cheap: blocks matched from coarse to fine on a picture of 64 x 64.

It guides the shapes between two tracked frames (:mod:`napari_sam2s.tracking.interpolation`), where an affine motion of
each object is fitted to it; a single cell may be wrong. No learning, no OpenCV; a few milliseconds on one core.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

CELLS = 64  # side of the picture that motion is found on
_REACH = (4, 1, 1)  # cells that a block may move at a quarter, half and full side: together 19 of 64
_BLOCK = (3, 5, 5)  # side of a block in cells: at a quarter of the side an object is not much more than that
_PENALTY = 0.004  # of a step by one cell, in units of a channel's range: of two alike the nearer is meant
_STIFFNESS = 300.0  # cells squared; small objects move, and only large ones turn and stretch
# A network of comparisons after which the fifth of nine is their median (Devillard, 1998); torch's median is six times slower.
_MEDIAN_OF_NINE = (
    *((1, 2), (4, 5), (7, 8), (0, 1), (3, 4), (6, 7), (1, 2), (4, 5), (7, 8), (0, 3)),
    *((5, 8), (4, 7), (3, 6), (1, 4), (2, 5), (4, 7), (4, 2), (6, 4), (4, 2)),
)

Affine = NDArray[np.float64]  # (3, 3), acts on (x, y, 1) in cells


def shrink(frame: NDArray[np.uint8]) -> Tensor:
    """Turn a frame ``(Y, X, 3)`` into the picture ``(1, 3, 64, 64)`` that motion is found on, values 0 to 1."""
    image = torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1)[None].float() / 255
    return F.interpolate(image, size=(CELLS, CELLS), mode="area")


@torch.inference_mode()
def flow(first: Tensor, second: Tensor) -> NDArray[np.float32]:
    """Return where every cell goes, ``(2, 2, 64, 64)``: from first to second and back; each (x, y) in cells."""
    pyramid = [(torch.cat((first, second)), torch.cat((second, first)))]
    while len(pyramid) < len(_REACH):
        pyramid.append((F.avg_pool2d(pyramid[-1][0], 2), F.avg_pool2d(pyramid[-1][1], 2)))
    motion = torch.zeros(2, 2, *pyramid[-1][0].shape[2:])
    for (here, there), reach, block in zip(reversed(pyramid), _REACH, _BLOCK, strict=True):
        if motion.shape[2:] != here.shape[2:]:
            motion = 2 * F.interpolate(motion, scale_factor=2.0, mode="bilinear", align_corners=False)
        motion = motion + _match(here, _warp(there, motion), reach, block)
        if here is not pyramid[0][0]:  # what is wrong at the finest side is left to the fit
            motion = _median(motion)
    return motion.numpy()


def _warp(image: Tensor, motion: Tensor) -> Tensor:
    """Fetch each cell from where it went."""
    side = image.shape[-1]
    line = torch.arange(side, dtype=torch.float32) + 0.5
    y, x = torch.meshgrid(line, line, indexing="ij")
    grid = (torch.stack((x, y)) + motion).permute(0, 2, 3, 1) * (2 / side) - 1
    return F.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _match(here: Tensor, there: Tensor, reach: int, block: int) -> Tensor:
    """Return the displacement ``(B, 2, N, N)``, at most ``reach`` cells, under which blocks are most alike."""
    b, channels, side, _ = here.shape
    width = 2 * reach + 1
    padded = F.pad(there, (reach,) * 4, mode="replicate")
    shifted = F.unfold(padded, width).view(b, channels, width * width, side, side)
    cost = (shifted - here[:, :, None]).abs().mean(dim=1)
    average = _average(side, block)
    cost = average @ cost @ average.T
    steps = torch.arange(-reach, reach + 1, dtype=torch.float32)
    dy, dx = torch.meshgrid(steps, steps, indexing="ij")
    cost = cost + _PENALTY * torch.hypot(dx, dy).view(1, -1, 1, 1)
    best = cost.min(dim=1, keepdim=True).indices  # argmin costs five times as much
    column, row = best % width, best // width
    x = dx.flatten()[best] + _vertex(cost, best, column, 1, width)
    y = dy.flatten()[best] + _vertex(cost, best, row, width, width)
    return torch.cat((x, y), dim=1)


@lru_cache(maxsize=8)
@torch.inference_mode(False)
def _average(side: int, block: int) -> Tensor:
    """Return the ``(side, side)`` matrix that averages over up to ``block`` neighbours."""
    line = torch.arange(side)
    near = ((line[:, None] - line).abs() <= block // 2).float()
    return near / near.sum(dim=1, keepdim=True)


def _vertex(cost: Tensor, best: Tensor, place: Tensor, stride: int, width: int) -> Tensor:
    """Return the offset, at most half a cell, of the lowest point of the parabola through a cost and its neighbours."""
    inside = (place > 0) & (place < width - 1)
    centre = cost.gather(1, best)
    before = cost.gather(1, (best - stride).clamp(min=0))
    after = cost.gather(1, (best + stride).clamp(max=cost.shape[1] - 1))
    curvature = before - 2 * centre + after
    offset = (before - after) / (2 * curvature.clamp(min=1e-6))
    return torch.where(inside & (curvature > 1e-6), offset.clamp(-0.5, 0.5), torch.zeros_like(offset))


def _median(motion: Tensor) -> Tensor:
    """Replace each component by the median of its 3 x 3 neighbours."""
    padded = F.pad(motion, (1,) * 4, mode="replicate")
    rows, columns = motion.shape[2:]
    near = [padded[..., y : y + rows, x : x + columns] for y in range(3) for x in range(3)]
    for low, high in _MEDIAN_OF_NINE:
        near[low], near[high] = torch.minimum(near[low], near[high]), torch.maximum(near[low], near[high])
    return near[4]


def fit_affine(motion: NDArray[np.float32], weights: NDArray[np.float32]) -> Affine:
    """Fit one affine motion to a flow ``(2, N, N)`` where ``weights (N, N)`` are above zero, leaving outliers aside."""
    y, x = np.nonzero(weights > 0.25)
    if not len(x):
        return np.eye(3)
    weight = weights[y, x].astype(float)
    u = motion[:, y, x].astype(float).T  # (cells, 2)
    places = np.stack((x + 0.5, y + 0.5), axis=1)
    centre = np.average(places, axis=0, weights=weight)
    basis = np.column_stack((np.ones(len(x)), places - centre))
    stiffness = np.diag((0.0, _STIFFNESS, _STIFFNESS))
    trust = weight
    for _ in range(3):
        weighted = basis * trust[:, None]
        solution = np.linalg.solve(weighted.T @ basis + stiffness, weighted.T @ u)  # (3, 2)
        residual = np.linalg.norm(u - basis @ solution, axis=1)
        scale = max(float(np.partition(residual, len(residual) // 2)[len(residual) // 2]), 0.2)
        trust = weight / (1 + (residual / scale) ** 2)
    linear = np.eye(2) + solution[1:].T
    matrix = np.eye(3)
    matrix[:2, :2] = linear
    matrix[:2, 2] = solution[0] + centre - linear @ centre
    return matrix

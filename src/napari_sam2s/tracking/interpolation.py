"""The masks between two tracked frames: each shape is moved as its object moved, then one turns into the other.

Between frames A and B an object's motion is an affine one or a shift, from a coarse flow inside its mask
(:mod:`napari_sam2s.tracking.optical_flow`), believed only as far as it brings the mask of A onto that of B and the two meet
on the way (:mod:`napari_sam2s.tracking.motion_paths`). Of both masks moved to a frame between, signed distances are blended
(Raya & Udupa, 1990: shape-based interpolation).

What another object covers on one of the two frames is completed from the other frame first, and what covers it is cut out
again where it is on the frame between: the hole that an instrument leaves in an organ's mask moves with the instrument.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from napari_sam2s.tracking.motion_paths import FarAffines, Ways, covering, sampling_grid
from napari_sam2s.tracking.optical_flow import CELLS, Affine, flow, shrink

KNOT_FRAMES = 3  # motion is taken as even over at most so many frames
SHAPE_SIDE = 160  # most cells along a side that a shape is blended on: thin jaws are lost on fewer
MARGIN = 0.1  # around a shape, of its longer side

Masks = Mapping[int, NDArray[np.bool_]]


def knots(frames: Sequence[int]) -> list[int]:
    """Return the frames whose pixels :func:`fill` looks at: the first, the last, and some between if they are far apart."""
    pieces = max(-(-(len(frames) - 1) // KNOT_FRAMES), 1)
    return [frames[round(n * (len(frames) - 1) / pieces)] for n in range(pieces + 1)]


def fill(
    frames: Sequence[int],
    image: Callable[[int], NDArray[np.uint8] | Tensor],
    first: Masks,
    last: Masks,
) -> Iterator[tuple[int, dict[int, NDArray[np.bool_]]]]:
    """Make the masks between two frames.

    Parameters
    ----------
    frames
        Consecutive indices, ascending or descending; the masks of the first and the last are known.
    image
        Gives a frame ``(Y, X, 3)`` uint8 of any size, or what :func:`shrink` makes of it; asked for :func:`knots` only.
    first, last
        ``{object id: (Y, X) bool}`` on the first and on the last frame, the same ids. An object that is absent on one of
        the two appears or leaves half-way.

    Yields
    ------
    frame, masks
        Every frame between the two, in order.
    """
    looked_at = knots(frames)
    pictures = [p if isinstance(p, Tensor) else shrink(p) for p in map(image, looked_at)]
    flows = [flow(a, b) for a, b in itertools.pairwise(pictures)]
    places = np.searchsorted([abs(t - frames[0]) for t in looked_at], range(len(frames)), side="right") - 1
    between = []
    for n in range(1, len(frames) - 1):
        knot = int(places[n])
        begin, end = abs(looked_at[knot] - frames[0]), abs(looked_at[knot + 1] - frames[0])
        between.append(knot + (n - begin) / (end - begin))
    parts = [n / (len(frames) - 1) for n in range(1, len(frames) - 1)]
    times = [abs(t - frames[0]) / (len(frames) - 1) for t in looked_at]
    ways = {i: Ways.of(first[i], last[i], flows, times) for i in first}
    above = covering(ways)
    blends = {}
    for i, way in ways.items():
        covers = [np.logical_or.reduce([end[k] for k in above[i]]) if above[i] else None for end in (first, last)]
        blends[i] = _Blend.of(first[i], last[i], way, (covers[0], covers[1])).masks(between, parts)
    for t in frames[1:-1]:
        whole = {i: next(masks) for i, masks in blends.items()}
        yield t, {i: _without(mask, [whole[k] for k in above[i]]) for i, mask in whole.items()}


def _without(mask: NDArray[np.bool_], others: list[NDArray[np.bool_]]) -> NDArray[np.bool_]:
    return mask & ~np.logical_or.reduce(others) if others else mask


@dataclass
class _Shape:
    """One object on one of the two frames, and where it is at every knot."""

    path: FarAffines
    distance: Tensor  # (h, w) signed, in cells of the crop, positive inside

    def motion(self, between: float) -> Affine:
        knot = min(int(between), len(self.path) - 2)
        part = between - knot
        return (1 - part) * self.path[knot] + part * self.path[knot + 1]


@dataclass
class _Blend:
    """An object between two frames."""

    size: tuple[int, int]  # (Y, X) of the video
    crop: tuple[int, int, int, int]  # y0, x0, y1, x1 that the object stays in
    cell: int  # pixels along a side of the cells that distances are kept on
    shapes: tuple[_Shape | None, _Shape | None]  # None where the object is absent

    @classmethod
    def of(
        cls,
        first: NDArray[np.bool_],
        last: NDArray[np.bool_],
        ways: Ways,
        covers: tuple[NDArray[np.bool_] | None, NDArray[np.bool_] | None],
    ) -> _Blend:
        """``covers``: what lies over the object on the two frames."""
        size = (first.shape[0], first.shape[1])
        crop = _crop([(m, p) for m, p in zip((first, last), ways.paths, strict=True) if p is not None], size)
        box = slice(crop[0], crop[2]), slice(crop[1], crop[3])
        cell = max(-(-max(crop[2] - crop[0], crop[3] - crop[1]) // SHAPE_SIDE), 1)
        a, b = (
            None if p is None else _Shape(p, _signed_distance(m[box], cell))
            for m, p in zip((first, last), ways.paths, strict=True)
        )
        blend = cls(size, crop, cell, (a, b))
        if a is not None and b is not None:
            # Both from the shapes as they were seen, so that neither is completed by the other's completion.
            from_last, from_first = blend._moved(b, [0])[0], blend._moved(a, [len(a.path) - 1])[0]
            for shape, brought, cover in ((a, from_last, covers[0]), (b, from_first, covers[1])):
                if cover is not None and cover[box].any():
                    # One cell more, so that no gap is left between what is seen and what is completed.
                    beneath = torch.minimum(brought, _signed_distance(cover[box], cell) + 1)
                    shape.distance = torch.maximum(shape.distance, beneath)
        return blend

    def masks(self, between: Sequence[float], parts: Sequence[float]) -> Iterator[NDArray[np.bool_]]:
        """Yield the masks at ``between`` in knots, ``parts`` of the way."""
        first, last = (None if shape is None else self._moved(shape, between) for shape in self.shapes)
        y0, x0, y1, x1 = self.crop
        for n, part in enumerate(parts):
            mask = np.zeros(self.size, dtype=bool)
            if first is not None and last is not None:
                distance = torch.lerp(first[n], last[n], part)
            else:
                nearest = first if part < 0.5 else last
                if nearest is None:
                    yield mask
                    continue
                distance = nearest[n]
            whole = F.interpolate(distance[None, None], scale_factor=float(self.cell), mode="bilinear", align_corners=False)
            mask[y0:y1, x0:x1] = (whole[0, 0, : y1 - y0, : x1 - x0] > 0).numpy()
            yield mask

    def _moved(self, shape: _Shape, between: Sequence[float]) -> Tensor:
        """Return a shape's distances after its motion to each of ``between``, ``(len(between), h, w)``."""
        y0, x0, *_ = self.crop
        h, w = shape.distance.shape
        # From the crop's normalised coordinates, in which torch samples, to cells of the motion, and back.
        half_y, half_x = h * self.cell / 2, w * self.cell / 2
        to_pixels = np.array([[half_x, 0, x0 + half_x], [0, half_y, y0 + half_y], [0, 0, 1]])
        to_cells = np.diag((CELLS / self.size[1], CELLS / self.size[0], 1)) @ to_pixels
        motions = np.stack([shape.motion(moment) for moment in between])
        grid = sampling_grid(np.linalg.inv(to_cells) @ np.linalg.inv(motions) @ to_cells, h, w)
        distances = shape.distance.expand(len(between), 1, h, w)
        return F.grid_sample(distances, grid, padding_mode="border", align_corners=False)[:, 0]


def _crop(shapes: list[tuple[NDArray[np.bool_], FarAffines]], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the box ``(y0, x0, y1, x1)`` in pixels that moving shapes stay in, with a margin."""
    corners = [np.zeros((0, 2))]
    scale = np.array((size[1] / CELLS, size[0] / CELLS))
    for mask, path in shapes:
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        box = np.array([(x, y, 1.0) for x in (columns[0], columns[-1] + 1) for y in (rows[0], rows[-1] + 1)])
        box[:, :2] /= scale
        corners += [(box @ matrix.T)[:, :2] * scale for matrix in path]
    points = np.concatenate(corners)
    if not len(points):
        return 0, 0, 1, 1
    low, high = points.min(axis=0), points.max(axis=0)
    margin = 4 + MARGIN * float((high - low).max())
    x0, y0 = (int(v) for v in np.clip(low - margin, 0, (size[1] - 1, size[0] - 1)))
    x1, y1 = (int(v) for v in np.clip(np.ceil(high + margin), (x0 + 1, y0 + 1), (size[1], size[0])))
    return y0, x0, y1, x1


def _signed_distance(mask: NDArray[np.bool_], cell: int) -> Tensor:
    """Return distances to a mask's outline on cells of so many pixels, positive inside, ``(h, w)`` in cells.

    The picture's border is no outline: a shape that is cut off by it goes on.
    """
    covered = _means(mask, cell)
    inside = covered >= 0.5
    far = float(sum(covered.shape))
    within = ndimage.distance_transform_edt(inside) if not inside.all() else np.full(covered.shape, far)
    beyond = ndimage.distance_transform_edt(~inside) if inside.any() else np.full(covered.shape, far)
    distance = np.where(inside, within - 0.5, 0.5 - beyond)
    # Cells on the outline know better where it runs than distances between cells do.
    distance = np.where(np.abs(distance) <= 0.5, covered - 0.5, distance)
    return torch.from_numpy(distance.astype(np.float32))


def _means(mask: NDArray[np.bool_], cell: int) -> NDArray[np.float32]:
    """Return how much of every cell of so many pixels a mask covers; cells at the far borders may be smaller."""
    covered: NDArray[np.float32] = mask.astype(np.float32)
    for axis in (0, 1):
        starts = np.arange(0, mask.shape[axis], cell)
        counts = np.diff(np.append(starts, mask.shape[axis])).astype(np.float32)
        covered = (np.add.reduceat(covered, starts, axis=axis) / np.expand_dims(counts, 1 - axis)).astype(np.float32)
    return covered

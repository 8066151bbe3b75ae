"""The masks between two tracked frames: each shape is moved as its object moved, then one turns into the other.

Between frames A and B an object's motion is an affine one, fitted inside its mask to a coarse flow
(:mod:`napari_sam2s.tracking.motion`) and believed only as far as it brings the mask of A onto that of B. Of both masks
moved to a frame between, signed distances are blended (Raya & Udupa, 1990: shape-based interpolation).

What another object covers on one of the two frames is completed from the other frame first, and what covers it is cut out
again where it is on the frame between: the hole that an instrument leaves in an organ's mask moves with the instrument.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from napari_sam2s.tracking.motion import CELLS, Affine, fit_affine, flow, shrink

KNOT_FRAMES = 6  # motion is taken as even over at most so many frames
SHAPE_SIDE = 80  # most cells along a side that a shape is blended on; a mask of the network has 4 g along the whole frame
TRUST = 0.1  # of overlap with the other mask that a motion which was seen may lack for each piece of its way
MARGIN = 0.1  # around a shape, of its longer side
COVERED_CELLS = 1.0  # of the motion's picture, from which on an object counts as covered by another

Masks = Mapping[int, NDArray[np.bool_]]
FarAffines = list[Affine]  # from a shape's own frame to every knot, in the order of knots


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
    ways = {i: _Ways.of(first[i], last[i], flows) for i in first}
    above = _covering(ways)
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
class _Ways:
    """An object's coverage of the motion's cells on both frames, and how it moves from each to every knot."""

    coverages: tuple[NDArray[np.float32], NDArray[np.float32]]
    paths: tuple[FarAffines | None, FarAffines | None]  # None where the object is absent

    @classmethod
    def of(cls, first: NDArray[np.bool_], last: NDArray[np.bool_], flows: list[NDArray[np.float32]]) -> _Ways:
        a, b = _coverage(first), _coverage(last)
        forward = _path(a, b, [f[0] for f in flows]) if a.any() else None
        backward = _path(b, a, [f[1] for f in reversed(flows)]) if b.any() else None
        return cls((a, b), (forward, None if backward is None else backward[::-1]))

    def brought(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return what the last frame's shape covers on the first frame, and the first one's on the last."""
        return tuple(  # type: ignore[return-value]
            coverage if path is None else _warped(coverage, [path[end]])[0]
            for coverage, path, end in zip(self.coverages[::-1], self.paths[::-1], (0, -1), strict=True)
        )


def _covering(ways: Mapping[int, _Ways]) -> dict[int, list[int]]:
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
        ways: _Ways,
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
        grid = _grid(np.linalg.inv(to_cells) @ np.linalg.inv(motions) @ to_cells, h, w)
        distances = shape.distance.expand(len(between), 1, h, w)
        return F.grid_sample(distances, grid, padding_mode="border", align_corners=False)[:, 0]


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


def _path(own: NDArray[np.float32], other: NDArray[np.float32], flows: list[NDArray[np.float32]]) -> FarAffines:
    """Return the motion of a shape from its own frame to every knot up to the other's."""
    seen = [np.eye(3)]
    for motion in flows:
        seen.append(fit_affine(motion, _warped(own, seen[-1:])[0]) @ seen[-1])
    if not other.any():
        return seen
    paths = [[np.eye(3)] * len(seen), seen]
    # What the flow misses of the way from mask to mask may be a plain shift, evenly spread over time.
    arrived = _warped(own, [path[-1] for path in paths])
    paths += [_shifted(path, _centre(other) - _centre(c)) for path, c in zip(paths, arrived, strict=True)]
    arrived = np.concatenate((arrived, _warped(own, [path[-1] for path in paths[2:]])))
    # What was seen is believed unless the other mask speaks clearly against it: both ends of a way there and back are alike.
    trust = min(TRUST * len(flows), 4 * TRUST)
    scores = [_overlap(coverage, other) + extra for coverage, extra in zip(arrived, (0, trust, 0, trust), strict=True)]
    return paths[int(np.argmax(scores))]


def _shifted(path: FarAffines, shift: NDArray[np.float64]) -> FarAffines:
    moved = []
    for n, matrix in enumerate(path):
        by = np.eye(3)
        by[:2, 2] = shift * n / (len(path) - 1)
        moved.append(by @ matrix)
    return moved


def _warped(coverage: NDArray[np.float32], motions: list[Affine]) -> NDArray[np.float32]:
    """Return a coverage after each of several motions, ``(len(motions), 64, 64)``."""
    to_cells = np.array([[CELLS / 2, 0, CELLS / 2], [0, CELLS / 2, CELLS / 2], [0, 0, 1]])
    thetas = np.linalg.inv(to_cells) @ np.linalg.inv(np.stack(motions)) @ to_cells
    image = torch.from_numpy(coverage)[None, None].expand(len(motions), -1, -1, -1)
    return F.grid_sample(image, _grid(thetas, CELLS, CELLS), align_corners=False)[:, 0].numpy()


def _grid(thetas: NDArray[np.float64], h: int, w: int) -> Tensor:
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

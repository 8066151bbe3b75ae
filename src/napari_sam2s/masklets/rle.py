"""Masks as a bounding box and compressed run lengths of the crop: how they are kept on disk and in memory."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import ProjectError


@dataclass(frozen=True)
class Mask:
    """One object on one frame. An empty mask has height and width 0."""

    y0: int
    x0: int
    height: int
    width: int
    counts: bytes  # the crop's runs, see `_pack`
    area: int  # pixels


PART = 128  # masks at a time: what is worked out of their runs stays in a processor's cache
EMPTY = Mask(0, 0, 0, 0, b"", 0)
_DAMAGE = (zlib.error, struct.error, TypeError, ValueError, IndexError, OverflowError)
_FOLDED = {width: np.dtype(f"<u{width}") for width in (1, 2, 4, 8)}
REMEDY = "`napari-sam2s doctor PROJECT` lists what is; restore a copy, or paint that frame again"


def encode(mask: NDArray[np.bool_], offset: tuple[int, int] = (0, 0)) -> Mask:
    """Encode a boolean mask ``(Y, X)``; ``offset`` is the ``(y, x)`` of its first pixel in the frame."""
    rows = np.flatnonzero(mask.any(axis=1))
    if not len(rows):
        return EMPTY
    y0, y1 = int(rows[0]), int(rows[-1]) + 1
    columns = np.flatnonzero(mask[y0:y1].any(axis=0))
    x0, x1 = int(columns[0]), int(columns[-1]) + 1
    flat = np.ascontiguousarray(mask[y0:y1, x0:x1]).ravel()
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    bounds = np.concatenate(([0] if flat[0] else [], [0], edges, [flat.size])).astype(np.int64)
    lengths = np.diff(bounds)
    box = (y0 + int(offset[0]), x0 + int(offset[1]), y1 - y0, x1 - x0)
    return Mask(*box, _pack(lengths) + _box_sum(box), int(lengths[1::2].sum()))


def runs_of(mask: Mask) -> NDArray[np.int64]:
    """Return the lengths of alternating runs of a mask's crop, row by row, the first of background (perhaps 0)."""
    return _unpack(mask) if mask.counts else np.zeros(0, np.int64)


def of_runs(lengths: NDArray[np.int64], box: tuple[int, int, int, int]) -> Mask:
    """Return the mask whose box ``(y0, x0, height, width)`` is filled with runs as :func:`runs_of` gives them.

    Raises :class:`ValueError` if they do not fill the box, or are below 0.
    """
    y0, x0, height, width = box
    return encode(np.repeat(np.arange(len(lengths)) % 2 == 1, lengths).reshape(height, width), (y0, x0))


def _pack(lengths: NDArray[np.int64]) -> bytes:
    """Pack the lengths of alternating runs, row by row, the first of background.

    Each is written as its difference from the one two before it (pycocotools' idea: neighbouring rows are alike), folded to
    be positive, in as few bytes as the largest needs (the first byte says how many), deflated.
    """
    steps = lengths.copy()
    steps[2:] -= lengths[:-2]
    folded = np.where(steps >= 0, 2 * steps, -2 * steps - 1)
    width = next(w for w in _FOLDED if not len(folded) or int(folded.max()) < 256**w)
    return bytes([width]) + zlib.compress(folded.astype(f"<u{width}").tobytes(), 6)


def _box_sum(box: tuple[int, int, int, int]) -> bytes:
    """Return a checksum of a mask's box: the run lengths have one of their own (zlib's), and do not say where they lie."""
    return zlib.crc32(struct.pack("<4q", *box)).to_bytes(4, "little")


def _inflate(mask: Mask) -> NDArray[np.unsignedinteger]:
    """Return the runs of a mask as :func:`_pack` folds them."""
    width, pixels = mask.counts[0], mask.height * mask.width
    stream = zlib.decompressobj()
    packed = stream.decompress(mask.counts[1:], width * (pixels + 2))  # a run has a pixel at least: no more fits
    if width not in _FOLDED or not stream.eof:
        raise ValueError("its run lengths are cut short or too long")
    if stream.unused_data and stream.unused_data != _box_sum((mask.y0, mask.x0, mask.height, mask.width)):
        raise ValueError("its place is not the one it was written for")  # masks of earlier versions have no such sum
    return np.frombuffer(packed, _FOLDED[width])


def _unfold(folded: NDArray[np.unsignedinteger]) -> NDArray[np.int64]:
    """Turn 0, 1, 2, 3 ... to 0, -1, 1, -2 ..."""
    whole = folded.astype(np.int64)
    return (whole >> 1) ^ -(whole & 1)


def _unpack(mask: Mask) -> NDArray[np.int64]:
    """Return the lengths of the runs of a mask, which fill its box."""
    try:
        lengths = _unfold(_inflate(mask))
        inside = np.add.accumulate(lengths[1::2])  # ufuncs themselves: of short arrays NumPy's functions take longer to call
        lengths[0::2], lengths[1::2] = np.add.accumulate(lengths[0::2]), inside
        whole, area = np.add.reduce(lengths), np.add.reduce(inside)
        if (len(lengths) and np.minimum.reduce(lengths) < 0) or whole != mask.height * mask.width or area != mask.area:
            raise ValueError("its run lengths do not fill its box")
    except _DAMAGE as error:
        raise ProjectError(f"A mask of the project is damaged ({error}): {REMEDY}.") from error
    return lengths


def decode_crop(mask: Mask) -> NDArray[np.bool_]:
    """Return the crop of a mask, ``(height, width)`` bool. Raises :class:`ProjectError` if what was kept of it is damaged."""
    lengths = _unpack(mask) if mask.counts else np.zeros(0, np.int64)
    if not mask.counts and mask.area:
        raise ProjectError(f"A mask of the project is damaged (it has no run lengths): {REMEDY}.")
    values = np.arange(len(lengths)) % 2 == 1
    return np.repeat(values, lengths).reshape(mask.height, mask.width)


def centres_of(masks: Sequence[Mask]) -> NDArray[np.float64]:
    """Return the centroids ``(N, 2)``, y and x, of masks that are not empty, from their runs alone and all at once.

    Raises
    ------
    ProjectError
        If what was kept of one of them is damaged.
    """
    if not all(mask.area for mask in masks):
        raise ValueError("An empty mask has no centroid.")
    corners, areas = np.array([(m.y0, m.x0) for m in masks]).reshape(-1, 2), np.array([m.area for m in masks])
    return centroids(sums_of(masks), areas, corners)


def centroids(sums: NDArray[np.int64], areas: NDArray[np.int64], corners: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the centroids ``(N, 2)`` of masks of which :func:`sums_of`, the area and the ``(y0, x0)`` are known."""
    found: NDArray[np.float64] = sums / areas[:, None] + corners
    return found


def sums_of(masks: Sequence[Mask]) -> NDArray[np.int64]:
    """Return the sums of the pixels' y and x ``(N, 2)``, from the corner of each mask's box, from their runs alone.

    Raises
    ------
    ProjectError
        If what was kept of one of them is damaged.
    """
    sums = np.zeros((len(masks), 2), np.int64)
    seen = [n for n, mask in enumerate(masks) if mask.area or mask.counts]
    try:
        for start in range(0, len(seen), PART):
            part = seen[start : start + PART]
            sums[part] = _sums([masks[n] for n in part])
    except _DAMAGE:
        for n in seen:
            decode_crop(masks[n])  # says which it is, and why
        raise
    return sums


def _sums(masks: Sequence[Mask]) -> NDArray[np.int64]:
    """Return :func:`sums_of` what is whole and not empty."""
    folded = [_inflate(mask) for mask in masks]
    pairs = np.array([len(runs) // 2 for runs in folded])  # a gap, and a run inside; after the last of them perhaps a gap
    firsts = np.cumsum(pairs) - pairs
    lasts = firsts + pairs - 1

    def summed(values: NDArray[np.int64]) -> NDArray[np.int64]:
        sums = np.cumsum(values)
        return sums - np.repeat(sums[firsts] - values[firsts], pairs)  # anew for each mask

    gaps, inside = (summed(_unfold(np.concatenate([runs[k:stop:2] for runs in folded]))) for k, stop in ((0, -1), (1, None)))
    ends = summed(gaps + inside)
    starts = ends - inside
    height, width, area = np.array([(m.height, m.width, m.area) for m in masks]).T
    after = np.array([len(runs) % 2 for runs in folded]) * (gaps[lasts] + _unfold(np.array([runs[-1] for runs in folded])))
    filled = np.array_equal(ends[lasts] + after, height * width) and np.array_equal(np.add.reduceat(inside, firsts), area)
    if not filled or min(pairs.min(), gaps.min() + 1, inside.min() + 1, after.min() + 1) < 1:
        raise ValueError
    wide = np.repeat(width, pairs)
    row, last = starts // wide, (ends - 1) // wide
    rows = inside * row  # the sum of the rows of a run's pixels
    long = np.flatnonzero(last > row)  # over the end of a row: all that lies before its end, less all before its start
    before = [
        wide[long] * (r * (r - 1) // 2) + (e - r * wide[long]) * r
        for e, r in ((ends[long], last[long]), (starts[long], row[long]))
    ]
    rows[long] = before[0] - before[1]
    whole, places = np.add.reduceat(rows, firsts), np.add.reduceat(inside * (starts + ends - 1) // 2, firsts)
    return np.column_stack((whole, places - width * whole))


def decode(mask: Mask, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the mask in a frame of the given ``(Y, X)``, bool; see :func:`decode_crop`."""
    full = np.zeros(shape, dtype=bool)
    if mask.area:
        crop = crop_in(mask, shape)
        full[mask.y0 : mask.y0 + mask.height, mask.x0 : mask.x0 + mask.width] = crop
    return full


def crop_in(mask: Mask, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the crop of a mask that lies in a frame of the given ``(Y, X)``; see :func:`decode_crop`."""
    if not fits(mask, shape):
        raise ProjectError(f"A mask of the project is damaged (it reaches beyond the frame): {REMEDY}.")
    return decode_crop(mask)


def fits(mask: Mask, shape: tuple[int, int]) -> bool:
    """Whether the box of a mask lies in a frame of the given ``(Y, X)``."""
    box = (mask.y0, mask.x0, mask.height, mask.width)
    inside = all(isinstance(side, int) and side >= 0 for side in box)
    return inside and mask.y0 + mask.height <= shape[0] and mask.x0 + mask.width <= shape[1]

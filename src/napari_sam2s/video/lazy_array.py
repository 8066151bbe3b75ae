"""Arrays whose frames are read one at a time, when they are asked for."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import VideoError

MOST_FRAMES = 2**28  # two months at 50 frames a second


class LazyFrames:
    """An array over time; a subclass reads one frame.

    Parameters
    ----------
    shape, dtype
        Of the whole array, time first.
    """

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        self.shape = shape
        self.dtype = np.dtype(dtype)

    @property
    def ndim(self) -> int:
        """How many axes there are."""
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Return one frame for an integer, several for a slice; further indices apply to the frames."""
        first, *rest = key if isinstance(key, tuple) else (key,)
        if isinstance(first, int | np.integer):
            return self.read(int(first))[tuple(rest)]
        frames = [self.read(i)[tuple(rest)] for i in range(*first.indices(len(self)))]
        return np.stack(frames) if frames else np.empty((0, *self.shape[1:]), self.dtype)[(slice(None), *rest)]

    def read(self, i: int) -> NDArray[Any]:
        """Return frame ``i``."""
        raise NotImplementedError


class Chosen(LazyFrames):
    """An array of any order of axes, a frame at a time, without some axes of length 1.

    Parameters
    ----------
    array
        Anything that is indexed like an array.
    time
        Which of its axes is time.
    dropped
        Its axes that are left out.
    """

    def __init__(self, array: Any, time: int, dropped: frozenset[int] = frozenset()) -> None:
        rest = [n for k, n in enumerate(array.shape) if k != time and k not in dropped]
        super().__init__((array.shape[time], *rest), array.dtype)
        self._array, self._time, self._dropped = array, time, dropped

    def read(self, i: int) -> NDArray[Any]:
        """Return frame ``i``."""
        key = (i if k == self._time else 0 if k in self._dropped else slice(None) for k in range(len(self._array.shape)))
        return np.asarray(self._array[tuple(key)])


def _refuse_large(array: Any, shape: tuple[int, ...], time: int) -> None:
    """Make sure that what is read for one frame, with all of the pieces that it lies in, fits into memory."""
    import psutil

    chunks = getattr(array, "chunks", None)  # of zarr and HDF5; dask has other ones
    whole = isinstance(chunks, tuple) and len(chunks) == len(shape) and all(isinstance(n, int) and n > 0 for n in chunks)
    pieces: tuple[int, ...] = chunks if whole else (1,) * len(shape)  # type: ignore[assignment]
    sides = (piece if k == time else -(-n // piece) * piece for k, (n, piece) in enumerate(zip(shape, pieces, strict=True)))
    needed, memory = math.prod(sides) * np.dtype(array.dtype).itemsize, psutil.virtual_memory().total
    if needed > memory:
        of_chunks = f" (its chunks are {pieces})" if whole else ""
        raise VideoError(
            f"One frame takes {needed / 2**30:,.0f} GiB to read{of_chunks}, and the memory has {memory / 2**30:,.0f}: save it "
            "in smaller chunks, one frame each, or smaller."
        )
    if shape[time] > MOST_FRAMES:
        raise VideoError(f"The array declares {shape[time]:,} frames, so it is probably damaged: make it again.")


def as_video(array: Any, axes: str) -> tuple[Any, str]:
    """Return an array seen as ``TYX``, ``TCYX`` or ``TYXC``, and which of them; nothing is read.

    Axes of length 1 are left out, but for T. A z-stack of one moment is tracked like a video: Z becomes T where T has a length
    of 1 or is not there.

    Raises :class:`VideoError` if the axes do not fit the shape, it is a volume over time, or no video; or one frame does not
    fit into memory.
    """
    shape = tuple(int(n) for n in array.shape)
    if len(axes) != len(shape) or len(set(axes)) < len(axes) or not {"Y", "X"} <= set(axes):
        raise VideoError(f"axes={axes!r} does not fit an array of shape {shape}: use TYX, TCYX, TYXC or CTYX.")
    lengths = dict(zip(axes, shape, strict=True))
    time = "T" if lengths.get("T", 1) > 1 or lengths.get("Z", 1) == 1 else "Z"
    if time == "T" and lengths.get("Z", 1) > 1:
        raise VideoError(f"A volume over time {shape} is not a video: take one plane, or a projection, first.")
    if time not in axes:
        raise VideoError(f"A single picture {shape} is not a video: a video has several frames.")
    kept = [a for a in axes if a in (time, "Y", "X") or lengths[a] > 1]
    order = "".join("T" if a == time else a for a in kept)
    order = "T" + order.replace("T", "")
    if order not in ("TYX", "TCYX", "TYXC"):
        raise VideoError(f"An array of axes {axes} and shape {shape} is not a video: use TYX, TCYX, TYXC or CTYX.")
    _refuse_large(array, shape, axes.index(time))
    if order == axes:
        return array, axes
    dropped = frozenset(k for k, a in enumerate(axes) if a not in kept)
    return Chosen(array, axes.index(time), dropped), order

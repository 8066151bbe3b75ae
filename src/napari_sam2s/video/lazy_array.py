"""Arrays whose frames are read one at a time, when they are asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


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


class OnePlane(LazyFrames):
    """An array without its axis of length 1."""

    def __init__(self, array: Any, axis: int) -> None:
        super().__init__(tuple(n for i, n in enumerate(array.shape) if i != axis), array.dtype)
        self._array, self._axis = array, axis

    def read(self, i: int) -> NDArray[Any]:
        """Return frame ``i``."""
        return np.asarray(np.squeeze(self._array[i], axis=self._axis - 1))


class PlanesFirst(LazyFrames):
    """A ``(C, T, Y, X)`` array seen as ``(T, C, Y, X)``."""

    def __init__(self, array: Any) -> None:
        super().__init__((array.shape[1], array.shape[0], *array.shape[2:]), array.dtype)
        self._array = array

    def read(self, i: int) -> NDArray[Any]:
        """Return frame ``i``."""
        return np.asarray(self._array[:, i])

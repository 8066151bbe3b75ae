"""A project as a label array: what a napari Labels layer takes as its data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import ProjectError

if TYPE_CHECKING:
    from napari_sam2s.masklets.project import Project

CACHED_FRAMES = 16
LARGEST_COPY = 8 * 2**30  # bytes


class LabelView:
    """A lazy ``(T, Y, X)`` integer array over the masks of a project.

    Reading decodes the frames that are asked for; of overlapping masks the object with the higher order is shown.
    Writing changes the masks of the frames written to, marks them painted, and is one undo step each. Painting over an
    object takes those pixels from it, but only pixels that were seen change: what lies hidden under another object stays.
    """

    ndim = 3

    def __init__(self, project: Project) -> None:
        self._project = project
        self._cache: dict[int, NDArray[Any]] = {}
        self._stamp = -1

    @property
    def project(self) -> Project:
        """Whose masks they are."""
        return self._project

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(T, Y, X)``."""
        return self._project.shape

    @property
    def size(self) -> int:
        """Number of elements."""
        t, y, x = self.shape
        return t * y * x

    @property
    def dtype(self) -> np.dtype[Any]:
        """The smallest unsigned integers that hold every id, with room for some more."""
        return np.min_scalar_type(max(255, self._project.largest_id + 1))

    @property
    def nbytes(self) -> int:
        """Bytes that the whole array would take."""
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def frame(self, index: int) -> NDArray[Any]:
        """Return the label image of a frame, ``(Y, X)``; read-only."""
        if self._stamp != self._project.mask_stamp:
            self._cache.clear()
            self._stamp = self._project.mask_stamp
        image = self._cache.get(index)
        if image is None:
            image = self._project.label_image(index, self.dtype)
            image.flags.writeable = False
            self._cache[index] = image
            while len(self._cache) > CACHED_FRAMES:
                self._cache.pop(next(iter(self._cache)))
        return image

    def __getitem__(self, key: Any) -> Any:
        first, *rest = _split(key)
        if isinstance(first, int | np.integer):
            return self.frame(_frame_index(int(first), len(self)))[tuple(rest)].copy()
        if isinstance(first, slice):
            chosen = list(range(len(self))[first])
            if not chosen:
                return np.zeros((0, *self.shape[1:]), dtype=self.dtype)[(slice(None), *rest)]
            return np.stack([self.frame(t)[tuple(rest)] for t in chosen])
        frames = np.asarray(first)
        if not rest:
            return np.stack([self.frame(_frame_index(int(t), len(self))) for t in frames.ravel()])
        out = np.empty(np.broadcast_shapes(frames.shape, *(np.shape(r) for r in rest)), dtype=self.dtype)
        parts = np.broadcast_arrays(frames, *rest)
        for t in np.unique(parts[0]):
            here = parts[0] == t
            out[here] = self.frame(int(t))[tuple(p[here] for p in parts[1:])]
        return out

    def __setitem__(self, key: Any, value: Any) -> None:
        first, *rest = _split(key)
        if isinstance(first, int | np.integer):
            self._write(_frame_index(int(first), len(self)), tuple(rest), value)
        elif isinstance(first, slice):
            chosen = range(len(self))[first]
            values = np.asarray(value)
            per_frame = values.ndim == 3 or (values.ndim and values.shape[0] == len(chosen) and len(chosen) > 1)
            for n, t in enumerate(chosen):
                # A stack of one frame goes with any number of frames, as numpy would broadcast it.
                self._write(t, tuple(rest), values[n if values.shape[0] > 1 else 0] if per_frame else values)
        else:
            parts = np.broadcast_arrays(np.asarray(first), *rest)
            values = np.broadcast_to(value, parts[0].shape)
            for t in np.unique(parts[0]):
                here = parts[0] == t
                self._write(int(t), tuple(p[here] for p in parts[1:]), values[here])

    def _write(self, t: int, where: tuple[Any, ...], value: Any) -> None:
        before = self.frame(t)
        after = before.copy()
        after[where] = value
        self._project.paint(t, before, after)

    def __deepcopy__(self, memo: dict[int, Any]) -> NDArray[Any]:
        """Return the masks as they are now, in an array of their own: what a duplicate of their layer holds.

        Raises
        ------
        ProjectError
            If that takes more than 8 GB.
        """
        if self.nbytes > LARGEST_COPY:
            raise ProjectError(
                f"A copy of these masks would take {self.nbytes / 2**30:.0f} GB of memory: export them as OME-Zarr instead."
            )
        return self[:]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:], dtype=dtype)


def _split(key: Any) -> tuple[Any, ...]:
    parts = key if isinstance(key, tuple) else (key,)
    if any(part is Ellipsis for part in parts):
        at = next(n for n, part in enumerate(parts) if part is Ellipsis)
        parts = (*parts[:at], *(slice(None),) * (3 - len(parts) + 1), *parts[at + 1 :])
    return parts or (slice(None),)


def _frame_index(t: int, frames: int) -> int:
    if not -frames <= t < frames:
        raise IndexError(f"frame {t} is not in a video of {frames} frames")
    return t % frames

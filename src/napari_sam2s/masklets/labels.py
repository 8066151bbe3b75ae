"""A project as an array of one image of ids a frame: what a napari Labels layer takes as its data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import ProjectError
from napari_sam2s.masklets.mask_queries import MaskQueries
from napari_sam2s.masklets.mask_writer import MaskWriter, Row
from napari_sam2s.masklets.objects import Objects
from napari_sam2s.masklets.overlaps import label_image
from napari_sam2s.masklets.store import Store
from napari_sam2s.masklets.validation import array_of
from napari_sam2s.wording import counted

CACHED_FRAMES = 16
LARGEST_COPY = 8 * 2**30  # bytes


class LabelView:
    """A lazy ``(T, Y, X)`` integer array over the masks of a project.

    Reading decodes the frames that are asked for; hidden objects are left out, and :func:`label_image` says which object
    covers which. Writing changes the masks of the frames written to, marks them painted, and is one undo step each. Painting
    over an object takes those pixels from it, but only pixels that were seen change: what lies hidden under another object
    stays.
    """

    ndim = 3

    def __init__(
        self,
        store: Store,
        objects: Objects,
        masks: MaskQueries,
        writer: MaskWriter,
        before_write: Callable[[int], object] | None = None,
        refused: Callable[[ProjectError], bool] | None = None,
    ) -> None:
        self._store, self._objects, self._masks, self._writer = store, objects, masks, writer
        self._before_write, self._refused = before_write, refused
        self._cache: dict[int, NDArray[Any]] = {}
        self._stamp = -1
        self._front: int | None = None

    def watched(
        self, before_write: Callable[[int], object], refused: Callable[[ProjectError], bool] | None = None
    ) -> LabelView:
        """Return a view of the same masks that calls ``before_write`` with a frame before it is written to.

        What cannot be painted is given to ``refused``, which says whether it has told the user; otherwise it is raised.
        """
        return LabelView(self._store, self._objects, self._masks, self._writer, before_write, refused)

    @property
    def front(self) -> int | None:
        """The object that this view alone draws over all others, to look at what they hide; ``None``: the table's order."""
        return self._front

    @front.setter
    def front(self, object_id: int | None) -> None:
        if object_id != self._front:
            self._front = object_id
            self._cache.clear()

    @property
    def path(self) -> Path:
        """The project's file."""
        return self._store.path

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(T, Y, X)``."""
        return self._store.shape

    @property
    def size(self) -> int:
        """Number of elements."""
        t, y, x = self.shape
        return t * y * x

    @property
    def dtype(self) -> np.dtype[Any]:
        """The smallest unsigned integers that hold every id, with room for some more."""
        return np.min_scalar_type(max(255, self._objects.largest_id + 1))

    @property
    def nbytes(self) -> int:
        """Bytes that the whole array would take."""
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def frame(self, index: int) -> NDArray[Any]:
        """Return the label image of a frame, ``(Y, X)``; read-only."""
        if self._stamp != self._store.mask_stamp:
            self._cache.clear()
            self._stamp = self._store.mask_stamp
        image = self._cache.get(index)
        if image is None:
            image = self._drawn(index)
            image.flags.writeable = False
            self._cache[index] = image
            while len(self._cache) > CACHED_FRAMES:
                self._cache.pop(next(iter(self._cache)))
        return image

    def _drawn(self, index: int) -> NDArray[Any]:
        shown = [o for o in self._objects if o.visible]
        highest = max((o.order for o in shown), default=0)
        shown = [replace(o, order=highest + 1) if o.id == self._front else o for o in shown]
        ids = {o.id for o in shown}
        masks = {e.object_id: e.mask for e in self._masks.entries(index) if e.mask.area and e.object_id in ids}
        return label_image(masks, shown, self.shape[1:], self.dtype)

    def __getitem__(self, key: Any) -> Any:
        first, *rest = _split(key, self.shape)
        if _is_one(first):
            return self.frame(_frame_index(int(first), len(self)))[tuple(rest)].copy()
        if isinstance(first, slice):
            chosen = list(range(len(self))[first])
            if not chosen:
                return np.zeros((0, *self.shape[1:]), dtype=self.dtype)[(slice(None), *rest)]
            return np.stack([self.frame(t)[tuple(rest)] for t in chosen])
        frames = _frames_of(first, len(self))
        if not rest:
            return np.stack([self.frame(int(t)) for t in frames.ravel()])
        out = np.empty(np.broadcast_shapes(frames.shape, *(np.shape(r) for r in rest)), dtype=self.dtype)
        parts = np.broadcast_arrays(frames, *rest)
        for t in np.unique(parts[0]):
            here = parts[0] == t
            out[here] = self.frame(int(t))[tuple(p[here] for p in parts[1:])]
        return out

    def __setitem__(self, key: Any, value: Any) -> None:
        first, *rest = _split(key, self.shape)
        if _is_one(first):
            self._write(_frame_index(int(first), len(self)), tuple(rest), value)
        elif isinstance(first, slice):
            chosen = range(len(self))[first]
            values = np.asarray(value)
            per_frame = values.ndim == 3 or (values.ndim and values.shape[0] == len(chosen) and len(chosen) > 1)
            for n, t in enumerate(chosen):
                # A stack of one frame goes with any number of frames, as numpy would broadcast it.
                self._write(t, tuple(rest), values[n if values.shape[0] > 1 else 0] if per_frame else values)
        else:
            parts = np.broadcast_arrays(_frames_of(first, len(self)), *rest)
            values = np.broadcast_to(value, parts[0].shape)
            for t in np.unique(parts[0]):
                here = parts[0] == t
                self._write(int(t), tuple(p[here] for p in parts[1:]), values[here])

    def _write(self, t: int, where: tuple[Any, ...], value: Any) -> None:
        if self._before_write is not None:
            self._before_write(t)
        before = self.frame(t)
        after = before.copy()
        after[where] = _ids(value, self._objects.largest_id)
        try:
            self.paint(t, before, after)
        except ProjectError as error:
            if self._refused is None or not self._refused(error):
                raise

    def paint(self, frame: int, before: NDArray[Any], after: NDArray[Any]) -> None:
        """Take over what a person changed in the label image of a frame, as one step of undo.

        Raises :class:`ProjectError` if a label is not the id of an object, or the object is locked.
        """
        changed = before != after
        if not changed.any():
            return
        ids = sorted({int(i) for i in np.unique(np.concatenate((before[changed], after[changed])))} - {0})
        objects = {o.id: o for o in self._objects}
        for i in ids:
            if i not in objects:
                raise ProjectError(f"There is no object {i} to paint: add an object first.")
            if objects[i].locked:
                raise ProjectError(f"{objects[i].name} is locked: unlock it to paint.")
        known = self._masks(frame)
        rows: list[Row] = []
        for i in ids:
            mask = known.get(i, np.zeros(self.shape[1:], dtype=bool)).copy()
            mask[changed & (before == i)] = False
            mask[changed & (after == i)] = True
            rows.append((frame, i, mask, None))
        with self._store.step("paint"):
            self._writer.write(rows, origin="painted")

    def __deepcopy__(self, memo: dict[int, Any]) -> NDArray[Any]:
        """Return the masks as they are now, in an array of their own: what a duplicate of their layer holds.

        Raises :class:`ProjectError` if that takes more than 8 GB.
        """
        if self.nbytes > LARGEST_COPY:
            raise ProjectError(
                f"A copy of these masks would take {self.nbytes / 2**30:.0f} GB of memory: export them as OME-Zarr instead."
            )
        return self[:]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:], dtype=dtype)


def _ids(value: Any, largest: int) -> NDArray[Any]:
    """Return labels that are painted, which are ids of objects up to the largest, or 0.

    Raises :class:`ProjectError` if they are no whole numbers from 0 on, or there is no such object: NumPy would make smaller
    numbers of larger ones.
    """
    given = array_of(value, ProjectError, "Labels are ids of objects, or 0")
    whole = given.dtype.kind in "uib" or (given.dtype.kind == "f" and bool((given == np.floor(given)).all()))
    if not whole or (given.size and given.min() < 0):
        raise ProjectError("Labels are ids of objects, or 0 for none: whole numbers from 0 on.")
    if given.size and given.max() > largest:
        raise ProjectError(f"There is no object {int(given.max())} to paint: add an object first.")
    return given


def _split(key: Any, shape: tuple[int, ...]) -> tuple[Any, ...]:
    if isinstance(key, np.ndarray) and key.dtype == np.bool_ and key.shape == shape:  # one truth value a pixel
        key = np.nonzero(key)
    parts = key if isinstance(key, tuple) else (key,)
    if any(part is Ellipsis for part in parts):
        at = next(n for n, part in enumerate(parts) if part is Ellipsis)
        parts = (*parts[:at], *(slice(None),) * (3 - len(parts) + 1), *parts[at + 1 :])
    return parts or (slice(None),)


def _is_one(first: Any) -> bool:
    return isinstance(first, int | np.integer) and not isinstance(first, bool)


def _frames_of(first: Any, frames: int) -> NDArray[np.intp]:
    """Return the frames that an array of numbers, or of one truth value a frame, names; NumPy's rules, and its error."""
    given = np.asarray(first)
    if given.dtype.kind == "b" and given.shape == (frames,):
        return np.flatnonzero(given)
    if given.dtype.kind not in "ui" and given.size:
        raise IndexError(f"frames are chosen by whole numbers, or by one truth value for each of {counted(frames, 'frame')}")
    if given.size and not (-frames <= given.min() and given.max() < frames):
        raise IndexError(f"frames {given.min()} to {given.max()} are not in a video of {counted(frames, 'frame')}")
    return np.asarray(given, np.intp) % frames


def _frame_index(t: int, frames: int) -> int:
    if not -frames <= t < frames:
        raise IndexError(f"frame {t} is not in a video of {counted(frames, 'frame')}")
    return t % frames

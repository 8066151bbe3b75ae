"""Clips with exact ground truth: what every generator here gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.masklets.types import Object
from napari_sam2s.wording import counted


class Clip(ABC):
    """A video that knows where its objects are.

    It can be given to a tracker as its video (``shape``, ``clip[i]``) and to the evaluation as ground truth (``objects``,
    ``masks(i)``). Frames may be asked for in any order; the same seed gives the same pixels.
    """

    name: str
    fps: float
    objects: tuple[Object, ...]
    shape: tuple[int, int, int, int]  # (T, Y, X, 3)
    dtype = np.dtype(np.uint8)
    ndim = 4

    @abstractmethod
    def frame(self, index: int) -> NDArray[np.uint8]:
        """Return a frame ``(Y, X, 3)`` RGB."""

    @abstractmethod
    def masks(self, index: int) -> dict[int, NDArray[np.bool_]]:
        """Return ``{object id: (Y, X) bool}``: the visible pixels of every object, empty where it is not to be seen."""

    def unknown(self, index: int) -> frozenset[int]:
        """Return the objects that nobody looked for on a frame, whose masks say nothing there: none, where truth is exact."""
        return frozenset()

    def ignored(self, index: int) -> NDArray[np.bool_] | None:
        """Return the pixels ``(Y, X)`` of a frame that nobody labelled: none, where truth is exact."""
        return None

    def same_video(self, other: Clip) -> bool:
        """Return whether another clip may show the same objects, because it is of the same video."""
        return other is self

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"frame {index} is not in a clip of {counted(len(self), 'frame')}")
        return self.frame(index % len(self))

    @property
    def frames(self) -> range:
        """The annotated frames: all of them."""
        return range(len(self))

    @property
    def timestamps(self) -> NDArray[np.float64]:
        """Seconds of every frame."""
        return np.arange(len(self)) / self.fps

    def presence(self) -> NDArray[np.bool_] | None:
        """Return which objects are roughly to be seen on which frames, ``(T, N)``; ``None`` where that takes drawing them."""
        return None

    def visible(self, object_id: int) -> NDArray[np.bool_]:
        """Return on which frames an object is to be seen, ``(T,)``."""
        return np.array([self.masks(t)[object_id].any() for t in range(len(self))])


class DrawnClip(Clip):
    """A clip whose frames are drawn as they are asked for; the latest one is kept."""

    _drawn: tuple[int, NDArray[np.uint8], dict[int, NDArray[np.bool_]]] | None = None

    @abstractmethod
    def render(self, index: int) -> tuple[NDArray[np.uint8], dict[int, NDArray[np.bool_]]]:
        """Draw a frame ``(Y, X, 3)``; return it and the masks on it."""

    def _latest(self, index: int) -> tuple[int, NDArray[np.uint8], dict[int, NDArray[np.bool_]]]:
        if self._drawn is None or self._drawn[0] != index:
            self._drawn = index, *self.render(index)
        return self._drawn

    def frame(self, index: int) -> NDArray[np.uint8]:
        """Return a frame ``(Y, X, 3)``."""
        return self._latest(index)[1]

    def masks(self, index: int) -> dict[int, NDArray[np.bool_]]:
        """Return ``{object id: (Y, X) bool}``: the visible pixels, empty where an object is not to be seen."""
        return self._latest(index)[2]


@dataclass
class ArrayClip(Clip):
    """A clip that is in memory."""

    name: str
    images: NDArray[np.uint8]  # (T, Y, X, 3)
    stack: NDArray[np.bool_]  # (T, N, Y, X), in the order of ``objects``
    objects: tuple[Object, ...]
    fps: float = 25.0

    @property
    def shape(self) -> tuple[int, int, int, int]:  # type: ignore[override]
        """``(T, Y, X, 3)``."""
        return self.images.shape

    def frame(self, index: int) -> NDArray[np.uint8]:
        """Return a frame ``(Y, X, 3)``."""
        return self.images[index]

    def presence(self) -> NDArray[np.bool_]:
        """Return which objects are to be seen, ``(T, N)``."""
        return np.asarray(self.stack.any(axis=(2, 3)))

    def masks(self, index: int) -> dict[int, NDArray[np.bool_]]:
        """Return ``{object id: (Y, X) bool}``."""
        return {o.id: self.stack[index, n] for n, o in enumerate(self.objects)}

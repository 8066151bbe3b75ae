"""What everything that holds masks over time looks like: projects, folders on disk, synthetic clips, arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import FormatError
from napari_sam2s.masklets.label_masks import LabelMasks
from napari_sam2s.masklets.types import Object


class Masklets(Protocol):
    """Masks of several objects over time, read a frame at a time."""

    @property
    def objects(self) -> Sequence[Object]:
        """The objects, in no particular order."""

    @property
    def frames(self) -> Iterable[int]:
        """The annotated frames, ascending. A frame that is not among them is unknown, not empty."""

    def masks(self, frame: int) -> Mapping[int, NDArray[np.bool_]]:
        """Return ``{object id: (Y, X) bool}`` of an annotated frame; an object that is left out is absent there."""


@dataclass
class LabelMasklets:
    """Masklets of a label array ``(T, Y, X)``, of which only single frames are read; 0 is background.

    Raises
    ------
    FormatError
        If they are no integers of that shape, or, when a frame is read, below 0.
    """

    labels: Any

    def __post_init__(self) -> None:
        if len(self.labels.shape) != 3 or np.dtype(self.labels.dtype).kind not in "iub":
            raise FormatError(f"Labels are integers of shape (T, Y, X); got {self.labels.dtype} {tuple(self.labels.shape)}.")

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(T, Y, X)``."""
        t, y, x = (int(n) for n in self.labels.shape)
        return t, y, x

    @property
    def frames(self) -> range:
        """All frames."""
        return range(self.labels.shape[0])

    @property
    def objects(self) -> tuple[Object, ...]:
        """An object for each label; reads the whole array."""
        ids = {i for t in self.frames for i in self._ids(np.asarray(self.labels[t]))}
        return tuple(Object(i, f"object {i}") for i in sorted(ids))

    def masks(self, frame: int) -> LabelMasks:
        """Return the masks of a frame."""
        labels = np.asarray(self.labels[frame])
        self._ids(labels)
        return LabelMasks(labels)

    @staticmethod
    def _ids(labels: NDArray[Any]) -> list[int]:
        ids = [int(i) for i in np.unique(labels) if i]
        if ids and ids[0] < 0:
            raise FormatError(f"There are labels below 0 ({ids[0]}): objects are numbered from 1, and 0 is the background.")
        return ids


@dataclass
class Renumbered:
    """Masklets under other frame numbers, ``{frame there: frame here}``: places in a video for the numbers of its files, say.

    The new numbers ascend with the old ones.
    """

    masklets: Any  # Masklets, with ``ignored`` or without
    numbers: Mapping[int, int]

    @property
    def objects(self) -> tuple[Object, ...]:
        """The objects."""
        return tuple(self.masklets.objects)

    @property
    def frames(self) -> list[int]:
        """The annotated frames by their new numbers."""
        return [self.numbers[frame] for frame in self.masklets.frames]

    @cached_property
    def _there(self) -> Mapping[int, int]:
        return {here: there for there, here in self.numbers.items()}

    def masks(self, frame: int) -> Mapping[int, NDArray[np.bool_]]:
        """Return ``{object id: (Y, X) bool}``."""
        masks: Mapping[int, NDArray[np.bool_]] = self.masklets.masks(self._there[frame])
        return masks

    def ignored(self, frame: int) -> NDArray[np.bool_] | None:
        """Return the pixels ``(Y, X)`` that count nowhere; ``None`` if there are none, or none can be."""
        ignored = getattr(self.masklets, "ignored", None)
        pixels: NDArray[np.bool_] | None = None if ignored is None else ignored(self._there[frame])
        return pixels

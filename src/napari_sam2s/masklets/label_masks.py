"""The masks of one label image: each whole when it is asked for, or all of them encoded at once, box by box.

A picture of 2048 x 2048 with 5,000 nuclei is 20 GB as one mask a nucleus.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.masklets import rle


class LabelMasks(Mapping[int, NDArray[np.bool_]]):
    """``{object id: (Y, X) bool}`` of labels ``(Y, X)``; 0 is background."""

    def __init__(self, labels: NDArray[Any]) -> None:
        self.labels = labels
        found = np.unique(labels)
        self._ids = found[found != 0]
        self._known = {int(i): None for i in self._ids}

    def __getitem__(self, object_id: int) -> NDArray[np.bool_]:
        if object_id not in self._known:
            raise KeyError(object_id)
        mask: NDArray[np.bool_] = self.labels == object_id
        return mask

    def __iter__(self) -> Iterator[int]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    def encoded(self) -> dict[int, rle.Mask]:
        """Return all masks as a project keeps them; the time goes with their boxes."""
        from scipy.ndimage import find_objects

        ranks = np.searchsorted(self._ids, self.labels).astype(np.int32) + 1
        ranks[self.labels == 0] = 0
        masks = {}
        for rank, (i, box) in enumerate(zip(self._known, find_objects(ranks), strict=True), 1):
            masks[i] = rle.encode(ranks[box] == rank, (box[0].start, box[1].start))
        return masks

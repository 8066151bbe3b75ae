"""The values of the source itself under a mask: those of 16 bits, say, and not the 8-bit picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import VideoError
from napari_sam2s.masklets import rle


class RawFrames:
    """Frames of a video, ``(Y, X, C)``, with the values of its source where that is an array, else as RGB."""

    def __init__(self, video: Any) -> None:
        self._video = video
        raw: Any = getattr(video, "raw", None)
        mapping: Any = getattr(video, "mapping", None)
        self._raw = None if raw is None or mapping is None else raw
        self._axes = "TYXC" if self._raw is None else str(mapping.axes)
        self.channels = _channels(video.shape if self._raw is None else self._raw.shape, self._axes)

    def __getitem__(self, frame: int) -> NDArray[Any]:
        """Return a frame; of a memory-mapped source nothing is read before its pixels are looked at."""
        if self._raw is None:
            return np.asarray(self._video[frame]).reshape(*self._video.shape[1:3], self.channels)
        try:
            values = np.asarray(self._raw[frame])
        except (OSError, RuntimeError, ValueError) as error:  # of zarr's codecs, of TIFF pages, of a disk that went
            raise VideoError(f"Frame {frame} cannot be read: {error}.") from error
        if "C" not in self._axes:
            return values[..., None]
        return np.moveaxis(values, 0, -1) if self._axes == "TCYX" else values


def _channels(shape: tuple[int, ...], axes: str) -> int:
    if "C" not in axes or len(shape) == 3:
        return 1
    return int(shape[axes.index("C")])


def intensities(values: NDArray[Any], mask: rle.Mask, crop: NDArray[np.bool_]) -> list[float]:
    """Return mean and sum of each channel under a mask, ``[mean 0, sum 0, mean 1, ...]``."""
    under = values[mask.y0 : mask.y0 + mask.height, mask.x0 : mask.x0 + mask.width][crop].astype(np.float64)  # (N, C)
    sums = under.sum(axis=0)
    return [float(x) for total in sums for x in (total / mask.area, total)]

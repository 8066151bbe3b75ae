"""Arrays as video: what is shown of grey, 16-bit and multichannel data, stated and computed once."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import VideoError
from napari_sam2s.masklets.validation import whole_number
from napari_sam2s.video.frame_index import MOVED, Stamp
from napari_sam2s.video.lazy_array import as_video
from napari_sam2s.video.tiff import MOST_CHANNELS, open_tiff
from napari_sam2s.wording import counted

SAMPLE_FRAMES = 16
PERCENTILES = (0.1, 99.9)


@dataclass(frozen=True)
class Mapping:
    """How raw values become 8-bit RGB.

    ``channels`` are the raw channels shown as red, green and blue (one of them alone is shown grey); ``limits`` the raw
    values that become 0 and 255 in each. Values between are scaled linearly, the same on every frame.
    """

    axes: str  # of the raw array: "TYX", "TCYX" or "TYXC"
    channels: tuple[int, ...]
    limits: tuple[tuple[float, float], ...]

    def __str__(self) -> str:
        parts = [f"channel {c}: {low:g} to {high:g}" for c, (low, high) in zip(self.channels, self.limits, strict=True)]
        return f"{self.axes}, {'; '.join(parts)} shown as 0 to 255"


def guess_axes(shape: Sequence[int]) -> str:
    """Return the axes that an array of this shape must have.

    Raises :class:`VideoError` if it may be several things, or none.
    """
    if len(shape) == 3 and shape[2] in (3, 4) and min(shape[:2]) > MOST_CHANNELS:
        raise VideoError(
            f"An array of shape {tuple(shape)} looks like one colour picture. Give `array[None]` to open it as a video of one "
            "frame, or axes='TYX' if it is a very narrow grey video."
        )
    if len(shape) == 3:
        return "TYX"
    if len(shape) == 4 and shape[3] in (3, 4):
        return "TYXC"
    if (len(shape) > 3 and shape[-1] == 1) or (len(shape) > 4 and 1 in shape[:-2]):
        return _without_ones(shape)
    if len(shape) == 4 and shape[1] <= MOST_CHANNELS:
        if shape[0] <= MOST_CHANNELS and (shape[1] not in (1, 3) or (shape[1] == 3 and shape[0] in (2, 3))):
            raise VideoError(
                f"An array of shape {tuple(shape)} may be {counted(shape[0], 'frame')} of "
                f"{counted(shape[1], 'channel')}, or the"
                " reverse. Give axes='TCYX' or axes='CTYX'."
            )
        return "TCYX"
    if len(shape) == 4 and shape[0] == 1:
        return _without_ones(shape)
    raise VideoError(
        f"An array of shape {tuple(shape)} is not a video we know: give (T, Y, X), (T, Y, X, 3), or (T, C, Y, X) with "
        f"axes='TCYX'. If it is a volume over time, first take one plane or a projection."
    )


def _without_ones(shape: Sequence[int]) -> str:
    """Return axes by those that are longer than 1; the others are T where that is missing, and then any."""
    ones = [k for k, n in enumerate(shape) if n == 1 and k != len(shape) - 2]
    kept = [n for k, n in enumerate(shape) if k not in ones]
    picture = len(kept) == 2 or (len(kept) == 3 and kept[2] in (3, 4) and min(kept[:2]) > MOST_CHANNELS)
    rest = "YXC"[: len(kept)] if picture else guess_axes(kept)
    others, named = iter([axis for axis in "TCZABDEFGHIJ" if axis not in rest]), iter(rest)
    return "".join(next(others, "") if k in ones else next(named) for k in range(len(shape)))


def named_axes(array: Any) -> str | None:
    """Return the axes that an array names itself, as one of xarray does ("time", "y", "x"), else ``None``."""
    names = getattr(array, "dims", None)
    if not isinstance(names, tuple) or not all(isinstance(name, str) for name in names):
        return None
    axes = "".join(name[:1].upper() for name in names)
    return axes if {"Y", "X"} <= set(axes) <= set("TZCYX") and len(set(axes)) == len(axes) == len(array.shape) else None


def _check_array(raw: Any) -> None:
    """Make sure that an array says its shape and type, that these can be shown, and that no pixel is masked out."""
    try:
        dtype = np.dtype(raw.dtype)
        whole = all(int(n) == n for n in raw.shape)
    except (TypeError, ValueError, OverflowError):
        shape = getattr(raw, "shape", "")
        raise VideoError(
            f"The array does not say its shape ({shape}) or NumPy type: call compute_chunk_sizes() of a dask array, "
            "or give a NumPy array."
        ) from None
    if dtype.kind not in "uifb" or not whole:
        raise VideoError(f"An array of {dtype} cannot be shown: use integers or real numbers.")
    if np.ma.is_masked(raw):
        raise VideoError("Some pixels of the array are masked. Fill them first, as in `array.filled(0)`.")


def _chosen(channels: Any, count: int) -> tuple[int, ...]:
    """Return the channels that are asked for."""
    bad = VideoError(f"channels={channels!r} does not fit: choose one to three of 0 to {count - 1}, as in [0].")
    if isinstance(channels, str) or np.ndim(channels) != 1:
        raise bad
    shown = tuple(whole_number(c, bad) for c in channels)
    if not 1 <= len(shown) <= 3 or not all(0 <= c < count for c in shown):
        raise bad
    return shown


class ArrayFrames:
    """Frames of a numpy, dask, zarr or memory-mapped array, converted one at a time.

    Parameters
    ----------
    raw
        The array; only ``shape``, ``dtype`` and indexing by frame are used.
    axes
        ``"TYX"``, ``"TCYX"``, ``"TYXC"``, ``"CTYX"``, and with Z where it, T or both have a length of 1; guessed from the
        shape by default.
    channels
        Up to three channels to show; by default the first three.
    limits
        ``(low, high)`` raw values for all shown channels; by default the 0.1 and 99.9 percentiles of 16 frames spread over
        the video. 8-bit data is shown as it is.
    file
        The TIFF that ``raw`` is a view of: it is watched, and pickled by its path instead of its content.
    """

    def __init__(
        self,
        raw: Any,
        *,
        axes: str | None = None,
        channels: Sequence[int] | None = None,
        limits: tuple[float, float] | None = None,
        file: Path | None = None,
    ) -> None:
        self.file = file
        self.stamp = None if file is None else Stamp.of(file)
        self._process = os.getpid()
        _check_array(raw)
        if axes is not None and not isinstance(axes, str):
            raise VideoError(f"axes={axes!r} are not axes: give text such as 'TYX' or 'TCYX'.")
        axes = axes.upper() if axes else guess_axes(raw.shape)
        self._stored = axes
        raw, axes = as_video(raw, axes)
        self.raw = raw
        if 0 in raw.shape:
            raise VideoError(f"The array of shape {tuple(raw.shape)} is empty.")
        count = 1 if axes == "TYX" else raw.shape[axes.index("C")]
        shown = tuple(range(min(count, 3))) if channels is None else _chosen(channels, count)
        self.axes = axes
        self.size = (int(raw.shape[axes.index("Y")]), int(raw.shape[axes.index("X")]))
        self.mapping = Mapping(axes, shown, self._limits(shown, limits))

    def __len__(self) -> int:
        return int(self.raw.shape[0])

    def frame(self, i: int) -> NDArray[np.uint8]:
        """Return frame ``i``, ``(Y, X, 3)`` uint8.

        Raises :class:`VideoError` if it cannot be read, or its file changed since it was opened.
        """
        if self.file is not None and self.stamp is not None:
            if self._process != os.getpid():  # a fork: one position in the file for both would mix up what they read
                self.__setstate__({})
            self.stamp.check(self.file)
        values = self._channels(i, self.mapping.channels)
        if values.dtype == np.uint8 and all(limit == (0.0, 255.0) for limit in self.mapping.limits):
            shown = values
        else:
            # Of large numbers 32 bits would keep steps of hundreds.
            kind: Any = np.float64 if values.dtype.itemsize > 2 and values.dtype != np.float32 else np.float32
            low = np.array([limit[0] for limit in self.mapping.limits], dtype=kind)
            high = np.array([limit[1] for limit in self.mapping.limits], dtype=kind)
            scaled = (values.astype(kind) - low) * (255 / np.maximum(high - low, 1e-12))
            # Borders that were registered or stitched are nan: black, as in napari.
            shown = np.clip(np.nan_to_num(scaled + 0.5, nan=0.0, posinf=255, neginf=0), 0, 255).astype(np.uint8)
        if shown.shape[2] == 1:
            return np.repeat(shown, 3, axis=2)
        if shown.shape[2] == 2:  # red and green
            return np.dstack((shown, np.zeros(self.size, np.uint8)))
        return np.ascontiguousarray(shown)

    def digest(self) -> str:
        """Return a hash of shape, type and three frames, 32 hex digits."""
        digest = hashlib.sha256(f"{tuple(self.raw.shape)} {self.raw.dtype}".encode())
        for i in sorted({0, len(self) // 2, len(self) - 1}):
            digest.update(np.ascontiguousarray(self._read(i)).tobytes())
        return digest.hexdigest()[:32]

    def close(self) -> None:
        """Release what frames are read with."""
        if (file := getattr(self.raw, "file", None)) is not None:
            file.close()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | ({} if self.file is None else {"raw": None})

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state
        if self.file is not None and self.stamp is not None:
            self.stamp.check(self.file, MOVED)
            self.raw = as_video(open_tiff(self.file)[0], self._stored)[0]
            self._process = os.getpid()

    def _read(self, i: int) -> NDArray[Any]:
        try:
            values = np.asarray(self.raw[i])
        except VideoError:
            raise
        except Exception as error:  # of zarr's codecs, of TIFF pages, of a disk that went: many kinds
            raise VideoError(f"Frame {i} cannot be read: {error}.") from error
        said = tuple(self.raw.shape[1:]), np.dtype(self.raw.dtype)
        if values.shape != said[0] or (said[1].itemsize == 1 and values.dtype != said[1]):  # of others the values decide
            raise VideoError(
                f"Frame {i} has the shape {values.shape} and the type {values.dtype}, but the array declares {said[0]} and "
                f"{said[1]}: declare what it returns, as in map_blocks(..., dtype=, chunks=)."
            )
        return values

    def _channels(self, i: int, channels: tuple[int, ...]) -> NDArray[Any]:
        """Return raw values ``(Y, X, n)``."""
        values = self._read(i)
        if self.axes == "TYX":
            values = values[..., None]
        elif self.axes == "TCYX":
            values = np.moveaxis(values, 0, -1)
        return values[..., list(channels)]

    def _limits(self, channels: tuple[int, ...], limits: tuple[float, float] | None) -> tuple[tuple[float, float], ...]:
        if limits is not None:
            number = np.shape(limits) == (2,) and np.asarray(limits).dtype.kind in "uif" and bool(np.isfinite(limits).all())
            if not number or not limits[0] < limits[1]:
                raise VideoError(f"limits={limits} are not two numbers in order: give (low, high).")
            return (tuple(map(float, limits)),) * len(channels)  # type: ignore[return-value]
        dtype = np.dtype(self.raw.dtype)
        if dtype.name == "uint8":
            return ((0.0, 255.0),) * len(channels)
        if dtype.kind == "b":
            return ((0.0, 1.0),) * len(channels)
        chosen = np.unique(np.linspace(0, len(self) - 1, SAMPLE_FRAMES).astype(int))
        stride = max(1, min(self.size) // 512)  # a sample of the pixels is enough for percentiles
        sample = np.stack([self._channels(int(i), channels)[::stride, ::stride] for i in chosen])
        known = sample.astype(np.float64)
        known[~np.isfinite(known)] = np.nan
        if np.isnan(known).all(axis=(0, 1, 2)).any():
            return ((0.0, 1.0),) * len(channels)  # nothing to go by
        low, high = np.nanpercentile(known, PERCENTILES, axis=(0, 1, 2))
        return tuple((float(a), float(b) if b > a else float(a) + 1.0) for a, b in zip(low, high, strict=True))

"""Video of any length as a lazy array of frames."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import VideoError
from napari_sam2s.masklets.validation import plain, user_path
from napari_sam2s.video.arrays import ArrayFrames, Mapping, named_axes
from napari_sam2s.video.foreign_kinds import HEAD_BYTES, kind_of
from napari_sam2s.video.frame_rate import irregular_times
from napari_sam2s.video.image_folder import PictureFolder
from napari_sam2s.video.physical_scale import NOTHING_SAID, PhysicalScale, of_aspect, of_tiff
from napari_sam2s.video.tiff import SUFFIXES, open_tiff
from napari_sam2s.video.video_file import DeepGrey, VideoFile
from napari_sam2s.video.zarr_image import is_zarr, open_zarr
from napari_sam2s.wording import counted

TICKS = 1_000_000  # a second
LARGEST_ARRAY_BYTES = 2 * 2**30  # that `numpy.asarray(video)` will make


class Frames(Protocol):
    """A source of frames."""

    def __len__(self) -> int: ...

    @property
    def size(self) -> tuple[int, int]:
        """``(Y, X)``."""

    def frame(self, i: int) -> NDArray[np.uint8]:
        """Return frame ``i``, ``(Y, X, 3)``."""

    def close(self) -> None:
        """Release what is held."""


class Video:
    """A video: ``video[i]`` is a frame ``(Y, X, 3)`` uint8 RGB, always the same one for the same ``i``.

    Made by :func:`open_video`. Slices read their frames; ``numpy.asarray`` refuses beyond 2 GiB. It may be used from
    several threads, and pickled to another process if its source can be.
    """

    ndim = 4
    dtype = np.dtype(np.uint8)

    def __init__(
        self,
        source: Frames,
        *,
        name: str,
        path: Path | None = None,
        fps: float | None = None,
        timestamps: NDArray[np.float64] | None = None,
        warnings: Sequence[str] = (),
        physical: PhysicalScale = NOTHING_SAID,
    ) -> None:
        self.source = source
        self.name = name
        self.path = path
        if fps is None and physical.interval:
            fps, timestamps = 1 / physical.interval, physical.times
        elif fps is not None and physical.interval:
            physical = replace(physical, interval=1 / fps, times=None)
        self.physical = physical
        self.fps = fps
        if timestamps is None or len(timestamps) < len(source):
            timestamps = np.arange(len(source)) / (fps or 1.0)
        self.timestamps = timestamps[: len(source)]
        self.warnings = tuple(warnings)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """``(T, Y, X, 3)``."""
        return (len(self.source), *self.source.size, 3)

    @property
    def pixel_size(self) -> tuple[float, float] | None:
        """Height and width of a pixel in ``pixel_unit``; ``None`` where the file says neither their size nor their form."""
        return self.physical.pixel_size

    @property
    def pixel_unit(self) -> str:
        """A unit of length such as ``"micrometer"``, else ``"pixel"``: then ``pixel_size`` is only their form."""
        return self.physical.unit

    @property
    def file(self) -> VideoFile | None:
        """The video file that frames come from; ``None`` for pictures and arrays."""
        if isinstance(self.source, VideoFile):
            return self.source
        raw = self.raw
        return raw.file if isinstance(raw, DeepGrey) else None

    @property
    def stream(self) -> int | None:
        """Which video stream this is of a file that has several, counted from 0."""
        return self.file.index.stream if self.file is not None and self.file.index.streams > 1 else None

    @property
    def raw(self) -> Any:
        """The untouched array behind a converted one, for measurements; ``None`` for a video file of 8 bits."""
        return self.source.raw if isinstance(self.source, ArrayFrames) else None

    @property
    def mapping(self) -> Mapping | None:
        """How raw values became 8-bit RGB; ``None`` for a video file of 8 bits."""
        return self.source.mapping if isinstance(self.source, ArrayFrames) else None

    @cached_property
    def dask(self) -> Any:
        """The video as a dask array ``(T, Y, X, 3)`` with one frame a chunk; building it reads nothing."""
        import dask.array as da

        chunks = ((1,) * len(self), *((n,) for n in self.shape[1:]))
        meta = np.empty((0, 0, 0, 0), np.uint8)
        return da.from_array(
            self, chunks=chunks, name=f"video-{self.fingerprint()}", inline_array=True, asarray=False, fancy=False, meta=meta
        )

    def __len__(self) -> int:
        return len(self.source)

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, key: Any) -> NDArray[np.uint8]:
        """Return one frame for an integer, several for a slice, a list or a mask; further indices apply to the frames."""
        first, *rest = key if isinstance(key, tuple) else (key,)
        if first is Ellipsis:
            first, rest = slice(None), [Ellipsis, *rest]
        if isinstance(first, int | np.integer) and not isinstance(first, bool):
            return self._frame(int(first))[tuple(rest)]
        chosen = range(len(self))[first] if isinstance(first, slice) else self._chosen(np.atleast_1d(first))
        self._check_size(len(chosen))
        if not len(chosen):
            return np.empty((0, *self.shape[1:]), np.uint8)[(slice(None), *rest)]
        return np.stack([self._frame(i)[tuple(rest)] for i in chosen])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        array = self[:]
        return array if dtype is None else array.astype(dtype)

    def __dask_tokenize__(self) -> tuple[str, str]:
        return "napari_sam2s.Video", self.fingerprint()

    def __repr__(self) -> str:
        rate = "" if self.fps is None else f", {self.fps:.3f} fps"
        return f"<Video {self.name!r} {self.shape}{rate}>"

    def fingerprint(self) -> str:
        """Return a cheap hash of the content, 32 hex digits: to recognise a video that was moved or renamed.

        Of a folder it is also that of name, size and time of change of all pictures.
        """
        pictures = self.pictures
        if pictures is None:
            return self.sample_fingerprint()
        files = " ".join(f"{name} {size} {time}" for name, (size, time) in pictures.items())
        return hashlib.sha256(f"{self.sample_fingerprint()} {files}".encode("utf-8", "surrogateescape")).hexdigest()[:32]

    def sample_fingerprint(self) -> str:
        """Return a hash of the content alone, 32 hex digits; of a folder that of three pictures, which a copy has as well."""
        if self.file is not None:
            return self.file.fingerprint
        assert isinstance(self.source, ArrayFrames)
        return self.source.digest()

    @property
    def pictures(self) -> dict[str, tuple[int, int]] | None:
        """Of a folder: size in bytes and time of change (in ns) of every picture, by name and in order; else ``None``."""
        raw = self.raw
        return raw.files if isinstance(raw, PictureFolder) else None

    def close(self) -> None:
        """Release the decoder. Reading afterwards starts a new one."""
        self.source.close()

    def __enter__(self) -> Video:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _chosen(self, several: NDArray[Any]) -> list[int]:
        """Return the frames that a list of numbers, or of one truth value a frame, names."""
        if several.dtype.kind == "b":
            if several.shape != (len(self),):
                raise IndexError(
                    f"A mask of shape {several.shape} does not fit {counted(len(self), 'frame')}: give one value a frame"
                )
            several = np.flatnonzero(several)
        if (several.dtype.kind not in "ui" and several.size) or several.ndim > 1:
            raise IndexError(f"Frames are chosen by whole numbers; got {several.tolist()}")
        return [int(i) for i in several]

    def _frame(self, i: int) -> NDArray[np.uint8]:
        if not -len(self) <= i < len(self):
            raise IndexError(f"frame {i} is not in a video of {counted(len(self), 'frame')}")
        return self.source.frame(i % len(self))

    def _check_size(self, frames: int) -> None:
        size = frames * int(np.prod(self.shape[1:]))
        if size > LARGEST_ARRAY_BYTES:
            raise VideoError(
                f"{counted(frames, 'frame')} of {self.name!r} would take {size / 2**30:.1f} GiB of memory: read fewer "
                "at a time, or use .dask."
            )


def open_video(
    source: Any,
    *,
    axes: str | None = None,
    channels: Sequence[int] | None = None,
    limits: tuple[float, float] | None = None,
    fps: float | None = None,
    stream: int | None = None,
    progress: Callable[[float], bool] | None = None,
) -> Video:
    """Open a video of any length without reading it.

    Parameters
    ----------
    source
        A video file; a folder of numbered pictures; a multi-page TIFF; a zarr or OME-Zarr image; a numpy, dask or zarr
        array; or a :class:`Video`, which is returned as it is.
    axes, channels, limits
        For arrays and pictures: the axes (``"TYX"``, ``"TCYX"``, ``"TYXC"``, ``"CTYX"``), which channels to show and which raw
        values become 0 and 255 (of video files of 9 to 16 bits grey, too); see :class:`Mapping`. By default named by the array
        (xarray) or guessed from the shape, the first three, and robust percentiles of the whole video.
    fps
        Frames per second of sources that do not know it.
    stream
        Of a video file with several video streams, such as those of a stereo endoscope, which one, counted from 0. By default
        the largest.
    progress
        Called while a file is indexed for the first time, with the part done; return False to stop.

    Raises
    ------
    VideoError
        With one sentence that says what is wrong and what to do.
    """
    if isinstance(source, Video):
        return source
    number = isinstance(fps, int | float | np.number) and not isinstance(fps, bool | complex | np.complexfloating)
    if fps is not None and not (number and 0 < fps < np.inf):
        raise VideoError(f"fps={fps!r} is not a frame rate: give frames per second, a number above 0.")
    source = plain(source)
    if not isinstance(source, str | Path):
        if not hasattr(source, "shape") or not hasattr(source, "dtype"):
            raise VideoError(f"A {type(source).__name__} is not a video: give a path or an array.")
        if stream is not None:
            raise VideoError("stream= is for video files; this is an array.")
        frames = ArrayFrames(source, axes=axes or named_axes(source), channels=channels, limits=limits)
        return Video(frames, name="array", fps=fps)
    if not str(source).strip():  # an empty path would be this very folder
        raise VideoError("The path of the video is empty: name a file or a folder.")
    path = user_path(source)
    _check_path(path)
    if path.suffix.lower() in (".npy", ".npz"):
        raise VideoError(f"{path} holds arrays of NumPy: give one of them, as in open_video(numpy.load(PATH)).")
    if not path.is_dir() and path.suffix.lower() not in SUFFIXES:
        return _open_file(path, stream, progress, limits, {"axes": axes, "channels": channels, "fps": fps})
    if stream is not None:
        raise VideoError(f"stream= is for video files; {path.name} holds pictures.")
    array, found, warnings, physical = _open_pictures(path)
    if physical.times is not None and fps is None:
        ticks = np.round(physical.times * TICKS).astype(np.int64)
        warnings = [*warnings, *irregular_times(ticks, Fraction(1, TICKS))]
    tiff = path.absolute() if path.is_file() else None
    frames = ArrayFrames(array, axes=axes or found, channels=channels, limits=limits, file=tiff)
    name = path.name if path.is_dir() else path.stem  # a dot in a folder's name begins no suffix
    return Video(frames, name=name, path=path.absolute(), fps=fps, warnings=warnings, physical=physical)


def _open_file(
    path: Path,
    stream: int | None,
    progress: Callable[[float], bool] | None,
    limits: tuple[float, float] | None,
    others: dict[str, Any],
) -> Video:
    file = VideoFile(path.absolute(), stream=stream, progress=progress)
    refused = others | ({} if file.deep_grey else {"limits": limits})
    if given := [name for name, value in refused.items() if value is not None]:
        raise VideoError(
            f"{given[0]}= is for pictures and arrays. {path.name} is a video file, which holds this itself: leave it out."
        )
    frames = ArrayFrames(DeepGrey(file), axes="TYX", limits=limits) if file.deep_grey else file
    index = file.index
    return Video(
        frames,
        name=path.stem,
        path=path.absolute(),
        fps=index.fps,
        timestamps=index.timestamps,
        warnings=index.warnings,
        physical=of_aspect(index.aspect),
    )


def reopen_video(
    source: Any, *, fps: float | None, stream: int | None, progress: Callable[[float], bool] | None = None
) -> Video:
    """Open the video of a project again, with what it knows of it; video files know their own rate."""
    path = Path(source)
    pictures = path.is_dir() or path.suffix.lower() in SUFFIXES
    return open_video(source, fps=fps) if pictures else open_video(source, stream=stream, progress=progress)


def _open_pictures(path: Path) -> tuple[Any, str | None, Sequence[str], PhysicalScale]:
    if path.is_file():
        return (*open_tiff(path), of_tiff(path))
    if is_zarr(path):
        return open_zarr(path)
    folder = PictureFolder(path)
    return folder, None, folder.warnings, folder.physical


def _check_path(path: Path) -> None:
    if "\0" in str(path):
        raise VideoError(f"{str(path)!r} is not a path: it holds a NUL character.")
    try:
        path.stat()
        if path.is_dir():
            next(path.iterdir(), None)
            return
        if not path.is_file():  # whoever opens a pipe waits for its writer
            raise VideoError(f"{path} is a pipe or a device: write the video into a file first.")
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
        if not head:
            raise VideoError(f"{path} is empty.")
        if kind := kind_of(path, head):
            raise VideoError(f"{path} is a file {kind}.")
    except PermissionError as error:
        raise VideoError(f"{path} cannot be read: you have no permission.") from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise VideoError(f"There is no file or folder {path}.") from error
    except OSError as error:  # a name too long, a disk that went
        raise VideoError(f"{path} cannot be read: {error.strerror}.") from error

"""TIFF: multi-page files as lazy arrays with their named axes, and pictures of more than 8 bits."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_sam2s.errors import VideoError
from napari_sam2s.video.lazy_array import PlanesFirst

MOST_CHANNELS = 8  # more look like a stack
SUFFIXES = (".tif", ".tiff")
NAMES = {"S": "C", "I": "T", "Q": "T", "Z": "T"}  # samples; pages without a named axis, and a z-stack, are tracked like a video
PILLOW_MODES = {"uint16": ("I;16", "I;16B"), "int16": ("I",), "int32": ("I",), "float32": ("F",)}  # that it reads as they are


def open_tiff(path: Path) -> tuple[Any, str | None, list[str]]:
    """Open a multi-page TIFF without reading it; return the array, its axes if the file names them, and warnings.

    Raises
    ------
    VideoError
        If it cannot be read, or is a single picture or a volume over time.
    """
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            first, pages = tiff.series[0], _written_one_by_one(tiff)
            axes, shape, several = first.axes, first.shape, 0 if pages else len(tiff.series)
        if pages:
            axes, shape, array = "I" + axes, (pages, *shape), _pages(path)
        else:
            array = _series(path)
    except (tifffile.TiffFileError, OSError, IndexError) as error:
        raise VideoError(f"{path} cannot be read as TIFF ({error}).") from error
    if len(shape) < (4 if axes.endswith("S") else 3):  # S: the samples of a colour picture
        raise VideoError(f"{path} holds a single picture of {shape}: a video has several pages.")
    if "T" in axes and "Z" in axes:
        raise VideoError(f"{path} is a volume over time {shape}: take one plane, or a projection, first.")
    warnings = [f"The file holds {several} separate images (series); the first is shown."] if several > 1 else []
    named = "".join(NAMES.get(a, a) for a in axes)
    if named == "CYX" and shape[0] > MOST_CHANNELS:
        warnings.append(f"The file calls its {shape[0]} pages channels; they are taken as frames.")
        named = "TYX"
    if named in ("CYX", "CYXC"):
        raise VideoError(
            f"{path} holds a single picture of {shape[0]} channels (axes {axes}): a video has several frames; if they are "
            "frames, give the array tifffile.imread(PATH) and axes='TYX'."
        )
    if named == "CTYX":
        return PlanesFirst(array), "TCYX", warnings
    return array, named if named in ("TYX", "TCYX", "TYXC") else None, warnings


def _written_one_by_one(tiff: Any) -> int:
    """Return the number of pages of a file in which each is a series of its own (``append=True``), all alike; else 0."""
    series = tiff.series
    if len(series) < 2 or tiff.is_ome or any(len(s.pages) != 1 or s.is_pyramidal for s in series):
        return 0
    alike = {(s.axes, s.shape, s.dtype, s.keyframe.hash) for s in series}
    return len(series) if len(alike) == 1 else 0


def _series(path: Path) -> Any:
    import tifffile

    try:
        return tifffile.memmap(path, mode="r")
    except ValueError:  # compressed or scattered pages
        return _read_lazily(tifffile.imread(path, aszarr=True))


def _pages(path: Path) -> Any:
    """Open all pages, which are alike, as one array over time."""
    import tifffile

    tiff = tifffile.TiffFile(path)
    pages = [series.pages[0] for series in tiff.series]
    first = tiff.series[0]
    whole = tifffile.TiffPageSeries(pages, (len(pages), *first.shape), first.dtype, "I" + first.axes, parent=tiff)
    return _read_lazily(whole.aszarr(), tiff)


def _read_lazily(store: Any, tiff: Any = None) -> Any:
    """Open pages as an array; their file is closed when nobody has the array any more."""
    import zarr

    array = zarr.open(store, mode="r")
    weakref.finalize(array, (tiff or store).close)
    return array


def deep_layout(path: Path) -> tuple[tuple[int, int, str] | None, bool]:
    """Return ``(Y, X, samples)`` of a TIFF of more than 8 bits a sample, ``None`` for other files, and whether pages follow."""
    import tifffile

    if path.suffix.lower() not in SUFFIXES:
        return None, False
    try:
        with tifffile.TiffFile(path) as tiff:
            page, more = tiff.pages.first, tiff.pages.is_multipage
            if page.dtype is None or page.dtype.kind == "b" or page.dtype == np.uint8:
                return None, more
            samples = f"{page.dtype} x {page.samplesperpixel}" if page.samplesperpixel > 1 else str(page.dtype)
            return (page.imagelength, page.imagewidth, samples), more
    except (tifffile.TiffFileError, OSError, IndexError):  # another format by this name, or damage, of which Pillow says more
        return None, False


def read_deep(path: Path) -> NDArray[Any]:
    """Return the first page of a TIFF of more than 8 bits a sample, ``(Y, X)`` or ``(Y, X, C)``, its values as they are.

    Raises
    ------
    VideoError
        If it cannot be read, or takes a codec that is not installed.
    """
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            page = tiff.pages.first
            try:
                values = page.asarray()
            except ValueError as error:  # a codec that is not here: Pillow has some
                found = _read_by_pillow(path, str(page.dtype))
                if found is None:
                    raise VideoError(f"{path} cannot be read ({error}): pip install imagecodecs.") from error
                values = found
            planar = page.axes == "SYX"
    except (tifffile.TiffFileError, OSError, IndexError) as error:
        raise VideoError(f"{path} cannot be read ({error}).") from error
    values = np.moveaxis(values, 0, -1) if planar and values.ndim == 3 else values
    return np.ascontiguousarray(values, values.dtype.newbyteorder("="))


def _read_by_pillow(path: Path, dtype: str) -> NDArray[Any] | None:
    """Return the values where Pillow reads this type as it is, else ``None``."""
    try:
        with Image.open(path) as picture:
            return np.asarray(picture).astype(dtype) if picture.mode in PILLOW_MODES.get(dtype, ()) else None
    except OSError:
        return None

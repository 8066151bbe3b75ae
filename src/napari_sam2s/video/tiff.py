"""TIFF: multi-page files as lazy arrays with their named axes, and pictures of more than 8 bits."""

from __future__ import annotations

import itertools
import weakref
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import VideoError
from napari_sam2s.video.lazy_array import as_video
from napari_sam2s.video.picture_file import ORIENTATION, UPRIGHT, open_picture, turned_upright
from napari_sam2s.video.tiff_values import (
    Shown,
    Upright,
    absent_files,
    chain_is_cut,
    has_small_palette,
    looks_of_pages,
    missing_frames,
    refuse_unlike,
    shown_by,
    told_of_pages,
    without_missing,
)
from napari_sam2s.wording import counted

MOST_CHANNELS = 8  # more look like a stack
SUFFIXES = (".tif", ".tiff", ".btf", ".tf2", ".tf8", ".lsm", ".stk")
NAMES = {"S": "C", "I": "T", "Q": "T"}  # samples; pages without a named axis
PILLOW_CODECS = {1, 2, 3, 4, 5, 7, 8, 32773, 32946, 34925, 50000}  # none, fax, LZW, JPEG, zlib, packed, LZMA, ZSTD
PILLOW_COLOURS = {0, 1, 2, 3, 5, 6, 8}  # grey, RGB, palette, inks, YCbCr, L*a*b*
PILLOW_MODES = {"uint16": ("I;16", "I;16B"), "int16": ("I",), "int32": ("I",), "float32": ("F",)}  # that it reads as they are


def open_tiff(path: Path) -> tuple[Any, str | None, list[str]]:
    """Open a multi-page TIFF without reading it; return the array, its axes if the file names them, and warnings.

    Raises :class:`VideoError` if it cannot be read, or is a single picture or a volume over time.
    """
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            first, pages = tiff.series[0], written_one_by_one(tiff)
            images = [series.shape for series in tiff.series]
            axes, shape, several = first.axes, first.shape, 0 if pages else len(tiff.series)
            show, cut, missing = shown_by(first.keyframe), _cut_imagej(tiff), missing_frames(first)
            absent, broken, between = absent_files(tiff, path), chain_is_cut(tiff), _pages_between(tiff)
            turned, looks = first.keyframe.tags.valueof(ORIENTATION, UPRIGHT), looks_of_pages(tiff, first)
            between += told_of_pages(tiff, first)
            refuse_unlike(tiff, first)
        if cut is not None:
            axes, array = cut
            shape = array.shape
        elif pages:
            axes, shape, array = "I" + axes, (pages, *shape), _pages(path)
        else:
            array = _series(path)
    except VideoError:
        raise
    except Exception as error:  # what is damaged makes tifffile raise many kinds
        raise VideoError(f"{path} cannot be read as TIFF ({str(error) or type(error).__name__}).") from error
    if len(shape) < (4 if axes.endswith("S") else 3):  # S: the samples of a colour picture
        if broken:
            raise VideoError(f"{path} is cut off: the list of pages at its end is lost. Copy the file again.")
        raise VideoError(_no_video(path, images))
    warnings = [f"The file holds {several} separate images (series); the first is shown."] if several > 1 else []
    warnings += between
    if cut is not None:
        warnings.append(f"The file is cut off: only {counted(len(array), 'frame is', 'frames are')} there.")
    elif broken:
        warnings.append("The file is cut off: pages after these are lost, and their number is unknown.")
    z = "Z" if "T" in axes else "T"  # a z-stack is tracked like a video
    named = "".join(NAMES.get(a, z if a == "Z" else a) for a in axes)
    if (named == "CYX" and shape[0] > MOST_CHANNELS) or named == "CYXC":  # a colour picture is no channel
        warnings.append(f"The file calls its {shape[0]} pages channels. They are read as frames.")
        named = "T" + named[1:]
    if named == "CYX":
        raise VideoError(
            f"{path} holds a single picture of {counted(shape[0], 'channel')} (axes {axes}): a video has several frames; if"
            " they are frames, give the array tifffile.imread(PATH) and axes='TYX'."
        )
    if show is not None:
        array, named = Shown(array, show, looks), named[:-1] if show.samples < 0 else named + "C" * show.samples
    if len(set(named)) < len(named):
        return array, None, warnings
    try:
        array, order = as_video(array, named)
    except VideoError as error:
        raise VideoError(f"{path}: {error}") from None
    if missing:
        array, sentence = without_missing(array, missing, path, absent)
        warnings.append(sentence)
    if turned in range(UPRIGHT + 1, 9):
        array = Upright(array, turned, order.index("Y"))
        warnings.append("The file says that its pages are turned or mirrored; they are shown upright, as viewers show them.")
    return array, order, warnings


def _no_video(path: Path, images: list[tuple[int, ...]]) -> str:
    """Say why a file whose first image is a single picture is none, by the shapes of all."""
    longer = next((n for n, shape in enumerate(images) if len(shape) > len(images[0])), None)
    if longer is not None:
        return (
            f"{path} begins with a single picture of {images[0]}, and its image {longer} is {images[longer]}: give the array "
            f"tifffile.imread(PATH, series={longer}), and axes='TYX'."
        )
    if len(images) > 1:
        return f"{path} holds {counted(len(images), 'picture')} of several sizes or kinds: a video has pages that are alike."
    return f"{path} holds a single picture of {images[0]}: a video has several pages."


def _cut_imagej(tiff: Any) -> tuple[str, Any] | None:
    """Return the axes and the frames that are there of an ImageJ stack whose end is lost, ``None`` of all other files.

    ImageJ writes one header and all pictures behind each other (https://imagej.net/ij/plugins/metadata, "images=").
    """
    facts = tiff.imagej_metadata or {}
    page, series = tiff.pages.first, tiff.series[0]
    if facts.get("images", 1) < 2 or len(tiff.pages) > 1 or len(series.shape) > page.ndim or not page.is_contiguous:
        return None
    offset, channels = page.dataoffsets[0], int(facts.get("channels", 1))
    frames = min((tiff.filehandle.size - offset) // page.nbytes, facts["images"]) // channels
    if frames < 2 or (facts.get("slices", 1) > 1 and facts.get("frames", 1) > 1):
        return None
    kind = page.dtype.newbyteorder(tiff.byteorder)
    array = np.memmap(tiff.filehandle.path, kind, "r", offset, (frames, channels, *page.shape))
    return ("TYX" if channels == 1 else "TCYX") + ("C" if page.ndim > 2 else ""), array[:, 0] if channels == 1 else array


def written_one_by_one(tiff: Any) -> int:
    """Return the number of pages of a ``tifffile.TiffFile`` of which each is a series of its own, all alike; else 0.

    So ``append=True`` writes them.
    """
    series = tiff.series
    if len(series) < 2 or tiff.is_ome or any(len(s.pages) != 1 or s.is_pyramidal for s in series):
        return 0
    alike = {(s.axes, s.shape, s.dtype, s.keyframe.hash) for s in series}
    return len(series) if len(alike) == 1 else 0


def _pages_between(tiff: Any) -> list[str]:
    """Say that pages of another size or kind lie between those that are shown: they move all that follow."""
    if tiff.is_ome or len(tiff.series) < 2:
        return []
    places = [page.index for page in tiff.series[0].pages if page is not None and isinstance(page.index, int)]
    for frame, (place, after) in enumerate(itertools.pairwise(places)):
        if after != place + 1:
            return [
                "Pages of another size or kind lie between the frames. They are left out, the first after frame "
                f"{frame}: frame {frame + 1} is page {after} of the file."
            ]
    return []


def _series(path: Path) -> Any:
    import tifffile

    try:
        return tifffile.memmap(path, mode="r")
    except ValueError:  # compressed or scattered pages
        return _read_lazily(tifffile.imread(path, aszarr=True, level=0))


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
    """Return ``(Y, X, samples)`` of a TIFF that is not left to Pillow, ``None`` for other files, and whether pages follow.

    It has more than 8 bits a sample, or an odd number of them, a codec such as JPEG 2000, a palette of 8 bits, the high byte
    first in a BigTIFF, or is turned (Pillow does not turn all of them).
    """
    import tifffile

    if path.suffix.lower() not in SUFFIXES:
        return None, False
    try:
        with tifffile.TiffFile(path) as tiff:
            page, more = tiff.pages.first, tiff.pages.is_multipage
            left = page.dtype in (np.uint8, bool) and page.compression in PILLOW_CODECS
            left &= page.photometric in PILLOW_COLOURS and page.sampleformat == 1
            left &= page.bitspersample in ((8,) if page.samplesperpixel > 1 else (1, 2, 4, 8))
            left &= not (tiff.is_bigtiff and tiff.byteorder == ">")
            left &= page.colormap is None or not has_small_palette(page.colormap)
            if page.dtype is None or (left and page.tags.valueof(ORIENTATION, UPRIGHT) == UPRIGHT):
                return None, more
            samples = f"{page.dtype} x {page.samplesperpixel}" if page.samplesperpixel > 1 else str(page.dtype)
            return (page.imagelength, page.imagewidth, samples), more
    except (tifffile.TiffFileError, OSError, IndexError):  # another format by this name, or damage, of which Pillow says more
        return None, False


def read_deep(path: Path) -> NDArray[Any]:
    """Return the first page of a TIFF of :func:`deep_layout`, ``(Y, X)`` or ``(Y, X, C)``, its values as they are.

    Raises :class:`VideoError` if it cannot be read, or takes a codec that is not installed.
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
                    remedy = ": pip install imagecodecs" if "imagecodecs" in str(error) else ""
                    raise VideoError(f"{path} cannot be read ({error}){remedy}.") from error
                values = found
            planar, show, turned = page.axes == "SYX", shown_by(page), page.tags.valueof(ORIENTATION, UPRIGHT)
    except (tifffile.TiffFileError, OSError, IndexError) as error:
        raise VideoError(f"{path} cannot be read ({error}).") from error
    values = np.moveaxis(values, 0, -1) if planar and values.ndim == 3 else values
    values = turned_upright(values if show is None else show(values), turned)
    return np.ascontiguousarray(values, values.dtype.newbyteorder("="))


def _read_by_pillow(path: Path, dtype: str) -> NDArray[Any] | None:
    """Return the values where Pillow reads this type as it is, else ``None``."""
    try:
        with open_picture(path) as picture:
            return np.asarray(picture).astype(dtype) if picture.mode in PILLOW_MODES.get(dtype, ()) else None
    except OSError:
        return None

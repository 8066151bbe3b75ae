"""What the values of a TIFF look like, and which of its frames are not there."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import VideoError
from napari_sam2s.video.lazy_array import LazyFrames
from napari_sam2s.video.picture_file import turned_upright
from napari_sam2s.wording import counted, frames_in_words

BEHIND_PAGES, BEHIND_BYTES = 3, 2**20  # of a file, that are looked at for a page behind the last one
NAMED = 5  # in a sentence
_FILE_NAME = re.compile(r'FileName="([^"]+)"')
# PhotometricInterpretation, TIFF 6.0, sections 3, 5, 16, 21 and 23, and those of later supplements.
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, INKS, LUMA = 0, 1, 2, 3, 5, 6
ASSOCIATED = 1  # alpha, of ExtraSamples
OTHER_COLOURS = {8: "CIE L*a*b*", 9: "ICC L*a*b*", 10: "ITU L*a*b*", 32845: "LogLuv"}
MOSAIC = 32803
# Width, height, bits, compression, what 0 means, samples, rows a strip, planes, kind of number: TIFF 6.0, section 8.
LAYOUT_TAGS = (256, 257, 258, 259, 262, 277, 278, 284, 339)
INTEGERS = {3: "H", 4: "I", 16: "Q"}
JPEG_CODECS = (6, 7)  # which give RGB


@dataclass(frozen=True)
class Look:
    """How stored values become what a viewer shows."""

    palette: NDArray[np.uint8] | None  # (N, 3); None where 0 is white, and of inks
    samples: int  # axes that are added: 1 by a palette, -1 where the last goes
    inks: bool = False  # cyan, magenta, yellow, black: (..., 4)
    luma: bool = False  # brightness and two differences of colour: (..., 3)
    grey_alpha: bool = False  # grey and how opaque it is: (..., 2), of which the grey is shown
    largest: int = 0  # value of what has fewer than 8 bits: it becomes 255,
    inverted: bool = False  # or 0
    associated: bool = False  # colours times how opaque they are, and that: (..., 4)

    def __call__(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return values whose 0 is black, or the colours of indices, ``(..., 3)`` uint8."""
        if self.palette is not None:
            return self.palette[values]
        if self.grey_alpha:
            return values[..., 0]
        if self.largest:
            wide = values.astype(np.uint16)
            return ((self.largest - wide if self.inverted else wide) * 255 // self.largest).astype(np.uint8)
        if self.associated:
            return _undone(values)
        if self.inks:
            most = np.iinfo(values.dtype).max
            light = np.float64(most) - values  # of each ink what it leaves
            return np.asarray(np.round(light[..., :3] * light[..., 3:] / most).astype(values.dtype))
        if self.luma:
            return _rgb(values)
        if values.dtype.kind == "u":
            return np.asarray(np.iinfo(values.dtype).max - values)
        return ~values if values.dtype.kind == "b" else -values


def _rgb(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the colours of YCbCr (TIFF 6.0, section 21, with its default coefficients and full range)."""
    light, blue, red = (values[..., n].astype(np.float32) for n in range(3))
    blue, red = blue - 128, red - 128
    colours = (light + 1.402 * red, light - 0.344136 * blue - 0.714136 * red, light + 1.772 * blue)
    return np.clip(np.round(np.stack(colours, axis=-1)), 0, 255).astype(np.uint8)


def _undone(values: NDArray[Any]) -> NDArray[Any]:
    """Return colours ``(..., 3)`` that are not multiplied by how opaque they are any more, as Pillow does."""
    most, opaque = np.iinfo(values.dtype).max, values[..., 3:].astype(np.uint64)
    colours = np.minimum(values[..., :3] * np.uint64(most) // np.maximum(opaque, 1), most).astype(values.dtype)
    return np.where(opaque > 0, colours, values[..., :3])


def shown_by(page: Any) -> Look | None:
    """Return how the values of a page are shown, ``None`` for those that are shown as they are.

    Raises :class:`VideoError` if they are colours of a space that is not RGB.
    """
    if page.photometric in OTHER_COLOURS:
        raise VideoError(f"The colours of the file are {OTHER_COLOURS[page.photometric]}: save it as RGB.")
    if page.axes == "SYX" and (page.photometric == INKS or (page.photometric == LUMA and page.compression not in JPEG_CODECS)):
        raise VideoError("The colours of the file are CMYK or YCbCr in separate planes: save the file as RGB.")
    if page.photometric == LUMA and page.compression not in JPEG_CODECS and page.shape[-1] == 3 and page.dtype == np.uint8:
        return Look(None, 0, luma=True)
    if page.photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB) and page.dtype == np.uint8 and page.bitspersample < 8:
        return Look(None, 0, largest=2**page.bitspersample - 1, inverted=page.photometric == WHITE_IS_ZERO)
    if page.photometric == WHITE_IS_ZERO:
        return Look(None, 0)
    if page.photometric == PALETTE and page.colormap is not None:
        return Look(palette_of(page.colormap), 1)
    if page.photometric == INKS and page.shape[-1] == 4 and page.dtype.kind == "u":  # else its ink samples lie in planes
        return Look(None, 0, inks=True)
    if page.photometric == RGB and page.extrasamples[:1] == (ASSOCIATED,) and page.shape[-1] == 4 and page.dtype.kind == "u":
        return Look(None, 0, associated=True)
    if page.photometric == BLACK_IS_ZERO and page.extrasamples and page.samplesperpixel == 2 == page.shape[-1]:
        return Look(None, -1, grey_alpha=True)
    return None


def has_small_palette(colours: NDArray[Any]) -> bool:
    """Whether the colours of a palette are of 8 bits: some programs write those where 16 belong (libtiff looks, too)."""
    return int(np.max(colours)) < 256


def palette_of(colours: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the colours ``(N, 3)`` of a TIFF's map ``(3, N)``."""
    values = np.asarray(colours).T
    return (values if has_small_palette(values) else values >> 8).astype(np.uint8)  # as Pillow does


class Shown(LazyFrames):
    """An array of stored values, as they look; ``looks`` are those of the frames where each has a palette of its own."""

    def __init__(self, array: Any, look: Look, looks: Sequence[Look] = ()) -> None:
        shape = tuple(array.shape)
        if look.samples:
            shape = (*shape, 3) if look.samples > 0 else shape[:-1]
        elif look.inks or look.associated:
            shape = (*shape[:-1], 3)
        super().__init__(shape, np.uint8 if look.palette is not None else array.dtype)
        self._array, self._looks = array, looks or [look] * len(self)

    def read(self, i: int) -> NDArray[Any]:
        """Return frame ``i``."""
        return self._looks[i](np.asarray(self._array[i]))


def looks_of_pages(tiff: Any, series: Any) -> list[Look]:
    """Return how every page of a series of palettes is shown, if these differ, else nothing."""
    if series.keyframe.photometric != PALETTE or len(series.pages) < 2:
        return []
    maps = [tiff.pages.get(page.index).aspage().colormap for page in series.pages if page is not None]
    found = [Look(palette_of(colours), 1) for colours in maps if colours is not None]
    differ = any(not np.array_equal(look.palette, found[0].palette) for look in found)  # type: ignore[arg-type]
    return found if differ and len(found) == series.shape[0] else []


def told_of_pages(tiff: Any, series: Any) -> list[str]:
    """Say that a file holds more, or fewer, pages than its metadata names, and of colours that are not told apart."""
    told = []
    pages, named = len(tiff.pages), sum(_planes(s) for s in tiff.series)
    claimed = int((tiff.imagej_metadata or {}).get("images", 0)) if tiff.is_imagej else 0
    if (tiff.is_ome or tiff.is_imagej) and pages > named and not any(s.is_pyramidal for s in tiff.series):
        told.append(f"The file has {counted(pages, 'page')}, but its metadata names only {named}: these are shown.")
    if claimed > len(series.pages) > 1 and pages == len(series.pages):
        told.append(
            f"The file names {counted(claimed, 'picture')} and holds {pages}: the recording ended early, or it is cut off."
        )
    if series.keyframe.photometric == MOSAIC:
        told.append("The file holds the camera's raw values (a Bayer mosaic). They are shown in grey, not in colour.")
    return told


class Upright(LazyFrames):
    """An array over time whose frames are stored turned or mirrored: TIFF's orientation ``code``, with rows on axis ``y``."""

    def __init__(self, array: Any, code: int, y: int) -> None:
        shape = list(array.shape)
        if code > 4:  # rows and columns change places
            shape[y], shape[y + 1] = shape[y + 1], shape[y]
        super().__init__(tuple(shape), array.dtype)
        self._array, self._code, self._y = array, code, y

    def read(self, i: int) -> NDArray[Any]:
        """Return frame ``i``."""
        return turned_upright(np.asarray(self._array[i]), self._code, self._y - 1)


def _planes(series: Any) -> int:
    return math.prod(series.shape) // max(math.prod(series.keyframe.shape), 1)


def missing_frames(series: Any) -> list[int]:
    """Return the frames of which a page is not there.

    A file of a set is missing, the recording ended early, or the file is cut off.
    """
    end = series.parent.filehandle.size if series.parent is not None else None
    own = None if end is None else series.parent.filehandle.name
    absent = [k for k, page in enumerate(series.pages) if page is None or _beyond(page, end, own)]
    if series.dataoffset is None:  # pages one by one
        wanted = math.prod(series.shape) // max(math.prod(series.keyframe.shape), 1)
        absent += range(len(series.pages), wanted)
    elif end is not None:  # one behind the other
        size = math.prod(series.keyframe.shape) * series.dtype.itemsize
        absent += range(
            max(end - series.dataoffset, 0) // max(size, 1), math.prod(series.shape) * series.dtype.itemsize // max(size, 1)
        )
    if not absent:
        return []
    before = series.axes[: len(series.shape) - len(series.keyframe.shape)]
    time = next((before.index(a) for a in "TZIQ" if a in before and series.shape[before.index(a)] > 1), 0)
    return sorted({int(np.unravel_index(k, series.shape[: len(before)])[time]) for k in absent})


def without_missing(array: Any, missing: Sequence[int], path: Path, absent: Sequence[str]) -> tuple[Any, str]:
    """Return an array without frames that are missing at its end, in which others are an error; and what to tell.

    Parameters
    ----------
    absent
        The files that are named and not there.

    Raises
    ------
    VideoError
        If no frame is there.
    """
    frames = int(array.shape[0])
    there = max(set(range(frames)) - set(missing), default=-1) + 1
    if not there:
        raise VideoError(f"{path} names {counted(frames, 'frame')} and holds none of them: are other files of the set missing?")
    holes = [t for t in missing if t < there]
    told = (
        f"{len(missing)} of {counted(frames, 'frame')} {'is' if len(missing) == 1 else 'are'} not there"
        f" ({frames_in_words(missing, NAMED)}):"
        f" {_why(absent, bool(holes))}"
    )
    return PartlyThere(array, there, frozenset(holes), path), told


def _beyond(page: Any, end: int | None, own: str | None) -> bool:
    """Whether the values of a page of this very file reach beyond its end."""
    if end is None or page.parent is None or page.parent.filehandle.name != own:
        return False
    return any(start + length > end for start, length in zip(page.dataoffsets, page.databytecounts, strict=False))


def chain_is_cut(tiff: Any) -> bool:
    """Whether the last page that can be read names a further one (TIFF 6.0, section 2): behind the end, or in a circle.

    Or it names none, and such a page lies behind it.
    """
    form, file = tiff.tiff, tiff.filehandle
    try:
        place = tiff.pages[-1].offset
        file.seek(place)
        tags = struct.unpack(form.tagnoformat, file.read(form.tagnosize))[0]
        file.seek(place + form.tagnosize + tags * form.tagsize)
        following = struct.unpack(form.offsetformat, file.read(form.offsetsize))[0]
        if not following and tags > 1:
            file.seek(place)
            following = _lies_behind(tiff, file.read(form.tagnosize + 2 * form.tagsize))
    except (struct.error, OSError, IndexError, ValueError):
        return True
    return bool(following)


def _lies_behind(tiff: Any, head: bytes) -> bool:
    """Whether a page that begins as the last one does lies soon behind it, and is none of those that are listed."""
    page, file = tiff.pages[-1], tiff.filehandle
    file.seek(page.offset + len(head))
    behind = file.read(BEHIND_PAGES * sum(page.databytecounts) + BEHIND_BYTES)
    found = behind.find(head)
    listed = {known.offset for known in tiff.pages} if found >= 0 else set()
    while found >= 0:
        if page.offset + len(head) + found not in listed:
            return True
        found = behind.find(head, found + 1)
    return False


def refuse_unlike(tiff: Any, series: Any) -> None:
    """Make sure that all pages of a series are alike: tifffile compares a few, and reads all others as if they were the same.

    Raises :class:`ValueError` if one is of another size or kind; it names the page.
    """
    own = [page for page in series.pages if page is not None and page.parent is tiff]
    first = _kind_of_page(tiff, own[0].offset) if own else None
    for page in own[1:]:
        if _kind_of_page(tiff, page.offset) != first:
            raise ValueError(f"its page {page.index} is of another size or kind than the first: save all of one kind")


def _kind_of_page(tiff: Any, offset: int) -> frozenset[tuple[int, int, int]]:
    """Return code, count and value of the tags that say how the values of a page lie (of several values only their count)."""
    form, file = tiff.tiff, tiff.filehandle
    file.seek(offset)
    tags = struct.unpack(form.tagnoformat, file.read(form.tagnosize))[0]
    content, found = file.read(tags * form.tagsize), set()
    for place in range(0, len(content), form.tagsize):
        code, kind = struct.unpack_from(f"{form.byteorder}HH", content, place)
        if code in LAYOUT_TAGS and kind in INTEGERS:
            count = struct.unpack_from(form.offsetformat, content, place + 4)[0]
            value = struct.unpack_from(form.byteorder + INTEGERS[kind], content, place + 4 + form.offsetsize)[0]
            found.add((code, count, value if count == 1 else 0))
    return frozenset(found)


def _why(absent: Sequence[str], holes: bool) -> str:
    if absent:
        return (
            f"copy the files that are missing beside it ({', '.join(absent[:NAMED])}{', ...' if len(absent) > NAMED else ''})."
        )
    return (
        "copy all files of the set."
        if holes
        else "the recording ended early, the file is cut off, or files of a set are missing."
    )


def absent_files(tiff: Any, path: Path) -> list[str]:
    """Return the names of the files of an OME-TIFF set that are not beside it."""
    names = sorted(set(_FILE_NAME.findall(tiff.ome_metadata or ""))) if tiff.is_ome else []
    return [name for name in names if not (path.parent / name).exists()]


class PartlyThere(LazyFrames):
    """The first frames of an array, some of which cannot be read."""

    def __init__(self, array: Any, frames: int, holes: frozenset[int], path: Path) -> None:
        super().__init__((frames, *array.shape[1:]), array.dtype)
        self._array, self._holes, self._path = array, holes, path

    def read(self, i: int) -> NDArray[Any]:
        """Return frame ``i``."""
        if i in self._holes:
            raise VideoError(f"Frame {i} of {self._path} is not there: copy all files of the set.")
        return np.asarray(self._array[i])

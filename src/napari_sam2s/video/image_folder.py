"""Folders of numbered pictures, as lazy arrays."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import VideoError
from napari_sam2s.video.lazy_array import LazyFrames
from napari_sam2s.video.physical_scale import NOTHING_SAID, PhysicalScale, of_tiff
from napari_sam2s.video.picture_file import (
    TURNED,
    UNREADABLE,
    UPRIGHT,
    is_deep_png,
    open_picture,
    orientation,
    read_deep_png,
    upright,
    upright_size,
)
from napari_sam2s.video.picture_names import order_of
from napari_sam2s.video.tiff import SUFFIXES, deep_layout, read_deep
from napari_sam2s.wording import counted

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")


class PictureFolder(LazyFrames):
    """Numbered pictures of one folder, in the order of their names, as an array that reads one at a time."""

    def __init__(self, folder: Path) -> None:
        pictures = _pictures(folder)
        if not pictures:
            raise VideoError(f"{folder} holds no pictures ({', '.join(PICTURES)}) and is not a zarr array.")
        try:
            order = order_of([p.stem for p in pictures])
        except VideoError as error:
            raise VideoError(f"{folder}: {error}") from None
        self.paths = [pictures[n] for n in order.places]
        self.files = {p.name: _size_and_time(p) for p in self.paths}  # what tells that they are the same
        deep = [deep_layout(p) for p in self.paths]
        headers = [(found, UPRIGHT) if found else _layout(p) for p, (found, _) in zip(self.paths, deep, strict=True)]
        layouts, turned = [layout for layout, _ in headers], sum(code != UPRIGHT for _, code in headers)
        for path, layout in zip(self.paths, layouts, strict=True):
            if layout != layouts[0]:
                raise VideoError(
                    f"{path} is {_say(layout)}, but {self.paths[0].name} is {_say(layouts[0])}: all must be the same."
                )
        self._deep = deep[0][0] is not None
        first = self.read(0)
        super().__init__((len(self.paths), *first.shape), first.dtype)
        self.physical = _alone(of_tiff(self.paths[0])) if self.paths[0].suffix.lower() in SUFFIXES else NOTHING_SAID
        self.warnings = (_gaps(order.numbers) if order.counted else []) + _further_pages([more for _, more in deep])
        self.warnings += [TURNED.format(turned, len(layouts))] if turned else []

    def read(self, i: int) -> NDArray[Any]:
        """Return picture ``i``.

        Raises :class:`VideoError` if it cannot be read, or is another one than when the folder was opened.
        """
        path = self.paths[i]
        if _size_and_time(path) != self.files[path.name]:
            raise VideoError(f"{path} changed or disappeared while it was open: open the folder again.")
        return read_deep(self.paths[i]) if self._deep else _read(self.paths[i])


def _size_and_time(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns


def _alone(said: PhysicalScale) -> PhysicalScale:
    """Return what the first picture says of all: not the distance between them."""
    return PhysicalScale(said.pixel_size, said.unit)


def _gaps(numbers: Sequence[int]) -> list[str]:
    gaps = numbers[-1] - numbers[0] + 1 - len(numbers)
    if not gaps:
        return []
    return [
        f"{counted(gaps, 'number is', 'numbers are')} missing between {numbers[0]} and {numbers[-1]}. Frames are "
        f"counted without gaps: frame 1 is the second"
        " picture there is."
    ]


def _further_pages(more: list[bool]) -> list[str]:
    if not any(more):
        return []
    return [
        f"{sum(more)} of {counted(len(more), 'picture')} {'has' if sum(more) == 1 else 'have'} several pages. Only the "
        "first is shown. To see its pages as frames, open such a file alone. Or save each page as a picture of its own."
    ]


def picture_numbers(folder: Path) -> list[int]:
    """Return the number of each picture of a folder, in the order in which :class:`PictureFolder` has them; nothing is read.

    Where several numbers, or one with decimals, make the order, it is the frame's index.
    """
    stems = [p.stem for p in _pictures(folder) if any(c.isdigit() for c in p.stem)]
    return list(order_of(stems).numbers) if stems else []


def _pictures(folder: Path) -> list[Path]:
    found = [p for p in folder.glob("*") if p.suffix.lower() in PICTURES and not p.name.startswith(".") and not p.is_dir()]
    return sorted(found)


def _layout(path: Path) -> tuple[tuple[int, int, str], int]:
    """Return ``(Y, X, mode)``, upright, and how the picture is turned, from the header."""
    try:
        with open_picture(path) as picture:
            mode = f"{picture.mode} of 16 bits" if is_deep_png(path) else picture.mode
            return (*upright_size(picture), mode), orientation(picture)
    except PermissionError as error:
        raise VideoError(f"{path} cannot be read: you have no permission.") from error
    except UNREADABLE as error:
        raise VideoError(f"{path} is not a picture that can be read ({error}).") from error


def _say(layout: tuple[int, int, str]) -> str:
    return f"{layout[1]} x {layout[0]} {layout[2]}"


def _read(path: Path) -> NDArray[Any]:
    try:
        if is_deep_png(path):
            return read_deep_png(path)
        with open_picture(path) as found:
            picture = upright(found)
            plain = picture.mode in ("L", "RGB", "RGBA") or picture.mode.startswith(("I", "F"))  # the others have 8 bits or 1
            return np.asarray(picture if plain else picture.convert("RGB"))
    except UNREADABLE as error:
        raise VideoError(f"{path} cannot be read ({error}).") from error

"""Image sequences on disk: folders of numbered pictures, multi-page TIFF, zarr and OME-Zarr, as lazy arrays."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from napari_sam2s.errors import VideoError

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
_NUMBER = re.compile(r"\d+")


class PictureFolder:
    """Numbered pictures of one folder, in the order of their last number, as an array that reads one at a time."""

    def __init__(self, folder: Path) -> None:
        pictures = [p for p in folder.iterdir() if p.suffix.lower() in PICTURES and not p.name.startswith(".")]
        if not pictures:
            raise VideoError(f"{folder} holds no pictures ({', '.join(PICTURES)}) and is not a zarr array.")
        unnumbered = [p.name for p in pictures if not _NUMBER.search(p.stem)]
        if unnumbered:
            raise VideoError(f"{folder / sorted(unnumbered)[0]} has no number in its name, so no place in the sequence.")
        self.paths = sorted(pictures, key=lambda p: (_number(p), p.name))
        numbers = [_number(p) for p in self.paths]
        if len(set(numbers)) < len(numbers):
            twice = next(n for n in numbers if numbers.count(n) > 1)
            raise VideoError(f"{folder} holds several pictures with the number {twice}: keep one sequence in one folder.")
        sizes = [_layout(p) for p in self.paths]
        for path, layout in zip(self.paths, sizes, strict=True):
            if layout != sizes[0]:
                raise VideoError(f"{path} is {_say(layout)}, but {self.paths[0].name} is {_say(sizes[0])}: all must be alike.")
        first = _read(self.paths[0])
        self.shape = (len(self.paths), *first.shape)
        self.dtype = first.dtype
        gaps = numbers[-1] - numbers[0] + 1 - len(numbers)
        self.warnings = (
            [f"{gaps} numbers are missing between {numbers[0]} and {numbers[-1]}; frame 1 is the second picture there is."]
            if gaps
            else []
        )

    def __getitem__(self, i: int) -> NDArray[Any]:
        return _read(self.paths[i])


def picture_numbers(folder: Path) -> list[int]:
    """Return the number of each picture of a folder, in the order in which :class:`PictureFolder` has them; nothing is read."""
    pictures = [p for p in folder.glob("*") if p.suffix.lower() in PICTURES and not p.name.startswith(".")]
    return sorted(_number(p) for p in pictures if _NUMBER.search(p.stem))


def _number(path: Path) -> int:
    return int(_NUMBER.findall(path.stem)[-1])


def _layout(path: Path) -> tuple[int, int, str]:
    """Return ``(Y, X, mode)`` from the header."""
    try:
        with Image.open(path) as picture:
            return picture.height, picture.width, picture.mode
    except (UnidentifiedImageError, OSError) as error:
        raise VideoError(f"{path} is not a picture that can be read ({error}).") from error


def _say(layout: tuple[int, int, str]) -> str:
    return f"{layout[1]} x {layout[0]} {layout[2]}"


def _read(path: Path) -> NDArray[Any]:
    try:
        with Image.open(path) as picture:
            plain = picture.mode in ("L", "RGB", "RGBA", "I;16", "I", "F")
            return np.asarray(picture if plain else picture.convert("RGB"))
    except (UnidentifiedImageError, OSError) as error:
        raise VideoError(f"{path} cannot be read ({error}).") from error


def open_tiff(path: Path) -> tuple[Any, str | None]:
    """Open a multi-page TIFF without reading it; return the array and its axes if the file names them."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            series = tiff.series[0]
            axes, shape = series.axes, series.shape
        try:
            array: Any = tifffile.memmap(path, mode="r")
        except ValueError:  # compressed or scattered pages
            import zarr

            array = zarr.open(tifffile.imread(path, aszarr=True), mode="r")
    except (tifffile.TiffFileError, OSError, IndexError) as error:
        raise VideoError(f"{path} cannot be read as TIFF ({error}).") from error
    if len(shape) < (4 if axes.endswith("S") else 3):  # S: the samples of a colour picture
        raise VideoError(f"{path} holds a single picture of {shape}: a video has several pages.")
    # Pages without a named axis (I, Q, Z) are taken as time: a z-stack is tracked like a video.
    named = "".join({"S": "C", "I": "T", "Q": "T", "Z": "T"}.get(a, a) for a in axes)
    return array, named if named in ("TYX", "TCYX", "TYXC") else None


def open_zarr(path: Path) -> tuple[Any, str | None]:
    """Open a zarr array, or the finest level of an OME-Zarr image, without reading it."""
    import zarr

    try:
        node = zarr.open(path, mode="r")
    except Exception as error:  # zarr and its stores raise many kinds
        raise VideoError(f"{path} cannot be read as zarr ({error}).") from error
    if isinstance(node, zarr.Array):
        return node, None
    attributes: dict[str, Any] = dict(node.attrs)
    scales = (attributes.get("ome", attributes)).get("multiscales")
    if not scales:
        raise VideoError(f"{path} is a zarr group without an OME-Zarr image: open one of its arrays ({', '.join(node)}).")
    array = node[scales[0]["datasets"][0]["path"]]
    names = [a["name"] if isinstance(a, dict) else a for a in scales[0].get("axes", [])]
    return _without_planes(array, names, path)


def _without_planes(array: Any, names: list[str], path: Path) -> tuple[Any, str | None]:
    """Take the only plane of a z axis of length 1; refuse real volumes over time."""
    if "z" not in names:
        axes = "".join(names).upper()
        return array, axes if axes in ("TYX", "TCYX", "TYXC") else None
    if "t" not in names:
        axes = "".join("T" if n == "z" else n.upper() for n in names)  # a stack is tracked like a video
        if axes == "CTYX":
            return _PlanesFirst(array), "TCYX"
        return array, axes if axes in ("TYX", "TCYX") else None
    if array.shape[names.index("z")] != 1:
        raise VideoError(f"{path} is a volume over time {tuple(array.shape)}: take one plane, or a projection, first.")
    return _OnePlane(array, names.index("z")), "".join(n.upper() for n in names if n != "z")


class _OnePlane:
    """An array without its axis of length 1."""

    def __init__(self, array: Any, axis: int) -> None:
        self._array, self._axis = array, axis
        self.shape = tuple(n for i, n in enumerate(array.shape) if i != axis)
        self.dtype = array.dtype

    def __getitem__(self, i: int) -> NDArray[Any]:
        return np.asarray(np.squeeze(self._array[i], axis=self._axis - 1))


class _PlanesFirst:
    """A ``(C, Z, Y, X)`` array seen as ``(Z, C, Y, X)``."""

    def __init__(self, array: Any) -> None:
        self._array = array
        self.shape = (array.shape[1], array.shape[0], *array.shape[2:])
        self.dtype = array.dtype

    def __getitem__(self, i: int) -> NDArray[Any]:
        return np.asarray(self._array[:, i])

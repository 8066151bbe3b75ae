"""One picture of labels: each pixel the number of the object it belongs to, 0 for none.

What Cellpose, StarDist, ilastik, Fiji and DAVIS folders hold, as PNG, TIFF or ``.npy``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from napari_sam2s.errors import FormatError
from napari_sam2s.formats.davis import VOID


def read_label_picture(path: Path, frame: int) -> NDArray[Any]:
    """Return the labels of a frame, ``(Y, X)`` integers or bool.

    Parameters
    ----------
    path
        A picture, or a stack ``(T, Y, X)`` of which the page ``frame`` is read.
    frame
        Index in the video.

    Raises
    ------
    FormatError
        If the file cannot be read, has no page for the frame, or its values are not labels.
    """
    if not path.is_file():
        raise FormatError(f"The mask {path} cannot be read: there is no such file.")
    try:
        pages, array, palette = _read(path, frame)
    except (OSError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise FormatError(f"The mask {path} cannot be read ({error}).") from error
    if array is None:
        raise FormatError(f"The mask {path} has {pages} pages, one a frame from 0 on: there is none for frame {frame}.")
    if array.ndim != 2:
        raise FormatError(f"The mask {path} is a colour picture; its values must be object ids (palette or grey).")
    if array.dtype.kind == "f":
        whole = array.astype(np.int64) if np.isfinite(array).all() else None
        if whole is None or not np.array_equal(whole, array):
            raise FormatError(f"The mask {path} has values that are not whole numbers: each is to be an object's id.")
        array = whole
    if array.dtype.kind not in "uib":
        raise FormatError(f"The mask {path} holds {array.dtype}; its values must be object ids.")
    if array.dtype.kind == "i" and array.min() < 0:
        raise FormatError(f"The mask {path} has negative values ({array.min()}): object ids are 1 and more.")
    return np.where(array == VOID, 0, array) if palette else array


def _read(path: Path, frame: int) -> tuple[int, NDArray[Any] | None, bool]:
    """Return the number of pages, the frame's page (``None`` if there is none), and whether it is a DAVIS palette picture."""
    if path.suffix.lower() == ".npy":
        stack = np.load(path, mmap_mode="r", allow_pickle=False)
        return (*_page(stack, frame), False) if stack.ndim == 3 else (1, np.asarray(stack), False)
    try:
        with Image.open(path) as picture:
            if picture.format == "JPEG":
                raise ValueError("a JPEG changes values, so they are not ids any more: save labels as PNG or TIFF")
            pages = getattr(picture, "n_frames", 1)
            if pages > 1 and frame >= pages:
                return pages, None, False
            if pages > 1:
                picture.seek(frame)
            return pages, np.asarray(picture), picture.mode == "P"
    except UnidentifiedImageError:
        if path.suffix.lower() not in (".tif", ".tiff"):
            raise
    import tifffile  # what Pillow does not know, such as 64-bit integers

    try:
        stack = tifffile.imread(path)
    except tifffile.TiffFileError as error:
        raise ValueError(str(error)) from error
    return (*_page(stack, frame), False) if stack.ndim == 3 and stack.shape[-1] > 4 else (1, stack, False)


def _page(stack: NDArray[Any], frame: int) -> tuple[int, NDArray[Any] | None]:
    return len(stack), np.asarray(stack[frame]) if frame < len(stack) else None

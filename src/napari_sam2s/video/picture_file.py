"""Pictures as Pillow opens them, of any size, and those of which it would lose values."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_sam2s.errors import VideoError

LARGEST_BYTES = 4 * 2**30  # of one picture
_PNG = b"\x89PNG\r\n\x1a\n"
_RGB, _RGBA = 2, 6  # PNG's types of colour
_lock = threading.Lock()


def open_picture(path: Path) -> Image.Image:
    """Open a picture of any number of pixels.

    Pillow refuses those beyond 179 megapixels, as an attack on web servers; stitched microscopy has more.

    Raises
    ------
    VideoError
        If it would take more than 4 GiB.
    """
    with _lock:  # the limit is one for the process
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            picture = Image.open(path)
        finally:
            Image.MAX_IMAGE_PIXELS = before
    if picture.width * picture.height * len(picture.getbands()) > LARGEST_BYTES:
        size = f"{picture.width} x {picture.height}"
        picture.close()
        raise VideoError(f"{path} of {size} pixels takes more than 4 GiB: save it smaller, or in parts.")
    return picture


def is_deep_png(path: Path) -> bool:
    """Whether a picture is a PNG of 16 bits and colour, of which Pillow keeps 8 bits."""
    with path.open("rb") as file:
        head = file.read(26)
    return head[:8] == _PNG and head[24:25] == b"\x10" and head[25] in (_RGB, _RGBA)


def read_deep_png(path: Path) -> NDArray[Any]:
    """Return a PNG of 16 bits and colour, ``(Y, X, 3 or 4)`` uint16.

    Raises
    ------
    VideoError
        If it is damaged.
    """
    import imagecodecs

    try:
        return np.asarray(imagecodecs.png_decode(path.read_bytes()))
    except Exception as error:  # imagecodecs has a class of its own for every codec
        raise VideoError(f"{path} cannot be read ({error}).") from error

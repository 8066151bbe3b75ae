"""Pictures as Pillow opens them, of any size, and those of which it would lose values."""

from __future__ import annotations

import struct
import threading
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from napari_sam2s.errors import VideoError

LARGEST_BYTES = 4 * 2**30  # of one picture
_PNG = b"\x89PNG\r\n\x1a\n"
_RGB, _GREY_ALPHA, _RGBA = 2, 4, 6  # PNG's types of colour
ORIENTATION, UPRIGHT = 0x0112, 1  # the tag of TIFF and EXIF; other values are turned or mirrored
TURNED = "{} of {} pictures say that they are turned or mirrored; they are shown upright, as viewers show them."
# What Pillow raises of damaged pictures, depending on where the damage is.
UNREADABLE = (OSError, SyntaxError, ValueError, ArithmeticError, LookupError, TypeError, EOFError, struct.error, zlib.error)
_lock = threading.Lock()


def open_picture(path: Path) -> Image.Image:
    """Open a picture of any number of pixels.

    Pillow refuses those beyond 179 megapixels, as an attack on web servers; stitched microscopy has more.

    Raises :class:`VideoError` if it would take more than 4 GiB.
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
    """Whether a picture is a PNG of 16 bits and colour (or grey and alpha), of which Pillow keeps 8 bits."""
    with path.open("rb") as file:
        head = file.read(26)
    return head[:8] == _PNG and head[24:25] == b"\x10" and head[25] in (_RGB, _GREY_ALPHA, _RGBA)


def read_deep_png(path: Path) -> NDArray[Any]:
    """Return a PNG of 16 bits and colour, upright, ``(Y, X, 3 or 4)`` uint16, or the grey of one of grey and alpha, ``(Y, X)``.

    Raises :class:`VideoError` if it is damaged.
    """
    import imagecodecs

    try:
        values = np.asarray(imagecodecs.png_decode(path.read_bytes()))
    except Exception as error:  # imagecodecs has a class of its own for every codec
        raise VideoError(f"{path} cannot be read ({error}).") from error
    with open_picture(path) as picture:
        values = turned_upright(values, orientation(picture))
    return values[..., 0] if values.shape[-1] == 2 and values.ndim == 3 else values


def orientation(picture: Image.Image) -> int:
    """Return how a picture is turned by its EXIF, 1 for upright; a TIFF is turned by Pillow itself."""
    if picture.format == "TIFF":
        return UPRIGHT
    plain = picture.format == "PNG" and "exif" not in picture.info and _lacks_exif(Path(getattr(picture, "filename", "")))
    # Of a PNG Pillow decodes all pixels to find out whether EXIF follows them.
    code = (Image.Image.getexif(picture) if plain else picture.getexif()).get(ORIENTATION, UPRIGHT)
    return code if code in range(UPRIGHT, 9) else UPRIGHT


def _lacks_exif(path: Path) -> bool:
    """Whether no chunk of a PNG holds EXIF, by the heads of its chunks alone (PNG, third edition, 5.3)."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        file.seek(len(_PNG))
        while len(head := file.read(8)) == 8:
            start = file.tell()
            if head[4:] == b"eXIf" or (head[5:] in (b"EXt", b"TXt") and file.read(11) == b"Raw profile"):  # as text it is old
                return False
            file.seek(start + int.from_bytes(head[:4], "big") + 4)
    return True


def upright(picture: Image.Image) -> Image.Image:
    """Return a picture as viewers show it."""
    return picture if orientation(picture) == UPRIGHT else ImageOps.exif_transpose(picture)


def upright_size(picture: Image.Image) -> tuple[int, int]:
    """Return ``(Y, X)`` of a picture as viewers show it, from its header."""
    size = (picture.height, picture.width)
    return size[::-1] if orientation(picture) > 4 else size  # rows and columns change places


def turned_upright(values: NDArray[Any], code: int, y: int = 0) -> NDArray[Any]:
    """Return values upright whose first row and column lie as TIFF's orientation says (TIFF 6.0, section 8).

    Parameters
    ----------
    values
        Their axis ``y`` counts rows, the next one columns.
    code
        1 to 8; others mean nothing.
    """
    if code in (3, 4):
        values = np.flip(values, y)
    if code in (2, 3):
        values = np.flip(values, y + 1)
    if code in (5, 6, 7, 8):
        values = np.swapaxes(values, y, y + 1)
    if code in (7, 8):
        values = np.flip(values, y)
    if code in (6, 7):
        values = np.flip(values, y + 1)
    return values

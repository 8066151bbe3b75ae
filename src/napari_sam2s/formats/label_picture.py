"""One picture of labels: each pixel the number of the object it belongs to, 0 for none.

What Cellpose, StarDist, ilastik, Fiji and DAVIS folders hold, as PNG, TIFF or ``.npy``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_sam2s.errors import FormatError, PromptError
from napari_sam2s.formats.davis_layout import VOID
from napari_sam2s.formats.foreign_files import cannot_be_read
from napari_sam2s.masklets.types import Prompt
from napari_sam2s.video.picture_file import ORIENTATION, UNREADABLE, UPRIGHT, open_picture, turned_upright, upright
from napari_sam2s.wording import counted

REMEDY = "save labels without, or with a compression that keeps them, such as zlib"
LOSSY = (6, 7, 33007, 34892)  # TIFF's numbers of JPEG
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the first bytes, of BigTIFF too
HALF, BESIDE, INSIDE = 0.5, 0.6, 0.25  # of patches, of pixels of thin ones, of pixels: where labels begin, and soft edges end
SPARSE = 10  # an id, over their number
PLACE = 0.75  # of a value's pixels, that is in one patch
MANY = 8  # values
FILLED, MANY_VALUES, UNLIKE = 0.5, 64, 0.8  # of a photograph: pixels that are not 0, values, pixels unlike their neighbours
SOFT = (
    "{} has soft edges ({} grey values): threshold it first, as a picture of 0 and 255. Should each value be an object, give "
    "them from Python, as mask=labels == 1 and so on."
)
LARGEST_WHOLE = 2**53  # up to which floats hold whole numbers
WHITE = {"float16": 255, "float32": 255, "float64": 255, "uint16": 65535}  # in pictures of black and white
_PHOTOMETRIC = 262  # TIFF's tag: what a value looks like


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
        stored = None if array is None else array.dtype.newbyteorder("=")
    except UNREADABLE as error:
        raise cannot_be_read(path, error, f"The mask {path} cannot be read ({error}).") from error
    if array is None:
        raise FormatError(
            f"The mask {path} has {counted(pages, 'page')}, one per frame from 0 on: there is none for frame {frame}."
        )
    if array.ndim > 3:
        raise FormatError(f"The mask {path} has the shape {array.shape}; a mask is (Y, X), or one page per frame (T, Y, X).")
    if array.ndim != 2:
        raise FormatError(f"The mask {path} is a colour picture; its values must be object ids (palette or grey).")
    if not array.size:
        raise FormatError(f"The mask {path} is empty: its shape is {array.shape}.")
    if array.dtype.kind == "f":
        if not (np.isfinite(array).all() and np.abs(array).max() < LARGEST_WHOLE and np.array_equal(np.floor(array), array)):
            raise FormatError(f"The mask {path} has values that are not whole numbers: each must be an object's id.")
        array = array.astype(np.int64)
    if array.dtype.kind in "ui" and set(np.unique(array).tolist()) <= {0, WHITE.get(str(stored), 0)}:
        array = array != 0  # black and white
    if array.dtype.kind not in "uib":
        raise FormatError(f"The mask {path} holds {array.dtype}; its values must be object ids.")
    if array.dtype.kind == "i" and array.min() < 0:
        raise FormatError(f"The mask {path} has negative values ({array.min()}): object ids are 1 and more.")
    if palette and array.max() == VOID and not ((array != 0) & (array != VOID)).any():
        raise FormatError(f"The mask {path} holds {VOID} alone, which means void in a palette picture: save it as grey values.")
    if _photograph(array):
        raise FormatError(
            f"The mask {path} looks like a photograph: almost no pixel has the value of its neighbours. Give labels: "
            "each value is one object."
        )
    if (values := soft_edges(array)) is not None:
        raise FormatError(SOFT.format(f"The mask {path}", values))
    return np.where(array == VOID, 0, array) if palette else array


def prompts_of_picture(path: Path, frame: int, object_id: int | None = None) -> list[Prompt]:
    """Return a prompt for each label of a picture, or of black and white for one object: see :func:`read_label_picture`.

    With ``object_id`` all labels are that object, else one of black and white is the object 1.

    Raises :class:`PromptError` if the picture is empty.
    """
    labels = read_label_picture(path, frame)
    ids = [int(i) for i in np.unique(labels) if i]
    if not ids:
        raise PromptError(f"The mask {path} is empty.")
    if object_id is not None and len(ids) > 1:
        raise PromptError(
            f"The mask {path} has {counted(len(ids), 'value')} above 0, so it shows several objects or has a soft edge. Leave "
            f"{object_id} away to take each value as an object, or threshold it."
        )
    if object_id is not None or labels.dtype == bool or (ids == [255] and labels.dtype == np.uint8):
        return [Prompt(1 if object_id is None else object_id, frame, mask=labels != 0)]
    return [Prompt(i, frame, mask=labels == i) for i in ids]


def _photograph(labels: NDArray[Any]) -> bool:
    """Whether a picture ``(Y, X)`` is of things, not of labels: many values all over it, and hardly two neighbours alike."""
    filled = labels[:-1, :-1] != 0
    if not filled.size or filled.mean() < FILLED or len(np.unique(labels)) < MANY_VALUES:
        return False
    alike = (labels[:-1, :-1] == labels[1:, :-1]) & (labels[:-1, :-1] == labels[:-1, 1:])
    return bool(np.count_nonzero(filled & ~alike) > UNLIKE * np.count_nonzero(filled))


def soft_edges(labels: NDArray[Any]) -> int | None:
    """Return how many values a picture ``(Y, X)`` has that was smoothed or scaled, or ``None`` for labels.

    Labels are patches: even the smallest, of 2 x 2 pixels, are in one place each. The greys of soft edges are threads and
    dots beside other greys, and those of soft pictures that were enlarged are blocks of which each value has many.
    """
    white = labels.max()
    between = np.unique(labels[(labels != 0) & (labels != white)])
    if not len(between):
        return None
    patches = _Patches(labels)
    few = len(between) < MANY and white != np.iinfo(labels.dtype).max
    scattered = patches.scattered(between)
    if patches.thin:
        percent = scattered and white > SPARSE * (len(between) + 1)  # not the ids of a few objects all through each other
        soft = (percent or not few) and patches.beside_others() >= BESIDE
    else:
        soft = scattered and not few and _inside(labels, white) < INSIDE
    return len(between) if soft else None


class _Patches:
    """The connected pixels of one value each, of a picture ``(Y, X)``; those without 2 x 2 pixels are thin."""

    def __init__(self, labels: NDArray[Any]) -> None:
        from skimage.measure import label

        self._labels = labels
        self._of = label(labels, background=0, connectivity=1)
        self._sizes = np.bincount(self._of.ravel())
        self._values = np.zeros(len(self._sizes), labels.dtype)
        self._values[self._of.ravel()] = labels.ravel()
        corner = self._of[:-1, :-1]
        block = (corner == self._of[1:, :-1]) & (corner == self._of[:-1, 1:]) & (corner == self._of[1:, 1:])
        self._solid = np.zeros(len(self._sizes), bool)
        self._solid[corner[block]] = True

    @property
    def thin(self) -> bool:
        """Whether most are thin."""
        return bool(self._solid[1:].mean() < HALF)

    def beside_others(self) -> float:
        """Return how many pixels of thin ones lie beside other values than 0; those of dots and threads lie on 0."""
        padded = np.pad(self._labels, 1)
        beside = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
        others = np.logical_or.reduce([(near != 0) & (near != self._labels) for near in beside])
        return float(others[~self._solid[self._of] & (self._labels != 0)].mean())

    def scattered(self, values: NDArray[Any]) -> bool:
        """Whether few values, or values of few pixels, are each in one place: most of it in one solid patch."""
        numbers = np.searchsorted(values, self._values).clip(max=len(values) - 1)
        chosen = (values[numbers] == self._values) & (self._values != 0)
        areas = np.bincount(numbers[chosen], self._sizes[chosen], len(values))
        largest = np.zeros(len(values))
        np.maximum.at(largest, numbers[chosen], (self._sizes * self._solid)[chosen])
        one_place = largest >= PLACE * areas
        return bool(min(one_place.mean(), areas[one_place].sum() / areas.sum()) < HALF)


def _inside(labels: NDArray[Any], white: Any) -> float:
    """Return how many of the pixels between black and white are like their neighbours, without what was enlarged."""
    changes = [np.flatnonzero((labels[1:] != labels[:-1]).any(1)), np.flatnonzero((labels[:, 1:] != labels[:, :-1]).any(0))]
    labels = labels[:: (step := int(np.gcd.reduce(np.concatenate(changes) + 1))), ::step]
    padded = np.pad(labels, 1, mode="edge")
    beside = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    alike = np.logical_and.reduce([labels == near for near in beside])
    return float(alike[(labels != 0) & (labels != white)].mean())


def _read(path: Path, frame: int) -> tuple[int, NDArray[Any] | None, bool]:
    """Return the number of pages, the frame's page (``None`` if there is none), and whether it is a DAVIS palette picture."""
    if path.suffix.lower() == ".npy":
        stack = np.load(path, mmap_mode="r", allow_pickle=False)
        return (*_page(stack, frame), False) if stack.ndim == 3 else (1, np.asarray(stack), False)
    with path.open("rb") as file:
        tiff = file.read(4) in _TIFF
    if tiff:
        return _read_tiff(path, frame)
    with open_picture(path) as picture:
        if picture.format == "JPEG":
            raise ValueError("JPEG changes values, so they are no longer ids: save labels as PNG or TIFF")
        return _read_pillow(picture, frame)


def _read_pillow(picture: Image.Image, frame: int) -> tuple[int, NDArray[Any] | None, bool]:
    pages = getattr(picture, "n_frames", 1)
    if pages > 1 and frame >= pages:
        return pages, None, False
    if pages > 1:
        picture.seek(frame)
    return pages, np.asarray(upright(picture)), picture.mode == "P"


def _read_tiff(path: Path, frame: int) -> tuple[int, NDArray[Any] | None, bool]:
    """Read the values as they are stored: Pillow turns those of a picture whose 0 is white, as masks often are, around."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            palette = file.pages.first.photometric == tifffile.PHOTOMETRIC.PALETTE
            if file.pages.first.compression in LOSSY:
                raise ValueError(f"its JPEG changes values, so they are no longer ids: {REMEDY}")
            turned = file.pages.first.tags.valueof(ORIENTATION, UPRIGHT)
            if series.ndim != 3 or "S" in series.axes:
                return 1, turned_upright(series.asarray(), turned) if series.ndim == 2 else series.asarray(), palette
            count = series.shape[0]
            if frame >= count:
                return count, None, palette
            # Stacks beyond 4 GB have one page for all.
            page = series.pages[frame] if len(series.pages) == count else None
            return count, turned_upright(series.asarray()[frame] if page is None else page.asarray(), turned), palette
    except Exception as error:  # of damaged files tifffile raises many kinds
        if "imagecodecs" not in str(error):
            raise ValueError(str(error) or repr(error)) from error
    with open_picture(path) as picture:  # compressed in a way that tifffile reads with a further package alone
        pages, array, palette = _read_pillow(picture, frame)
        if array is not None and picture.tag_v2.get(_PHOTOMETRIC) == tifffile.PHOTOMETRIC.MINISWHITE:  # type: ignore[attr-defined]
            if array.dtype not in (np.bool_, np.uint8):
                raise ValueError("its 0 is white: save it without compression")
            array = ~array  # turned back
        return pages, array, palette


def _page(stack: NDArray[Any], frame: int) -> tuple[int, NDArray[Any] | None]:
    return len(stack), np.asarray(stack[frame]) if frame < len(stack) else None

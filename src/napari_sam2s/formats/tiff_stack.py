"""Labels as one TIFF ``(T, Y, X)``: ``<video>_labels.tif``, 0 is background; names and classes are in its description."""

from __future__ import annotations

import threading
import warnings
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_sam2s.errors import FormatError
from napari_sam2s.formats.atomic_write import file_in, whole_file
from napari_sam2s.formats.davis_layout import object_colour
from napari_sam2s.formats.foreign_files import cannot_be_read
from napari_sam2s.formats.label_picture import LOSSY, REMEDY
from napari_sam2s.formats.mask_entries import (
    Lost,
    annotated_frames,
    frame_labels,
    refuse_ids_beyond,
    refuse_negative,
    seconds_of,
    shape_of,
    warn_of_overlaps,
)
from napari_sam2s.formats.object_facts import facts_of_objects, object_of_facts
from napari_sam2s.masklets.label_masks import LabelMasks
from napari_sam2s.masklets.protocol import Masklets
from napari_sam2s.masklets.types import Object
from napari_sam2s.video.picture_file import ORIENTATION, UPRIGHT, turned_upright
from napari_sam2s.video.tiff import written_one_by_one
from napari_sam2s.video.tiff_values import refuse_unlike
from napari_sam2s.wording import counted

ENDING = "_labels.tif"
LARGEST_ID = int(np.iinfo(np.uint16).max)
_refuse_ids = refuse_ids_beyond(LARGEST_ID)


def write_tiff_stack(masklets: Masklets, root: Path | str, video: str) -> Path:
    """Write masklets as ``root/<video>_labels.tif``, or as the file ``root`` if that ends in ``.tif``; return the file.

    Raises :class:`FormatError` if nothing is annotated, an id has more than 16 bits, or it cannot be written.
    """
    frames = annotated_frames(masklets, video)
    known = set(frames)
    count, height, width = shape_of(masklets)
    objects = tuple(masklets.objects)
    _refuse_ids(o.id for o in objects)
    lost = Lost()

    def pages() -> Iterator[NDArray[np.uint16]]:
        nonlocal lost
        for frame in range(count):
            labels, overlap = np.zeros((height, width), np.uint16), Lost()
            if frame in known:
                labels, overlap = frame_labels(masklets, frame, objects, (height, width), np.uint16, _refuse_ids)
            lost += overlap
            yield labels

    times, fps = [seconds_of(masklets, frame) for frame in frames], getattr(masklets, "fps", None)
    path = file_in(root, video, ENDING)
    with whole_file(path) as part:
        tifffile.imwrite(
            part,
            pages(),
            shape=(count, height, width),
            dtype=np.uint16,
            compression="zlib",
            photometric="minisblack",
            metadata={"axes": "TYX", "objects": facts_of_objects(objects), "known": frames, "time_s": times, "fps": fps},
        )
    if len(known) < count:
        text = (
            f"{video}: {counted(count - len(known), 'frame that was not tracked is', 'frames that were not tracked are')} empty"
            " in the TIFF."
        )
        warnings.warn(text, stacklevel=2)
    warn_of_overlaps(video, lost, objects)
    return path


class TiffStack:
    """Masklets of a TIFF of labels, of which only single pages are read."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._reading = threading.Lock()  # of the file, which stays open: to find a page, all before it are looked at
        try:
            tiff = tifffile.TiffFile(self.path)
            weakref.finalize(self, tiff.close)
            if not len(tiff.pages) or not tiff.series:
                raise ValueError("it holds no picture")
            series, alone = tiff.series[0], written_one_by_one(tiff)
            shape = (alone, *series.shape) if alone else series.shape
            self._pages: Any = [s.pages[0] for s in tiff.series] if alone else series.pages
            dtype, page, axes = np.dtype(series.dtype), series.keyframe, "I" * bool(alone) + series.axes
            described: Any = (tiff.shaped_metadata or [{}])[0]
            refuse_unlike(tiff, series)
        except (tifffile.TiffFileError, OSError, IndexError, ValueError, RuntimeError) as error:
            raise cannot_be_read(self.path, error, f"{self.path} cannot be read as TIFF ({error}).") from error
        if dtype.kind in "iu" and len(shape) == 3 and page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and shape[0] > 1:
            raise FormatError(
                f"{self.path} is one colour picture of {shape[0]} planes, which is how tifffile writes 3 or 4 "
                "frames by default. Write the labels again with photometric='minisblack'."
            )
        if 0 in shape:
            raise FormatError(f"{self.path} is empty: its shape is {shape}. Write the labels again.")
        before = [int(n) for n in shape[:-2] if n > 1] or [1] * (len(shape) > 2)  # axes of length 1 say nothing
        if len(before) != 1 or dtype.kind not in "iu" or page.samplesperpixel > 1:
            raise FormatError(f"{self.path} holds {dtype} of shape {shape}: labels are whole numbers (T, Y, X).")
        long = "".join(axis for axis, n in zip(axes, shape, strict=True) if n > 1 or axis in "YX")
        if not long.endswith("YX") or long[0] in "CS":  # of those that write which axes there are
            raise FormatError(
                f"{self.path} has the axes {axes} of shape {shape}: write the labels again as time, Y and X (TYX)."
            )
        if page.compression in LOSSY:
            raise FormatError(f"{self.path} is compressed as JPEG, so its values are no longer ids: {REMEDY}.")
        self._turned = page.tags.valueof(ORIENTATION, UPRIGHT)
        self.shape = (before[0], *turned_upright(np.empty(shape[-2:], np.bool_), self._turned).shape)
        if len(self._pages) != self.shape[0]:
            raise FormatError(
                f"{self.path} has {counted(len(self._pages), 'page')} for {counted(self.shape[0], 'frame')}: write one page per"
                " frame."
            )
        self.name = self.path.stem.removesuffix("_labels")
        self.frames = [int(t) for t in described.get("known", range(self.shape[0]))]
        self._known = frozenset(self.frames)
        self.fps: float | None = described.get("fps")
        self._facts: list[dict[str, Any]] = list(described.get("objects", ()))

    @property
    def objects(self) -> tuple[Object, ...]:
        """The objects that the description names, or one for each label; then the whole file is read."""
        if self._facts:
            return tuple(map(object_of_facts, self._facts))
        ids = {int(i) for frame in self.frames for i in np.unique(self._labels(frame))} - {0}
        return tuple(Object(i, f"object {i}", colour=object_colour(i)) for i in sorted(ids))

    def masks(self, frame: int) -> LabelMasks:
        """Return ``{object id: (Y, X) bool}``."""
        if frame not in self._known:
            raise FormatError(f"{self.path} has no frame {frame}.")
        return LabelMasks(self._labels(frame))

    def _labels(self, frame: int) -> NDArray[np.integer]:
        with self._reading:
            labels = turned_upright(self._pages[frame].asarray(), self._turned)
        refuse_negative(labels, f"Frame {frame} of {self.path}")
        return labels


def read_tiff_stack(path: Path | str) -> dict[str, TiffStack]:
    """Read a TIFF of labels: ``{video name: masklets}``."""
    stack = TiffStack(path)
    return {stack.name: stack}

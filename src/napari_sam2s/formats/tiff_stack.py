"""Labels as one TIFF ``(T, Y, X)``: ``<video>_labels.tif``, 0 is background; names and classes are in its description."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_sam2s.errors import FormatError
from napari_sam2s.formats.atomic_write import file_in, whole_file
from napari_sam2s.formats.davis_layout import object_colour
from napari_sam2s.formats.mask_entries import (
    annotated_frames,
    frame_labels,
    refuse_ids_beyond,
    seconds_of,
    shape_of,
    warn_of_overlaps,
)
from napari_sam2s.formats.object_facts import facts_of_objects, object_of_facts
from napari_sam2s.masklets.protocol import Masklets
from napari_sam2s.masklets.types import Object

ENDING = "_labels.tif"
LARGEST_ID = int(np.iinfo(np.uint16).max)
_refuse_ids = refuse_ids_beyond(LARGEST_ID)


def write_tiff_stack(masklets: Masklets, root: Path | str, video: str) -> Path:
    """Write masklets as ``root/<video>_labels.tif``, or as the file ``root`` if that ends in ``.tif``; return the file.

    Raises
    ------
    FormatError
        If nothing is annotated, an id has more than 16 bits, or it cannot be written.
    """
    frames = annotated_frames(masklets, video)
    known = set(frames)
    count, height, width = shape_of(masklets)
    objects = tuple(masklets.objects)
    _refuse_ids(o.id for o in objects)
    lost = 0

    def pages() -> Iterator[NDArray[np.uint16]]:
        nonlocal lost
        for frame in range(count):
            labels, overlap = np.zeros((height, width), np.uint16), 0
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
        text = f"{video}: {count - len(known)} frames that are not known are empty in the TIFF, for other readers than ours."
        warnings.warn(text, stacklevel=2)
    warn_of_overlaps(video, lost)
    return path


class TiffStack:
    """Masklets of a TIFF of labels, of which only single pages are read."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        try:
            with tifffile.TiffFile(self.path) as tiff:
                series = tiff.series[0]
                shape, dtype, pages = series.shape, np.dtype(series.dtype), len(series.pages)
                described: Any = (tiff.shaped_metadata or [{}])[0]
        except (tifffile.TiffFileError, OSError, IndexError, ValueError) as error:
            raise FormatError(f"{self.path} cannot be read as TIFF ({error}).") from error
        if len(shape) != 3 or dtype.kind not in "iu":
            raise FormatError(f"{self.path} holds {dtype} of shape {shape}: labels are whole numbers (T, Y, X).")
        self.shape = (int(shape[0]), int(shape[1]), int(shape[2]))
        if pages != self.shape[0]:
            raise FormatError(f"{self.path} has {pages} pages for {self.shape[0]} frames: write a page a frame.")
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

    def masks(self, frame: int) -> dict[int, NDArray[np.bool_]]:
        """Return ``{object id: (Y, X) bool}``."""
        if frame not in self._known:
            raise FormatError(f"{self.path} has no frame {frame}.")
        labels = self._labels(frame)
        return {int(i): labels == i for i in np.unique(labels) if i}

    def _labels(self, frame: int) -> NDArray[np.integer]:
        labels = tifffile.imread(self.path, key=frame)
        if labels.min(initial=0) < 0:
            raise FormatError(f"{self.path} holds labels below 0 on frame {frame}: objects are numbered from 1.")
        return labels


def read_tiff_stack(path: Path | str) -> dict[str, TiffStack]:
    """Read a TIFF of labels: ``{video name: masklets}``."""
    stack = TiffStack(path)
    return {stack.name: stack}

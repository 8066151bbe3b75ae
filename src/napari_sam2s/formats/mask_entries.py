"""What a writer asks of masklets, be they a project, a folder or an array: frames, size, masks, one label a pixel."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_sam2s.errors import FormatError
from napari_sam2s.masklets import rle
from napari_sam2s.masklets.label_masks import LabelMasks
from napari_sam2s.masklets.mask_queries import Entry
from napari_sam2s.masklets.overlaps import label_image
from napari_sam2s.masklets.protocol import Masklets
from napari_sam2s.masklets.types import Object
from napari_sam2s.masklets.validation import binary_mask
from napari_sam2s.wording import counted, named_frames

NAMED = 3  # objects, and spans of frames of each, that a warning lists


def annotated_frames(masklets: Masklets, video: str) -> list[int]:
    """Return the annotated frames, ascending. Raises :class:`FormatError` if there are none."""
    frames = list(masklets.frames)
    if not frames:
        raise FormatError(f"{video} has no annotated frames to write.")
    return frames


def shape_of(masklets: Masklets) -> tuple[int, int, int]:
    """Return ``(T, Y, X)``: what the masklets say, or what their frames and masks show.

    Raises :class:`FormatError` if no frame is annotated, or the size cannot be known because no object is on any frame.
    """
    shape = getattr(masklets, "shape", None)
    if shape is not None:
        return int(shape[0]), int(shape[1]), int(shape[2])
    frames = list(masklets.frames)
    for frame in frames:
        for mask in masklets.masks(frame).values():
            height, width = mask.shape
            return frames[-1] + 1, height, width
    raise FormatError("No object is on any frame, so there is nothing to write.")


def entries_of(masklets: Masklets, frame: int) -> list[Entry]:
    """Return what is known of the objects on an annotated frame, by object id: of projects all, of others the masks."""
    known = getattr(masklets.masks, "entries", None)
    if known is not None:
        return list(known(frame))
    found, shape = masklets.masks(frame), getattr(masklets, "shape", None)
    if isinstance(found, LabelMasks) and (shape is None or found.labels.shape == tuple(shape[1:3])):
        return [Entry(i, mask) for i, mask in sorted(found.encoded().items())]
    masks = sorted(found.items())
    sizes = [np.shape(mask) if shape is None else tuple(shape[1:3]) for _, mask in masks]
    return [Entry(i, rle.encode(binary_mask(m, size, FormatError))) for (i, m), size in zip(masks, sizes, strict=True)]


def sightings_of(masklets: Masklets) -> Iterator[tuple[int, int, rle.Mask]]:
    """Yield frame, object id and mask wherever an object is seen, by frame and object: of projects in large bites."""
    seen = getattr(masklets.masks, "seen", None)
    if seen is not None:
        yield from seen()
        return
    for frame in masklets.frames:
        yield from ((frame, entry.object_id, entry.mask) for entry in entries_of(masklets, frame) if entry.mask.area)


def seconds_of(masklets: Masklets, frame: int) -> float | None:
    """Return when a frame is shown: by the video's own clock where that is known, else the frame by its rate, or ``None``."""
    timestamps = getattr(masklets, "timestamps", None)
    if timestamps is not None:
        return round(float(timestamps[frame]), 6)
    fps = getattr(masklets, "fps", None)
    return round(frame / fps, 6) if fps else None


def seconds_of_frames(masklets: Masklets, frames: Sequence[int]) -> list[float | None]:
    """Return what :func:`seconds_of` says of many frames, in one go."""
    timestamps, fps = getattr(masklets, "timestamps", None), getattr(masklets, "fps", None)
    if timestamps is not None:
        return [round(seconds, 6) for seconds in np.asarray(timestamps, float)[frames].tolist()]
    return [round(t / fps, 6) for t in frames] if fps else [None] * len(frames)


@dataclass
class Lost:
    """What one label a pixel leaves out where objects overlap, of a frame or, added up, of several."""

    pixels: int = 0
    hidden: list[tuple[int, int]] = field(default_factory=list)  # frame and object of masks of which nothing is seen

    def __iadd__(self, other: Lost) -> Self:
        self.pixels += other.pixels
        self.hidden += other.hidden
        return self


def frame_labels(
    masklets: Masklets,
    frame: int,
    objects: Iterable[Object],
    size: tuple[int, int],
    dtype: DTypeLike = np.int32,
    refuse: Callable[[Iterable[int]], None] = lambda ids: None,
) -> tuple[NDArray[Any], Lost]:
    """Return the label image of an annotated frame, ``(Y, X)``, and what is lost in it where objects overlap.

    ``refuse`` is asked about the ids, which are to fit into ``dtype``.
    """
    masks = {entry.object_id: entry.mask for entry in entries_of(masklets, frame)}
    refuse(masks)
    labels = label_image(masks, objects, size, dtype)
    if not _boxes_meet([mask for mask in masks.values() if mask.area]):
        return labels, Lost()
    seen = {i: int(np.count_nonzero(_crop(labels, mask) == i)) for i, mask in masks.items()}
    return labels, _lost(frame, {i: mask.area for i, mask in masks.items()}, seen)


def refuse_ids_beyond(largest: int) -> Callable[[Iterable[int]], None]:
    """Return what refuses ids above the largest number that a format's pixels hold, with a :class:`FormatError`."""

    def refuse(ids: Iterable[int]) -> None:
        found = max(ids, default=0)
        if found > largest:
            text = f"There is an object {found}, and {largest.bit_length()} bits end at {largest}: export to another format."
            raise FormatError(text)

    return refuse


def refuse_negative(labels: NDArray[Any], where: object) -> None:
    """Refuse labels below 0, with a :class:`FormatError`: in whole numbers without a sign they would be ids."""
    if labels.size and labels.dtype.kind == "i" and labels.min() < 0:
        raise FormatError(f"{where} holds labels below 0: objects are numbered from 1.")


def labels_of(
    frame: int,
    masks: Mapping[int, NDArray[np.bool_]],
    objects: Iterable[Object],
    size: tuple[int, int],
    dtype: DTypeLike = np.int32,
) -> tuple[NDArray[Any], Lost]:
    """Return the label image of masks ``{object id: (Y, X) bool}``, and what is lost; see :func:`frame_labels`."""
    labels = label_image(masks, objects, size, dtype)
    areas = {i: int(np.count_nonzero(mask)) for i, mask in masks.items()}
    if sum(areas.values()) == np.count_nonzero(labels):
        return labels, Lost()
    seen = {i: int(np.count_nonzero(labels[mask] == i)) for i, mask in masks.items()}
    return labels, _lost(frame, areas, seen)


def visible_masks(
    masklets: Masklets, frame: int, objects: Iterable[Object], size: tuple[int, int]
) -> tuple[dict[int, rle.Mask], Lost]:
    """Return what is seen of each object on an annotated frame, and what is lost; see :func:`frame_labels`."""
    masks = {entry.object_id: entry.mask for entry in entries_of(masklets, frame) if entry.mask.area}
    if not _boxes_meet(list(masks.values())):
        return masks, Lost()
    labels = label_image(masks, objects, size)
    seen = {i: rle.encode(_crop(labels, mask) == i, (mask.y0, mask.x0)) for i, mask in masks.items()}
    lost = _lost(frame, *({i: mask.area for i, mask in some.items()} for some in (masks, seen)))
    return {i: mask for i, mask in seen.items() if mask.area}, lost


def _crop(labels: NDArray[Any], mask: rle.Mask) -> NDArray[Any]:
    return labels[mask.y0 : mask.y0 + mask.height, mask.x0 : mask.x0 + mask.width]


def _lost(frame: int, areas: Mapping[int, int], seen: Mapping[int, int]) -> Lost:
    hidden = [(frame, i) for i, area in areas.items() if area and not seen[i]]
    return Lost(sum(areas.values()) - sum(seen.values()), hidden)


def _boxes_meet(masks: list[rle.Mask]) -> bool:
    if len(masks) < 2:
        return False
    y0, x0, height, width = np.array([(m.y0, m.x0, m.height, m.width) for m in masks]).T
    along_y = (y0[:, None] < y0 + height) & (y0 < (y0 + height)[:, None])
    along_x = (x0[:, None] < x0 + width) & (x0 < (x0 + width)[:, None])
    return int(np.count_nonzero(along_y & along_x)) > len(masks)  # each meets itself


def warn_of_overlaps(video: str, lost: Lost, objects: Iterable[Object]) -> None:
    """Warn of pixels that were lost where objects overlap, and name the objects of which nothing is seen on some frames."""
    if lost.pixels:
        text = f"{video}: objects overlap; {counted(lost.pixels, 'pixel')} went to the object further down the object table."
        names = {o.id: o.name for o in objects}
        frames: dict[int, list[int]] = {}
        for frame, i in lost.hidden:
            frames.setdefault(i, []).append(frame)
        whole = [f"{names.get(i, f'object {i}')} ({named_frames(ts, NAMED)})" for i, ts in list(frames.items())[:NAMED]]
        if whole:
            more = f" and {counted(len(frames) - NAMED, 'more object')}" if len(frames) > NAMED else ""
            text += f" Hidden completely, so missing there: {', '.join(whole)}{more}."
        warnings.warn(text, stacklevel=3)

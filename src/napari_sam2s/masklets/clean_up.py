"""Cleaning up masks: holes, specks, outlines, sizes. Looked at before it is done, and one step of undo.

What else is known of the masks stays: where they come from, their scores, whether they are confirmed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import ProjectError
from napari_sam2s.masklets import rle
from napari_sam2s.masklets.track_edit_preview import Change
from napari_sam2s.wording import counted

if TYPE_CHECKING:
    from napari_sam2s.masklets.project import Project

CleanUpKind = Literal["fill holes", "remove specks", "keep largest", "smooth", "grow", "shrink"]
CLEAN_UPS: tuple[CleanUpKind, ...] = get_args(CleanUpKind)
USUAL: dict[CleanUpKind, int] = {"fill holes": 0, "remove specks": 50, "keep largest": 0, "smooth": 2, "grow": 1, "shrink": 1}
LARGEST_RADIUS = 100  # pixels
_WORDS: dict[CleanUpKind, str] = {
    "fill holes": "Fills the holes{} of",
    "remove specks": "Removes parts smaller than {} pixels from",
    "keep largest": "Keeps the largest part alone of",
    "smooth": "Smooths the outlines ({} px) of",
    "grow": "Grows by {} px",
    "shrink": "Shrinks by {} px",
}


@dataclass(frozen=True)
class CleanUp:
    """One way to clean up the masks of an object on the frames ``start`` to ``stop - 1`` (``None``: to the end).

    ``amount`` is: of ``fill holes`` the area in pixels up to which holes are filled (0: all), of ``remove specks`` the area
    below which parts go, of ``smooth``, ``grow`` and ``shrink`` pixels; ``None``: the usual one. The largest part of a mask is
    never removed, and a mask of which nothing would be left stays as it is: nothing vanishes by cleaning.

    Raises
    ------
    ProjectError
        If there is no such kind, or the amount does not fit.
    """

    kind: CleanUpKind
    object_id: int
    start: int = 0
    stop: int | None = None
    amount: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in CLEAN_UPS:
            raise ProjectError(f"{self.kind!r} is not a clean-up: choose one of {', '.join(CLEAN_UPS)}.")
        most = LARGEST_RADIUS if self.kind in ("smooth", "grow", "shrink") else None
        if self._number < 0 or (most is not None and self._number > most):
            fits = "0 pixels or more" if most is None else f"0 to {counted(most, 'pixel')}"
            raise ProjectError(f"To {self.kind}, give {fits}; got {self.amount}.")

    @property
    def _number(self) -> int:
        return USUAL[self.kind] if self.amount is None else int(self.amount)

    def of(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return a mask ``(Y, X)`` cleaned up."""
        return rle.decode(self._of_encoded(rle.encode(mask), mask.shape), mask.shape)

    def _of_encoded(self, mask: rle.Mask, shape: tuple[int, int]) -> rle.Mask:
        if not mask.area:
            return mask
        room = 1 + (self._number if self.kind == "grow" else 3 * self._number if self.kind == "smooth" else 0)
        y0, x0 = max(mask.y0 - room, 0), max(mask.x0 - room, 0)
        y1, x1 = min(mask.y0 + mask.height + room, shape[0]), min(mask.x0 + mask.width + room, shape[1])
        crop = np.zeros((y1 - y0, x1 - x0), dtype=bool)
        crop[mask.y0 - y0 :, mask.x0 - x0 :][: mask.height, : mask.width] = rle.decode_crop(mask)
        cleaned = _CLEAN[self.kind](crop, self._number)
        return rle.encode(cleaned, (y0, x0)) if cleaned.any() else mask

    def apply(self, project: Project) -> int:
        """Do it, as one step of undo; return how many masks changed.

        Raises :class:`ProjectError` if the span or the object does not exist, or the object is locked.
        """
        return project.tracks.reshape(self.object_id, self._changed(project), self.kind)

    def _changed(self, project: Project) -> Iterator[tuple[int, rle.Mask]]:
        stop = project.tracks.check_span(self.start, self.stop, self.object_id)
        for frame in project.masks.known(self.object_id, self.start, stop):
            before = project.masks.encoded(frame, self.object_id)
            if before is not None and (after := self._of_encoded(before, project.shape[1:])) != before:
                yield frame, after

    def preview(self, project: Project) -> Change:
        """Say what would be cleaned up; nothing is changed. Raises :class:`ProjectError` as for :meth:`apply`."""
        stop = project.tracks.check_span(self.start, self.stop, self.object_id)
        part = project.masks.series(self.object_id).part(self.start, stop)
        there = part.area > 0
        masks, confirmed = int(np.count_nonzero(there)), int(np.count_nonzero(part.confirmed & there))
        holes = f" of up to {counted(self._number, 'pixel')}" if self._number else ""
        words = _WORDS[self.kind].format(holes if self.kind == "fill holes" else self._number)
        name = project.objects.get(self.object_id).name
        text = f"{words} {counted(masks, 'mask')} of {name} on frames {self.start} to {stop - 1}."
        return Change(text, masks, 0, confirmed)

    def masks_after(self, project: Project, frame: int) -> dict[int, NDArray[np.bool_]]:
        """Return ``{object id: (Y, X) bool}`` of a frame as it would be."""
        masks = project.masks(frame)
        stop = project.shape[0] if self.stop is None else self.stop
        if self.object_id in masks and self.start <= frame < stop:
            masks[self.object_id] = self.of(masks[self.object_id])
        return masks


def _fill_holes(mask: NDArray[np.bool_], largest: int) -> NDArray[np.bool_]:
    from scipy import ndimage

    outside, count = ndimage.label(~mask)  # what touches the rim is no hole
    rim = np.unique(np.concatenate((outside[0], outside[-1], outside[:, 0], outside[:, -1])))
    areas = np.bincount(outside.ravel(), minlength=count + 1)
    holes = np.ones(count + 1, dtype=bool)
    holes[rim], holes[0] = False, False
    if largest:
        holes &= areas <= largest
    return mask | holes[outside]


def _remove_specks(mask: NDArray[np.bool_], least: int) -> NDArray[np.bool_]:
    from scipy import ndimage

    parts, count = ndimage.label(mask, structure=np.ones((3, 3), dtype=int))
    areas = np.bincount(parts.ravel(), minlength=count + 1)
    areas[0] = 0
    kept = areas >= max(least, 1)
    kept[areas.argmax()] = True
    kept[0] = False
    return kept[parts]


def _keep_largest(mask: NDArray[np.bool_], _: int) -> NDArray[np.bool_]:
    return _remove_specks(mask, mask.size + 1)


def _smooth(mask: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    from scipy import ndimage

    return np.asarray(ndimage.gaussian_filter(mask.astype(np.float32), radius, mode="nearest", truncate=3.0) > 0.5)


def _grow(mask: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    from scipy import ndimage

    return np.asarray(ndimage.distance_transform_edt(~mask) <= by)


def _shrink(mask: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    from scipy import ndimage

    if mask.all():  # all of the picture: there is no outline
        return mask
    return np.asarray(ndimage.distance_transform_edt(mask) > by)


_CLEAN = {
    "fill holes": _fill_holes,
    "remove specks": _remove_specks,
    "keep largest": _keep_largest,
    "smooth": _smooth,
    "grow": _grow,
    "shrink": _shrink,
}

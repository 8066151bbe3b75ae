"""The shape of one mask, measured on its crop: the same numbers as scikit-image gives on the full frame."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.masklets import rle

PLACE = ("area_px", "centroid_y", "centroid_x", "y0", "x0", "y1", "x1")
SHAPE = ("perimeter_px", "major_axis_px", "minor_axis_px", "orientation", "solidity")
PHYSICAL_PLACE = ("area", "centroid_y_unit", "centroid_x_unit")
PHYSICAL_SHAPE = ("perimeter", "major_axis", "minor_axis", "orientation_unit")


@dataclass(frozen=True)
class Scale:
    """The size of a pixel, ``(y, x)`` in ``unit``."""

    size: tuple[float, float]
    unit: str

    @property
    def square(self) -> bool:
        """Whether pixels are as wide as high."""
        return math.isclose(*self.size, rel_tol=1e-6)


def columns(scale: Scale | None, *, shape: bool) -> tuple[str, ...]:
    """Return the names of what :func:`measured` returns."""
    physical = () if scale is None else (*PHYSICAL_PLACE, *(PHYSICAL_SHAPE if shape else ()))
    return (*PLACE, *(SHAPE if shape else ()), *physical)


def measured(mask: rle.Mask, crop: NDArray[np.bool_], scale: Scale | None, *, shape: bool) -> list[float]:
    """Return the numbers of a mask, in the order of :func:`columns`."""
    if not mask.area:
        return [0.0, *[math.nan] * 6, *_without(scale, shape)]
    y = float(np.count_nonzero(crop, axis=1) @ np.arange(mask.height) / mask.area) + mask.y0
    x = float(np.count_nonzero(crop, axis=0) @ np.arange(mask.width) / mask.area) + mask.x0
    place = [mask.area, y, x, mask.y0, mask.x0, mask.y0 + mask.height, mask.x0 + mask.width]
    own, physical = _form(crop, scale) if shape else ([], [])
    if scale is not None:
        height, width = scale.size
        physical = [mask.area * height * width, y * height, x * width, *physical]
    return [*place, *own, *physical]


def _without(scale: Scale | None, shape: bool) -> list[float]:
    """Return what stands for the rest of an object that is not there."""
    names = columns(scale, shape=shape)[len(PLACE) :]
    return [0.0 if name == "area" else math.nan for name in names]


def _form(crop: NDArray[np.bool_], scale: Scale | None) -> tuple[list[float], list[float]]:
    from skimage.measure import regionprops

    region: Any = regionprops(crop.astype(np.uint8))[0]
    axes = [region.axis_major_length, region.axis_minor_length]
    own = [region.perimeter, *axes, region.orientation, region.solidity]
    if scale is None:
        return own, []
    if scale.square:
        side = scale.size[0]
        return own, [region.perimeter * side, *(axis * side for axis in axes), region.orientation]
    seen: Any = regionprops(crop.astype(np.uint8), spacing=scale.size)[0]
    # scikit-image has no perimeter of pixels that are not square.
    return own, [math.nan, seen.axis_major_length, seen.axis_minor_length, seen.orientation]

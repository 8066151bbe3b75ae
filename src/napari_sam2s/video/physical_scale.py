"""How large pixels are, and how far apart frames, by what a file says: TIFF, OME-Zarr, the pixel aspect of video."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

PIXEL, SECOND = "pixel", "second"
NEARLY_SQUARE = 0.01  # from the rounding of a whole picture's aspect
# As files spell them; napari knows the full names.
LENGTHS = {
    "nanometer": ("nm", "nanometre", "nanometers"),
    "micrometer": ("um", "µm", "μm", "micron", "microns", "micrometre", "micrometers", "\\u00b5m"),
    "millimeter": ("mm", "millimetre", "millimeters"),
    "centimeter": ("cm", "centimetre", "centimeters"),
    "meter": ("m", "metre", "meters"),
    "angstrom": ("å", "a", "angstroms"),
    "inch": ("in", "inches"),
}
SECONDS = {  # how many a unit has
    "nanosecond": 1e-9,
    "ns": 1e-9,
    "microsecond": 1e-6,
    "us": 1e-6,
    "µs": 1e-6,
    "millisecond": 1e-3,
    "ms": 1e-3,
    "msec": 1e-3,
    "second": 1.0,
    "seconds": 1.0,
    "sec": 1.0,
    "s": 1.0,
    "minute": 60.0,
    "min": 60.0,
    "minutes": 60.0,
    "hour": 3600.0,
    "h": 3600.0,
    "hr": 3600.0,
    "hours": 3600.0,
    "day": 86400.0,
    "d": 86400.0,
}
METERS = dict(zip(LENGTHS, (1e-9, 1e-6, 1e-3, 1e-2, 1.0, 1e-10, 0.0254), strict=True))
_LENGTH_NAMES = {spelt: name for name, others in LENGTHS.items() for spelt in (name, *others)}


@dataclass(frozen=True)
class PhysicalScale:
    """What a file says of the size of its pixels and the distance of its frames."""

    pixel_size: tuple[float, float] | None = None  # (y, x) in ``unit``; None where it does not say
    unit: str = PIXEL
    interval: float | None = None  # seconds between two frames
    depth: float | None = None  # in ``unit`` from slice to slice, of a z-stack that is tracked like a video
    times: NDArray[np.float64] | None = None  # seconds of every frame, where they are noted one by one


NOTHING_SAID = PhysicalScale()


def length_name(spelt: Any) -> str | None:
    """Return the full name of a unit of length, ``None`` for what is none, such as pixels."""
    word = str(spelt or "").strip().rstrip("\0")
    return _LENGTH_NAMES.get(word) or _LENGTH_NAMES.get(word.lower())


def of_aspect(aspect: Fraction) -> PhysicalScale:
    """Return the scale of video whose pixels are so many times as wide as high."""
    return NOTHING_SAID if abs(aspect - 1) < NEARLY_SQUARE else PhysicalScale((1.0, float(aspect)))


def layer_scale(said: PhysicalScale) -> dict[str, Any]:
    """Return ``scale`` and ``units`` of a napari layer.

    The first axis counts frames, but where pixels have a size in a unit of length: then time, or depth, is one as well.
    """
    unit, size = said.unit, said.pixel_size or (1.0, 1.0)
    step, step_unit = 1.0, PIXEL
    if unit != PIXEL and said.depth:
        step, step_unit = said.depth, unit
    elif unit != PIXEL and said.interval:
        step, step_unit = said.interval, SECOND
    return {"scale": (step, *size), "units": (step_unit, unit, unit)}


def _positive(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return number if 0 < number < math.inf else None


def _as(value: Any, unit: str | None, other: str | None) -> float | None:
    """Return a length that is given in a unit in another one."""
    number = _positive(value)
    if number is None or unit == other or unit is None or other is None:
        return number if unit == other else None
    return float(f"{number * METERS[unit] / METERS[other]:.12g}")


def _made(y: Any, x: Any, unit: str | None, interval: float | None, depth: Any = None, times: Any = None) -> PhysicalScale:
    height, width = _positive(y), _positive(x)
    size = (height, width) if height and width and unit else None
    return PhysicalScale(size, unit if size and unit else PIXEL, interval, _positive(depth) if size else None, times)


def _seconds(value: Any, unit: Any) -> float | None:
    number, factor = _positive(value), SECONDS.get(str(unit or "s").strip().lower())
    return None if number is None or factor is None else number * factor


def of_tiff(path: Path) -> PhysicalScale:
    """Return what a TIFF says, by OME's XML, ImageJ's, Micro-Manager's, Zeiss' (LSM) or MetaMorph's (STK) metadata.

    The resolution that every TIFF has is not taken: most programs write that of a printer.
    """
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            found = _say(tiff)
            series = tiff.series[0]
            lengths = dict(zip(series.axes, series.shape, strict=True))
    except (tifffile.TiffFileError, OSError, IndexError, ValueError, TypeError, KeyError, ElementTree.ParseError):
        return NOTHING_SAID
    deep = lengths.get("Z", 1) > 1 and lengths.get("T", 1) == 1
    if deep:
        return PhysicalScale(found.pixel_size, found.unit, None, found.depth)
    return PhysicalScale(found.pixel_size, found.unit, found.interval, None, found.times)


def _say(tiff: Any) -> PhysicalScale:
    if tiff.is_ome and tiff.ome_metadata:
        return _of_ome(tiff.ome_metadata)
    if tiff.is_imagej:
        return _of_imagej(tiff.imagej_metadata or {}, tiff.pages.first)
    if tiff.is_micromanager:
        facts = (tiff.micromanager_metadata or {}).get("Summary", {})
        size = facts.get("PixelSize_um")
        return _made(size, size, "micrometer", _seconds(facts.get("Interval_ms"), "ms"), facts.get("z-step_um"))
    if tiff.is_lsm:
        facts = tiff.lsm_metadata or {}
        y, x, z = (_positive(facts.get(f"VoxelSize{a}")) for a in "YXZ")
        micro = [None if side is None else side * 1e6 for side in (y, x, z)]
        return _made(micro[0], micro[1], "micrometer", _positive(facts.get("TimeIntervall")), micro[2])
    if tiff.is_stk:
        facts = tiff.stk_metadata or {}
        if facts.get("SpatialCalibration"):
            return _made(facts.get("YCalibration"), facts.get("XCalibration"), length_name(facts.get("CalibrationUnits")), None)
    return NOTHING_SAID


def _of_imagej(facts: Mapping[str, Any], page: Any) -> PhysicalScale:
    """ImageJ writes pixels a unit into the resolution, and the unit beside it (https://imagej.net/ij/plugins/metadata)."""
    unit = length_name(str(facts.get("unit", "")))
    x, y = (_per_unit(page.tags.get(name)) for name in ("XResolution", "YResolution"))
    y = _as(y, length_name(facts.get("yunit", unit)), unit)
    return _made(y, x, unit, _seconds(facts.get("finterval"), facts.get("tunit")), facts.get("spacing"))


def _per_unit(tag: Any) -> float | None:
    pixels, units = (0, 0) if tag is None else tag.value
    return units / pixels if pixels else None


def _of_ome(text: str) -> PhysicalScale:
    """Read ``Pixels`` of the first image (https://www.openmicroscopy.org/Schemas/Documentation/Generated/OME-2016-06)."""
    root = ElementTree.fromstring(text)
    pixels = next((e for e in root.iter() if e.tag.rpartition("}")[2] == "Pixels"), None)
    if pixels is None:
        return NOTHING_SAID
    says = pixels.attrib
    units = {a: length_name(says.get(f"PhysicalSize{a}Unit", "µm")) for a in "XYZ"}
    height, depth = (_as(says.get(f"PhysicalSize{a}"), units[a], units["X"]) for a in "YZ")
    interval, times = _seconds(says.get("TimeIncrement"), says.get("TimeIncrementUnit")), _plane_times(pixels)
    if interval is None and times is not None:
        interval = float(np.median(np.diff(times)))
    return _made(height, says.get("PhysicalSizeX"), units["X"], interval, depth, times)


def _plane_times(pixels: Any) -> NDArray[np.float64] | None:
    """Return when every frame was taken, if all planes of the first channel and slice say so, in order."""
    found: dict[int, float] = {}
    for plane in pixels:
        says = plane.attrib
        if plane.tag.rpartition("}")[2] != "Plane" or (says.get("TheC", "0"), says.get("TheZ", "0")) != ("0", "0"):
            continue
        factor = SECONDS.get(says.get("DeltaTUnit", "s"))
        if "DeltaT" not in says or factor is None:
            return None
        found[int(says["TheT"])] = float(says["DeltaT"]) * factor
    frames = int(pixels.get("SizeT", "0"))
    if frames < 2 or sorted(found) != list(range(frames)):
        return None
    times = np.array([found[t] for t in range(frames)])
    return times if (np.diff(times) > 0).all() and np.isfinite(times).all() else None


def of_multiscale(scales: Mapping[str, Any], shape: Sequence[int]) -> PhysicalScale:
    """Return what an OME-Zarr image says of its finest level (https://ngff.openmicroscopy.org/0.4, "multiscales")."""
    try:
        axes = [a if isinstance(a, dict) else {"name": a} for a in scales.get("axes", [])]
        steps = np.ones(len(axes))
        said = False
        for kind in (*scales["datasets"][0].get("coordinateTransformations", ()), *scales.get("coordinateTransformations", ())):
            if kind.get("type") == "scale":
                steps, said = steps * np.array(kind["scale"], float), True
        if not said:
            return NOTHING_SAID
        by_name = {str(a["name"]).lower(): (float(s), a.get("unit"), n) for a, s, n in zip(axes, steps, shape, strict=True)}
        (y, y_unit, _), (x, x_unit, _) = by_name["y"], by_name["x"]
        unit = length_name(x_unit)
        y = _as(y, length_name(y_unit), unit) or 0.0
        z, z_unit, slices = by_name.get("z", (None, None, 1))
        t, t_unit, frames = by_name.get("t", (None, None, 1))
    except (TypeError, ValueError, KeyError, IndexError, AttributeError):
        return NOTHING_SAID
    deep = slices > 1 and frames == 1
    depth = _as(z, length_name(z_unit), unit) if deep else None
    interval = _seconds(t, t_unit) if t_unit and not deep else None
    return _made(y, x, unit, interval, depth)

"""A table of measurements, one row an object and frame: ``<video>_measurements.csv``.

A row with area 0 says that the object was looked for and is not there; a frame on which nobody looked has no row. Places are
in pixels of the video, pixel centres at integers, the ends of boxes excluded. ``area`` is in squares of ``unit`` and empty
where the size of a pixel is not known. ``time_s`` is that of the video's own clock where the video is given, else the frame
divided by the frames a second (empty where these are not known). If the project has phases, their table is written beside it,
see :mod:`phase_table`. ``<video>_objects.csv`` is the table of one row an object, see :func:`measure`.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from napari_sam2s.errors import FormatError
from napari_sam2s.formats.atomic_write import file_in, whole_file
from napari_sam2s.formats.mask_entries import annotated_frames, entries_of, seconds_of
from napari_sam2s.formats.phase_table import facts_of_phases, write_phases
from napari_sam2s.formats.text_cells import csv_cell
from napari_sam2s.masklets import rle
from napari_sam2s.masklets.mask_queries import Entry
from napari_sam2s.masklets.protocol import Masklets

ENDING, OBJECTS_ENDING = "_measurements.csv", "_objects.csv"
COLUMNS = (
    *("frame", "time_s", "object_id", "name", "class", "area_px", "area", "unit"),
    *("centroid_y", "centroid_x", "y0", "x0", "y1", "x1", "predicted_iou", "object_score", "origin", "confirmed"),
)
PixelSize = tuple[float, float]  # (y, x)


def write_measurements(
    masklets: Masklets, root: Path | str, video: str, *, pixel_size: PixelSize | None = None, unit: str = ""
) -> Path:
    """Write the table as ``root/<video>_measurements.csv``, or as the file ``root`` if that ends in ``.csv``; return the file.

    Parameters
    ----------
    pixel_size
        Height and width of a pixel in ``unit``, such as ``(0.5, 0.5)`` and ``"micrometer"``; by default what the project
        noted of its video.

    Raises
    ------
    FormatError
        If nothing is annotated, or the pixel size is not positive.
    """
    annotated_frames(masklets, video)
    if pixel_size is not None and not (len(pixel_size) == 2 and all(0 < side < math.inf for side in pixel_size)):
        raise FormatError(f"A pixel size is two numbers above 0, height and width; got {pixel_size}.")
    path = file_in(root, video, ENDING)
    with whole_file(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        rows = measurements(masklets, pixel_size=pixel_size, unit=unit)
        writer.writerows({key: csv_cell(value) for key, value in row.items()} for row in rows)
        if facts_of_phases(masklets):
            write_phases(masklets, path.parent, path.stem.removesuffix(Path(ENDING).stem))
    return path


def write_object_table(
    masklets: Masklets, root: Path | str, video: str, *, pixel_size: PixelSize | None = None, unit: str = ""
) -> Path:
    """Write one row an object as ``root/<video>_objects.csv``, or as the file ``root``; see :func:`measure`.

    Raises :class:`FormatError` if nothing is annotated, or the pixel size is not positive.
    """
    from napari_sam2s.measurements import measure  # which imports this package
    from napari_sam2s.measurements.table_files import write_csv

    annotated_frames(masklets, video)
    path = file_in(root, video, OBJECTS_ENDING)
    with whole_file(path) as part:
        write_csv(measure(masklets, table="objects", pixel_size=pixel_size, unit=unit), part)
    return path


def read_pixel_size(word: str) -> PixelSize:
    """Return the size of a pixel ``(y, x)`` from words such as ``0.5`` (a square) and ``0.5,0.4``."""
    try:
        y, x = [float(side) for side in word.split(",")] * (1 if "," in word else 2)
    except ValueError as error:
        raise FormatError(f"{word} is not one or two numbers, such as 0.5 or 0.5,0.4.") from error
    return y, x


def measurements(masklets: Masklets, *, pixel_size: PixelSize | None = None, unit: str = "") -> Iterator[dict[str, Any]]:
    """Yield the rows, by frame and object; the keys are ``COLUMNS``, and what is not known is ``""``."""
    objects = {o.id: o for o in masklets.objects}
    noted = getattr(masklets, "video", None)
    if pixel_size is None and unit:
        raise FormatError(f"The unit {unit} needs a pixel size: give one, such as 0.5.")
    if pixel_size is None and (pixel_size := getattr(noted, "pixel_size", None)) is not None:
        unit = getattr(noted, "pixel_unit", "")
    pixel = pixel_size[0] * pixel_size[1] if pixel_size is not None else None
    for frame in masklets.frames:
        seconds = seconds_of(masklets, frame)
        for entry in entries_of(masklets, frame):
            known = objects.get(entry.object_id)
            if known is None:  # removed from the project
                continue
            yield {
                "frame": frame,
                "time_s": "" if seconds is None else round(seconds, 4),
                **{"object_id": known.id, "name": known.name, "class": known.class_name or ""},
                "area_px": entry.mask.area,
                "area": "" if pixel is None else f"{entry.mask.area * pixel:.12g}",
                "unit": "" if pixel is None else unit,
                **_place(entry.mask),
                **_judgement(entry),
            }


def _place(mask: rle.Mask) -> dict[str, Any]:
    if not mask.area:
        return dict.fromkeys(("centroid_y", "centroid_x", "y0", "x0", "y1", "x1"), "")
    crop = rle.decode_crop(mask)
    y = np.count_nonzero(crop, axis=1) @ np.arange(mask.height) / mask.area + mask.y0
    x = np.count_nonzero(crop, axis=0) @ np.arange(mask.width) / mask.area + mask.x0
    corners = {"y0": mask.y0, "x0": mask.x0, "y1": mask.y0 + mask.height, "x1": mask.x0 + mask.width}
    return {"centroid_y": round(float(y), 2), "centroid_x": round(float(x), 2), **corners}


def _judgement(entry: Entry) -> dict[str, Any]:
    scores = entry.scores
    return {
        "predicted_iou": "" if scores is None else round(scores.iou, 4),
        "object_score": "" if scores is None else round(scores.object_score, 4),
        "origin": entry.origin or "",
        "confirmed": int(entry.confirmed) if entry.origin else "",
    }

"""The phases of a video as a table, ``<video>_phases.csv``, and as plain data for the JSON of other formats.

A row is a phase, the earliest first. ``start_frame`` is its first frame and ``last_frame`` its last, in seconds ``start_s`` and
``end_s``, where it is over: by the video's own clock where the video is given, else by the frames a second (empty where these
are not known). What has begun and not ended has no last frame.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_sam2s.errors import FormatError
from napari_sam2s.formats.atomic_write import file_in, whole_file
from napari_sam2s.formats.foreign_files import whole
from napari_sam2s.formats.mask_entries import seconds_of
from napari_sam2s.formats.text_cells import csv_cell
from napari_sam2s.masklets.phases import Phase
from napari_sam2s.masklets.protocol import Masklets

ENDING = "_phases.csv"
COLUMNS = ("phase", "start_frame", "last_frame", "start_s", "end_s")


def facts_of_phases(masklets: Masklets) -> list[dict[str, Any]]:
    """Return a dictionary of ``COLUMNS`` for each phase, ``None`` for what is not known; of what is no project, nothing."""
    facts = []
    for phase in getattr(masklets, "phases", ()):
        last = None if phase.stop is None else phase.stop - 1
        end = None if last is None else _end(masklets, last)
        values = (phase.name, phase.start, last, seconds_of(masklets, phase.start), end)
        facts.append(dict(zip(COLUMNS, values, strict=True)))
    return facts


def phases_of_facts(facts: Sequence[Mapping[str, Any]]) -> tuple[Phase, ...]:
    """Return the phases that the JSON of a format has, see :func:`facts_of_phases`."""
    found = []
    for n, each in enumerate(facts or (), 1):
        last = each.get("last_frame")
        found.append(Phase(n, str(each["phase"]), whole(each["start_frame"]), None if last is None else whole(last) + 1))
    return tuple(found)


def _end(masklets: Masklets, last: int) -> float | None:
    """Return when a frame is over, in seconds: at the next one, and of the video's last after as long as the one before."""
    times = getattr(masklets, "timestamps", None)
    if times is None or last + 1 < len(times):
        return seconds_of(masklets, last + 1)
    shown = float(times[last]) - float(times[last - 1]) if last else 0.0
    return round(float(times[last]) + shown, 6)


def write_phases(masklets: Masklets, root: Path | str, video: str) -> Path:
    """Write the table as ``root/<video>_phases.csv``, or as the file ``root`` if that ends in ``.csv``; return the file.

    Raises :class:`FormatError` if there is no phase, or it cannot be written.
    """
    facts = facts_of_phases(masklets)
    if not facts:
        raise FormatError(f"{video} has no phases to write: mark one first, with Shift-M or project.phases.mark.")
    path = file_in(root, video, ENDING)
    with whole_file(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows({key: "" if value is None else csv_cell(value) for key, value in row.items()} for row in facts)
    return path

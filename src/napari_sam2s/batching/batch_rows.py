"""What became of each video of a batch, and the table of it."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_sam2s.formats.atomic_write import whole_file
from napari_sam2s.formats.text_cells import csv_cell, from_csv_cell

STATES = ("waiting", "running", "done", "nothing to do", "failed", "stopped")
COLUMNS = (
    "video",
    "project",
    "state",
    "objects",
    "frames",
    "tracked_frames",
    "seconds",
    "frames_per_second",
    "attempts",
    "worker",
    "message",
)


@dataclass
class BatchRow:
    """One video of a batch, as far as it is."""

    video: Path
    project: Path
    state: str = "waiting"  # one of STATES
    objects: int = 0
    frames: int = 0  # of the video
    tracked: int = 0  # by this call
    total: int = 0  # that this call is to track, as far as it is known
    seconds: float = 0.0  # of work
    attempts: int = 0
    worker: str = ""
    message: str = ""  # why it failed, or what to look at

    @property
    def over(self) -> bool:
        """Whether nothing more happens to it in this call."""
        return self.state not in ("waiting", "running")

    @property
    def rate(self) -> float:
        """Frames a second; NaN while nothing is known."""
        return self.tracked / self.seconds if self.seconds and self.tracked else math.nan

    def cells(self) -> list[object]:
        """Return the row of the table, as ``COLUMNS`` name it."""
        rate = "" if math.isnan(self.rate) else f"{self.rate:.2f}"
        names = (str(self.video), str(self.project), self.state)
        return [
            *(csv_cell(name) for name in names),
            self.objects,
            self.frames,
            self.tracked,
            f"{self.seconds:.1f}",
            rate,
            self.attempts,
            csv_cell(self.worker),
            csv_cell(self.message),
        ]


def write_summary(rows: Sequence[BatchRow], path: Path) -> Path:
    """Write the table as CSV, whole or not at all.

    An earlier one at that place goes on: it keeps its rows of other videos, and those of finished ones for which this call
    does nothing, or nothing yet.

    Raises
    ------
    FormatError
        If it cannot be written.
    """
    table = _earlier(path)
    for row in rows:
        key, cells = row.project.absolute(), dict(zip(COLUMNS, row.cells(), strict=True))
        before = table.get(key)
        if before is not None and before["state"] == "done" and (row.state == "nothing to do" or not row.attempts):
            known = ("objects", "frames") if row.frames else ()
            cells = {**before, **{name: cells[name] for name in ("video", "project", *known)}}
        table[key] = cells
    with whole_file(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(table.values())
    return path


def _earlier(path: Path) -> dict[Path, dict[str, Any]]:
    """Return the rows of a summary by project; none where there is no summary, or another table."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows = list(reader) if tuple(reader.fieldnames or ()) == COLUMNS else []
    except (OSError, ValueError, csv.Error):
        return {}
    whole = [row for row in rows if None not in row and None not in row.values()]
    return {Path(from_csv_cell(row["project"])).absolute(): row for row in whole}

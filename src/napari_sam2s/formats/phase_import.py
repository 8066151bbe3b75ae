"""Phases of other tools: our own table, tables of spans, and tables with a phase a frame, as Cholec80 has them.

A table is text with a header; its columns are separated by tabs, commas, semicolons or spaces. It has a column with names (one
of ``NAMES``, the first of them that there is) and either

- ``start_frame`` and perhaps ``last_frame``: the first and the last frame, counted from 0, as an export writes them;
- ``start_s`` and perhaps ``end_s``: seconds;
- ``frame`` (one of ``FRAMES``): a row for every frame, or for every 25th and the like. Each counts until the next one.
"""

from __future__ import annotations

import csv
import math
import re
import warnings
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from napari_sam2s.errors import FormatError
from napari_sam2s.formats.foreign_files import reading, whole
from napari_sam2s.formats.text_cells import from_csv_cell
from napari_sam2s.masklets import Phase, Project
from napari_sam2s.wording import counted

NAMES = ("phase", "event", "name", "label", "class", "step")
FRAMES = ("frame", "frame_id", "frame_number", "frame_index", "#frame")
NOTHING = ("", "nan", "none", "null")
MOST_BYTES = 64 * 2**20
Row = tuple[str, int, int | None]  # name, first frame, frame behind the last


def import_phases(project: Project, path: Path | str, *, video: Any = None, fps: float | None = None) -> tuple[Phase, ...]:
    """Add the phases of a table to a project, as one step of undo, and return them.

    Parameters
    ----------
    video
        The open :class:`Video`, whose own clock turns seconds into frames; else the project's rate does.
    fps
        Of a table with a phase a frame: how many of its frames are a second, if it was made at another rate than the video's.

    Raises
    ------
    FormatError
        If the file is no such table, or does not fit the video.
    ProjectError
        If a phase lies outside of the video, or one of its name is on its frames already. Nothing was added then.
    """
    if fps is not None and not (math.isfinite(fps) and fps > 0):
        raise FormatError(f"fps={fps!r}: give the frames per second of the table, such as 1 or 25.")
    path = Path(path).expanduser()
    with reading(path, "a table of phases"):
        rows = _Table(path, _Clock(project, video), fps).rows()
    if not rows:
        raise FormatError(f"{path} has no phase.")
    with project.history.step("import phases"):
        return project.phases.extend(rows)


class _Clock:
    """From seconds to frames."""

    def __init__(self, project: Project, video: Any) -> None:
        self.frames: int = project.shape[0]
        self.fps: float | None = project.fps
        known = video is not None and getattr(video, "fps", None) is not None and len(video) == self.frames
        self._times = np.asarray(video.timestamps) if known else None

    def frame(self, seconds: float) -> int:
        """Return the first frame at a time or behind it."""
        if self._times is not None:
            return int(np.searchsorted(self._times, seconds - 1e-4))
        if not self.fps:
            raise FormatError("The video has no frame rate, so seconds cannot be used: give a table of frames.")
        return math.ceil(seconds * self.fps - 1e-3)


class _Table:
    """A file with a header."""

    def __init__(self, path: Path, clock: _Clock, fps: float | None) -> None:
        self._path, self._clock, self._fps = path, clock, fps
        if path.stat().st_size > MOST_BYTES:
            raise FormatError(f"{path} is too large for a table of phases: {MOST_BYTES // 2**20} MB at most are read.")
        lines = [line for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
        if not lines:
            raise FormatError(f"{path} is empty.")
        between = next((mark for mark in "\t;," if mark in lines[0]), None)
        try:
            cells = (
                [line.split(maxsplit=1) for line in lines] if between is None else list(csv.reader(lines, delimiter=between))
            )
        except csv.Error as error:
            raise FormatError(f"{path} is not a table of phases ({error}).") from error
        headless = re.fullmatch(r"\d+", cells[0][0].strip()) and len(cells[0]) == 2
        self._columns = ["frame", "phase"] if headless else [cell.strip().lower() for cell in cells[0]]
        self._cells = cells if headless else cells[1:]

    def rows(self) -> list[Row]:
        """Return the phases."""
        name = self._column(*NAMES)
        if name is not None and (frame := self._column(*FRAMES)) is not None:
            return self._frame_by_frame(frame, name)
        for first, last in (("start_frame", "last_frame"), ("start_s", "end_s")):
            if name is not None and (start := self._column(first)) is not None:
                return [self._span(row, name, start, self._column(last)) for row in self._cells if self._text(row, name)]
        raise FormatError(
            f"{self._path} has the columns {', '.join(self._columns)[:200]}: a table of phases has `phase`, and `frame`, "
            "or `start_frame` and `last_frame`, or `start_s` and `end_s`."
        )

    def _column(self, *names: str) -> int | None:
        return next((self._columns.index(name) for name in names if name in self._columns), None)

    def _text(self, row: Sequence[str], column: int | None) -> str:
        text = row[column].strip() if column is not None and column < len(row) else ""
        return "" if text.lower() in NOTHING else text

    def _name(self, row: Sequence[str], column: int) -> str:
        text = from_csv_cell(self._text(row, column))
        return f"phase {text}" if re.fullmatch(r"\d+", text) else text

    def _span(self, row: Sequence[str], name: int, start: int, last: int | None) -> Row:
        first, end = self._text(row, start), self._text(row, last)
        if self._columns[start] == "start_frame":
            return self._name(row, name), whole(float(first)), whole(float(end)) + 1 if end else None
        begin = self._clock.frame(float(first))
        return self._name(row, name), begin, max(begin + 1, self._clock.frame(float(end))) if end else None

    def _frame_by_frame(self, frame: int, name: int) -> list[Row]:
        numbers = [whole(float(row[frame])) for row in self._cells]
        for n, after in pairwise(numbers):
            if after <= n:
                raise FormatError(f"{self._path} has frame {after} after frame {n}: give one row for each frame, in order.")
        if not numbers:
            return []
        step = int(median(b - a for a, b in pairwise(numbers))) if len(numbers) > 1 else 1
        if numbers[0] == 1 and step == 1:  # counted from 1
            numbers = [n - 1 for n in numbers]
        ends = [min(after, n + step) for n, after in pairwise([*numbers, numbers[-1] + step])]
        found: list[Row] = []
        for row, start, stop in zip(self._cells, *self._on_video(numbers, ends), strict=True):
            text = self._name(row, name)
            if found and found[-1][0] == text and found[-1][2] == start:
                found[-1] = text, found[-1][1], stop
            elif text and stop > start:
                found.append((text, start, stop))
        return found

    def _on_video(self, starts: list[int], ends: list[int]) -> tuple[list[int], list[int]]:
        """Return frames of the table as frames of the video."""
        frames = self._clock.frames
        if self._fps is not None:
            starts, ends = ([self._clock.frame(n / self._fps) for n in each] for each in (starts, ends))
        elif 2 * ends[-1] <= frames:
            raise FormatError(
                f"{self._path} ends with frame {ends[-1] - 1} and the video with frame {frames - 1}. Give its "
                f"rate: --fps 1 if it has one row per second, or the video's ({self._clock.fps or 25:g}) if it ends there."
            )
        over = ends[-1] - frames
        if over > max(1.0, self._clock.fps or 1.0):  # a second
            raise FormatError(
                f"{self._path} extends to frame {ends[-1] - 1} and the video ends with frame {frames - 1}: it belongs "
                f"to another "
                "video, or has another rate (--fps)."
            )
        if over > 0:
            said = f"{self._path.name} continues for {counted(over, 'frame')} after the end of the video. The rest is left out."
            warnings.warn(said, stacklevel=2)
        return [min(n, frames) for n in starts], [min(n, frames) for n in ends]

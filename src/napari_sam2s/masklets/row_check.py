"""Whether the rows of a project file are what this package writes: other words, other numbers, ids that point nowhere.

The pages of such a file are sound, so SQLite says nothing. Tables that stay small are looked at whenever a project is opened,
masks too where that takes no time; ``napari-sam2s doctor`` looks at all of them.
"""

from __future__ import annotations

import json
import math
import sqlite3
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

from napari_sam2s.masklets.page_check import damaged
from napari_sam2s.masklets.picture_changes import unpacked
from napari_sam2s.masklets.schema import cannot_be_opened, wrong_tables
from napari_sam2s.masklets.types import Origin

QUICK_BYTES = 64 * 2**20  # of a file whose masks are looked at whenever it is opened: some 100 ms
LARGEST_ID = 2**53  # what a file of any format can hold
SHOWN = 40  # characters of a value in a sentence
RUN_STATES = ("running", "finished", "paused", "interrupted", "failed")
DIRECTIONS = ("forward", "backward", "both")


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _path(value: Any) -> bool:
    return isinstance(value, str | bytes)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _flag(value: Any) -> bool:
    return value in (0, 1)


def _id(value: Any) -> bool:
    return _whole(value) and 1 <= value <= LARGEST_ID


def _frame(value: Any) -> bool:
    return _whole(value) and value >= 0


def _or_none(sound: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or sound(value)


def _json(sound: Callable[[Any], bool]) -> Callable[[Any], bool]:
    def is_sound(value: Any) -> bool:
        try:
            return _text(value) and sound(json.loads(value))
        except (ValueError, RecursionError):
            return False

    return is_sound


def _numbers(count: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and len(value) == count and all(map(_number, value))


def _what_was_said(content: Any) -> bool:
    """Whether it is the content of a prompt: points (y, x), a label 0 or 1 for each, and a box or none."""
    if not isinstance(content, dict):
        return False
    points, labels, box = (content.get(key) for key in ("points", "labels", "box"))
    if not isinstance(points, list) or not isinstance(labels, list) or len(points) != len(labels):
        return False
    return all(map(_numbers(2), points)) and all(map(_flag, labels)) and (not box or _numbers(4)(box))


def _what_is_asked(content: Any) -> bool:
    """Whether it is the content of an uncertain link."""
    if not isinstance(content, dict) or not isinstance(content.get("candidates"), list):
        return False
    candidates = all(_numbers(2)(pair) and _id(pair[0]) for pair in content["candidates"])
    return candidates and _text(content.get("reason")) and isinstance(content.get("source"), dict)


def _listing(value: Any) -> bool:
    """Whether it is a listing of pictures, see picture_changes.py."""
    try:
        unpacked(value)
    except (zlib.error, ValueError, TypeError, AttributeError, LookupError):
        return False
    return True


# Of each column what it may hold. Colours are not here: earlier versions kept any, and they are read as well as can be.
SOUND: Mapping[str, Mapping[str, Callable[[Any], bool]]] = {
    "objects": {
        "id": _id,
        "name": _text,
        "class_name": _or_none(_text),
        "sort": _whole,
        "locked": _flag,
        "visible": _flag,
        "removed": _flag,
        "parent": _or_none(_id),
    },
    "prompts": {
        "object_id": _id,
        "frame": _whole,
        "content": _json(_what_was_said),
        "mask": _or_none(lambda value: isinstance(value, bytes) and len(value) >= 40),
        "removed": _flag,
    },
    "runs": {
        "id": _id,
        "started": _number,
        "finished": _or_none(_number),
        "status": lambda value: value in RUN_STATES,
        "provenance": _json(lambda value: isinstance(value, dict)),
        "step": _or_none(_whole),
        "next_frame": _or_none(_whole),
        "stop_frame": _or_none(_whole),
        "direction": _or_none(lambda value: value in DIRECTIONS),
        "start_frame": _or_none(_whole),
        "seconds": _number,
    },
    "links": {
        "object_id": _id,
        "frame": _whole,
        "content": _json(_what_is_asked),
        "ruled_out": _json(lambda value: isinstance(value, list) and all(map(_id, value))),
        "same_as": _or_none(_id),
    },
    "phases": {"id": _id, "name": _text, "start": _frame, "stop": _or_none(_frame)},
    "class_lists": {"id": _whole, "names": _json(lambda value: isinstance(value, list) and all(map(_text, value)))},
    "steps": {"label": _text, "made": _number, "undone": _flag},
}
# The same of what is known of the video.
_FACTS: Mapping[str, Callable[[Any], bool]] = {
    "fps": _or_none(lambda value: _number(value) and value > 0),
    "pixel_size": _or_none(_json(lambda value: value is None or (_numbers(2)(value) and min(value) > 0))),
    "pixel_unit": _or_none(_text),
    "stream": _or_none(_whole),
    "fingerprint": _text,
    "sample_fingerprint": _or_none(_text),
    "pictures": _or_none(_listing),
    "video": _or_none(_path),
    "video_relative": _or_none(_path),
    "created": _or_none(_number),
    "stripped_runs": _or_none(_json(lambda value: isinstance(value, list) and all(map(_whole, value)))),
}
# The same of masks in SQL, of which there may be hundreds of thousands; the index has these columns. {frames} is of the video.
_MASKS = {
    "origin": f"origin IN ({', '.join(map(repr, get_args(Origin)))})",
    "iou": "typeof(iou) = 'null' OR (typeof(iou) = 'real' AND iou BETWEEN -1 AND 1.5)",
    "object_score": "typeof(object_score) = 'null' OR (typeof(object_score) = 'real' AND object_score BETWEEN -63 AND 63)",
    "confirmed": "confirmed IN (0, 1)",
    "y_sum": "typeof(y_sum) = 'null' OR (typeof(y_sum) = 'integer' AND y_sum BETWEEN 0 AND area * (height - 1))",
    "x_sum": "typeof(x_sum) = typeof(y_sum) AND (x_sum IS NULL OR x_sum BETWEEN 0 AND area * (width - 1))",
    "frame": "typeof(frame) = 'integer'",
    "object_id": "object_id IN (SELECT id FROM objects)",
}


def unsound_column(table: str, row: sqlite3.Row | Mapping[str, Any]) -> str | None:
    """Return the name of a column of a row that does not hold what it should, or ``None``."""
    return next((name for name, sound in SOUND[table].items() if name in row.keys() and not sound(row[name])), None)  # noqa: SIM118


def lost_parents(parents: Mapping[int, int | None]) -> set[int]:
    """Return the objects whose parent does not exist, or that descend from themselves; ``parents`` has all objects."""
    return {
        child
        for child, parent in parents.items()
        if parent is not None and (parent not in parents or child in _above(child, parents))
    }


def _above(child: int, parents: Mapping[int, int | None]) -> set[int]:
    seen: set[int] = set()
    above = parents[child]
    while above is not None and above not in seen:
        seen.add(above)
        above = parents.get(above)
    return seen


def unsound_fact(facts: Mapping[str, Any]) -> str | None:
    """Return the name of what a project keeps of its video that cannot be, or ``None``; ``shape`` is not looked at."""
    return next((key for key, sound in _FACTS.items() if not sound(facts.get(key))), None)


def refuse_unsound_rows(connection: sqlite3.Connection, path: Path, frames: int) -> None:
    """Look at the tables and rows of a project of ``frames`` frames; at masks only in a file that is not large.

    Raises :class:`ProjectError` if one is not what this package writes, with its place and value.
    """
    try:
        found = wrong_tables(connection) or _unsound_rows(connection, frames) or _unsound_references(connection)
        if found is None and path.stat().st_size <= QUICK_BYTES:
            found = _unsound_mask(connection)
    except sqlite3.DatabaseError as error:
        raise cannot_be_opened(path, error, "is damaged") from error
    if found is not None:
        raise damaged(path, found)


def _unsound_rows(connection: sqlite3.Connection, frames: int) -> str | None:
    for table in SOUND:
        for row in connection.execute(f"SELECT * FROM {table}"):
            wrong = unsound_column(table, row)
            if wrong is None and table in ("prompts", "links") and not 0 <= row["frame"] < frames:
                wrong = "frame"
            if wrong is not None:
                return f"{table}, row {_shown(row['id'])}: {wrong} is {_shown(row[wrong])}"
    return None


def _unsound_references(connection: sqlite3.Connection) -> str | None:
    parents = dict(connection.execute("SELECT id, parent FROM objects").fetchall())
    if lost := lost_parents(parents):
        child = min(lost)
        return f"object {child} descends from {parents[child]}, which is not there or descends from it"
    for table, column, other in (
        ("prompts", "object_id", "objects"),
        ("links", "object_id", "objects"),
        ("links", "same_as", "objects"),
        ("hidden_runs", "run", "runs"),
    ):
        sql = f"SELECT {column} FROM {table} WHERE {column} NOT IN (SELECT id FROM {other}) LIMIT 1"
        if (row := connection.execute(sql).fetchone()) is not None:
            return f"{table.replace('_', ' ')} of {other[:-1]} {_shown(row[0])}, which is not there"
    sql = "SELECT h.run FROM hidden_runs h JOIN runs r ON r.id = h.run JOIN steps s ON s.id = r.step WHERE NOT s.undone LIMIT 1"
    row = connection.execute(sql).fetchone()
    return None if row is None else f"masks of run {row[0]} are hidden, and it was not undone"


def _unsound_mask(connection: sqlite3.Connection) -> str | None:
    wrong = " ".join(f"WHEN ({sound}) IS NOT TRUE THEN '{name}'" for name, sound in _MASKS.items())
    sql = (
        f"SELECT {', '.join(_MASKS)}, CASE {wrong} END AS wrong FROM masks INDEXED BY masks_of_object WHERE wrong IS NOT NULL "
        "AND NOT EXISTS (SELECT run FROM hidden_runs) LIMIT 1"  # masks of undone runs may be of objects that are gone
    )
    row = connection.execute(sql).fetchone()
    if row is None:
        return None
    where = f"the mask of object {_shown(row['object_id'])} on frame {_shown(row['frame'])}"
    return f"{where}: {row['wrong']} is {_shown(row[row['wrong']])}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."

"""Names in tables: text, whatever they hold, and never a formula."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_sam2s.errors import FormatError
from napari_sam2s.masklets.validation import legible, user_path

_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet takes for one (OWASP, "CSV injection")


def csv_cell(value: Any) -> Any:
    """Return a value as it goes into a CSV: text that a spreadsheet would run gets a ``'`` in front, as it has it itself."""
    if not isinstance(value, str) or _is_number(value):
        return value
    return legible(f"'{value}" if value.lstrip("'").startswith(_FORMULA) else value)


def from_csv_cell(text: str) -> str:
    """Return the text that :func:`csv_cell` was given."""
    return text[1:] if text.startswith("'") and text.lstrip("'").startswith(_FORMULA) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def csv_place(path: Path | str) -> Path:
    """Return where to write a table that may take the place of an earlier one, and of nothing else.

    Raises :class:`FormatError` if its name does not end in ``.csv``: it may be the video's, or the project's.
    """
    path = user_path(path)
    if path.suffix.lower() != ".csv":
        raise FormatError(f"{path} is not the name of a table: end it in .csv.")
    return path

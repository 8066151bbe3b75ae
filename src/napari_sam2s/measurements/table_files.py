"""A table as CSV or Parquet, written whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_sam2s.errors import FormatError
from napari_sam2s.formats.atomic_write import check_writable, refuse_taken, whole_file
from napari_sam2s.formats.text_cells import csv_cell

if TYPE_CHECKING:
    import pandas as pd

ENDINGS = (".csv", ".parquet")


def check_target(path: Path | str) -> Path:
    """Return the file of a table, if one can be written under that name and none is there (unless it may be replaced).

    Raises :class:`FormatError` if, which is impossible.
    """
    path = Path(path).expanduser()
    if path.suffix.lower() not in ENDINGS:
        raise FormatError(f"{path} is not a table we write: end its name in .csv or .parquet.")
    refuse_taken(path)
    if path.suffix.lower() == ".parquet":
        _refuse_without_pyarrow(path)
    check_writable(path.parent)
    return path


def write_table(table: pd.DataFrame, path: Path | str) -> Path:
    """Write a table as ``.csv`` or ``.parquet``; return the file.

    Raises :class:`FormatError` if the name ends otherwise, the file exists or cannot be written, or pyarrow is not there for
    Parquet.
    """
    path = check_target(path)
    with whole_file(path) as part:
        if path.suffix.lower() == ".parquet":
            table.to_parquet(part, index=False)
        else:
            write_csv(table, part)
    return path


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a table as CSV, with names that spreadsheets take as text."""
    text = [name for name in ("name", "class", "name_a", "name_b", "unit") if name in table]
    safe = table.assign(**{name: table[name].astype(object).map(csv_cell) for name in text})
    safe.to_csv(path, index=False, encoding="utf-8")


def _refuse_without_pyarrow(path: Path) -> None:
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise FormatError(f"{path.name} needs pyarrow: pip install 'napari-sam2s[parquet]', or end the name in .csv.") from None

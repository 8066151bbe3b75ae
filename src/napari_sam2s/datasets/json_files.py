"""JSON files: read, or said in one sentence why not; written whole, or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_sam2s.errors import DatasetError
from napari_sam2s.formats.atomic_write import whole_file


def read_json(path: Path, *, absent: str = "the download may be incomplete", damaged: str = "download it again") -> Any:
    """Read JSON. Raises :class:`DatasetError` with the remedy for a file that is absent or damaged."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise DatasetError(f"There is no file {path}; {absent}.") from error
    except (ValueError, OSError) as error:
        raise DatasetError(f"{path} is not JSON that can be read ({error}); {damaged}.") from error


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON whole or not at all."""
    with whole_file(path) as part:
        part.write_text(json.dumps(content, indent=1), encoding="utf-8")

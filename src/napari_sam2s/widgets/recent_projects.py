"""The projects that were opened last, which are offered again."""

from __future__ import annotations

from pathlib import Path

from napari_sam2s.widgets.settings import remember, remembered

RECENT = 3  # that are offered


def recent_projects() -> list[Path]:
    """Return the projects that were opened last and are still there, the latest first."""
    return [path for line in str(remembered("project", "recent", "")).splitlines() if (path := Path(line)).is_file()][:RECENT]


def note_recent(path: Path) -> None:
    """Remember that a project was opened."""
    latest = Path(path).absolute()
    remember("project", recent="\n".join(map(str, [latest, *(p for p in recent_projects() if p != latest)][: RECENT + 1])))

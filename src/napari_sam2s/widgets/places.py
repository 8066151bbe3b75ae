"""Where the project of a video is kept."""

from __future__ import annotations

import threading
from pathlib import Path

import platformdirs

from napari_sam2s.video import Video
from napari_sam2s.widgets.settings import remembered

ENDING = ".sam2s"


def beside(video: Video) -> Path | None:
    """Return the place beside a video file."""
    return None if video.path is None else video.path.with_name(video.path.name + ENDING)


def project_path(video: Video) -> Path:
    """Return where the project of a video is kept.

    Beside it; if that cannot be written, in the folder the user chose in the preferences, else where the user's data goes.
    """
    near = beside(video)
    if near is not None and may_write(near.parent):
        return near
    chosen = str(remembered("project", "folder", ""))
    own = Path(chosen).expanduser() if chosen else Path(platformdirs.user_data_dir("napari-sam2s")) / "projects"
    own.mkdir(parents=True, exist_ok=True)
    return own / f"{video.name}-{video.fingerprint()[:8]}{ENDING}"


def may_write(folder: Path) -> bool:
    """Whether files can be made in a folder; tried, because permissions do not tell of read-only disks."""
    probe = folder / f".napari-sam2s-{threading.get_ident()}"
    try:
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError:
        return False
    return True

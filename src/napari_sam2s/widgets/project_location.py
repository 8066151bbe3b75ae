"""Where the project of a video is kept."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import platformdirs

from napari_sam2s.errors import ProjectError
from napari_sam2s.masklets.validation import user_path
from napari_sam2s.video import Video
from napari_sam2s.widgets.settings import remembered

ENDING = ".sam2s"
LONGEST_NAME = 60  # characters of it in the name of a project's file


def beside(video: Video) -> Path | None:
    """Return the place beside a video file."""
    return None if video.path is None else video.path.with_name(video.path.name + ENDING)


def project_path(video: Video) -> Path:
    """Return where the project of a video is kept.

    Beside it; if that cannot be written, in the folder the user chose in the preferences, else where the user's data goes.

    Raises :class:`ProjectError` if no such folder can be made.
    """
    near = beside(video)
    if near is not None and may_write(near.parent):
        return near
    chosen = str(remembered("project", "folder", ""))
    own = user_path(chosen) if chosen else Path(platformdirs.user_data_dir("napari-sam2s")) / "projects"
    try:
        own.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ProjectError(
            f"{own} cannot be made ({error.strerror or error}): choose another folder for projects in napari's preferences."
        ) from error
    return place_in(own, video)


def place_in(folder: Path, video: Video) -> Path:
    """Return where in a folder that is not its own the project of a video is kept.

    The file's name has the video's, for people, and the beginning of its fingerprint, by which it is found again: a layer can
    be renamed.
    """
    name = re.sub(r'[\x00-\x1f<>:"/\\|?*]', "_", video.name).strip(". ")[:LONGEST_NAME] or "video"
    mark = f"-{video.sample_fingerprint()[:8]}{ENDING}"
    usual = folder / f"{name}{mark}"
    if usual.exists():
        return usual
    earlier = sorted(folder.glob(f"*{mark}"), key=lambda path: path.stat().st_mtime)
    return earlier[-1] if earlier else usual


def may_write(folder: Path) -> bool:
    """Whether files can be made in a folder; tried, because permissions do not tell of read-only disks."""
    probe = folder / f".napari-sam2s-{threading.get_ident()}"
    try:
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError:
        return False
    return True

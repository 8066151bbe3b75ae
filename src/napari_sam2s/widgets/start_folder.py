"""Where a file dialog begins: in a folder that the user knows, never in the hidden one that keeps projects of arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from platformdirs import user_data_dir

from napari_sam2s.widgets.settings import VIDEO_KEY

_last: dict[Path | None, Path] = {}  # the folder used last, by that of the video


def start_folder(viewer: Any, project: Path | None = None) -> Path:
    """Return the folder that was used last for the videos of this folder, else theirs, the project's, the user's own."""
    here = video_folder(viewer)
    beside = None if project is None or Path(user_data_dir("napari-sam2s")) in project.absolute().parents else project.parent
    return next((folder for folder in (_last.get(here), here, beside) if folder is not None and folder.is_dir()), Path.home())


def note_folder(viewer: Any, chosen: str) -> None:
    """Note what was chosen in a dialog, a folder or a file."""
    if chosen:
        place = Path(chosen)
        _last[video_folder(viewer)] = place if place.is_dir() else place.parent


def video_folder(viewer: Any) -> Path | None:
    """Return the folder of the video that was opened last, if it is a file."""
    videos = [layer.metadata.get(VIDEO_KEY) for layer in viewer.layers]
    paths = [path for video in videos if (path := getattr(video, "path", None)) is not None]
    return Path(paths[-1]).absolute().parent if paths else None

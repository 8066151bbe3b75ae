"""Which video comes after one in its folder."""

from __future__ import annotations

import re
from pathlib import Path

from napari_sam2s.batching.batch_videos import VIDEO_ENDINGS
from napari_sam2s.video.tiff import SUFFIXES
from napari_sam2s.widgets.napari_reader import get_reader

OF_A_VIDEO = ("labels", "masks", "mask", "seg")  # last words of names of what lies beside a video and belongs to it


def next_video(path: Path) -> Path | None:
    """Return the video, stack or folder of pictures that comes after ``path`` by name, of the same kind; ``None`` if none does.

    Numbers in names count as numbers: ``case-10.mp4`` comes after ``case-9.mp4``.
    """
    beside = [other for other in path.parent.iterdir() if _alike(other, path) and not other.name.startswith(".")]
    later = (other for other in sorted(beside, key=_by_number) if _by_number(other) > _by_number(path))
    return next((other for other in later if get_reader(str(other)) is not None), None)


def _alike(other: Path, path: Path) -> bool:
    if other.name.split(".")[0].endswith(tuple(f"_{word}" for word in OF_A_VIDEO)) or other.is_dir() != path.is_dir():
        return False
    kinds = [(one.suffix.lower() in VIDEO_ENDINGS, one.suffix.lower() in SUFFIXES) for one in (other, path)]
    return kinds[0] == kinds[1]


def _by_number(path: Path) -> tuple[tuple[int, int | str], ...]:
    parts = re.split(r"(\d+)", path.name.lower())
    return tuple((0, int(part)) if part.isdecimal() else (1, part) for part in parts if part)

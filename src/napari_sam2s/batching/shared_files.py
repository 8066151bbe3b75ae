"""Whether a worker has the files that the client means: by what is in them, as a path may name another file elsewhere."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from napari_sam2s.batching.batch_videos import BatchVideo
from napari_sam2s.formats.atomic_write import whole_file
from napari_sam2s.video.frame_index import content_digest

MOST_LISTED = 2000  # files of a folder whose names and sizes are compared


@dataclass(frozen=True)
class SharedFiles:
    """The files of a video as they are where its batch was begun."""

    digests: tuple[tuple[Path, str], ...]  # of the video and of what prompts it
    mark: Path | None  # an empty file in the folder of the project; None where workers are of this machine

    @classmethod
    def of(cls, video: BatchVideo, mark: str) -> SharedFiles:
        """Take down the files of a video; ``mark`` is the name of a file that :func:`marked` makes, or ""."""
        paths = (video.video, *(path for _, path in video.prompts))
        return cls(tuple((path, signature(path)) for path in paths), video.project.parent / mark if mark else None)

    def hidden(self) -> str:
        """Return a sentence on what this machine does not see, or ""."""
        host = socket.gethostname()
        for path, expected in self.digests:
            found = signature(path)
            if not found:
                return f"The worker on {host} cannot see {path}."
            if found != expected:
                return f"The worker on {host} sees another file at {path}."
        if self.mark is not None and not self.mark.exists():
            return f"The worker on {host} cannot see the folder {self.mark.parent}."
        return ""


def signature(path: Path) -> str:
    """Return a hash of a file, or of the names and sizes in a folder and of some of its files; "" of what cannot be read."""
    try:
        return content_digest(path) if path.is_file() else _folder_digest(path)
    except OSError:
        return ""


def _folder_digest(folder: Path) -> str:
    files: list[Path] = []
    for root, folders, names in os.walk(folder):
        folders.sort()
        files += [Path(root, name) for name in sorted(names)]
        if len(files) > MOST_LISTED:
            break
    del files[MOST_LISTED:]
    if not files:
        return ""
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(folder).as_posix()} {path.stat().st_size} ".encode("utf-8", "surrogateescape"))
    for path in (files[0], files[len(files) // 2], files[-1]):
        digest.update(content_digest(path).encode())
    return digest.hexdigest()[:32]


@contextmanager
def marked(folders: Sequence[Path], mark: str) -> Iterator[None]:
    """Keep a file of a name in folders meanwhile: whoever sees it there sees the same folder."""
    made = [folder / mark for folder in dict.fromkeys(folders) if mark]
    try:
        for path in made:
            with whole_file(path) as part:
                part.touch()
        yield
    finally:
        for path in made:
            with suppress(OSError):
                path.unlink()

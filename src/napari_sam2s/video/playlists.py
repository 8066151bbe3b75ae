"""Files that hold no video but name others: read with what they name, or refused with the command that makes one file of it."""

from __future__ import annotations

import re
from pathlib import Path

from napari_sam2s.errors import VideoError
from napari_sam2s.masklets.validation import quoted

SCRIPT = "an ffconcat script"
HEAD_BYTES = 4096
LARGEST_LIST_BYTES = 16 * 2**20
SAFE = re.compile(r"(?!\.)[\w.-]+(/(?!\.)[\w.-]+)*", re.ASCII)  # as ffmpeg has it, "-safe 1"
_WORD = re.compile(r"\s*((?:'[^']*'|\\.|[^\s'\\])+)")  # of an ffconcat script: quoted, escaped or plain
_PIECE = re.compile(r"'([^']*)'|\\(.)|([^'\\]+)")


def named_files(path: Path) -> tuple[Path, ...]:
    """Return the files that an ffconcat script names, in order; nothing of other files.

    Raises :class:`VideoError` if it is a playlist of streaming (HLS, DASH), which may be live, or on other machines; or a
    script that names what is not a file here.
    """
    kind = _kind(path)
    if kind is None:
        return ()
    if kind != SCRIPT:
        raise VideoError(
            f"{path} is {kind}, a list of pieces of a video without the pieces themselves. Make one file of them with: "
            f"ffmpeg -copyts -i {quoted(path.name)} -map 0:V:0 -c copy {quoted(path.stem + '.mkv')}."
        )
    if path.stat().st_size > LARGEST_LIST_BYTES:
        raise VideoError(f"{path} is an ffconcat script of more than 16 MiB: make one file of its parts.")
    return tuple(_part(path, name) for name in _names(path.read_text(encoding="utf-8", errors="surrogateescape")))


def _kind(path: Path) -> str | None:
    """Return what kind of list a file is, by how it begins."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES).removeprefix(b"\xef\xbb\xbf").lstrip()
    except OSError as error:
        raise VideoError(f"{path} cannot be read: {error.strerror}.") from error
    if head.startswith(b"#EXTM3U"):
        return "an HLS playlist"
    if head.startswith(b"<") and b"<MPD" in head:
        return "a DASH manifest"
    return SCRIPT if head.startswith(b"ffconcat version") else None


def _names(text: str) -> list[str]:
    found = []
    for line in text.splitlines():
        directive, _, rest = line.strip().partition(" ")
        word = _WORD.match(rest) if directive == "file" else None
        if word is not None:
            found.append("".join(a or b or c for a, b, c in _PIECE.findall(word[1])))
    return found


def _part(script: Path, name: str) -> Path:
    part = script.parent / name.removeprefix("file:")
    if "://" in name or not part.is_file():
        raise VideoError(f"{script} names {name}, which is not a file here: copy all parts beside it.")
    if not SAFE.fullmatch(name):
        raise VideoError(
            f"{script} names {name!r}; ffmpeg accepts only letters, digits and . _ - in such names, for files "
            f"beside the script or in "
            "folders there: rename it."
        )
    if _kind(part) is not None:
        raise VideoError(f"{script} names {name}, which is a list of other files. Name the videos themselves.")
    return part

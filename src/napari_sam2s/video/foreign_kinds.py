"""Files of other kinds that are taken for videos: microscopes' own formats, archives, what is left of a download."""

from __future__ import annotations

from pathlib import Path

HEAD_BYTES = 132
_EXPORT = "which cannot be read: export it as OME-TIFF (Fiji opens it with Bio-Formats), or give its array to open_video"
_KINDS = (  # the bytes, where they stand, what the file is and what to do
    (b"ZISRAWFILE", 0, f"of Zeiss (CZI), {_EXPORT}"),
    (b"\xda\xce\xbe\x0a", 0, f"of Nikon (ND2), {_EXPORT}"),
    (b"\x00\x00\x00\x0cjP  \x1a\x1a", 0, f"of Nikon (ND2), {_EXPORT}"),
    (b"\x89HDF\r\n\x1a\n", 0, f"of HDF5 (Imaris and others), {_EXPORT}"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 0, f"of Olympus (OIB) or of Microsoft, {_EXPORT}"),
    (b"DICM", 128, "of DICOM, which cannot be read: export it as MP4 or as pictures, or give its array to open_video"),
    (b"PK\x03\x04", 0, "of ZIP, an archive: unpack it first"),
    (b"\x1f\x8b", 0, "of gzip, an archive: unpack it first"),
    (
        b"SQLite format 3\0",
        0,
        "of SQLite, so perhaps a project: give the video here, and the project where a project is wanted",
    ),
    (b"version https://git-lfs", 0, "of Git LFS that only names the video: fetch it with git lfs pull"),
)
_WEB_PAGE = "of HTML, a web page: the download failed, or needs a login"


def kind_of(path: Path, head: bytes) -> str:
    """Return what a file is that only looks like a video by its name, and what to do; "" of all others.

    Parameters
    ----------
    head
        Its first ``HEAD_BYTES`` bytes.
    """
    if path.suffix.lower() == ".lif" and head.startswith(b"\x70\0\0\0"):
        return f"of Leica (LIF), {_EXPORT}"
    if head.lstrip()[:15].lower().startswith((b"<!doctype html", b"<html")):
        return _WEB_PAGE
    return next((what for sign, place, what in _KINDS if head[place:].startswith(sign)), "")

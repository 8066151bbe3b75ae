"""Why a file is no checkpoint that can be read, in one sentence with the remedy."""

from __future__ import annotations

import json
import re
import zipfile
import zlib
from pathlib import Path

from napari_sam2s.wording import counted

_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_REFUSED = re.compile(r"(?:Unsupported global: GLOBAL|Unsupported class|Trying to load unsupported GLOBAL) ([\w.]+)")
_FOLDER = 0x10  # of the attributes of a part of a zip file, as MS-DOS has them
_PACKED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"7z\xbc\xaf": "7-Zip",
    b"Rar!": "RAR",
    b"\x28\xb5\x2f\xfd": "zstd",
}
_START = 512  # bytes that tell what a file is
_AGAIN = "copy or download it again"
_DAMAGED = "is not a checkpoint, or is damaged"
_ALONE = "save the weights alone, as in torch.save({'model': network.state_dict()}, FILE)"


def why_unreadable(path: Path, error: Exception) -> str:
    """Return in one sentence why a file cannot be read as weights, and what to do."""
    if wrong := wrong_by_form(path):
        return wrong
    with path.open("rb") as file:
        start = file.read(2)
    if start in (b"\x80\x03", b"\x80\x04", b"\x80\x05"):
        return f"{path} is a pickle that torch did not write. No code in it is run: {_ALONE}."
    words = _ESCAPES.sub("", str(error)).strip()
    if refused := _REFUSED.search(words):
        return f"{path} holds {refused[1]}, which is code, and code is not run: {_ALONE}."
    first = next((line.strip() for line in words.splitlines() if line.strip()), "")
    reason = f" ({first[:200]})" if " " in first and "weights_only" not in first else ""  # advice that would run code
    return f"{path} {_DAMAGED}{reason}: {_AGAIN}."


def wrong_by_form(path: Path) -> str:
    """Return in one sentence what is wrong with a file of weights, as far as its form tells, for which no torch is needed.

    "" is returned of a file that is whole. What is in it may still be no network, or code.
    """
    with path.open("rb") as file:
        start = file.read(_START)
    size = path.stat().st_size
    if other := _other_file(path, start):
        return f"{path} {other}"
    safetensors = start[8:9] == b"{"
    if (safetensors or path.suffix.lower() == ".safetensors") and (lacking := _lacking(path, start, size)):
        return f"{path} is cut short ({lacking} of its bytes are missing): {_AGAIN}."
    if start.startswith(b"PK"):
        if not _is_whole_archive(path):
            return (
                f"{path} is cut short or damaged (its end, {counted(size, 'byte')} in, is not that of such a file): {_AGAIN}."
            )
        return f"{path} {other}" if (other := _other_archive(path)) else ""
    return "" if safetensors or start[:1] == b"\x80" else f"{path} {_DAMAGED}: {_AGAIN}."


def _other_file(path: Path, start: bytes) -> str:
    """Say what a file is that never was a checkpoint, by how it begins; "" if that does not tell."""
    if not start:
        return f"is empty: {_AGAIN}."
    if start.startswith(b"version https://git-lfs"):
        return "is a pointer of Git LFS, not the file itself: fetch it with `git lfs pull`, or download it."
    if path.name.endswith(".index.json"):
        return "only lists the parts of a checkpoint: save the network in one file, as with max_shard_size='100GB'."
    kind = next((kind for sign, kind in _PACKED.items() if start.startswith(sign)), "tar" * (start[257:262] == b"ustar"))
    if kind:
        return f"is packed with {kind}: unpack it first."
    text = _as_text(start)
    if text.startswith("<"):
        return "is a web page, not a checkpoint: download the file itself."
    if text:
        return f"is text, not a checkpoint (it begins with {text[:60]!r}): download the file itself."
    return ""


def _as_text(start: bytes) -> str:
    """Return the beginning of a file in words, on one line; "" if it is not made of such."""
    wide = start.startswith((b"\xff\xfe", b"\xfe\xff"))
    cut = start[: len(start) // 2 * 2] if wide else start
    text = cut.decode("utf-16" if wide else "utf-8-sig", "replace")
    text = (text[:-3] if len(start) == _START else text).strip()  # a character may be cut there
    return " ".join(text.split()) if all(c.isprintable() and c != "\ufffd" for c in text if not c.isspace()) else ""


def _other_archive(path: Path) -> str:
    """Say what a zip file is that is no checkpoint, or is damaged; "" if it looks like one."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            # Torch takes a part that is marked as a folder for an empty one, and leaves its weights as they were drawn.
            folders = [each.filename for each in archive.infolist() if each.external_attr & _FOLDER and not each.is_dir()]
            changed = archive.testzip()  # torch does not compare the checksums itself; a second for a gigabyte
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, NotImplementedError, RuntimeError, zlib.error):
        return f"{_DAMAGED}: {_AGAIN}."
    if folders:
        return f"{_DAMAGED} (its part {folders[0]} is marked as a folder): {_AGAIN}."
    if changed is not None:
        return f"{_DAMAGED} (its part {changed} has other content than was written): {_AGAIN}."
    if any(name.endswith(("constants.pkl", "archive_format")) for name in names):
        return f"is a program of torch.jit or torch.export, which is code, and code is not run: {_ALONE}."
    if any(name.endswith("data.pkl") for name in names):
        return ""
    inside = ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")
    return f"is a zip archive of other files ({inside}): unpack it, and give the checkpoint in it."


def _is_whole_archive(path: Path) -> bool:
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile:  # its end names other parts that it is spread over
        return False


def _lacking(path: Path, start: bytes, size: int) -> int:
    """Return how many bytes a safetensors file lacks, by its own header."""
    header = int.from_bytes(start[:8], "little")
    if size < 8 or header > 100 * 2**20:
        return 0
    if size < 8 + header:
        return 8 + header - size
    with path.open("rb") as file:
        file.seek(8)
        try:
            facts = json.loads(file.read(header))
            ends = [int(each["data_offsets"][1]) for name, each in facts.items() if name != "__metadata__"]
        except (ValueError, TypeError, KeyError, IndexError, AttributeError):
            return 0
    return max(8 + header + max(ends, default=0) - size, 0)

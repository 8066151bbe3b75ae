"""Downloading published weights: only when asked, resumed after a break, checked before use."""

from __future__ import annotations

import hashlib
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from napari_sam2s.errors import ModelError

CHUNK_BYTES = 1 << 20
_HOST = "https://dl.fbaipublicfiles.com/segment_anything_2"


@dataclass(frozen=True)
class Download:
    """Where published weights are."""

    name: str
    url: str
    megabytes: int
    licence: str = "Apache-2.0 (Meta)"
    sha256: str = ""  # not published by Meta; the first download's is kept beside the file and checked from then on


DOWNLOADS = {
    d.name: d
    for d in (
        Download("sam2.1-tiny", f"{_HOST}/092824/sam2.1_hiera_tiny.pt", 156),
        Download("sam2.1-small", f"{_HOST}/092824/sam2.1_hiera_small.pt", 184),
        Download("sam2.1-base-plus", f"{_HOST}/092824/sam2.1_hiera_base_plus.pt", 324),
        Download("sam2.1-large", f"{_HOST}/092824/sam2.1_hiera_large.pt", 898),
        Download("sam2-tiny", f"{_HOST}/072824/sam2_hiera_tiny.pt", 156),
        Download("sam2-small", f"{_HOST}/072824/sam2_hiera_small.pt", 184),
        Download("sam2-base-plus", f"{_HOST}/072824/sam2_hiera_base_plus.pt", 324),
        Download("sam2-large", f"{_HOST}/072824/sam2_hiera_large.pt", 898),
    )
}


def weights_folder() -> Path:
    """Where downloaded weights are kept; ``SAM2S_MODEL_DIR`` overrides it."""
    return Path(os.environ.get("SAM2S_MODEL_DIR", platformdirs.user_data_dir("napari-sam2s"))) / "models"


def local_weights(name: str) -> Path:
    """Return the file of downloaded weights.

    Raises
    ------
    ModelError
        If they are not there; nothing is ever downloaded without being asked for.
    """
    path = weights_folder() / f"{name}.pt"
    if not path.is_file():
        raise ModelError(f"{name} is not downloaded yet: run `napari-sam2s models get {name}` once.")
    return path


def download(item: Download, progress: Callable[[int, int], None] | None = None) -> Path:
    """Fetch weights, going on where an earlier attempt broke off.

    Parameters
    ----------
    progress
        Called with bytes done and bytes in all.

    Raises
    ------
    ModelError
        If the server cannot be reached or the file is not what it should be; nothing half-loaded is ever used.
    """
    path = weights_folder() / f"{item.name}.pt"
    if path.is_file():
        verify(item)
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    try:
        _fetch(item.url, part, progress)
    except (urllib.error.URLError, OSError) as error:
        raise ModelError(
            f"{item.url} cannot be fetched ({error}); what came so far is kept. On a machine without network, put the file "
            f"at {path} yourself."
        ) from error
    digest = sha256(part)
    if item.sha256 and digest != item.sha256:
        part.unlink()
        raise ModelError(f"{item.url} is not the file it should be (SHA-256 {digest}): try again.")
    path.with_suffix(".sha256").write_text(digest, encoding="ascii")
    part.replace(path)
    return path


def verify(item: Download) -> str:
    """Return the SHA-256 of a downloaded file after comparing it with the known one."""
    path = local_weights(item.name)
    record = path.with_suffix(".sha256")
    known = item.sha256 or (record.read_text(encoding="ascii").strip() if record.is_file() else "")
    digest = sha256(path)
    if known and digest != known:
        raise ModelError(f"{path} is damaged (SHA-256 {digest}, not {known}): delete it and download it again.")
    return digest


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fetch(url: str, part: Path, progress: Callable[[int, int], None] | None) -> None:
    done = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={done}-"} if done else {})
    try:
        answer = urllib.request.urlopen(request, timeout=30)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not done:
            raise
        whole = error.headers.get("Content-Range", "").rpartition("/")[2]
        if whole.isdigit() and int(whole) != done:  # not a part of that file
            part.unlink()
            raise ModelError(f"{part} had {done} bytes of a file of {whole}, so it was deleted: fetch it once more.") from error
        return  # nothing is left to fetch
    with answer:
        if answer.status != 206:  # the server does not resume
            done = 0
        total = done + int(answer.headers.get("Content-Length", 0))
        with part.open("ab" if done else "wb") as file:
            while chunk := answer.read(CHUNK_BYTES):
                file.write(chunk)
                done += len(chunk)
                if progress is not None:
                    progress(done, total)
    if total and done != total:
        raise OSError(f"the connection broke off at {done} of {total} bytes")

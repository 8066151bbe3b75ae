"""Downloading published weights: only when asked, resumed after a break, checked before use."""

from __future__ import annotations

import hashlib
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import platformdirs

from napari_sam2s.errors import ModelError

CHUNK_BYTES = 1 << 20
_WRONG = (
    "{path} is damaged, or not the published file (SHA-256 {digest}, not {known}): delete it, then run "
    "`napari-sam2s models get {name}`."
)
_HOST = "https://dl.fbaipublicfiles.com/segment_anything_2"


@dataclass(frozen=True)
class Download:
    """Where published weights are."""

    name: str
    url: str
    megabytes: int
    licence: str = "Apache-2.0 (Meta)"
    sha256: str = ""  # Meta publishes none; these were found alike in several public places


DOWNLOADS = {
    d.name: d
    for d in (
        Download(
            "sam2.1-tiny",
            f"{_HOST}/092824/sam2.1_hiera_tiny.pt",
            156,
            sha256="7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69",
        ),
        Download(
            "sam2.1-small",
            f"{_HOST}/092824/sam2.1_hiera_small.pt",
            184,
            sha256="6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38",
        ),
        Download(
            "sam2.1-base-plus",
            f"{_HOST}/092824/sam2.1_hiera_base_plus.pt",
            324,
            sha256="a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5",
        ),
        Download(
            "sam2.1-large",
            f"{_HOST}/092824/sam2.1_hiera_large.pt",
            898,
            sha256="2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318",
        ),
        Download(
            "sam2-tiny",
            f"{_HOST}/072824/sam2_hiera_tiny.pt",
            156,
            sha256="65b50056e05bcb13694174f51bb6da89c894b57b75ccdf0ba6352c597c5d1125",
        ),
        Download(
            "sam2-small",
            f"{_HOST}/072824/sam2_hiera_small.pt",
            184,
            sha256="95949964d4e548409021d47b22712d5f1abf2564cc0c3c765ba599a24ac7dce3",
        ),
        Download(
            "sam2-base-plus",
            f"{_HOST}/072824/sam2_hiera_base_plus.pt",
            324,
            sha256="d0bb7f236400a49669ffdd1be617959a8b1d1065081789d7bbff88eded3a8071",
        ),
        Download(
            "sam2-large",
            f"{_HOST}/072824/sam2_hiera_large.pt",
            898,
            sha256="7442e4e9b732a508f80e141e7c2913437a3610ee0c77381a66658c3a445df87b",
        ),
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


def checked_weights(name: str) -> Path:
    """Return the file of published weights after comparing its SHA-256 with the one that this package knows.

    Raises
    ------
    ModelError
        If they are not there, or are not the published ones.
    """
    path = local_weights(name)
    known = DOWNLOADS[name].sha256
    digest = sha256_once(path)
    if known and digest != known:
        raise ModelError(_WRONG.format(path=path, digest=digest, known=known, name=name))
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
        raise ModelError(_WRONG.format(path=path, digest=digest, known=known, name=item.name))
    return digest


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_once(path: Path) -> str:
    """Return the SHA-256 of a file, computed anew only when it has changed since."""
    status = path.stat()
    return _sha256_of(path, status.st_ino, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=16)
def _sha256_of(path: Path, *_state: int) -> str:
    return sha256(path)


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

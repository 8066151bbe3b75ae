"""Downloading published weights: only when asked, resumed after a break, checked before use.

Environment variables, each optional:

``SAM2S_MODEL_DIR``
    Where downloaded weights are kept (in a folder ``models`` of it).
``SAM2S_OFFLINE_DIR``
    Folders with files that were brought here by hand, such as a network share; looked in for ``NAME.pt`` and for the
    publisher's own name of the file; several are separated as in ``PATH``.
``SAM2S_MODEL_MIRROR``
    Address of a folder on a server that has the files under the publishers' names; asked in place of their own servers.
``HF_ENDPOINT``
    A mirror of huggingface.co, as in Hugging Face's own programs.
``http_proxy``, ``https_proxy``, ``no_proxy``
    As everywhere.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import urllib.error
import urllib.parse
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from http.client import HTTPException
from pathlib import Path
from typing import Any

import platformdirs
from filelock import FileLock, Timeout

from napari_sam2s.errors import ModelError
from napari_sam2s.model.model_registry import ModelEntry, loadable, registry
from napari_sam2s.model.unreadable_file import wrong_by_form
from napari_sam2s.wording import counted

CHUNK_BYTES = 1 << 20
SPARE_BYTES = 50 * 10**6  # that are left free beside a download
TIMEOUT_S = 30
_WRONG = (
    "{path} is damaged, or not the published file (SHA-256 {digest}, not {known}): delete it, then run "
    "`napari-sam2s models get {name}`."
)
Progress = Callable[[int, int], None]  # bytes done, bytes in all

DOWNLOADS: dict[str, ModelEntry] = {name: entry for name, entry in loadable().items() if entry.url}


def weights_folder() -> Path:
    """Where downloaded weights are kept; ``SAM2S_MODEL_DIR`` overrides it."""
    return Path(os.environ.get("SAM2S_MODEL_DIR", platformdirs.user_data_dir("napari-sam2s"))).expanduser() / "models"


def offline_folders() -> list[Path]:
    """Folders with files that were brought here by hand; ``SAM2S_OFFLINE_DIR`` names them."""
    return [Path(each).expanduser() for each in os.environ.get("SAM2S_OFFLINE_DIR", "").split(os.pathsep) if each]


def address(entry: ModelEntry) -> str:
    """Return where a file is fetched from: its publisher, or the mirror that the environment names.

    Raises :class:`ModelError` if what the environment names is no address.
    """
    if mirror := _mirror("SAM2S_MODEL_MIRROR"):
        return f"{mirror}/{entry.file}"
    if entry.url.startswith("https://huggingface.co/") and (endpoint := _mirror("HF_ENDPOINT")):
        return endpoint + entry.url.removeprefix("https://huggingface.co")
    return entry.url


def _mirror(variable: str) -> str:
    given = os.environ.get(variable, "").strip().rstrip("/")
    parts = urllib.parse.urlsplit(given)
    if given and (
        parts.scheme not in ("http", "https", "file") or not (parts.netloc or parts.scheme == "file") or parts.password
    ):
        raise ModelError(  # without its value: it may hold a password
            f"{variable} is not the address of a server: give one like https://mirror.example/weights, without a password. "
            "To name a folder of this machine, use SAM2S_OFFLINE_DIR."
        )
    return urllib.parse.quote(given, safe="/:%[]@?=&")


def terms(entry: ModelEntry) -> str:
    """Return in words what there is to agree to before a file is fetched: its size, from where, and under which licence."""
    size = f"{entry.megabytes} MB" if entry.bytes else f"about {entry.megabytes} MB"
    words = f"{entry.name}: {size} from {address(entry).split('/')[2] or 'this machine'}, licence {entry.licence.title}."
    if entry.licence.forbids:
        words += f" {entry.licence.forbids}"
    if not entry.pinned:
        words += " Its SHA-256 is not known in advance: the first download records it."
    return words


def find_local(entry: ModelEntry) -> Path | None:
    """Return the file of a model on this machine, unchecked; ``None`` if it is not there."""
    for folder in (weights_folder(), *offline_folders()):
        for name in (f"{entry.name}.pt", entry.file):
            if (folder / name).is_file():
                return folder / name
    return None


def local_weights(name: str) -> Path:
    """Return the file of downloaded weights.

    Raises :class:`ModelError` if they are not there; nothing is ever downloaded without being asked for.
    """
    entry = registry()[name]
    path = find_local(entry)
    if path is None:
        raise ModelError(how_to_get(entry))
    return path


def how_to_get(entry: ModelEntry) -> str:
    """Return in a sentence how weights that are not here come here."""
    if entry.url:
        return f"{entry.name} is not downloaded yet: run `napari-sam2s models get {entry.name}` once."
    return (
        f"{entry.name} must be downloaded by hand: get {entry.file} from {entry.page}, then run "
        f"`napari-sam2s models add FILE --name {entry.name}`."
    )


def checked_weights(name: str) -> Path:
    """Return the file of published weights after comparing its SHA-256 with the one that is known of it.

    Raises :class:`ModelError` if they are not there, or are not the published ones.
    """
    entry, path = registry()[name], local_weights(name)
    _compare(entry, path, sha256_once(path))
    return path


def download(entry: ModelEntry, progress: Progress | None = None) -> Path:
    """Fetch weights, going on where an earlier attempt broke off; one process at a time.

    The file gets its name when it is whole and its SHA-256 is right. Until then it is ``NAME.part``.

    Parameters
    ----------
    progress
        Called with bytes done and bytes in all. What it raises, such as ``KeyboardInterrupt``, ends the download; what
        came so far is kept.

    Raises
    ------
    ModelError
        If the server cannot be reached, there is no room, or the file is not what it should be.
    """
    if (path := find_local(entry)) is not None:
        _compare(entry, path, sha256(path))
        return path
    path = weights_folder() / f"{entry.name}.pt"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(entry.name, path.with_suffix(".lock")):
            if not path.is_file():  # which another process has fetched meanwhile
                _fetch_checked(entry, path, progress)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise ModelError(_no_room(entry, path.parent)) from error
        if error.filename is not None and not isinstance(error, urllib.error.URLError):  # of this machine
            raise ModelError(
                f"{error.filename} cannot be made ({error.strerror}). Name another folder for models in SAM2S_MODEL_DIR."
            ) from error
        raise ModelError(
            f"{address(entry)} cannot be fetched ({getattr(error, 'reason', error)}); the part that arrived is kept. "
            f"On a machine "
            f"without network, put the file at {path} yourself."
        ) from error
    _compare(entry, path, sha256_once(path))
    return path


def verify(entry: ModelEntry) -> str:
    """Return the SHA-256 of a file on this machine after comparing it, read anew, with the one that is known of it.

    Raises :class:`ModelError` if it is not there, or is not what it should be.
    """
    path = find_local(entry)
    if path is None:
        raise ModelError(how_to_get(entry))
    return _compare(entry, path, sha256(path))


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hex digits. Raises :class:`ModelError` if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}): check its permissions and its disk.") from error


def sha256_once(path: Path) -> str:
    """Return the SHA-256 of a file, computed anew only when it has changed since."""
    return _sha256_of(path, *state_of(path))


def state_of(path: Path) -> tuple[int, ...]:
    """Return numbers that change whenever a file does; the time of change of its entry is no one's to put back."""
    try:
        status = path.stat()
    except OSError as error:
        raise ModelError(
            f"The weights {path} are missing ({error.strerror}): reinstall napari-sam2s, or give the path of a checkpoint."
        ) from error
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


@lru_cache(maxsize=16)
def _sha256_of(path: Path, *_state: int) -> str:
    return sha256(path)


def _compare(entry: ModelEntry, path: Path, digest: str) -> str:
    """Refuse a file whose SHA-256 is not the pinned one, or the one that was recorded when it first came."""
    record = weights_folder() / f"{entry.name}.sha256"
    known = entry.sha256 or (record.read_text(encoding="ascii").strip() if record.is_file() else "")
    if known and digest != known:
        raise ModelError(_WRONG.format(path=path, digest=digest, known=known, name=entry.name))
    if not known:  # a file that was put there by hand
        _check_weights(path)
        with suppress(OSError):
            record.parent.mkdir(parents=True, exist_ok=True)
            write_note(record, digest)
    return digest


def write_note(path: Path, text: str) -> None:
    """Write a small file whole or not at all: half a SHA-256 would refuse the right file ever after."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def _check_weights(path: Path) -> None:
    """Refuse a file that no hash is known of, if it can hold no weights, such as the page of a login."""
    if wrong := wrong_by_form(path):
        raise ModelError(wrong)


@contextmanager
def _alone(name: str, lock_file: Path) -> Iterator[None]:
    """Wait until no other process downloads the same model."""
    lock = FileLock(lock_file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        warnings.warn(f"Another process is downloading {name}; this one waits for it.", stacklevel=4)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _fetch_checked(entry: ModelEntry, path: Path, progress: Progress | None) -> None:
    part = path.with_suffix(".part")
    if entry.bytes and part.is_file() and part.stat().st_size > entry.bytes:
        part.unlink()  # not a part of this file
    _check_room(entry, part)
    try:
        _fetch(entry, part, progress)
    except urllib.error.HTTPError as error:
        error.close()
        page = f" Its page is {entry.page}." if entry.page else ""
        busy = error.code >= 500 or error.code in (408, 429)
        why = "try again later, or" if busy else f"it has moved, or needs an account.{page} Fetch it in a browser and"
        answer = " ".join(f"{error.code} {error.reason}".split())
        raise ModelError(
            f"{address(entry)} cannot be fetched (the server answers {answer}): {why} put the file at {path} yourself."
        ) from error
    except HTTPException as error:
        raise OSError(f"the connection broke off: {type(error).__name__}") from error
    digest = sha256(part)
    if entry.pinned and digest != entry.sha256:
        _discard(part)
        raise ModelError(f"{address(entry)} is not the file it should be (SHA-256 {digest}): try again.")
    if not entry.pinned:
        try:
            _check_weights(part)
        except ModelError as error:
            _discard(part)
            raise ModelError(f"{str(error).replace(str(part), address(entry))} The download was deleted.") from error
    write_note(path.with_suffix(".sha256"), digest)
    part.replace(path)
    part.with_suffix(".etag").unlink(missing_ok=True)


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    part.with_suffix(".etag").unlink(missing_ok=True)


def _check_room(entry: ModelEntry, part: Path) -> None:
    wanted = (entry.bytes or entry.about_mb * 10**6) - (part.stat().st_size if part.is_file() else 0)
    if shutil.disk_usage(part.parent).free < wanted + SPARE_BYTES:
        raise ModelError(_no_room(entry, part.parent))


def _no_room(entry: ModelEntry, folder: Path) -> str:
    free = shutil.disk_usage(folder).free / 10**6
    return (
        f"There is no room for {entry.name} in {folder} ({entry.megabytes} MB are needed, {free:.0f} MB are free): make room, "
        "or set SAM2S_MODEL_DIR to a folder on another disk."
    )


def _fetch(entry: ModelEntry, part: Path, progress: Progress | None) -> None:
    answer, done = _ask(entry, part)
    if answer is None:  # nothing is left to fetch
        return
    with answer:
        length = answer.headers.get("Content-Length")
        total = done + int(length) if length else entry.bytes
        if entry.bytes and total != entry.bytes:
            raise ModelError(
                f"{address(entry)} is not the file it should be ({counted(total, 'byte')}, not {entry.bytes}): it may be a page"
                " of a proxy or of a login."
            )
        with part.open("ab" if done else "wb") as file:
            while chunk := answer.read1(CHUNK_BYTES):  # what has come, however slowly: it is kept, and shown
                file.write(chunk)
                done += len(chunk)
                if progress is not None:
                    progress(done, total)
            file.flush()
            os.fsync(file.fileno())
    if total and done != total:
        raise OSError(f"the connection broke off at {done} of {counted(total, 'byte')}")


def _ask(entry: ModelEntry, part: Path) -> tuple[Any, int]:
    """Ask for a file, or for what is missing of it; return the answer, and how many bytes are there before it."""
    done = part.stat().st_size if part.exists() else 0
    mark = part.with_suffix(".etag")  # of the version that a part is of
    known = json.loads(mark.read_bytes()) if mark.is_file() else ""
    if not (entry.pinned or known):
        done = 0  # it may be of another version, and no hash would tell
    headers = {"Range": f"bytes={done}-"} if done else {}
    if done and known:
        headers["If-Range"] = known
    try:
        request = urllib.request.Request(address(entry), headers=headers)
        answer = urllib.request.build_opener().open(request, timeout=TIMEOUT_S)  # which reads the proxies anew
    except urllib.error.HTTPError as error:
        if error.code != 416 or not done:
            raise
        error.close()
        whole = error.headers.get("Content-Range", "").rpartition("/")[2]
        if whole.isdigit() and int(whole) != done:  # not a part of that file
            _discard(part)
            raise ModelError(
                f"{part} had {counted(done, 'byte')} of a file of {whole}, so it was deleted: fetch it once more."
            ) from error
        return None, done
    if done and not answer.headers.get("Content-Range", f"bytes {done}-").startswith(f"bytes {done}-"):  # another part
        answer.close()
        _discard(part)
        return _ask(entry, part)
    if getattr(answer, "status", None) != 206:  # the server does not resume, or has another version
        done = 0
        etag = answer.headers.get("ETag", "")
        write_note(mark, json.dumps("" if etag.startswith("W/") else etag))
    return answer, done

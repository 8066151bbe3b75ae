"""Files and folders written whole or not at all; one sentence for what cannot be, and for what other exports left there."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from napari_sam2s.errors import FormatError, remedy

REMOVALS = 40  # tries
DRAFT = ".part"  # the ending of what is not all written
_REPLACE: ContextVar[bool | None] = ContextVar("replace", default=None)  # ``None``: each caller has a rule of its own


class TakenError(FormatError):
    """Something is there already, and nobody said that it may be replaced."""

    def __init__(self, place: Path) -> None:
        super().__init__(f"{place} exists already: choose another place, or give --overwrite (in Python, overwrite=True).")
        self.place = place


@contextmanager
def replacing(replace: bool) -> Iterator[None]:
    """Have files and folders that are written in the block replace what is there, or be refused with :class:`TakenError`."""
    token = _REPLACE.set(replace)
    try:
        yield
    finally:
        _REPLACE.reset(token)


def refuse_taken(place: Path) -> None:
    """Refuse a place where a file is, or a folder with something in it, unless it may be replaced.

    Raises :class:`TakenError` (naming it).
    """
    if not _REPLACE.get() and place.exists() and any(place.iterdir() if place.is_dir() else [place]):
        raise TakenError(place)


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Say in one sentence why a file or folder cannot be written.

    Raises :class:`FormatError` in place of the system's error.
    """
    try:
        yield
    except (FileExistsError, NotADirectoryError) as error:
        raise FormatError(f"{place} cannot be written because {error.filename} is a file: choose another folder.") from error
    except OSError as error:
        raise FormatError(f"{place} cannot be written ({error.strerror or error}): {remedy(error)}.") from error


@contextmanager
def whole_file(path: Path, part: Path | None = None, *, shared: bool = False) -> Iterator[Path]:
    """Give the name of a file to write, which becomes ``path`` when all of it is written; see :func:`writing`.

    Folders above it that are not there are made then, so that nothing is left of a file that failed, or of a killed process
    but the draft. A ``shared`` one is written with what was in it, and not refused (:func:`replacing`).
    """
    if _REPLACE.get() is False and not shared:
        refuse_taken(path)
    draft = _draft_of(path, path.name) if part is None else part
    try:
        with writing(path):
            yield draft
            with folder_for(path.parent):
                draft.replace(path)
    except BaseException:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise


@contextmanager
def whole_folder(folder: Path, *, anew: bool = False) -> Iterator[Path]:
    """Give an empty folder to write into, which becomes ``folder`` when all of it is written; see :func:`writing`.

    An earlier ``folder`` is replaced. What it holds that was not written anew is kept, unless it is made ``anew``. Folders
    above it that are not there are made in the end.
    """
    if _REPLACE.get() is False:
        refuse_taken(folder)
    draft = _draft_of(folder, f".{folder.name}")
    try:
        with writing(folder):
            if folder.exists() and not folder.is_dir():
                raise FormatError(f"{folder} cannot be written because it is a file: choose another folder.")
            _tidy(folder)
            shutil.rmtree(draft, ignore_errors=True)  # of an export that was killed
            draft.mkdir()
            yield draft
            with folder_for(folder.parent):
                move_folder(draft, folder, keep=not anew)
    except BaseException:
        _remove(draft)
        raise


def _draft_of(path: Path, name: str) -> Path:
    """Return where it is written until it is whole: beside it, or beside the first folder above it that is not there."""
    with writing(path):
        there = _first_there(path.parent)
    if there == path.parent:
        return path.with_name(f"{name}{DRAFT}")
    return there / f".{path.relative_to(there).parts[0]}.{path.name}{DRAFT}"


def _first_there(folder: Path) -> Path:
    """Return the folder, or where it is not there the next above it that is; what is no folder is an ``OSError``."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    if not there.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(there))
    return there


def _missing(folder: Path) -> list[Path]:
    """Return which of a folder and those above it are not there, the lowest first."""
    with writing(folder):
        return [place for place in (folder, *folder.parents) if not place.exists()]


@contextmanager
def folder_for(*folders: Path) -> Iterator[None]:
    """Make folders, if they are not there, for what is made in the block; if it fails, those that are still empty go again.

    Raises :class:`FormatError` if they cannot be made.
    """
    made = [place for folder in folders for place in _missing(folder)]
    try:
        for folder in folders:
            make_folder(folder)
        yield
    except BaseException:
        for place in sorted(made, key=lambda path: -len(path.parts)):
            with suppress(OSError):  # something came into it
                place.rmdir()
        raise


def check_writable(folder: Path) -> None:
    """Make sure that files can be made in a folder, or that it can be made, before the work begins; nothing is left.

    Raises :class:`FormatError` if, which is impossible.
    """
    with writing(folder), tempfile.TemporaryFile(dir=_first_there(folder)):
        pass


def move_folder(draft: Path, folder: Path, *, keep: bool = True) -> None:
    """Put a folder in the place of another, in one instant; what only the other holds is kept, if it is to be."""
    _tidy(folder)
    if folder.exists():
        folder.rename(_set_aside(folder))
    draft.rename(folder)
    if not keep and _set_aside(folder).is_dir():
        _set_aside(folder).rename(draft)  # where the next export clears away what a kill has left
        _remove(draft)
    _tidy(folder)


def _set_aside(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")


def _tidy(folder: Path) -> None:
    """End what a kill while a folder was replaced has left."""
    old = _set_aside(folder)
    if not old.is_dir():
        return
    if not folder.exists():
        old.rename(folder)
        return
    for kept in old.iterdir():
        if not (folder / kept.name).exists():
            kept.rename(folder / kept.name)
    shutil.rmtree(old, ignore_errors=True)


def is_draft(folder: Path) -> bool:
    """Whether a folder is one that a killed export left, and not finished."""
    return folder.name.startswith(".") and folder.suffix in (".part", ".old")


def _remove(folder: Path) -> None:
    for _ in range(REMOVALS):  # zarr's threads may still be writing in it
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            break
        time.sleep(0.05)


def make_folder(folder: Path) -> Path:
    """Make a folder, if it is not there, and return it; see :func:`writing`."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def refuse_full(folder: Path) -> None:
    """Refuse a file, and a folder with something in it, as the place of new files. Raises :class:`FormatError` (naming it)."""
    if _REPLACE.get() is not None:
        refuse_taken(folder)
    elif folder.exists() and any(folder.iterdir() if folder.is_dir() else [folder]):
        raise FormatError(f"{folder} exists already and is not empty: choose another folder.")


def file_in(place: Path | str, name: str, ending: str) -> Path:
    """Return ``<name><ending>`` in the folder ``place``; or ``place``, if that is the name of such a file."""
    place = Path(place)
    if kind_of(place) == kind_of(Path(ending)) and not place.is_dir():
        return place
    return place / f"{name}{ending}"


def kind_of(path: Path) -> str:
    """Return the ending of a name as it is compared: in small letters, and one of those that mean the same."""
    ending = path.suffix.lower()
    return ".tif" if ending == ".tiff" else ending


def files_in(place: Path | str, ending: str) -> list[Path]:
    """Return the files of a folder that have an ending, or a file itself.

    Raises :class:`FormatError` if the folder has none.
    """
    place = Path(place)
    found = sorted(place.glob(f"*{ending}")) if place.is_dir() else [place]
    if not found:
        raise FormatError(f"{place} holds no *{ending}.")
    return found


def refuse_left_over(folder: Path, files: Sequence[Path]) -> None:
    """Refuse to write into a folder that holds files of other frames or objects, which would be read as part of the export.

    Raises :class:`FormatError` (naming the first and the last of them).
    """
    if files:
        names = dict.fromkeys((files[0].name, files[-1].name))
        raise FormatError(
            f"{folder} holds files that are not from this export but would be read with it ({' to '.join(names)}): delete the "
            "folder, or export elsewhere."
        )

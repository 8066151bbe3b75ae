"""One writer a project: a lock beside the file that the system releases when its holder dies."""

from __future__ import annotations

import errno
import getpass
import json
import os
import platform
from contextlib import suppress
from pathlib import Path

import platformdirs
from filelock import FileLock, Timeout

from napari_sam2s.errors import ProjectError, ProjectInUse, remedy

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)
NO_LOCKS_HERE = "its drive does not lock files, as some shared folders do not. Put the project on a disk of this machine"


def only_to_read(error: ProjectError) -> ProjectError:
    """Add to an error what Python can do all the same: tracebacks show notes, the widget and the command line do not."""
    error.add_note("Project.open(path, mode='r') only reads it.")
    return error


class WriterLock:
    """Held while a project is open for writing.

    Raises
    ------
    ProjectError
        If another process has it, saying which; or if the folder cannot be written.
    """

    def __init__(self, path: Path) -> None:
        path = path.resolve()  # a link leads to the same file
        self._path = path.with_name(path.name + ".lock")
        self._holder = path.with_name(path.name + ".holder")
        self._lock = FileLock(self._path, timeout=0)
        self._inode: FileLock | None = None
        try:
            self._lock.acquire()
            try:
                self.lock_inode(path)
                self._sign()
            except BaseException:
                self._let_go()
                raise
        except Timeout as error:
            raise only_to_read(ProjectInUse(f"{path.name} is open for writing {self._who()}. Close it there first.")) from error
        except OSError as error:
            writable = "make its folder writable, or copy the project to another"
            what = remedy(error, writable if path.exists() else "choose another folder")
            if error.errno in NO_LOCKS:  # so nobody else holds it either
                self._path.unlink(missing_ok=True)
                what = NO_LOCKS_HERE
            where = Path(error.filename).parent if error.filename else path.parent
            raise only_to_read(ProjectError(f"{where} cannot be written ({error.strerror or error}): {what}.")) from error

    def lock_inode(self, path: Path) -> None:
        """Lock the file itself too, if there is one already: it may have other names, or get them."""
        inode = _lock_of_inode(path)
        if inode is not None:
            inode.acquire()
            self._inode = inode

    def _sign(self) -> None:
        """Note who has it, for others to read."""
        holder = {"pid": os.getpid(), "host": platform.node(), "user": _user()}
        try:
            self._holder.write_text(json.dumps(holder), encoding="utf-8")
        except OSError:
            with suppress(OSError):
                self._holder.unlink(missing_ok=True)
            raise

    def _who(self) -> str:
        try:
            holder = json.loads(self._holder.read_bytes())
            return f"by process {holder['pid']} of {holder['user']} on {holder['host']}"
        except (OSError, ValueError, KeyError):
            return "by another process"

    def release(self) -> None:
        """Let go."""
        with suppress(OSError):  # the disk may have become one that can only be read
            self._holder.unlink(missing_ok=True)
        self._let_go()

    def _let_go(self) -> None:
        # Before letting go: afterwards it may be in another's hands. (A lock got on a file that is gone by then does not
        # count, which filelock sees to.) Windows does not remove what is open; there filelock removes it.
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
        self._lock.release()
        if self._inode is not None:
            with suppress(OSError):
                Path(self._inode.lock_file).unlink(missing_ok=True)
            self._inode.release()


def _lock_of_inode(path: Path) -> FileLock | None:
    """Return a lock of a file whatever its name, of this user on this machine: it has, or gets, others by hard links."""
    if not path.exists():
        return None
    found = path.stat()
    folder = Path(platformdirs.user_cache_dir("napari-sam2s")) / "locks"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder / "lock"))
    except OSError:
        if found.st_nlink > 1:
            raise
        return None  # a home that cannot be written is no reason not to work
    return FileLock(folder / f"{found.st_dev}-{found.st_ino}.lock", timeout=0)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user without a name
        return "an unknown user"

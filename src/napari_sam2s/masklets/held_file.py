"""A project's file as it is held open: whether it still has its name, and locks that nobody else in this process lets go of.

The locks of SQLite on POSIX systems end when anything in the process closes any descriptor of the file
(https://www.sqlite.org/howtocorrupt.html, 2.2). The file dialogs of Qt do so for every file in the folder that they show: they
read its first bytes for the icon. Then another process that only reads finds nobody there, cuts SQLite's ``-shm`` short, and
napari ends without a word (SIGBUS). Locks of open file descriptions (``fcntl(2)``, Linux) do not end that way.
"""

from __future__ import annotations

import os
import struct
import sys
import weakref
from contextlib import suppress
from pathlib import Path

# Bytes that every connection has a read lock on (os_unix.c of SQLite: SHARED_FIRST and SHARED_SIZE, UNIX_SHM_DMS).
SHARED_FIRST, SHARED_SIZE = 0x40000002, 510
IN_USE = 128  # of ``-shm``


class HeldFile:
    """Holds a file that SQLite has opened and read, until :meth:`let_go`, which comes after SQLite has let go.

    A number of the file would not do to know it again: some network folders change them.
    """

    def __init__(self, path: Path) -> None:
        self._files = [os.open(path, os.O_RDONLY)]
        self._known = os.name != "nt" and os.fstat(self._files[0]).st_nlink > 0
        self.let_go = weakref.finalize(self, _close, self._files)
        self._locked: list[tuple[int, int, int]] = []
        beside = path.resolve()
        with suppress(OSError):  # a file that was opened where nothing can be written has none
            if sys.platform == "linux":
                self._files.append(os.open(beside.with_name(f"{beside.name}-shm"), os.O_RDONLY))
                self._locked = [(self._files[0], SHARED_FIRST, SHARED_SIZE), (self._files[1], IN_USE, 1)]
        self._set(locked=True)

    @property
    def lost(self) -> bool:
        """Whether it was removed, or another one took its place."""
        return self._known and os.fstat(self._files[0]).st_nlink == 0

    def unlock(self) -> None:
        """Give the locks back, for SQLite to close: it takes its log away if nobody else has the file."""
        self._set(locked=False)

    def _set(self, *, locked: bool) -> None:
        if sys.platform == "linux":
            import fcntl

            for file, first, size in self._locked:
                wanted = struct.pack("hhqqi", fcntl.F_RDLCK if locked else fcntl.F_UNLCK, os.SEEK_SET, first, size, 0)
                with suppress(OSError):  # of a drive without such locks
                    fcntl.fcntl(file, fcntl.F_OFD_SETLK, wanted)


def _close(files: list[int]) -> None:
    for file in files:
        os.close(file)

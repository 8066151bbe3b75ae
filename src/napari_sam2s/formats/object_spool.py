"""What is known frame by frame, sorted by object in a file beside: formats that list masks by track are written with it."""

from __future__ import annotations

import tempfile
from array import array
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self


class ObjectSpool:
    """Texts by object and frame, kept in a temporary file; in memory are 16 bytes a text. A context manager."""

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  closed by `__exit__`
        self._places: dict[int, array[int]] = {}
        self._end = 0

    def add(self, object_id: int, text: str) -> None:
        """Keep a text after those that an object has."""
        data = text.encode()
        self._file.write(data)
        self._places.setdefault(object_id, array("q")).extend((self._end, len(data)))
        self._end += len(data)

    def has(self, object_id: int) -> bool:
        """Whether an object has a text."""
        return object_id in self._places

    def texts(self, object_id: int) -> Iterator[str]:
        """Yield the texts of an object as they were added."""
        places = self._places.get(object_id, array("q"))
        for place, length in zip(places[::2], places[1::2], strict=True):
            self._file.seek(place)
            yield self._file.read(length).decode()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()

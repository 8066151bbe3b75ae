"""What a project holds of one kind, as a sequence that is always what the file says now."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import TypeVar, overload

T = TypeVar("T")


class LiveSequence(Sequence[T]):
    """Reads itself anew whenever it is looked at; equal to any sequence of the same things."""

    @abstractmethod
    def read(self) -> tuple[T, ...]:
        """Return what there is now."""

    def __len__(self) -> int:
        return len(self.read())

    def __iter__(self) -> Iterator[T]:
        return iter(self.read())

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[T, ...]: ...
    def __getitem__(self, index: int | slice) -> T | tuple[T, ...]:
        return self.read()[index]

    def __eq__(self, other: object) -> bool:
        return self.read() == tuple(other) if isinstance(other, Sequence) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}{self.read()!r}"

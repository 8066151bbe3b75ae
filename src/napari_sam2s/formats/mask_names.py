"""The frames of mask pictures by their names, as those of a video's pictures: what may be an object's number is refused."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from napari_sam2s.errors import FormatError, VideoError
from napari_sam2s.video.picture_names import order_of

ONE_PICTURE = (
    "Masks are read from one picture a frame, where the value of a pixel is its object, or from a folder for each object."
)
_OBJECT_LAST = re.compile(r"(\d+)(?:.*[^a-z])?(?:obj|object|id|inst|instance)[-_. ]?\d+$", re.I)


def by_number(pictures: Iterable[Path]) -> dict[int, Path]:
    """Return mask pictures by their frames.

    Raises :class:`FormatError` if two have one number, none counts the frames, or it may be an object's.
    """
    paths = sorted(pictures)
    if all(path.stem.isdecimal() for path in paths):
        numbers = [int(path.stem) for path in paths]
    else:
        paths, numbers = _counted(paths)
    found: dict[int, Path] = {}
    for number, picture in zip(numbers, paths, strict=True):
        if number in found:
            raise FormatError(f"{picture} and {found[number].name} have the same number: keep one of them.")
        found[number] = picture
    return found


def _counted(paths: list[Path]) -> tuple[list[Path], list[int]]:
    """Return pictures in order, and the number in each name that counts the frames."""
    try:
        order = order_of([path.stem for path in paths])
    except VideoError as error:
        raise FormatError(f"{paths[0].parent}: {error} {ONE_PICTURE}") from error
    first, number = paths[order.places[0]], order.numbers[0]
    if not order.counted:
        raise FormatError(f"The names in {first.parent}, such as {first.name}, have no number of the frame: give each one.")
    if number == int(re.findall(r"\d+", first.stem)[-1]) and (named := _OBJECT_LAST.search(first.stem) or _padded(first.stem)):
        raise FormatError(f"{first} may be frame {number}, or object {number} of frame {int(named[1])}. {ONE_PICTURE}")
    return [paths[place] for place in order.places], list(order.numbers)


def _padded(stem: str) -> re.Match[str] | None:
    """Return the frame and the object of a name such as 00012_3."""
    found = re.fullmatch(r"(\d+)[-_. ](\d+)", stem)
    return found if found and len(found[1]) > len(found[2]) else None

"""How numbers and warnings are written in sentences that users read."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TextIO


def counted(number: float, one: str, many: str = "") -> str:
    """Return a number and its noun, "1 frame" or "3 frames"; `many` is for what does not take an s ("frames are", "boxes")."""
    return f"{number} {one}" if number == 1 else f"{number} {many or one + 's'}"


def frames_in_words(frames: Iterable[int], most: int) -> str:
    """Return frames in words, such as "3 to 5, 9"; of more than ``most`` spans how many more there are."""
    spans: list[list[int]] = []
    for frame in sorted(set(frames)):
        if spans and frame == spans[-1][-1] + 1:
            spans[-1].append(frame)
        else:
            spans.append([frame])
    words = [f"{span[0]}" if len(span) == 1 else f"{span[0]} to {span[-1]}" for span in spans[:most]]
    return ", ".join(words) + (f" and {counted(len(spans) - most, 'more span')}" if len(spans) > most else "")


def named_frames(frames: Iterable[int], most: int) -> str:
    """Return frames in words with the noun, such as "frame 7" and "frames 3 to 5, 9"; see :func:`frames_in_words`."""
    known = set(frames)
    return f"{'frame' if len(known) == 1 else 'frames'} {frames_in_words(known, most)}"


def tell_warnings_by(say: Callable[[str], None]) -> None:
    """Let ``say`` tell what this package warns of, as a sentence without a place in the code; of others nothing changes."""
    otherwise = warnings.showwarning

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if category is UserWarning and Path(__file__).parent in Path(filename).parents:
            say(str(message))
        else:
            otherwise(message, category, filename, lineno, file, line)

    warnings.showwarning = show

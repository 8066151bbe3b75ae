"""Prompts as words of a command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from napari_sam2s.errors import PromptError
from napari_sam2s.masklets.vocabulary import Prompt


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--point``, ``--box`` and ``--mask``."""
    parser.add_argument(
        "--point", action="append", default=[], metavar="F,Y,X[,OBJ[,+|-]]", help="a click: frame, y, x, object (1), + or -"
    )
    parser.add_argument("--box", action="append", default=[], metavar="F,Y0,X0,Y1,X1[,OBJ]", help="a box around an object")
    parser.add_argument(
        "--mask", action="append", default=[], metavar="F,PNG", help="a picture of masks on frame F; each value is an object"
    )


def read_prompts(args: argparse.Namespace) -> list[Prompt]:
    """Return the prompts of parsed options; clicks on one object and frame come together.

    Raises
    ------
    PromptError
        Naming the word that cannot be read, and how it is written.
    """
    clicks: dict[tuple[int, int], list[tuple[tuple[float, float], int]]] = {}
    for word in args.point:
        parts = word.split(",")
        label = 1
        if len(parts) == 5 and parts[4] in ("+", "-"):
            label = int(parts.pop() == "+")
        numbers = _numbers(word, parts, (3, 4), "F,Y,X[,OBJ[,+|-]]")
        object_id = int(numbers[3]) if len(numbers) == 4 else 1
        clicks.setdefault((object_id, int(numbers[0])), []).append(((numbers[1], numbers[2]), label))
    prompts = [
        Prompt(object_id, frame, tuple(p for p, _ in given), tuple(label for _, label in given))
        for (object_id, frame), given in clicks.items()
    ]
    for word in args.box:
        numbers = _numbers(word, word.split(","), (5, 6), "F,Y0,X0,Y1,X1[,OBJ]")
        object_id = int(numbers[5]) if len(numbers) == 6 else 1
        prompts.append(Prompt(object_id, int(numbers[0]), box=(numbers[1], numbers[2], numbers[3], numbers[4])))
    for word in args.mask:
        prompts += _mask_prompts(word)
    return prompts


def _numbers(word: str, parts: Sequence[str], counts: tuple[int, int], form: str) -> list[float]:
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        numbers = []
    if len(numbers) not in counts:
        raise PromptError(f"{word!r} is not written as {form}.")
    return numbers


def _mask_prompts(word: str) -> list[Prompt]:
    frame, _, name = word.partition(",")
    if not frame.isdigit() or not name:
        raise PromptError(f"{word!r} is not written as F,PNG.")
    try:
        with Image.open(Path(name)) as picture:
            labels = np.asarray(picture)
    except (OSError, UnidentifiedImageError) as error:
        raise PromptError(f"The mask {name} cannot be read ({error}).") from error
    if labels.ndim != 2:
        raise PromptError(f"The mask {name} is a colour picture; its values must be object ids (palette or grey).")
    ids = [int(i) for i in np.unique(labels) if i]
    if not ids:
        raise PromptError(f"The mask {name} is empty.")
    return [Prompt(i, int(frame), mask=labels == i) for i in ids]

"""Prompts as words of a command line."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from typing import TypeVar

from napari_sam2s.errors import PromptError
from napari_sam2s.masklets.types import Prompt
from napari_sam2s.masklets.validation import user_path

POINT, BOX, MASK = "F,Y,X[,OBJ[,+|-]]", "F,Y0,X0,Y1,X1[,OBJ]", "F,PICTURE[,OBJ]"
LARGEST = 2**31 - 1  # a frame or an object
Key = tuple[int, int]  # object id, frame
T = TypeVar("T")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--point``, ``--box`` and ``--mask``."""
    parser.add_argument(
        "--point",
        action="append",
        default=[],
        metavar=POINT,
        help="a click: frame, y, x, object (default: 1), + (the object) or - (not the object); repeat for more clicks",
    )
    parser.add_argument(
        "--box", action="append", default=[], metavar=BOX, help="a box around an object (default: 1); add --point to refine it"
    )
    parser.add_argument(
        "--mask",
        action="append",
        default=[],
        metavar=MASK,
        help="a label image for frame F (PNG, TIFF or npy; of a stack, page F). Each value is an object. With OBJ, all "
        "values are that object",
    )


def read_prompts(args: argparse.Namespace) -> list[Prompt]:
    """Return the prompts of parsed options; a box and clicks on one object and frame come together, after a mask there.

    Raises
    ------
    PromptError
        Naming the word that cannot be read, and how it is written.
    FormatError
        If a mask cannot be read.
    """
    masks: dict[Key, Prompt] = {}
    for word in args.mask:
        for prompt in _mask_prompts(word):
            _put(masks, prompt.object_id, prompt.frame, prompt, "masks")
    boxes: dict[Key, tuple[float, float, float, float]] = {}
    for word in args.box:
        numbers = _numbers(word, word.split(","), (5, 6), BOX)
        _put(boxes, *_key(word, numbers, 5, BOX), (numbers[1], numbers[2], numbers[3], numbers[4]), "boxes")
    clicks: dict[Key, list[tuple[tuple[float, float], int]]] = {}
    for word in args.point:
        parts = word.split(",")
        label = 1
        if len(parts) == 5 and parts[4] in ("+", "-"):
            label = int(parts.pop() == "+")
        numbers = _numbers(word, parts, (3, 4), POINT)
        clicks.setdefault(_key(word, numbers, 3, POINT), []).append(((numbers[1], numbers[2]), label))
    drawn = []
    for object_id, frame in dict.fromkeys([*clicks, *boxes]):
        given, box = clicks.get((object_id, frame), []), boxes.get((object_id, frame))
        prompt = Prompt(object_id, frame, tuple(p for p, _ in given), tuple(label for _, label in given), box)
        if box is None and not any(prompt.labels) and (object_id, frame) not in masks:
            raise PromptError(
                f"Object {object_id} has only negative points on frame {frame}, which only say where it is not: add a positive "
                "point or a box."
            )
        drawn.append(prompt)
    return [*masks.values(), *drawn]


def _put(found: dict[Key, T], object_id: int, frame: int, value: T, what: str) -> None:
    if (object_id, frame) in found:
        raise PromptError(
            f"There are two {what} for object {object_id} on frame {frame}: give the second object a number, as in "
            f"...,{object_id + 1}."
        )
    found[object_id, frame] = value


def _numbers(word: str, parts: Sequence[str], counts: tuple[int, int], form: str) -> list[float]:
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        numbers = []
    if len(numbers) not in counts or not all(map(math.isfinite, numbers)):
        raise PromptError(f"{word!r} is not written as {form}.")
    return numbers


def _key(word: str, numbers: Sequence[float], place: int, form: str) -> Key:
    """Return the object's id, which may be left out for 1, and the frame."""
    frame, object_id = numbers[0], numbers[place] if len(numbers) > place else 1.0
    if frame != int(frame) or object_id != int(object_id):
        raise PromptError(f"{word!r} is not written as {form}: frame and object are whole numbers.")
    if max(object_id, frame) > LARGEST:
        raise PromptError(f"{word!r} names frame {frame:g} and object {object_id:g}: both are {LARGEST} at most.")
    return int(object_id), int(frame)


def _mask_prompts(word: str) -> list[Prompt]:
    from napari_sam2s.formats.label_picture import prompts_of_picture

    frame, _, name = word.partition(",")
    whole, _, number = name.rpartition(",")
    if whole and number.strip().isdigit() and not user_path(name).exists():
        name = whole
    else:
        number = ""
    if not frame.strip().isdigit() or not name:
        raise PromptError(f"{word!r} is not written as {MASK}.")
    return prompts_of_picture(user_path(name), int(frame), int(number) if number else None)

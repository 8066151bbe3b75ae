"""The order of pictures by their names: which of the numbers in them is the frame.

Names are compared as a whole. What is the same in all of them is no frame number, wherever it stands; of what differs, one
number may count the frames, or several together may be a time, or a session and a number. What may be channels or positions
is refused, for nothing here tells which of them is wanted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from napari_sam2s.errors import VideoError
from napari_sam2s.video.picture_dates import (
    below_sixty,
    refuse_exponents,
    refuse_midnight,
    refuse_several_zones,
    spelt_out,
    year_first,
)

_PARTS, _WITH_DECIMALS = re.compile(r"(\d+)"), re.compile(r"(\d+(?:\.\d+)?)")
# What stands before a number that tells views of one moment apart, and not moments.
_VIEWS = re.compile(
    r"(?:^|[^a-z])(ch|chan|channel|c|w|wavelength|z|slice|plane|pos|position|p|xy|xypos|field|view|cam|camera)[_-]?$", re.I
)
_SIGN = re.compile(r"(?:(?:^|[^a-z])(?:t|time)|[_=(])-$", re.I)  # before a number that is below zero
_UNITS = ("d", "h", "m", "s")
_AFTER = re.compile(r"[ _]?([nuµμm]?s|m?sec|min|hr?|d)(?![a-z])", re.I)  # behind a number of one of several units
NEARLY_ALL = 0.8  # of the pairs of two numbers: then they are a grid, such as times and channels


@dataclass(frozen=True)
class Order:
    """The order of pictures."""

    places: tuple[int, ...]  # of the names as given, first frame first
    numbers: tuple[int, ...]  # of each frame: that in its name where one whole number counts them, else 0, 1, 2, ...
    counted: bool  # whether the numbers are those in the names


def order_of(names: Sequence[str]) -> Order:
    """Return the order of pictures by their names, without endings.

    Raises :class:`VideoError` if a name has no number, or the numbers may mean several things.
    """
    if bare := [name for name in names if not _PARTS.search(name)]:
        raise VideoError(
            f"{sorted(bare)[0]} has no number in its name, so its place in the sequence is unknown: number it, or move it away."
        )
    refuse_several_zones(names)
    plain = spelt_out(names)
    split = [_PARTS.split(name) for name in plain]
    refuse_exponents(names, split)
    fields = _fields(split) or _fields([_WITH_DECIMALS.split(name) for name in plain])  # 0.75, 1, 1.25
    if fields is None:
        return _of_several_kinds(split, names)
    texts, columns, widths = fields
    dated = year_first(texts, columns, widths)
    varying = [k for k, column in enumerate(columns) if len(set(column)) > 1]
    if varying and not dated and (len(varying) > 1 or widths[varying[0]] != {2}):
        refuse_midnight(columns[: varying[0] + 1], widths[: varying[0] + 1], names)
    if len(varying) < 2:
        order = _by_one(columns[varying[0] if varying else -1], names)
        return Order(order.places, tuple(range(len(names))), counted=False) if dated else order
    for k in varying:
        if match := _VIEWS.search(texts[k]):
            raise VideoError(
                f"The names differ in the number after {match[1]!r}, as those of channels or positions do: "
                "keep one sequence in one folder."
            )
    return _by_several([columns[k] for k in varying], names, time=dated or _is_time(texts, columns, widths, varying))


def _of_several_kinds(split: Sequence[Sequence[str]], names: Sequence[str]) -> Order:
    """Return the order of names whose texts differ, by the one number that does, too."""
    columns = list(zip(*(map(Fraction, parts[1::2]) for parts in split), strict=False))
    varying = [column for column in columns if len(set(column)) > 1]
    year = any(len(set(column)) == 1 and 1900 <= column[0] < 2100 for column in columns)
    dated = year and varying and max(varying[0]) <= 31
    if len({len(parts) for parts in split}) == 1 and len(varying) < 2 and not dated and not _of_several_units(split):
        return _by_one(varying[0] if varying else columns[-1], names)
    other = next(n for n in range(1, len(names)) if split[n][::2] != split[0][::2])
    raise VideoError(_KINDS.format(names[0], names[other]))


def _of_several_units(split: Sequence[Sequence[str]]) -> bool:
    """Whether one number of all names is in seconds here and in milliseconds there, say."""
    found = [{match[1] for parts in split if (match := _AFTER.match(parts[k]))} for k in range(2, len(split[0]), 2)]
    return any(len(units) > 1 for units in found)


def _fields(split: Sequence[Sequence[str]]) -> tuple[list[str], list[list[Fraction]], list[set[int]]] | None:
    """Return the texts around the numbers, each number of all names, and how many digits it has; ``None`` if the texts differ.

    A minus that only some names have is a sign, as is one after "t", "time" or a line below. Two numbers with a point between
    are one with decimals.
    """
    if len({len(parts) for parts in split}) > 1:
        return None
    texts: list[str] = []
    columns: list[list[Fraction]] = []
    widths: list[set[int]] = []
    negative = [False] * len(split)  # whether the number before had a minus that is a sign
    for k in range(0, len(split[0]) - 1, 2):
        before, digits = [parts[k] for parts in split], [parts[k + 1] for parts in split]
        signs = [1] * len(split)
        if len(set(before)) == 2 and len({text.removesuffix("-") for text in before}) == 1:
            signs = [-1 if text.endswith("-") else 1 for text in before]
            before = [text.removesuffix("-") for text in before]
        elif len(set(before)) == 1 and _SIGN.search(before[0]):
            signs = [-1] * len(split)
        if len(set(before)) > 1:
            return None
        if texts and before[0] == "." and texts[-1] != "." and _decimals(split, k):
            columns[-1] = [
                whole - Fraction(int(d), 10 ** len(d)) if minus else whole + Fraction(int(d), 10 ** len(d))
                for whole, d, minus in zip(columns[-1], digits, negative, strict=True)
            ]
            continue
        negative = [sign < 0 for sign in signs]
        texts.append(before[0])
        columns.append([sign * Fraction(d) for sign, d in zip(signs, digits, strict=True)])
        widths.append({len(d) for d in digits})
    return ([*texts, split[0][-1]], columns, widths) if len({parts[-1] for parts in split}) == 1 else None


def _decimals(split: Sequence[Sequence[str]], k: int) -> bool:
    """Whether what follows a point are decimals: of one length, or with no zero at the end, as programs print them."""
    if len(split[0]) > k + 3 and split[0][k + 2] == ".":  # 2024.03.01
        return False
    digits = [parts[k + 1] for parts in split]
    return len({len(d) for d in digits}) == 1 or not any(len(d) > 1 and d.endswith("0") for d in digits)


def _is_time(
    texts: Sequence[str], columns: Sequence[Sequence[Fraction]], widths: Sequence[set[int]], varying: Sequence[int]
) -> bool:
    """Whether the numbers from the first that differs on are a date or a time, written with its larger parts first."""
    first, last = varying[0], varying[-1]
    between = texts[first + 1 : last + 1]
    units = [unit.lower() for unit in (*between, texts[last + 1][:1])]
    if set(units) <= set(_UNITS):
        return units == sorted(set(units), key=_UNITS.index)
    loose = len(between) > 1 or widths[first] in ({4}, {8})  # a line below may separate anything
    if not set(between) <= {"-", ".", ":", "T", " ", *("_" if loose else "")}:
        return False
    whole = all(value.denominator == 1 for k in range(first + 1, last) for value in columns[k])  # seconds may have decimals
    return whole and all(widths[k] in ({2}, {4}, {6}) and all(map(below_sixty, columns[k])) for k in range(first + 1, last + 1))


def _by_one(keys: Sequence[Fraction], names: Sequence[str]) -> Order:
    places = sorted(range(len(names)), key=lambda n: (keys[n], names[n]))
    ordered = [keys[n] for n in places]
    for a, b in pairwise(ordered):
        if a == b:
            raise VideoError(f"Several pictures have the number {a}: keep one sequence in one folder.")
    whole = all(key.denominator == 1 for key in ordered)
    numbers = tuple(int(key) for key in ordered) if whole else tuple(range(len(names)))
    return Order(tuple(places), numbers, whole)


def _by_several(columns: Sequence[Sequence[Fraction]], names: Sequence[str], *, time: bool) -> Order:
    keys = list(zip(*columns, strict=True))
    if len(set(keys)) < len(keys):
        raise VideoError("Several pictures have the same numbers in their names: keep one sequence in one folder.")
    places = tuple(sorted(range(len(names)), key=lambda n: keys[n]))
    plain = Order(places, tuple(range(len(names))), counted=False)
    if time:
        return plain
    counters = [c for c in columns if len(set(c)) == len(c) and max(c) - min(c) == len(c) - 1]
    if len(counters) == 1:
        counted = _by_one(counters[0], names)
        if counted.places == places or not _in_blocks([columns[0][n] for n in counted.places]):
            return counted  # the other numbers are notes, such as a score
        raise VideoError(_AMBIGUOUS.format(names[places[0]], names[counted.places[0]]))
    groups = len(set(columns[0]))
    rest = len({key[1:] for key in keys})
    if groups > 1 and rest > 1 and len(keys) >= NEARLY_ALL * groups * rest:
        raise VideoError(_GRID.format(names[places[0]], names[places[-1]]))
    return plain


_GRID = "The names differ as those of several channels, positions or recordings do ({}, {}): keep one sequence in one folder."
_KINDS = (
    "The names have different patterns ({}, {}), so their numbers give no order. Give all the same pattern, with "
    "one number that counts."
)
_AMBIGUOUS = (
    "The first picture may be {} or {}: the names do not say which. Number the pictures again, with one "
    "number that counts the frames."
)


def _in_blocks(values: Sequence[Fraction]) -> bool:
    """Whether equal values stand together, several at a time."""
    changes = sum(a != b for a, b in pairwise(values))
    return changes == len(set(values)) - 1 and len(set(values)) < len(values)

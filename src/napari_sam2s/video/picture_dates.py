"""Dates and times in the names of pictures, as people and programs of several countries write them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from datetime import date
from fractions import Fraction
from itertools import pairwise

from napari_sam2s.errors import VideoError

MONTHS = ["jan(?:uary)?", "feb(?:ruary)?", "mar(?:ch)?", "apr(?:il)?", "may", "june?", "july?", "aug(?:ust)?"]
MONTHS += ["sept?(?:ember)?", "oct(?:ober)?", "nov(?:ember)?", "dec(?:ember)?"]
_MONTH = rf"(?<![a-z])({'|'.join(MONTHS)})(?![a-z])"
_APART = r"[ ._,-]{0,2}"
_DAY_MONTH = re.compile(rf"(?<!\d)(\d{{1,2}}){_APART}{_MONTH}(?:{_APART}(\d{{4}})(?!\d))?", re.I)
_MONTH_DAY = re.compile(rf"{_MONTH}{_APART}(\d{{1,2}})(?!\d)(?:{_APART}(\d{{4}})(?!\d))?", re.I)
_HALF_DAY = re.compile(r"(?<!\d)(\d{1,2})((?:[.:_ -]?\d{2}){0,2})[ _]?([ap])\.?m(?![a-z])", re.I)  # 1.05.12 PM
_DAYS_IN = "Dates such as {} may begin with the day or with the month. Name the pictures by year, month, day (2024-01-31)."
_COMMA = re.compile(r"(?<=\d),(\d+)")  # before decimals
_EXPONENT = re.compile(r"\de[+-]?\d", re.I)
_OFFSET = re.compile(r"T\d{2}[.:]?\d{2}(?:[.:]?\d{2}(?:[.,]\d+)?)?([+-]\d{2}[.:]?\d{2}|Z)(?!\d)")  # ISO 8601
HALF_A_DAY = 12  # hours
MUCH_LONGER = 10  # days of a recording: then a way to read its dates that makes it so is not the one that was meant
_SIGNS = str.maketrans({"\N{MINUS SIGN}": "-", "\N{SMALL HYPHEN-MINUS}": "-"})


def spelt_out(names: Sequence[str]) -> list[str]:
    """Return names whose times are of 24 hours, whose months are numbers behind the year, with plain digits and points."""
    plain = [re.sub(r"(?<!\d)\+(?=\d)", "", unicodedata.normalize("NFKC", name).translate(_SIGNS)) for name in names]
    commas = [match for name in plain for match in _COMMA.finditer(name)]
    if len(commas) <= len(plain) and any(len(match[1]) != 3 for match in commas):  # else perhaps thousands
        plain = [_COMMA.sub(r".\1", name) for name in plain]
    halves = [time for name in plain for time in _HALF_DAY.finditer(name)]
    if all(1 <= int(time[1]) <= 12 for time in halves):  # 20 pm are picometres
        plain = [_HALF_DAY.sub(_of_24_hours, name) for name in plain]
    plain = [_DAY_MONTH.sub(lambda m: _dated(m[3], m[2], m[1]), name) for name in plain]
    return [_MONTH_DAY.sub(lambda m: _dated(m[3], m[1], m[2]), name) for name in plain]


def _of_24_hours(time: re.Match[str]) -> str:
    return f"{int(time[1]) % 12 + 12 * (time[3].lower() == 'p'):02d}{time[2]}"


def _dated(year: str | None, month: str, day: str) -> str:
    number = next(n for n, spelt in enumerate(MONTHS, 1) if re.fullmatch(spelt, month, re.I))
    return f"{year}-{number:02d}-{int(day):02d}" if year else f"{number:02d}-{int(day):02d}"


def refuse_exponents(names: Sequence[str], split: Sequence[Sequence[str]]) -> None:
    """Make sure that numbers are not written with powers of ten.

    Raises :class:`VideoError` if some are: their parts do not count.
    """
    if len({tuple(parts) for parts in split}) > 1 and all(_EXPONENT.search(name) for name in names):
        raise VideoError(f"The number in {names[0]} may have an exponent. Name the pictures with whole numbers.")


def refuse_several_zones(names: Sequence[str]) -> None:
    """Make sure that times are all of one zone. Raises :class:`VideoError` if they state several, as where summer time ends."""
    zones = {match[1]: name for name in names if (match := _OFFSET.search(name))}
    if len(zones) > 1:
        one, other = list(zones.values())[:2]
        raise VideoError(f"The times in {one} and {other} are in different time zones. Name all pictures in one time zone.")


def refuse_midnight(columns: Sequence[Sequence[Fraction]], widths: Sequence[set[int]], names: Sequence[str]) -> None:
    """Make sure that the first number that differs (the last of ``columns``) is no hour, or time, that passes midnight.

    Raises :class:`VideoError` if there are hours of late evening and early night and none between, and no date in front that
    would tell.
    """
    width = next(iter(widths[-1])) if len(widths[-1]) == 1 else 0
    values = columns[-1]
    if (
        len(names) < 3
        or width not in (2, 4, 6)
        or any(min(digits) >= 4 for digits in widths[:-1])
        or not all(map(below_sixty, values))
    ):
        return
    hours = sorted({int(value) // 10 ** (width - 2) for value in values})
    if hours[0] == 0 and hours[-1] == 23 and max(b - a for a, b in pairwise(hours)) > HALF_A_DAY:
        by_time = sorted(range(len(names)), key=values.__getitem__)
        raise VideoError(
            f"The times in {names[by_time[-1]]} and {names[by_time[0]]} may be before and after midnight. "
            "Put the date in front of the times (2024-01-31_2359)."
        )


def below_sixty(value: Fraction) -> bool:
    """Return whether all pairs of digits are those of months, days, hours, minutes or seconds."""
    pairs = int(value)
    while pairs > 0 and pairs % 100 < 60:
        pairs //= 100
    return pairs == 0 and value >= 0


def year_first(texts: Sequence[str], columns: list[list[Fraction]], widths: list[set[int]]) -> bool:
    """Bring the numbers of a date that ends with its year (28-01-2024, 01-28-2024, 01-2024) into order; say if there is one.

    Raises :class:`VideoError` if days may be months.
    """
    for k in range(len(columns)):
        if _in_one(texts, columns, widths, k):
            return True
    for k in range(len(columns) - 2):
        one, two, year = columns[k : k + 3]
        apart = texts[k + 1] == texts[k + 2] and texts[k + 1] in {"-", ".", "_", " "}
        if not apart or widths[k + 2] != {4} or not all(1900 <= value < 2100 for value in year):
            continue
        small = [max(values) <= 12 for values in (one, two)]
        if not any(small) or not all(1 <= value <= 31 for value in (*one, *two)):
            continue
        if all(small) and min(len(set(one)), len(set(two))) > 1:
            first = "{:02d}-{:02d}-{}".format(*(int(values[0]) for values in (one, two, year)))
            raise VideoError(_DAYS_IN.format(first))
        columns[k : k + 3] = [year, one, two] if small[0] and not small[1] else [year, two, one]
        widths[k : k + 3] = [widths[k + 2], *widths[k : k + 2]]
        return True
    if len(columns) == 2 and texts[1] in {"-", "."} and widths[1] == {4}:
        month, year = columns
        if len(set(year)) > 1 and all(1 <= value <= 12 for value in month) and all(1900 <= value < 2100 for value in year):
            columns[:], widths[:] = [year, month], widths[::-1]
            return True
    return False


# Where year, month and day stand among the digits of a date of eight or six of them.
_EIGHT = (
    (slice(0, 4), slice(4, 6), slice(6, 8)),
    (slice(4, 8), slice(2, 4), slice(0, 2)),
    (slice(4, 8), slice(0, 2), slice(2, 4)),
)
_SIX = (slice(0, 2), slice(2, 4), slice(4, 6)), (slice(4, 6), slice(2, 4), slice(0, 2)), (slice(4, 6), slice(0, 2), slice(2, 4))


def _in_one(texts: Sequence[str], columns: list[list[Fraction]], widths: Sequence[set[int]], k: int) -> bool:
    """Turn dates of one number (31012024, or 310124 before a time) into days that count on; say if there were any."""
    before_time = k + 1 < len(columns) and widths[k + 1] in ({4}, {6}) and texts[k + 1] in {"_", "-", " ", "T"}
    width = 8 if widths[k] == {8} else 6 if widths[k] == {6} and before_time else 0
    if not width or len(set(columns[k])) == 1 or any(value.denominator > 1 or value < 0 for value in columns[k]):
        return False
    digits = [f"{int(value):0{width}d}" for value in columns[k]]
    found = [read for order in (_EIGHT if width == 8 else _SIX) if (read := _dates(digits, order))]
    if not found:
        return False
    found.sort(key=_days)
    ways = {tuple(sorted(range(len(read)), key=read.__getitem__)) for read in found}
    if len(ways) > 1 and _days(found[1]) < MUCH_LONGER * _days(found[0]):
        raise VideoError(_DAYS_IN.format(digits[0]))
    columns[k] = [Fraction(day.toordinal()) for day in found[0]]
    return True


def _days(read: Sequence[date]) -> int:
    """Return how long a recording of these dates took, at least a day."""
    return max((max(read) - min(read)).days, 1)


def _dates(digits: Sequence[str], order: Sequence[slice]) -> list[date] | None:
    try:
        parts = [tuple(int(text[part]) for part in order) for text in digits]
        read: Callable[[int], int] = (lambda y: y) if len(digits[0]) == 8 else (lambda y: 2000 + y)
        return [date(read(y), m, d) for y, m, d in parts] if all(1900 <= read(y) < 2100 for y, _, _ in parts) else None
    except ValueError:
        return None

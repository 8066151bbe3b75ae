"""Frame indices, object ids and masks as they come in from outside: checked once, and never guessed at."""

from __future__ import annotations

import errno
import html
import operator
import os
import re
import shlex
import unicodedata
from pathlib import Path
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import ProjectError, Sam2sError

LONGEST_NAME = 100_000  # characters
UNSEEN = ("Cf", "Mn", "Me", "Zs")  # Unicode's categories of what has no form of its own
TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # what follows reads in another direction
LARGEST_NUMBER = 2**63 - 1  # that a project file can hold
LARGEST_ID = 2**31 - 1  # of an object: what a picture of ids, and every format, can hold


def quoted(name: object) -> str:
    """Return a file name as it is typed on a command line, where it is that name and nothing else."""
    text = f"./{name}" if str(name).startswith("-") else str(name)
    if re.fullmatch(r"[\w./+-]+", text):
        return text
    return f'"{text}"' if os.name == "nt" else shlex.quote(text)


def whole_number(value: SupportsIndex, otherwise: Sam2sError) -> int:
    """Return an integer of any type as Python's own, or raise ``otherwise``.

    NumPy's small integers overflow when one counts with them, and SQLite keeps all of NumPy's as bytes that are never found
    again. True and False are no numbers here: they are slips, such as of an argument.
    """
    if isinstance(value, bool | np.bool_):
        raise otherwise
    try:
        number = operator.index(value)
    except TypeError:
        raise otherwise from None
    if abs(number) > LARGEST_NUMBER:
        raise otherwise
    return number


def yes_or_no(value: Any, what: str) -> bool:
    """Return True or False, which 1 and 0 are as well, or raise a :class:`ProjectError` that says what is to be one."""
    if isinstance(value, bool | np.bool_ | int | np.integer) and value in (0, 1):
        return bool(value)
    raise ProjectError(f"{what} is True or False; got {value!r}.")


def frame_of(value: SupportsIndex) -> int:
    """Return the index of a frame as an integer, or raise a :class:`ProjectError`."""
    return whole_number(value, ProjectError(f"The index of a frame must be a whole number, not {value!r}."))


def id_of(value: SupportsIndex) -> int:
    """Return the id of an object as an integer, or raise a :class:`ProjectError`."""
    return whole_number(value, ProjectError(f"The id of an object must be a whole number, not {value!r}."))


def binary_mask(value: Any, size: tuple[int, int], error: type[Sam2sError]) -> NDArray[np.bool_]:
    """Return a mask as ``(Y, X)`` bool.

    Parameters
    ----------
    value
        An array, a tensor on any device, or nested lists: bool, or numbers of two values, 0 and one above it.
    size
        What its shape must be, ``(Y, X)``.
    error
        What is raised.

    Raises
    ------
    Sam2sError
        Of the class ``error``, for everything else: probabilities, logits, label pictures, NaN, text. Which of their pixels
        are the object is for whoever made them to say.
    """
    if np.ma.is_masked(value):
        raise error("Some pixels of the mask are masked. Fill them first, as in `mask.filled(False)`.")
    array = array_of(value, error, "A mask is an array (Y, X) of True and False")
    if array.shape != tuple(size):
        raise error(f"A mask has the shape of the frame, {tuple(size)} (Y, X); got {array.shape}.")
    if array.dtype == bool:
        return array.copy()  # what was given may change
    if array.dtype.kind not in "uif":
        raise error(
            f"A mask is an array of True and False; got values of {array.dtype}: give `mask.astype(bool)` of a real one."
        )
    low, high = (array.min(), array.max()) if array.size else (0, 0)
    if not (np.isfinite(low) and np.isfinite(high)):
        raise error("The mask has values that are not finite (nan or inf): give True and False.")
    if low < 0:
        raise error(f"The mask has negative values ({low:g}), as logits do: threshold it, as in `mask > 0`.")
    inside = array == high
    if high > 0 and not np.array_equal(inside, array != 0):
        if array.dtype.kind == "f":
            raise error("The mask has values between 0 and its largest, as probabilities do: threshold it, as in `mask > 0.5`.")
        remedy = f"of a label picture give one object, as in `labels == {int(high)}`"
        raise error(f"The mask has several values, up to {int(high)}: {remedy}.")
    return array != 0


def plain(value: Any) -> Any:
    """Return what a torch tensor holds, with a gradient or on a GPU, as an array; anything else as it is.

    Raises :class:`Sam2sError` if it holds no values that NumPy can have, as one of the meta device.
    """
    if not hasattr(value, "detach") or not hasattr(value, "layout"):  # an open file has the first, which closes it
        return value
    try:
        tensor = value.detach()
        tensor = tensor.to_dense() if "sparse" in str(tensor.layout) or "mkldnn" in str(tensor.layout) else tensor
        tensor = tensor.resolve_conj().resolve_neg().cpu()
        try:
            return tensor.numpy()
        except TypeError:  # bfloat16, which NumPy does not know
            return tensor.float().numpy()
    except (RuntimeError, TypeError, AttributeError) as error:
        raise Sam2sError(f"The tensor holds no plain values ({str(error).splitlines()[0]}): give a dense one.") from None


def array_of(value: Any, error: type[Sam2sError], otherwise: str) -> NDArray[Any]:
    """Return nested lists, a tensor, or whatever NumPy takes for an array, as one; else raise ``error`` of the sentence."""
    try:
        return np.asarray(plain(value))
    except Sam2sError as problem:
        raise error(str(problem)) from None
    except Exception as problem:  # what an array of another library, on a disk or a network, may raise
        reason = str(problem).partition(". ")[0]
        why = "lists of different lengths" if "inhomogeneous" in str(problem) else f"what cannot be read as one ({reason})"
        raise error(f"{otherwise}; got {why}.") from problem


def name_of(value: str) -> str:
    """Return a name as it is kept: text on one line, without characters that a terminal or a file takes for commands.

    Raises :class:`ProjectError` if it is no text, nothing is left of it, or it is longer than 100,000 characters.
    """
    if not isinstance(value, str):
        raise ProjectError(f"A name is text; got {value!r}.")
    name = shown_name(value)
    if all(unicodedata.category(c) in UNSEEN for c in name):
        raise ProjectError("A name has at least one character that is seen.")
    if len(name) > LONGEST_NAME:
        raise ProjectError(f"A name has at most {LONGEST_NAME} characters; got {len(name)}.")
    return name


def legible(text: str) -> str:
    """Return text that can be written as UTF-8: bytes of file names that are not (on old disks) are spelt out."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def markdown_cell(text: str) -> str:
    """Return text for a cell or a heading of Markdown, which shows it as it is."""
    plain_text = html.escape(" ".join(legible(text).split()), quote=False)
    return plain_text.replace("|", "\\|").replace("`", "\\`")


def shown_name(text: str) -> str:
    """Return text on one line: runs of spaces and line breaks as a space; characters that control or turn others left out."""
    spoken = (c for c in text if c.isspace() or (unicodedata.category(c) != "Cc" and c not in TURNING))
    return " ".join("".join(c if unicodedata.category(c) != "Cs" else "\ufffd" for c in spoken).split())


def colour_of(value: Any) -> tuple[int, int, int]:
    """Return a colour, which is red, green and blue from 0 to 255.

    Raises :class:`ProjectError` if it is anything else; of names, ``"#rrggbb"`` and fractions from 0 to 1 the sentence says
    what they are.
    """
    meant = read_colour(value)
    if meant is None:
        raise ProjectError(f"A colour is (red, green, blue), whole numbers from 0 to 255; got {value!r}.")
    if isinstance(value, str) or not _whole(value):
        raise ProjectError(f"A colour is (red, green, blue), whole numbers from 0 to 255: give {meant} for {value!r}.")
    return meant


def read_colour(value: Any) -> tuple[int, int, int] | None:
    """Return what a colour of any kind is, or ``None``: whole numbers, a name, ``"#rrggbb"``, fractions from 0 to 1."""
    if isinstance(value, str):
        from PIL import ImageColor

        try:
            return ImageColor.getrgb(value)[:3]
        except ValueError:
            return None
    try:
        numbers = np.asarray(plain(value))
    except ValueError:
        return None
    if numbers.shape not in ((3,), (4,)) or numbers.dtype.kind not in "uif":
        return None
    scale = 1 if _whole(value) else 255
    red, green, blue = (round(scale * c) if np.isfinite(c) else -1 for c in numbers[:3].tolist())
    return (red, green, blue) if min(red, green, blue) >= 0 and max(red, green, blue) <= 255 else None


def _whole(value: Any) -> bool:
    return np.asarray(plain(value)).dtype.kind in "ui"


def user_path(value: Path | str) -> Path:
    """Return a path as it is typed: ``~`` is the home folder, unless there is a file of that name or no such user.

    Raises :class:`ProjectError` if it has a character that no path has, or is longer than a path can be.
    """
    path = Path(value)
    if "\0" in str(path):
        raise ProjectError(f"{str(path)!r} has a character that no path has: leave it out.")
    try:
        path.lstat()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise ProjectError(f"{str(path)[:40]}... is longer than a name can be: choose a shorter one.") from None
    else:
        return path
    try:
        return path.expanduser()
    except RuntimeError:
        return path

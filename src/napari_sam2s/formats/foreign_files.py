"""One sentence for whatever a file that is not of a format, or is damaged, makes its reader raise."""

from __future__ import annotations

import configparser
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from napari_sam2s.errors import FormatError, Sam2sError

DAMAGE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, OSError, EOFError, RuntimeError, SyntaxError)


@contextmanager
def reading(path: Path | str, what: str) -> Iterator[None]:
    """Read a file as ``what``, such as "a COCO file of instances".

    Raises
    ------
    FormatError
        For everything that the reader raises of another kind than ours.
    """
    if Path(path).exists() and not (Path(path).is_file() or Path(path).is_dir()):  # whoever opens a pipe waits for its writer
        raise FormatError(f"{path} is a pipe or a device: write it into a file first.")
    if Path(path).is_file() and not Path(path).stat().st_size:
        raise FormatError(f"{path} is empty: was it cut off while it was copied? Copy or export it again.")
    try:
        yield
    except Sam2sError:
        raise
    except PermissionError as error:
        raise cannot_be_read(path, error, "") from error
    except FileNotFoundError as error:
        raise FormatError(f"There is no file {error.filename or path}.") from error
    except MemoryError as error:
        raise FormatError(f"{path} asks for more memory than there is: it is too large, or damaged.") from error
    except UnicodeDecodeError as error:  # which quotes the file's bytes
        raise FormatError(f"{path} is not {what}, or is damaged: it is not text ({error.reason}).") from error
    except (*DAMAGE, configparser.Error, struct.error) as error:
        said = " ".join(repr(error).split())  # on one line
        raise FormatError(f"{path} is not {what}, or is damaged ({said:.300}).") from error


def cannot_be_read(path: Path | str, error: Exception, otherwise: str) -> FormatError:
    """Return the error of a file that a reader refused: that it may not be read, or what else is said of it."""
    if isinstance(error, PermissionError):
        denied = error.filename or path
        return FormatError(f"{denied} may not be read by you: change its permissions, or ask its owner for a copy.")
    return FormatError(otherwise)


def whole(value: Any) -> int:
    """Return a whole number as JSON has it: 2, or 2.0 as some writers have it.

    Raises :class:`ValueError` if it is none: 2.5 is not 2, and true is not 1.
    """
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise ValueError(f"{value!r} is not a whole number")
    return int(value)

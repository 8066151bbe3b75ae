"""A job in a thread beside the window: whatever ends it is told to the user, as nobody else hears of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from napari_sam2s.errors import Sam2sError

_log = logging.getLogger(__name__)


class Stopped(Exception):
    """The user does not want to wait."""


@contextmanager
def failures_told(tell: Callable[[str], object], stopped: str = "") -> Iterator[None]:
    """Tell in a sentence what ended the job inside; ``stopped`` is said where the user did."""
    try:
        yield
    except Stopped:
        tell(stopped)
    except Sam2sError as error:
        tell(str(error))
    except Exception as error:  # noqa: BLE001  the edge of the thread: what is not reported here is lost
        tell(unexpected(error))


def unexpected(error: Exception) -> str:
    """Put an error that nobody foresaw into the log, and return what the user reads of it."""
    _log.error("a job in the background failed", exc_info=error)
    return f"An error stopped this ({type(error).__name__}: {error}). See the log."

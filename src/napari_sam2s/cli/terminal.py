"""What commands do beside their work: progress bars, sentences on stderr, the video of a project."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from napari_sam2s.errors import ProjectError

if TYPE_CHECKING:
    from napari_sam2s.masklets import Project
    from napari_sam2s.video import Video


def harmless(text: str) -> str:
    """Return text with what would move the cursor of a terminal, or colour it, spelt out: names of files may hold it."""
    return "".join(c if c in "\n\r\t" or unicodedata.category(c) != "Cc" else f"\\x{ord(c):02x}" for c in text)


class Harmless:
    """A stream for text of which nothing commands a terminal, and all can be written in the stream's encoding."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write text, spelt out where it must be."""
        text, encoding = harmless(text), self._stream.encoding or "utf-8"
        if (self._stream.errors or "strict") == "strict":  # names that are not UTF-8, and such of other alphabets
            text = text.encode(encoding, "backslashreplace").decode(encoding)
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def say(command: str, sentence: object) -> None:
    """Print a sentence beside the output of a command, on a line of its own: above a progress bar, if there is one."""
    text = harmless(f"napari-sam2s {command}: {sentence}")
    if "tqdm" in sys.modules:
        from tqdm import tqdm

        tqdm.write(text, file=sys.stderr)
    else:
        print(text, file=sys.stderr)


def tell_warnings(command: str, video: Video) -> None:
    """Print what is odd about a video, such as pictures that are missing: frames may not be where one thinks."""
    for warning in video.warnings:
        say(command, warning)


@contextmanager
def progress_bar(name: str, unit: str, *, quiet: bool = False, **options: Any) -> Iterator[Callable[..., None]]:
    """Give a function of what is done and of how much (and of what is at work), which moves a bar.

    The bar appears with the first call, so that bad input is one sentence alone; ``options`` are those of tqdm.
    """
    from tqdm import tqdm

    bar: Any = None

    def show(done: int, total: int, at_work: str = "") -> None:
        nonlocal bar
        if bar is None:
            bar = tqdm(unit=unit, desc=name, disable=quiet, **options)
        bar.total = total
        bar.set_postfix_str(at_work, refresh=False)
        bar.update(done - bar.n)

    try:
        yield show
    finally:
        if bar is not None:
            bar.close()


@contextmanager
def project_video(project: Project, moved: str | None, command: str, *, relink: bool = False) -> Iterator[Video]:
    """Open the video of a project, where the user says it is now, or where the project knows it.

    Raises :class:`ProjectError` if it is not there, or is not the project's video and ``relink`` does not say to take it all
    the same.
    """
    from napari_sam2s.masklets.validation import user_path
    from napari_sam2s.video.video import reopen_video

    source = moved or project.video.path
    if source is None:
        raise ProjectError(f"{project.path} does not know its video: say where it is with --video.")
    if not user_path(source).exists():
        raise ProjectError(f"The video {source} of {project.path} is no longer there: give its new place with --video.")
    with reopen_video(source, fps=project.fps, stream=project.video.stream) as video:
        tell_warnings(command, video)
        if relink:
            project.video.relink(video)
        project.video.check(video)
        yield video

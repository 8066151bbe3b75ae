"""One forward run of ffmpeg: frames in the order they are shown, each with the time that identifies it."""

from __future__ import annotations

import contextlib
import queue
import re
import subprocess
import threading
import weakref
from fractions import Fraction
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import VideoError
from napari_sam2s.video.ffmpeg import BIT_ERRORS, WAIT_S, EndMismatches, Source, executable, seek_arguments

READY_FRAMES = 3  # kept ready ahead of the reader
# Decoders write from threads of their own: what one says may stand before or behind a frame's time, on the same line.
_SHOWINFO = re.compile(rb"n:\s*\d+ pts:\s*(-?\d+)(?:.*? s:(\d+)x(\d+))?")
_DAMAGE = re.compile(BIT_ERRORS.encode())
Frame = tuple[int, NDArray[Any]]  # time, pixels


class ForwardDecoder:
    """Decode forward from a key frame.

    Parameters
    ----------
    source, size
        File and stream, and the ``(Y, X)`` of its frames; where a stream changes its size, later frames are scaled to the
        first.
    seek_s
        Time in seconds to seek to, that of a key frame; ``None`` starts at the beginning.
    start_pts
        Frames before this time are decoded, as they must be, but not handed out.
    counted
        Give every frame its number instead of its time; then it starts at the beginning.
    pixels
        ``"rgb24"``, or a grey of more than 8 bits such as ``"gray12le"``.
    """

    def __init__(
        self,
        source: Source,
        size: tuple[int, int],
        seek_s: Fraction | None,
        start_pts: int,
        *,
        counted: bool = False,
        pixels: str = "rgb24",
    ) -> None:
        command = [executable(), "-hide_banner", "-nostdin", "-copyts"]
        command += ["-reinit_filter", "0"] if counted else []  # else N begins anew where frames change their size
        if seek_s is not None:
            command += seek_arguments(seek_s)
        command += [*source.input, "-an", "-sn", "-dn", "-fps_mode", "passthrough"]
        number = "setpts=N," if counted else ""
        command += ["-vf", f"{number}trim=start_pts={start_pts},showinfo=checksum=0", "-s", f"{size[1]}x{size[0]}"]
        command += ["-pix_fmt", pixels, "-f", "rawvideo", "-"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self._stop = threading.Event()
        self.damaged = threading.Event()  # the decoder met bit errors
        self.resized = threading.Event()  # it met a frame of another size
        self._times: queue.Queue[int | None] = queue.Queue()
        self._frames: queue.Queue[Frame | None] = queue.Queue(maxsize=READY_FRAMES)
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        arguments = (self._process.stderr, self._times, self.damaged, self.resized, size)
        threading.Thread(target=_read_times, args=arguments, daemon=True).start()
        empty = np.empty((*size, 3), np.uint8) if pixels == "rgb24" else np.empty(size, "<u2")
        pump = (self._process.stdout, self._times, self._frames, empty, self._stop)
        threading.Thread(target=_read_frames, args=pump, daemon=True).start()
        self._finalizer = weakref.finalize(self, _end, self._process, self._stop)

    def next(self) -> Frame | None:
        """Return ``(pts, frame)``, ``(Y, X, 3)`` uint8 or ``(Y, X)`` uint16, or ``None`` at the end.

        Raises :class:`VideoError` if ffmpeg gives nothing for a minute.
        """
        try:
            return self._frames.get(timeout=WAIT_S)
        except queue.Empty:
            self.close()
            raise VideoError(f"ffmpeg returned no frame for {WAIT_S:.0f} s; is the disk reachable?") from None

    @property
    def killed(self) -> bool:
        """Whether the process was ended by a signal that was not ours."""
        return (self._process.poll() or 0) < 0 and not self._stop.is_set()

    def close(self) -> None:
        """End the process and wake the threads."""
        self._finalizer()


def _end(process: subprocess.Popen[bytes], stop: threading.Event) -> None:
    stop.set()
    process.kill()
    process.wait()


def _read_times(
    stream: IO[bytes],
    times: queue.Queue[int | None],
    damaged: threading.Event,
    resized: threading.Event,
    size: tuple[int, int],
) -> None:
    mismatches = EndMismatches()
    with stream:
        for line in stream:
            match = _SHOWINFO.search(line)
            if match and match[2] and (int(match[3]), int(match[2])) != size:
                resized.set()
            if match:
                times.put(int(match[1]))
            unsound = mismatches.show_damage(line.decode(errors="replace"), frame=match is not None)
            if not damaged.is_set() and (unsound or _DAMAGE.search(line)):
                damaged.set()
    times.put(None)


def _read_frames(
    stream: IO[bytes],
    times: queue.Queue[int | None],
    frames: queue.Queue[Frame | None],
    empty: NDArray[Any],
    stop: threading.Event,
) -> None:
    """Pair pixels, of the shape and type of ``empty``, with times; waits when enough frames are ready."""
    with stream:
        while not stop.is_set():
            buffer = np.empty_like(empty)
            if _fill(stream, buffer.reshape(-1).view(np.uint8).data) < buffer.nbytes:
                break
            pts = times.get()
            if pts is None or not _put(frames, (pts, buffer), stop):
                break
    _put(frames, None, stop)


def _fill(stream: IO[bytes], view: memoryview) -> int:
    filled = 0
    while filled < len(view):
        count = stream.readinto(view[filled:])  # type: ignore[attr-defined]
        if not count:
            break
        filled += count
    return filled


def _put(frames: queue.Queue[Frame | None], item: Frame | None, stop: threading.Event) -> bool:
    while not stop.is_set():
        with contextlib.suppress(queue.Full):
            frames.put(item, timeout=0.1)
            return True
    return False

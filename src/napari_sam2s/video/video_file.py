"""A video file as an exact sequence of frames: frame i is the same pixels however it is reached."""

from __future__ import annotations

import hashlib
import os
import re
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import VideoError
from napari_sam2s.video.ffmpeg import Source
from napari_sam2s.video.forward_decoder import ForwardDecoder
from napari_sam2s.video.frame_index import MOVED, load_index
from napari_sam2s.video.index_check import counted_copy
from napari_sam2s.video.lazy_array import LazyFrames

CACHE_BYTES = 256 * 2**20
READ_ON = 48  # frames: up to here reading on is cheaper than a new process
BACKWARD_RUN = 16  # frames fetched at once when going backward
SILENT_FRAMES = 2000  # decoded without handing them out; beyond, the wait for a frame would look like a disk that went
_DEEP_GREY = re.compile(r"(gray(?:9|10|12|14|16))[lb]e")
RETRIES = (0, 1, 3, 7)  # key frames earlier to start at, when a seek lands too late


class VideoFile:
    """Frames of a file through the bundled ffmpeg.

    Safe to use from several threads, though they share one position; copies by pickle, and forks, have their own process.
    """

    def __init__(
        self,
        path: Path,
        *,
        stream: int | None = None,
        cache_bytes: int = CACHE_BYTES,
        progress: Callable[[float], bool] | None = None,
    ) -> None:
        self.path = path
        self.index, self.stamp, self.index_cached = load_index(path, stream, progress)
        self._cache_bytes = cache_bytes
        self._start()

    def _start(self) -> None:
        self._process = os.getpid()
        self._lock = threading.RLock()
        self._cache: OrderedDict[int, NDArray[Any]] = OrderedDict()
        self._decoder: ForwardDecoder | None = None
        self._next = 0  # index of the frame that the decoder gives next
        self._landed = True  # whether the decoder has given a frame since a seek
        self._bad: set[int] = set()
        self._told = any(" is truncated" in w or " are lost near" in w for w in self.index.warnings)  # of damage
        self._told_of_lies = False
        self._told_of_sizes = any("several sizes" in w for w in self.index.warnings)

    def __len__(self) -> int:
        return len(self.index.pts)

    @property
    def fingerprint(self) -> str:
        """A hash of the content, 32 hex digits; that of a further stream is another one."""
        stream = self.index.stream
        return self.stamp.digest if not stream else hashlib.sha256(f"{self.stamp.digest}#{stream}".encode()).hexdigest()[:32]

    @property
    def deep_grey(self) -> str:
        """Ffmpeg's name of their format where frames are grey of 9 to 16 bits, else ""."""
        match = _DEEP_GREY.fullmatch(self.index.pixels)
        return f"{match[1]}le" if match else ""

    @property
    def size(self) -> tuple[int, int]:
        """``(Y, X)``."""
        return self.index.size

    def frame(self, i: int) -> NDArray[Any]:
        """Return frame ``i``, ``(Y, X, 3)`` uint8, or ``(Y, X)`` uint16 of deep grey; read-only, shared with the cache.

        Raises :class:`VideoError` if the frame is damaged, or the file changed since it was opened.
        """
        if self._process != os.getpid():  # a fork: the decoder, and whoever holds the lock, are its parent's
            self._start()
        with self._lock:
            try:
                self.stamp.check(self.path)
            except VideoError:
                self.close()
                raise
            if i in self._cache:
                self._cache.move_to_end(i)
                return self._cache[i]
            if i in self._bad:
                raise self._damaged(i)
            return self._fetch(i)

    def close(self) -> None:
        """End the ffmpeg process and forget the frames."""
        if self._process != os.getpid():
            return
        with self._lock:
            if self._decoder is not None:
                self._decoder.close()
                self._decoder = None
            self._cache.clear()

    def _fetch(self, i: int) -> NDArray[Any]:
        if self._decoder is not None and self._decoder.damaged.is_set() and not self._told:  # heard of since the last frame
            self._tell_of_damage(min(self._next, len(self) - 1))
        if self._decoder is not None and self._next <= i and not self._seek_is_cheaper(i):
            frame = self._read_to(i)
            if frame is not None:
                return frame
        backward = i < self._next
        for earlier in RETRIES:
            self._open_at(i, earlier, run=BACKWARD_RUN if backward else 1)
            frame = self._read_to(i)
            if frame is not None:
                return frame
            if self._key_before(i, earlier) == 0:
                break
        self._bad.add(i)
        raise self._damaged(i)

    def _seek_is_cheaper(self, i: int) -> bool:
        """Whether a key frame lies far enough ahead to start there instead of reading on."""
        return self._key_before(i) - self._next > READ_ON or (i - self._next > 4 * READ_ON and self._key_before(i) > self._next)

    def _key_before(self, i: int, earlier: int = 0) -> int:
        """Return the frame of the last key frame at or before ``i``, or of one some key frames earlier."""
        keys = self.index.keys
        place = int(np.searchsorted(keys, i, side="right")) - 1
        return int(keys[max(place - earlier, 0)])

    def _open_at(self, i: int, earlier: int, run: int) -> None:
        if self._decoder is not None:
            self._decoder.close()
        key = self._key_before(i, earlier)
        first = max(key, i - run + 1) if i - key <= SILENT_FRAMES else key
        while first > key and first in self.index.shared:
            first -= 1
        self._landed = key == 0
        seek = None if key == 0 else int(self.index.pts[key]) * self.index.time_base
        source = Source(self.path, self.index.stream, self.index.all_samples)
        counted, pixels = self.index.counted, self.deep_grey or "rgb24"
        self._decoder = ForwardDecoder(source, self.size, seek, int(self.index.pts[first]), counted=counted, pixels=pixels)
        self._next = first

    def _read_to(self, i: int) -> NDArray[Any] | None:
        """Read forward to frame ``i``; ``None`` if the decoder ended, or began or went past it."""
        assert self._decoder is not None
        killed_before = False
        while True:
            item = self._decoder.next()
            if item is None:
                if self._decoder.killed and not killed_before:  # someone ended ffmpeg: start it again, once
                    killed_before = True
                    self._open_at(i, 0, run=1)
                    continue
                self._decoder.close()
                self._decoder = None
                return None
            pts, frame = item
            index = self._frame_at(pts)
            if self._decoder.damaged.is_set() and not self._told:
                self._tell_of_damage(self._next if index is None else index)
            if self._decoder.resized.is_set() and not self._told_of_sizes:
                self._tell_of_sizes(self._next if index is None else index)
            if index is None:
                continue  # a frame that the container hides, such as one before an edit list
            if not self._landed and index in self.index.shared:
                return None  # the seek went too far, maybe to the second of two frames of this time
            self._landed = True
            if index < self._next:  # it has the time of one that was shown before it: the first counts
                if index not in self.index.shared:
                    self._tell_of_lies(index)
                continue
            frame.setflags(write=False)
            self._keep(index, frame)
            self._next = index + 1
            if index == i:
                return frame
            if index > i:
                return None

    def _tell_of_damage(self, near: int) -> None:
        self._told = True
        warnings.warn(
            f"{self.path.name} is damaged near frame {near} ({float(self.index.timestamps[near]):.1f} s). From there to the "
            "next key frame, a picture may look different after a jump than during playback. Check masks there by eye.",
            stacklevel=2,
        )

    def _tell_of_lies(self, near: int) -> None:
        """Warn of times that run back where nobody looked when the file was indexed."""
        if self._told_of_lies:
            return
        self._told_of_lies = True
        seconds, source = float(self.index.timestamps[near]), Source(self.path, self.index.stream, self.index.all_samples)
        warnings.warn(
            f"Times near frame {near} ({seconds:.1f} s) of {self.path.name} are wrong: other frames may be shown there. "
            f"Make a copy with right times: {counted_copy(source, self.index.fps)}.",
            stacklevel=2,
        )

    def _tell_of_sizes(self, near: int) -> None:
        self._told_of_sizes = True
        seconds, height, width = float(self.index.timestamps[near]), *self.size
        warnings.warn(
            f"{self.path.name} changes the size of its frames near frame {near} ({seconds:.1f} s): all are scaled to that of "
            f"the first, {width} x {height}.",
            stacklevel=2,
        )

    def _frame_at(self, pts: int) -> int | None:
        """Return the frame shown at exactly this time."""
        place = int(np.searchsorted(self.index.pts, pts))
        return place if place < len(self) and int(self.index.pts[place]) == pts else None

    def _keep(self, i: int, frame: NDArray[Any]) -> None:
        self._cache[i] = frame
        while len(self._cache) * frame.nbytes > self._cache_bytes and len(self._cache) > 1:
            self._cache.popitem(last=False)

    def _damaged(self, i: int) -> VideoError:
        seconds = float(self.index.timestamps[i])
        return VideoError(f"Frame {i} of {self.path.name} (at {seconds:.3f} s) cannot be decoded: the file is damaged there.")

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "index": self.index, "stamp": self.stamp, "cache_bytes": self._cache_bytes}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.path, self.index, self.stamp = state["path"], state["index"], state["stamp"]
        self._cache_bytes, self.index_cached = state["cache_bytes"], True
        self.stamp.check(self.path, MOVED)
        self._start()


class DeepGrey(LazyFrames):
    """The frames of a video file of deep grey, as an array ``(T, Y, X)`` uint16."""

    def __init__(self, file: VideoFile) -> None:
        super().__init__((len(file), *file.size), np.uint16)
        self.file = file

    def read(self, i: int) -> NDArray[Any]:
        """Return frame ``i``."""
        return self.file.frame(i)

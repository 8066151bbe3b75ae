"""Proof on a user's own file that frame i is the same pixels however it is reached, and has the time that the file says."""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam2s import __version__
from napari_sam2s.errors import VideoError
from napari_sam2s.masklets.validation import markdown_cell
from napari_sam2s.video.ffmpeg import BIT_ERRORS, Source, executable
from napari_sam2s.video.video import Video, open_video
from napari_sam2s.wording import counted

SAMPLES, NEAR_KEYS = 200, 20  # jumps: at random, and to so many key frames and beside them
SHOWN = 20  # of what differs, in the report
_TIME = re.compile(r"n:\s*\d+ pts:\s*(-?\d+|NOPTS)")
_DAMAGE = re.compile(BIT_ERRORS)
_VERSION = re.compile(r"ffmpeg version (\S+)")
Progress = Callable[[int, int, str], None]  # frames done, of how many, what is being done


@dataclass(frozen=True)
class Verification:
    """What was compared, and what differed."""

    facts: dict[str, Any]
    frames: int
    jumps: int
    seed: int
    times: int | None  # compared; ``None`` where the source has no times of its own
    unreadable: list[str] = field(default_factory=list)  # frames and why, one after the other or by a jump
    other_pixels: list[int] = field(default_factory=list)  # frames that a jump shows otherwise
    other_times: list[str] = field(default_factory=list)
    warnings: tuple[str, ...] = ()  # what opening the file told
    damage: list[str] = field(default_factory=list)  # what the decoder said of bit errors

    @property
    def holds(self) -> bool:
        """Whether every frame was read, and nothing differed."""
        return not (self.unreadable or self.other_pixels or self.other_times)

    def page(self) -> str:
        """Return a report of one page, in Markdown."""
        verdict = "**Holds.** Nothing differed." if self.holds else "**Does not hold.**"
        if self.damage:
            verdict += " But the stream is damaged, as the decoder says: some pictures differ from what was recorded."
        lines = [f"# Frame exactness of {markdown_cell(self.facts['name'])}", "", verdict, "", "| | |", "|---|---|"]
        lines += [
            f"| {name.replace('_', ' ')} | {markdown_cell(str(value))} |"
            for name, value in self.facts.items()
            if name != "name"
        ]
        times = (
            "Times: the source has no times to compare with."
            if self.times is None
            else f"Times: {counted(self.times, 'decoded frame')} compared with those of the index. "
            f"{len(self.other_times)} differ."
        )
        lines += [
            *("", "## What was compared", ""),
            (
                f"1. {counted(self.frames, 'frame was', 'frames were')} decoded once, from the first to the last. "
                f"{len(self.unreadable)} could not be read."
            ),
            (
                f"2. {counted(self.jumps, 'frame was reached by a jump', 'frames were reached by jumps')} in a random order"
                f" (seed {self.seed}). The first, the last, and those around key frames are among them. Each was compared with"
                f" the pixels of step 1. {len(self.other_pixels)} differ."
            ),
            f"3. {times}",
        ]
        found = {
            "Not readable": self.unreadable,
            "Other pixels after a jump": [f"frame {i}" for i in self.other_pixels],
            "Other times": self.other_times,
            "Warnings when the file was opened": list(self.warnings),
            "Damage that the decoder reported": self.damage,
        }
        for title, items in found.items():
            if items:
                more = [f"- and {len(items) - SHOWN} more"] if len(items) > SHOWN else []
                lines += ["", f"## {title}", "", *(f"- {markdown_cell(item)}" for item in items[:SHOWN]), *more]
        return "\n".join(lines) + "\n"


def verify(
    source: Path | str, *, stream: int | None = None, samples: int = SAMPLES, seed: int = 0, progress: Progress | None = None
) -> Verification:
    """Compare frames reached by jumps with the same frames decoded from the beginning, and times with the container's.

    Parameters
    ----------
    source
        A video file, a folder of pictures, a TIFF or a zarr.
    stream
        Of a file with several video streams, which one.
    samples
        How many frames are jumped to at random, beside those around key frames.

    Raises
    ------
    VideoError
        If the source cannot be opened. Frames that cannot be read are in the result.
    """
    if samples < 1:
        raise VideoError(f"{samples} jumps check nothing: take 1 or more.")
    if seed < 0:
        raise VideoError(f"seed={seed}: a seed is 0 or more.")
    tell = progress or (lambda done, total, what: None)
    unreadable: list[str] = []
    with open_video(source, stream=stream) as video:
        digests = dict(_read(video, range(len(video)), unreadable, "from the beginning", tell))
        damage: list[str] = []
        times, other_times = _compare_times(video, damage, tell)
        facts, warnings = _facts(video, source), tuple(video.warnings)
        chosen = _chosen(video, samples, seed)
    with open_video(source, stream=stream) as again:  # nothing of it is in a cache
        jumped = dict(_read(again, chosen, unreadable, "by a jump", tell))
    other = sorted(i for i, digest in jumped.items() if i in digests and digests[i] != digest)
    return Verification(facts, len(digests), len(chosen), seed, times, unreadable, other, other_times, warnings, damage)


def _read(
    video: Video, frames: range | list[int], unreadable: list[str], how: str, tell: Progress
) -> Iterator[tuple[int, bytes]]:
    """Yield the digest of each frame that can be read."""
    for n, i in enumerate(frames):
        try:
            yield i, hashlib.blake2b(np.ascontiguousarray(video[i]).data, digest_size=16).digest()
        except VideoError as error:
            unreadable.append(f"frame {i} {how}: {error}")
        tell(n + 1, len(frames), how)


def _chosen(video: Video, samples: int, seed: int) -> list[int]:
    count, random = len(video), np.random.default_rng(seed)
    chosen = {0, count - 1, *random.choice(count, min(samples, count), replace=False).tolist()}
    if video.file is not None:
        keys = video.file.index.keys
        some = random.choice(keys, min(NEAR_KEYS, len(keys)), replace=False).tolist()
        chosen |= {i for key in some for i in (key - 1, key, key + 1) if 0 <= i < count}
    order = sorted(chosen)
    random.shuffle(order)
    return order


def _compare_times(video: Video, damage: list[str], tell: Progress) -> tuple[int | None, list[str]]:
    """Return how many times were compared, and which differ; note what the decoder says of damage."""
    if video.file is None:
        return None, []
    index = video.file.index
    ours = index.shown_at
    found: list[int] = []
    for pts in _decoded_times(Source(video.file.path, index.stream), damage):
        found.append(pts)
        tell(min(len(found), len(ours)), len(ours), "times")
    theirs = np.array(found, np.int64) if index.counted else np.unique(np.array(found, np.int64))
    return len(theirs), _differences(ours, theirs, float(index.time_base))


def _differences(ours: NDArray[np.int64], theirs: NDArray[np.int64], time_base: float) -> list[str]:
    if len(ours) != len(theirs):
        return [f"the decoder gives {counted(len(theirs), 'frame')}, and the index has {len(ours)}"]
    return [
        f"frame {i}: {ours[i] * time_base:.6f} s in the index, {theirs[i] * time_base:.6f} s from the decoder"
        for i in np.flatnonzero(ours != theirs).tolist()
    ]


def _decoded_times(source: Source, damage: list[str]) -> Iterator[int]:
    """Yield the times of all frames as ffmpeg alone decodes them, from the beginning, in units of the time base."""
    command = [executable(), "-hide_banner", "-nostdin", "-copyts", *source.input, "-an", "-sn", "-dn"]
    command += ["-fps_mode", "passthrough", "-vf", "showinfo=checksum=0", "-f", "null", "-"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                text = line.decode("utf-8", "replace").strip()
                match = _TIME.search(text)
                if found := _DAMAGE.search(text):  # perhaps behind a time: it comes from another thread
                    damage.append(text if match is None else text[found.start() :])
                if match is not None and match[1] != "NOPTS":
                    yield int(match[1])
        except BaseException:
            process.kill()
            raise


def _facts(video: Video, source: Path | str) -> dict[str, Any]:
    frames, height, width, _ = video.shape
    said = subprocess.run([executable(), "-version"], capture_output=True, text=True, check=False).stdout
    version = _VERSION.search(said)
    facts: dict[str, Any] = {"name": video.name, "source": str(source), "fingerprint": video.fingerprint()}
    facts |= {"frames": frames, "width": width, "height": height}
    if video.file is not None:
        index = video.file.index
        facts |= {"codec": index.codec, "container": index.container, "key_frames": len(index.keys)}
        facts |= {"variable_frame_rate": index.variable_rate, "frames_counted_as_times_lie": index.counted}
    return {**facts, "napari_sam2s": __version__, "ffmpeg": version[1] if version else "unknown"}

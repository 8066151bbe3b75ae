"""Opening, jumping in and playing a two-hour video, beside PyAV, OpenCV and ffmpeg alone, all in the same run.

    python benchmarks/video.py [--minutes 120] [--height 1080] [--file LONG.mp4] [--memory 20000]

Needs ``av`` and ``opencv-python-headless`` for their columns; without them they are left out. Ratios are medians of pairs
taken right after one another, so that they hold on a busy machine too.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import psutil

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
QUIET = [FFMPEG, "-loglevel", "error", "-nostdin", "-y"]


def make(path: Path, minutes: float, height: int) -> None:
    """Make a cheap long file: a minute of moving test picture, H.264, a key frame every 250, repeated by copying."""
    minute = path.with_name("minute.mp4")
    source = f"testsrc2=size={height * 16 // 9}x{height}:rate=25:duration=60"
    encode = ["-f", "lavfi", "-i", source, "-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-g", "250"]
    subprocess.run([*QUIET, *encode, str(minute)], check=True)
    loops = str(max(0, round(minutes) - 1))
    subprocess.run([*QUIET, "-stream_loop", loops, "-i", str(minute), "-c", "copy", str(path)], check=True)


def seconds(job) -> float:
    """Time one call."""
    started = time.perf_counter()
    job()
    return time.perf_counter() - started


def run(*words: str) -> None:
    """Run ffmpeg."""
    subprocess.run([*QUIET, *words], check=True)


class Ours:
    """A video of this package, without its cache of frames."""

    name = "napari-sam2s"

    def __init__(self, path: Path) -> None:
        from napari_sam2s.video.video_file import VideoFile

        self.source = VideoFile(path, cache_bytes=0)

    def frame(self, i: int) -> np.ndarray:
        """Return frame ``i``."""
        return self.source.frame(i)

    def play(self, start: int, count: int) -> None:
        """Read frames in order."""
        for i in range(start, start + count):
            self.source.frame(i)

    def close(self) -> None:
        """End the process."""
        self.source.close()


class PyAV:
    """PyAV with threads, as its documentation seeks."""

    name = "PyAV"

    def __init__(self, path: Path) -> None:
        import av

        self.container = av.open(str(path))
        self.stream = self.container.streams.video[0]
        self.stream.thread_type = "AUTO"

    def frame(self, i: int) -> np.ndarray:
        """Return the frame at the time of frame ``i``."""
        pts = round(i / self.stream.average_rate / self.stream.time_base)
        self.container.seek(pts, stream=self.stream)
        found = next(frame for frame in self.container.decode(self.stream) if frame.pts >= pts)
        return found.to_ndarray(format="rgb24")

    def play(self, start: int, count: int) -> None:
        """Read frames in order."""
        self.container.seek(round(start / self.stream.average_rate / self.stream.time_base), stream=self.stream)
        for frame in itertools.islice(self.container.decode(self.stream), count):
            frame.to_ndarray(format="rgb24")

    def close(self) -> None:
        """Close the file."""
        self.container.close()


class OpenCV:
    """OpenCV's VideoCapture."""

    name = "OpenCV"

    def __init__(self, path: Path) -> None:
        import cv2

        self.cv2, self.capture = cv2, cv2.VideoCapture(str(path))

    def frame(self, i: int) -> np.ndarray:
        """Return what OpenCV takes for frame ``i``."""
        self.capture.set(self.cv2.CAP_PROP_POS_FRAMES, i)
        return self.cv2.cvtColor(self.capture.read()[1], self.cv2.COLOR_BGR2RGB)

    def play(self, start: int, count: int) -> None:
        """Read frames in order."""
        self.capture.set(self.cv2.CAP_PROP_POS_FRAMES, start)
        for _ in range(count):
            self.cv2.cvtColor(self.capture.read()[1], self.cv2.COLOR_BGR2RGB)

    def close(self) -> None:
        """Close the file."""
        self.capture.release()


def readers(path: Path) -> list:
    """Open the file with every reader there is."""
    found = []
    for kind in (Ours, PyAV, OpenCV):
        try:
            found.append(kind(path))
        except ImportError:
            print(f"({kind.name} is not installed: left out)")
    return found


def opening(path: Path) -> None:
    """Print how long the first and the second opening take until frame 0 is there, and the peers'."""
    from napari_sam2s.video import open_video
    from napari_sam2s.video.frame_index import cache_folder

    def forget() -> None:
        for cached in cache_folder().glob("*.npz"):
            cached.unlink()

    for place in (path, path.with_suffix(".mkv")):
        if not place.exists():
            run("-i", str(path), "-c", "copy", str(place))
        first, passes, second = [], [], []
        for _ in range(3):
            passes.append(
                seconds(lambda place=place: run("-i", str(place), "-map", "0:v", "-c", "copy", "-f", "framecrc", os.devnull))
            )
            forget()
            first.append(seconds(lambda place=place: open_video(place)[0]))
            second.append(seconds(lambda place=place: open_video(place)[0]))
        ratio = statistics.median(a / b for a, b in zip(first, passes, strict=True))
        took = f"{statistics.median(first):.2f} s = {ratio:.2f} of a packet pass ({statistics.median(passes):.2f} s)"
        print(f"| first opening and frame 0, {place.suffix[1:]} | {took} | 1.0 |")
        print(f"| second opening and frame 0, {place.suffix[1:]} | {statistics.median(second):.2f} s | 1 s |")
        if place != path:
            place.unlink()
    took = statistics.median(seconds(lambda: run("-i", str(path), "-frames:v", "1", "-f", "null", "-")) for _ in range(3))
    print(f"| ffmpeg alone decoding frame 0 | {took:.2f} s | |")
    for kind in (PyAV, OpenCV):
        try:
            took = statistics.median(seconds(lambda kind=kind: kind(path).frame(0)) for _ in range(3))
            print(f"| opening and frame 0: {kind.name} (no index) | {took:.2f} s | |")
        except ImportError:
            pass


def in_napari(path: Path, jumps: int) -> None:
    """Print the frames read when the video is added to napari, and what moving the slider costs."""
    from napari.components import ViewerModel

    from napari_sam2s.video.video_file import VideoFile
    from napari_sam2s.widgets.napari_reader import VIDEO_KEY, read_video

    asked: list[int] = []
    plain = VideoFile.frame

    def counted(self: VideoFile, i: int) -> np.ndarray:
        asked.append(i)
        return plain(self, i)

    VideoFile.frame = counted
    viewer = ViewerModel()
    data, attributes, _ = read_video(str(path))[0]
    took = seconds(lambda: viewer.add_image(data, **attributes))
    print(f"| adding it to napari: frames read | {len(set(asked))} different, {len(asked)} in all, {took:.2f} s | 3 |")
    layer = viewer.layers[0]
    source = layer.metadata[VIDEO_KEY].source
    index, peers = source.index, [peer for peer in readers(path) if not isinstance(peer, Ours)]
    times: dict[str, list[float]] = {name: [] for name in ("slider", "bare", *(peer.name for peer in peers))}
    for i in np.random.default_rng(0).integers(0, len(source), jumps):
        i = int(i)
        asked.clear()
        place = layer.data_to_world((i, 0, 0))[0]
        times["slider"].append(seconds(lambda place=place: viewer.dims.set_point(0, place)))
        assert set(asked) == {i}
        key = int(index.keys[np.searchsorted(index.keys, i, side="right") - 1])
        seek = ["-noaccurate_seek", "-ss", f"{float(index.timestamps[key]):.6f}", "-i", str(path)]
        decode = [*seek, "-map", "0:v", "-fps_mode", "passthrough", "-frames:v", str(i - key + 1), "-f", "null", "-"]
        times["bare"].append(seconds(lambda decode=decode: run(*decode)))
        for peer in peers:
            times[peer.name].append(seconds(lambda peer=peer, i=i: peer.frame(i)))
    for peer in peers:
        peer.close()
    VideoFile.frame = plain
    bare = times.pop("bare")
    print(f"| ffmpeg: from the key frame to a random frame, to nowhere | {statistics.median(bare):.2f} s | |")
    for name, took in times.items():
        ratio = statistics.median(a / b for a, b in zip(took, bare, strict=True))
        what = "napari's slider to it, ours" if name == "slider" else f"to it: {name}"
        print(f"| {what} | {statistics.median(took):.2f} s = {ratio:.2f} of that | {'1.3' if name == 'slider' else ''} |")


def in_dask(path: Path) -> None:
    """Print what the lazy array costs beyond reading."""
    from napari_sam2s.video import open_video

    built = statistics.median(seconds(lambda: open_video(path).dask) - seconds(lambda: open_video(path)) for _ in range(5))
    with open_video(path) as video:
        array, extra = video.dask, []
        for i in range(60):
            _ = video[i]  # now it is in the cache
            extra.append(seconds(lambda i=i: array[i].compute()) - seconds(lambda i=i: np.array(video[i])))
        print(f"| building the dask array of {len(video)} frames | {max(built, 0):.3f} s | 0.3 s |")
        print(f"| slicing and computing a frame, beyond the read itself | {1000 * statistics.median(extra):.1f} ms | 15 ms |")


def piped(path: Path, frames: int) -> None:
    """Have ffmpeg decode to a pipe, and read that into one piece of memory: what any reader beside ffmpeg must pay."""
    command = [*QUIET, "-i", str(path), "-frames:v", str(frames), "-pix_fmt", "rgb24", "-f", "rawvideo", "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0) as process:
        assert process.stdout is not None
        memory = memoryview(bytearray(2**22))
        while process.stdout.readinto(memory):  # type: ignore[attr-defined]
            pass


def playing(path: Path, frames: int, rounds: int = 5) -> None:
    """Print frames a second in order, of each reader, beside ffmpeg decoding to nowhere, taken in turns."""
    rgb = ["-i", str(path), "-frames:v", str(frames), "-pix_fmt", "rgb24", "-f", "rawvideo", os.devnull]
    decode = ["-i", str(path), "-frames:v", str(frames), "-f", "null", "-"]
    jobs = {
        "ffmpeg to /dev/null": lambda: run(*rgb),
        "ffmpeg decoding only": lambda: run(*decode),
        "ffmpeg to a pipe": lambda: piped(path, frames),
    }
    opened = readers(path)
    jobs |= {reader.name: lambda reader=reader: reader.play(0, frames) for reader in opened}
    taken: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            taken[name].append(seconds(job))
        opened[0].close()
    for reader in opened:
        reader.close()
    bare = taken["ffmpeg to /dev/null"]
    for name, times in taken.items():
        ratio = statistics.median(b / t for t, b in zip(times, bare, strict=True))
        limit = "0.9" if name == Ours.name else ""
        print(f"| playing, RGB: {name} | {frames / statistics.median(times):.0f} frames/s = {ratio:.2f} | {limit} |")


def memory(path: Path, frames: int) -> None:
    """Print by how much resident memory, ours and ffmpeg's, grows once it has settled, playing so many frames."""
    from napari_sam2s.video import open_video

    process, sizes, ffmpeg = psutil.Process(), [], []
    with open_video(path) as video:
        frames = min(frames, len(video))
        for i in range(frames):
            _ = video[i]
            if i % 200 == 0:
                sizes.append(process.memory_info().rss / 2**20)
                ffmpeg.append(sum(child.memory_info().rss for child in process.children()) / 2**20)
    settled = len(sizes) // 10
    grown, other = max(sizes[settled:]) - sizes[settled], max(ffmpeg[settled:]) - ffmpeg[settled]
    said = f"{grown:+.0f} MB from {sizes[settled]:.0f} MB (ffmpeg {other:+.0f} MB from {ffmpeg[settled]:.0f} MB)"
    print(f"| memory from frame {settled * 200} to {frames} | {said} | flat |")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--height", type=int, default=1080)
    parser.add_argument("--file", type=Path, help="an MP4 to take instead of making one")
    parser.add_argument("--play", type=int, default=400, help="frames to play")
    parser.add_argument("--jumps", type=int, default=15)
    parser.add_argument("--memory", type=int, default=20_000, help="frames to play while watching memory")
    args = parser.parse_args()
    from napari_sam2s.video import open_video

    with tempfile.TemporaryDirectory() as folder:
        os.environ["SAM2S_CACHE_DIR"] = folder
        path = args.file or Path(folder) / "long.mp4"
        if args.file is None:
            make(path, args.minutes, args.height)
        with open_video(path) as video:
            print(f"{len(video)} frames of {video.shape[1]} x {video.shape[2]}, {path.stat().st_size / 2**20:.0f} MB\n")
        print("| what | measured | limit |\n|---|---|---|")
        opening(path)
        in_dask(path)
        in_napari(path, args.jumps)
        playing(path, args.play)
        memory(path, args.memory)


if __name__ == "__main__":
    main()

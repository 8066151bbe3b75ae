"""Resident memory while tracking a long video: its slope after the first 100 frames, in bytes a frame.

    OMP_WAIT_POLICY=passive python benchmarks/memory.py [--frames 10000] [--objects 3] [--image-size 256] [--memory divemem]

The built-in model follows textures drifting for ever; masks go into a project file, as in a long case. ``--image-size 64``
makes it ten times quicker with the same bookkeeping.
"""

from __future__ import annotations

import argparse
import gc
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

import napari_sam2s as sam2s

WARM = 100  # frames until every memory is full


class EndlessVideo:
    """A texture that drifts in a circle: any number of frames, each made when it is asked for."""

    def __init__(self, frames: int, size: tuple[int, int] = (120, 160)) -> None:
        self.shape = (frames, *size, 3)
        self.fps = 25.0
        rng = np.random.default_rng(0)
        self._ground = np.kron(rng.integers(0, 255, (25, 30, 3)), np.ones((8, 8, 1))).astype(np.uint8)

    def __getitem__(self, t: int) -> np.ndarray:
        y, x = (int(20 + 18 * f(t / 40)) for f in (np.sin, np.cos))
        return self._ground[y : y + self.shape[1], x : x + self.shape[2]]


def resident_bytes(frames: int, objects: int, image_size: int, memory: str) -> np.ndarray:
    """Return the resident memory after every frame, ``(frames,)`` int64."""
    video = EndlessVideo(frames)
    process, found = psutil.Process(), np.zeros(frames, np.int64)
    with tempfile.TemporaryDirectory() as folder, sam2s.Project.create(Path(folder) / "long.sam2s", video) as project:
        tracker = sam2s.Tracker(sam2s.load_model(image_size=image_size), video, project, memory, cache_bytes=2**22)
        for n in range(objects):
            project.add_object()
            tracker.prompt(n + 1, 0, box=(10 + 30 * n, 20, 40 + 30 * n, 90))
        for t, _ in tracker.propagate():
            if t % 50 == 0:
                gc.collect()
            found[t] = process.memory_info().rss
    return found


def slope(resident: np.ndarray) -> float:
    """Return bytes a frame after the first frames, by least squares."""
    return float(np.polyfit(np.arange(WARM, len(resident)), resident[WARM:].astype(float), 1)[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--objects", type=int, default=3)
    parser.add_argument("--image-size", type=int, default=256)
    parser.add_argument("--memory", default="divemem", choices=("divemem", "vanilla"))
    args = parser.parse_args()
    started = time.process_time()
    resident = resident_bytes(args.frames, args.objects, args.image_size, args.memory)
    spent = (time.process_time() - started) / args.frames * 1000
    print(f"{args.frames} frames, {args.objects} objects, input {args.image_size}, {args.memory}, {spent:.0f} CPU ms a frame")
    print(f"after {WARM} frames {resident[WARM] / 2**20:.1f} MiB, at the end {resident[-1] / 2**20:.1f} MiB")
    print(f"slope {slope(resident):.0f} bytes a frame")


if __name__ == "__main__":
    main()

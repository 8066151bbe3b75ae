"""A batch of short videos on two local workers against one.

``python benchmarks/batch.py [--videos 20] [--frames 60]`` prints a table in Markdown. Every worker has one thread, so that
nothing but their number differs; the time until they have started is measured apart, as it does not grow with the videos.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

import napari_sam2s as sam2s
from napari_sam2s.batching.local_workers import LocalWorkers
from napari_sam2s.formats import write_video
from napari_sam2s.synthetic.samples import demo_case

SIZE = (270, 480)


def make_videos(folder: Path, videos: int, frames: int) -> None:
    """Write drawn videos, and the masks on their first frames."""
    case = demo_case(frames, SIZE)
    write_video((case[t] for t in range(frames)), folder / "00.mp4")
    labels = np.zeros(SIZE, np.uint8)
    for i, mask in case.masks(0).items():
        labels[mask] = i
    Image.fromarray(labels).save(folder / "00_frame0.png")
    for n in range(1, videos):
        shutil.copy(folder / "00.mp4", folder / f"{n:02}.mp4")
        shutil.copy(folder / "00_frame0.png", folder / f"{n:02}_frame0.png")


def measure(folder: Path, count: int) -> tuple[float, float, float]:
    """Return seconds until the workers have started, for the batch, and that the workers worked on videos, all together."""
    out = folder / f"out{count}"
    begun = time.perf_counter()
    with LocalWorkers(count, threads=1) as workers:
        started = time.perf_counter()
        options = {"prompts": "masks", "out": out, "scheduler": workers.address, "security": workers.keys}
        rows = sam2s.batch(sorted(folder.glob("*.mp4")), **options)
        ended = time.perf_counter()
    assert all(row.state == "done" for row in rows), [row.message for row in rows]
    shutil.rmtree(out)
    return started - begun, ended - started, sum(row.seconds for row in rows)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=20)
    parser.add_argument("--frames", type=int, default=60)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_videos(folder, args.videos, args.frames)
        load = os.getloadavg()[0]
        print(
            f"{args.videos} videos of {args.frames} frames, {SIZE[0]} x {SIZE[1]}, 3 objects; load of the machine {load:.1f}\n"
        )
        print("| workers | start, s | batch, s | times one | share of it that each worked |\n|---|---|---|---|---|")
        spent = {}
        for count in (1, 2):
            start, spent[count], worked = measure(folder, count)
            share = worked / spent[count] / count
            print(f"| {count} | {start:.1f} | {spent[count]:.1f} | {spent[1] / spent[count]:.2f} | {share:.2f} |", flush=True)


if __name__ == "__main__":
    main()

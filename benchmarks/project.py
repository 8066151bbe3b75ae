"""The project file beside zarr, on the same masks.

python benchmarks/project.py [--frames 20000]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import torch
import zarr

from napari_sam2s.masklets import Project, Scores, rle
from napari_sam2s.tracking.upsampling import MaskUpsampler

HEIGHT, WIDTH, OBJECTS = 1080, 1920, 3
LIVE = 2000  # frames that are written one by one while another process reads
READER = """
import random, sys, time
from napari_sam2s.masklets import Project
with Project.open(sys.argv[1], mode="r") as project:
    print("open", flush=True)
    while True:
        project.labels[random.randrange(100)]
        print("read", flush=True)
        time.sleep(0.04)
"""


class Long:
    """The shape of a long video."""

    fps, path = 25.0, None

    def __init__(self, frames: int, height: int = HEIGHT, width: int = WIDTH) -> None:
        self.shape = (frames, height, width, 3)


def realistic(rng: np.random.Generator) -> list[list[np.ndarray]]:
    """Return 40 frames of three instruments as the tracker would write them, to be repeated.

    The outline wobbles from frame to frame and is drawn at 256 x 256, where the network's masks live, then brought to the
    video's size as the tracker does it.
    """
    y, x = (np.mgrid[:256, :256].astype(float) + 0.5) * [[[HEIGHT / 256]], [[WIDTH / 256]]]
    upsample = MaskUpsampler((HEIGHT, WIDTH))
    out = []
    for t in range(40):
        masks = []
        for i in range(OBJECTS):
            angle = 0.4 + 0.9 * i + 0.01 * t
            along = (x - 300 - 500 * i) * np.cos(angle) + (y - 540) * np.sin(angle)
            across = -(x - 300 - 500 * i) * np.sin(angle) + (y - 540) * np.cos(angle)
            width = 45 + 12 * np.sin(along / 90 + t / 8) + 4 * np.sin(along / 17 + t)
            logits = np.minimum(width - np.abs(across), 420 - np.abs(along)) / 5 + rng.normal(0, 0.3, (256, 256))
            masks.append(upsample(torch.from_numpy(logits)))
        out.append(masks)
    return out


def timed(job, repeats: int = 1) -> list[float]:
    """Return the seconds of each call."""
    times = []
    for n in range(repeats):
        started = time.perf_counter()
        job(n)
        times.append(time.perf_counter() - started)
    return times


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=20_000)
    frames = parser.parse_args().frames
    rng = np.random.default_rng(0)
    masks = realistic(rng)
    labels = [np.max([(i + 1) * m for i, m in enumerate(ms)], axis=0).astype(np.uint8) for ms in masks]
    scores = Scores(0.91, 5.3, dict.fromkeys("abcdefgh", 0.125))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.sam2s"
        with Project.create(path, Long(frames)) as project:
            ids = [project.add_object().id for _ in range(OBJECTS)]
            run = project.runs.start(model="benchmark")
            live = min(frames, LIVE)
            reader = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-c", READER, str(path)], stdout=subprocess.PIPE, text=True
            )
            reader.stdout.readline()  # it has the project open
            started = time.perf_counter()
            for t in range(live):
                project.write_masks([(t, i, m, scores) for i, m in zip(ids, masks[t % 40], strict=True)], run=run)
            wrote = live * OBJECTS / (time.perf_counter() - started)
            reader.terminate()
            read = reader.stdout.read().count("\n")
            reader.wait()
            encoded = [[rle.encode(m) for m in ms] for ms in masks]
            for first in range(live, frames, 2000):  # the rest at once: only its size and place matter
                span = range(first, min(first + 2000, frames))
                project.write_masks(
                    [(t, i, m, scores) for t in span for i, m in zip(ids, encoded[t % 40], strict=True)], run=run
                )
            project.runs.finish(run)
            undo_run, taken = undo_of_the_run(project)
            order = rng.integers(0, frames, 300)
            decode = timed(lambda n: project.labels.watched(int).frame(int(order[n])), 300)
            span = min(10_000, frames)
            project.tracks.swap(1, 2, 0, span)
            undo = timed(lambda _: project.undo())[0]
            presence = timed(lambda _: project.masks.presence(1), 2)
        size = path.stat().st_size
        opened = timed(lambda _: Project.open(path).close())[0]
        store = zarr.create_array(
            f"{folder}/z.zarr",
            shape=(frames, HEIGHT, WIDTH),
            chunks=(1, HEIGHT, WIDTH),
            dtype="u1",
            compressors=zarr.codecs.ZstdCodec(level=1),
            config={"write_empty_chunks": True},
        )
        some = min(frames, 400)
        zwrote = some * OBJECTS / sum(timed(lambda t: store.__setitem__(t, labels[t % 40]), some))
        zread = timed(lambda n: store[int(order[n] % some)], 200)
        zsize = sum(f.stat().st_size for f in Path(f"{folder}/z.zarr").rglob("*") if f.is_file()) / some * frames
    full = 180_000 / frames
    rows.append(
        (
            f"masks written a second (another process read {read} frames)",
            f"{wrote:.0f}",
            f"{zwrote:.0f} (labels, no overlaps or scores)",
        )
    )
    rows.append(("a frame's labels, median / p99", ms(decode), ms(zread)))
    rows.append(("size at 180,000 frames", f"{size * full / 2**20:.0f} MB", f"{zsize * full / 2**20:.0f} MB"))
    rows.append(("opening", f"{opened:.3f} s", ""))
    rows.append((f"undo of a run of {frames} frames, and the memory it takes", f"{undo_run:.2f} s, {taken:.0f} MiB", ""))
    rows.append((f"undo of a {span}-frame swap", f"{undo:.2f} s", ""))
    rows.append((f"presence over {frames} frames, first / later", " / ".join(f"{p:.3f}" for p in presence) + " s", ""))
    print(f"{frames} frames x {OBJECTS} objects, {HEIGHT} x {WIDTH}\n")
    print("| what | project | zarr, a chunk a frame, zstd |\n|---|---|---|")
    for row in rows:
        print("| " + " | ".join(row) + " |")
    cells()


def undo_of_the_run(project: Project) -> tuple[float, float]:
    """Return the seconds that undoing the run takes, and the MiB by which this process was larger meanwhile; redo it."""
    process, over, most = psutil.Process(), threading.Event(), [0]
    before = process.memory_info().rss

    def watch() -> None:
        while not over.wait(0.002):
            most[0] = max(most[0], process.memory_info().rss - before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    seconds = timed(lambda _: project.undo())[0]
    over.set()
    watcher.join()
    assert not project.frames
    project.redo()
    return seconds, most[0] / 2**20


def ms(times: list[float]) -> str:
    """Return median and 99th percentile in milliseconds."""
    return f"{1000 * statistics.median(times):.1f} / {1000 * float(np.percentile(times, 99)):.1f} ms"


def cells() -> None:
    """Add the line for 300 cells on 2048 x 2048."""
    y, x = np.mgrid[:2048, :2048]
    with tempfile.TemporaryDirectory() as folder, Project.create(Path(folder) / "c.sam2s", Long(20, 2048, 2048)) as project:
        rows = []
        for n in range(300):
            cy, cx = 60 + (n // 18) * 118, 60 + (n % 18) * 113
            rows.append((0, project.add_object().id, (y - cy) ** 2 + (x - cx) ** 2 < 45**2, None))
        project.write_masks(rows)
        times = timed(lambda _: project.labels.watched(int).frame(0), 20)
    print(f"| 300 cells on 2048 x 2048, a frame | {ms(times)} | |")


if __name__ == "__main__":
    main()

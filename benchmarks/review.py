"""The review queue of a long case: first call, and after a change; beside reading the same columns plainly.

python benchmarks/review.py [--frames 180000] [--project case.sam2s]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from napari_sam2s.masklets import Project, Scores
from napari_sam2s.masklets.rle import EMPTY, Mask, encode

OBJECTS = 5


class Long:
    """The shape of a long video."""

    fps, path = 25.0, None

    def __init__(self, frames: int) -> None:
        self.shape = (frames, 1080, 1920, 3)


def make(path: Path, frames: int) -> Project:
    """Write a project of five ellipses that wander, cross and go away by turns; scores as a tracker's."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:200, :300]
    shape = ((y - 100) / 95) ** 2 + ((x - 150) / 145) ** 2 < 1
    known: dict[tuple[int, int], Mask] = {}
    project = Project.create(path, Long(frames))
    for _ in range(OBJECTS):
        project.add_object()
    for first in range(0, frames, 2000):
        rows = []
        for t in range(first, min(first + 2000, frames)):
            for i in range(1, OBJECTS + 1):
                gone = t // 2000 % 7 == i
                place = int(400 + 300 * np.sin(t / 200 + i)), int(800 + 700 * np.sin(t / 300 + i))
                if place not in known:
                    known[place] = encode(shape, place)
                mask = EMPTY if gone else known[place]
                score = -5.0 if gone else float(rng.normal(6, 1.2))
                rows.append((t, i, mask, Scores(float(rng.beta(20, 2)), score)))
        project.write_masks(rows)
    return project


def timed(action: Callable[[], Any]) -> tuple[Any, float, float]:
    """Return the result, and seconds by the clock and by the processor."""
    wall, processor = time.perf_counter(), time.process_time()
    result = action()
    return result, time.perf_counter() - wall, time.process_time() - processor


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, default=180_000)
    parser.add_argument("--project", type=Path, help="an existing one, which is not changed for good")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        made = make(Path(folder, "long.sam2s"), args.frames) if args.project is None else Project.open(args.project)
        with made as project:
            sql = "SELECT frame, object_id, area, iou, object_score, y0, x0, height, width, origin, confirmed FROM masks"
            rows, plain, plain_cpu = timed(lambda: project.store.rows(sql))
            count = len(rows)
            del rows
            _, first, first_cpu = timed(project.review)
            project.tracks.delete(1, 500, 600)
            review, second, second_cpu = timed(project.review)
            project.undo()
            print(f"{project.shape[0]} frames, {count} masks: {len(review)} spans, about {review.minutes:.0f} minutes\n")
            print("| what | seconds | of the processor | ratio to the plain read |\n|---|---|---|---|")
            for what, wall, cpu in (
                ("plain read of the columns (fetchall)", plain, plain_cpu),
                ("first review", first, first_cpu),
                ("review after surgery on 100 frames", second, second_cpu),
            ):
                print(f"| {what} | {wall:.2f} | {cpu:.2f} | {cpu / plain_cpu:.2f} |")


if __name__ == "__main__":
    main()

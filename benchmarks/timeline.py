"""The timeline of a two-hour case: 180,000 frames, 5 objects. Prints a Markdown table; run it under a display.

Opening is from the project's file to the first picture; panning and zooming are pictures of other parts, which cost the same
for six minutes of video. Masks are of 30 pixels: what is in a mask plays no part here.
"""

from __future__ import annotations

import os
import resource
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from qtpy.QtWidgets import QApplication

from napari_sam2s.masklets import Project
from napari_sam2s.masklets.rle import encode
from napari_sam2s.widgets.timeline import Timeline, lanes_of

OBJECTS = 5
HOURS = {"6 minutes": 9_000, "2 hours": 180_000}


class _Video:
    def __init__(self, frames: int) -> None:
        self.shape, self.fps = (frames, 1080, 1920, 3), 25.0


def make(path: Path, frames: int) -> None:
    """Write a project in which objects come, go and are doubted every few seconds."""
    rng = np.random.default_rng(0)
    mask = np.zeros((1080, 1920), bool)
    mask[100:105, 100:106] = True
    here, gone = encode(mask), encode(np.zeros_like(mask))
    with Project.create(path, _Video(frames)) as project:
        for _ in range(OBJECTS):
            project.add_object()
    rows = []
    for i in range(1, OBJECTS + 1):
        shown = np.repeat(rng.random(frames // 50 + 1) < 0.8, 50)[:frames]
        score = np.repeat(rng.uniform(0.3, 1.0, frames // 20 + 1), 20)[:frames]
        for t in range(frames):
            m = here if shown[t] else gone
            rows.append((t, i, m.y0, m.x0, m.height, m.width, m.counts, m.area, float(score[t]), 3.0, "propagated"))
    database = sqlite3.connect(path)  # past the history, which is not what is measured
    columns = "frame, object_id, y0, x0, height, width, counts, area, iou, object_score, origin"
    database.executemany(f"INSERT INTO masks ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", sorted(rows))
    database.commit()
    database.close()


def picture(timeline: Timeline) -> float:
    """Return the seconds that one picture takes."""
    start = time.perf_counter()
    timeline.grab()
    return time.perf_counter() - start


def measure(path: Path) -> tuple[float, float, float, float]:
    """Return seconds to open, to draw again, to pan, to zoom (medians)."""
    start = time.perf_counter()
    with Project.open(path) as project:
        timeline = Timeline()
        timeline.resize(1600, 120)
        timeline.show_lanes(project.shape[0], lanes_of(project), project.fps)
        timeline.grab()
        opened = time.perf_counter() - start
        start = time.perf_counter()
        lanes_of(project)
        again = time.perf_counter() - start
        timeline.zoom(20, project.shape[0] / 2)
        pans, zooms = [], []
        for n in range(20):
            timeline.pan((-1) ** (n // 5) * project.shape[0] / 200)
            pans.append(picture(timeline))
        for n in range(20):
            timeline.zoom(1.25 if n % 2 else 0.8, project.shape[0] / 3)
            zooms.append(picture(timeline))
        timeline.close()
    return opened, again, float(np.median(pans)), float(np.median(zooms))


def main() -> None:
    """Print the table."""
    application = QApplication(sys.argv)
    load = os.getloadavg()[0]
    print(f"{OBJECTS} objects\n\n| video | open | lanes again | pan | zoom |\n|---|---|---|---|---|")
    times = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, frames in HOURS.items():
            path = Path(folder) / f"{frames}.sam2s"
            make(path, frames)
            times[name] = measure(path)
            opened, again, pan, zoom = times[name]
            print(f"| {name} | {opened:.2f} s | {again * 1e3:.1f} ms | {pan * 1e3:.1f} ms | {zoom * 1e3:.1f} ms |")
    ratios = [b / a for a, b in zip(*times.values(), strict=True)]
    print(f"| ratio | {' | '.join(f'{r:.1f}' for r in ratios)} |")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\nload average {load:.1f}; peak memory {memory:.0f} MB (with the writing of the project)")
    application.quit()


if __name__ == "__main__":
    main()

"""The timeline of a two-hour case: 180,000 frames, 5 objects. Prints Markdown tables; run it under a display.

The strip alone: opening is from the project's file to the first picture; panning and zooming are pictures of other parts, which
cost the same for six minutes of video. Masks are of 30 pixels: what is in a mask plays no part here.

In napari: opening is from choosing the widget to everything drawn (the engine starts meanwhile in its own process), scrolling a
jump to another frame until it is drawn; memory is that of the viewer's process, beside napari with the image alone.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ["NAPARI_CONFIG"] = str(Path(tempfile.mkdtemp()) / "settings.yaml")

import dask.array as da
import napari
import numpy as np
import psutil
from qtpy.QtWidgets import QApplication

from napari_sam2s.masklets import Project
from napari_sam2s.masklets.rle import encode
from napari_sam2s.widgets.segment_widget import SegmentWidget
from napari_sam2s.widgets.timeline import Timeline
from napari_sam2s.widgets.timeline_model import timeline_rows
from napari_sam2s.widgets.video_picker import VideoPicker

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
        timeline.show_rows(project.shape[0], timeline_rows(project), project.fps)
        timeline.grab()
        opened = time.perf_counter() - start
        start = time.perf_counter()
        timeline_rows(project)
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


def timed(action: Callable[[], object]) -> tuple[float, float]:
    """Return seconds by the clock and by this process's processors."""
    wall, processor = time.perf_counter(), time.process_time()
    action()
    return time.perf_counter() - wall, time.process_time() - processor


def in_napari(path: Path, frames: int) -> list[tuple[str, float, float]]:
    """Return rows of what was done, seconds and CPU-seconds; memory in MB comes last, beside that of napari alone."""
    viewer = napari.Viewer()
    viewer.add_image(da.zeros((frames, 1080, 1920, 3), chunks=(1, 1080, 1920, 3), dtype=np.uint8), rgb=True, name="long")
    settle = QApplication.processEvents
    settle()
    process = psutil.Process()
    alone = process.memory_info().rss / 2**20
    VideoPicker._default_path = lambda self, video: path  # it belongs to no file
    made = []

    def open_widget() -> None:
        made.append(SegmentWidget(viewer))
        viewer.window.add_dock_widget(made[0])
        settle()

    rows = [("open", *timed(open_widget))]
    [widget] = made
    places = np.random.default_rng(0).integers(0, frames, 30).tolist()

    def jump(frame: int) -> None:
        widget.session.go_to(frame)
        settle()

    jumps = np.median([timed(lambda frame=frame: jump(frame)) for frame in places], axis=0)
    rows.append(("a jump to another frame (median of 30)", *jumps))

    def zoom(factor: float) -> None:
        widget.timeline.zoom(factor, frames / 2)
        settle()

    zooms = np.median([timed(lambda n=n: zoom(1.3 if n < 15 else 1 / 1.3)) for n in range(30)], axis=0)
    rows.append(("a zoom of the timeline (median of 30)", *zooms))
    rows.append(("everything drawn anew, as after a click", *timed(lambda: (widget.refresh(), settle()))))
    rows.append(("memory", process.memory_info().rss / 2**20, alone))
    widget.close()
    viewer.close()
    return rows


def main() -> None:
    """Print the tables."""
    application = QApplication.instance() or QApplication(sys.argv)
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
        print("\n| in napari | 6 minutes | 2 hours | CPU, 2 hours | ratio |\n|---|---|---|---|---|")
        short, long = (in_napari(Path(folder) / f"{frames}.sam2s", frames) for frames in HOURS.values())
        for (what, a, _), (_, b, cpu) in zip(short[:-1], long[:-1], strict=True):
            print(f"| {what} | {a * 1e3:.0f} ms | {b * 1e3:.0f} ms | {cpu * 1e3:.0f} ms | {b / a:.1f} |")
        (_, a, _), (what, b, alone) = short[-1], long[-1]
        print(f"| {what} (napari alone {alone:.0f} MB) | {a:.0f} MB | {b:.0f} MB | | {b / a:.1f} |")
    print(f"\nload average before it started {load:.1f}")
    application.quit()


if __name__ == "__main__":
    main()

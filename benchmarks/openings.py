"""Whether napari grows when the widget is opened and closed again and again, in two viewers, with one video after another.

Run it under a display (``xvfb-run -a python benchmarks/openings.py``); it prints a Markdown table: the resident memory of
this process, its threads, its Qt widgets and the processes it started, before, on the way and at the end. Each opening opens
the widget on a video, waits for the model, clicks an object, waits for its mask, and closes the widget. The first openings
load libraries and fill caches, so the growth is counted from the row of ``--warm`` openings on. With ``--plain`` napari alone
opens and closes an image, a Labels and a Points layer of the same sizes: what grows then is napari's, Qt's and OpenGL's.
"""

from __future__ import annotations

import argparse
import gc
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ["NAPARI_CONFIG"] = str(Path(tempfile.mkdtemp()) / "settings.yaml")

import napari
import numpy as np
import psutil
from qtpy.QtCore import QCoreApplication, QEvent
from qtpy.QtWidgets import QApplication

from napari_sam2s.formats import write_video
from napari_sam2s.masklets import Prompt
from napari_sam2s.synthetic.samples import demo_case
from napari_sam2s.widgets.segment_widget import SegmentWidget

CLICK = (130.0, 240.0)
FRAMES = 16


def until(condition, what: Callable[[], str] = lambda: "", seconds: float = 300.0) -> None:
    """Let Qt work until something is so; else say ``what`` is instead."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"it did not happen in time: {what()}")
        QApplication.processEvents()
        time.sleep(0.005)


def rest(seconds: float = 0.3) -> None:
    """Let Qt do what waits, deletions included."""
    end = time.monotonic() + seconds
    until(lambda: time.monotonic() > end)
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)  # left to napari's own event loop otherwise
    gc.collect()


def open_and_close(viewer: napari.Viewer, file: Path, folder: Path) -> None:
    """Open a video with the widget, click, and close both."""
    viewer.open(str(file), plugin="napari-sam2s")
    widget = SegmentWidget(viewer, project_folder=folder)
    dock = viewer.window.add_dock_widget(widget)
    until(lambda: "ready" in widget.status.text(), widget.status.text)
    widget.session.prompt(Prompt(1, 0, (CLICK,), (1,)))
    until(lambda: bool(widget.session.project.masks.known(1, 0, 1)), widget.status.text)
    viewer.window.remove_dock_widget(dock)
    widget.close()
    widget.deleteLater()
    viewer.layers.clear()
    rest()


def open_and_close_plain(viewer: napari.Viewer, frames: np.ndarray) -> None:
    """Show frames ``(T, Y, X, 3)`` with a Labels and a Points layer, without the widget, and remove them."""
    viewer.add_image(frames, rgb=True)
    labels = viewer.add_labels(np.zeros(frames.shape[:3], np.int32))
    points = viewer.add_points(np.empty((0, 3)), ndim=3)
    rest(1.0)
    points.add((0.0, *CLICK))
    labels.data[0, 100:150, 200:260] = 1
    labels.refresh()
    rest(1.0)
    viewer.layers.clear()
    rest()


def measure(label: str) -> dict[str, float]:
    """Return what this process holds now, and print it as a row."""
    rest()
    here = psutil.Process()
    facts = {
        "memory": here.memory_info().rss / 2**20,
        "threads": here.num_threads(),
        "processes": len(here.children(recursive=True)),
        "files": here.num_fds(),
        "widgets": len(QApplication.allWidgets()),
    }
    print(f"| {label} | {facts['memory']:.0f} | " + " | ".join(f"{facts[k]:.0f}" for k in list(facts)[1:]) + " |", flush=True)
    return facts


def main() -> None:
    """Open and close."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--openings", type=int, default=50)
    parser.add_argument("--videos", type=int, default=10)
    parser.add_argument("--warm", type=int, default=10, help="openings before growth is counted, and from row to row")
    parser.add_argument("--plain", action="store_true", help="napari alone, without the widget")
    options = parser.parse_args()
    print(f"Load before: {os.getloadavg()[0]:.1f}\n")
    print("| openings | memory, MiB | threads | processes | open files | Qt widgets |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        case = demo_case(FRAMES)
        first = write_video((case[t] for t in range(FRAMES)), folder / "clip-0.mp4")
        files = [first] + [Path(shutil.copy(first, folder / f"clip-{n}.mp4")) for n in range(1, options.videos)]
        viewers = [napari.Viewer(show=True), napari.Viewer(show=True)]
        measure("none")
        warm: dict[str, float] = {}
        for n in range(1, options.openings + 1):
            place = folder / f"projects-{n}"
            place.mkdir()
            if options.plain:
                open_and_close_plain(viewers[n % 2], np.stack([case[t] for t in range(FRAMES)]))
            else:
                open_and_close(viewers[n % 2], files[n % len(files)], place)
            shutil.rmtree(place)
            if n % options.warm == 0 or n == options.openings:
                facts = measure(str(n))
                warm = warm or facts
        print(f"\nFrom opening {options.warm} to {options.openings}: {facts['memory'] - warm['memory']:+.1f} MiB, ", end="")
        print(f"{facts['threads'] - warm['threads']:+.0f} threads, {facts['processes'] - warm['processes']:+.0f} processes.")
        for viewer in viewers:
            viewer.close()


if __name__ == "__main__":
    main()

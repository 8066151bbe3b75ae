"""How long a start takes: import, ``--help``, and the widget from its choice in the menu to ready for a click.

    python benchmarks/startup.py [--runs 5] [--peer napari-nninteractive] [--no-widget]

Prints the median wall and processor seconds of new processes; the import without the start of the interpreter. A peer is
another napari plugin that is installed here: its import, and its widget from the menu until it is there. The widgets need a
screen: put ``xvfb-run -a`` before the command where there is none.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from statistics import median

LIMITS = {"import napari_sam2s": 0.15, "napari-sam2s --help": 0.3}  # seconds
WIDGET = """
import os, sys, tempfile, time
os.environ["NAPARI_CONFIG"] = tempfile.mkdtemp() + "/settings.yaml"
import napari
from qtpy.QtWidgets import QApplication
viewer = napari.Viewer()
QApplication.processEvents()
plugin, name, ready = sys.argv[1:4]
if ready:
    viewer.open_sample("napari-sam2s", "short")
began, worked = time.perf_counter(), time.process_time()
_, widget = viewer.window.add_plugin_dock_widget(plugin, name or None)
while ready and "ready" not in widget.status.text():
    QApplication.processEvents()
    time.sleep(0.005)
QApplication.processEvents()
print(time.perf_counter() - began, time.process_time() - worked, flush=True)
os._exit(0)
"""


def measure(command: list[str], runs: int) -> tuple[float, float]:
    """Return the median wall and processor seconds of a command."""
    walls, works = [], []
    for _ in range(runs):
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        walls.append(time.perf_counter() - began)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        works.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return median(walls), median(works)


def measure_widget(plugin: str, name: str, ready: str, runs: int) -> tuple[float, float]:
    """Return the median wall and processor seconds (of the viewer) until a widget is there, or ready."""
    found = []
    for _ in range(runs):
        command = [sys.executable, "-W", "ignore", "-c", WIDGET, plugin, name, ready]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
        found.append(tuple(float(word) for word in done.stdout.split()[-2:]))
    return median(wall for wall, _ in found), median(work for _, work in found)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--peer", default="", help="another plugin that is installed here, such as napari-nninteractive")
    parser.add_argument("--no-widget", action="store_true")
    args = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    bare = measure([sys.executable, "-c", "pass"], args.runs)
    rows = {"python -c pass": bare}
    modules = ["napari_sam2s", *([args.peer.replace("-", "_")] if args.peer else [])]
    for module in modules:
        wall, work = measure([sys.executable, "-W", "ignore", "-c", f"import {module}"], args.runs)
        rows[f"import {module}"] = wall - bare[0], work - bare[1]
    rows["napari-sam2s --help"] = measure([sys.executable, "-m", "napari_sam2s.cli", "--help"], args.runs)
    if not args.no_widget:
        rows["widget, ready for a click"] = measure_widget("napari-sam2s", "Segment video", "ready", min(3, args.runs))
        if args.peer:
            rows[f"widget of {args.peer}"] = measure_widget(args.peer, "", "", min(3, args.runs))
    print("| step | wall s | processor s | limit s |\n|---|---|---|---|")
    for name, (wall, work) in rows.items():
        print(f"| {name} | {wall:.2f} | {work:.2f} | {LIMITS.get(name, '')} |")


if __name__ == "__main__":
    main()

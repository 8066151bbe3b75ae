"""How responsive napari stays while the model works, and what that costs.

Run it under a display (``xvfb-run -a python benchmarks/viewer.py``); it prints a Markdown table. Rows measured in one run are
compared with each other, never with a number from elsewhere; the load of the machine before it started is printed below.

- *gap*: how late a timer of 5 ms comes in napari's event loop while frames are tracked and the slider is moved 10 times a
  second; beside it the same with nothing running, with the tracker in a thread of the viewer's process, and in a napari that
  has the same three layers, as arrays, and no plugin: that is what the ratios are of.
- *throughput*: frames a second inside napari, untouched, over that of ``napari-sam2s track`` on the same clip: the median of
  three pairs. The clip is longer than the encodings that a tracker keeps, so that no run finds those of the run before.
- *pause*: frames that are still tracked after the key.
- *click to mask*: from the mouse button to the mask on screen.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ["NAPARI_CONFIG"] = str(Path(tempfile.mkdtemp()) / "settings.yaml")

import napari
import numpy as np
from qtpy.QtCore import QEventLoop, QPoint, Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_sam2s import Tracker, load_model, open_video
from napari_sam2s.formats import write_video
from napari_sam2s.masklets import Project
from napari_sam2s.synthetic.samples import demo_case
from napari_sam2s.widgets.segment_widget import SegmentWidget

LEAST_FRAMES = 200  # a tracker keeps 256 MiB of encodings, 115 frames or fewer
TICK_MS = 5
SLIDER_MS = 100
CLICK = (130, 240)


class Desk:
    """A viewer with the widget, and someone at it."""

    def __init__(self, file: Path, folder: Path) -> None:
        self.viewer = napari.Viewer(show=True)
        self.viewer.open(str(file), plugin="napari-sam2s")
        self.widget = SegmentWidget(self.viewer, project_folder=folder)
        self.viewer.window.add_dock_widget(self.widget)
        self.canvas = self.viewer.window._qt_viewer.canvas.native
        self.until(lambda: "ready" in self.widget.status.text())

    def until(self, condition, timeout: float = 600.0) -> None:
        """Let napari work until something is so."""
        end = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(self.widget.status.text())
            QApplication.processEvents()
            time.sleep(0.001)

    def click(self, y: float, x: float) -> None:
        """Click on a pixel."""
        world = self.widget.session.image.data_to_world((self.widget.session.frame, y, x))
        at = self.viewer.window._qt_viewer.canvas.view.camera.transform.map([world[2], world[1], 0, 1])
        button, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
        QTest.mouseClick(self.canvas, button, none, QPoint(int(at[0]), int(at[1])))

    def click_to_mask(self, frame: int) -> float:
        """Return the seconds from a click to the drawn mask."""
        self.widget.session.go_to(frame)
        self.until(lambda: self.widget.session.frame == frame)
        QApplication.processEvents()
        answered: list[int] = []
        session = self.widget.session
        session.worker.prompted.connect(lambda *_: answered.append(1))
        start = time.monotonic()
        self.click(*CLICK)
        self.until(lambda: bool(answered))
        self.viewer.window._qt_viewer.canvas.native.repaint()
        return time.monotonic() - start

    def gaps(self, condition, move: bool) -> np.ndarray:
        """Return :func:`gaps` of this viewer."""
        return gaps(condition, self.widget.session.go_to if move else None, self.widget.session.project.shape[0])


def wait(condition) -> None:
    """Let napari run until something is so, ten minutes at most.

    By an event loop, as napari itself: a loop of ``processEvents`` takes 6 % of a core from the engine. Not by the
    application's own loop: the widget ends with it.
    """
    end = time.monotonic() + 600
    loop, watch = QEventLoop(), QTimer()
    watch.timeout.connect(lambda: loop.quit() if condition() or time.monotonic() > end else None)
    watch.start(50)
    loop.exec()
    watch.stop()


def gaps(condition, go_to, frames: int) -> np.ndarray:
    """Return how late each tick came, in milliseconds, until something is so; meanwhile the slider is moved by ``go_to``."""
    late: list[float] = []
    last = time.monotonic()

    def tick() -> None:
        nonlocal last
        now = time.monotonic()
        late.append(max(0.0, (now - last) * 1e3 - TICK_MS))
        last = now

    places = iter(np.random.default_rng(0).integers(0, frames, 100_000).tolist())
    ticks, slider = QTimer(), QTimer()
    ticks.setTimerType(Qt.TimerType.PreciseTimer)
    ticks.timeout.connect(tick)
    slider.timeout.connect(lambda: go_to(next(places)))
    ticks.start(TICK_MS)
    if go_to is not None:
        slider.start(SLIDER_MS)
    wait(condition)
    for timer in (ticks, slider):
        timer.stop()
    return np.array(late[1:])


def napari_alone(clip: np.ndarray) -> np.ndarray:
    """Return the gaps of a viewer with the same three layers, as arrays, and no plugin."""
    viewer = napari.Viewer(show=True)
    viewer.add_image(clip, rgb=True)
    masks = np.zeros(clip.shape[:3], np.int32)
    masks[:, CLICK[0] - 40 : CLICK[0] + 40, CLICK[1] - 60 : CLICK[1] + 60] = 1
    viewer.add_labels(masks, opacity=0.5)
    viewer.add_points(np.array([(0, *CLICK)]), size=5)
    end = time.monotonic() + 5
    late = gaps(lambda: time.monotonic() > end, lambda frame: viewer.dims.set_point(0, frame), len(clip))
    viewer.close()
    return late


def percentiles(values: np.ndarray) -> str:
    """Return p50, p95, p99 and the worst in one cell."""
    p50, p95, p99 = np.percentile(values, (50, 95, 99))
    return f"{p50:.1f} / {p95:.1f} / {p99:.1f} / {values.max():.0f} ms"


def headless(file: Path, project: Path) -> float:
    """Return the frames a second of the command line's tracking, without its start."""
    code = (
        "import sys, time\n"
        "from napari_sam2s import Project, Tracker, load_model, open_video\n"
        "from napari_sam2s.tracking import ProjectRun\n"
        "video = open_video(sys.argv[1]); project = Project.create(sys.argv[2], video); project.add_object()\n"
        "tracker = Tracker(load_model(), video, project)\n"
        f"tracker.prompt(1, 0, points=[{CLICK}], labels=[1])\n"
        "run = ProjectRun(tracker, 0); start = time.monotonic(); n = sum(1 for _ in run)\n"
        "print(n / (time.monotonic() - start))"
    )
    command = [sys.executable, "-c", code, str(file), str(project)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])


def tracked(desk: Desk) -> float:
    """Track the whole clip, untouched, and return the frames a second."""
    desk.widget.session.go_to(0)
    session, before = desk.widget.session, len(desk.widget.session.project.runs)
    start = time.monotonic()
    desk.widget.run_view.track()
    wait(lambda: not session.tracking and len(session.project.runs) > before)
    seconds, frames = time.monotonic() - start, len(session.project.frames)
    if frames < session.project.shape[0]:
        raise SystemExit(f"Only {frames} of {session.project.shape[0]} frames were tracked: this is no throughput.")
    take_back(desk)
    return frames / seconds


def take_back(desk: Desk) -> None:
    """Undo the latest run: frames that have masks would not be tracked again."""
    session = desk.widget.session
    session.settle()
    if len(session.project.frames) > 1:
        session.undo()
        session.settle()
    if len(session.project.frames) > 1:
        raise SystemExit(f"{len(session.project.frames)} frames have masks still: what comes next would measure nothing.")
    end = time.monotonic() + 0.5
    desk.until(lambda: time.monotonic() > end)  # undo shows the frame that it changed, and a run begins at the one on show


def throughput(desk: Desk, file: Path, folder: Path, table: Table) -> float:
    """Print frames a second headless and inside napari, and return the latter."""
    pairs = np.array([(headless(file, folder / f"{n}.sam2s"), tracked(desk)) for n in range(3)])
    alone, inside = np.median(pairs, axis=0)
    ratios = sorted(pairs[:, 1] / pairs[:, 0])
    table.add("throughput, headless", f"{alone:.2f} frames/s", "1.00")
    table.add("throughput, inside napari", f"{inside:.2f} frames/s", f"{ratios[1]:.2f} ({ratios[0]:.2f} to {ratios[2]:.2f})")
    return float(inside)


def in_a_thread(desk: Desk, file: Path) -> np.ndarray:
    """Return the gaps with the tracker in a thread of this process, as most plugins have it."""
    tracker = Tracker(load_model(), open_video(file))
    tracker.prompt(1, 0, points=[CLICK], labels=[1])
    over = threading.Event()

    def work() -> None:
        for _ in tracker.propagate(0):
            pass
        over.set()

    threading.Thread(target=work).start()
    return desk.gaps(over.is_set, move=True)


class Table:
    """Rows that are printed as they come: a run that is cut off has told what it knew."""

    def __init__(self) -> None:
        print("| what | measured | ratio or target |\n|---|---|---|", flush=True)

    def add(self, what: str, measured: str, beside: str = "") -> None:
        """Print a row."""
        print(f"| {what} | {measured} | {beside} |", flush=True)

    def add_gaps(self, what: str, late: np.ndarray, alone: np.ndarray) -> None:
        """Print how late ticks came, beside the same with nothing running."""
        self.add(
            f"gap p50 / p95 / p99 / worst, {what}",
            percentiles(late),
            f"p99 {np.percentile(late, 99) / max(np.percentile(alone, 99), 0.1):.1f}x",
        )


def clicks(desk: Desk, frames: int, table: Table) -> None:
    """Measure clicks, and leave one object prompted on frame 0 alone."""
    table.add("click to mask, first ever", f"{desk.click_to_mask(0) * 1e3:.0f} ms")
    warm = [desk.click_to_mask(0) for _ in range(5)]
    unseen = [desk.click_to_mask(n * frames // 4) for n in (1, 2, 3)]
    table.add("click to mask, warm (median of 5)", f"{np.median(warm) * 1e3:.0f} ms", "target 300 ms")
    table.add("click to mask, unseen frame (median of 3)", f"{np.median(unseen) * 1e3:.0f} ms", "target 1000 ms")
    session = desk.widget.session
    session.settle()
    for _ in range(len(session.project.prompts()) - 1):
        session.undo()
    session.settle()


def responsiveness(desk: Desk, file: Path, clip: np.ndarray, table: Table) -> None:
    """Measure gaps with nothing running, with our engine, at a working rate, and with a thread of this process."""
    session = desk.widget.session
    alone = napari_alone(clip)
    end = time.monotonic() + 5
    still = desk.gaps(lambda: time.monotonic() > end, move=True)
    table.add_gaps("napari with three such layers, no plugin", alone, alone)
    table.add_gaps("nothing running (target 1.3x)", still, alone)
    for every, what in ((1, "tracking (our engine, target 1.5x)"), (5, "tracking every 5th frame")):
        desk.widget.run_panel.rate.take(every)
        desk.widget.session.go_to(0)
        desk.widget.run_view.track()
        table.add_gaps(what, desk.gaps(lambda: not session.tracking, move=True), alone)
        take_back(desk)
    desk.widget.run_panel.rate.take(1)
    table.add_gaps("tracking in a thread", in_a_thread(desk, file), alone)


def pause(desk: Desk, frame_seconds: float, table: Table) -> None:
    """Measure how many frames are still tracked after the key."""
    session, project = desk.widget.session, desk.widget.session.project
    desk.widget.session.go_to(0)
    seen: list[int] = []
    session.worker.progressed.connect(lambda done, total, frame, rate: seen.append(done))
    desk.widget.run_view.track()
    desk.until(lambda: bool(seen))
    run = project.runs[-1].id
    before = _done(project, run)
    start = time.monotonic()
    desk.widget.run_view.track()
    desk.until(lambda: not session.tracking)
    took, after = time.monotonic() - start, project.runs[-1].next_frame or 0
    table.add("pause: frames after the key", f"{after - before}", f"{took * 1e3:.0f} ms, a frame {frame_seconds * 1e3:.0f} ms")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=LEAST_FRAMES)
    frames = parser.parse_args().frames
    if frames < LEAST_FRAMES:
        parser.error(f"--frames {frames} is too short: kept encodings would look like speed; {LEAST_FRAMES} at least.")
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        case = demo_case(frames)
        file = write_video((case[t] for t in range(frames)), folder / "case.mp4")
        desk = Desk(file, folder)
        print(f"{frames} frames of {case[0].shape[1]} x {case[0].shape[0]}, sam2s-nano\n")
        table = Table()
        clicks(desk, frames, table)
        responsiveness(desk, file, np.stack([case[t] for t in range(frames)]), table)
        inside = throughput(desk, file, folder, table)
        pause(desk, 1 / inside, table)
        desk.widget.close()
        desk.viewer.close()
    print(f"\n{os.cpu_count()} cores; load average before it started {load:.1f}.")


def _done(project: Project, run: int) -> int:
    """Return the frame after the last that a run has written."""
    rows = project.store.rows("SELECT ifnull(max(frame), 0) + 1 FROM masks WHERE run = ?", (run,))
    return int(rows[0][0])


if __name__ == "__main__":
    main()

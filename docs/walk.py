"""Walk the widget as a new user would, and take a picture of every step.

    xvfb-run -a -s "-screen 0 1600x1000x24" python docs/walk.py VIDEO OUT --click 300,700 --click 310,900 [--frames 60]

The video is dropped (opened as napari's drop does), the widget is chosen from the menu, and each ``--click`` (y, x in pixels
of the first frame) is an object of its own; then one key tracks, and the result is looked at in the middle and at the end.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ["NAPARI_CONFIG"] = str(Path(tempfile.mkdtemp()) / "settings.yaml")

import napari
import numpy as np
from PIL import Image
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QImage
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QWidget

LEFT, NONE = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier


def grabbed(part: QWidget) -> Image.Image:
    """Return what a window or a part of it shows."""
    picture = part.grab().toImage().convertToFormat(QImage.Format.Format_RGB888)
    bits: Any = picture.constBits()  # PySide6 gives a memoryview, PyQt6 a pointer without a size
    data = np.frombuffer(bits if isinstance(bits, memoryview) else bits.asarray(picture.sizeInBytes()), np.uint8)
    pixels = data.reshape(picture.height(), picture.bytesPerLine())[:, : picture.width() * 3]
    return Image.fromarray(pixels.reshape(picture.height(), picture.width(), 3).copy())


class Walk:
    """A viewer, hands and a camera."""

    def __init__(self, out: Path) -> None:
        out.mkdir(parents=True, exist_ok=True)
        self.out, self.steps = out, 0
        self.began = time.monotonic()
        self.viewer = napari.Viewer(show=True)
        self.viewer.window.resize(1500, 950)
        self.rest()

    def rest(self, seconds: float = 0.5) -> None:
        """Let napari draw."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            QApplication.processEvents()
            time.sleep(0.005)

    def until(self, condition, timeout: float = 600.0) -> None:
        """Let napari work until something is so."""
        end = time.monotonic() + timeout
        while not condition() and time.monotonic() < end:
            self.rest(0.02)

    def shoot(self, what: str) -> None:
        """Take a picture of the window, and say when."""
        self.rest()
        self.steps += 1
        path = self.out / f"{self.steps:02d}-{what.replace(' ', '-')}.png"
        self.viewer.window._qt_window.grab().toImage().save(str(path))
        status = self.widget.status.text() if hasattr(self, "widget") else ""
        sys.stdout.write(f"{time.monotonic() - self.began:6.1f} s  {what:28} {status}\n")
        sys.stdout.flush()

    def drop(self, file: str) -> None:
        """Drop a file on the window. Napari's own reader claims these endings too and so napari asks: ours is taken."""
        self.viewer.open(file, plugin="napari-sam2s")

    def choose_widget(self) -> None:
        """Take the widget from the menu."""
        _, self.widget = self.viewer.window.add_plugin_dock_widget("napari-sam2s", "Segment video")

    @property
    def canvas(self):
        """Where the mouse clicks."""
        return self.viewer.window._qt_viewer.canvas.native

    def place(self, y: float, x: float) -> QPoint:
        """Return where a pixel is on the canvas."""
        world = self.widget.session.image.data_to_world((self.widget.session.frame, y, x))
        at = self.viewer.window._qt_viewer.canvas.view.camera.transform.map([world[2], world[1], 0, 1])
        return QPoint(int(at[0]), int(at[1]))

    def click(self, y: float, x: float, button=LEFT) -> None:
        """Click on a pixel and wait for the mask."""
        before = len(self.widget.session.project.prompts())
        QTest.mouseClick(self.canvas, button, NONE, self.place(y, x))
        self.until(lambda: len(self.widget.session.project.prompts()) > before, 30)
        self.widget.session.settle(120)
        self.rest(0.2)

    def press(self, key, modifier=NONE) -> None:
        """Press a key on the canvas."""
        QTest.keyClick(self.canvas, key, modifier)
        self.rest(0.1)


def main() -> None:
    """Walk."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video")
    parser.add_argument("out", type=Path)
    parser.add_argument("--click", action="append", required=True, help="Y,X of an object on the first frame")
    parser.add_argument("--frames", type=int, default=0, help="stop tracking there")
    args = parser.parse_args()
    video = Path(args.video).resolve()
    if not video.exists():
        parser.error(f"there is no {video}")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, video.name)
        file.symlink_to(video)
        walk = Walk(args.out)
        walk.shoot("napari")
        walk.drop(str(file))
        walk.shoot("dropped")
        walk.choose_widget()
        walk.shoot("widget opened")
        walk.until(lambda: "ready" in walk.widget.status.text())
        walk.shoot("model ready")
        for n, text in enumerate(args.click):
            if n:
                walk.press(Qt.Key.Key_N)
            walk.click(*(float(v) for v in text.split(",")))
            if n < 3 or n == len(args.click) - 1:
                walk.shoot(f"object {n + 1} clicked")
        if args.frames:
            walk.widget.timeline.set_bounds(0, args.frames)
        walk.press(Qt.Key.Key_G)
        walk.rest(3)
        walk.shoot("tracking")
        walk.until(lambda: not walk.widget.session.tracking)
        walk.shoot("tracked")
        last = (args.frames or walk.widget.session.project.shape[0]) - 1
        for frame in (last // 4, last // 2, 3 * last // 4, last):
            walk.widget.session.go_to(frame)
            walk.shoot(f"frame {frame}")
        for n in range(walk.widget.tabs.count()):
            walk.widget.tabs.setCurrentIndex(n)
            walk.rest(1)
            walk.shoot(f"tab {walk.widget.tabs.tabText(n)}")
        walk.viewer.close()


if __name__ == "__main__":
    main()

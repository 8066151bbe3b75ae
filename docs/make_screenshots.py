"""Make the pictures of the documentation: ``xvfb-run -a -s "-screen 0 1600x1000x24" python docs/make_screenshots.py``.

Every panel in both of napari's themes, on the drawn case, into ``docs/images``. ``--only NAME`` makes one of them;
``--scale 1.5`` shows how it looks at another scaling of the desktop.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
if "--scale" in sys.argv:
    os.environ["QT_SCALE_FACTOR"] = sys.argv[sys.argv.index("--scale") + 1]
# Neither seen nor changed: the settings of whoever makes them.
os.environ["NAPARI_CONFIG"] = str(Path(tempfile.mkdtemp()) / "settings.yaml")

import napari
import numpy as np
from PIL import Image
from qtpy.QtGui import QImage
from qtpy.QtWidgets import QApplication, QWidget

from napari_sam2s.evaluation.clicks import next_click
from napari_sam2s.formats import write_video
from napari_sam2s.masklets import Prompt
from napari_sam2s.synthetic.samples import demo_case

IMAGES = Path(__file__).parent / "images"
COLOURS = 96  # of a palette: a tenth of the size, and nothing is lost that one looks for
FRAMES = 48
WIDTH, HEIGHT = 1400, 900


class Studio:
    """A viewer with a case in it, and a camera."""

    def __init__(self, folder: Path) -> None:
        self.case = demo_case(FRAMES)
        file = write_video((self.case[t] for t in range(FRAMES)), folder / "cholecystectomy.mp4")
        self.viewer = napari.Viewer(show=True)
        self.viewer.window.resize(WIDTH, HEIGHT)
        self.viewer.open(str(file), plugin="napari-sam2s")
        _, self.widget = self.viewer.window.add_plugin_dock_widget("napari-sam2s", "Segment video")
        self.until(lambda: "ready" in self.widget.status.text())

    def until(self, condition, timeout: float = 600.0) -> None:
        """Let napari work until something is so."""
        end = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(self.widget.status.text())
            QApplication.processEvents()
            time.sleep(0.005)

    def rest(self, seconds: float = 0.5) -> None:
        """Let everything be drawn."""
        end = time.monotonic() + seconds
        self.until(lambda: time.monotonic() > end)

    def work(self) -> None:
        """Prompt three objects and track them for a while."""
        session, widget = self.widget.session, self.widget
        while len(session.project.objects) < len(self.case.objects):
            session.project.add_object()
        for mine, true in zip(session.project.objects, self.case.objects, strict=True):
            shown = next(t for t in range(FRAMES) if self.case.masks(t).get(true.id, np.zeros(1)).any())
            (y, x), _ = next_click(self.case.masks(shown)[true.id])
            session.project.rename(mine.id, true.name)
            session.project.set_class(mine.id, true.class_name)
            session.prompt(Prompt(mine.id, shown, ((float(y), float(x)),), (1,)))
        session.settle(600)
        widget.go_to(0)
        self.rest()
        widget.track()
        self.until(lambda: len(session.project.frames) > FRAMES * 2 // 3)

    def shoot(self, name: str, part: QWidget | None = None) -> None:
        """Take a picture of the window, or of a part, in both themes."""
        for theme in ("dark", "light"):
            self.viewer.theme = theme
            self.rest()
            target = part if part is not None else self.viewer.window._qt_window
            picture = target.grab().toImage().convertToFormat(QImage.Format.Format_RGB888)
            data = np.frombuffer(picture.constBits().asarray(picture.sizeInBytes()), np.uint8)
            pixels = data.reshape(picture.height(), picture.bytesPerLine())[:, : picture.width() * 3]
            image = Image.fromarray(pixels.reshape(picture.height(), picture.width(), 3))
            path = IMAGES / f"{name}-{theme}.png"
            image.quantize(COLOURS).save(path, optimize=True)
            sys.stdout.write(f"{path.name}: {path.stat().st_size // 1024} kB, {image.width} x {image.height}\n")


def main() -> None:
    """Make all pictures, or one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="")
    parser.add_argument("--scale", default="1")
    only = parser.parse_args().only
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        studio = Studio(Path(folder))
        widget = studio.widget
        studio.work()
        shots: dict[str, QWidget | None] = {"tracking": None}
        for name, part in shots.items():
            if only in ("", name):
                studio.shoot(name, part)
        studio.until(lambda: not widget.session.tracking)
        widget.go_to(FRAMES // 2)
        widget.confirm()
        widget.timeline.set_bounds(5, FRAMES - 6)
        if only in ("", "timeline"):
            studio.shoot("timeline", widget.timeline)
        for n in range(widget.tabs.count()):
            widget.tabs.setCurrentIndex(n)
            name = widget.tabs.tabText(n).split()[0].lower()
            if only in ("", name):
                studio.shoot(name, widget)
        widget.tabs.setCurrentIndex(0)
        widget.model_panel.more.setChecked(True)
        if only in ("", "model"):
            studio.shoot("model", widget.model_panel)
        widget.help()
        if only in ("", "keys"):
            studio.shoot("keys", widget._help)
        widget.help()
        studio.viewer.close()


if __name__ == "__main__":
    main()

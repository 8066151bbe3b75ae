"""Make the pictures of the documentation: ``xvfb-run -a -s "-screen 0 1600x1000x24" python docs/make_screenshots.py``.

The window and every panel in both of napari's themes, on the samples of the tutorials and step by step as they go, into
``docs/images``. ``--only NAME`` makes some of them (``--only review,edit-tracks``); ``--scale 1.5`` shows how it looks at
another scaling of the desktop.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
if "--scale" in sys.argv:
    os.environ["QT_SCALE_FACTOR"] = sys.argv[sys.argv.index("--scale") + 1]
# Neither seen nor changed: the settings and projects of whoever makes them.
os.environ["XDG_DATA_HOME"] = tempfile.mkdtemp()
os.environ["NAPARI_CONFIG"] = str(Path(os.environ["XDG_DATA_HOME"]) / "settings.yaml")

import napari
import numpy as np
from napari._qt.dialogs.qt_notification import NapariQtNotification
from PIL import Image
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QApplication, QWidget
from skimage.filters import gaussian, threshold_otsu
from skimage.measure import label
from walk import grabbed

from napari_sam2s.evaluation.clicks import next_click
from napari_sam2s.formats import DavisWriter
from napari_sam2s.masklets import Object, Prompt
from napari_sam2s.synthetic.clip import Clip
from napari_sam2s.widgets.layer_factory import spatial

IMAGES = Path(__file__).parent / "images"
Shoot = Callable[[str, QWidget | None], None]
COLOURS, MANY = 96, 256  # of a palette: a tenth of the size, and nothing is lost that one looks for; many nuclei need many
WIDTH, HEIGHT = 1400, 900
NUCLEI = ("nuclei-taken", "nuclei-division", "nuclei-tracks")
NUCLEI_FROM, NUCLEI_TO = 58, 77  # of the sample, to 76: one nucleus divides in between; all frames take too long
CLICKS = 4  # for each object: as many as it takes, as the tutorial says


class AllMadeError(Exception):
    """Every picture that ``--only`` names is there."""


class Studio:
    """A viewer with a case in it, and a camera."""

    case: Clip  # that is open

    def __init__(self) -> None:
        self.viewer = napari.Viewer(show=True)
        self.viewer.window.resize(WIDTH, HEIGHT)
        _, self.widget = self.viewer.window.add_plugin_dock_widget("napari-sam2s", "Segment video")
        self.rest()

    def sample(self, key: str) -> None:
        """Open a sample in place of what is open."""
        self.viewer.layers.clear()
        self.until(lambda: self.widget.session.worker is None)
        QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)  # as napari's loop does: else two sliders are seen
        self.quiet()
        self.viewer.open_sample("napari-sam2s", key)
        self.ready()
        self.case = self.widget.session.image.metadata["truth"]

    def ready(self) -> None:
        """Wait until the model is."""
        self.until(lambda: self.widget.session.worker is not None and "ready" in self.widget.status.text())

    def quiet(self) -> None:
        """Close napari's notices: they would cover the picture."""
        for notice in self.viewer.window._qt_window.findChildren(NapariQtNotification):
            notice.close()

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

    def prompt(self) -> None:
        """Prompt every object on the first frame."""
        session = self.widget.session
        while len(session.project.objects) < len(self.case.objects):
            session.project.add_object()
        for mine, true in zip(session.project.objects, self.case.objects, strict=True):
            session.project.objects.rename(mine.id, true.name)
            if mine.id % 2:
                session.project.objects.set_class(mine.id, true.class_name)
            self.click(mine.id, 0, self.case.masks(0)[true.id])
        self.rest()

    def click(self, object_id: int, frame: int, truth: np.ndarray) -> None:
        """Click an object, and where its mask is most wrong, as one would before tracking."""
        session, answer = self.widget.session, None
        for _ in range(CLICKS):
            (y, x), label = next_click(truth, answer)
            session.prompt(Prompt(object_id, frame, ((float(y), float(x)),), (int(label),)))
            session.settle(600)
            answer = session.project.mask(frame, object_id)

    def track(self, first: int, stop: int, every: int) -> None:
        """Track a range at a rate; return when it has begun."""
        widget = self.widget
        widget.timeline.set_bounds(first, stop)
        widget.run_panel.rate.take(every)
        widget.session.go_to(first)
        self.rest()
        widget.run_view.track()

    def finished(self) -> None:
        """Wait for the end of the run."""
        self.until(lambda: not self.widget.session.tracking, 2400)
        self.widget.session.settle(600)
        self.rest()

    def shoot(self, name: str, part: QWidget | None = None) -> None:
        """Take a picture of the window, or of a part, in both themes."""
        for theme in ("dark", "light"):
            self.viewer.theme = theme
            self.rest()
            target = part if part is not None else self.viewer.window._qt_window
            image = grabbed(target)
            path = IMAGES / f"{name}-{theme}.png"
            image.quantize(MANY if name in NUCLEI else COLOURS).save(path, optimize=True)
            sys.stdout.write(f"{path.name}: {path.stat().st_size // 1024} kB, {image.width} x {image.height}\n")

    def evaluation(self) -> QWidget:
        """Score the masks against the truth, and return the panel."""
        truth = np.zeros((len(self.case), *self.case[0].shape[:2]), np.uint8)
        for t in range(len(self.case)):
            for mine, true in zip(self.widget.session.project.objects, self.case.objects, strict=True):
                if true.id in (masks := self.case.masks(t)):
                    truth[t][masks[true.id]] = mine.id
        layer = self.viewer.add_labels(truth, name="ground truth", visible=False, **spatial(self.widget.session.image))
        dock, panel = self.viewer.window.add_plugin_dock_widget("napari-sam2s", "Evaluate masks")
        dock.setFloating(True)
        dock.resize(720, 460)
        panel.truth.value = layer
        panel.prediction.value = self.widget.session.layers.objects
        panel.score()
        self.until(lambda: panel.scores is not None)
        self.rest()
        return panel


def links(studio: Studio, folder: Path) -> QWidget:
    """Open a case as a conversion leaves it, with an instrument that comes back under another name; return the panel."""
    case, shown = studio.case, range(0, 48, 4)
    who = next(o for o in case.objects if "grasper" in o.name)
    again, back = Object(len(case.objects) + 1, f"{who.name} again", who.class_name), shown[len(shown) // 2]
    pictures = folder / "SA-SV" / "JPEGImages" / "case"
    pictures.mkdir(parents=True)
    writer = DavisWriter(folder / "SA-SV", "case", case[0].shape[:2])
    for t in shown:
        Image.fromarray(case[t]).save(pictures / f"{t:05d}.jpg")
        masks = dict(case.masks(t))
        mine = masks.pop(who.id)
        writer.write(t, masks | ({who.id: mine} if t < back - 8 else {again.id: mine} if t >= back else {}))
    writer.finish([*case.objects, again], shown)
    link = {"video": "case", "frame": back, "object": again.id, "category": who.class_name, "same_as": None}
    link |= {"reason": "an object of its class was seen before and may have come back"}
    link |= {"candidates": [{"object": who.id, "overlap": 0.41}]}
    (folder / "SA-SV" / "review.json").write_text(json.dumps({"links": [link]}))
    studio.viewer.layers.clear()
    studio.viewer.open(str(pictures), plugin="napari-sam2s")
    studio.until(lambda: studio.widget.session.worker is not None and "ready" in studio.widget.status.text())
    panel = studio.widget.review_panel
    studio.widget.tabs.setCurrentWidget(panel)
    panel.links.take_up()
    studio.until(lambda: panel.table.rowCount() > 0, 60)
    panel.next()
    studio.rest(2)
    return panel


def take_nuclei(studio: Studio, frame: int) -> None:
    """Take the masks of a threshold of a frame, as the tutorial does."""
    viewer, widget = studio.viewer, studio.widget
    widget.session.go_to(frame)
    smooth = gaussian(np.asarray(viewer.layers[0].data[frame]).mean(axis=-1), 2)
    viewer.add_labels(label(smooth > threshold_otsu(smooth)), name="nuclei")
    widget.tabs.setCurrentWidget(widget.objects_panel)
    menu = widget.objects_panel.from_layer.menu()
    menu.fill()
    menu.actions()[0].trigger()
    studio.until(lambda: not widget.session.worker.answering)
    widget.session.settle(600)
    studio.rest(2)


def nuclei(studio: Studio, shoot: Shoot, folder: Path) -> None:
    """Take the masks of a label picture of the sample's nuclei, track them, divide one, and show the tracks."""
    viewer, widget = studio.viewer, studio.widget
    studio.sample("cells")
    take_nuclei(studio, 0)
    shoot("nuclei-taken", None)
    viewer.layers.remove("nuclei")
    widget.picker.use_project(folder / "nuclei.sam2s")
    studio.ready()
    take_nuclei(studio, NUCLEI_FROM)
    studio.track(NUCLEI_FROM, NUCLEI_TO, 1)
    studio.finished()
    panel = widget.review_panel
    widget.tabs.setCurrentWidget(panel)
    studio.until(lambda: len(panel.review) > 0, 60)
    divided = [n for n, span in enumerate(panel.review) if "in two parts" in span.text]
    panel.table.setCurrentCell(divided[0], 1)
    studio.quiet()
    studio.rest(2)
    shoot("nuclei-division", None)
    panel.divide()
    studio.until(lambda: "is divided" in widget.status.text(), 60)
    widget.run_view.track()
    studio.finished()
    studio.quiet()
    widget.exporter.tracks.show()
    studio.until(lambda: "SAM2S tracks" in viewer.layers, 60)
    viewer.window.add_plugin_dock_widget("napari-sam2s", "Plots")
    studio.rest(2)
    shoot("nuclei-tracks", None)


def review(studio: Studio, shoot: Shoot) -> None:
    """Track a sample in which instruments leave and come back: nothing is doubtful in that of the tutorial."""
    panel = studio.widget.review_panel
    studio.sample("reentry")
    studio.prompt()
    studio.track(0, 240, 5)
    studio.finished()
    studio.widget.tabs.setCurrentWidget(panel)
    studio.until(lambda: len(panel.review) > 0, 60)
    panel.next()
    studio.rest(2)
    shoot("review", panel)


def surgery(studio: Studio, shoot: Shoot) -> None:
    """Prompt and track the drawn case, and take the picture of every panel."""
    widget = studio.widget
    studio.sample("short")
    shoot("start", None)
    studio.prompt()
    shoot("objects", widget.objects_panel)
    studio.track(0, len(studio.case), 1)
    studio.until(lambda: len(widget.session.project.frames) > len(studio.case) // 4)
    shoot("window", None)
    widget.run_view.track()  # pauses it
    studio.finished()
    shoot("run", widget.run_panel)
    widget.run_view.resume()
    studio.finished()
    shoot("timeline", widget.timeline)
    widget.session.go_to(len(studio.case) // 2)
    widget.session.confirm()
    widget.session.project.phases.add("dissection", 12, 66)
    widget.session.project.phases.add("clip", 75, 93)
    widget.session.changed.emit()
    widget.timeline.set_bounds(15, len(studio.case) - 18)
    shoot("timeline-phases", widget.timeline)
    for panel, name in (
        (widget.track_editing_panel, "edit-tracks"),
        (widget.phases_panel, "phases"),
    ):
        widget.tabs.setCurrentWidget(panel)
        if panel is widget.track_editing_panel:
            widget.track_editing_panel.start.setValue(8)
            widget.track_editing_panel.last.setValue(11)
        studio.rest(2)
        shoot(name, panel)
    widget.tabs.setCurrentIndex(0)
    widget.model_panel.more.setChecked(True)
    shoot("model", widget.model_panel)
    widget.model_panel.more.setChecked(False)
    widget.exporter.popup()
    studio.rest()
    shoot("export", widget.exporter.menu)
    widget.exporter.menu.close()
    widget.help.toggle()
    shoot("keys", widget.help.overlay)
    widget.help.toggle()
    shoot("evaluation", studio.evaluation())


def main() -> None:
    """Make all pictures, or some."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="names, by commas")
    parser.add_argument("--scale", default="1")
    only = set(filter(None, parser.parse_args().only.split(",")))
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        studio = Studio()

        left = set(only)

        def shoot(name: str, part: QWidget | None) -> None:
            if not only or name in only:
                studio.shoot(name, part)
                left.discard(name)
            if only and not left:
                raise AllMadeError

        with suppress(AllMadeError):
            if only - {"links", "review", *NUCLEI} or not only:
                surgery(studio, shoot)
            if not only or "review" in only:
                review(studio, shoot)
            if not only or "links" in only:
                studio.sample("short")
                shoot("links", links(studio, Path(folder)))
            if not only or only & set(NUCLEI):
                nuclei(studio, shoot, Path(folder))
        studio.viewer.close()


if __name__ == "__main__":
    main()

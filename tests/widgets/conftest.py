"""A short drawn case on disk, and a viewer with the widget on it."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
from functools import partial
from pathlib import Path
from unittest import mock

import dask
import napari.settings
import numpy as np
import pytest
from app_model import Application
from napari._app_model._app import NapariApplication, _napari_names
from napari._qt._qapp_model.qactions import init_qactions
from napari.plugins import _initialize_plugins
from napari.settings import get_plugin_settings
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_sam2s.formats import write_video
from napari_sam2s.synthetic.samples import demo_case
from napari_sam2s.tracking import Engine
from napari_sam2s.tracking.engine_keys import CERTIFICATE, KEY
from napari_sam2s.widgets.segment_widget import SegmentWidget
from napari_sam2s.widgets.settings import PLUGIN, remember
from napari_sam2s.widgets.vispy_workarounds import guard_canvas

# Tests neither see nor change the settings of whoever runs them. The variable is for processes that tests start; in this one
# pytest's plugins have imported napari already, which took its path from the variable then.
SETTINGS = Path(tempfile.mkdtemp(prefix="napari-sam2s-test-")) / "settings.yaml"
os.environ["NAPARI_CONFIG"] = str(SETTINGS)
napari.settings._CFG_PATH = SETTINGS
napari.settings._PLUGIN_SETTINGS.clear()


def forget_settings():
    get_plugin_settings(PLUGIN).reset()
    remember("lessons", learned=True)  # whoever works here is no beginner


@pytest.fixture(autouse=True)
def settings_as_they_come():
    """Begin every test with the default settings: what an earlier one chose is remembered, as it should be."""
    forget_settings()


@pytest.fixture
def qtbot(qtbot):
    """pytest-qt's own, more patient than its five seconds: they may be over on a machine that is busy with other things."""
    qtbot.waitUntil, qtbot.waitSignal = (partial(wait, timeout=PATIENCE) for wait in (qtbot.waitUntil, qtbot.waitSignal))
    return qtbot


# napari collects garbage several times a test, and looks at all that torch, napari and we have imported each time. What is
# there before the first viewers need not be looked at again.
FREEZE_AT = (1, 2, 6)
viewers_made = 0


@pytest.fixture
def make_napari_viewer(make_napari_viewer):
    """napari's own, with the canvas guarded: closing a viewer removes its layers, also where no widget of ours was."""
    global viewers_made
    viewers_made += 1
    if viewers_made in FREEZE_AT:
        gc.collect()
        gc.freeze()

    def make(*args, **kwargs):
        viewer = make_napari_viewer(*args, **kwargs)
        guard_canvas(viewer)
        return viewer

    return make


PATIENCE = 240_000  # milliseconds
INPUT_SIZE = 256  # of the built-in model, which takes 384: a frame in a third of the time
LEFT, NONE = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier


class User:
    """Real mouse and key events on the canvas."""

    def __init__(self, viewer, widget, qtbot):
        self.viewer, self.widget, self.qtbot = viewer, widget, qtbot
        self.canvas = viewer.window._qt_viewer.canvas.native
        self.actions = 0

    def place(self, y, x):
        """Return where a pixel of the video is on the canvas."""
        world = self.widget.session.image.data_to_world((self.widget.session.frame, y, x))
        at = self.viewer.window._qt_viewer.canvas.view.camera.transform.map([world[2], world[1], 0, 1])
        return QPoint(int(at[0]), int(at[1]))

    def click(self, y, x, button=LEFT, modifier=NONE):
        """Click on a pixel of the video."""
        self.actions += 1
        QTest.mouseClick(self.canvas, button, modifier, self.place(y, x))

    def drag(self, start, stop):
        """Drag from one pixel to another."""
        self.actions += 1
        a, b = self.place(*start), self.place(*stop)
        QTest.mousePress(self.canvas, LEFT, NONE, a)
        for f in np.linspace(0, 1, 6):
            QTest.mouseMove(self.canvas, QPoint(int(a.x() + f * (b.x() - a.x())), int(a.y() + f * (b.y() - a.y()))))
            self.qtbot.wait(20)
        QTest.mouseRelease(self.canvas, LEFT, NONE, b)

    def press(self, key, modifier=NONE):
        """Press a key on the canvas."""
        self.actions += 1
        QTest.keyClick(self.canvas, key, modifier)

    def wait(self, condition):
        """Wait until something is so."""
        self.qtbot.waitUntil(condition, timeout=PATIENCE)

    def settle(self):
        """Wait until the session has nothing left to do."""
        self.widget.session.settle(PATIENCE / 1000)
        self.qtbot.wait(50)

    def see(self):
        """Wait until the widget is ready, and the canvas was drawn as it is by then: laid out, and of its last size."""
        self.wait(lambda: "ready" in self.widget.status.text())
        QTest.qWait(0)  # what is still to be laid out is
        drawn, scene = [], self.viewer.window._qt_viewer.canvas._scene_canvas

        def note(event):
            drawn.append(event)

        scene.events.draw.connect(note)
        scene.update()
        self.wait(lambda: len(drawn) > 0)
        scene.events.draw.disconnect(note)

    def finished(self):
        """Whether a run has come to its end."""
        return not self.widget.session.tracking and "finished" in self.widget.status.text()


@pytest.fixture(scope="session")
def case():
    """The demo's case, 24 frames of it."""
    return demo_case(24)


@pytest.fixture(scope="session")
def encoded(case, tmp_path_factory):
    """It as a video file, encoded once."""
    return write_video((case[t] for t in range(len(case))), tmp_path_factory.mktemp("video") / "case.mp4")


@pytest.fixture
def case_file(encoded, tmp_path):
    """A copy of it, with room for a project beside it."""
    return Path(shutil.copy(encoded, tmp_path / "case.mp4"))


@pytest.fixture(scope="session")
def shared_engine():
    """One engine for all tests that do not hurt it: starting one costs seconds. It is reached as a cluster with TLS is."""
    with Engine() as engine:
        certificate, key = (str(engine.keys / name) for name in (CERTIFICATE, KEY))
        tls = {"ca-file": certificate, "client.cert": certificate, "client.key": key}
        with dask.config.set({f"distributed.comm.tls.{name}": value for name, value in tls.items()}):
            yield engine


@pytest.fixture
def in_shared_engine(shared_engine, settings_as_they_come):
    """Widgets that are opened have their model in the shared engine, as one who set its address would."""
    remember("model", address=shared_engine.address, input_size=INPUT_SIZE)


@pytest.fixture
def make_user(make_napari_viewer, qtbot, case_file, tmp_path):
    """Return users whose video is open and whose model is warm, in an engine of their own or the one at an address."""
    made = []

    def make(address=""):
        viewer = make_napari_viewer(show=True)
        viewer.open(str(case_file), plugin="napari-sam2s")
        remember("model", address=address, input_size=INPUT_SIZE)
        widget = SegmentWidget(viewer, project_folder=tmp_path)
        viewer.window.add_dock_widget(widget)
        someone = User(viewer, widget, qtbot)
        someone.see()
        made.append(someone)
        return someone

    yield make
    for someone in made:
        someone.widget.close()


@pytest.fixture
def user(make_user, shared_engine):
    """A user whose model runs in the shared engine."""
    return make_user(shared_engine.address)


@pytest.fixture
def local_user(make_user):
    """A user with an engine of their own, as it is by default."""
    return make_user()


@pytest.fixture(scope="module")
def shared_app():
    """An application of napari's for one module, as ``mock_app_model`` makes one for a test: commands are registered once."""
    _initialize_plugins.cache_clear()
    init_qactions.cache_clear()
    app = NapariApplication("shared_app")
    app.injection_store.namespace = _napari_names
    with mock.patch.object(NapariApplication, "get_app_model", return_value=app):
        yield app
    Application.destroy("shared_app")
    _initialize_plugins.cache_clear()
    init_qactions.cache_clear()


@pytest.fixture(scope="module")
def shared_viewer(encoded, shared_engine, tmp_path_factory, qapp, shared_app):
    """One viewer with a warm widget for all tests of a module; starting one costs seconds."""
    folder = tmp_path_factory.mktemp("shared")
    forget_settings()  # of another module: this comes before the fixture that does so for every test
    remember("model", address=shared_engine.address, input_size=INPUT_SIZE)
    viewer = napari.Viewer(show=True)
    viewer.open(str(shutil.copy(encoded, folder / "case.mp4")), plugin="napari-sam2s")
    widget = SegmentWidget(viewer, project_folder=folder)
    viewer.window.add_dock_widget(widget)
    yield viewer, widget
    widget.close()
    viewer.close()


@pytest.fixture
def sharing_user(shared_viewer, qtbot, tmp_path):
    """A user with a new project in the shared viewer; for tests that close nothing and remove no layer."""
    viewer, widget = shared_viewer
    widget.status.clear()
    widget.picker.use_project(tmp_path / "case.sam2s")
    widget.run_panel.direction.setCurrentText("forward")
    widget.run_panel.follow.setChecked(True)
    widget.keys.bind()
    someone = User(viewer, widget, qtbot)
    someone.see()
    return someone

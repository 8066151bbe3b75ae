"""One desktop and one napari for all walks; a picture of the screen is kept of each walk that fails."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from napari_sam2s.formats import write_video
from napari_sam2s.synthetic.samples import demo_case
from tests.hands import desktop

PICTURES = Path(os.environ.get("SAM2S_PICTURES", "hands-pictures"))  # of walks that failed
WIDTH, HEIGHT = 1280, 800  # a laptop's

# The video is opened with an engine of its own, as it is by default. Then one engine serves all walks, reached as a cluster
# with TLS is: starting one for every project takes seconds.
ONE_ENGINE = """
import dask
from napari_sam2s.tracking import Engine
from napari_sam2s.tracking.engine_keys import CERTIFICATE, KEY

engine = Engine()
certificate, key = (str(engine.keys / name) for name in (CERTIFICATE, KEY))
tls = {"ca-file": certificate, "client.cert": certificate, "client.key": key}
dask.config.set({f"distributed.comm.tls.{name}": value for name, value in tls.items()})
widget.model_panel.address.setText(engine.address)
widget.model_panel.address.editingFinished.emit()
"""


def pytest_collection_modifyitems(items):
    """Skip the walks where there is no desktop to be had; beside other tests their patience is too short: ``tox -e hands``."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.long)
    if absent := desktop.missing():
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=f"not installed: {', '.join(absent)}"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Keep a picture of the screen when a walk fails."""
    report = yield
    hand = item.funcargs.get("hand") if hasattr(item, "funcargs") else None
    if report.when == "call" and report.failed and hand is not None:
        PICTURES.mkdir(parents=True, exist_ok=True)
        try:
            report.sections.append(("screen", str(hand.picture((PICTURES / f"{item.name}.png").resolve()))))
        except (AssertionError, OSError) as error:  # napari is gone: its own words are what is left
            report.sections.append(("no picture", f"{error}\n{(hand.folder / 'napari.log').read_text()}"))
    return report


@pytest.fixture(scope="session")
def case():
    """A drawn case of 16 frames."""
    return demo_case(16)


@pytest.fixture(scope="session")
def clip(case, tmp_path_factory):
    """It as a file."""
    return write_video((case[t] for t in range(len(case))), tmp_path_factory.mktemp("clip") / "case.mp4")


@pytest.fixture(scope="module")  # a napari that is left open would slow down the tests after it
def someone(clip, tmp_path_factory):
    """A person who has opened the widget first, and then the video."""
    folder = tmp_path_factory.mktemp("hands")
    screen = desktop.Desktop(folder, WIDTH, HEIGHT)
    try:
        hand = desktop.Hand(screen, folder)
        hand.ask(
            f"from pathlib import Path\n"
            f"from napari_sam2s.widgets.segment_widget import SegmentWidget\n"
            f"widget = SegmentWidget(viewer, project_folder=Path({str(folder)!r}))\n"
            f"viewer.window.add_dock_widget(widget, name='Segment video')"
        )
        hand.rest()
        hand.taught_at_first = hand.ask("widget.objects_panel.lessons.opening.isVisible()")
        hand.ask(f"viewer.open({str(clip)!r}, plugin='napari-sam2s')\nanswer = 1")
        hand.until("'ready' in widget.status.text()")
        hand.opened_with = hand.ask("viewer.layers.selection.active.name")
        hand.taught_then = hand.ask("widget.objects_panel.lessons.steps.isVisible()")
        hand.ask("from napari_sam2s.widgets.settings import remember\nremember('lessons', learned=True)")
        hand.ask(ONE_ENGINE)
        hand.until("'ready' in widget.status.text() and not widget.session.worker.answering")
        hand.rest(0.4)
        yield hand
        hand.ask("widget.close()\nengine.close()\nanswer = 1")
    finally:
        screen.close()


@pytest.fixture
def hand(someone, tmp_path):
    """Them, with a new project on frame 0."""
    someone.ask(f"from pathlib import Path\nwidget.picker.use_project(Path({str(tmp_path / 'case.sam2s')!r}))")
    someone.until("'ready' in widget.status.text()")
    someone.ask(
        "widget.tabs.setCurrentIndex(0)\nwidget.session.activate_prompts()\nwidget.session.go_to(0)\nviewer.reset_view()"
    )
    someone.rest()
    someone.actions = 0
    return someone

"""File > IO Utilities: projects opened and begun."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from napari.plugins import menu_item_template
from npe2 import PluginManager

from napari_sam2s.widgets import project_menu
from napari_sam2s.widgets.layout import open_widget
from napari_sam2s.widgets.segment_widget import SegmentWidget
from napari_sam2s.widgets.settings import remember


@pytest.fixture
def ask(make_napari_viewer, shared_engine, tmp_path, monkeypatch):
    """Choose a file in the menu's dialog; return the widget that is there then, if there is one."""
    remember("model", address=shared_engine.address)
    remember("project", folder=str(tmp_path))
    viewer = make_napari_viewer()

    def choose(what, chosen):
        monkeypatch.setattr(project_menu.QFileDialog, "getOpenFileName", lambda *_: (str(chosen), ""))
        what(viewer)
        return next((w for w in viewer.window.dock_widgets.values() if isinstance(w, SegmentWidget)), None)

    yield choose
    viewer.window.remove_dock_widget("all")  # a window that was never shown is not seen to close


def test_a_new_project_is_empty_and_the_old_one_opens_again(ask, tmp_path):
    file = tmp_path / "case.tif"
    tifffile.imwrite(file, np.zeros((3, 32, 32), np.uint8), photometric="minisblack")
    assert ask(project_menu.new_project, "") is None, "nothing was chosen"
    session = ask(project_menu.new_project, file).session
    first = session.project.path
    session.project.add_object("mine")
    assert ask(project_menu.new_project, file).session is session, "one widget"
    second = session.project.path
    assert (first.name, second.name) == ("case.tif.sam2s", "case.tif.2.sam2s")
    assert [o.name for o in session.project.objects] == ["object 1"], "as of a new project"
    ask(project_menu.open_project, first)
    assert session.project.path == first
    assert [o.name for o in session.project.objects] == ["object 1", "mine"]


def test_what_cannot_be_opened_is_told_in_a_sentence(ask, tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(project_menu, "show_error", told.append)
    (tmp_path / "case.sam2s").write_bytes(b"no project" * 100)
    assert ask(project_menu.open_project, tmp_path / "case.sam2s") is None
    assert len(told) == 1
    assert "case.sam2s" in told[0]


def test_one_widget_with_one_title_through_whatever_door(make_napari_viewer, qtbot):
    """napari calls a plugin by its name (``napari -w``, scripts) or by its display name (the menu)."""
    viewer = make_napari_viewer()
    dock, widget = viewer.window.add_plugin_dock_widget("napari-sam2s", "Segment video")
    in_menu = menu_item_template.format(PluginManager.instance().get_manifest("napari-sam2s").display_name, "Segment video")
    qtbot.waitUntil(lambda: dock.name == in_menu)
    assert [dock.windowTitle(), dock.title.title.text()] == [in_menu, in_menu]
    assert viewer.window.dock_widgets[in_menu] is widget, "the menu hides and shows it"
    assert open_widget(viewer) is widget
    assert viewer.window.add_plugin_dock_widget("napari-sam2s", "Segment video") == (dock, widget)
    plots, _ = viewer.window.add_plugin_dock_widget("napari-sam2s", "Plots")
    qtbot.waitUntil(lambda: plots.windowTitle() == "Plots (SAM2S)")
    viewer.window.remove_dock_widget(dock)
    qtbot.waitUntil(lambda: not any("Segment" in name for name in viewer.window.dock_widgets))
    another = open_widget(viewer)
    assert another is not widget
    viewer.window.remove_dock_widget("all")

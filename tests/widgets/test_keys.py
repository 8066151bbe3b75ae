"""Keys: none that napari has, listed, changed in the preferences; and the commands of the palette."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from qtpy.QtCore import Qt

from napari_sam2s.widgets import commands
from napari_sam2s.widgets.keys import SAVED_AS
from napari_sam2s.widgets.settings import remember

MANIFEST = yaml.safe_load((Path(__file__).parents[2] / "napari.yaml").read_text(encoding="utf-8"))


@pytest.fixture
def user(sharing_user):
    """One viewer serves all of these tests."""
    return sharing_user


def test_no_key_is_one_of_naparis(user):
    """Napari's own keys of the viewer and of the layers that are active while one works: points and labels."""
    from app_model.types import KeyBinding
    from napari.utils.shortcuts import default_shortcuts

    ours = {KeyBinding.from_str(user.widget.keys.key(name).replace("-", "+")) for name in user.widget.keys.actions}
    elsewhere = ("shapes", "shape", "vertex", "polyline", "polygon", "rectangle", "ellipse", "line", "path", "lasso", "direct")
    theirs = {
        key: name for name, keys in default_shortcuts.items() for key in keys if not any(word in name for word in elsewhere)
    }
    assert {theirs[key] for key in ours if key in theirs} == set()
    assert len(ours) == len(user.widget.keys.actions)


def test_every_key_can_be_changed_and_is_listed(user):
    keys = user.widget.keys
    declared = MANIFEST["contributions"]["configurations"]["keys"]["properties"]
    assert {name: keys.actions[name].key for name in keys.actions} == {
        n: declared[SAVED_AS.get(n, n)]["default"] for n in keys.actions
    }
    remember("keys", go_on="Y")  # as users saved their key for "resume"
    assert keys.key("resume") == "Y"
    remember("keys", go_on="Shift-G")
    remember("keys", new_object="J")
    try:
        user.press(Qt.Key.Key_N)
        assert len(user.widget.session.project.objects) == 1
        user.press(Qt.Key.Key_J)
        assert len(user.widget.session.project.objects) == 2
        assert "<b>J</b>" in keys.help()
    finally:
        remember("keys", new_object="N")
    user.press(Qt.Key.Key_N)
    assert len(user.widget.session.project.objects) == 3


def test_a_class_by_its_key(user):
    """Whether its buttons are on show or not; the help has one line for the nine, unless one has a key of its own."""
    user.widget.objects_panel.grid.show_classes(["grasper", "hook"])
    user.press(Qt.Key.Key_2, Qt.KeyboardModifier.ControlModifier)
    assert [o.class_name for o in user.widget.session.project.objects] == ["hook"]
    assert "<b>Ctrl-1 to Ctrl-9</b>&nbsp;&nbsp;&nbsp;</td><td>an object of class 1 to 9 of the list" in user.widget.keys.help()
    remember("keys", class_2="Y")
    try:
        user.press(Qt.Key.Key_Y)
        assert "<b>Y</b>&nbsp;&nbsp;&nbsp;</td><td>an object of class 2 of" in user.widget.keys.help()
    finally:
        remember("keys", class_2="Ctrl-2")


def test_the_help_comes_and_goes(user):
    user.press(Qt.Key.Key_H)
    assert user.widget.help.overlay.isVisible()
    user.press(Qt.Key.Key_H)
    assert user.widget.help.overlay is None


def test_commands_of_the_palette(user):
    from app_model.types import Action
    from napari._app_model import get_app_model

    commands.new_object(user.viewer)
    assert len(user.widget.session.project.objects) == 2
    app = get_app_model()
    app.register_action(Action(id="test.undo", title="undo", callback=commands.undo))
    with app.injection_store.register(providers=[(lambda: user.viewer, type(user.viewer))]):
        app.commands.execute_command("test.undo").result()
    user.settle()
    assert len(user.widget.session.project.objects) == 1


def test_everything_has_a_tooltip(user):
    from qtpy.QtWidgets import QAbstractButton, QAbstractSpinBox, QComboBox, QLineEdit

    own = (QAbstractButton, QComboBox, QLineEdit, QAbstractSpinBox)
    found = (w for kind in own for w in user.widget.findChildren(kind))  # PySide6 takes one kind at a time
    parts = [w for w in found if not w.objectName().startswith("qt_")]
    # Not ours: the arrows of a row of tabs, and the corner of a table.
    foreign = ("ScrollLeftButton", "ScrollRightButton")
    parts = [w for w in parts if w.objectName() not in foreign and type(w) is not QAbstractButton]
    bare = [w for w in parts if not (w.toolTip() or w.parentWidget().toolTip())]
    assert not [f"{type(w).__name__} {getattr(w, 'text', str)()}" for w in bare]

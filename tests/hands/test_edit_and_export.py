"""Cleaning up, dividing, exporting and a device that is not there, with a real pointer."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

PROJECT = "import numpy as np\np = widget.session.project\n"
RAGGED = (  # on all frames: a block with a hole, a speck beside it, and a spike
    f"{PROJECT}m = np.zeros(p.shape[1:], bool)\nm[60:120, 100:160] = True\nm[80:90, 120:130] = False\n"
    "m[20:25, 20:25] = True\nm[90:92, 160:190] = True\n"
    "p.write_masks([(t, 1, m, None) for t in range(16)])\nwidget.session.changed.emit()"
)
EDIT = "widget.track_editing_panel"
AREAS = "[int(widget.session.project.mask(t, 1).sum()) for t in range(16)]"


def choose(hand, menu, text):
    """Open a menu and click the entry of that name."""
    hand.click(hand.middle(menu))
    hand.rest(0.3)
    hand.click(
        hand.ask(
            f"m = {menu}\nv = m.view()\nr = v.visualRect(m.model().index(m.findText({text!r}), 0))\n"
            "q = v.viewport().mapToGlobal(r.center())\nanswer = [q.x(), q.y()]"
        )
    )


def open_tab(hand, title):
    """Click a tab."""
    hand.click(
        hand.ask(
            "b = widget.tabs.tabBar()\n"
            f"n = next(n for n in range(b.count()) if b.tabText(n).startswith({title!r}))\n"
            "q = b.mapToGlobal(b.tabRect(n).center())\nanswer = [q.x(), q.y()]"
        )
    )


@pytest.mark.parametrize(
    ("kind", "changed"),
    [
        ("fill holes", lambda m: m[85, 125] and m[22, 22] and m[91, 180]),
        ("remove specks", lambda m: not m[22, 22] and not m[85, 125] and m[91, 180]),
        ("smooth", lambda m: not m[91, 180] and not m[85, 125]),
    ],
)
def test_masks_are_cleaned_up_over_a_span_looked_at_before_and_taken_back(hand, tmp_path, kind, changed):
    hand.ask(RAGGED)
    before = hand.ask(AREAS)
    open_tab(hand, "Edit")
    choose(hand, f"{EDIT}.kind", kind)
    hand.ask("widget.session.go_to(5)")
    hand.click(hand.middle(f"next(b for b in {EDIT}.findChildren(type({EDIT}.apply_button)) if b.text() == 'From here')"))
    hand.until(f"'frames 5 to 15' in {EDIT}.text.text()")
    hand.until(f"{EDIT}.apply_button.isEnabled() and not {EDIT}.after.pixmap().isNull()")
    assert hand.ask(f"{EDIT}.before.pixmap().toImage() != {EDIT}.after.pixmap().toImage()"), "what it will do is seen"
    assert hand.ask(AREAS) == before, "and not done yet"
    hand.click(hand.middle(f"{EDIT}.apply_button"))
    hand.settled()
    assert "11 masks of object 1 are cleaned up." in hand.status
    after = hand.ask(AREAS)
    assert after[:5] == before[:5]
    assert all(a != b for a, b in zip(after[5:], before[5:], strict=True))
    hand.ask(f"np.save({str(tmp_path / 'm.npy')!r}, widget.session.project.mask(9, 1))\nanswer = 1")
    assert changed(np.load(tmp_path / "m.npy"))
    hand.press("u")
    hand.settled()
    assert hand.ask(AREAS) == before
    assert f"Undone: {kind} of object 1" in hand.status


def export(hand, title, place):
    """Choose a format in the menu, and type where to."""
    hand.ask("widget.session.tell('')")
    hand.click(hand.middle("widget.export_button"))
    hand.rest(0.3)
    hand.click(
        hand.ask(
            f"m = widget.exporter.menu\na = next(a for a in m.actions() if a.text().startswith({title!r}))\n"
            "q = m.mapToGlobal(m.actionGeometry(a).center())\nanswer = [q.x(), q.y()]"
        )
    )
    hand.until("QApplication.activeModalWidget() is not None")
    hand.rest(0.5)
    hand.press("ctrl+a")
    hand.desktop.do("type", "--delay", 20, str(place))
    hand.press("Return")
    hand.until("'Exported to' in widget.status.text()")


def test_masks_are_exported_to_a_new_folder_or_file_that_is_typed(hand, tmp_path):
    hand.ask(RAGGED)
    export(hand, "DAVIS", tmp_path / "out")
    pictures = sorted((tmp_path / "out").rglob("*.png"))
    assert len(pictures) == 16
    labels = np.asarray(Image.open(pictures[3]))
    assert int((labels == 1).sum()) == hand.ask(AREAS)[3]
    export(hand, "Measurements (CSV)", tmp_path / "areas.csv")
    assert (tmp_path / "areas.csv").is_file()
    hand.press("n")
    assert hand.ask("len(widget.session.project.objects)") == 2, "the canvas has the keyboard again"


def test_a_device_that_is_not_there_does_not_stay_in_the_menu(hand):
    if hand.ask("__import__('torch').cuda.is_available()"):
        pytest.skip("it is there")
    hand.ask("widget.model_panel.more.setChecked(True)")
    hand.rest()
    choose(hand, "widget.model_panel.device", "cuda")
    hand.until("'What worked before is used again.' in widget.status.text()")
    assert hand.ask("widget.model_panel.device.currentText()") == "auto"
    hand.ask("widget.model_panel.more.setChecked(False)")
    hand.click(hand.place(130, 240))
    hand.settled()
    assert hand.ask("bool(widget.session.project.mask(0, 1).any())"), "and it answers"


def test_a_nucleus_in_two_parts_is_divided_and_its_daughters_tracked(hand):
    hand.ask("widget.objects_panel.chooser.take('cells', keep=False)")
    hand.ask(
        f"{PROJECT}p.objects.rename(1, 'nucleus')\ndef disc(y, x):\n    m = np.zeros(p.shape[1:], bool)\n"
        "    m[y : y + 30, x : x + 30] = True\n    return m\nfrom napari_sam2s.masklets import Scores\n"
        "s = Scores(0.9, 5.0, None)\n"
        "p.write_masks([(t, 1, disc(60, 100) if t < 6 else disc(60, 80) | disc(60, 130), s) for t in range(10)])\n"
        "widget.session.changed.emit()"
    )
    open_tab(hand, "Review")
    hand.until("len(widget.review_panel.review) == 1")
    hand.press("j")
    assert "in two parts, the smaller 1.00 of the larger (4 frames)" in hand.status
    hand.click(hand.middle("widget.review_panel._division"))
    hand.until("'nucleus is divided on frame 6.' in widget.status.text()")
    assert hand.ask("[[o.name, o.parent] for o in widget.session.project.objects]") == [
        ["nucleus", None],
        ["nucleus.1", 1],
        ["nucleus.2", 1],
    ]
    assert hand.ask("widget.session.frame") == 9
    hand.press("g")
    hand.until("'finished' in widget.status.text()")
    assert hand.ask("[len(widget.session.project.masks.known(i, 0, 16)) for i in (1, 2, 3)]") == [16, 10, 10]
    hand.ask("widget.objects_panel.chooser.take('SA-SV', keep=False)")

"""A laptop whose letters are half as large again: 1280 x 800 at 150 %."""

from __future__ import annotations

import pytest

from tests.hands import desktop

SEEN = """
window = viewer.window._qt_window
room = QApplication.primaryScreen().availableGeometry()


def whole(w):
    end = w.mapToGlobal(w.rect().bottomRight())
    return w.isVisible() and w.visibleRegion().boundingRect() == w.rect() and room.contains(end)


answer = {name: whole(w) for name, w in PARTS.items()}
"""
PARTS = """
PARTS = {
    "Track": widget.run_panel.track_button,
    "Export": widget.export_button,
    "the message": widget.status,
    "the timeline": widget.timeline,
    "the tabs": widget.tabs.tabBar(),
}
"""


@pytest.fixture
def squinter(clip, tmp_path):
    """A person who opens the widget, then the video."""
    screen = desktop.Desktop(tmp_path, 1280, 800)
    try:
        hand = desktop.Hand(screen, tmp_path, scale=1.5)
        hand.ask("viewer.window.add_plugin_dock_widget('napari-sam2s', 'Segment video')\nanswer = 1")
        hand.ask("widget = next(w for w in QApplication.allWidgets() if type(w).__name__ == 'SegmentWidget')")
        hand.ask(f"viewer.open({str(clip)!r}, plugin='napari-sam2s')\nanswer = 1")
        hand.until("'ready' in widget.status.text()")
        hand.rest(1)
        yield hand
    finally:
        screen.close()


def test_everything_that_is_pressed_is_seen_and_the_picture_has_room(squinter):
    hand = squinter
    assert set(hand.ask(PARTS + SEEN).values()) == {True}
    canvas = hand.ask("c = viewer.window._qt_viewer.canvas.native\nanswer = [c.width(), c.height()]")
    assert canvas[0] > 400
    assert hand.ask("w = viewer.window._qt_window\nanswer = [w.width(), w.height()]") <= [853, 533]
    left, right = hand.place(0, 0), hand.place(0, 480)
    assert right[0] - left[0] > 0.85 * canvas[0], "the picture fills it"
    hand.click(hand.place(130, 240))
    hand.settled()
    assert len(hand.ask("widget.session.project.prompts()")) == 1
    row = "t = widget.objects_panel.table\nr = t.visualItemRect(t.item(0, 1))\n"
    assert hand.ask(f"{row}answer = t.viewport().visibleRegion().boundingRect().contains(r)"), "and the object's row is seen"
    hand.press("d")
    hand.until("widget.pictures.isVisible()")
    hand.rest(0.5)
    assert set(hand.ask(PARTS + SEEN).values()) == {True}

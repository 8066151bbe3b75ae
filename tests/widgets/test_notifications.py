"""What a run says beyond the widget."""

from __future__ import annotations

from napari._qt.dialogs.qt_notification import NapariQtNotification
from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import QLabel, QWidget

from napari_sam2s.widgets.notifications import SPINNER_PERCENT, let_end, show_news


class Counted(QObject):
    """Counts how often a widget is painted."""

    def __init__(self, label):
        super().__init__()
        self.paints = 0
        label.installEventFilter(self)

    def eventFilter(self, _, event):
        self.paints += event.type() == QEvent.Type.Paint
        return False


def test_naparis_spinner_does_not_redraw_the_window_thirty_times_a_second(user):
    """Without a graphics card each of its pictures costs as much as drawing a frame: a fifth of the tracking's speed."""
    (spinner,) = (x for x in user.viewer.window._qt_window.statusBar().findChildren(QLabel) if x.movie() is not None)
    assert spinner.movie().speed() == 100
    counted = Counted(spinner)
    user.click(140, 240)
    user.settle()
    user.press(Qt.Key.Key_G)
    user.wait(lambda: user.widget.session.tracking and spinner.isVisible())
    assert spinner.movie().speed() == SPINNER_PERCENT
    counted.paints = 0
    user.qtbot.wait(1000)
    paints, tracking = counted.paints, user.widget.session.tracking
    user.wait(user.finished)
    assert spinner.movie().speed() == 100
    assert not tracking or paints <= 10  # it was 29


def test_a_notice_takes_the_place_of_the_one_before(qtbot, monkeypatch):
    window = QWidget()
    qtbot.addWidget(window)
    window.show()
    show = "napari_sam2s.widgets.notifications.show_info"
    monkeypatch.setattr(show, lambda text: NapariQtNotification(text, "info", parent=window).show())
    for text in ("first", "second"):
        show_news(window, text)
    notices = [n for n in window.findChildren(NapariQtNotification) if n.isVisible()]
    assert [n.message.text() for n in notices] == ["second"]
    notices[0].close()


def test_a_notice_of_a_window_in_the_background_goes_by_itself_and_takes_no_core(qtbot):
    """As after a run of an hour: napari 0.9 leaves its timer at 0 ms, so a pointer that came and went cost a core."""
    window = QWidget()
    qtbot.addWidget(window)
    window.show()
    window.isActiveWindow = lambda: False
    notice = NapariQtNotification("Tracking finished.", "info", parent=window)
    notice.show()
    fired = []
    notice.timer.timeout.connect(lambda: fired.append(1))
    let_end()
    notice.timer.setInterval(notice.timer.interval() // 40)
    with qtbot.waitSignal(notice.destroyed):
        notice.leaveEvent(None)
    assert len(fired) == 1

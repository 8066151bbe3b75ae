"""Messages beyond the widget: napari's activity dock during a run, a notification when a long one ends."""

from __future__ import annotations

import time
from typing import Any

from napari.utils import progress
from napari.utils.notifications import show_error as napari_error
from napari.utils.notifications import show_info as napari_info
from napari.utils.notifications import show_warning as napari_warning
from qtpy.QtWidgets import QApplication, QLabel, QStatusBar, QWidget

NEWS = "napari_sam2s_news"  # a property of our notices
LONG_SECONDS = 20.0  # from which a run is one that people walk away from
SHOW_SECONDS = 1.0  # between two texts
SPINNER_PERCENT = 10  # of its speed, at which napari's spinner turns meanwhile


def notices(window: QWidget | None) -> list[Any]:
    """Return the notices in napari's corner, ours and others'; napari has no public way to them."""
    from napari._qt.dialogs.qt_notification import NapariQtNotification

    return [] if window is None else window.findChildren(NapariQtNotification)


def show_info(message: str) -> None:
    """Show a message in napari's corner."""
    napari_info(message)
    let_end()


def show_warning(message: str) -> None:
    """Show a warning in napari's corner."""
    napari_warning(message)
    let_end()


def show_error(message: str) -> None:
    """Show an error in napari's corner."""
    napari_error(message)
    let_end()


def let_end() -> None:
    """Have notices that came while their window was not the active one end, too, four seconds after a pointer has left them.

    napari 0.9 leaves their timers at 0 ms, again and again: once the pointer has been over one, or a later one has gone, its
    window spends a whole core on them, which halves the speed of tracking. napari 0.10 does what is done here.
    """
    for window in QApplication.topLevelWidgets():
        for shown in notices(window):
            if shown.timer.interval() == 0:
                shown.timer.setInterval(shown.DISMISS_AFTER)
                shown.timer.setSingleShot(True)
                shown.timer.timeout.connect(shown.close_with_fade)


def show_news(window: QWidget | None, message: str) -> None:
    """Show a notice in napari's corner in place of our earlier ones: of two, napari 0.9 never takes the first away."""
    before = notices(window)
    for shown in before:
        if shown.property(NEWS):
            shown.close()
    show_info(message)
    for shown in notices(window):
        if shown not in before:
            shown.setProperty(NEWS, True)


def show_trouble(message: str) -> None:
    """Show what went wrong in napari's corner, all of it: napari shows a line, and hides the remedy."""
    known = {id(shown) for window in QApplication.topLevelWidgets() for shown in notices(window)}
    show_warning(message)
    for window in QApplication.topLevelWidgets():
        for shown in notices(window):
            if id(shown) not in known:
                shown.geom_anim.stop()
                shown.setProperty("expanded", True)
                shown.resize(shown.width(), shown.sizeHint().height())
                shown.move_to_bottom_right()


class RunNotifications:
    """The notifications of one run after another."""

    def __init__(self, widget: QWidget) -> None:
        self._widget = widget
        self._bar: progress | None = None
        self._started = time.monotonic()
        self._shown = 0.0

    def start(self) -> None:
        """Take note that a run begins."""
        self.close()
        self._started = time.monotonic()
        self._bar = progress(total=0, desc="SAM2S")
        _turn_spinners(SPINNER_PERCENT)

    def show(self, done: int, total: int, text: str) -> None:
        """Say in the activity dock how far the run is.

        Only the text is changed: whenever napari moves a bar or its title it lets Qt handle whatever waits, painting
        included, and a layer that is deleted meanwhile then takes the viewer down.
        """
        now = time.monotonic()
        if self._bar is not None and now - self._shown > SHOW_SECONDS:
            self._shown = now
            self._bar.events.eta(value=f"{done} of {total}, {text}")

    def end(self, how: str, text: str) -> None:
        """Take note that a run is over, and notify the user if it was long or failed."""
        lasted = time.monotonic() - self._started
        self.close()
        if how == "failed":
            show_error(f"SAM2S: tracking stopped. {text}")
        elif how == "finished" and lasted > LONG_SECONDS:
            show_info(f"Tracking finished: {text}")
        else:
            return
        QApplication.alert(self._widget.window())

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
            _turn_spinners(100)


def _turn_spinners(percent: int) -> None:
    """Set how fast the spinners in napari's status bars turn.

    At full speed they are 30 pictures a second. Each has Qt put the whole window together anew, canvas and all, which without
    a graphics card takes a fifth of the processor from the model.
    """
    for window in QApplication.topLevelWidgets():
        for bar in window.findChildren(QStatusBar):  # asking a main window for its bar would give it one
            for label in bar.findChildren(QLabel):
                if label.movie() is not None:
                    label.movie().setSpeed(percent)

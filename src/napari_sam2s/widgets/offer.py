"""A word in the viewer's corner when a video was opened, with a button that opens the widget: one press in place of three."""

from __future__ import annotations

from typing import Any

from napari_sam2s.widgets.console import SESSIONS

BUTTON = "Segment it"
SHOWN_MS = 20_000  # napari's own four seconds are over before one has read it


def offer_widget(name: str) -> None:
    """Offer to segment the video that was just opened, where a window is open and our widget is not."""
    import napari
    from napari.utils.notifications import Notification, notification_manager

    viewer: Any = napari.current_viewer()
    bare = getattr(viewer, "__wrapped__", viewer)
    taken = any(getattr(session.viewer, "__wrapped__", session.viewer) is bare for session in SESSIONS)
    if viewer is None or taken or not hasattr(viewer, "window"):
        return

    def open_widget(_: object = None) -> None:
        from napari_sam2s.widgets.layout import open_widget  # which needs Qt; a reader does not

        open_widget(viewer)

    text = f"SAM2S has opened {name}."
    notification_manager.dispatch(Notification(text, "info", actions=[(BUTTON, open_widget)]))
    _let_it_stay(viewer)


def withdraw_offer(viewer: Any) -> None:
    """Take the word away: the widget is open."""
    for shown in _shown(viewer):
        shown.close()


def _let_it_stay(viewer: Any) -> None:
    from napari_sam2s.widgets.notifications import let_end  # which needs Qt; a reader does not

    let_end()
    for shown in _shown(viewer):
        shown.source_label.hide()  # napari's own class, which tells nobody anything
        shown.geom_anim.stop()
        shown.resize(shown.width(), shown.sizeHint().height())  # napari places it before it knows of its button
        shown.move_to_bottom_right()
        shown.timer.setInterval(SHOWN_MS)
        shown.timer.start()


def _shown(viewer: Any) -> list[Any]:
    from qtpy.QtWidgets import QPushButton

    from napari_sam2s.widgets.notifications import notices  # which needs Qt; a reader does not

    window = getattr(getattr(viewer, "window", None), "_qt_window", None)
    return [shown for shown in notices(window) if any(b.text() == BUTTON for b in shown.findChildren(QPushButton))]

"""What the command palette offers: the actions of the widget that is open in a viewer."""

from __future__ import annotations

import weakref
from typing import Any

import napari

from napari_sam2s.widgets.keys import Keys
from napari_sam2s.widgets.notifications import show_info

OPEN: weakref.WeakSet[Keys] = weakref.WeakSet()  # of the widgets that are open


def _act(viewer: napari.Viewer, action: str) -> None:
    bare = getattr(viewer, "__wrapped__", viewer)
    for keys in OPEN:
        if getattr(keys.viewer, "__wrapped__", keys.viewer) is bare:
            keys.actions[action].run()
            return
    show_info("Open Plugins > SAM2S > Segment video first.")


def _command(action: str) -> Any:
    def run(viewer: napari.Viewer) -> None:
        _act(viewer, action)

    run.__annotations__["viewer"] = napari.Viewer
    run.__doc__ = f"Do '{action}' in the widget of a viewer."
    return run


track = _command("track")
resume = _command("resume")
new_object = _command("new_object")
confirm = _command("confirm")
undo = _command("undo")
redo = _command("redo")
other_answer = _command("other_answer")
take_shared = _command("take_shared")
give_shared = _command("give_shared")
keep_shared = _command("keep_shared")
rapid = _command("rapid")
outlines = _command("outlines")
class_1 = _command("class_1")
class_2 = _command("class_2")
class_3 = _command("class_3")
class_4 = _command("class_4")
class_5 = _command("class_5")
class_6 = _command("class_6")
class_7 = _command("class_7")
class_8 = _command("class_8")
class_9 = _command("class_9")
mark_in = _command("mark_in")
mark_out = _command("mark_out")
mark_phase = _command("mark_phase")
export = _command("export")
show_keys = _command("help")
review_next = _command("review_next")
review_previous = _command("review_previous")
review_accept = _command("review_accept")
review_refuse = _command("review_refuse")
review_divide = _command("review_divide")
review_correct = _command("review_correct")
review_absent = _command("review_absent")

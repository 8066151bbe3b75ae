"""A click in the layer of prompts becomes a prompt: a point, a box that was dragged, a deleted point, a choice with Ctrl."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, Protocol

import numpy as np
from napari.layers import Labels, Points

from napari_sam2s.masklets import Project, Prompt
from napari_sam2s.widgets.box_band import BoxBand
from napari_sam2s.widgets.layer_factory import set_next, still_drawn

DRAG_PIXELS = 5  # of the screen: more is a box, less a click; as napari has it
PICK = "Control"  # with it, a click chooses the object under the pointer
FLAT = "A click in 3-D does not tell the frame. Go back to 2-D (the button with the cube, or Ctrl-Y) and click there."

SIDEWAYS = "Here you look across the frames, so a click does not tell the frame. Press Ctrl-E until the picture is back."


class Prompted(Protocol):
    """Who hears the prompts."""

    current_object: int
    following: bool  # the view goes along with a run

    def choose(self, object_id: int) -> None:
        """Hear that the user chose another object."""

    def object_for_click(self, *, positive: bool = True) -> int:
        """Return the object that a click or a box belongs to."""

    def prompt(self, prompt: Prompt) -> None:
        """Hear that the user clicked, or dragged a box."""

    def replace_prompts(self, object_id: int, frame: int, prompts: Sequence[Prompt]) -> None:
        """Hear that the user deleted points; these prompts of that object and frame are left."""


class ClickPrompts:
    """Makes prompts of what the user does in a layer of prompts.

    ``masks`` gives the layer that is looked up with Ctrl, and ``answer`` says what became of a click that is no prompt.
    """

    def __init__(
        self, project: Project, user: Prompted, band: BoxBand, masks: Callable[[], Labels | None], answer: Callable[[str], None]
    ) -> None:
        self._project, self._user, self._band, self._masks, self._answer = project, user, band, masks, answer

    def listen(self, layer: Points) -> None:
        """Hear what the user does in a layer."""
        layer.mouse_drag_callbacks.insert(0, self._pressed)
        layer.events.data.connect(self._points_changed)

    def _pressed(self, layer: Points, event: Any) -> Generator[None, None, None]:
        """Hear a click, negative with the right button or Alt, or a box that is dragged.

        It stands before napari's own callback, which then draws the point at once, in the colour that is set here.

        The picture must not move meanwhile: the camera hears of some moves before we do, whatever is handled here, and what
        is under the mouse would stay there.
        """
        if str(layer.mode) != "add":
            return
        flat = len(event.dims_displayed) == 2
        if not flat or len(event.position) - 3 in event.dims_displayed:  # the axes were rolled: time is one of those on show
            yield
            while event.type == "mouse_move":
                yield
            self._answer(SIDEWAYS if flat else FLAT)  # on release, as napari's own callback draws the point then
            return
        if PICK in event.modifiers:
            yield
            while event.type == "mouse_move":
                yield
            self._pick(event)
            return
        self._user.following = False  # or the answer is on a frame that has passed by
        start = np.asarray(event.pos, dtype=float)
        first = layer.world_to_data(event.position)
        negative = event.button == 2 or "Alt" in event.modifiers
        set_next(layer, "negative" if negative else "positive", self._user.current_object)
        pans, layer.mouse_pan = layer.mouse_pan, False
        try:
            yield
            while event.type == "mouse_move":
                now = np.asarray(event.pos, dtype=float)
                if np.linalg.norm(now - start) >= DRAG_PIXELS:
                    self._band.show((start[0], start[1]), (now[0], now[1]))
                yield
        finally:
            layer.mouse_pan = pans
            self._band.show((start[0], start[1]), None)
        last = layer.world_to_data(event.position)
        frame = round(float(first[0]))
        if np.linalg.norm(np.asarray(event.pos, dtype=float) - start) < DRAG_PIXELS:
            self.click(frame, (float(first[1]), float(first[2])), positive=not negative)
        else:
            (y0, y1), (x0, x1) = sorted((first[1], last[1])), sorted((first[2], last[2]))
            self._box(frame, (float(y0), float(x0), float(y1), float(x1)))

    def click(self, frame: int, point: tuple[float, float], *, positive: bool = True) -> None:
        """Make a prompt of a click at ``(y, x)``."""
        object_id = self._user.object_for_click(positive=positive)
        self._user.prompt(Prompt(object_id, frame, (point,), (int(positive),)))

    def _box(self, frame: int, box: tuple[float, float, float, float]) -> None:
        _, height, width = self._project.shape
        inside = (max(box[0], 0.0), max(box[1], 0.0), min(box[2], float(height)), min(box[3], float(width)))
        self._user.prompt(Prompt(self._user.object_for_click(), frame, box=inside))

    def _pick(self, event: Any) -> None:
        """Make the object under the pointer the one that clicks belong to."""
        where = {"view_direction": event.view_direction, "dims_displayed": list(event.dims_displayed), "world": True}
        masks = self._masks()
        found = masks.get_value(event.position, **where) if masks is not None else None
        names = {o.id: o.name for o in self._project.objects}
        if found in names:
            self._user.choose(int(found))
        self._answer(f"{names[found]} is chosen." if found in names else "There is no object here.")

    def _points_changed(self, event: Any) -> None:
        """Leave the other prompts when a point was deleted in the layer."""
        if str(getattr(event, "action", "")) not in ("removed", "ActionType.REMOVED"):
            return
        drawn: dict[tuple[int, int], list[tuple[str, float, float]]] = {}
        features = event.source.features
        for (t, y, x), kind, owner in zip(event.source.data, features["kind"], features["object"], strict=True):
            drawn.setdefault((int(owner), round(float(t))), []).append((str(kind), float(y), float(x)))
        known: dict[tuple[int, int], list[Prompt]] = {}
        for o in self._project.objects:
            for p in self._project.prompts(o.id):
                known.setdefault((o.id, p.frame), []).append(p)
        for (owner, t), prompts in known.items():
            left = still_drawn(prompts, drawn.get((owner, t), ()))
            if _dots(left) < _dots(prompts):
                self._user.replace_prompts(owner, t, left)


def _dots(prompts: Sequence[Prompt]) -> int:
    """Return how many things are drawn of prompts: clicks, and boxes."""
    return sum(len(p.points) + (p.box is not None) for p in prompts)

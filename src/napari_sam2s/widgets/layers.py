"""The two layers beside the video while it is worked on: shown, listened to, and let go of.

Nothing else in the viewer is ever touched.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from napari.layers import Image, Labels, Points

from napari_sam2s.masklets import Project, Prompt
from napari_sam2s.widgets.companions import (
    clicks_and_boxes,
    colormap,
    make_objects_layer,
    make_prompts_layer,
    show_prompts,
)

if TYPE_CHECKING:
    import napari


OURS = "napari_sam2s_project"  # of a layer's metadata: the path of the project it shows


class User(Protocol):
    """Who hears what the user did in the layers."""

    current_object: int

    def prompt(self, prompt: Prompt) -> None:
        """Hear that the user clicked, or dragged a box."""

    def take_back(self, object_id: int, frame: int, left: Sequence[Prompt]) -> None:
        """Hear that the user deleted points; these prompts are left of that object and frame."""

    def painted(self, frame: int, objects: Sequence[int], since: int) -> None:
        """Hear that the user changed masks by hand, in the steps of undo after ``since``."""


class Companions:
    """The layers of prompts and of objects of one video."""

    def __init__(self, viewer: napari.viewer.Viewer, image: Image, project: Project, user: User) -> None:
        self._viewer, self._image, self._project, self._user = viewer, image, project, user
        self._colours: dict[int, tuple[int, int, int]] = {}  # that the layer of objects has
        self._stroke: tuple[int, int, Any] | None = None  # frame, last step of undo and label image before it
        for layer in [layer for layer in viewer.layers if layer.metadata.get(OURS) == str(project.path)]:
            viewer.layers.remove(layer)  # as an earlier widget left them
        self.objects: Labels | None = None
        self.prompts: Points | None = None
        self.activate_prompts()

    def activate_prompts(self) -> None:
        """Make the next click a prompt; a layer that the user deleted comes back."""
        metadata = {OURS: str(self._project.path)}
        if self.objects is None:
            self.objects = self._viewer.add_layer(make_objects_layer(self._image, self._project))
            self._colours = {o.id: o.colour for o in self._project.objects}
            self.objects.metadata.update(metadata)
            self.objects.mouse_drag_callbacks.insert(0, self._begin_stroke)
            self.objects.events.paint.connect(self._end_stroke)
        if self.prompts is None:
            self.prompts = self._viewer.add_layer(make_prompts_layer(self._image))
            self.prompts.metadata.update(metadata)
            hear = clicks_and_boxes(lambda: self._user.current_object, self._clicked, self._boxed)
            self.prompts.mouse_drag_callbacks.insert(0, hear)
            self.prompts.events.data.connect(self._points_changed)
            show_prompts(self.prompts, self._project.prompts())
        self._viewer.layers.selection.active = self.prompts
        self.prompts.mode = "add"

    def show(self) -> None:
        """Show the project as it is."""
        if self.prompts is not None:
            show_prompts(self.prompts, self._project.prompts())
        if self.objects is not None:
            colours = {o.id: o.colour for o in self._project.objects}
            if colours != self._colours:
                self.objects.colormap, self._colours = colormap(self._project.objects), colours
            self.select(self._user.current_object)
        self.redraw_masks()

    def select(self, object_id: int) -> None:
        """Paint as this object."""
        if self.objects is not None:
            self.objects.selected_label = object_id

    def redraw_masks(self) -> None:
        """Read the masks of the frame on show anew."""
        if self.objects is not None:
            self.objects.refresh(extent=False, thumbnail=False, highlight=False)

    def notice_removal(self) -> None:
        """Let go of layers that the user deleted."""
        if self.prompts is not None and self.prompts not in self._viewer.layers:
            self.prompts = None
        if self.objects is not None and self.objects not in self._viewer.layers:
            self.objects = None

    def remove(self) -> None:
        """Take the layers away."""
        for layer in (self.prompts, self.objects):
            if layer is not None and layer in self._viewer.layers:
                self._viewer.layers.remove(layer)
        self.prompts = self.objects = None

    def leave(self, project: Project) -> None:
        """Leave the masks in the viewer to look at, of a project that is open for reading only."""
        if self.objects is not None and self.objects in self._viewer.layers:
            self.objects.mouse_drag_callbacks.remove(self._begin_stroke)
            self.objects.events.paint.disconnect(self._end_stroke)
            self.objects.data = project.labels
            self.objects.editable = False
            self.objects = None
        self.remove()

    def _clicked(self, layer: Points, frame: int, point: tuple[float, float], positive: bool) -> None:
        self._user.prompt(Prompt(self._user.current_object, frame, (point,), (int(positive),)))

    def _boxed(self, layer: Points, frame: int, box: tuple[float, float, float, float]) -> None:
        _, height, width = self._project.shape
        inside = (max(box[0], 0.0), max(box[1], 0.0), min(box[2], float(height)), min(box[3], float(width)))
        self._user.prompt(Prompt(self._user.current_object, frame, box=inside))

    def _begin_stroke(self, layer: Labels, event: Any) -> Generator[None, None, None]:
        """Remember what was there before the user paints."""
        frame = round(float(layer.world_to_data(event.position)[0]))
        self._stroke = None
        if str(layer.mode) not in ("pan_zoom", "transform", "pick") and 0 <= frame < self._project.shape[0]:
            self._stroke = (frame, self._project.last_step, self._project.labels[frame])
        yield

    def _end_stroke(self, event: Any = None) -> None:
        """Tell which objects the user has painted, and since which step."""
        stroke, self._stroke = self._stroke, None
        if stroke is None:  # painted by a script
            frame = round(float(self._image.world_to_data(self._viewer.dims.point)[0]))
            changed = [i for i, origin in self._project.origins(frame).items() if origin == "painted"]
            self._user.painted(frame, changed, self._project.last_step - 1)
            return
        frame, since, before = stroke
        after = self._project.labels[frame]
        differs = before != after
        ids = np.unique(np.concatenate((before[differs], after[differs])))
        self._user.painted(frame, [int(i) for i in ids if i], since)

    def _points_changed(self, event: Any) -> None:
        """Say the rest again when a point was deleted in the layer."""
        if str(getattr(event, "action", "")) not in ("removed", "ActionType.REMOVED") or self.prompts is None:
            return
        shown: dict[tuple[int, int], list[tuple[tuple[float, float], int]]] = {}
        features = self.prompts.features
        for (t, y, x), kind, owner in zip(self.prompts.data, features["kind"], features["object"], strict=True):
            if kind != "box":
                shown.setdefault((int(owner), round(float(t))), []).append(((float(y), float(x)), int(kind == "positive")))
        known: dict[tuple[int, int], int] = {}
        for p in self._project.prompts():
            known[p.object_id, p.frame] = known.get((p.object_id, p.frame), 0) + len(p.points)
        for (owner, t), count in known.items():
            left = shown.get((owner, t), [])
            if len(left) < count:
                again = [Prompt(owner, t, tuple(p for p, _ in left), tuple(k for _, k in left))] if left else []
                self._user.take_back(owner, t, again)

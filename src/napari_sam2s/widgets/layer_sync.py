"""The two layers beside the video while it is worked on: shown, listened to, and let go of.

Nothing else in the viewer is ever touched.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from napari.layers import Image, Labels, Points, Tracks
from qtpy.QtCore import QTimer

from napari_sam2s.masklets import Object, Project
from napari_sam2s.masklets.labels import LabelView
from napari_sam2s.widgets.box_band import BoxBand
from napari_sam2s.widgets.click_prompts import ClickPrompts, Prompted
from napari_sam2s.widgets.layer_factory import (
    FILLED,
    OUTLINED,
    PROMPTS,
    colormap,
    lie_on,
    make_objects_layer,
    make_prompts_layer,
    outline_width,
    show_prompts,
)
from napari_sam2s.widgets.pointer_names import label_features, name_what_is_below
from napari_sam2s.widgets.strokes import Strokes
from napari_sam2s.widgets.time_axis import MOVES

if TYPE_CHECKING:
    import napari


UNDO_KEYS = {"Control-Z": "undo", "Control-Shift-Z": "redo"}
OURS = "napari_sam2s_project"  # of a layer's metadata: the path of the project it shows


class User(Prompted, Protocol):
    """Who hears what the user did in the layers."""

    outlines: bool  # masks are shown by their outlines

    def new_object(self, *, activate: bool = True) -> None:
        """Hear that the user wants another object, to click (``activate``) or to paint."""

    def tell(self, message: str) -> None:
        """Show the user a message."""

    def painted(self, frame: int, objects: Sequence[int], covered: Sequence[int], since: int) -> None:
        """Hear that masks were changed by hand, and which others lost pixels, in the steps of undo after ``since``."""

    def undo(self) -> None:
        """Undo the last step."""

    def redo(self) -> None:
        """Redo what was undone."""


class LayerSync:
    """The layers of prompts and of objects of one video."""

    def __init__(self, viewer: napari.viewer.Viewer, image: Image, project: Project, user: User) -> None:
        self._viewer, self._image, self._project, self._user = viewer, image, project, user
        self._colours: dict[int, tuple[int, int, int]] = {}  # that the layer of objects has
        self._strokes = Strokes(project, user.painted, self._begin_stroke, self._refused)
        self._band = BoxBand(viewer)
        self.clicks = ClickPrompts(project, user, self._band, lambda: self.objects, self._refused)
        self._selected = 0  # the object to paint as; the user may have chosen another label since, such as 0 to erase
        for layer in [layer for layer in viewer.layers if layer.metadata.get(OURS) == str(project.path)]:
            if isinstance(layer.data, LabelView):  # or it is the user's own duplicate
                viewer.layers.remove(layer)  # as an earlier widget left it
        self.objects: Labels | None = None
        self.prompts: Points | None = None
        image.mouse_drag_callbacks.append(self._clicked_elsewhere)
        self._moves = [image.events.emitters[name] for name in MOVES if name in image.events.emitters]
        for move in self._moves:
            move.connect(self._image_moved)
        self.activate_prompts()

    def activate_prompts(self) -> None:
        """Make the next click a prompt; a layer that the user deleted comes back."""
        metadata = {OURS: str(self._project.path)}
        if self.objects is None:
            layers = self._viewer.layers
            self.objects = self._viewer.add_layer(make_objects_layer(self._image, self._project, self._strokes.labels))
            if self.prompts is not None:  # dots lie above masks
                layers.move(layers.index(self.objects), layers.index(self.prompts))
            self._colours = {o.id: o.colour for o in self._project.objects}
            self._known: tuple[Object, ...] = ()
            self._describe()
            self.objects.metadata.update(metadata)
            self.objects.mouse_drag_callbacks[:0] = [self._strokes.drag, self._clicked_elsewhere]
            self._bind_undo(self.objects)
            self._selected = 0
            self.select(self._user.current_object)
            self.objects.events.selected_label.connect(self._label_chosen)
        if self.prompts is None:
            self.prompts = self._viewer.add_layer(make_prompts_layer(self._image))
            self.prompts.metadata.update(metadata)
            self.clicks.listen(self.prompts)
            self._bind_undo(self.prompts)
            name_what_is_below(self.prompts, lambda: self.objects)
            show_prompts(self.prompts, self._project.prompts(), self._project.objects)
        self._viewer.layers.selection.active = self.prompts
        self.prompts.mode = "add"

    def _bind_undo(self, layer: Labels | Points) -> None:
        """Undo and redo with the keys that everybody tries first.

        napari knows them for painting only, and would paint what was there before: a click that was painted over stays lost.
        """
        for key, step in UNDO_KEYS.items():
            layer.bind_key(key, lambda _, step=step: getattr(self._user, step)(), overwrite=True)

    def show(self) -> None:
        """Show the project as it is."""
        if self.prompts is not None:
            show_prompts(self.prompts, self._project.prompts(), self._project.objects)
        if self.objects is not None:
            colours = {o.id: o.colour for o in self._project.objects}
            if colours != self._colours:
                self.objects.colormap, self._colours = colormap(self._project.objects), colours
            self._describe()
            if self._selected != self._user.current_object:
                self.select(self._user.current_object)
        self.redraw_masks()

    def _describe(self) -> None:
        """Tell napari's status bar the names, and draw outlines or areas."""
        assert self.objects is not None
        known = tuple(self._project.objects)
        if known != self._known:
            self.objects.features, self._known = label_features(known), known
        width = outline_width(self._project.shape[1]) if self._user.outlines else 0
        if self.objects.contour != width:
            self.objects.contour = width
            self.objects.opacity = OUTLINED if width else FILLED

    def select(self, object_id: int) -> None:
        """Paint as this object."""
        self._selected = object_id
        if self.objects is not None:
            self.objects.selected_label = object_id

    def _label_chosen(self, event: Any = None) -> None:
        """Take the label that was chosen in napari's own controls for the object that clicks belong to as well."""
        label = 0 if self.objects is None else int(self.objects.selected_label)
        if label != self._selected and label in {o.id for o in self._project.objects}:
            self._user.choose(label)

    def _begin_stroke(self, layer: Labels) -> None:
        """Make an object for a label that has none, as napari's button for a new label leaves it."""
        label = int(layer.selected_label)
        if str(layer.mode) in ("paint", "fill", "polygon", "erase"):
            self._user.following = False  # or the stroke goes over all frames that pass by
        if label and str(layer.mode) in ("paint", "fill", "polygon") and label not in {o.id for o in self._project.objects}:
            self._user.new_object(activate=False)

    def _refused(self, message: str) -> None:
        self._user.tell(message)
        QTimer.singleShot(0, self.show)  # napari has drawn the dab or the dot already

    def redraw_masks(self) -> None:
        """Read the masks of the frame on show anew."""
        if self.objects is not None:
            self.objects.refresh(extent=False, thumbnail=False, highlight=False)

    def bring_to_front(self, object_id: int | None) -> None:
        """Draw an object over all others, to look at what they hide of it; ``None``: the order of the table again."""
        if self._strokes.labels.front != object_id:
            self._strokes.labels.front = object_id
            self.redraw_masks()

    @property
    def whole(self) -> bool:
        """Whether both layers are there."""
        return self.prompts is not None and self.objects is not None

    def notice_removal(self) -> bool:
        """Let go of layers that the user deleted; return whether one was ours."""
        before = self.prompts, self.objects
        if self.prompts is not None and self.prompts not in self._viewer.layers:
            self.prompts = None
        if self.objects is not None and self.objects not in self._viewer.layers:
            self.objects = None
        return (self.prompts, self.objects) != before

    def _image_moved(self, event: Any = None) -> None:
        """Lie where the image lies: a click is a place in it, whatever the user made of its scale since it was opened."""
        tracks = [layer for layer in self._viewer.layers if isinstance(layer, Tracks) and OURS in layer.metadata]
        for layer in (self.prompts, self.objects, *tracks):
            if layer is not None:
                lie_on(layer, self._image)

    def remove(self) -> None:
        """Take the layers away."""
        for move in self._moves:
            move.disconnect(self._image_moved)
        self._moves = []
        if self._clicked_elsewhere in self._image.mouse_drag_callbacks:
            self._image.mouse_drag_callbacks.remove(self._clicked_elsewhere)
        for layer in (self.prompts, self.objects):
            if layer is not None and layer in self._viewer.layers:
                layer.mode = "pan_zoom"  # else napari leaves the outline of the brush on the canvas
                self._viewer.layers.remove(layer)
        self.prompts = self.objects = None
        self._band.close()
        self._strokes.close()

    def leave(self, project: Project) -> None:
        """Leave the masks in the viewer to look at, of a project that is open for reading only."""
        if self.objects is not None and self.objects in self._viewer.layers:
            for drag in (self._strokes.drag, self._clicked_elsewhere):
                self.objects.mouse_drag_callbacks.remove(drag)
            for key in UNDO_KEYS:
                self.objects.bind_key(key, None)
            self.objects.events.selected_label.disconnect(self._label_chosen)
            view = project.labels.watched(lambda _: None)  # a view that the project does not hold: both would stay for ever
            weakref.finalize(view, project.close)  # with the layer, or at the end: an open reader leaves files beside it
            self.objects.data = view
            self.objects.editable = False
            self.objects = None
        self.remove()

    def _clicked_elsewhere(self, layer: Any, event: Any) -> Iterator[None]:
        """Say why a click in the video's layer, or in the one of objects while nothing is painted, is no prompt."""
        yield
        moved = False
        while event.type == "mouse_move":
            moved = True
            yield
        if not moved and str(layer.mode) == "pan_zoom":
            back = "the button New brings it back" if self.prompts is None else "select it in the list of layers"
            self._user.tell(f"{layer.name} is selected, so this click was no prompt. Prompts go to {PROMPTS}: {back}.")

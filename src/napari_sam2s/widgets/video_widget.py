"""The video that a widget works on: picked among the viewer's layers, opened in its project, let go of."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels, Points
from napari.utils.notifications import show_warning
from qtpy.QtCore import QTimer

from napari_sam2s.errors import Sam2sError
from napari_sam2s.masklets import Project, Prompt
from napari_sam2s.widgets.camera import keep_whole_picture
from napari_sam2s.widgets.closable_widget import ClosingWidget
from napari_sam2s.widgets.layer_sync import Companions
from napari_sam2s.widgets.layout import Parts
from napari_sam2s.widgets.napari_reader import find_video
from napari_sam2s.widgets.project_location import beside, place_in, project_path
from napari_sam2s.widgets.session import Session
from napari_sam2s.widgets.time_axis import TimeAxis
from napari_sam2s.widgets.tracker_source import Choice
from napari_sam2s.widgets.vispy_workarounds import forget_vertex_arrays

if TYPE_CHECKING:
    import napari

WELCOME = "Drop a video on napari, then click an object in it."
WARMING = "loading the model ..."


class VideoWidget(ClosingWidget):
    """Holds the picked image layer, the session on its video and the two layers beside it; ``None`` if nothing is open.

    What is seen and said of it is up to the subclass: :meth:`_build` makes the parts, :meth:`_opened` and :meth:`_closed`
    hear of sessions.
    """

    parts: Parts

    def __init__(self, napari_viewer: napari.viewer.Viewer, project_folder: Path | None) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.session: Session | None = None
        self.image: Image | None = None
        self._time: TimeAxis | None = None  # of the image
        self.layers: Companions | None = None
        self.current_object = 1
        self._project_folder = project_folder

    # What the subclass does

    def _choice(self) -> Choice:
        raise NotImplementedError

    def _opened(self, session: Session) -> None:
        raise NotImplementedError

    def _closed(self, session: Session) -> None:
        raise NotImplementedError

    def say(self, message: str) -> None:
        """Show a message below everything."""
        raise NotImplementedError

    def refresh(self) -> None:
        """Show the project as it is."""
        raise NotImplementedError

    # Picking a video

    def _watch_layers(self) -> None:
        self.parts.video.changed.connect(self._pick)
        self.parts.project_chosen.connect(self.use_project)
        self.viewer.layers.events.removed.connect(self._layer_removed)
        self.viewer.layers.events.inserted.connect(self._layers_changed)

    def _layers_changed(self, event: Any = None) -> None:
        if self._video_removed:
            return  # what is there then is looked at when the video is let go of
        self.parts.video.reset_choices()
        if self.image is None:
            self._pick(self.parts.video.value)

    @property
    def _video_removed(self) -> bool:
        return self.image is not None and self.image not in self.viewer.layers

    def _layer_removed(self, event: Any) -> None:
        forget_vertex_arrays(self.window())
        if self.layers is not None:
            self.layers.notice_removal()
        if self._video_removed:
            # napari is in the midst of removing layers, perhaps of a selection that has ours in it, too: taking ours away
            # now, or adding those of another video, would change its list under its hands.
            QTimer.singleShot(0, self._let_go_of_removed)
        elif isinstance(event.value, Image):  # of ours it is told while a session closes: no time to take up another video
            self.parts.video.reset_choices()

    def _let_go_of_removed(self) -> None:
        if self._shut or not self._video_removed:
            return
        self.close_session()
        self.say(WELCOME)
        self._layers_changed()  # another video is taken up, if there is one

    def _pick(self, layer: Image | None) -> None:
        if layer is None or (self.image is not None and layer.name == self.image.name):
            return
        self.close_session()
        self.open(layer)

    # Opening and closing

    def open(self, layer: Image, path: Path | None = None) -> None:
        """Work on the video of a layer, in its own project or the one at ``path``."""
        try:
            self._open(layer, path)
        except Sam2sError as error:
            self.close_session()
            self.say(str(error))
            if path is None:
                self.parts.show_project(None, "none: choose a place")

    def use_project(self, path: Path) -> None:
        """Keep the work on the picked video at ``path`` instead, or take up what is there."""
        layer = self.image if self.image is not None else self.parts.video.value
        if layer is None:
            self.say("Drop a video on napari first: a project belongs to one.")
            return
        self.close_session()
        self.open(layer, path)

    def _open(self, layer: Image, path: Path | None) -> None:
        video = find_video(layer)
        if path is None:
            path = self._default_path(video)
        self.session = session = Session(video, path, self._choice())
        self.image, self._time = layer, TimeAxis(layer)
        if not session.project.objects:
            session.project.add_object()
        self.current_object = session.project.objects[0].id
        self._opened(session)
        self.layers = Companions(self.viewer, layer, session.project, self)
        keep_whole_picture(self.viewer, self)
        self.parts.dock_timeline(self.viewer)
        self.parts.show_project(path)
        if not session.project.prompts():
            self.go_to(0)
        self.say(WARMING)
        self.refresh()
        session.start()
        for warning in video.warnings:
            show_warning(warning)

    def _default_path(self, video: Any) -> Path:
        near = beside(video)
        if self._project_folder is not None:
            return place_in(self._project_folder, video) if near is None else self._project_folder / near.name
        path = project_path(video)
        if near is not None and path != near and near.exists() and not path.exists():
            shutil.copy2(near, path)
            show_warning(f"{near.name} cannot be written where it is; you are working on a copy, {path}.")
        return path

    def close_session(self, *, leave_masks: bool = False) -> None:
        """Let go of the video; the masks stay in the project, and in the viewer to look at if ``leave_masks``."""
        session, self.session = self.session, None
        layers, self.layers = self.layers, None
        if self._time is not None:
            self._time.close()
        self.image = self._time = None
        if session is not None:
            self._closed(session)
        if layers is not None and not leave_masks:
            layers.remove()  # while their masks can be read: napari looks at the layer that is chosen next
        if session is not None:
            session.close()
            if layers is not None and leave_masks:
                layers.leave(Project.open(session.project.path, mode="r"))
        forget_vertex_arrays(self.window())
        self.parts.show_project(None)
        self.refresh()

    def let_go(self) -> None:
        """Let go of the video and the viewer; the masks stay to look at."""
        self.viewer.layers.events.removed.disconnect(self._layer_removed)
        self.viewer.layers.events.inserted.disconnect(self._layers_changed)
        self.close_session(leave_masks=True)
        self.parts.undock_timeline(self.viewer)

    # Looking and prompting

    @property
    def frame(self) -> int:
        """The frame on show."""
        return 0 if self._time is None else self._time.frame(self.viewer.dims.point)

    def go_to(self, frame: int) -> None:
        """Show a frame."""
        if self.image is not None:
            self.viewer.dims.set_point(self.viewer.dims.ndim - 3, self.image.data_to_world((frame, 0, 0))[0])

    @property
    def prompts(self) -> Points | None:
        """The layer of clicks and boxes."""
        return None if self.layers is None else self.layers.prompts

    @property
    def objects(self) -> Labels | None:
        """The layer of masks."""
        return None if self.layers is None else self.layers.objects

    def activate_prompts(self) -> None:
        """Make the next click a prompt."""
        if self.layers is not None:
            self.layers.activate_prompts()

    def prompt(self, prompt: Prompt) -> None:
        """Say where an object is; pauses tracking."""
        if self.session is None:
            return
        if self._refuse_locked(prompt.object_id):
            return
        if prompt.object_id not in {o.id for o in self.session.project.objects}:
            self.current_object = self.session.project.add_object().id
            prompt = Prompt(self.current_object, prompt.frame, prompt.points, prompt.labels, prompt.box)
        self.session.prompt(prompt)

    def take_back(self, object_id: int, frame: int, left: Sequence[Prompt]) -> None:
        """Leave only these prompts of an object on a frame."""
        if self.session is not None and not self._refuse_locked(object_id):
            self.session.replace_prompts(object_id, frame, left)

    def _refuse_locked(self, object_id: int) -> bool:
        """Say so if an object is locked, draw its prompts as they were, and return whether it is."""
        assert self.session is not None
        locked = next((o for o in self.session.project.objects if o.id == object_id and o.locked), None)
        if locked is not None:
            self.say(f"{locked.name} is locked: unlock it to change its masks.")
            QTimer.singleShot(0, self.refresh)  # napari draws a click after we have heard of it
        return locked is not None

    def choose(self, object_id: int) -> None:
        """Make an object the one that clicks belong to."""
        raise NotImplementedError

    def painted(self, frame: int, objects: Sequence[int], since: int) -> None:
        """Take what was painted as mask prompts, all of a stroke as one step of undo."""
        session = self.session
        if session is None or not objects:
            return
        project = session.project
        with project.history.step("paint"):
            for i in objects:
                mask = project.mask(frame, i)
                project.prompts.remove(i, frame)
                if mask is not None and mask.any():
                    project.prompts.add(Prompt(i, frame, mask=mask))
        project.history.merge(since, "paint")
        session.painted(frame, objects)

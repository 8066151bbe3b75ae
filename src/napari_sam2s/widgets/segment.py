"""The widget: pick a video, click an object, press one key, watch."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels, Points
from napari.utils.notifications import show_warning
from qtpy.QtCore import QEvent, QTimer
from qtpy.QtWidgets import QApplication, QWidget

from napari_sam2s.errors import Sam2sError
from napari_sam2s.masklets import Project, Prompt
from napari_sam2s.widgets import commands
from napari_sam2s.widgets.camera import keep_whole_picture
from napari_sam2s.widgets.canvas_guard import forget_vertex_arrays
from napari_sam2s.widgets.export import Exporter
from napari_sam2s.widgets.help import HelpOverlay
from napari_sam2s.widgets.keys import Keys
from napari_sam2s.widgets.layers import Companions
from napari_sam2s.widgets.layout import Parts
from napari_sam2s.widgets.places import beside, project_path
from napari_sam2s.widgets.plan import Leg, plan
from napari_sam2s.widgets.preflight import setup_of
from napari_sam2s.widgets.readers import find_video
from napari_sam2s.widgets.review_panel import ReviewPanel
from napari_sam2s.widgets.run_view import RunView
from napari_sam2s.widgets.session import Session
from napari_sam2s.widgets.surgery_panel import SurgeryPanel

if TYPE_CHECKING:
    import napari

WELCOME = "Drop a video on napari, then click an object in it."
WARMING = "loading the model ..."


class SegmentWidget(QWidget):
    """Segment a video: everything here can be scripted through :class:`Session`, :class:`Project` and :class:`Tracker`.

    Further panels go into the tabs by :meth:`add_panel`, their keys into :attr:`keys`.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer, *, project_folder: Path | None = None) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.session: Session | None = None
        self.image: Image | None = None
        self.layers: Companions | None = None
        self.current_object = 1
        self._project_folder = project_folder
        self._shut = False
        self._help: HelpOverlay | None = None
        self.keys = Keys(napari_viewer)
        self.parts = Parts(self)
        self.table, self.timeline, self.tabs = self.parts.table, self.parts.timeline, self.parts.tabs
        self.run_panel, self.model_panel, self.status = self.parts.run, self.parts.model, self.parts.status
        self.run_view = RunView(self)
        self.exporter = Exporter(self)
        self.exporter.attach(self.parts.export)
        self._bind_keys()
        self.objects_panel, self.review_panel, self.surgery_panel = self.parts.objects, ReviewPanel(self), SurgeryPanel(self)
        self.add_panel("Review", self.review_panel)
        self.add_panel("Surgery", self.surgery_panel)
        self._connect()
        commands.OPEN.add(self)
        self._say(WELCOME)
        self._layers_changed()

    def _bind_keys(self) -> None:
        add = self.keys.add
        add("track", "G", "track from this frame, or pause", self.track)
        add("go_on", "Shift-G", "go on with the run that was interrupted", self.resume)
        add("new_object", "N", "new object", self.new_object)
        add("confirm", "K", "confirm the masks of this frame", self.confirm)
        add("undo", "U", "undo", self.undo)
        add("redo", "Shift-U", "redo", self.redo)
        add("mark_in", "Shift-I", "track from here on only", self.mark_in)
        add("mark_out", "Shift-O", "track up to here only", self.mark_out)
        add("export", "Shift-E", "export the masks", self.exporter.popup)
        add("help", "H", "show these keys, or hide them", self.help)
        self.run_panel.show_running(False, self.keys.key("track"))

    def _connect(self) -> None:
        self.parts.video.changed.connect(self._pick)
        self.parts.project_chosen.connect(self.use_project)
        self.model_panel.changed.connect(self._change_model)
        self.model_panel.said.connect(self._say)
        self.table.chosen.connect(self._choose)
        self.table.edited.connect(self.refresh)
        self.table.refused.connect(self._say)
        self.timeline.jumped.connect(self.go_to)
        self.run_panel.track.connect(self.track)
        self.run_panel.resume.connect(self.resume)
        self.run_panel.whole.connect(lambda: self.timeline.set_bounds(0, self.timeline.frames))
        self.viewer.layers.events.removed.connect(self._layer_removed)
        self.viewer.layers.events.inserted.connect(self._layers_changed)
        self.viewer.dims.events.current_step.connect(self._moved)
        QApplication.instance().aboutToQuit.connect(self.shut_down)

    def add_panel(self, title: str, panel: QWidget) -> None:
        """Add a page to the tabs. If it has a method ``refresh()``, that is called whenever the project changed."""
        self.tabs.addTab(panel, title)

    # Picking a video

    def _layers_changed(self, event: Any = None) -> None:
        self.parts.video.reset_choices()
        if self.image is None:
            self._pick(self.parts.video.value)

    def _pick(self, layer: Image | None) -> None:
        if layer is None or (self.image is not None and layer.name == self.image.name):
            return
        self.close_session()
        self.open(layer)

    def open(self, layer: Image, path: Path | None = None) -> None:
        """Work on the video of a layer, in its own project or the one at ``path``."""
        try:
            self._open(layer, path)
        except Sam2sError as error:
            self.close_session()
            self._say(str(error))
            if path is None:
                self.parts.show_project(None, "none: choose a place")

    def use_project(self, path: Path) -> None:
        """Keep the work on the picked video at ``path`` instead, or take up what is there."""
        layer = self.image if self.image is not None else self.parts.video.value
        if layer is None:
            self._say("Drop a video on napari first: a project belongs to one.")
            return
        self.close_session()
        self.open(layer, path)

    def _open(self, layer: Image, path: Path | None) -> None:
        video = find_video(layer)
        if path is None:
            path = self._default_path(video)
        self.session = session = Session(video, path, self.model_panel.choice())
        self.image = layer
        if not session.project.objects:
            session.project.add_object()
        self.current_object = session.project.objects[0].id
        session.ready.connect(self._ready)
        session.failed.connect(self._say)
        session.lost.connect(self._lost)
        session.prompted.connect(self._prompted)
        session.changed.connect(self.refresh)
        self.run_view.watch(session)
        self.layers = Companions(self.viewer, layer, session.project, self)
        keep_whole_picture(self.viewer, self)
        self.parts.dock_timeline(self.viewer)
        self.parts.show_project(path)
        if not session.project.prompts():
            self.go_to(0)
        self._say(WARMING)
        self.refresh()
        session.start()
        for warning in video.warnings:
            show_warning(warning)

    def _default_path(self, video: Any) -> Path:
        if self._project_folder is not None:
            return self._project_folder / project_path(video).name
        path, near = project_path(video), beside(video)
        if near is not None and path != near and near.exists() and not path.exists():
            shutil.copy2(near, path)
            show_warning(f"{near.name} cannot be written where it is; you are working on a copy, {path}.")
        return path

    # What the user does

    @property
    def frame(self) -> int:
        """The frame on show."""
        if self.image is None:
            return 0
        place = self.image.world_to_data(self.viewer.dims.point)
        return min(max(round(float(place[0])), 0), self.image.data.shape[0] - 1)

    def go_to(self, frame: int) -> None:
        """Show a frame."""
        if self.image is not None:
            self.viewer.dims.set_point(self.viewer.dims.ndim - 3, self.image.data_to_world((frame, 0, 0))[0])

    @property
    def range(self) -> tuple[int, int]:
        """First frame and the one after the last between the in and out handles; the whole video unless they were moved."""
        return self.timeline.bounds

    def mark_in(self) -> None:
        """Put the in handle at the frame on show."""
        self.timeline.set_bounds(self.frame, max(self.frame + 1, self.timeline.bounds[1]))

    def mark_out(self) -> None:
        """Put the out handle after the frame on show."""
        self.timeline.set_bounds(min(self.frame, self.timeline.bounds[0]), self.frame + 1)

    def new_object(self) -> None:
        """Add an object; the next click says where it is."""
        if self.session is not None and self.layers is not None:
            self.current_object = self.session.project.add_object().id
            self.layers.activate_prompts()
            self.refresh()

    def remove_object(self) -> None:
        """Remove the chosen object."""
        if self.session is not None:
            project = self.session.project
            self._try(lambda: project.remove_object(self.current_object))
            left = project.objects
            self.current_object = left[-1].id if left else project.add_object().id
            self.refresh()

    def choose(self, object_id: int) -> None:
        """Make an object the one that clicks belong to."""
        self._choose(object_id)
        self.refresh()

    def activate_prompts(self) -> None:
        """Make the next click a prompt."""
        if self.layers is not None:
            self.layers.activate_prompts()

    def say(self, message: str) -> None:
        """Show a message below everything."""
        self._say(message)

    def _choose(self, object_id: int) -> None:
        self.current_object = object_id
        if self.layers is not None:
            self.layers.select(object_id)

    def prompt(self, prompt: Prompt) -> None:
        """Say where an object is; pauses tracking."""
        if self.session is None:
            return
        if prompt.object_id not in {o.id for o in self.session.project.objects}:
            self.current_object = self.session.project.add_object().id
            prompt = Prompt(self.current_object, prompt.frame, prompt.points, prompt.labels, prompt.box)
        self.session.prompt(prompt)

    def take_back(self, object_id: int, frame: int, left: Sequence[Prompt]) -> None:
        """Leave only these prompts of an object on a frame."""
        if self.session is not None:
            self.session.replace_prompts(object_id, frame, left)

    def painted(self, frame: int, objects: Sequence[int], since: int) -> None:
        """Take what was painted as mask prompts, all of a stroke as one step of undo."""
        session = self.session
        if session is None or not objects:
            return
        project = session.project
        with project.step("paint"):
            for i in objects:
                mask = project.mask(frame, i)
                project.remove_prompts(i, frame)
                if mask is not None and mask.any():
                    project.add_prompt(Prompt(i, frame, mask=mask))
        project.merge_steps(since, "paint")
        session.painted(frame, objects)

    def legs(self) -> list[Leg]:
        """Return what pressing the key would do."""
        if self.session is None:
            return []
        way = self.run_panel.direction.currentText()
        every = self.run_panel.rate.every
        return plan(self.session.project, self.frame, way, self.range, self.session.corrected, every)  # type: ignore[arg-type]

    def track(self) -> None:
        """Follow objects from the frame on show, each to its next confirmed frame; or pause."""
        session = self.session
        if session is None:
            return
        if session.tracking:
            session.pause()
        elif legs := self.legs():
            objects = len({i for leg in legs for i in leg.objects})
            self.run_view.start(sum(leg.frames for leg in legs), legs[0].every, objects)
            session.track(legs)
        else:
            self._say("Click an object first: then there is something to follow.")

    def resume(self) -> None:
        """Go on with the run that was interrupted."""
        if self.session is None or self.session.tracking:
            return
        if self.session.interrupted:
            self.run_view.start(None, *self.session.interrupted_as)
            self.session.resume()
        else:
            self._say("No run was interrupted; press the key to track.")

    def confirm(self) -> None:
        """Vouch for the masks on show."""
        if self.session is not None:
            project, frame = self.session.project, self.frame
            self._try(lambda: project.confirm(frame))
            self.refresh()

    def undo(self) -> None:
        """Undo the last step."""
        if self.session is not None:
            self.session.undo()

    def redo(self) -> None:
        """Redo it."""
        if self.session is not None:
            self.session.redo()

    def help(self) -> None:
        """Show all keys, or hide them."""
        shown, self._help = self._help, None
        if shown is not None:
            shown.close()
        else:
            self._help = HelpOverlay(self.keys, self.window())
            self._help.destroyed.connect(self._help_closed)
            self._help.show()

    def _help_closed(self) -> None:
        self._help = None

    def _try(self, action: Callable[[], Any]) -> None:
        try:
            action()
        except Sam2sError as error:
            self._say(str(error))

    # What the session says

    def _ready(self, facts: dict[str, Any]) -> None:
        self._say(f"{setup_of(facts)}: ready. Click an object; right-click says what it is not.")
        self.run_view.facts = facts
        self.refresh()

    def _prompted(self, frame: int, object_id: int) -> None:
        self._say(f"Press {self.keys.key('track')} to track from here.")
        self.refresh()

    def _lost(self, message: str) -> None:
        go_on = self.session is not None and self.session.interrupted
        self._say(f"{message} Press Go on ({self.keys.key('go_on')})." if go_on else message)
        self.refresh()

    def _say(self, message: str) -> None:
        self.status.setText(message)

    def _moved(self, event: Any = None) -> None:
        self.timeline.set_current(self.frame)
        self.run_view.moved()

    # Keeping the picture up to date

    def refresh(self) -> None:
        """Show the project as it is."""
        self.run_view.refresh()
        if self.layers is not None:
            self.layers.show()
        for n in range(self.tabs.count()):
            if hasattr(panel := self.tabs.widget(n), "refresh"):
                panel.refresh()

    @property
    def prompts(self) -> Points | None:
        """The layer of clicks and boxes."""
        return None if self.layers is None else self.layers.prompts

    @property
    def objects(self) -> Labels | None:
        """The layer of masks."""
        return None if self.layers is None else self.layers.objects

    # The end

    def _layer_removed(self, event: Any) -> None:
        forget_vertex_arrays(self.window())
        if self.image is not None and self.image not in self.viewer.layers:
            self.close_session()
            self._say(WELCOME)
        elif self.layers is not None:
            self.layers.notice_removal()
        self.parts.video.reset_choices()

    def _change_model(self) -> None:
        if self.session is not None:
            self._say(WARMING)
            self.session.change(self.model_panel.choice())

    def close_session(self, *, leave_masks: bool = False) -> None:
        """Let go of the video; the masks stay in the project, and in the viewer to look at if ``leave_masks``."""
        session, self.session = self.session, None
        layers, self.layers = self.layers, None
        self.image = None
        if session is not None:
            self.run_view.forget(session)
            session.close()
        if layers is not None and leave_masks and session is not None:
            layers.leave(Project.open(session.project.path, mode="r"))
        elif layers is not None:
            layers.remove()
        forget_vertex_arrays(self.window())
        self.parts.show_project(None)
        self.refresh()

    def shut_down(self) -> None:
        """Let go of everything, once: the widget was closed, or its viewer was."""
        if self._shut:
            return
        self._shut = True
        commands.OPEN.discard(self)
        self.keys.close()
        self.review_panel.shut_down()
        if self._help is not None:
            self._help.close()
        self.viewer.layers.events.removed.disconnect(self._layer_removed)
        self.viewer.layers.events.inserted.disconnect(self._layers_changed)
        self.viewer.dims.events.current_step.disconnect(self._moved)
        QApplication.instance().aboutToQuit.disconnect(self.shut_down)
        self.close_session(leave_masks=True)
        self.parts.undock_timeline(self.viewer)

    def event(self, event: QEvent) -> bool:
        """Notice that napari took the widget out of its dock: it does not close what was in it."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.shut_down()
        return bool(super().event(event))

    def showEvent(self, event: Any) -> None:
        """Watch the window from now on."""
        super().showEvent(event)
        if self.window() is not self:
            self.window().installEventFilter(self)

    def eventFilter(self, watched: Any, event: QEvent) -> bool:
        """Notice that the viewer's window closes; it may still refuse to."""
        if event.type() == QEvent.Type.Close and not self._shut:
            QTimer.singleShot(0, lambda: None if self._shut or watched.isVisible() else self.shut_down())
        return False

    def closeEvent(self, event: Any) -> None:
        """Let go of everything."""
        self.shut_down()
        super().closeEvent(event)

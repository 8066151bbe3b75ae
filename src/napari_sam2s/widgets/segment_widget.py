"""The widget: pick a video, click an object, press one key, watch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QWidget

from napari_sam2s.errors import Sam2sError
from napari_sam2s.masklets.presence import UNSURE_ANSWER
from napari_sam2s.tracking.propagation_plan import Segment, plan
from napari_sam2s.widgets import commands
from napari_sam2s.widgets.export_menu import Exporter
from napari_sam2s.widgets.help_overlay import HelpOverlay
from napari_sam2s.widgets.keys import Keys
from napari_sam2s.widgets.layout import Parts
from napari_sam2s.widgets.preflight import setup_of
from napari_sam2s.widgets.review_panel import ReviewPanel
from napari_sam2s.widgets.run_view import RunView
from napari_sam2s.widgets.session import NOTHING_TO_FOLLOW, Session
from napari_sam2s.widgets.track_editing_panel import SurgeryPanel
from napari_sam2s.widgets.tracker_source import Choice
from napari_sam2s.widgets.video_widget import WARMING, WELCOME, VideoWidget

if TYPE_CHECKING:
    import napari


class SegmentWidget(VideoWidget):
    """Segment a video: everything here can be scripted through :class:`Session`, :class:`Project` and :class:`Tracker`.

    Further panels go into the tabs by :meth:`add_panel`, their keys into :attr:`keys`.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer, *, project_folder: Path | None = None) -> None:
        super().__init__(napari_viewer, project_folder)
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
        self.say(WELCOME)
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
        self._watch_layers()
        self.model_panel.changed.connect(self._change_model)
        self.model_panel.said.connect(self.say)
        self.table.chosen.connect(self._choose)
        self.table.edited.connect(self.refresh)
        self.table.refused.connect(self.say)
        self.timeline.jumped.connect(self.go_to)
        self.run_panel.track.connect(self.track)
        self.run_panel.resume.connect(self.resume)
        self.run_panel.whole.connect(lambda: self.timeline.set_bounds(0, self.timeline.frames))
        self.viewer.dims.events.current_step.connect(self._moved)

    def add_panel(self, title: str, panel: QWidget) -> None:
        """Add a page to the tabs. If it has a method ``refresh()``, that is called whenever the project changed."""
        self.tabs.addTab(panel, title)

    # What the user does

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
            self._try(lambda: project.objects.remove(self.current_object))
            left = project.objects
            self.current_object = left[-1].id if left else project.add_object().id
            self.refresh()

    def choose(self, object_id: int) -> None:
        """Make an object the one that clicks belong to."""
        self._choose(object_id)
        self.refresh()

    def _choose(self, object_id: int) -> None:
        self.current_object = object_id
        if self.layers is not None:
            self.layers.select(object_id)

    def legs(self) -> list[Segment]:
        """Return what pressing the key would do."""
        return [] if self.session is None else self._planned(self.session)()

    def _planned(self, session: Session) -> Callable[[], list[Segment]]:
        """Return what plans a run from the frame on show, later on: by then, clicks may be answered that are not yet."""
        way = self.run_panel.direction.currentText()
        project, frame, bounds, every = session.project, self.frame, self.range, self.run_panel.rate.every
        return lambda: plan(project, frame, way, bounds, session.corrected, every)  # type: ignore[arg-type]

    def track(self) -> None:
        """Follow objects from the frame on show, each to its next confirmed frame; or pause.

        Whoever has clicked while tracking goes on has paused it thereby, and wants to track from the click.
        """
        session = self.session
        if session is None:
            return
        if session.tracking and not (session.pausing and session.answering):
            session.pause()
        elif session.answering or self.legs():
            self.run_view.start()
            session.track(self._planned(session))
        else:
            self.say(NOTHING_TO_FOLLOW)

    def resume(self) -> None:
        """Go on with the run that was interrupted."""
        if self.session is None or self.session.tracking:
            return
        if self.session.interrupted:
            self.run_view.start(*self.session.interrupted_as)
            self.session.resume()
        else:
            self.say("No run was interrupted; press the key to track.")

    def confirm(self) -> None:
        """Vouch for the masks on show."""
        if self.session is not None:
            project, frame = self.session.project, self.frame
            if not project.masks.origins(frame):
                self.say(f"Nothing is known of frame {frame} yet: click or track first, then confirm it.")
                return
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
            self.say(str(error))

    # What the session says

    def _choice(self) -> Choice:
        return self.model_panel.choice()

    def _opened(self, session: Session) -> None:
        session.ready.connect(self._ready)
        session.failed.connect(self._failed)
        session.lost.connect(self._lost)
        session.prompted.connect(self._prompted)
        session.changed.connect(self.refresh)
        self.run_view.watch(session)

    def _closed(self, session: Session) -> None:
        self.run_view.forget(session)

    def _change_model(self) -> None:
        if self.session is not None:
            self.say(WARMING)
            self.session.change(self._choice())

    def _ready(self, facts: dict[str, Any]) -> None:
        self.say(f"{setup_of(facts)}: ready. Click an object; right-click says what it is not.")
        self.run_view.facts = facts
        self.refresh()

    def _prompted(self, frame: int, object_id: int) -> None:
        self.say(f"{self._doubt(frame, object_id)} Press {self.keys.key('track')} to track from here.".lstrip())
        self.refresh()

    def _doubt(self, frame: int, object_id: int) -> str:
        """Return what is to be said of an answer that is likely wrong: tracking would carry it through the video."""
        if self.session is None:
            return ""
        project = self.session.project
        entry = next((e for e in project.masks.entries(frame) if e.object_id == object_id), None)
        if entry is None or entry.origin != "prompted":  # painted masks are the user's own
            return ""
        where_it_is = any(p.box is not None or 1 in p.labels for p in project.prompts(object_id, frame))
        if entry.mask.area == 0 and where_it_is:
            return "Nothing was found here: click again, draw a box, or paint it."
        if entry.mask.area and entry.scores is not None and entry.scores.iou < UNSURE_ANSWER:
            iou = entry.scores.iou
            return f"The model is unsure of it (predicted IoU {iou:.2f}): click again where it is wrong, or paint it."
        return ""

    def _failed(self, message: str) -> None:
        self.say(message)
        self.refresh()  # a click that was refused is drawn already

    def _lost(self, message: str) -> None:
        go_on = self.session is not None and self.session.interrupted
        self.say(f"{message} Press Go on ({self.keys.key('go_on')})." if go_on else message)
        self.refresh()

    def say(self, message: str) -> None:
        """Show a message below everything."""
        self.status.setText(message)

    def _moved(self, event: Any = None) -> None:
        self.timeline.set_current(self.frame)
        self.run_view.moved()

    # Keeping the picture up to date

    def refresh(self) -> None:
        """Show the project as it is."""
        objects = [o.id for o in self.session.project.objects] if self.session is not None else []
        if objects and self.current_object not in objects:  # its step was undone
            self.current_object = objects[-1]
        self.run_view.refresh()
        if self.layers is not None:
            self.layers.show()
        for n in range(self.tabs.count()):
            if hasattr(panel := self.tabs.widget(n), "refresh"):
                panel.refresh()

    def let_go(self) -> None:
        """Let go of keys, threads, the video and the viewer."""
        commands.OPEN.discard(self)
        self.keys.close()
        self.review_panel.shut_down()
        if self._help is not None:
            self._help.close()
        self.viewer.dims.events.current_step.disconnect(self._moved)
        super().let_go()

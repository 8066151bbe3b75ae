"""The widget: pick a video, click an object, press one key, watch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSize
from qtpy.QtGui import QKeySequence, QResizeEvent, QShortcut
from qtpy.QtWidgets import QPushButton, QWidget

from napari_sam2s.widgets import commands
from napari_sam2s.widgets.camera import keep_whole_picture
from napari_sam2s.widgets.click_answers import MOST_ANSWERS, ClickAnswers, Offer
from napari_sam2s.widgets.click_pictures import ClickPictures
from napari_sam2s.widgets.close_watcher import CloseWatcher
from napari_sam2s.widgets.console import SESSIONS
from napari_sam2s.widgets.export_menu import Exporter
from napari_sam2s.widgets.file_drops import FileDrops
from napari_sam2s.widgets.form_parts import button, quiet_timer, side_by_side, wrapped
from napari_sam2s.widgets.help_overlay import Help
from napari_sam2s.widgets.keyboard import KeyboardKeeper
from napari_sam2s.widgets.keys import Keys
from napari_sam2s.widgets.layout import (
    WIDTH,
    SnugTabs,
    dock_timeline,
    give_the_menus_title,
    keep_on_screen,
    lay_out,
    take_no_more_width,
    undock_timeline,
)
from napari_sam2s.widgets.model_panel import ModelPanel
from napari_sam2s.widgets.notifications import show_news, show_trouble
from napari_sam2s.widgets.objects_panel import ObjectsPanel
from napari_sam2s.widgets.offer import withdraw_offer
from napari_sam2s.widgets.phases_panel import PhasesPanel
from napari_sam2s.widgets.preflight import setup_of
from napari_sam2s.widgets.project_worker import ProjectWorker
from napari_sam2s.widgets.review_panel import ReviewPanel
from napari_sam2s.widgets.run_panel import PREFLIGHT_LINES, RunPanel
from napari_sam2s.widgets.run_view import RunView
from napari_sam2s.widgets.session import Session
from napari_sam2s.widgets.settings import remembered
from napari_sam2s.widgets.timeline import Timeline
from napari_sam2s.widgets.track_editing_panel import TrackEditingPanel
from napari_sam2s.widgets.video_picker import LOADING, WELCOME, VideoPicker
from napari_sam2s.widgets.vispy_workarounds import guard_canvas

if TYPE_CHECKING:
    import napari

STATUS_LINES = 4
OFTEN = 3  # frames of one object that were corrected: corrections do not last
LOW = 600  # pixels of the widget's height
SCROLL_MS = 50  # until the column of a low widget is laid out: then its objects are seen, not the menus above them


class SegmentWidget(QWidget):
    """Segment a video: everything here can be scripted through :class:`Session`, :class:`Project` and :class:`Tracker`.

    Further panels go into the tabs by :meth:`add_panel`, their keys into :attr:`keys`.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer, *, project_folder: Path | None = None) -> None:
        super().__init__()
        # Opened from the menu we get a proxy, and napari warns in the viewer's corner of what is behind it.
        napari_viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
        guard_canvas(napari_viewer)
        self.viewer = napari_viewer
        self.session = session = Session(napari_viewer)
        session.setParent(self)  # ends with the widget: what is connected to it would keep both for ever
        self.keys = Keys(napari_viewer)
        self._paused_by_click = False
        self.status = wrapped(tip="What happens now, and what to do next.", lines=STATUS_LINES)
        self.timeline = Timeline()
        self.model_panel, self.run_panel = ModelPanel(), RunPanel()
        self.run_view = RunView(session, self.run_panel, self.timeline, self.keys)
        self.picker = VideoPicker(session, self.model_panel.choice, project_folder)
        self.help = Help(self.keys, self)
        self.export_button = QPushButton("Export")
        self.exporter = Exporter(session, self.export_button)
        self._bind_keys()
        self.answers = ClickAnswers(session, self.keys, self)
        self.pictures = ClickPictures(MOST_ANSWERS)
        self.run_panel.below.addWidget(self.pictures)
        self.objects_panel = ObjectsPanel(session, self.keys)
        self.review_panel = ReviewPanel(session, self.keys)
        self.review_panel.of_cells = self.objects_panel.of_cells
        self.answers.elsewhere = self.review_panel.decide
        for shown in (session.moved, session.changed, self.objects_panel.table.chosen):
            shown.connect(self.review_panel.look)
        self.track_editing_panel = TrackEditingPanel(session)
        self.phases_panel = PhasesPanel(session, self.keys)
        self.tabs = SnugTabs()
        self.add_panel("Objects", self.objects_panel)
        self.add_panel("Review", self.review_panel)
        self.add_panel("Edit", self.track_editing_panel)
        self.add_panel("Phases", self.phases_panel)
        self._lay_out()
        self._connect()
        self.keyboard = KeyboardKeeper(napari_viewer, self)
        self.phases_panel.typed.connect(self.keyboard.give_back)
        self._watcher = CloseWatcher(self, self.let_go)
        for dock in (self, self.timeline):
            FileDrops(dock, napari_viewer)
        commands.OPEN.add(self.keys)
        SESSIONS.add(session)
        withdraw_offer(napari_viewer)
        take_no_more_width(self)
        give_the_menus_title(self)
        session.tell(WELCOME)
        self.picker.look()
        self.refresh()
        keep_on_screen(self)

    def sizeHint(self) -> QSize:
        """Ask for no more of the window's width than is needed: six buttons side by side would like to be wider."""
        return QSize(WIDTH, super().sizeHint().height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Keep fewer empty lines in a low window: the page above them has its buttons there."""
        super().resizeEvent(event)
        low = int(self.height() < LOW)
        self.status.keep(STATUS_LINES - low)
        self.run_panel.preflight.keep(PREFLIGHT_LINES - low)
        if low and self.session.worker is not None:
            self._to_tabs.start()

    def _lay_out(self) -> None:
        session = self.session
        last = side_by_side(
            button("Confirm", session.confirm, "Confirm the masks of this frame: tracking stops here and never changes them."),
            button("Undo", session.undo, "Undo the last step."),
            button("Redo", session.redo, "Redo the step that was undone."),
            button("Keys", self.help.toggle, "Show all keys."),
            button("?", self.show_lessons, "Show or hide the first steps."),
            self.export_button,
        )
        column = lay_out(self, self.picker, self.model_panel, (self.tabs, 1), below=(self.run_panel, last, self.status))
        self._to_tabs = quiet_timer(self, SCROLL_MS, lambda: column.verticalScrollBar().setValue(self.tabs.y()))

    def _bind_keys(self) -> None:
        add, session = self.keys.add, self.session
        add("track", "G", "track from this frame, or pause", self.run_view.track)
        add("resume", "Shift-G", "resume the interrupted run", self.run_view.resume)
        add("new_object", "N", "new object", session.new_object)
        add("confirm", "K", "confirm the masks of this frame", session.confirm)
        add("undo", "U", "undo", session.undo)
        add("redo", "Shift-U", "redo", session.redo)
        add("mark_in", "Shift-I", "track from here on only", self.timeline.mark_in)
        add("mark_out", "Shift-O", "track up to here only", self.timeline.mark_out)
        add("export", "Shift-E", "export the masks", self.exporter.popup)
        add("help", "H", "show these keys, or hide them", self.help.toggle)
        self.run_panel.show_running(False, self.keys.key("track"))

    def _show_news(self, message: str) -> None:
        show_news(self.window(), message)

    def _begin(self, message: str) -> None:
        self.status.setText(message)
        self.status.repaint()  # what begins keeps the window from painting

    def _connect(self) -> None:
        session = self.session
        session.message.connect(self.status.setText)
        session.begins.connect(self._begin)
        session.news.connect(self._show_news)
        session.trouble.connect(show_trouble)
        session.paused_by_click.connect(self._note_pause)
        session.opened.connect(self._opened)
        session.closing.connect(self._closing)
        session.changed.connect(self._refresh)
        self.model_panel.changed.connect(self._change_model)
        self.model_panel.message.connect(session.tell)
        self.model_panel.trouble.connect(session.warn)
        self.timeline.jumped.connect(session.go_to)
        self.run_view.redrawn.connect(self.objects_panel.refresh)
        self.answers.offered.connect(self._offer)
        self.pictures.chosen.connect(self.answers.choose)
        self.review_panel.titled.connect(self._title_review)

        lessons = self.objects_panel.lessons
        lessons.wants_video.connect(self.picker.ask_for_video)
        lessons.wants_sample.connect(self.picker.open_sample)
        lessons.wants_project.connect(self.picker.open_file)
        self._question_mark = QShortcut(QKeySequence("?"), self)  # napari's own keys know no question mark
        self._question_mark.activated.connect(self.show_lessons)

    def _offer(self, offer: Offer | None) -> None:
        """Show pictures of the answers to a click, in the place of what a run would cost."""
        video = self.session.video
        if offer is None or video is None:
            self.run_panel.below.setCurrentIndex(0)
            return
        masks = [answer.mask for answer in offer.answers]
        self.pictures.show_answers(video[offer.frame], masks, offer.names(), offer.shown)
        self.run_panel.below.setCurrentWidget(self.pictures)

    def show_lessons(self) -> None:
        """Show the first steps, or put them away."""
        self.tabs.setCurrentWidget(self.objects_panel)
        self.objects_panel.shown.toggle()

    def add_panel(self, title: str, panel: QWidget) -> None:
        """Add a page to the tabs. If it has a method ``refresh()``, that is called whenever the project changed."""
        self.tabs.addTab(panel, title)

    def _title_review(self, title: str) -> None:
        self.tabs.setTabText(self.tabs.indexOf(self.review_panel), title)

    def refresh(self) -> None:
        """Show the project as it is."""
        self.session.changed.emit()

    def _refresh(self) -> None:
        self.run_panel.setVisible(self.session.worker is not None)  # the first steps need its room in a low window
        self.run_view.refresh()
        for n in range(self.tabs.count()):
            if hasattr(panel := self.tabs.widget(n), "refresh"):
                panel.refresh()

    # What the worker of the open video reports

    def _opened(self, worker: ProjectWorker) -> None:
        for signal, hear in self._heard(worker):
            signal.connect(hear)
        keep_whole_picture(self.viewer, self)
        dock_timeline(self.viewer, self.timeline)

    def _heard(self, worker: ProjectWorker) -> tuple[tuple[Any, Any], ...]:
        """Return the signals of a worker that are heard here, and what hears them."""
        return (
            (worker.ready, self._ready),
            (worker.failed, self._failed),
            (worker.asked, self.model_panel.question.ask),
            (worker.refused, self.model_panel.take_back),
            (worker.lost, self._lost),
            (worker.prompted, self._prompted),
            (worker.changed, self.session.changed),
        )

    def _closing(self, worker: ProjectWorker) -> None:
        """Hear no more of a video that is let go of, such as that its model is ready."""
        for signal, hear in self._heard(worker):
            signal.disconnect(hear)

    def _change_model(self) -> None:
        if self.session.worker is not None:
            self.session.tell(LOADING)
            self.session.worker.change(self.model_panel.choice())

    def _ready(self, facts: dict[str, Any]) -> None:
        if not self.session.hears(self):
            return
        worker, then = self.session.worker, self._first_step()
        if worker is not None and worker.interrupted:
            then = f"A run was interrupted at frame {worker.project.runs[-1].next_frame}. {self.keys.key('resume')} resumes it."
        left_out = f" Left out, as you chose: {facts['differences']}." if facts.get("differences") else ""
        left_out += f" Its file also holds averaged weights ({facts['averaged']}), not taken." if facts.get("averaged") else ""
        self.session.tell(f"{setup_of(facts)}: ready.{left_out} {then}")
        self.run_view.facts = facts
        self.model_panel.note_device(str(facts.get("device", "")))
        self.refresh()

    def _first_step(self) -> str:
        """Say what to do in a project that was opened, by what is in it."""
        project, key = self.session.project, self.keys.key
        if project is not None and project.runs:
            doubts = f"{key('review_next')} shows what is in doubt."
            return f"{doubts} Click where a mask is wrong, {key('new_object')} for a new object."
        if project is not None and (project.frames or project.prompts()):
            return f"Press {key('track')} to track, or click another object."
        return "Click an object. Right-click to leave something out."

    def _note_pause(self) -> None:
        self._paused_by_click = True

    def _prompted(self, frame: int, object_id: int) -> None:
        if not self.session.hears(self):
            return
        lost, self.session.beside_paint = self.session.beside_paint, ""
        doubt, keys = f"{lost} {self.answers.say(frame, object_id)}".strip(), self.keys
        paused, self._paused_by_click = self._paused_by_click, False
        resumes = paused and self.session.worker is not None and self.session.worker.interrupted
        then = f" {keys.key('resume')} resumes the run that your click paused." if resumes else ""
        where = "from here"
        if (span := self.session.correction) is not None and span[0] <= frame < span[1]:
            where = f"frames {span[0]} to {span[1] - 1} again, both ways"
        other = (
            "" if doubt or not self.answers.asks(frame, object_id) else f", or {keys.key('other_answer')} for another answer"
        )
        project = self.session.project
        if project is not None and project.runs and len({p.frame for p in project.prompts(object_id)}) == OFTEN:
            then += " Does it jump to a similar object again and again? Choose a larger model in the menu 'model'."
        if self.session.tracking:  # a run waited for the answer
            self.session.tell(f"{doubt} Tracking ...".lstrip())
        else:
            known = self.session.rapid or remembered("lessons", "learned", False)  # in rapid marking, every click does
            more = "" if known else f" {keys.key('new_object')} begins another object."
            self.session.tell(f"{doubt} Press {keys.key('track')} to track {where}{other}.{then}{more}".lstrip())
        self.refresh()

    def _failed(self, message: str) -> None:
        if not self.session.hears(self):
            return
        self.session.warn(message)
        self.refresh()  # a click that was refused is drawn already

    def _lost(self, message: str) -> None:
        if not self.session.hears(self):
            return
        worker = self.session.worker
        interrupted = worker is not None and worker.interrupted
        self.session.warn(f"{message} Press Resume ({self.keys.key('resume')})." if interrupted else message)
        self.refresh()

    def let_go(self) -> None:
        """Let go of keys, threads, the video and the viewer; the masks stay to look at."""
        commands.OPEN.discard(self.keys)
        SESSIONS.discard(self.session)
        self._question_mark.setEnabled(False)
        self.keys.close()
        self.review_panel.shut_down()
        self.help.hide()
        self.picker.let_go()
        self.session.let_go()
        undock_timeline(self.viewer, self.timeline)
        self.timeline.deleteLater()  # nobody owns it any more, and PySide6 would keep it

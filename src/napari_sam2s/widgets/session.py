"""What the panels share: the video and project at hand, the object and frame chosen, messages, and what happens.

A session lasts as long as its widget; videos are opened and closed in it. Work on the project of an open one is done by its
:class:`ProjectWorker`, in a thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Qt, QTimer, Signal
from qtpy.QtGui import QGuiApplication

from napari_sam2s.errors import Sam2sError
from napari_sam2s.masklets import Project, Prompt
from napari_sam2s.video import Video
from napari_sam2s.widgets.flat_view import stay_flat
from napari_sam2s.widgets.form_parts import quiet_timer
from napari_sam2s.widgets.layer_sync import LayerSync
from napari_sam2s.widgets.project_worker import ProjectWorker
from napari_sam2s.widgets.step_names import in_words
from napari_sam2s.widgets.strokes import lost_pixels
from napari_sam2s.widgets.time_axis import TimeAxis, show_frame
from napari_sam2s.widgets.tracker_source import Choice

if TYPE_CHECKING:
    import napari
    from napari.layers import Image

CHANGES_MS = 150  # from a change in the project until it is shown, unless whoever made it says so
PATIENCE_MS = 700  # from a click until the user is told that it was heard
ANSWERING = "The model is answering the click ..."
TAKEN = "masks of a layer"
NO_VIDEO = "No video is open. Drop one on napari, or press 'Open a video ...' in the tab Objects."


class Session(QObject):
    """The video that is open in a viewer, its project and layers, and what is chosen there; ``None`` where nothing is open."""

    opened = Signal(object)  # the ProjectWorker of a video
    closing = Signal(object)  # it
    closed = Signal()
    changed = Signal()  # the project, or which object is chosen: show it anew
    moved = Signal()  # another frame is on show
    message = Signal(str)  # for the user
    begins = Signal(str)  # the same, to be painted at once: something begins that blocks the window
    news = Signal(str)  # the same, also to be shown by napari: what was undone, what was lost
    trouble = Signal(str)  # what went wrong, to be shown by napari as well
    needed = Signal()  # the user wants to work, and nothing is open
    paused_by_click = Signal()  # a prompt was given in the midst of a run

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.viewer = viewer
        self.worker: ProjectWorker | None = None
        self.image: Image | None = None
        self.layers: LayerSync | None = None
        self.current_object = 1
        self._chosen: list[int] = []  # objects that were chosen, the last one at the end, each once
        self.reword: Callable[[Prompt], Prompt] = lambda prompt: prompt  # what a click says besides, by what it corrects
        self.rapid = False  # every click is a new object
        self.outlines = False  # masks are shown by their outlines
        self.following = False  # the view goes along with a run: what is on show passes by
        self._stopped_run = False  # by the change that is to be told of next
        self.beside_paint = ""  # what the latest stroke did to other objects, to be told with the rest of it
        self.correction: tuple[int, int] | None = None  # first frame and the one after the last that a correction is to change
        self._marked: set[int] = set()  # objects that were clicked since the video was opened
        self._unseen = quiet_timer(self, CHANGES_MS, self._show_changes)  # changes that nobody has told us of
        self.bounds = (0, 1)  # first frame and the one after the last that tracking may touch: the timeline's handles
        self._time: TimeAxis | None = None  # of the image
        self._let_rise: Callable[[], None] | None = None  # ends that the view stays flat
        viewer.dims.events.current_step.connect(self._moved)
        self.changed.connect(self._show)  # first of all

    # What is open

    def open(self, layer: Image, video: Video, path: Path, choice: Choice) -> ProjectWorker:
        """Open the video of a layer with the project at ``path``, new or known; its worker is yet to be started.

        Raises :class:`Sam2sError` if the project cannot be opened or is another video's.
        """
        self.worker = worker = ProjectWorker(video, path, choice)
        self.image, self._time = layer, TimeAxis(layer)
        self._let_rise = stay_flat(self.viewer, worker.project.shape, self.warn)
        if not worker.project.objects:
            worker.project.add_object()
        self.current_object = worker.project.objects[0].id
        self.layers = LayerSync(self.viewer, layer, worker.project, self)
        self._marked, self._chosen = set(), []
        for changes in (worker.project.masks_changed, worker.project.objects_changed):
            changes.connect(self._note_change)
        self.opened.emit(worker)
        return worker

    def _note_change(self, *_: Any) -> None:
        """Note that the project was changed here, in Qt's thread: perhaps by a line in napari's console."""
        if threading.current_thread() is threading.main_thread():
            self._unseen.start()

    def _show_changes(self) -> None:
        if self.worker is None or self.tracking:
            return
        if QGuiApplication.mouseButtons() != Qt.MouseButton.NoButton:  # in the midst of a stroke
            self._unseen.start()
        else:
            self.changed.emit()

    def close(self, *, leave_masks: bool = False) -> None:
        """Let go of the video; the masks stay in the project, and in the viewer to look at if ``leave_masks``."""
        worker, self.worker = self.worker, None
        layers, self.layers = self.layers, None
        self.correction = None
        self._unseen.stop()
        if self._time is not None:
            self._time.close()
        if self._let_rise is not None:
            self._let_rise()
        self.image = self._time = self._let_rise = None
        if worker is not None:
            for changes in (worker.project.masks_changed, worker.project.objects_changed):
                changes.disconnect(self._note_change)
            self.closing.emit(worker)
        if layers is not None and not leave_masks:
            layers.remove()  # while their masks can be read: napari looks at the layer that is chosen next
        if worker is not None:
            worker.close()
            if layers is not None and leave_masks:
                layers.leave(Project.open(worker.project.path, mode="r"))
        self.closed.emit()
        self.changed.emit()

    def hears(self, receiver: QObject) -> bool:
        """Whether what a ``receiver`` is hearing is said by the worker of the open video.

        PySide6 delivers what was queued before a signal was disconnected, as nobody's; PyQt6 does not.
        """
        return self.worker is not None and receiver.sender() is self.worker

    def let_go(self) -> None:
        """Let go of the viewer, for good; the masks stay there to look at."""
        self.viewer.dims.events.current_step.disconnect(self._moved)
        self.close(leave_masks=True)

    @property
    def project(self) -> Project | None:
        """The project that is open."""
        return None if self.worker is None else self.worker.project

    @property
    def video(self) -> Video | None:
        """The video that is open."""
        return None if self.worker is None else self.worker.video

    @property
    def tracking(self) -> bool:
        """Whether a run is at work, or is to begin."""
        return self.worker is not None and self.worker.tracking

    @property
    def passing(self) -> bool:
        """Whether the frame on show passes by: nobody has looked at it."""
        return self.following and self.tracking

    # What is on show and chosen

    @property
    def frame(self) -> int:
        """The frame on show."""
        return 0 if self._time is None else self._time.frame(self.viewer.dims.point)

    def go_to(self, frame: int) -> None:
        """Show a frame."""
        if self.image is not None:
            show_frame(self.viewer, self.image, frame)

    def _moved(self, event: Any = None) -> None:
        self.moved.emit()

    def select(self, object_id: int) -> None:
        """Make an object the one that clicks belong to, without showing everything anew."""
        self.current_object = object_id
        self._note_chosen()
        if self.layers is not None:
            self.layers.select(object_id)

    def _note_chosen(self) -> None:
        self._chosen = [i for i in self._chosen if i != self.current_object] + [self.current_object]

    def choose(self, object_id: int) -> None:
        """Make an object the one that clicks belong to."""
        self.select(object_id)
        self.changed.emit()

    def _show(self) -> None:
        """Show the layers as the project is now; if the chosen object is gone, as after undo, the one before is chosen."""
        objects = [o.id for o in self.project.objects] if self.project is not None else []
        if objects and self.current_object not in objects:
            self.current_object = next((i for i in reversed(self._chosen) if i in objects), objects[-1])
        self._note_chosen()
        if self.layers is not None:
            self.layers.show()

    def show_outlines(self, outlines: bool) -> None:
        """Show masks by their outlines, or by what they cover."""
        self.outlines = outlines
        if self.layers is not None:
            self.layers.show()

    def activate_prompts(self) -> None:
        """Make the next click a prompt."""
        if self.layers is not None:
            self.layers.activate_prompts()

    def tell(self, message: str) -> None:
        """Show the user a message."""
        self.message.emit(message)

    def begin(self, message: str) -> None:
        """Show the user at once that something begins, in place of what was said before."""
        self.begins.emit(message)

    def notify(self, message: str) -> None:
        """Show the user a message, in a notification of napari's as well; and that a run was paused for what it tells of."""
        paused, self._stopped_run = self._stopped_run, False
        if paused and self.worker is not None and self.worker.interrupted:
            message = f"Tracking is paused. {message} Resume continues it."
        self.message.emit(message)
        self.news.emit(message)

    def warn(self, message: str) -> None:
        """Tell the user what went wrong, in a warning of napari's as well."""
        self.message.emit(message)
        self.trouble.emit(message)

    # What the user does

    def need_video(self) -> bool:
        """Tell the user if no video is open, and return whether one is."""
        if missing := self.worker is None:
            self.tell(NO_VIDEO)
            self.needed.emit()
        return not missing

    def new_object(self, *, activate: bool = True) -> None:
        """Add an object; the next click prompts it if ``activate``."""
        if self.need_video() and self.project is not None:
            made = self.project.add_object()
            self.current_object = made.id
            if activate:
                self.activate_prompts()
            self.changed.emit()
            self.tell(f"{made.name} is new: {'click it in the picture' if activate else 'you are painting it'}.")

    def object_for_click(self, *, positive: bool = True) -> int:
        """Return the object that a click in the picture belongs to: the chosen one, or in rapid marking a new one."""
        if self.rapid and positive and self.project is not None:
            used = self.current_object in self._marked or bool(self.project.prompts(self.current_object))
            if used:
                self.select(self.project.add_object().id)
                self.changed.emit()
        self._marked.add(self.current_object)
        return self.current_object

    def take_masks(self, masks: Mapping[str, NDArray[np.bool_]]) -> None:
        """Take masks ``{name: (Y, X) bool}`` of the frame on show as prompts, each of a new object; one step of undo."""
        if self.worker is None or self.project is None or not masks:
            return
        project, frame = self.project, self.frame
        prompts: list[Prompt] = []
        since = project.history.last
        with project.history.step(TAKEN):
            for name, mask in masks.items():
                if not prompts and (i := self._untouched(project)) is not None:
                    project.objects.rename(i, name)
                else:
                    i = project.add_object(name).id
                prompts.append(Prompt(i, frame, mask=mask))
        self.current_object = prompts[-1].object_id
        self.changed.emit()
        self.tell(f"Taking {len(prompts)} mask{'s' * (len(prompts) != 1)} as prompts of frame {frame} ...")
        self.worker.prompt_all(prompts, since, TAKEN)

    @staticmethod
    def _untouched(project: Project) -> int | None:
        """Return the one object that a new project has, as long as nothing is known of it."""
        only = project.objects[0].id if len(project.objects) == 1 else None
        return None if only is None or project.prompts() or project.masks.known(only, 0, project.shape[0]) else only

    def remove_object(self) -> None:
        """Remove the chosen object."""
        if (project := self.project) is not None:
            self._try(lambda: project.objects.remove(self.current_object))
            if not project.objects:
                self.current_object = project.add_object().id
            self.changed.emit()

    def confirm(self) -> None:
        """Confirm the masks on show."""
        if not self.need_video() or (project := self.project) is None:
            return
        frame = self.frame
        if self.passing:
            self.following = False
            self.tell(f"Tracking continues, but the view stays on frame {frame}. Look at it, then confirm once more.")
            return
        if not project.masks.origins(frame):
            self.tell(f"Frame {frame} has no masks yet. Click or track first, then confirm it.")
            return
        self._try(lambda: project.confirm(frame))
        self.tell(f"Frame {frame} is confirmed: tracking stops here and keeps its masks.")
        self.changed.emit()

    def prompt(self, prompt: Prompt) -> None:
        """Prompt an object; pauses tracking. An id that no object has gets a new object."""
        if self.worker is None or self.refuse_locked(prompt.object_id):
            return
        project = self.worker.project
        if prompt.object_id not in {o.id for o in project.objects}:
            self.current_object = project.add_object().id
            prompt = Prompt(self.current_object, prompt.frame, prompt.points, prompt.labels, prompt.box)
        if self.tracking:
            self.paused_by_click.emit()
        self.worker.prompt(self.reword(prompt))
        QTimer.singleShot(PATIENCE_MS, self._tell_wait)

    def _tell_wait(self) -> None:
        if self.worker is not None and self.worker.answering:
            self.tell(ANSWERING)

    def replace_prompts(self, object_id: int, frame: int, prompts: Sequence[Prompt], *label: str) -> None:
        """Leave only these prompts of an object on a frame, as a step of undo of that label; pauses tracking."""
        if self.worker is not None and not self.refuse_locked(object_id):
            self.worker.replace_prompts(object_id, frame, prompts, *label)

    def painted(self, frame: int, objects: Sequence[int], covered: Sequence[int], since: int) -> None:
        """Take what was painted as mask prompts, all of a stroke as one step of undo.

        An object that is only ``covered`` loses those pixels on this frame, and is not tracked anew for it. What was said of it
        on this frame is of another mask than it has now: where something was, the mask that is left is said instead.
        """
        if self.worker is None or not objects:
            return
        project = self.worker.project
        if covered:
            self.beside_paint = lost_pixels(project, frame, covered)
        objects = [*objects, *(i for i in covered if project.prompts(i, frame))]
        with project.history.step("paint"):
            for i in objects:
                mask = project.mask(frame, i)
                project.prompts.remove(i, frame)
                if mask is not None and mask.any():
                    project.prompts.add(Prompt(i, frame, mask=mask))
        project.history.merge(since, "paint")
        self.worker.painted(frame, objects)

    def edit(self, change: Callable[[Project], Any]) -> None:
        """Change the project in the worker's thread; pauses tracking."""
        if self.worker is not None:
            self._stopped_run = self.tracking
            self.worker.edit(change)

    def undo(self) -> None:
        """Undo the last step."""
        self.need_video()
        self.edit(lambda project: self._say(project.undo(), "Undone: {}. Redo brings it back.", "There is nothing to undo."))

    def redo(self) -> None:
        """Redo what was undone."""
        self.need_video()
        self.edit(lambda project: self._say(project.redo(), "Redone: {}.", "There is nothing to redo."))

    def _say(self, step: str | None, done: str, nothing: str) -> None:
        names = {o.id: o.name for o in self.project.objects} if self.project is not None else {}
        self.notify(nothing if step is None else done.format(in_words(step, names)))

    def settle(self, timeout: float = 60.0) -> None:
        """Wait until all jobs given so far are done; for scripts and tests."""
        if self.worker is not None:
            self.worker.settle(timeout)

    def refuse_locked(self, object_id: int) -> bool:
        """Tell the user if an object is locked, draw its prompts as they were, and return whether it is."""
        objects = self.project.objects if self.project is not None else ()
        locked = next((o for o in objects if o.id == object_id and o.locked), None)
        if locked is not None:
            self.tell(f"{locked.name} is locked. Unlock it to change its masks.")
            QTimer.singleShot(0, self.changed.emit)  # napari draws a click after we have heard of it
        return locked is not None

    def _try(self, action: Callable[[], Any]) -> None:
        try:
            action()
        except Sam2sError as error:
            self.warn(str(error))

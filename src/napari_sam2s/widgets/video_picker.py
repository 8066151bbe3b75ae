"""Which video is worked on: picked among the viewer's layers, opened with its project, let go of when it is removed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from magicgui.widgets import ComboBox
from napari.layers import Image, Labels, Layer
from npe2 import PluginManager
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QFileDialog, QLabel, QMenu, QToolButton, QWidget

from napari_sam2s.errors import ProjectError, ProjectInUse, Sam2sError
from napari_sam2s.masklets.copies import copy_project
from napari_sam2s.video import Video
from napari_sam2s.widgets.form_parts import ShortenedLabel, button, side_by_side, stacked
from napari_sam2s.widgets.label_menu import labels_on_show
from napari_sam2s.widgets.napari_reader import PROJECT_KEY, find_video, get_reader
from napari_sam2s.widgets.next_video import next_video
from napari_sam2s.widgets.notifications import show_warning
from napari_sam2s.widgets.project_location import ENDING, beside, place_in, project_path
from napari_sam2s.widgets.project_worker import ProjectWorker
from napari_sam2s.widgets.recent_projects import note_recent
from napari_sam2s.widgets.session import Session
from napari_sam2s.widgets.settings import PLUGIN
from napari_sam2s.widgets.start_folder import note_folder, start_folder
from napari_sam2s.widgets.time_axis import play_at_its_speed
from napari_sam2s.widgets.tracker_source import Choice

WELCOME = "Drop a video on napari, then click an object in it."
ELSEWHERE = " Then press a key such as G here. Or begin another project with the button '...'."
LOADING = "The model is loading ..."


class VideoPicker(QWidget):
    """The rows "video" and "project" of the widget.

    Parameters
    ----------
    choice
        Returns the model to open a video with.
    project_folder
        Where projects are kept; ``None`` for where :func:`project_path` puts them.
    """

    def __init__(self, session: Session, choice: Callable[[], Choice], project_folder: Path | None) -> None:
        super().__init__()
        self._session, self._choice, self._project_folder = session, choice, project_folder
        self._layers = session.viewer.layers
        self.video = _choice_of_layers(self._layers)
        self.project = ShortenedLabel("none")
        choose = QToolButton()
        choose.setText("...")
        choose.setStyleSheet("QToolButton::menu-indicator { image: none; }")  # it would lie on the dots, which say as much
        choose.setToolTip("Open another project, or keep the work on this video in another place.")
        choose.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.places = QMenu(choose)
        self.places.addAction("Open a project of this video ...", self._open_project)
        self.places.addAction("Begin a project in another place ...", self._begin_project)
        choose.setMenu(self.places)
        self.saved = QLabel("")
        self.saved.setToolTip("Everything is saved immediately. You can close napari at any time.")
        self.next_button = button(
            "next", self.open_next, "Open the next video of the folder in place of this one; the list of classes stays."
        )
        stacked(
            side_by_side(QLabel("video"), (self.video.native, 1), self.next_button),
            side_by_side(QLabel("project"), (self.project, 1), self.saved, choose),
            into=self,
        )
        session.closing.connect(self._closing)
        session.closed.connect(self._closed)
        session.needed.connect(self._try_again)
        self.video.changed.connect(self._pick)
        self._layers.events.removed.connect(self._layer_removed)
        self._layers.events.inserted.connect(self.look)
        self._layers.selection.events.active.connect(self._layer_chosen)
        self._taken_on_insert: Image | None = None  # the video that was opened when napari added it, until napari selects it
        self._let_go = False
        self._refused: tuple[Image, Path | None] | None = None  # what could not be opened, with which project

    # Among the layers

    def _second(self, layer: Image | Labels) -> str:
        """Return what can be done with a layer that was added beside the video; nothing for labels without masks here."""
        project = self._session.project
        labels = None if project is None else labels_on_show(self._session.viewer, layer, project.shape[1:])
        if isinstance(layer, Labels):
            return (
                f"{layer.name} holds masks. 'From layer' makes prompts of them." if labels is not None and labels.any() else ""
            )
        if labels is not None:
            return f"{layer.name} looks like masks. 'From layer' makes prompts of them."
        return f"{layer.name} is open, too. Choose it in the menu 'video' to work on it."

    def look(self, event: Any = None) -> None:
        """Offer the layers that there are, and open a video if none is open."""
        if self._video_removed:
            return  # what is there then is looked at when the video is let go of
        before, chosen = self._session.image, self.video.value
        self.video.reset_choices()  # picks the first one, if there was none
        if self._session.image is None and self.video.value is chosen:  # else it was picked just now, and refused
            self._pick(self.video.value)
        if event is not None and self._session.image is not before:
            self._taken_on_insert = self._session.image
        elif event is not None and before is not None and (isinstance(event.value, Labels) or _is_video(event.value)):
            tell = self._session.notify if self._session.tracking else self._session.tell  # a run says something else at once
            if text := self._second(event.value):
                tell(text)

    def _layer_chosen(self, event: Any) -> None:
        """Choose the prompts instead of a video that was just added.

        napari makes a layer the active one after it has told us of it: the next click would do nothing.
        """
        if event.value is not None and event.value is self._taken_on_insert:
            self._taken_on_insert = None
            QTimer.singleShot(0, self._session.activate_prompts)

    @property
    def _video_removed(self) -> bool:
        image = self._session.image
        return image is not None and image not in self._layers

    def _layer_removed(self, event: Any) -> None:
        ours = self._session.layers is not None and self._session.layers.notice_removal()
        if self._video_removed:
            # napari is in the midst of removing layers, perhaps of a selection that has ours in it, too: taking ours away
            # now, or adding those of another video, would change its list under its hands.
            QTimer.singleShot(0, self._let_go_of_removed)
        elif ours:
            name = event.value.name
            QTimer.singleShot(0, lambda: self._bring_back(name))
        elif isinstance(event.value, Image):  # ours are removed while a session closes: no time to open another video
            self.video.reset_choices()

    def _bring_back(self, name: str) -> None:
        """Show a layer of ours that was deleted again: without a word nobody knows whether the masks are gone."""
        layers = self._session.layers
        if layers is not None and not self._let_go and not self._video_removed and not layers.whole:
            layers.activate_prompts()
            self._session.notify(
                f"{name} is back, because it shows the project. Hide it with its eye. Delete an object with Remove."
            )

    def _let_go_of_removed(self) -> None:
        if self._let_go or not self._video_removed:
            return
        self._session.close()
        self._session.tell(WELCOME)
        self.look()  # another video is opened, if there is one

    def _pick(self, layer: Image | None) -> None:
        image = self._session.image
        if layer is not None and (image is None or layer.name != image.name):
            self._session.close()
            self.open(layer)

    # Opening and closing

    def ask_for_video(self) -> None:
        """Ask for a video and open it in the viewer."""
        chosen, _ = QFileDialog.getOpenFileName(self, "A video, or a stack of pictures")
        if chosen:
            self.open_file(chosen)

    def open_file(self, path: str) -> None:
        """Open a video in the viewer, whatever its name ends in."""

        def add(viewer: Any) -> None:
            readers = PluginManager.instance().iter_compatible_readers(path)
            if any(reader.plugin_name == PLUGIN for reader in readers) or (read := get_reader(path)) is None:
                viewer.open(path, plugin=PLUGIN)
                return
            for data, *more in read(path):  # napari asks us by the ending alone
                if data is not None:
                    viewer.add_layer(Layer.create(data, *more))

        self._add(add)

    def open_sample(self, key: str) -> None:
        """Open one of our samples in the viewer."""
        self._session.begin("Opening the sample ...")
        self._add(lambda viewer: viewer.open_sample(PLUGIN, key))

    def open_next(self) -> None:
        """Open the next video of the folder, and take the present one out of the viewer; what is missing for it is told."""
        session, before = self._session, self._session.image
        path = None if session.video is None else session.video.path
        if before is None or path is None:
            session.tell("There is no next video, because this one does not come from a file.")
        elif session.tracking:
            session.tell("Tracking is running. Pause it first.")
        elif (following := next_video(path)) is None:
            session.tell(f"{path.name} is the last video of its folder.")
        else:
            known = set(self._layers)
            self.open_file(str(following))
            new = next((layer for layer in self._layers if layer not in known and isinstance(layer, Image)), None)
            if new is not None:
                self.video.value = new
                self._layers.remove(before)

    def _add(self, how: Callable[[Any], Any]) -> None:
        try:
            how(self._session.viewer)
        except Sam2sError as error:
            self._session.warn(str(error))

    def open(self, layer: Image, path: Path | None = None) -> None:
        """Open the video of a layer, with its own project or the one at ``path``."""
        try:
            self._open(layer, path)
            self._refused = None
        except Sam2sError as error:
            self._refused = layer, path
            self._session.close()
            more = ELSEWHERE if isinstance(error, ProjectInUse) else ""
            self._session.warn(f"{error}{more}")
            if path is None:
                self._show_project(None, "none: choose a place" if isinstance(error, ProjectError) else "none")

    def _try_again(self) -> None:
        """Open what was refused, or say again why not: another napari may have closed its project by now."""
        if self._refused is not None and self._refused[0] is self.video.value:
            self.open(*self._refused)

    def use_project(self, path: Path) -> None:
        """Keep the work on the picked video at ``path`` instead, or open the project that is there."""
        layer = self._session.image if self._session.image is not None else self.video.value
        if layer is None:
            self._session.tell("A project needs a video. Drop one on napari first.")
            return
        self._session.close()
        self.open(layer, path)

    def _open(self, layer: Image, path: Path | None) -> None:
        session, video = self._session, find_video(layer)
        path = path or layer.metadata.get(PROJECT_KEY) or self._default_path(video)
        worker = session.open(layer, video, path, self._choice())
        self._show_project(path)
        project = worker.project
        if not project.prompts():
            session.go_to(0)
        elif session.frame == (project.shape[0] - 1) // 2 and project.frames:  # where napari puts what is new
            last = project.runs[-1] if worker.interrupted else None
            reached = 0 if last is None or last.next_frame is None else last.next_frame - 1
            session.go_to(max(project.frames[0], reached))
        play_at_its_speed(session.viewer, video.fps)
        session.tell(LOADING)
        session.changed.emit()
        worker.start()
        for warning in video.warnings:
            show_warning(warning)

    def _default_path(self, video: Video) -> Path:
        near = beside(video)
        if self._project_folder is not None:
            return place_in(self._project_folder, video) if near is None else self._project_folder / near.name
        path = project_path(video)
        if near is not None and path != near and near.exists() and not path.exists():
            copy_project(near, path)
            show_warning(f"{near.name} cannot be written where it is. You are working on a copy, {path}.")
        return path

    def _closing(self, worker: ProjectWorker) -> None:
        if worker.project.prompts() or worker.project.frames:  # an empty one holds nothing to go back to
            note_recent(worker.project.path)

    def _closed(self) -> None:
        self._show_project(None)

    def let_go(self) -> None:
        """Let go of the viewer's layers."""
        self._let_go = True
        self._layers.events.removed.disconnect(self._layer_removed)
        self._layers.events.inserted.disconnect(self.look)
        self._layers.selection.events.active.disconnect(self._layer_chosen)

    def _show_project(self, path: Path | None, otherwise: str = "none") -> None:
        self.project.setText(otherwise if path is None else path.name)
        self.saved.setText("" if path is None else "saved")
        self.project.setToolTip(
            "Everything is saved here immediately." if path is None else f"Everything is saved immediately in {path}."
        )

    def _open_project(self) -> None:
        folder = str(start_folder(self._session.viewer))
        chosen, _ = QFileDialog.getOpenFileName(self, "Open a project of this video", folder, f"Projects (*{ENDING})")
        if chosen:
            self.use_project(Path(chosen))

    def _begin_project(self) -> None:
        project = self._session.project
        name = project.path.name if project is not None else f"video{ENDING}"
        near, asked = str(start_folder(self._session.viewer) / name), QFileDialog.Option.DontConfirmOverwrite
        chosen, _ = QFileDialog.getSaveFileName(self, "Begin a project here", near, f"Projects (*{ENDING})", options=asked)
        if not chosen:
            return
        path = Path(chosen)
        path = path if path.suffix == ENDING else path.with_name(path.name + ENDING)
        if path.exists():
            self._session.tell(f"{path.name} already exists. It is open now.")
        note_folder(self._session.viewer, str(path))
        self.use_project(path)


def _choice_of_layers(layers: Any) -> Any:
    """Return a menu of the images among these layers: of this viewer, not of the one that napari thinks one works in."""
    choice: Any = ComboBox(choices=lambda _: [layer for layer in layers if isinstance(layer, Image)])
    choice.native.setToolTip("The image layer to segment: time (or z), y, x, grey or colour.")
    return choice


def _is_video(layer: Any) -> bool:
    return isinstance(layer, Image) and layer.ndim >= 3

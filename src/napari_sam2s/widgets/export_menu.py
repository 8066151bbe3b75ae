"""The menu of formats: choose one and a place, and it is written in a thread while you work."""

from __future__ import annotations

import itertools
import logging
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QPoint, Signal
from qtpy.QtWidgets import QFileDialog, QMenu, QMessageBox, QPushButton

from napari_sam2s.errors import Sam2sError
from napari_sam2s.formats import FORMATS
from napari_sam2s.formats.atomic_write import TakenError, kind_of
from napari_sam2s.formats.measurements import PixelSize
from napari_sam2s.formats.registry import Format
from napari_sam2s.masklets import Project
from napari_sam2s.widgets.start_folder import note_folder, start_folder
from napari_sam2s.widgets.tracks_layer import TracksShower

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_sam2s.widgets.session import Session

_log = logging.getLogger(__name__)
LAYER = "Tracks as a layer"


class Exporter(QObject):
    """Writes the open project in other formats, one at a time."""

    _over = Signal(str)
    _failed = Signal(str)
    _taken = Signal(str, object, str)  # the format, where to, and what is there

    def __init__(self, session: Session, button: QPushButton) -> None:
        super().__init__(button)
        self._session, self._button = session, button
        self._thread: threading.Thread | None = None
        self._over.connect(session.tell)
        self._failed.connect(session.warn)
        self._taken.connect(self._ask_to_replace)
        self.menu = QMenu(button)
        self.menu.setToolTipsVisible(True)
        for known in FORMATS.values():
            if known.name == "overlay":  # from here on to look at
                self.menu.addSeparator()
            action = self.menu.addAction(f"{known.title} ...")
            action.setToolTip(known.tip)
            action.triggered.connect(lambda _=False, name=known.name: self.ask(name))
        self.tracks = TracksShower(session, self)
        self.menu.addSeparator()
        action = self.menu.addAction(LAYER)
        action.setToolTip("Add a layer with the paths of the objects and their divisions.")
        action.triggered.connect(lambda _=False: self.tracks.show())
        button.setToolTip("Write the masks in another format. The project does not change.")
        button.setMenu(self.menu)

    def popup(self) -> None:
        """Show the menu above its button, as by key."""
        self.menu.popup(self._button.mapToGlobal(QPoint(0, -self.menu.sizeHint().height())))

    def ask(self, name: str) -> None:
        """Ask where to, and write."""
        session, project = self._session, self._session.project
        if project is None or not project.frames:
            session.tell("There are no masks to export. Click an object first.")
            return
        video = session.video.path if session.video is not None else None
        stem = video.stem if video is not None and video.name == project.path.stem else project.path.stem
        target, confirmed = self._ask_where(FORMATS[name], start_folder(session.viewer, project.path), stem)
        if target is not None:
            note_folder(session.viewer, str(target.parent))  # not inside of an earlier export
            self.write(name, target, overwrite=confirmed)

    def _ask_where(self, known: Format, folder: Path, stem: str) -> tuple[Path | None, bool]:
        """Return the file or folder that the user names, and whether the dialog has asked about what is there.

        A folder is asked for as a file is: in Qt's dialog for folders a new one cannot be named.
        """
        usual = known.usual_file or f"-{known.name}{known.file_ending}"
        ending = Path(usual).suffix
        title = f"{known.title} as" if ending else f"New folder for {known.title}"
        kinds = f"*{ending}" if ending else "Folders (*)"
        offered = folder / f"{stem}{usual}"
        chosen, _ = QFileDialog.getSaveFileName(self._button, title, str(offered if ending else _free(offered)), kinds)
        if not chosen:
            return None, False
        target = Path(chosen)
        if ending and (not target.suffix or (known.usual_file and kind_of(target) != ending)):
            return target.with_name(target.name + ending), False  # of this name the dialog has not asked
        return target, bool(ending)

    def _ask_to_replace(self, name: str, target: Path, words: str) -> None:
        self.wait()  # it is over
        answer = QMessageBox.question(self._button, "Replace the export?", words)
        if answer == QMessageBox.StandardButton.Yes:
            self.write(name, target, overwrite=True)
        else:
            self._session.tell("Nothing was exported. Earlier files are unchanged.")

    def write(self, name: str, target: Path, *, overwrite: bool = False) -> None:
        """Write a format into a folder (or to a file, if it is one), in a thread; ask before an earlier export is replaced."""
        session = self._session
        if self._thread is not None and self._thread.is_alive():
            session.tell("Another export is being written. Wait until it is done.")
            return
        worker, image = session.worker, session.image
        if worker is None or image is None:
            return
        path, known = worker.project.path, measures_of(image)
        options = {option: known[option] for option in FORMATS[name].keywords & known.keys()} | {"video": worker.video}
        session.tell(f"Exporting to {target} ...")

        def work() -> None:
            try:
                with warnings.catch_warnings(record=True) as noted:
                    warnings.simplefilter("always", UserWarning)
                    # A look of its own at the file: a run may be at work meanwhile.
                    with Project.open(path, mode="r") as project:
                        made = project.export(target, name, overwrite=overwrite, **options)
                notes = "".join(f" {w.message}" for w in noted if issubclass(w.category, UserWarning))
                self._report(self._over, f"Exported to {made}.{notes}")
            except TakenError as error:
                self._report(self._taken, name, target, f"{error.place} exists already.\nReplace it?")
            except (Sam2sError, OSError) as error:
                self._report(self._failed, f"Nothing was exported: {error}")
            except Exception as error:  # noqa: BLE001  the edge of the thread: what is not reported here is lost
                _log.exception("an export failed")
                self._report(self._failed, f"Nothing was exported ({type(error).__name__}: {error}). See the log.")

        self._thread = threading.Thread(target=work, name="sam2s-export", daemon=True)
        self._thread.start()

    def _report(self, signal: Any, *message: object) -> None:
        try:
            signal.emit(*message)
        except RuntimeError:  # the widget is gone; what was written stays
            return

    def wait(self, timeout: float = 60.0) -> None:
        """Wait until what is being written is written; for scripts, tests and the end."""
        if self._thread is not None:
            self._thread.join(timeout)


def pixel_size_of(scale: Sequence[float], units: Sequence[Any] | None) -> tuple[PixelSize | None, str]:
    """Return the size of a pixel ``(y, x)`` and its unit, of a layer; ``None`` where a pixel is just a pixel."""
    size = float(scale[-2]), float(scale[-1])
    unit = str(units[-1]) if units is not None and len(units) else "pixel"
    if unit == "pixel":
        return (None, "") if size == (1.0, 1.0) else (size, "")
    return size, unit


def measures_of(image: Image) -> dict[str, Any]:
    """Return the options of the table of measurements: the size of the pixels of a layer."""
    size, unit = pixel_size_of(image.scale, image.units)
    return {} if size is None else {"pixel_size": size, "unit": unit}


def _free(folder: Path) -> Path:
    """Return a name that nothing has yet: in a folder that exists Qt's dialog goes inside, and can save nothing."""
    numbered = (folder.with_name(f"{folder.name}-{n}") for n in itertools.count(2))
    return next(name for name in itertools.chain([folder], numbered) if not name.exists())

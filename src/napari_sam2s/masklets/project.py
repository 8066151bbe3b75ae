"""The project: everything the user owns of one video, in one file that survives anything."""

from __future__ import annotations

import sqlite3
import time
import warnings
from collections.abc import Iterable
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import ProjectError
from napari_sam2s.masklets import schema
from napari_sam2s.masklets.class_scores import ClassScores
from napari_sam2s.masklets.history import History
from napari_sam2s.masklets.identity_links import Links
from napari_sam2s.masklets.labels import LabelView
from napari_sam2s.masklets.lock import WriterLock
from napari_sam2s.masklets.mask_queries import MaskQueries
from napari_sam2s.masklets.mask_writer import MaskWriter, Row
from napari_sam2s.masklets.moved_names import MOVED
from napari_sam2s.masklets.objects import Objects
from napari_sam2s.masklets.phases import Phases
from napari_sam2s.masklets.prompt_records import Prompts
from napari_sam2s.masklets.review import Reviewer
from napari_sam2s.masklets.row_check import refuse_unsound_rows
from napari_sam2s.masklets.run_records import Runs
from napari_sam2s.masklets.store import Store
from napari_sam2s.masklets.track_editing import TrackEditor
from napari_sam2s.masklets.types import Object, Origin, Prompt, Scores
from napari_sam2s.masklets.validation import user_path
from napari_sam2s.masklets.video_reference import VideoReference, facts_of


class Project:
    """Objects, prompts, masks and their history. Made by :meth:`create` or :meth:`open`; a context manager.

    Nothing is ever unsaved: every method that changes something has committed it when it returns.

    The parts: ``objects``, ``prompts``, ``masks`` (what is known of them), ``tracks`` (edits; called, the tracks as data),
    ``links``, ``review``, ``phases``, ``runs``, ``history``, ``labels`` (a lazy ``(T, Y, X)`` array), ``video`` and ``store``
    (the file).
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, lock: WriterLock | None) -> None:
        self.store = store = Store(path, connection, lock)
        try:
            self.video = VideoReference(store)
            refuse_unsound_rows(connection, path, store.shape[0])
            classes = ClassScores(store)
            self.history = History(store)
            self.objects = Objects(store)
            self.phases = Phases(store)
            self.runs = Runs(store)
            self.masks = MaskQueries(store, classes)
            self._writer = MaskWriter(store, self.objects, self.runs, classes)
            self.prompts = Prompts(store, self.objects)
            self.tracks = TrackEditor(store, self.masks, self._writer, self.objects, self.prompts)
            self.links = Links(store, self.masks, self.tracks)
            self.review = Reviewer(store, self.objects, self.masks, self.tracks, self.links)
            self.labels = LabelView(store, self.objects, self.masks, self._writer)
        except BaseException:
            store.close()
            raise
        self.masks_changed = store.masks_changed
        self.objects_changed = store.objects_changed

    @classmethod
    def create(cls, path: Path | str, video: Any) -> Project:
        """Make a new project for a video (an open :class:`Video`, or anything with its ``shape``).

        Raises
        ------
        ProjectError
            If the file exists already or cannot be written.
        """
        path = user_path(path)
        schema.check_new(path)
        facts = {**facts_of(video, path), "created": time.time()}
        lock = WriterLock(path)
        try:
            schema.create(path, facts)
            lock.lock_inode(path)
            try:
                return cls(path, schema.connect(path, writable=True), lock)
            except BaseException:  # a drive on which it can be written, and not worked on: nothing is left behind
                for ending in ("", "-wal", "-shm"):
                    Path(f"{path}{ending}").unlink(missing_ok=True)
                raise
        except BaseException:
            lock.release()
            raise

    @classmethod
    def open(cls, path: Path | str, mode: Literal["a", "r"] = "a") -> Project:
        """Open a project, ``"a"`` to work on it or ``"r"`` to look at it while another process may be writing.

        Raises
        ------
        ProjectError
            If there is none, it is damaged or foreign, or another process has it open for writing.
        """
        path = user_path(path)
        if mode not in ("a", "r"):
            raise ProjectError(f"mode={mode!r} is not one of 'a' (work on it) and 'r' (look at it).")
        if not path.is_file():
            raise ProjectError(f"There is no project {path}.")
        lock = WriterLock(path) if mode == "a" else None
        try:
            return cls(path, schema.connect(path, writable=mode == "a"), lock)
        except BaseException:
            if lock is not None:
                lock.release()
            raise

    def close(self) -> None:
        """Close the file. Nothing is unsaved."""
        self.store.close()

    def __enter__(self) -> Project:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def path(self) -> Path:
        """The file."""
        return self.store.path

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(T, Y, X)`` of the video."""
        return self.store.shape

    @property
    def fps(self) -> float | None:
        """Frames per second of the video, if it has any."""
        return self.video.fps

    def add_object(
        self, name: str | None = None, class_name: str | None = None, colour: tuple[int, int, int] | None = None
    ) -> Object:
        """Add an object; its id is new for ever.

        Parameters
        ----------
        name, class_name
            Text on one line; by default "object 1" and so on, and no class.
        colour
            ``(red, green, blue)`` from 0 to 255; by default the next of a list.
        """
        return self.objects.add(name, class_name, colour)

    @property
    def frames(self) -> list[int]:
        """Frames on which at least one object is known, ascending."""
        return self.masks.frames

    def mask(self, frame: int, object_id: int) -> NDArray[np.bool_] | None:
        """Return a mask ``(Y, X)``, also of an object that was removed, or ``None`` where nobody looked."""
        return self.masks.one(frame, object_id)

    def scores(self, frame: int) -> dict[int, Scores]:
        """Return what the model thought of the masks of a frame."""
        return self.masks.scores(frame)

    def keep_prompt(self, prompt: Prompt, mask: NDArray[np.bool_], scores: Scores | None, *, reset: bool = False) -> None:
        """Keep a prompt and the mask that answers it, as one step of undo.

        With ``reset`` it takes the place of what was said of the object on that frame before, else it adds to it.
        """
        with self.store.step("prompt"):
            if reset:
                self.prompts.remove(prompt.object_id, prompt.frame)
            self.prompts.add(prompt)
            self.write_masks([(prompt.frame, prompt.object_id, mask, scores)], origin="prompted")

    def write_masks(
        self, rows: Iterable[Row], *, origin: Origin = "propagated", run: int | None = None, confirmed: bool = False
    ) -> None:
        """Keep masks, in one transaction.

        What a person painted or confirmed, and every mask of a locked object, is not overwritten by propagation; nor is what
        was changed by a later step than the run's own, when a run that is resumed comes by again.

        Parameters
        ----------
        rows
            ``(frame, object id, mask (Y, X) bool or encoded, scores or None)``; an empty mask says that it is not there.
        origin
            Where they come from.
        run
            The run that made them, whose step of undo they belong to.
        confirmed
            Whether a person vouches for them.

        Raises
        ------
        ProjectError
            If a mask does not fit the video, or its object does not exist.
        """
        self._writer.write(rows, origin=origin, run=run, confirmed=confirmed)

    def confirm(self, frame: int, object_id: int | None = None, *, confirmed: bool = True) -> None:
        """Vouch for the masks of a frame: propagation stops there and never overwrites them."""
        self._writer.confirm(frame, object_id, confirmed=confirmed)

    def undo(self) -> str | None:
        """Undo the last step and return its name, or ``None`` if there is none; see :meth:`History.undo`."""
        return self.history.undo()

    def redo(self) -> str | None:
        """Redo the step that was undone last and return its name, or ``None``."""
        return self.history.redo()

    def export(self, folder: Path | str, format: str | None = None, **options: Any) -> Path:  # noqa: A002
        """Write the masks in another format and return what was made; it appears whole or not at all.

        ``"davis"``, ``"coco"``, ``"csv"`` (a table of measurements), ``"ctc"`` and so on:
        :data:`napari_sam2s.formats.FORMATS` lists them with their titles and options. ``"overlay"`` and ``"gif"`` are files,
        such as ``masks.mp4``, drawn on the frames of ``video=``. Given to other formats, ``video`` says when frames are shown;
        else that is a frame by the rate. ``progress`` is called with the number of frames done and of all.
        Without a format, names such as ``.mp4`` are overlays, ``.gif`` is a GIF, a folder is for DAVIS. An earlier export is
        refused, unless ``overwrite=True``.

        Raises
        ------
        ProjectError
            If there is no such format, it does not have these options, or the project is damaged.
        """
        from napari_sam2s.formats.registry import export

        self.store.check_pages()

        return export(self, self.video.export_name(), folder, format, **options)

    if not TYPE_CHECKING:  # else a misspelled name would pass for a moved one

        def __getattr__(self, name: str) -> Any:
            if name not in MOVED:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            warnings.warn(f"Project.{name} is project.{MOVED[name]} now.", DeprecationWarning, stacklevel=2)
            return attrgetter(MOVED[name])(self)

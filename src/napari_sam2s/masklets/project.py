"""The project: everything the user owns of one video, in one file that survives anything."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from psygnal import Signal

from napari_sam2s.errors import ProjectError
from napari_sam2s.masklets import schema
from napari_sam2s.masklets.labels import LabelView
from napari_sam2s.masklets.lock import WriterLock
from napari_sam2s.masklets.objects import ObjectStore
from napari_sam2s.masklets.review import Reviewing


class Project(Reviewing, ObjectStore):
    """Objects, prompts, masks and their history. Made by :meth:`create` or :meth:`open`; a context manager.

    Nothing is ever unsaved: every method that changes something has committed it when it returns.
    """

    masks_changed = Signal(tuple)  # frames
    objects_changed = Signal()

    def __init__(self, path: Path, connection: sqlite3.Connection, lock: WriterLock | None) -> None:
        super().__init__(path, connection, lock)
        try:
            self._read_facts()
        except (KeyError, ValueError) as error:
            self.close()
            raise ProjectError(f"{path} is damaged: it does not say which video it belongs to.") from error
        self.labels = LabelView(self)

    def _read_facts(self) -> None:
        meta = {row["key"]: row["value"] for row in self._rows("SELECT * FROM meta")}
        self.shape = tuple(json.loads(meta["shape"]))
        self.fingerprint: str = meta["fingerprint"]
        self.fps: float | None = meta.get("fps")
        self._video_path: str | None = meta.get("video")
        self._video_relative: str | None = meta.get("video_relative")

    @classmethod
    def create(cls, path: Path | str, video: Any) -> Project:
        """Make a new project for a video (an open :class:`Video`, or anything with its ``shape``).

        Raises
        ------
        ProjectError
            If the file exists already or cannot be written.
        """
        path = Path(path).expanduser()
        if path.exists():
            raise ProjectError(f"{path} exists already: open it, or choose another name.")
        if not path.parent.is_dir():
            raise ProjectError(f"There is no folder {path.parent} to put {path.name} in.")
        source = getattr(video, "path", None)
        facts = {
            "shape": json.dumps([int(n) for n in video.shape[:3]]),
            "fingerprint": video.fingerprint() if hasattr(video, "fingerprint") else "",
            "fps": getattr(video, "fps", None),
            **_whereabouts(source, path),
            "created": time.time(),
        }
        lock = WriterLock(path)
        try:
            schema.create(path, facts)
            return cls(path, schema.connect(path, writable=True), lock)
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
        path = Path(path).expanduser()
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

    def __enter__(self) -> Project:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def name(self) -> str:
        """The file's name without ending."""
        return self.path.stem

    @property
    def video_path(self) -> Path | None:
        """Where the video is: where it lay from the project's folder, if it has moved along, else where it was."""
        places = [self.path.parent / self._video_relative] if self._video_relative else []
        places += [Path(self._video_path), self.path.parent / Path(self._video_path).name] if self._video_path else []
        found = next((p for p in places if p.exists()), None)
        if found is not None:
            return Path(os.path.normpath(found.absolute()))
        return Path(self._video_path) if self._video_path else None

    def check_video(self, video: Any) -> None:
        """Make sure that a video is the one this project belongs to.

        Raises
        ------
        ProjectError
            If it has another size or length, or other content.
        """
        shape = tuple(int(n) for n in video.shape[:3])
        if shape != self.shape:
            raise ProjectError(
                f"The video has {shape[0]} frames of {shape[1]} x {shape[2]}, the project's had {self.shape[0]} of "
                f"{self.shape[1]} x {self.shape[2]}: it is another one. Give the right file, or start a new project; if it "
                "is the same recording cut or continued, say so with relink (--relink)."
            )
        if self.fingerprint and hasattr(video, "fingerprint") and video.fingerprint() != self.fingerprint:
            raise ProjectError(
                "The video has the right size but other content than the project's; if it is a copy that was encoded anew, "
                "say so with relink (--relink)."
            )

    def relink(self, video: Any) -> None:
        """Take another file as the project's video from now on: a copy encoded anew, or the recording continued or cut.

        Raises
        ------
        ProjectError
            If its frames have another size, or it ends before the last frame that has masks, prompts or links.
        """
        shape = tuple(int(n) for n in video.shape[:3])
        if shape[1:] != self.shape[1:]:
            raise ProjectError(
                f"A video of {shape[1]} x {shape[2]} cannot stand in for one of {self.shape[1]} x {self.shape[2]}: the masks "
                "would not fit. Start a new project for it."
            )
        known = "UNION ALL".join(f" SELECT max(frame) AS frame FROM {table} " for table in ("masks", "prompts", "links"))
        last = self._rows(f"SELECT max(frame) FROM ({known})")[0][0]
        if last is not None and last >= shape[0]:
            raise ProjectError(
                f"The video has {shape[0]} frames, but the project knows something of frame {last}: it cannot stand in for "
                f"one of {self.shape[0]} frames. Give the whole recording."
            )
        facts = {
            "shape": json.dumps(shape),
            "fingerprint": video.fingerprint() if hasattr(video, "fingerprint") else "",
            "fps": getattr(video, "fps", None),
            **_whereabouts(getattr(video, "path", None), self.path),
        }
        with self.transaction() as db:
            db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", facts.items())
            self._fit_runs(self.shape[0], shape[0])
            self._note(None)
        self._read_facts()

    def _everything_changed(self) -> None:
        self.objects_changed.emit()
        self.masks_changed.emit(())

    def _masks_changed(self, frames: Sequence[int]) -> None:
        self.masks_changed.emit(tuple(frames))

    def export(self, folder: Path | str, format: str = "davis", **options: Any) -> Path:  # noqa: A002
        """Write the masks in another format and return what was made.

        ``"davis"``: palette PNGs and a ``meta.json``; ``"coco"``: COCO instances; ``"csv"``: a table of measurements, with
        the options ``pixel_size=(y, x)`` and ``unit=`` for areas in physical units; ``"sav"``: SA-V's JSON; ``"ctc"``: Cell
        Tracking Challenge; ``"ome-zarr"``: labels of OME-Zarr; ``"overlay"``: a file such as ``masks.mp4`` to look at, drawn
        on the frames of ``video=``. :data:`napari_sam2s.formats.FORMATS` lists them.

        Raises
        ------
        ProjectError
            If there is no such format, or it does not have these options.
        """
        from napari_sam2s.formats.registry import export

        return export(self, folder, format, **options)


def _whereabouts(video: Path | str | None, project: Path) -> dict[str, str | None]:
    """Return where a video is, and where from the folder of its project."""
    if video is None:
        return {"video": None, "video_relative": None}
    whole = Path(video).absolute()
    try:
        relative = Path(os.path.relpath(whole, project.parent.absolute())).as_posix()
    except ValueError:  # on another drive
        relative = None
    return {"video": str(whole), "video_relative": relative}

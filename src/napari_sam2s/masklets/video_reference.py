"""Which video a project belongs to, and where it is."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from napari_sam2s.errors import ProjectError
from napari_sam2s.masklets.page_check import damaged
from napari_sam2s.masklets.picture_changes import changed_pictures, packed, sentence, unpacked
from napari_sam2s.masklets.row_check import unsound_fact
from napari_sam2s.masklets.store import Store
from napari_sam2s.masklets.validation import frame_of
from napari_sam2s.wording import counted

MOST_PIXELS = 2**33  # of a frame: what says more is damaged
# One by one, as SQLite then looks only at the ends of the table.
_FIRST_AND_LAST = "SELECT (SELECT min(frame) FROM masks), (SELECT max(frame) FROM masks)"


class VideoReference:
    """The video of a project, recognised by its content; it may move along with the project."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._read()

    def _read(self) -> None:
        try:
            meta = {row["key"]: row["value"] for row in self._store.rows("SELECT * FROM meta")}
            frames, height, width = (frame_of(n) for n in json.loads(meta["shape"]))
            if min(frames, height, width) < 1 or height * width > MOST_PIXELS:
                raise ValueError("no shape of a video")
            self._store.shape = frames, height, width
            self.fingerprint: str = meta["fingerprint"]
        except (KeyError, ValueError, TypeError, ProjectError) as error:
            raise ProjectError(f"{self._store.path} is damaged: it does not say which video it belongs to.") from error
        if (wrong := unsound_fact(meta)) is not None:
            raise damaged(self._store.path, f"its {wrong} is {meta[wrong]!r}")
        self._check_frames(frames)
        self.fps: float | None = meta.get("fps")
        size = json.loads(meta.get("pixel_size") or "null")
        self.pixel_size: tuple[float, float] | None = None if size is None else (float(size[0]), float(size[1]))
        self.pixel_unit: str = meta.get("pixel_unit") or "pixel"
        self.stream: int | None = meta.get("stream")  # of a file with several video streams
        self._sample: str | None = meta.get("sample_fingerprint")
        self._pictures = unpacked(meta.get("pictures"))
        self._path = path_of(meta.get("video"))
        self._relative = path_of(meta.get("video_relative"))

    def _check_frames(self, frames: int) -> None:
        """Refuse masks of frames that the video does not have; those of undone runs may lie behind its end, and nobody sees."""
        if self._store.known != "masks":
            return
        first, last = self._store.rows(_FIRST_AND_LAST)[0]
        if first is not None and not (first >= 0 and isinstance(last, int) and last < frames):
            raise damaged(self._store.path, f"masks of frame {first if first < 0 else last!r} in a video of {frames}")

    @property
    def path(self) -> Path | None:
        """Where the video is: where it lay from the project's folder, if it has moved along, else where it was."""
        folder = self._store.path.parent
        places = [folder / self._relative] if self._relative else []
        places += [Path(self._path), folder / Path(self._path).name] if self._path else []
        found = next((p for p in places if p.exists()), None)
        if found is not None:
            return Path(os.path.normpath(found.absolute()))
        return Path(self._path) if self._path else None

    def export_name(self) -> str:
        """Return what the video is called in an export: without its ending, as frames and ground truth of others are.

        The ending stays where another project beside this one would have the same name.
        """
        project = self._store.path
        if self._path is None or Path(self._path).name != project.stem:
            return project.stem
        short = _without_ending(project.stem)
        beside = (other.stem for other in project.parent.glob(f"*{project.suffix}") if other != project)
        return project.stem if any(short in (other, _without_ending(other)) for other in beside) else short

    def check(self, video: Any) -> None:
        """Make sure that a video is the one this project belongs to.

        Raises :class:`ProjectError` if it has another size or length, or other content.
        """
        shape, ours = _shape(video), self._store.shape
        if shape != ours:
            raise ProjectError(
                f"The video has {counted(shape[0], 'frame')} of {shape[1]} x {shape[2]}, the project's had {ours[0]} of "
                f"{ours[1]} x {ours[2]}: it is another one. Give the right file, or start a new project; if it "
                "is the same recording cut or continued, say so with relink (`napari-sam2s resume --relink`)."
            )
        if self.fingerprint and hasattr(video, "fingerprint") and video.fingerprint() != self.fingerprint:
            now = getattr(video, "pictures", None)
            if now is not None and self._pictures is not None and (changed := changed_pictures(self._pictures, now)):
                raise ProjectError(sentence(changed, len(now)))
            # A copy of a folder, or a project of before its pictures were listed.
            if now is not None and video.sample_fingerprint() == (self._sample or self.fingerprint):
                return
            raise ProjectError(
                "The video has the right size but other content than the project's. If it is a copy that was encoded again, "
                "link it with relink (`napari-sam2s resume --relink`)."
            )

    def relink(self, video: Any) -> None:
        """Take another file as the project's video from now on: a copy encoded anew, or the recording continued or cut.

        Raises :class:`ProjectError` if its frames have another size, or it ends before the last frame that has masks,
        prompts, links or a phase.
        """
        shape, ours = _shape(video), self._store.shape
        if shape[1:] != ours[1:]:
            raise ProjectError(
                f"A video of {shape[1]} x {shape[2]} cannot replace one of {ours[1]} x {ours[2]}: the masks "
                "would not fit. Start a new project for it."
            )
        known = "UNION ALL".join(
            f" SELECT max(frame) AS frame FROM {table} " for table in (self._store.known, "prompts", "links")
        )
        phases = "SELECT max(max(start, ifnull(stop, 0) - 1)) FROM phases"
        last = self._store.rows(f"SELECT max(frame) FROM ({known} UNION ALL {phases})")[0][0]
        if last is not None and last >= shape[0]:
            raise ProjectError(
                f"The video has {counted(shape[0], 'frame')}, but the project has data on frame {last}: it cannot"
                f" replace a video of {counted(ours[0], 'frame')}. Give the whole recording."
            )
        with self._store.transaction() as db:
            db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", facts_of(video, self._store.path).items())
            # Runs forward that can be resumed end with the video.
            db.execute(
                "UPDATE runs SET stop_frame = ?2 WHERE direction = 'forward' AND status != 'finished' "
                "AND (stop_frame = ?1 OR stop_frame > ?2)",
                (ours[0], shape[0]),
            )
            self._store.note()
        self._read()


def _without_ending(name: str) -> str:
    return Path(name).stem.removesuffix(".ome") or name


def _shape(video: Any) -> tuple[int, ...]:
    return tuple(int(n) for n in video.shape[:3])


def facts_of(video: Any, project: Path) -> dict[str, Any]:
    """Return what a project's file keeps of its video: size, content, and where it is, also from the project's folder."""
    source = getattr(video, "path", None)
    whole = None if source is None else Path(source).absolute()
    facts = {
        "shape": json.dumps(_shape(video)),
        "fingerprint": video.fingerprint() if hasattr(video, "fingerprint") else "",
        "sample_fingerprint": video.sample_fingerprint() if hasattr(video, "sample_fingerprint") else None,
        "pictures": packed(getattr(video, "pictures", None)),
        "fps": getattr(video, "fps", None),
        "pixel_size": json.dumps(getattr(video, "pixel_size", None)),  # (y, x) in the unit
        "pixel_unit": getattr(video, "pixel_unit", None),
        "stream": getattr(video, "stream", None),
        "video": None if whole is None else _kept(str(whole)),
        "video_relative": None if whole is None else _kept(_from(project.parent, whole)),
    }
    if (wrong := unsound_fact(facts)) is not None:
        raise ProjectError(f"The video says that its {wrong} is {facts[wrong]!r}, which is impossible: correct that first.")
    return facts


def path_of(kept: str | bytes | None) -> str | None:
    """Return a path as a project keeps it: one that is not UTF-8, as on old disks, as its bytes."""
    return None if kept is None else os.fsdecode(kept)


def _kept(path: str | None) -> str | bytes | None:
    try:
        (path or "").encode()
    except UnicodeEncodeError:
        return os.fsencode(path or "")
    return path


def _from(folder: Path, path: Path) -> str | None:
    try:
        return Path(os.path.relpath(path, folder.absolute())).as_posix()
    except ValueError:  # on another drive
        return None

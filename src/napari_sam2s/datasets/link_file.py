"""The uncertain links of a converted subset, ``review.json``, and their answers: the file, and its links in a project.

An entry asks whether ``object``, new on ``frame`` of ``video``, is one of the ``candidates``. Its answer is ``same_as``: null
while nobody has decided, the object's own number where it is another one, else the number of the object that it is.
``take_up`` makes objects, masks and links (:meth:`Project.links.add`) of a converted video; they are then answered like the
rest of the review queue. ``store`` writes the answers into the file, where :func:`apply_review` finds them.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sam2s.datasets.json_files import read_json, write_json
from napari_sam2s.errors import DatasetError, FormatError
from napari_sam2s.formats.davis_layout import ANNOTATIONS, META, PICTURES, DavisFolder, picture_places
from napari_sam2s.masklets import rle
from napari_sam2s.wording import counted

if TYPE_CHECKING:
    from napari_sam2s.masklets import Link, Project

REVIEW = "review.json"
Entry = dict[str, Any]


class LinkFile:
    """``review.json`` of a subset: its ``entries``, open and decided, and the ``settled``, which are applied.

    Raises
    ------
    DatasetError
        If it cannot be read, or is something else.
    """

    def __init__(self, root: Path, *, new: bool = False) -> None:
        self.path = root / REVIEW
        self.entries: list[Entry] = []
        self.settled: list[Entry] = []
        if new and not self.path.is_file():
            return
        remedy = "give the folder of a converted subset with uncertain links"
        loaded = read_json(self.path, absent=remedy, damaged="convert again into another folder")
        if not isinstance(loaded, dict) or not isinstance(loaded.get("links", []), list):
            raise DatasetError(f"{self.path} is not a list of links as `napari-sam2s convert` writes it.")
        self.entries, self.settled = loaded.get("links", []), loaded.get("settled", [])

    def of_video(self, video: str) -> list[Entry]:
        """Return the entries of a video."""
        return [entry for entry in self.entries if entry.get("video") == video]

    def check(self, entry: Entry, objects: Container[int], frames: Container[int] | None = None) -> None:
        """Refuse an entry that names an object or a frame that is not there."""
        try:
            video, frame, answer = entry["video"], entry["frame"], entry["same_as"]
            named = [entry["object"], *(c["object"] for c in entry["candidates"]), *([] if answer is None else [answer])]
        except (KeyError, TypeError) as error:
            raise DatasetError(f"{self.path}: a link lacks {error}.") from error
        if not all(i in objects for i in named) or (frames is not None and frame not in frames):
            raise DatasetError(
                f"{self.path}: the link of object {named[0]} of {video} on frame {frame} names a frame or an object that is "
                f"not there: it says same_as {answer!r}; its objects are {objects}."
            )

    def save(self) -> None:
        """Write the file, whole or not at all."""
        write_json(self.path, {"links": self.entries} | ({"settled": self.settled} if self.settled else {}))


@dataclass(frozen=True)
class ReviewList:
    """What ``review.json`` of a converted subset says of one of its videos."""

    root: Path  # of the subset
    video: str

    @property
    def path(self) -> Path:
        """The file."""
        return self.root / REVIEW

    def entries(self) -> list[dict[str, Any]]:
        """Return the links of the video, decided and open ones, as they are in the file.

        Raises :class:`DatasetError` if it cannot be read.
        """
        return LinkFile(self.root).of_video(self.video)

    def undecided(self) -> int:
        """Count the links that nobody has decided."""
        return sum(entry.get("same_as") is None for entry in self.entries())

    def taken_up(self, project: Project) -> bool:
        """Whether a project has the links of this video already."""
        return any(self._is_mine(link) for link in project.links)

    def _is_mine(self, link: Link) -> bool:
        return link.source.get("list") == REVIEW and link.source.get("video") == self.video

    def take_up(self, project: Project, progress: Callable[[int, int], None] | None = None) -> int:
        """Put the converted objects, masks and links of the video into a project, as one step of undo.

        Parameters
        ----------
        project
            Of the pictures of this video, ``JPEGImages/<video>``: frame ``n`` of it is picture ``n``, whatever its number.
            Objects that it has already stay; an untouched first object becomes the first of the conversion's.
        progress
            Called with the annotated frames read so far, and all of them.

        Returns
        -------
        The number of links. Those that are decided in the file are decided in the project, too.

        Raises
        ------
        DatasetError
            If the project has them already, its video is another one, or a link names what is not there.
        FormatError
            If masks cannot be read, or have no picture.
        """
        if self.taken_up(project):
            raise DatasetError(f"{project.path.stem} has the links of {self.path} already.")
        folder = DavisFolder(self.root / ANNOTATIONS / self.video)
        places = picture_places(self.root / PICTURES / self.video, folder.frames)
        if len(places) != project.shape[0]:
            raise DatasetError(
                f"{project.path.stem} belongs to a video of {counted(project.shape[0], 'frame')}, {self.video} has"
                f" {len(places)}."
            )
        links_of_file = LinkFile(self.root)
        entries = links_of_file.of_video(self.video)
        for entry in entries:
            links_of_file.check(entry, sorted(o.id for o in folder.objects), places)
        masks: list[tuple[int, int, rle.Mask]] = []  # read before the project is held
        for n, frame in enumerate(folder.frames):
            masks += [(places[frame], i, rle.encode(mask)) for i, mask in folder.masks(frame).items() if mask.any()]
            if progress is not None:
                progress(n + 1, len(folder.frames))
        with project.history.step("take up the conversion"):
            ids = _add_objects(project, folder)
            project.write_masks([(t, ids[i], mask, None) for t, i, mask in masks], origin="imported")
            links = [(entry, self._add(project, entry, ids, places)) for entry in entries]
            for entry, link in links:
                if entry.get("same_as") is not None:
                    project.links.decide(link.id, ids[entry["same_as"]])
        return len(links)

    def _add(self, project: Project, entry: Mapping[str, Any], ids: Mapping[int, int], places: Mapping[int, int]) -> Link:
        named = [entry["object"], *(c["object"] for c in entry["candidates"]), entry.get("same_as")]
        source = {
            "list": REVIEW,
            "video": self.video,
            "frame": entry["frame"],
            "object": entry["object"],
            "ids": {str(ids[i]): i for i in named if i is not None},  # of the project's objects in the conversion
        }
        candidates = [(ids[c["object"]], float(c["overlap"])) for c in entry["candidates"]]
        return project.links.add(ids[entry["object"]], places[entry["frame"]], candidates, str(entry.get("reason", "")), source)

    def store(self, project: Project) -> int:
        """Write what the project has decided of its links, or has undone, into the file; return how many entries changed.

        Raises :class:`DatasetError` if the file cannot be read or written; the decisions are in the project all the same.
        """
        decided = {
            (link.source["frame"], link.source["object"]): link.source["ids"].get(str(link.same_as))
            for link in project.links
            if self._is_mine(link)
        }
        file = LinkFile(self.root)
        changed = 0
        for entry in file.of_video(self.video):
            key = entry.get("frame"), entry.get("object")
            if key in decided and entry.get("same_as") != decided[key]:
                entry["same_as"] = decided[key]
                changed += 1
        if changed:
            try:
                file.save()
            except FormatError as error:
                raise DatasetError(f"{error} Your decision is saved in the project only.") from error
        return changed


def find_review_list(pictures: Path | str | None) -> ReviewList | None:
    """Return the list of a converted video, given its folder ``<subset>/JPEGImages/<video>``, if it has one with links."""
    if pictures is None:
        return None
    folder = Path(pictures)
    root = folder.parent.parent
    if folder.parent.name != PICTURES or not (root / REVIEW).is_file() or not (root / META).is_file():
        return None
    found = ReviewList(root, folder.name)
    return found if found.entries() else None


def _add_objects(project: Project, folder: DavisFolder) -> dict[int, int]:
    """Add the objects of a conversion; return their ids in the project."""
    first = project.objects[0] if len(project.objects) == 1 else None
    free = first is not None and not len(project.masks.series(first.id)) and not project.prompts(first.id)
    ids = {}
    for n, o in enumerate(folder.objects):
        if n == 0 and free and first is not None:
            project.objects.rename(first.id, o.name)
            project.objects.set_class(first.id, o.class_name)
            ids[o.id] = first.id
        else:
            ids[o.id] = project.add_object(o.name, o.class_name).id
    return ids

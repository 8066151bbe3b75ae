"""The uncertain links of a converted video in a project: taken up with its masks, and their answers written back.

``take_up`` makes objects, masks and links (:meth:`Project.links.add`) of a video that was converted; they are then answered
like the rest of the review queue. ``store`` writes the answers into ``review.json``, where ``apply_review`` finds them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sam2s.datasets.subset_folder import META, REVIEW, write_json
from napari_sam2s.errors import DatasetError
from napari_sam2s.formats.davis import ANNOTATIONS, DavisFolder
from napari_sam2s.masklets import rle
from napari_sam2s.video.image_folder import picture_numbers

if TYPE_CHECKING:
    from napari_sam2s.masklets import Link, Project

PICTURES = "JPEGImages"
SOURCE = "review.json"  # of a link that came from here


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

        Raises
        ------
        DatasetError
            If it cannot be read.
        """
        return [entry for entry in _load(self.path).get("links", []) if entry.get("video") == self.video]

    def undecided(self) -> int:
        """Count the links that nobody has decided."""
        return sum(entry.get("same_as") is None for entry in self.entries())

    def taken_up(self, project: Project) -> bool:
        """Whether a project has the links of this video already."""
        return any(self._is_mine(link) for link in project.links)

    def _is_mine(self, link: Link) -> bool:
        return link.source.get("list") == SOURCE and link.source.get("video") == self.video

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
            If the project has them already, its video is another one, or the files are not as a conversion leaves them.
        """
        if self.taken_up(project):
            raise DatasetError(f"{project.path.stem} has the links of {self.path} already.")
        numbers = picture_numbers(self.root / PICTURES / self.video)
        folder = DavisFolder(self.root / ANNOTATIONS / self.video)
        places = {number: place for place, number in enumerate(numbers)}
        lacking = [frame for frame in folder.frames if frame not in places]
        if lacking:
            raise DatasetError(f"{self.root / PICTURES / self.video} has no picture of the annotated frame {lacking[0]}.")
        if len(numbers) != project.shape[0]:
            raise DatasetError(
                f"{project.path.stem} belongs to a video of {project.shape[0]} frames, {self.video} has {len(numbers)}."
            )
        entries = self.entries()
        self._check(entries, {o.id for o in folder.objects}, places)
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

    def _check(self, entries: Sequence[Mapping[str, Any]], objects: set[int], places: Mapping[int, int]) -> None:
        for entry in entries:
            try:
                named = {entry["object"], *(c["object"] for c in entry["candidates"])} | ({entry["same_as"]} - {None})
                known = entry["frame"] in places and named <= objects
            except (KeyError, TypeError) as error:
                raise DatasetError(f"{self.path}: a link of {self.video} lacks {error}.") from error
            if not known:
                raise DatasetError(
                    f"{self.path}: the link of object {entry['object']} of {self.video} on frame {entry['frame']} names "
                    f"a frame or an object that is not there; its objects are {sorted(objects)}."
                )

    def _add(self, project: Project, entry: Mapping[str, Any], ids: Mapping[int, int], places: Mapping[int, int]) -> Link:
        named = [entry["object"], *(c["object"] for c in entry["candidates"]), entry.get("same_as")]
        source = {
            "list": SOURCE,
            "video": self.video,
            "frame": entry["frame"],
            "object": entry["object"],
            "ids": {str(ids[i]): i for i in named if i is not None},  # of the project's objects in the conversion
        }
        candidates = [(ids[c["object"]], float(c["overlap"])) for c in entry["candidates"]]
        return project.links.add(ids[entry["object"]], places[entry["frame"]], candidates, str(entry.get("reason", "")), source)

    def store(self, project: Project) -> int:
        """Write what the project has decided of its links, or has undone, into the file; return how many entries changed.

        Raises
        ------
        DatasetError
            If the file cannot be read or written; the decisions are in the project all the same.
        """
        decided = {
            (link.source["frame"], link.source["object"]): link.source["ids"].get(str(link.same_as))
            for link in project.links
            if self._is_mine(link)
        }
        review = _load(self.path)
        changed = 0
        for entry in review.get("links", []):
            key = entry.get("frame"), entry.get("object")
            if entry.get("video") == self.video and key in decided and entry.get("same_as") != decided[key]:
                entry["same_as"] = decided[key]
                changed += 1
        if changed:
            try:
                write_json(self.path, review)
            except OSError as error:
                raise DatasetError(
                    f"{self.path} cannot be written ({error}): what you decided is in the project alone."
                ) from error
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


def _load(path: Path) -> dict[str, Any]:
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise DatasetError(f"{path} cannot be read ({error}).") from error
    if not isinstance(loaded, dict) or not isinstance(loaded.get("links", []), list):
        raise DatasetError(f"{path} is not a list of links as `napari-sam2s convert` writes it.")
    return loaded

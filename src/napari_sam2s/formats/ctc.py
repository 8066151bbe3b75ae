"""Cell Tracking Challenge: ``mask000.tif`` (uint16, the value a track) and ``res_track.txt`` (label, begin, end, parent).

A track has no gaps. So an object that leaves and comes back is several tracks, one a presence, each with the one before it
as its parent: the challenge's annotators link an object that is seen again so (its "Annotation procedure"). Of an object
with a parent, the first track has as its parent the last track of that object before it. ``objects.csv`` beside says
which tracks are which object; tools of the challenge leave it alone. Without it, a track that begins after a gap and is its
parent's only child is the same object.
"""

from __future__ import annotations

import csv
import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from operator import itemgetter
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_sam2s.errors import FormatError
from napari_sam2s.formats.atomic_write import refuse_left_over, whole_folder
from napari_sam2s.formats.davis_layout import object_colour
from napari_sam2s.formats.foreign_files import cannot_be_read
from napari_sam2s.formats.mask_entries import Lost, refuse_negative, shape_of, visible_masks, warn_of_overlaps
from napari_sam2s.formats.text_cells import csv_cell, from_csv_cell
from napari_sam2s.masklets.label_masks import LabelMasks
from napari_sam2s.masklets.overlaps import label_image
from napari_sam2s.masklets.protocol import Masklets
from napari_sam2s.masklets.rle import Mask
from napari_sam2s.masklets.types import Object
from napari_sam2s.wording import counted

TRACKS, OBJECTS = "res_track.txt", "objects.csv"
LARGEST_TRACK = np.iinfo(np.uint16).max


def write_ctc(masklets: Masklets, root: Path | str, video: str) -> Path:
    """Write masklets as ``root/<video>_RES/``; return that folder.

    Raises :class:`FormatError` if not every frame of the video is known, there are more tracks than 16 bits hold, the folder
    holds masks of other frames, or it cannot be written. The folder is as it was then.
    """
    frames = list(masklets.frames)
    count, height, width = shape_of(masklets)
    if frames != list(range(count)):
        missing = min(set(range(count)).difference(frames), default=0)
        raise FormatError(
            f"The Cell Tracking Challenge has a mask for every frame, and frame {missing} of {video} is not known. "
            f"Propagate through all frames first, or export to another format."
        )
    folder = Path(root) / f"{video}_RES"
    digits = 3 if len(frames) <= 1000 else len(str(len(frames) - 1))
    names = {f"mask{frame:0{digits}d}.tif" for frame in frames}
    refuse_left_over(folder, sorted(p for p in folder.glob("mask*.tif") if p.name not in names))
    with whole_folder(folder) as part:
        lost = _write_frames(masklets, part, frames, (height, width), digits, video)
    warn_of_overlaps(video, lost, masklets.objects)
    return folder


def _write_frames(masklets: Masklets, folder: Path, frames: list[int], size: tuple[int, int], digits: int, video: str) -> Lost:
    """Write pictures and tracks; return what is lost where objects overlap."""
    tracks: list[tuple[int, int, int, int]] = []  # label, begin, end, object
    running: dict[int, int] = {}  # place in tracks, by object
    objects = masklets.objects
    lost = Lost()
    for frame in frames:
        masks, overlap = visible_masks(masklets, frame, objects, size)
        lost += overlap
        drawn: dict[int, Mask] = {}  # by track
        for i, mask in sorted(masks.items()):
            place = running.get(i)
            if place is None or tracks[place][2] != frame - 1:
                running[i] = place = len(tracks)
                tracks.append((place + 1, frame, frame, i))
            label, begin, _, _ = tracks[place]
            tracks[place] = label, begin, frame, i
            if label > LARGEST_TRACK:
                raise FormatError(
                    f"{video} has more than {LARGEST_TRACK} tracks, more than 16 bits can number: export to another format."
                )
            drawn[label] = mask
        labels = label_image(drawn, (), size, np.uint16)  # what is seen of objects has no pixel in common
        tifffile.imwrite(folder / f"mask{frame:0{digits}d}.tif", labels, compression="zlib")
    parents = _parents(tracks, objects, video)
    lines = (f"{label} {begin} {end} {parents.get(label, 0)}\n" for label, begin, end, _ in tracks)
    (folder / TRACKS).write_text("".join(lines), encoding="ascii")
    _write_objects(folder / OBJECTS, tracks, {o.id: o for o in objects})
    return lost


def _parents(tracks: list[tuple[int, int, int, int]], objects: Iterable[Object], video: str) -> dict[int, int]:
    """Return the parent of each track that has one: a track that ends before it begins, as the challenge demands."""
    of_object: dict[int, list[tuple[int, int, int]]] = {}
    for label, begin, end, i in tracks:
        of_object.setdefault(i, []).append((begin, end, label))
    parents = {b: a for own in of_object.values() for (_, _, a), (_, _, b) in pairwise(own)}  # seen again
    untold = []
    for o in objects:
        if o.parent is None or o.id not in of_object:
            continue
        begin, _, label = of_object[o.id][0]
        before = [track for _, end, track in of_object.get(o.parent, ()) if end < begin]
        if before:
            parents[label] = before[-1]
        else:
            untold.append(o.name)
    if untold:
        warnings.warn(
            f"{video}: {', '.join(untold)} {'has' if len(untold) == 1 else 'have'} no parent in this format, because no track "
            "of the mother ends before the daughter begins. Mark the mother as absent from the division on.",
            stacklevel=3,
        )
    return parents


def _write_objects(path: Path, tracks: list[tuple[int, int, int, int]], objects: dict[int, Object]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["track", "object", "name", "class", "colour"])
        for label, _, _, i in tracks:
            known = objects.get(i, Object(i, f"object {i}"))
            colour = "#{:02x}{:02x}{:02x}".format(*known.colour)
            writer.writerow([label, i, csv_cell(known.name), csv_cell(known.class_name or ""), colour])


class CtcFolder:
    """Masklets of a folder of the challenge; each track is an object, unless ``objects.csv`` joins them."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        if not any(self.folder.glob("*.tif")) and (self.folder / "TRA").is_dir():  # of ground truth: 01_GT
            self.folder /= "TRA"
        paths = sorted(self.folder.glob("mask*.tif")) or sorted(self.folder.glob("man_track*.tif"))
        if not paths:
            raise FormatError(f"{self.folder} holds no mask000.tif.")
        digits = [path.stem.removeprefix("mask").removeprefix("man_track") for path in paths]
        if not all(d.isdigit() for d in digits):
            raise FormatError(f"{self.folder} holds a mask without a number: {paths[0].name}.")
        self._paths = {int(d): path for d, path in zip(digits, paths, strict=True)}
        if len(self._paths) < len(paths):
            raise FormatError(f"{self.folder} has two masks with the same number: keep one.")
        gaps = max(self._paths) + 1 - len(self._paths)
        if gaps:
            lacking = next(t for t in range(gaps + len(self._paths)) if t not in self._paths)
            warnings.warn(
                f"{self.folder} lacks {counted(gaps, 'frame')}, the first is {lacking}: nothing is known there.", stacklevel=3
            )
        self._objects = self._with_parents(self._read_objects())
        self.shape = (max(self._paths) + 1, *self._labels(min(self._paths)).shape)

    @property
    def frames(self) -> list[int]:
        """All frames there are."""
        return sorted(self._paths)

    @property
    def objects(self) -> tuple[Object, ...]:
        """The objects of ``objects.csv``, or one for each track of ``res_track.txt`` (``man_track.txt``)."""
        return tuple({o.id: o for _, o in sorted(self._objects.items())}.values())

    def masks(self, frame: int) -> LabelMasks:
        """Return ``{object id: (Y, X) bool}``."""
        if frame not in self._paths:
            raise FormatError(f"{self.folder} has no frame {frame}.")
        labels = self._labels(frame)
        tracks, place = np.unique(labels, return_inverse=True)
        for label in tracks[tracks != 0].tolist():
            if label not in self._objects:
                raise FormatError(f"{self._paths[frame]} shows track {label}, which is not in the list of tracks.")
        ids = np.array([self._objects[i].id if i else 0 for i in tracks.tolist()], dtype=np.int64)
        return LabelMasks(ids[place].reshape(labels.shape))

    def _labels(self, frame: int) -> NDArray[np.integer]:
        path = self._paths[frame]
        try:
            labels = tifffile.imread(path)
        except (tifffile.TiffFileError, OSError, ValueError) as error:
            raise cannot_be_read(path, error, f"{path} cannot be read as TIFF ({error}).") from error
        if labels.ndim != 2 or labels.dtype.kind not in "uib":
            raise FormatError(f"{path} holds {labels.dtype} of shape {labels.shape}: labels are whole numbers (Y, X).")
        refuse_negative(labels, path)
        return labels

    def _with_parents(self, objects: dict[int, Object]) -> dict[int, Object]:
        """Return the objects with the parents that the list of tracks has."""
        path = self._list()
        try:
            rows = [[int(word) for word in line.split()] for line in path.read_text("utf-8-sig").splitlines() if line.strip()]
        except (FileNotFoundError, ValueError) as error:
            if isinstance(error, FileNotFoundError):  # objects.csv alone
                return objects
            raise FormatError(f"{path} is not a list of tracks ({error!r}).") from error
        parents: dict[int, int] = {}
        for label, *_, parent in (row for row in rows if len(row) >= 4 and row[3]):
            if parent not in objects:
                raise FormatError(f"{path} gives track {label} the parent {parent}, which is not in the list.")
            if label in objects and objects[parent].id != objects[label].id:  # else it was not seen for a while
                parents[objects[label].id] = objects[parent].id
        for child in parents:
            _refuse_circle(child, parents, path)
        return {label: replace(o, parent=parents.get(o.id)) for label, o in objects.items()}

    def _list(self) -> Path:
        """Return the list of tracks, be it of results or of ground truth."""
        return next((p for p in (self.folder / TRACKS, self.folder / "man_track.txt") if p.is_file()), self.folder / TRACKS)

    def _read_objects(self) -> dict[int, Object]:
        path = self.folder / OBJECTS
        try:
            if path.is_file():
                with path.open(newline="", encoding="utf-8") as file:
                    rows = list(csv.DictReader(file))
                return {
                    int(r["track"]): Object(
                        int(r["object"]),
                        from_csv_cell(r["name"]),
                        from_csv_cell(r["class"]) or None,
                        _colour(r.get("colour"), int(r["object"])),
                    )
                    for r in rows
                }
            path = self._list()
            listed = [[int(word) for word in line.split()] for line in path.read_text("utf-8-sig").splitlines() if line.strip()]
        except FileNotFoundError as error:
            raise FormatError(f"{self.folder} has no {TRACKS}.") from error
        except (ValueError, KeyError, IndexError) as error:
            raise FormatError(f"{path} is not a list of tracks ({error!r}).") from error
        if wrong := next((row for row in listed if len(row) not in (3, 4)), None):
            raise FormatError(f"{path} is not a list of tracks: {wrong} is not label, begin, end and parent.")
        if len({row[0] for row in listed}) < len(listed):
            raise FormatError(f"{path} has one track on two lines: keep one of them.")
        return {label: Object(i, f"track {i}", colour=object_colour(i)) for label, i in _seen_again(listed).items()}


def _seen_again(tracks: list[list[int]]) -> dict[int, int]:
    """Return the object of each track, the first of its tracks: the only child of a parent is that too, after a gap."""
    objects = {row[0]: row[0] for row in tracks}
    ends = {row[0]: row[2] for row in tracks if len(row) >= 4}
    children = Counter(row[3] for row in tracks if len(row) >= 4)
    for label, begin, _, parent, *_ in sorted((row for row in tracks if len(row) >= 4), key=itemgetter(1)):
        if children[parent] == 1 and begin > ends.get(parent, begin) + 1:
            objects[label] = objects[parent]
    return objects


def _colour(text: str | None, object_id: int) -> tuple[int, int, int]:
    if not text:  # of an earlier version
        return object_colour(object_id)
    red, green, blue = bytes.fromhex(text.removeprefix("#"))
    return red, green, blue


def _refuse_circle(child: int, parents: dict[int, int], path: Path) -> None:
    seen = [child]
    while seen[-1] in parents:
        if parents[seen[-1]] in seen:
            raise FormatError(f"{path} has tracks that descend from themselves ({seen}): correct their last column.")
        seen.append(parents[seen[-1]])


def read_ctc(path: Path | str) -> dict[str, CtcFolder]:
    """Read a folder of the challenge: ``{video name: masklets}``."""
    folder = CtcFolder(path)
    return {folder.folder.name.removesuffix("_RES"): folder}

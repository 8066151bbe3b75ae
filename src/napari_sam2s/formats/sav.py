"""SA-V's JSON (SAM 2): one file a video, run lengths of every object on every n-th frame; objects may overlap.

``masklet[i][k]`` is the mask of object ``k`` on frame ``i * ann_every``. An object that is absent has empty run lengths; a
frame that is not annotated has ``null`` for every object, which SAM 2's loader drops (``rm_unannotated``). Beside SA-V's
keys there are ``ann_every``, ``fps``, ``time_s``, ``object_names``, ``object_classes`` and ``object_facts`` (which have the
colours and parents too). Two things of the published files are kept: the frame count is a float, and ``video_environment`` a
string.
"""

from __future__ import annotations

import json
from functools import reduce
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import FormatError
from napari_sam2s.formats.atomic_write import file_in, files_in, whole_file
from napari_sam2s.formats.coco_rle import decode_rle, encode_rle
from napari_sam2s.formats.davis_layout import object_colour
from napari_sam2s.formats.foreign_files import reading, whole
from napari_sam2s.formats.mask_entries import annotated_frames, entries_of, seconds_of, shape_of
from napari_sam2s.formats.object_facts import facts_of_objects, object_of_facts
from napari_sam2s.formats.phase_table import facts_of_phases, phases_of_facts
from napari_sam2s.masklets import rle
from napari_sam2s.masklets.protocol import Masklets
from napari_sam2s.masklets.types import Object
from napari_sam2s.wording import counted

SAV_EVERY, SAV_FPS = 4, 24.0  # the dataset itself: 6 of 24 frames a second
ENDING = "_manual.json"


class SavFile:
    """Masklets of one SA-V file. Where its ids begin with 0, as the dataset's do, ours are one more."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        with reading(self.path, "a JSON file of SA-V"):
            self._take(json.loads(self.path.read_bytes()))

    def _take(self, facts: dict[str, Any]) -> None:
        """Keep what is said in a file."""
        self._masklet: list[list[dict[str, Any] | None]] = facts["masklet"]
        ids = [whole(i) for i in facts["masklet_id"]]
        size = whole(facts["video_height"]), whole(facts["video_width"])
        count = whole(facts["video_frame_count"])
        if any(len(row) != len(ids) for row in self._masklet):
            raise FormatError(f"{self.path} has {counted(len(ids), 'object')}, but one frame has another number of masks.")
        if len(set(ids)) < len(ids):
            raise FormatError(f"{self.path} gives two objects one id: {ids}.")
        self.every = whole(facts.get("ann_every", SAV_EVERY))
        if self.every < 1:
            raise ValueError(f"ann_every is {self.every}")
        self.fps: float | None = facts.get("fps", SAV_FPS)
        self.shape = count, *size
        self.name = str(facts.get("video_id") or self.path.name.removesuffix(ENDING))
        self._ids = [i + 1 for i in ids] if 0 in ids else ids
        names = facts.get("object_names") or [f"object {i}" for i in self._ids]
        classes = facts.get("object_classes") or [None] * len(ids)
        described = {o.id: o for o in map(object_of_facts, facts.get("object_facts", ()))}
        found = (Object(i, n, c, object_colour(i)) for i, n, c in zip(self._ids, names, classes, strict=True))
        self.objects = tuple(described.get(o.id, o) for o in found)
        self.phases = phases_of_facts(facts.get("phases", ()))
        self.frames = [n * self.every for n, row in enumerate(self._masklet) if not row or None not in row]
        self._known = frozenset(self.frames)

    def masks(self, frame: int) -> dict[int, NDArray[np.bool_]]:
        """Return ``{object id: (Y, X) bool}``."""
        if frame not in self._known:
            raise FormatError(f"Frame {frame} of {self.path} is not annotated.")
        row = self._masklet[frame // self.every]
        try:
            return {i: decode_rle(runs, self.shape[1:]) for i, runs in zip(self._ids, row, strict=True) if runs is not None}
        except FormatError as error:
            raise FormatError(f"{self.path}, frame {frame}: {error}") from error


def read_sav(path: Path | str) -> dict[str, SavFile]:
    """Read a file, or all ``*_manual.json`` of a folder: ``{video name: masklets}``."""
    return {video.name: video for video in map(SavFile, files_in(path, ENDING))}


def write_sav(masklets: Masklets, root: Path | str, video: str) -> Path:
    """Write masklets as ``root/<video>_manual.json``, or as the file ``root`` if that ends in ``.json``; return the file."""
    frames = annotated_frames(masklets, video)
    shape = shape_of(masklets)
    objects = sorted(masklets.objects, key=lambda o: o.id)
    areas = np.zeros((len(objects), len(frames)), dtype=np.int64)
    every = reduce(gcd, frames, 0) or 1
    path = file_in(root, video, ENDING)
    with whole_file(path) as part, part.open("w", encoding="utf-8") as file:
        file.write('{"masklet": [')  # first, frame by frame: what is said of all of them is known in the end
        next_row, unknown = 0, json.dumps([None] * len(objects))
        for n, frame in enumerate(frames):
            known = {e.object_id: e.mask for e in entries_of(masklets, frame)}
            masks = [known.get(o.id, rle.EMPTY) for o in objects]
            areas[:, n] = [mask.area for mask in masks]
            row = json.dumps([encode_rle(mask, shape[1:]) for mask in masks])
            rows = [*[unknown] * (frame // every - next_row), row]
            file.write(("" if next_row == 0 else ",\n") + ",\n".join(rows))
            next_row = frame // every + 1
        facts = _facts(masklets, video, shape, frames, objects) | _statistics(areas, frames, shape[1] * shape[2])
        file.write(f"], {json.dumps(facts | {'ann_every': every})[1:]}")
    return path


def _facts(
    masklets: Masklets, video: str, shape: tuple[int, int, int], frames: list[int], objects: list[Object]
) -> dict[str, Any]:
    """Return what SA-V says of a video, and what we do."""
    count, height, width = shape
    fps = getattr(masklets, "fps", None)
    return {
        "video_id": video,
        "video_duration": count / fps if fps else None,
        "video_frame_count": float(count),
        "video_height": float(height),
        "video_width": float(width),
        "video_resolution": float(height * width),
        "video_environment": "",
        "video_split": "",
        "fps": fps,
        "time_s": [seconds_of(masklets, frame) for frame in frames],
        "object_names": [o.name for o in objects],
        "object_classes": [o.class_name for o in objects],
        "object_facts": facts_of_objects(objects),
        "phases": facts_of_phases(masklets),
        "masklet_id": [o.id for o in objects],
        "masklet_num": len(objects),
    }


def _statistics(areas: NDArray[np.int64], frames: list[int], pixels: int) -> dict[str, Any]:
    """Return what SA-V says of each object; a size is the mean over the frames on which it is seen."""
    seen = areas > 0
    sizes = [float(a[s].mean()) if s.any() else 0.0 for a, s in zip(areas, seen, strict=True)]
    return {
        "masklet_size_abs": sizes,
        "masklet_size_rel": [size / pixels for size in sizes],
        "masklet_visibility_changes": [int(np.count_nonzero(s[1:] != s[:-1])) for s in seen],
        "masklet_first_appeared_frame": [float(frames[int(s.argmax())]) if s.any() else None for s in seen],
        "masklet_frame_count": [len(frames)] * len(areas),
        "masklet_type": ["manual"] * len(areas),
    }

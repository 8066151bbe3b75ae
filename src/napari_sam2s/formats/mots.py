"""MOTS: ``<video>/gt/gt.txt`` as the MOTS challenge has it, a line an object and frame: ``frame id class height width runs``.

Frames count from 1. An id is 1000 times the class plus the object's id, so ids end at 999. Masks do not overlap. Class 1 is a
car, 2 a pedestrian, and 10 what is to be ignored; others have the numbers between and behind. ``seqinfo.ini`` has the size,
the number of frames and the rate. Names, classes, colours and the annotated frames are in ``objects.json`` beside, as MOTS
has no room for them; its tools leave that alone. A video of others without it is read as annotated on every frame.
"""

from __future__ import annotations

import configparser
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import FormatError
from napari_sam2s.formats.atomic_write import refuse_full, whole_folder
from napari_sam2s.formats.coco import NO_CLASS
from napari_sam2s.formats.coco_rle import decode_rle, encode_rle
from napari_sam2s.formats.davis_layout import object_colour
from napari_sam2s.formats.foreign_files import reading, whole
from napari_sam2s.formats.mask_entries import Lost, annotated_frames, seconds_of, shape_of, visible_masks, warn_of_overlaps
from napari_sam2s.formats.object_facts import facts_of_objects, object_of_facts
from napari_sam2s.masklets.protocol import Masklets
from napari_sam2s.masklets.types import Object
from napari_sam2s.masklets.validation import legible
from napari_sam2s.wording import counted

KNOWN_CLASSES = {"car": 1, "pedestrian": 2}
IGNORE = 10
INSTANCES = 1000  # an id is the class times this and the instance
MASKS, OBJECTS, SEQUENCE = Path("gt", "gt.txt"), "objects.json", "seqinfo.ini"


def write_mots(masklets: Masklets, root: Path | str, video: str) -> Path:
    """Write masklets as ``root/<video>/``; return that folder.

    Raises :class:`FormatError` if nothing is annotated, an id is above 999, or the folder is there already or cannot be
    written.
    """
    frames, (count, height, width) = annotated_frames(masklets, video), shape_of(masklets)
    objects = tuple(masklets.objects)
    largest = max((o.id for o in objects), default=0)
    if largest >= INSTANCES:
        raise FormatError(f"{video} has an object {largest}, and MOTS ends at {INSTANCES - 1}: export to another format.")
    folder = Path(root) / video
    refuse_full(folder)
    numbers = _class_numbers(objects)
    class_of = {o.id: numbers[o.class_name or NO_CLASS] for o in objects}
    lost = Lost()
    with whole_folder(folder, anew=True) as draft:
        (draft / MASKS).parent.mkdir()
        with (draft / MASKS).open("w", encoding="ascii") as file:
            for frame in frames:
                masks, overlap = visible_masks(masklets, frame, objects, (height, width))
                lost += overlap
                for i, mask in masks.items():
                    number = class_of[i]
                    runs = encode_rle(mask, (height, width))["counts"]
                    file.write(f"{frame + 1} {INSTANCES * number + i} {number} {height} {width} {runs}\n")
        fps = getattr(masklets, "fps", None)
        facts = {"name": legible(video), "frameRate": fps or "", "seqLength": count, "imWidth": width, "imHeight": height}
        lines = "".join(f"{key}={value}\n" for key, value in {**facts, "imExt": ".jpg"}.items())
        (draft / SEQUENCE).write_text(f"[Sequence]\n{lines}", encoding="utf-8")
        known = {"frames": frames, "time_s": [seconds_of(masklets, t) for t in frames], "objects": facts_of_objects(objects)}
        (draft / OBJECTS).write_text(json.dumps(known), encoding="utf-8")
    warn_of_overlaps(video, lost, objects)
    return folder


def _class_numbers(objects: Iterable[Object]) -> dict[str, int]:
    """Return the number of each class: MOTS's own, else the next that is free."""
    names = sorted({o.class_name or NO_CLASS for o in objects})
    free = (n for n in range(3, len(names) + 5) if n != IGNORE)
    return {name: KNOWN_CLASSES[name] if name in KNOWN_CLASSES else next(free) for name in names}


class MotsFolder:
    """Masklets of one video of the MOTS challenge."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.name = folder, folder.name
        with reading(folder, "a video of MOTS"):
            sequence = configparser.ConfigParser(interpolation=None)
            sequence.read_string((folder / SEQUENCE).read_text(encoding="utf-8"))
            facts = sequence["Sequence"]
            self.shape = int(facts["seqLength"]), int(facts["imHeight"]), int(facts["imWidth"])
            self.fps = float(facts["frameRate"]) if facts.get("frameRate") else None
            lines = (folder / MASKS).read_text(encoding="ascii").splitlines()
            self._rows: dict[int, list[tuple[int, dict[str, Any]]]] = {}
            classes: dict[int, int] = {}
            for line in filter(None, lines):
                frame, number, kind, height, width, runs = line.split(" ")
                if int(kind) == IGNORE:
                    continue
                if classes.setdefault(int(number), int(kind)) != int(kind):
                    raise ValueError(f"it has object {number} in two classes")
                row = int(number), {"size": [int(height), int(width)], "counts": runs}
                there = self._rows.setdefault(int(frame) - 1, [])
                if any(n == row[0] for n, _ in there):
                    raise ValueError(f"it has object {number} twice on frame {frame}")
                there.append(row)
            self._describe(classes)
            self._known = frozenset(self.frames)
            if beyond := self._rows.keys() - self._known:
                raise ValueError(
                    f"it has masks on frame {min(beyond) + 1}, which is not among its {counted(len(self.frames), 'frame')}"
                )

    def _describe(self, classes: dict[int, int]) -> None:
        path = self.folder / OBJECTS
        if path.is_file():
            known = json.loads(path.read_bytes())
            self.frames: list[int] = [whole(t) for t in known["frames"]]
            self.objects = tuple(map(object_of_facts, known["objects"]))
            self._id_of = {n: n - INSTANCES * kind for n, kind in classes.items()}
            return
        self.frames = list(range(self.shape[0]))
        names = {number: name for name, number in KNOWN_CLASSES.items()}
        ids = {n: n for n in classes}  # of two classes the instances are numbered alike
        self._id_of = ids
        self.objects = tuple(
            Object(n, f"object {n}", names.get(classes[n], f"class {classes[n]}"), object_colour(n)) for n in sorted(ids)
        )

    def masks(self, frame: int) -> dict[int, NDArray[np.bool_]]:
        """Return ``{object id: (Y, X) bool}``."""
        if frame not in self._known:
            raise FormatError(f"{self.folder} has no frame {frame}.")
        return {self._id_of[n]: decode_rle(runs, self.shape[1:]) for n, runs in self._rows.get(frame, ())}


def read_mots(path: Path | str) -> dict[str, MotsFolder]:
    """Read a video of the challenge, or a folder of such: ``{video name: masklets}``.

    Raises :class:`FormatError` if there is none.
    """
    root = Path(path)
    folders = [root] if (root / SEQUENCE).is_file() else sorted(p.parent for p in root.glob(f"*/{SEQUENCE}"))
    if not folders:
        raise FormatError(f"{root} holds no video of MOTS: there is no {SEQUENCE}.")
    return {folder.name: MotsFolder(folder) for folder in folders}

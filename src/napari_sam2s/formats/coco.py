"""COCO instances: ``<video>_coco.json``, one image a frame, one annotation an object that is there, masks as run lengths.

Beside COCO's own keys every annotation has ``track_id`` (our object's id), and ``origin``, ``confirmed``, ``score`` and
``object_score`` where a project knows them; every image has ``frame_index``. ``tracks`` lists the objects, also those that are
never there. Objects may overlap. A frame without an image is not annotated; an image without annotations is empty.
"""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path, PurePosixPath
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from napari_sam2s import __version__
from napari_sam2s.errors import FormatError, VideoError
from napari_sam2s.formats.atomic_write import file_in, files_in, whole_file
from napari_sam2s.formats.coco_rle import decode_segmentation, encode_rle
from napari_sam2s.formats.davis_layout import object_colour
from napari_sam2s.formats.foreign_files import reading, whole
from napari_sam2s.formats.mask_entries import annotated_frames, entries_of, seconds_of, shape_of
from napari_sam2s.formats.object_facts import facts_of_objects, object_of_facts
from napari_sam2s.formats.phase_table import facts_of_phases, phases_of_facts
from napari_sam2s.masklets.mask_queries import Entry
from napari_sam2s.masklets.protocol import Masklets
from napari_sam2s.masklets.types import Object
from napari_sam2s.video.picture_names import order_of
from napari_sam2s.wording import counted

ENDING = "_coco.json"
_ROBOFLOW = re.compile(r"[_.](?:png|jpe?g|bmp|tiff?)\.rf\.[0-9a-f]+(?=\.\w+$)", re.I)  # what it adds to names
NO_CLASS = "object"  # category of an object without a class


def write_coco(masklets: Masklets, root: Path | str, video: str) -> Path:
    """Write masklets as ``root/<video>_coco.json``, or as the file ``root`` if that ends in ``.json``; return the file.

    Raises :class:`FormatError` if nothing is annotated, or the file cannot be written.
    """
    frames = annotated_frames(masklets, video)
    _, height, width = shape_of(masklets)
    path = file_in(root, video, ENDING)
    objects = sorted(masklets.objects, key=lambda o: o.id)
    names = sorted({o.class_name or NO_CLASS for o in objects})
    category = {name: n for n, name in enumerate(names, 1)}
    category_of = {o.id: category[o.class_name or NO_CLASS] for o in objects}
    info = {"description": video, "version": __version__, "contributor": "napari-sam2s", "fps": getattr(masklets, "fps", None)}
    head = {
        "info": info,
        "images": [
            {
                "id": frame + 1,
                "width": width,
                "height": height,
                "file_name": f"{video}/{frame:05d}.jpg",
                "frame_index": frame,
                "time_s": seconds_of(masklets, frame),
                "video_id": 1,
            }
            for frame in frames
        ],
        "categories": [{"id": n, "name": name, "supercategory": ""} for name, n in category.items()],
        "tracks": [facts | {"category_id": category_of[facts["id"]]} for facts in facts_of_objects(objects)],
        "phases": facts_of_phases(masklets),
    }
    with whole_file(path) as part, part.open("w", encoding="utf-8") as file:
        # Piece by piece: the annotations of hours of video need not fit into memory.
        file.write(json.dumps(head)[:-1])
        file.write(', "annotations": [')
        _write_annotations(file, masklets, frames, category_of, (height, width))
        file.write("]}")
    return path


def _write_annotations(
    file: TextIO, masklets: Masklets, frames: list[int], category_of: dict[int, int], size: tuple[int, int]
) -> None:
    written = 0
    for frame in frames:
        for entry in entries_of(masklets, frame):
            if entry.mask.area and entry.object_id in category_of:
                written += 1
                text = json.dumps(_annotation(written, frame, entry, category_of[entry.object_id], size))
                file.write(text if written == 1 else f",\n{text}")


def _annotation(number: int, frame: int, entry: Entry, category: int, size: tuple[int, int]) -> dict[str, Any]:
    mask = entry.mask
    facts: dict[str, Any] = {
        "id": number,
        "image_id": frame + 1,
        "category_id": category,
        "track_id": entry.object_id,
        "segmentation": encode_rle(mask, size),
        "area": mask.area,
        "bbox": [mask.x0, mask.y0, mask.width, mask.height],
        "iscrowd": 0,
    }
    if entry.origin:
        facts |= {"origin": entry.origin, "confirmed": entry.confirmed}
    if entry.scores is not None:
        facts |= {"score": round(entry.scores.iou, 4), "object_score": round(entry.scores.object_score, 4)}
    return facts


def _identity(annotation: dict[str, Any]) -> Any:
    """Return which object an annotation is of: as TAO and we write it, as COCO-VID does, or as CVAT does; ``None``: unsaid."""
    if "track_id" in annotation or "instance_id" in annotation:
        return annotation.get("track_id", annotation.get("instance_id"))
    return (annotation.get("attributes") or {}).get("track_id")


def _key(value: Any) -> Any:
    """Return an id to look up: a whole number, or text as it is, as of programs that make random ones."""
    try:
        return whole(value)
    except (TypeError, ValueError):
        if isinstance(value, str) and value.strip():
            return value
        raise


def _by_id(rows: list[dict[str, Any]], what: str) -> dict[Any, dict[str, Any]]:
    found = {_key(row["id"]): row for row in rows}
    if len(found) < len(rows):
        raise ValueError(f"two {what} have one id")
    return found


def _in(known: dict[Any, Any], key: Any, what: str) -> Any:
    if (found := known.get(_key(key), known)) is known:
        raise ValueError(f"an annotation is of the {what} {key}, which is not listed")
    return found


def _frames_of(images: dict[Any, dict[str, Any]], path: Path) -> dict[Any, int]:
    """Return the frame of every image, by its id: as it says, else the number in its name; names of programs count from 0 or 1.

    Without numbers that tell, it is the place among the ids. Writers that sort names as text number them 0, 1, 10, 2.
    """
    ids = sorted(images, key=lambda i: (isinstance(i, str), i))
    said = [images[i].get("frame_index", images[i].get("frame_id")) for i in ids]
    if all(frame is not None for frame in said):
        numbers = [whole(frame) for frame in said]
        shift = int(min(numbers) == 1 and not any("frame_index" in images[i] for i in ids))  # as ByteTrack counts
        if shift:
            warnings.warn(f"{path} counts its frame_id from 1: that is taken as frame 0.", stacklevel=4)
        return {i: number - shift for i, number in zip(ids, numbers, strict=True)}
    if any(frame is not None for frame in said):
        raise ValueError("some images have a frame_index, and others none")
    names = [_ROBOFLOW.sub("", str(images[i].get("file_name", ""))) for i in ids]
    paths = [PurePosixPath(name.replace("\\", "/")) for name in names]
    stems = [path.stem for path in paths]
    twice = any(stems) and len(set(stems)) < len(stems)
    if twice or len({p.parent for p in paths}) > 1 or len({images[i].get("video_id") for i in ids}) > 1:
        raise ValueError("images of several videos: write one file for each video, or number all images with frame_index")
    try:
        order = order_of(stems)
    except VideoError:
        if len(ids) > 1:
            warnings.warn(f"The names of the images of {path} give no order: the order of their ids is used.", stacklevel=4)
        return {i: n for n, i in enumerate(ids)}
    first = order.numbers[0]
    if first < 0:
        raise ValueError(f"the image {names[order.places[0]]}, whose number is below 0: number all with frame_index")
    if first > 1:
        warnings.warn(
            f"The images of {path} are read as the frames {first} to {order.numbers[-1]} of their names.", stacklevel=4
        )
    return {ids[place]: number - (first == 1) for place, number in zip(order.places, order.numbers, strict=True)}


class CocoMasklets:
    """Masklets of one COCO file. Where annotations do not say which object they are of, each is one of its own, and told."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        with reading(self.path, "a COCO file of instances"):
            facts: dict[str, Any] = json.loads(self.path.read_bytes())
            images = _by_id(facts["images"], "images")
            if not images:
                raise ValueError("it has no images")
            classes = {i: c.get("name") or None for i, c in _by_id(facts["categories"], "categories").items()}
            frame_of = _frames_of(images, self.path)
            first = next(iter(images.values()))
            self.shape = max(frame_of.values()) + 1, whole(first["height"]), whole(first["width"])
            info = facts.get("info") or {}
            self.name = str(info.get("description") or self.path.stem)
            self.fps: float | None = info.get("fps")
            self.frames = sorted(frame_of.values())
            if len(set(self.frames)) < len(self.frames):
                raise ValueError("two images have one frame_index")
            if len({(whole(image["height"]), whole(image["width"])) for image in images.values()}) > 1:
                raise ValueError("its images have several sizes")
            self._masks: dict[int, list[tuple[int, Any]]] = {frame: [] for frame in self.frames}
            found = self._take(facts["annotations"], frame_of, classes, told=bool(facts.get("tracks")))
            found |= {o.id: o for o in map(object_of_facts, facts.get("tracks") or ())}
            self.phases = phases_of_facts(facts.get("phases") or ())
        self.objects = tuple(found[i] for i in sorted(found))

    def _take(
        self, annotations: list[dict[str, Any]], frame_of: dict[Any, int], classes: dict[Any, str | None], *, told: bool
    ) -> dict[int, Object]:
        """Keep the masks; return the objects. Those whose ids are text are numbered as they come, and named so."""
        said: list[Any] = [None if (who := _identity(a)) is None else _key(who) for a in annotations]
        if (unsaid := said.count(None)) and unsaid < len(said):
            raise ValueError(f"{unsaid} annotations have no track_id, and others have one")
        texts = any(isinstance(i, str) for i in said)
        numbers = {key: n if texts else key for n, key in enumerate(dict.fromkeys(said), 1)}
        found: dict[int, Object] = {}
        several: dict[int, str | None] = {}
        for n, (a, key) in enumerate(zip(annotations, said, strict=True), 1):
            i: int = n if key is None else numbers[key]
            if i < 0:  # as trackers mark what is of no object: they would all be one
                raise ValueError(f"an annotation has the track_id {i}: number objects from 1")
            name = _in(classes, a["category_id"], "category")
            if "segmentation" not in a:
                raise ValueError("an annotation has no segmentation, perhaps a box alone: export the masks")
            self._masks[_in(frame_of, a["image_id"], "image")].append((i, a["segmentation"]))
            found.setdefault(i, Object(i, str(key) if texts else f"object {i}", name, object_colour(i)))
            if found[i].class_name != name:
                several[i] = found[i].class_name
        if unsaid > 1 and len(self.frames) > 1:
            masks = counted(unsaid, "mask becomes a separate object", "masks become separate objects")
            warnings.warn(f"{self.path} has no track_id: {masks}.", stacklevel=3)
        if crowds := sum(bool(a.get("iscrowd")) for a in annotations):
            warnings.warn(
                f"{self.path} marks {counted(crowds, 'mask')} as a crowd (iscrowd): taken as one object each.", stacklevel=3
            )
        for i, name in several.items() if not told else ():
            warnings.warn(f"Object {i} of {self.path} has several categories. The first is used: {name}.", stacklevel=3)
        return found

    def masks(self, frame: int) -> dict[int, NDArray[np.bool_]]:
        """Return ``{object id: (Y, X) bool}``; pieces with the same ``track_id`` are one."""
        if frame not in self._masks:
            raise FormatError(f"Frame {frame} of {self.path} is not annotated.")
        masks: dict[int, NDArray[np.bool_]] = {}
        for i, segmentation in self._masks[frame]:
            try:
                mask = decode_segmentation(segmentation, self.shape[1:])
            except FormatError as error:
                raise FormatError(f"{self.path}, frame {frame}: {error}") from error
            masks[i] = masks[i] | mask if i in masks else mask
        return masks


def read_coco(path: Path | str) -> dict[str, CocoMasklets]:
    """Read a file, or all ``*_coco.json`` of a folder: ``{video name: masklets}``."""
    return {video.name: video for video in map(CocoMasklets, files_in(path, ENDING))}

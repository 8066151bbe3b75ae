"""YouTube-VIS: ``<video>_ytvis.json``, one annotation an object, with a mask (or ``null``) for each frame of its video.

Frames that are not annotated are not in ``file_names``; ``frame_index`` says which those are that are, and ``time_s`` when they
are shown. ``null`` says that an object is not there. Objects may overlap. ``tracks`` has names, colours and parents. These
three, and ``fps``, are ours; readers of YouTube-VIS (TrackEval, mmdetection) leave them alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from napari_sam2s import __version__
from napari_sam2s.errors import FormatError
from napari_sam2s.formats.atomic_write import file_in, files_in, whole_file
from napari_sam2s.formats.coco import NO_CLASS
from napari_sam2s.formats.coco_rle import counts_of, decode_segmentation
from napari_sam2s.formats.davis_layout import object_colour
from napari_sam2s.formats.foreign_files import reading, whole
from napari_sam2s.formats.mask_entries import annotated_frames, entries_of, seconds_of, shape_of
from napari_sam2s.formats.object_facts import facts_of_objects, object_of_facts
from napari_sam2s.formats.object_spool import ObjectSpool
from napari_sam2s.formats.phase_table import facts_of_phases, phases_of_facts
from napari_sam2s.masklets.protocol import Masklets
from napari_sam2s.masklets.types import Object
from napari_sam2s.wording import counted

ENDING = "_ytvis.json"


def write_youtube_vis(masklets: Masklets, root: Path | str, video: str) -> Path:
    """Write masklets as ``root/<video>_ytvis.json``, or as the file ``root`` if that ends in ``.json``; return the file.

    Raises :class:`FormatError` if nothing is annotated, or the file cannot be written.
    """
    frames = annotated_frames(masklets, video)
    count, height, width = shape_of(masklets)
    path = file_in(root, video, ENDING)
    objects = sorted(masklets.objects, key=lambda o: o.id)
    names = sorted({o.class_name or NO_CLASS for o in objects})
    category = {name: n for n, name in enumerate(names, 1)}
    described = {
        **{"id": 1, "width": width, "height": height, "length": len(frames)},
        "file_names": [f"{video}/{frame:05d}.jpg" for frame in frames],
        "frame_index": frames,
        "time_s": [seconds_of(masklets, frame) for frame in frames],
        "fps": getattr(masklets, "fps", None),
        "source_length": count,
    }
    head = {
        "info": {"description": video, "version": __version__, "contributor": "napari-sam2s"},
        "videos": [described],
        "categories": [{"id": n, "name": name, "supercategory": "object"} for name, n in category.items()],
        "tracks": facts_of_objects(objects),
        "phases": facts_of_phases(masklets),
    }
    with whole_file(path) as part, ObjectSpool(part.parent) as spool, part.open("w", encoding="utf-8") as file:
        _spool(spool, masklets, frames, objects, (height, width))
        file.write(json.dumps(head)[:-1])
        file.write(', "annotations": [')
        for n, known in enumerate(objects):
            file.write(",\n" if n else "")
            facts = {"id": known.id, "video_id": 1, "category_id": category[known.class_name or NO_CLASS], "iscrowd": 0}
            facts |= {"width": width, "height": height, "length": len(frames)}
            _write_track(file, facts, spool)
        file.write("]}")
    return path


def _spool(
    spool: ObjectSpool, masklets: Masklets, frames: Iterable[int], objects: Iterable[Object], size: tuple[int, int]
) -> None:
    """Keep for each object a text a frame: its mask, box and area."""
    ids = [o.id for o in objects]
    for frame in frames:
        known = {e.object_id: e.mask for e in entries_of(masklets, frame)}
        for i in ids:
            mask = known.get(i)
            if mask is None or not mask.area:
                spool.add(i, "null\nnull\nnull")
            else:
                box = [mask.x0, mask.y0, mask.width, mask.height]
                runs = {"size": list(size), "counts": counts_of(mask, size)}  # plain, as the dataset has them
                spool.add(i, f"{json.dumps(runs)}\n{json.dumps(box)}\n{mask.area}")


def _write_track(file: TextIO, facts: dict[str, Any], spool: ObjectSpool) -> None:
    file.write(json.dumps(facts)[:-1])
    for place, key in enumerate(("segmentations", "bboxes", "areas")):
        file.write(f', "{key}": [')
        values = (text.split("\n")[place] for text in spool.texts(facts["id"]))
        file.writelines(value if n == 0 else f", {value}" for n, value in enumerate(values))
        file.write("]")
    file.write("}")


class YouTubeVisMasklets:
    """Masklets of one video of a YouTube-VIS file."""

    def __init__(self, path: Path, facts: dict[str, Any], video: dict[str, Any]) -> None:
        self.path = path
        names = [str(name) for name in video["file_names"]]
        self.frames = [whole(t) for t in video.get("frame_index", range(len(names)))]
        self.name = PurePosixPath(names[0].replace("\\", "/")).parent.name if names else ""
        self.name = self.name or str(video["id"])
        if len(self.frames) != len(names) or not names:
            raise ValueError(
                f"video {video['id']} has {counted(len(names), 'file name')} for {counted(len(self.frames), 'frame')}"
            )
        length = whole(video.get("source_length", self.frames[-1] + 1))
        self.shape = length, whole(video["height"]), whole(video["width"])
        self.fps: float | None = video.get("fps")
        classes = {whole(c["id"]): str(c["name"]) for c in facts["categories"]}
        described = {o.id: o for o in map(object_of_facts, facts.get("tracks", ()))}
        found: dict[int, Object] = {}
        self._tracks: dict[int, list[Any]] = {}
        for a in facts["annotations"]:
            if a["video_id"] != video["id"]:
                continue
            if (i := whole(a["id"])) in self._tracks:
                raise ValueError(f"two annotations have the id {i}")
            self._tracks[i] = list(a["segmentations"])
            if len(self._tracks[i]) != len(names):
                raise ValueError(
                    f"annotation {i} has {counted(len(self._tracks[i]), 'mask')} for {counted(len(names), 'frame')}"
                )
            name = classes[whole(a["category_id"])]
            found[i] = described.get(i) or Object(i, f"object {i}", None if name == NO_CLASS else name, object_colour(i))
        self.objects = tuple(found[i] for i in sorted(found))
        self._place = {frame: n for n, frame in enumerate(self.frames)}
        self.phases = phases_of_facts(facts.get("phases", ()))

    def masks(self, frame: int) -> dict[int, NDArray[np.bool_]]:
        """Return ``{object id: (Y, X) bool}``."""
        if frame not in self._place:
            raise FormatError(f"Frame {frame} of {self.path} is not annotated.")
        masks: dict[int, NDArray[np.bool_]] = {}
        for i, masks_of in self._tracks.items():
            runs = masks_of[self._place[frame]]
            if runs is not None:
                masks[i] = decode_segmentation(runs, self.shape[1:])
        return masks


def read_youtube_vis(path: Path | str) -> dict[str, YouTubeVisMasklets]:
    """Read a file, or all ``*_ytvis.json`` of a folder: ``{video name: masklets}``.

    Raises :class:`FormatError` if it is not a YouTube-VIS file.
    """
    videos: dict[str, YouTubeVisMasklets] = {}
    for file in files_in(path, ENDING):
        with reading(file, "a YouTube-VIS file"):
            facts: dict[str, Any] = json.loads(file.read_bytes())
            found = [YouTubeVisMasklets(file, facts, video) for video in facts["videos"]]
        for video in found:
            if video.name in videos:
                raise FormatError(f"{file} has two videos called {video.name}: give the pictures of each their own folder.")
            videos[video.name] = video
    return videos

"""CVAT for video 1.1: ``<video>_cvat.xml``, a track a mask, as CVAT's own "CVAT 1.1" is uploaded and downloaded.

CVAT has no tracks of masks: of each it takes the first mask alone, and it writes a track for each mask. So does this module.
The tracks of an object have one id here; where CVAT wrote them, one label and one attribute ``name``. Runs of a mask are those
of its box, row by row, the first of background; ``outside="1"`` on the next frame ends it. A label is a class. Frames are those
of the video, of which a task may be a part, or every second frame, say. What CVAT has no room for (the objects' colours and
parents, which frames are annotated, their times) is in ``meta/napari-sam2s`` as JSON, which it leaves alone.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import FormatError
from napari_sam2s.formats.atomic_write import file_in, files_in, whole_file
from napari_sam2s.formats.coco import NO_CLASS
from napari_sam2s.formats.davis_layout import object_colour
from napari_sam2s.formats.foreign_files import reading
from napari_sam2s.formats.mask_entries import annotated_frames, entries_of, seconds_of, shape_of
from napari_sam2s.formats.object_facts import facts_of_objects, object_of_facts
from napari_sam2s.masklets import rle
from napari_sam2s.masklets.protocol import Masklets
from napari_sam2s.masklets.types import Object
from napari_sam2s.wording import counted

ENDING = "_cvat.xml"
OURS = "napari-sam2s"
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_cvat(masklets: Masklets, root: Path | str, video: str) -> Path:
    """Write masklets as ``root/<video>_cvat.xml``, or as the file ``root`` if that ends in ``.xml``; return the file.

    Raises :class:`FormatError` if nothing is annotated, or the file cannot be written.
    """
    frames, (count, height, width) = annotated_frames(masklets, video), shape_of(masklets)
    path = file_in(root, video, ENDING)
    objects = sorted(masklets.objects, key=lambda o: o.id)
    ours = {
        **{"frames": frames, "time_s": [seconds_of(masklets, t) for t in frames], "fps": getattr(masklets, "fps", None)},
        "objects": facts_of_objects(objects),
    }
    with whole_file(path) as part, part.open("w", encoding="utf-8") as file:
        file.write(_head(video, (count, height, width), objects, json.dumps(ours)))
        for frame in frames:
            known = {e.object_id: e.mask for e in entries_of(masklets, frame)}
            for n, o in enumerate(objects):
                mask = known.get(o.id)
                if mask is not None and mask.area:
                    file.write(_track(o, frame, mask, n, last=frame + 1 == count))
        file.write("</annotations>\n")
    return path


def _head(video: str, shape: tuple[int, int, int], objects: Iterable[Object], ours: str) -> str:
    count, height, width = shape
    attribute = "<attributes><attribute><name>name</name><mutable>False</mutable><input_type>text</input_type>"
    attribute += "<default_value></default_value><values></values></attribute></attributes>"
    colours: dict[str, str] = {}
    for o in objects:
        red, green, blue = o.colour
        colours.setdefault(o.class_name or NO_CLASS, f"#{red:02x}{green:02x}{blue:02x}")
    labels = "\n".join(
        f"<label><name>{_text(name)}</name><color>{colour}</color><type>mask</type>{attribute}</label>"
        for name, colour in sorted(colours.items())
    )
    return f"""<?xml version="1.0" encoding="utf-8"?>
<annotations>
<version>1.1</version>
<meta>
<task>
<name>{_text(video)}</name><size>{count}</size><mode>interpolation</mode><overlap>0</overlap><flipped>False</flipped>
<start_frame>0</start_frame><stop_frame>{count - 1}</stop_frame><frame_filter></frame_filter>
<labels>
{labels}
</labels>
<original_size><width>{width}</width><height>{height}</height></original_size>
</task>
<{OURS}>{_text(ours)}</{OURS}>
</meta>
"""


def _track(known: Object, frame: int, mask: rle.Mask, order: int, *, last: bool) -> str:
    """Return a mask as a track, which ends on the next frame."""
    name = f'<attribute name="name">{_text(known.name)}</attribute></mask>\n'
    runs = ", ".join(map(str, rle.runs_of(mask).tolist()))
    there = (
        f'<mask frame="{frame}" keyframe="1" outside="0" occluded="0" rle="{runs}" left="{mask.x0}" top="{mask.y0}" '
        f'width="{mask.width}" height="{mask.height}" z_order="{order}">{name}'
    )
    gone = (
        f'<mask frame="{frame + 1}" keyframe="1" outside="1" occluded="0" rle="0, 1" left="{mask.x0}" top="{mask.y0}" '
        f'width="1" height="1" z_order="{order}">{name}'
    )
    track = f'<track id="{known.id}" label={_quoted(known.class_name or NO_CLASS)} source="semi-auto">'
    return f"{track}\n{there}{'' if last else gone}</track>\n"


def printable(words: str) -> str:
    """Return words without the characters that XML cannot hold, a question mark in their place."""
    return _NOT_XML.sub("\ufffd", words)


def _text(words: str) -> str:
    return escape(printable(words))


def _quoted(words: str) -> str:
    return quoteattr(printable(words))


@dataclass(frozen=True)
class _Track:
    """A track of a file, whose masks are kept by its place among the tracks."""

    id: int
    label: str
    name: str  # empty where it has none
    masks: int


class CvatMasklets:
    """Masklets of one file of CVAT for video; its track ids, where they are whole numbers above 0, are those of the objects."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.name = self.path.name.removesuffix(ENDING).removesuffix(".xml")
        self.fps: float | None = None
        self.part = False  # whether it is of some frames of a video, however long that is
        self._ours: dict[str, Any] = {}
        self._masks: dict[int, dict[int, rle.Mask]] = {}
        self._lost: set[str] = set()
        tracks: list[_Track] = []
        frames, size = range(0), (0, 0)
        with reading(self.path, "a file of CVAT for video 1.1"):
            for element in _elements(self.path):
                if element.tag == OURS:
                    self._ours = json.loads(element.text or "")
                elif element.tag in ("task", "job"):
                    if frames:  # of a project: their tracks would lie on each other
                        raise FormatError(f"{self.path} is of several tasks: export each from CVAT.")
                    self.name = element.findtext("name") or self.name
                    frames, size = self._range(element), self._size(element)
                elif element.tag == "track":
                    tracks.append(self._take(element, len(tracks), size, frames.step))
                elif element.tag == "image":
                    raise FormatError(f'{self.path} is "CVAT for images": export "CVAT for video 1.1" from CVAT.')
            if not frames:
                raise ValueError("it does not say how many frames it has")
            self.shape = frames[-1] + 1, *size
            self._finish(tracks, frames)
        if self._lost:
            text = f"What CVAT knows besides of the masks of {self.path} is not kept: {', '.join(sorted(self._lost))}."
            warnings.warn(text, stacklevel=3)

    def _range(self, task: ElementTree.Element) -> range:
        """Return the frames of the video that a task or job is of."""
        start, step = int(task.findtext("start_frame") or 0), 1
        if given := (task.findtext("frame_filter") or "").strip():
            found = re.fullmatch(r"step\s*=\s*(\d+)", given)
            step = int(found[1]) if found else 0
            if not step:
                raise ValueError(f"its frame_filter is {given!r}")
        self.part = task.tag == "job" or start > 0 or step > 1
        return range(start, start + step * int(task.findtext("size") or 0), step)

    def _size(self, task: ElementTree.Element) -> tuple[int, int]:
        height, width = (int(task.findtext(f"original_size/{side}") or 0) for side in ("height", "width"))
        if not height or not width:
            raise FormatError(
                f"{self.path} does not say how large its frames are, as tasks of pictures do: make one of a video."
            )
        return height, width

    def _take(self, track: ElementTree.Element, place: int, size: tuple[int, int], step: int) -> _Track:
        """Keep the masks of a track by its place."""
        name, last, gaps, count = "", None, 0, 0
        for shape in track:
            if shape.tag != "mask":
                raise FormatError(f"{self.path} has a {shape.tag} in track {track.get('id')}: only masks are read.")
            if shape.get("outside") == "1":
                last = None
                continue
            said = {a.get("name", ""): (a.text or "") for a in shape}
            name = name or said.pop("name", "")
            self._lost |= {f"the attribute {key}" for key, value in said.items() if value and key != "name"}
            self._lost |= {"occluded"} if shape.get("occluded") == "1" else set()
            box = tuple(int(shape.attrib[key]) for key in ("top", "left", "height", "width"))
            if min(box) < 0 or box[0] + box[2] > size[0] or box[1] + box[3] > size[1]:
                raise ValueError(f"track {track.get('id')} has a mask beyond the frame")
            runs = np.array(shape.attrib["rle"].split(","), dtype=np.int64)
            there = self._masks.setdefault(frame := int(shape.attrib["frame"]), {})
            gaps, last, count = gaps + (last is not None and frame > last + step), frame, count + 1
            if place in there:
                raise ValueError(f"track {track.get('id')} has two masks on frame {frame}")
            there[place] = rle.of_runs(runs, (box[0], box[1], box[2], box[3]))
        if gaps:
            where = f"Track {track.get('id')} of {self.path}"
            text = f"{where} leaves out frames ({gaps} x) and does not say that it is outside: it counts as absent there."
            warnings.warn(text, stacklevel=4)
        return _Track(int(track.get("id", -1)), track.attrib["label"], name, count)

    def _finish(self, tracks: list[_Track], frames: range) -> None:
        """Give the objects their tracks and ids, and what the file's own JSON says of them."""
        keys = self._objects_of(tracks)
        first = {key: tracks[n] for n, key in reversed(list(enumerate(keys)))}
        ids = {key: first[key].id for key in dict.fromkeys(keys)}
        if len(set(ids.values())) < len(ids) or min(ids.values(), default=1) < 1:
            ids = {key: n for n, key in enumerate(ids, 1)}
        self._ids = [ids[key] for key in keys]
        found = {}
        for key, i in ids.items():
            label = None if first[key].label == NO_CLASS else first[key].label
            found[i] = Object(i, first[key].name or f"object {i}", label, object_colour(i))
        described = {o.id: o for o in map(object_of_facts, self._ours.get("objects", ()))}
        found |= described if described.keys() >= set(self._ids) else {}
        self.objects = tuple(found[i] for i in sorted(found))
        self.fps = self._ours.get("fps")
        self.frames: list[int] = [int(t) for t in self._ours.get("frames", frames)]
        self._known = frozenset(self.frames)
        if beyond := self._masks.keys() - self._known:
            raise ValueError(
                f"it has masks on frame {min(beyond)}, which is not among its {counted(len(self.frames), 'frame')}"
            )

    def _objects_of(self, tracks: list[_Track]) -> list[Any]:
        """Return what says of each track which object it is of: its id, or a label and a name where CVAT wrote a track a mask.

        Raises ``ValueError`` if an object has two masks on a frame.
        """
        ids = [track.id for track in tracks]
        alone = len(self._masks) > 1 and len(set(ids)) == len(ids) and all(track.masks < 2 for track in tracks)
        if alone and not self._ours:
            names = [(track.label, track.name) for track in tracks]
            joined = all(track.name for track in tracks) and self._twice(names) is None
            what = (
                "one object are those of one label and one attribute `name`" if joined else "each becomes an object of its own"
            )
            text = f"{self.path} has a track for each mask, as CVAT writes them: {what}."
            warnings.warn(text, stacklevel=5)
            return names if joined else list(range(len(tracks)))
        if (frame := self._twice(ids)) is not None:
            raise ValueError(f"a track has two masks on frame {frame}")
        return ids

    def _twice(self, keys: Sequence[Any]) -> int | None:
        """Return a frame on which two tracks have one key."""
        return next((t for t, there in self._masks.items() if len({keys[n] for n in there}) < len(there)), None)

    def masks(self, frame: int) -> dict[int, NDArray[np.bool_]]:
        """Return ``{object id: (Y, X) bool}``."""
        if frame not in self._known:
            raise FormatError(f"Frame {frame} of {self.path} is not annotated.")
        return {self._ids[n]: rle.decode(mask, self.shape[1:]) for n, mask in self._masks.get(frame, {}).items()}


def _elements(path: Path) -> Iterator[ElementTree.Element]:
    """Yield elements as they end, and forget them then: a track at a time is in memory."""
    for _, element in ElementTree.iterparse(path):
        if element.tag in ("task", "job", OURS, "track", "image"):
            yield element
            element.clear()


def read_cvat(path: Path | str) -> dict[str, CvatMasklets]:
    """Read a file, or all ``*_cvat.xml`` of a folder: ``{video name: masklets}``."""
    return {video.name: video for video in map(CvatMasklets, files_in(path, ENDING))}

"""CVAT for video 1.1: ``<video>_cvat.xml``, a track an object and a mask a frame, as CVAT's own "CVAT 1.1" is uploaded.

Runs of a mask are those of its box, row by row, the first of background. Masks do not interpolate in CVAT, so each frame
has one; ``outside="1"`` says from where on an object is not there. A label is a class, the attribute ``name`` the object. What
CVAT has no room for (the objects' colours and parents, which frames are annotated, their times) is in ``meta/napari-sam2s`` as
JSON, which it leaves alone.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO
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
from napari_sam2s.formats.object_spool import ObjectSpool
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
    with whole_file(path) as part, ObjectSpool(part.parent) as spool, part.open("w", encoding="utf-8") as file:
        for frame in frames:
            known = {e.object_id: e.mask for e in entries_of(masklets, frame)}
            for n, o in enumerate(objects):
                mask = known.get(o.id)
                if mask is not None and mask.area:
                    spool.add(o.id, f"{frame}\n{_mask(frame, mask, n)}")
        file.write(_head(video, (count, height, width), objects, json.dumps(ours)))
        for o in objects:
            if spool.has(o.id):  # CVAT takes no track without shapes
                _write_track(file, o, (text.split("\n", 1) for text in spool.texts(o.id)), count)
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


def _mask(frame: int, mask: rle.Mask, order: int) -> str:
    runs = ", ".join(map(str, rle.runs_of(mask).tolist()))
    return (
        f'<mask frame="{frame}" keyframe="1" outside="0" occluded="0" rle="{runs}" left="{mask.x0}" top="{mask.y0}" '
        f'width="{mask.width}" height="{mask.height}" z_order="{order}">'
    )


def _write_track(file: TextIO, known: Object, rows: Iterable[list[str]], count: int) -> None:
    """Write the masks of an object; behind one without a next one stands it again, as outside."""
    file.write(f'<track id="{known.id}" label={_quoted(known.class_name or NO_CLASS)} source="semi-auto">\n')
    name = f'<attribute name="name">{_text(known.name)}</attribute></mask>\n'
    last: tuple[int, str] | None = None
    for word, text in rows:
        frame = int(word)
        if last is not None and last[0] + 1 < frame:
            file.write(_outside(*last) + name)
        file.write(text + name)
        last = frame, text
    if last is not None and last[0] + 1 < count:
        file.write(_outside(*last) + name)
    file.write("</track>\n")


def _outside(frame: int, text: str) -> str:
    return text.replace(f'frame="{frame}"', f'frame="{frame + 1}"', 1).replace('outside="0"', 'outside="1"', 1)


def printable(words: str) -> str:
    """Return words without the characters that XML cannot hold, a question mark in their place."""
    return _NOT_XML.sub("\ufffd", words)


def _text(words: str) -> str:
    return escape(printable(words))


def _quoted(words: str) -> str:
    return quoteattr(printable(words))


class CvatMasklets:
    """Masklets of one file of CVAT for video; its track ids, where they are whole numbers above 0, are those of the objects."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.name = self.path.name.removesuffix(ENDING).removesuffix(".xml")
        self.fps: float | None = None
        self._ours: dict[str, Any] = {}
        self._masks: dict[int, dict[int, rle.Mask]] = {}
        tracks: list[Object] = []
        ids: list[int] = []
        size: dict[str, int] = {}
        with reading(self.path, "a file of CVAT for video 1.1"):
            for element in _elements(self.path):
                if element.tag == OURS:
                    self._ours = json.loads(element.text or "")
                elif element.tag == "task":
                    if size:  # of a project: their tracks would lie on each other
                        raise FormatError(f"{self.path} is of several tasks: export each from CVAT.")
                    self.name = element.findtext("name") or self.name
                    size = {"length": int(element.findtext("size") or 0)}
                    for side in ("height", "width"):
                        size[side] = int(element.findtext(f"original_size/{side}") or 0)
                elif element.tag == "track":
                    tracks.append(self._take(element, len(tracks), (size.get("height", 0), size.get("width", 0))))
                    ids.append(int(element.get("id", -1)))
                elif element.tag == "image":
                    raise FormatError(f'{self.path} is "CVAT for images": export "CVAT for video 1.1" from CVAT.')
            if not size or not all(size.values()):
                raise ValueError("it does not say how large the video is")
            self.shape = size["length"], size["height"], size["width"]
            self._finish(tracks, ids)

    def _take(self, track: ElementTree.Element, place: int, size: tuple[int, int]) -> Object:
        """Keep the masks of a track by its place."""
        name, last, gaps = None, None, 0
        for shape in track:
            if shape.tag != "mask":
                raise FormatError(f"{self.path} has a {shape.tag} in track {track.get('id')}: only masks are read.")
            name = name or next((a.text for a in shape if a.get("name") == "name" and a.text), None)
            if shape.get("outside") == "1":
                last = None
                continue
            box = tuple(int(shape.attrib[key]) for key in ("top", "left", "height", "width"))
            if min(box) < 0 or box[0] + box[2] > size[0] or box[1] + box[3] > size[1]:
                raise ValueError(f"track {track.get('id')} has a mask beyond the frame")
            runs = np.array(shape.attrib["rle"].split(","), dtype=np.int64)
            there = self._masks.setdefault(frame := int(shape.attrib["frame"]), {})
            gaps, last = gaps + (last is not None and frame > last + 1), frame
            if place in there:
                raise ValueError(f"track {track.get('id')} has two masks on frame {frame}")
            there[place] = rle.of_runs(runs, (box[0], box[1], box[2], box[3]))
        if gaps:
            where = f"Track {track.get('id')} of {self.path}"
            text = f"{where} leaves out frames ({gaps} x) and does not say that it is outside: it counts as absent there."
            warnings.warn(text, stacklevel=4)
        label = track.attrib["label"]
        return Object(place, name or "", None if label == NO_CLASS else label)

    def _finish(self, tracks: list[Object], ids: list[int]) -> None:
        """Give the tracks their ids, and the objects what the file's own JSON says of them."""
        if len(set(ids)) < len(ids) or min(ids, default=1) < 1:
            ids = list(range(1, len(ids) + 1))
        found = {
            i: Object(i, track.name or f"object {i}", track.class_name, object_colour(i))
            for i, track in zip(ids, tracks, strict=True)
        }
        described = {o.id: o for o in map(object_of_facts, self._ours.get("objects", ()))}
        found |= described if described.keys() >= set(ids) else {}
        self._ids, self.objects = ids, tuple(found[i] for i in sorted(found))
        self.fps = self._ours.get("fps")
        self.frames: list[int] = [int(t) for t in self._ours.get("frames", range(self.shape[0]))]
        self._known = frozenset(self.frames)
        if beyond := self._masks.keys() - self._known:
            raise ValueError(
                f"it has masks on frame {min(beyond)}, which is not among its {counted(len(self.frames), 'frame')}"
            )

    def masks(self, frame: int) -> dict[int, NDArray[np.bool_]]:
        """Return ``{object id: (Y, X) bool}``."""
        if frame not in self._known:
            raise FormatError(f"Frame {frame} of {self.path} is not annotated.")
        return {self._ids[n]: rle.decode(mask, self.shape[1:]) for n, mask in self._masks.get(frame, {}).items()}


def _elements(path: Path) -> Iterator[ElementTree.Element]:
    """Yield elements as they end, and forget them then: a track at a time is in memory."""
    for _, element in ElementTree.iterparse(path):
        if element.tag in ("task", OURS, "track", "image"):
            yield element
            element.clear()


def read_cvat(path: Path | str) -> dict[str, CvatMasklets]:
    """Read a file, or all ``*_cvat.xml`` of a folder: ``{video name: masklets}``."""
    return {video.name: video for video in map(CvatMasklets, files_in(path, ENDING))}

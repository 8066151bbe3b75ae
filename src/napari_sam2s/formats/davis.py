"""DAVIS folders: one palette PNG a frame, the pixel's value the object's id (DAVIS 2017; also MOSE, LVOS, YouTube-VOS).

``Annotations/<video>/00000.png`` under a root, or a folder of PNGs alone. Names and classes go to ``meta.json`` beside
them, with YouTube-VOS's keys. A frame without a file is not annotated; a frame with an empty picture is annotated and
empty. Where objects overlap, the lowest id wins, as in SAM 2's own tools; the pixels lost are counted.

Two folders beside ``Annotations`` are read if they are there: ``Annotations_objects/<video>/<id>/00000.png``, one picture
an object, for objects that overlap (a frame without a picture is annotated in ``Annotations`` and empty for the object);
and ``Ignore/<video>/00000.png``, whose pixels above 0 are unlabelled.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterable, Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from napari_sam2s.errors import FormatError
from napari_sam2s.formats.atomic_write import make_folder, refuse_left_over, whole_file
from napari_sam2s.masklets.protocol import Masklets
from napari_sam2s.masklets.types import Object

VOID = 255  # DAVIS's "do not count": accepted when reading pictures of 8 bits, never written
LARGEST_ID = 254
META = "meta.json"
ANNOTATIONS, LAYERS, IGNORE = "Annotations", "Annotations_objects", "Ignore"


@lru_cache(maxsize=1)
def davis_palette() -> tuple[int, ...]:
    """Return the palette of PASCAL VOC that DAVIS uses, 768 numbers: bits of the id spread over red, green and blue."""
    colours = []
    for index in range(256):
        channels = [0, 0, 0]
        for bit in range(8):
            for channel in range(3):
                channels[channel] |= (index >> (3 * bit + channel) & 1) << (7 - bit)
        colours += channels
    return tuple(colours)


class DavisFolder:
    """Masklets of one video in a folder of PNGs; pictures are read when asked for."""

    def __init__(self, folder: Path, *, void: int | None = VOID) -> None:
        if not folder.is_dir():
            raise FormatError(f"There is no folder {folder}.")
        self.folder = folder
        self.void = void
        pictures = _numbered(folder)
        if not pictures:
            raise FormatError(f"{folder} holds no numbered PNGs such as 00000.png.")
        self._paths = _by_number(pictures)
        layers, ignore = (folder.parent.parent / name / folder.name for name in (LAYERS, IGNORE))
        self._layers = {
            int(p.name): _by_number(p.glob("*.png")) for p in sorted(layers.glob("*")) if p.is_dir() and p.name.isdigit()
        }
        self._ignore = _by_number(ignore.glob("*.png"))
        self._last: tuple[int, NDArray[np.integer]] | None = None

    @property
    def name(self) -> str:
        """The video's name."""
        return self.folder.name

    @property
    def frames(self) -> list[int]:
        """Annotated frames."""
        return sorted(self._paths)

    @cached_property
    def objects(self) -> tuple[Object, ...]:
        """Objects of ``meta.json`` if there is one, else of all pictures."""
        described = self._described()
        if described is not None:
            return described
        ids = {i for frame in self.frames for i in self.masks(frame)}
        return tuple(Object(i, f"object {i}", colour=object_colour(i)) for i in sorted(ids))

    def labels(self, frame: int) -> NDArray[np.integer]:
        """Return the picture of a frame, ``(Y, X)``, with void as background."""
        array = self._picture(frame)
        void = self._void(array)
        return array if void is None else np.where(void, array.dtype.type(0), array)

    def masks(self, frame: int) -> dict[int, NDArray[np.bool_]]:
        """Return ``{object id: (Y, X) bool}``; of overlapping objects whole, if they have pictures of their own."""
        labels = self.labels(frame)
        if self._layers:
            return {i: _read(paths[frame]) > 0 for i, paths in self._layers.items() if frame in paths}
        return {int(i): labels == i for i in np.flatnonzero(np.bincount(labels.ravel())) if i}

    def ignored(self, frame: int) -> NDArray[np.bool_] | None:
        """Return the pixels ``(Y, X)`` of a frame that are void or unlabelled, so count nowhere; ``None`` if there are none."""
        void = self._void(self._picture(frame))
        if frame in self._ignore:
            unlabelled = _read(self._ignore[frame]) > 0
            void = unlabelled if void is None else void | unlabelled
        return void if void is not None and void.any() else None

    def _void(self, array: NDArray[Any]) -> NDArray[np.bool_] | None:
        """Return the void pixels; where ids have more than 8 bits, 255 is one of them."""
        return array == self.void if self.void is not None and array.dtype.itemsize == 1 else None

    def _picture(self, frame: int) -> NDArray[np.integer]:
        if frame not in self._paths:
            raise FormatError(f"Frame {frame} of {self.folder} is not annotated; annotated are {self.frames[:5]} ...")
        if self._last is None or self._last[0] != frame:
            self._last = frame, _read(self._paths[frame])
        return self._last[1]

    def _described(self) -> tuple[Object, ...] | None:
        for path in (self.folder / META, self.folder.parent.parent / META):
            if path.is_file():
                try:
                    videos = json.loads(path.read_text(encoding="utf-8"))["videos"]
                except (ValueError, KeyError, TypeError) as error:
                    raise FormatError(f"{path} is not a YouTube-VOS meta.json ({error}).") from error
                if isinstance(videos, dict) and self.name in videos:
                    return tuple(_object(int(i), facts) for i, facts in videos[self.name]["objects"].items())
        return None


def _numbered(folder: Path) -> list[Path]:
    return [p for p in folder.glob("*.png") if re.search(r"\d+$", p.stem)]


def _by_number(pictures: Iterable[Path]) -> dict[int, Path]:
    return {int(re.findall(r"\d+", p.stem)[-1]): p for p in sorted(pictures)}


def _read(path: Path) -> NDArray[np.integer]:
    try:
        with Image.open(path) as picture:
            array = np.asarray(picture)
    except (UnidentifiedImageError, OSError) as error:
        raise FormatError(f"{path} cannot be read ({error}).") from error
    if array.ndim != 2:
        raise FormatError(f"{path} is a {picture.mode} picture; ids are read from palette or grey PNGs.")
    return array


def _object(object_id: int, facts: Mapping[str, object]) -> Object:
    category = facts.get("category")
    return Object(
        object_id,
        str(facts.get("name") or f"object {object_id}"),
        str(category) if category else None,
        object_colour(object_id),
    )


def object_colour(object_id: int) -> tuple[int, int, int]:
    """Return the colour of an id in DAVIS's palette."""
    start = 3 * (object_id % 256)
    r, g, b = davis_palette()[start : start + 3]
    return r, g, b


def read_davis(path: Path | str, *, void: int | None = VOID) -> dict[str, DavisFolder]:
    """Read a DAVIS root, a folder of videos, or a folder of PNGs: ``{video name: masklets}``.

    Raises
    ------
    FormatError
        If no PNGs are found there.
    """
    root = Path(path)
    if not root.is_dir():
        raise FormatError(f"There is no folder {root}.")
    annotations = root / ANNOTATIONS if (root / ANNOTATIONS).is_dir() else root
    if any(annotations.glob("*.png")):
        return {annotations.name if annotations != root / ANNOTATIONS else root.name: DavisFolder(annotations, void=void)}
    videos: dict[str, DavisFolder] = {}
    for folder in sorted(p for p in annotations.iterdir() if p.is_dir()):
        inner = [p for p in folder.iterdir() if p.is_dir()]
        if not any(folder.glob("*.png")) and inner:  # a resolution between, as DAVIS's 480p
            videos |= {p.name: DavisFolder(p, void=void) for p in sorted(inner)}
        elif any(folder.glob("*.png")):
            videos[folder.name] = DavisFolder(folder, void=void)
    if not videos:
        raise FormatError(f"{root} holds no folders of PNGs.")
    return videos


class DavisWriter:
    """Writes one video frame by frame: ``root/Annotations/<video>/%05d.png`` and ``root/meta.json``."""

    def __init__(self, root: Path | str, video: str, size: tuple[int, int]) -> None:
        self.root = Path(root)
        self.folder = make_folder(self.root / ANNOTATIONS / video)
        self.video = video
        self.size = size
        self.lost_pixels = 0

    def write(self, frame: int, masks: Mapping[int, NDArray[np.bool_]]) -> None:
        """Write a frame; an empty picture says that no object is there."""
        labels = np.zeros(self.size, dtype=np.uint8)
        for object_id in sorted(masks, reverse=True):  # so that the lowest id wins
            if not 1 <= object_id <= LARGEST_ID:
                raise FormatError(f"A palette PNG holds the ids 1 to {LARGEST_ID}; object {object_id} needs another format.")
            mask = masks[object_id]
            if mask.shape != self.size:
                raise FormatError(f"The mask of object {object_id} is {mask.shape}, the video {self.size}.")
            self.lost_pixels += int(np.count_nonzero(labels[mask]))
            labels[mask] = object_id
        picture = Image.fromarray(labels, mode="P")
        picture.putpalette(davis_palette())
        path = self.folder / f"{frame:05d}.png"
        with whole_file(path) as part:
            picture.save(part, format="PNG")

    def finish(self, objects: Iterable[Object], frames: Iterable[int], facts: Mapping[str, object] | None = None) -> None:
        """Write ``meta.json``, beside what other videos have there already; warn of overlaps."""
        path = self.root / META
        meta = _read_meta(path)
        names = [f"{frame:05d}" for frame in frames]
        described = {str(o.id): {"category": o.class_name or "", "name": o.name, "frames": names} for o in objects}
        meta["videos"][self.video] = {"objects": described, **(facts or {})}
        with whole_file(path) as part:
            part.write_text(json.dumps(meta, indent=1), encoding="utf-8")
        if self.lost_pixels:
            warnings.warn(
                f"{self.video}: objects overlap; {self.lost_pixels} pixels went to the object with the lower id.", stacklevel=2
            )


def write_davis(masklets: Masklets, root: Path | str, video: str) -> Path:
    """Write masklets as DAVIS folders under ``root``; return the video's folder.

    Raises
    ------
    FormatError
        If nothing is annotated, an id is beyond the palette, the video's folder holds pictures of other frames, ``meta.json``
        is something else, or they cannot be written. Nothing is written then, but in the middle of a disk that fills up.
    """
    writer: DavisWriter | None = None
    frames = list(masklets.frames)
    _refuse_left_over(Path(root), video, {f"{frame:05d}.png" for frame in frames})
    _read_meta(Path(root) / META)
    for frame in frames:
        masks = masklets.masks(frame)
        if writer is None:
            size = _size_of(masklets, masks)
            writer = DavisWriter(root, video, size)
        writer.write(frame, masks)
    if writer is None:
        raise FormatError(f"{video} has no annotated frames to write.")
    writer.finish(masklets.objects, frames)
    return writer.folder


def _refuse_left_over(root: Path, video: str, names: set[str]) -> None:
    """Refuse folders in which a reader would find pictures of a video that are not among those of these names."""
    folder = root / ANNOTATIONS / video
    refuse_left_over(folder, sorted(p for p in _numbered(folder) if p.name not in names))
    for beside in (root / LAYERS / video, root / IGNORE / video):
        refuse_left_over(beside, sorted(beside.rglob("*.png")))


def _read_meta(path: Path) -> dict[str, Any]:
    """Return a ``meta.json`` of YouTube-VOS, to add a video to it; an empty one if there is none."""
    if not path.is_file():
        return {"videos": {}}
    try:
        meta: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(meta["videos"], dict):
            raise TypeError("its videos are no object")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FormatError(f"{path} is not a YouTube-VOS meta.json ({error!r}): move it away, or export elsewhere.") from error
    return meta


def _size_of(masklets: Masklets, masks: Mapping[int, NDArray[np.bool_]]) -> tuple[int, int]:
    shape = getattr(masklets, "shape", None)
    if shape is not None:
        return int(shape[1]), int(shape[2])
    if not masks:
        raise FormatError("The first annotated frame is empty and the size of the video is not known.")
    height, width = next(iter(masks.values())).shape
    return height, width

"""DAVIS folders and those of converted data sets (SA-SV): what lies where, read in this one place.

::

    <root>/Annotations/<video>/00012.png               palette PNG: the value of a pixel is the object's id
    <root>/Annotations_objects/<video>/001/00012.png   where objects overlap: each of them whole
    <root>/Ignore/<video>/00012.png                    pixels above 0 are unlabelled
    <root>/JPEGImages/<video>/00012.jpg                the pictures
    <root>/meta.json                                   names and classes of the objects, as in YouTube-VOS; the split

A number in a file's name is the *frame*: 00012.png belongs to 00012.jpg, be that the 13th picture of its folder or the
first. What counts frames from 0 (an open video, a tracker) has a picture's *place* instead; :func:`picture_places` leads from
one to the other. A frame without a PNG is not annotated; one with an empty PNG is annotated and nothing is there. Of
overlapping objects without a picture in ``Annotations_objects`` on a frame, none is there. DAVIS itself has a folder for the
resolution (``480p``) between, and a folder of PNGs alone is a video as well. SAM 2 and SA-V have a folder for each object
instead (``<video>/000/00012.png``).

This module is in ``formats``, the lowest folder by the arrows that may read it: ``datasets``, ``evaluation``, ``training`` and
``cli`` call it, and none of them may call another.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_sam2s.errors import FormatError
from napari_sam2s.formats.atomic_write import is_draft
from napari_sam2s.formats.mask_names import by_number
from napari_sam2s.formats.phase_table import phases_of_facts
from napari_sam2s.masklets.label_masks import LabelMasks
from napari_sam2s.masklets.phases import Phase
from napari_sam2s.masklets.types import Object
from napari_sam2s.video import open_video
from napari_sam2s.video.image_folder import picture_numbers
from napari_sam2s.video.picture_file import UNREADABLE, open_picture, upright

VOID = 255  # DAVIS's "do not count": accepted when reading pictures of 8 bits, never written
LARGEST_ID = 254  # that a palette PNG holds
META = "meta.json"
_NO_VIDEO = re.compile(r"\d+p|full[-_ ]?res.*|train|val|valid|test.*", re.I)  # a folder of videos, be they named by numbers
PICTURES, ANNOTATIONS, LAYERS, IGNORE = "JPEGImages", "Annotations", "Annotations_objects", "Ignore"


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


def object_colour(object_id: int) -> tuple[int, int, int]:
    """Return the colour of an id in DAVIS's palette."""
    start = 3 * (object_id % 256)
    r, g, b = davis_palette()[start : start + 3]
    return r, g, b


def palette_picture(labels: NDArray[np.uint8]) -> Image.Image:
    """Return a picture of ids ``(Y, X)`` in DAVIS's palette, to be saved as PNG."""
    picture = Image.fromarray(labels, mode="P")
    picture.putpalette(davis_palette())
    return picture


class DavisFolder:
    """Masklets of one video in a folder of PNGs; pictures are read when asked for."""

    def __init__(self, folder: Path, *, void: int | None = VOID) -> None:
        if not folder.is_dir():
            raise FormatError(f"There is no folder {folder}.")
        self.folder = folder
        self.void = void
        pictures = numbered_masks(folder)
        if not pictures:
            raise FormatError(f"{folder} holds no numbered PNGs such as 00000.png.")
        self._paths = by_number(pictures)
        root = folder.parent.parent
        self._layers = {i: by_number(pngs(layer)) for i, layer in layer_folders(root, folder.name).items()}
        self._ignore = by_number(pngs(root / IGNORE / folder.name))
        self._last: tuple[int, NDArray[np.integer]] | None = None
        self._palette: list[int] | None = None  # of the first picture that was read

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
        if described:
            return tuple(_object(int(i), facts) for i, facts in described["objects"].items())
        ids = {i for frame in self.frames for i in self.masks(frame)}
        return tuple(Object(i, f"object {i}", colour=object_colour(i)) for i in sorted(ids))

    def labels(self, frame: int) -> NDArray[np.integer]:
        """Return the picture of a frame, ``(Y, X)``, with void as background."""
        array = self.stored(frame)
        void = self._void(array)
        return array if void is None else np.where(void, array.dtype.type(0), array)

    def masks(self, frame: int) -> Mapping[int, NDArray[np.bool_]]:
        """Return ``{object id: (Y, X) bool}``; of overlapping objects whole, if they have pictures of their own."""
        labels = self.labels(frame)
        if self._layers:
            return {i: read_mask(paths[frame]) > 0 for i, paths in self._layers.items() if frame in paths}
        return LabelMasks(labels)

    def ignored(self, frame: int) -> NDArray[np.bool_] | None:
        """Return the pixels ``(Y, X)`` of a frame that are void or unlabelled, so count nowhere; ``None`` if there are none."""
        void = self._void(self.stored(frame))
        if frame in self._ignore:
            unlabelled = read_mask(self._ignore[frame]) > 0
            void = unlabelled if void is None else void | unlabelled
        return void if void is not None and void.any() else None

    def _void(self, array: NDArray[Any]) -> NDArray[np.bool_] | None:
        """Return the void pixels; where ids have more than 8 bits, 255 is one of them."""
        return array == self.void if self.void is not None and array.dtype.itemsize == 1 else None

    def stored(self, frame: int) -> NDArray[np.integer]:
        """Return the picture of a frame as it is, ``(Y, X)`` of its own integers, void as 255.

        Raises :class:`FormatError` if the frame is not annotated, or the picture cannot be read or has another palette.
        """
        if frame not in self._paths:
            raise FormatError(f"Frame {frame} of {self.folder} is not annotated; annotated are {self.frames[:5]} ...")
        if self._last is None or self._last[0] != frame:
            labels, palette = _labels_and_palette(self._paths[frame])
            self._check_palette(labels, palette, self._paths[frame])
            self._last = frame, labels
        return self._last[1]

    def _check_palette(self, labels: NDArray[np.integer], palette: list[int] | None, path: Path) -> None:
        """Refuse a palette in which numbers have changed places: so programs save that sort the colours of each picture."""
        if palette is None or palette == self._palette:
            return
        if self._palette is None:
            self._palette = palette
            return
        first, here = (list(zip(*[iter(colours)] * 3, strict=False)) for colours in (self._palette, palette))
        for i in np.flatnonzero(np.bincount(labels.ravel())).tolist():
            if i < min(len(first), len(here)) and here[i] != first[i] and here[i] in first:
                raise FormatError(
                    f"{path} gives number {i} the colour that number {first.index(here[i])} has in other pictures of "
                    f"{self.folder.name}: save all with one palette."
                )

    @cached_property
    def phases(self) -> tuple[Phase, ...]:
        """Phases of ``meta.json``."""
        return phases_of_facts(self._described().get("phases", ()))

    @property
    def described(self) -> bool:
        """Whether a ``meta.json`` has this video."""
        return bool(self._described())

    def _described(self) -> dict[str, Any]:
        """Return what ``meta.json`` says of the video."""
        for path in (self.folder / META, self.folder.parent.parent / META):
            if path.is_file():
                try:
                    videos = json.loads(path.read_bytes())["videos"]
                except (ValueError, KeyError, TypeError) as error:
                    raise FormatError(f"{path} is not a YouTube-VOS meta.json ({error}).") from error
                if isinstance(videos, dict) and self.name in videos:
                    return dict(videos[self.name])
        return {}


class ObjectFolders(DavisFolder):
    """Masklets of one video whose objects have a folder each, as SAM 2 and SA-V write them: ``<video>/000/00012.png``."""

    def __init__(self, folder: Path, layers: Mapping[int, Path], *, void: int | None = VOID) -> None:
        self.folder, self.void = folder, void
        self._layers = {i: by_number(numbered_masks(layer)) for i, layer in layers.items()}
        self._paths = {frame: path for paths in self._layers.values() for frame, path in paths.items()}
        if not self._paths:
            raise FormatError(f"{folder} holds no numbered PNGs such as {min(layers):03d}/00000.png.")
        self._ignore = by_number(pngs(folder.parent.parent / IGNORE / folder.name))

    @cached_property
    def objects(self) -> tuple[Object, ...]:
        """One for each folder."""
        facts = self._described().get("objects", {})
        return tuple(_object(i, facts.get(str(i), {})) for i in self._layers)

    def stored(self, frame: int) -> NDArray[np.integer]:
        """Return one picture ``(Y, X)`` of all objects of a frame, each as its id + 1; see :meth:`DavisFolder.stored`."""
        masks = self.masks(frame)
        labels = np.zeros(next(iter(masks.values())).shape, np.uint32)
        for i, mask in masks.items():
            labels[mask] = i + 1
        return labels

    def masks(self, frame: int) -> Mapping[int, NDArray[np.bool_]]:
        """Return ``{object id: (Y, X) bool}``.

        Raises :class:`FormatError` if the frame is not annotated, or a picture cannot be read or shows several objects.
        """
        if frame not in self._paths:
            raise FormatError(f"Frame {frame} of {self.folder} is not annotated; annotated are {self.frames[:5]} ...")
        found = {i: read_mask(paths[frame]) for i, paths in self._layers.items() if frame in paths}
        for i, labels in found.items():
            if not _binary(labels):
                raise FormatError(f"{self._layers[i][frame]} has several values, and its folder is that of one object.")
        return {i: labels > 0 for i, labels in found.items()}


def _binary(labels: NDArray[Any]) -> bool:
    return bool(((labels == 0) | (labels == labels.max(initial=0))).all())


def _objects_of(folder: Path, inner: Iterable[Path]) -> dict[int, Path]:
    """Return the folders of a video's objects, by object; empty where they are videos under a resolution, such as 480p."""
    if _NO_VIDEO.fullmatch(folder.name) or not all(p.name.isdecimal() for p in inner):
        return {}
    first = [min(found) for p in inner if (found := pngs(p))]
    return {int(p.name): p for p in sorted(inner)} if first and all(_binary(read_mask(path)) for path in first) else {}


def pngs(folder: Path) -> list[Path]:
    """Return the PNGs of a folder, be their ending small or capital letters; none where there is no folder."""
    return [p for p in folder.glob("*") if p.suffix.lower() == ".png"]


def numbered_masks(folder: Path) -> list[Path]:
    """Return the PNGs of a folder that have a frame number at the end of their names."""
    return [p for p in pngs(folder) if re.search(r"\d+$", p.stem)]


def layer_folders(root: Path, video: str) -> dict[int, Path]:
    """Return the folders with a picture an object, by object: there are some where objects overlap or are more than 254."""
    folders = sorted((root / LAYERS / video).glob("*"))
    return {int(folder.name): folder for folder in folders if folder.is_dir() and folder.name.isdigit()}


def read_mask(path: Path) -> NDArray[np.integer]:
    """Return a picture of ids, or of one object, ``(Y, X)``, upright as the frames of its video are."""
    return _labels_and_palette(path)[0]


def _labels_and_palette(path: Path) -> tuple[NDArray[np.integer], list[int] | None]:
    try:
        with open_picture(path) as picture:
            array, palette = np.asarray(upright(picture)), picture.getpalette()
    except UNREADABLE as error:
        raise FormatError(f"{path} cannot be read ({error}).") from error
    if array.ndim != 2 or array.dtype.kind not in "uib":
        raise FormatError(f"{path} is a {picture.mode} picture; ids are read from palette or grey PNGs.")
    return array, palette


def _object(object_id: int, facts: Mapping[str, Any]) -> Object:
    category, colour, parent = facts.get("category"), facts.get("colour"), facts.get("parent")
    return Object(
        object_id,
        str(facts.get("name") or f"object {object_id}"),
        str(category) if category else None,
        (int(colour[0]), int(colour[1]), int(colour[2])) if colour else object_colour(object_id),
        parent=None if parent is None else int(parent),
    )


def read_davis(path: Path | str, *, void: int | None = VOID) -> dict[str, DavisFolder]:
    """Read a DAVIS root, a folder of videos, or a folder of PNGs: ``{video name: masklets}``.

    Raises :class:`FormatError` if no PNGs are found there.
    """
    root = Path(path)
    if not root.is_dir():
        raise FormatError(f"There is no folder {root}.")
    annotations = root / ANNOTATIONS if (root / ANNOTATIONS).is_dir() else root
    if pngs(annotations):
        return {annotations.name if annotations != root / ANNOTATIONS else root.name: DavisFolder(annotations, void=void)}
    videos: dict[str, DavisFolder] = {}
    for folder in sorted(p for p in annotations.iterdir() if p.is_dir() and not is_draft(p)):
        inner = sorted(p for p in folder.iterdir() if p.is_dir() and not is_draft(p))
        if pngs(folder):
            found = [DavisFolder(folder, void=void)]
        elif objects := _objects_of(folder, inner):
            found = [ObjectFolders(folder, objects, void=void)]
        else:  # a resolution between, as DAVIS's 480p
            found = [DavisFolder(p, void=void) for p in inner]
        for video in found:
            if video.name in videos:
                raise FormatError(
                    f"{video.folder} and {videos[video.name].folder} have one name: give the folder of one of them."
                )
            videos[video.name] = video
    if not videos:
        lossy = any(p.suffix.lower() in (".jpg", ".jpeg") for p in annotations.iterdir())
        why = ", but JPEGs: these change values, so save masks as PNGs" if lossy else ""
        raise FormatError(f"{root} holds no folders of PNGs{why}.")
    return videos


def is_root(folder: Path) -> bool:
    """Whether a folder has pictures beside masks."""
    return (folder / PICTURES).is_dir() and (folder / ANNOTATIONS).is_dir()


def find_roots(folder: Path) -> list[Path]:
    """Return the roots with pictures beside masks: the folder itself and those up to two levels below it."""
    return [root for root in (folder, *sorted(folder.glob("*")), *sorted(folder.glob("*/*"))) if is_root(root)]


def split_of(root: Path) -> str | None:
    """Return the split that ``meta.json`` names, ``"train"`` or ``"test"``; ``None`` if it names none."""
    path = root / META
    if not path.is_file():
        return None
    try:
        split = json.loads(path.read_bytes()).get("split")
    except (OSError, ValueError, AttributeError) as error:
        raise FormatError(f"{path} cannot be read ({error}).") from error
    return None if split is None else str(split)


def pictures_of(root: Path, masks: DavisFolder) -> Path:
    """Return the folder with the pictures of a video of a root: under a resolution, as DAVIS's 480p, if its masks are.

    Raises :class:`FormatError` if there is none.
    """
    inside = masks.folder.relative_to(root / ANNOTATIONS if (root / ANNOTATIONS).is_dir() else root)
    for pictures in (root / PICTURES / inside, root / PICTURES / masks.name):
        if pictures.is_dir():
            return pictures
    raise FormatError(f"The masks of {masks.name} have no pictures: there is no folder {root / PICTURES / inside}.")


def picture_places(pictures: Path, frames: Iterable[int] = ()) -> dict[int, int]:
    """Return the place of each picture among those of a folder by its number; ``frames`` are annotated ones.

    Raises :class:`FormatError` if an annotated frame has no picture.
    """
    places = {number: place for place, number in enumerate(picture_numbers(pictures))}
    lacking = sorted(set(frames) - places.keys())
    if lacking:
        raise FormatError(
            f"{pictures} has no picture of the annotated frame {lacking[0]} ({len(lacking)} lack): pictures and masks "
            "belong together by their numbers, so give both the same numbers."
        )
    return places


class NumberedPictures:
    """The pictures of a folder by their own numbers: ``pictures[25]`` is ``00025.jpg``, ``(Y, X, 3)``."""

    def __init__(self, folder: Path) -> None:
        self._video = open_video(folder)
        self._places = picture_places(folder)

    def __getitem__(self, number: int) -> NDArray[np.uint8]:
        return self._video[self._places[number]]

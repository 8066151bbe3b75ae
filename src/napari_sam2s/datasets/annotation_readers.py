"""The seven ways in which the source datasets write masks; every one is strict about what it does not know.

1. :func:`colour_map`  a colour for each class
2. :func:`grey_map`  a grey value for each class
3. :func:`threshold`, :func:`nearest_colour`  masks that went through JPEG
4. :func:`object_pictures`  one picture for each object
5. :func:`labelme`  LabelMe polygons, grouped
6. :class:`CocoFile`  COCO run lengths and polygons
7. :func:`stack`  a numpy array with a channel for each object

The first three give a *class map* ``(Y, X)`` int16: 0 is background, ``IGNORE`` a pixel that nobody has labelled.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from napari_sam2s.datasets.json_files import read_json
from napari_sam2s.datasets.source import Instance, Reading, read_picture
from napari_sam2s.errors import DatasetError, FormatError
from napari_sam2s.formats.coco_rle import decode_rle
from napari_sam2s.wording import counted

IGNORE = -1
ClassMap = NDArray[np.int16]
RGB = tuple[int, int, int]
NEAR = 100  # of colours that JPEG has blurred


def colour_map(path: Path, colours: Mapping[RGB, int]) -> ClassMap:
    """Read a picture whose colours are classes; a colour that is not among them is an error, never background."""
    array = read_picture(path)
    if array.ndim != 3:
        array = read_picture(path, "RGB")
    packed = _pack(array[..., :3])
    table = {(r << 16) | (g << 8) | b: index for (r, g, b), index in colours.items()}
    return _look_up(path, packed, table, "colour", lambda v: (v >> 16, v >> 8 & 255, v & 255))


def grey_map(path: Path, values: Mapping[int, int], *, channel: int | None = None) -> ClassMap:
    """Read a picture whose grey values are classes.

    Three or four channels must repeat the same grey; with ``channel`` only that one is read.
    """
    return _look_up(path, grey(path, channel), values, "value", int)


def grey(path: Path, channel: int | None = None) -> NDArray[Any]:
    """Return grey values ``(Y, X)``; of a palette picture its indices."""
    array = read_picture(path)
    if array.ndim == 2:
        return array
    if channel is None:
        if (array[..., :3] != array[..., :1]).any():
            raise DatasetError(f"{path} is a colour picture. Expected is one grey value per pixel, the same in each channel.")
        channel = 0
    return array[..., channel]


def _pack(array: NDArray[np.uint8]) -> NDArray[np.int32]:
    wide = array.astype(np.int32)
    return (wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2]


def present(array: NDArray[Any]) -> dict[int, int]:
    """Return the values of an array of integers, ``{value: pixels}``."""
    if array.dtype == np.uint8:  # many times faster than sorting
        counts = np.bincount(array.ravel(), minlength=256)
        return {int(v): int(counts[v]) for v in np.flatnonzero(counts)}
    values, sorted_counts = np.unique(array, return_counts=True)
    return {int(v): int(n) for v, n in zip(values, sorted_counts, strict=True)}


def _look_up(path: Path, array: NDArray[Any], table: Mapping[int, int], what: str, show: Any) -> ClassMap:
    found = present(array)
    unknown = {value: count for value, count in found.items() if value not in table}
    if unknown:
        value, count = max(unknown.items(), key=lambda item: item[1])
        raise DatasetError(
            f"{path} has the unknown {what} {show(value)} in {counted(count, 'pixel')}; known are {len(table)}: is it the right"
            " file?"
        )
    values = np.array(sorted(found))
    classes = np.array([table[int(v)] for v in values], dtype=np.int16)
    if array.dtype == np.uint8:
        every = np.zeros(256, dtype=np.int16)
        every[values] = classes
        return every[array]
    return classes[np.searchsorted(values, array)]


def threshold(path: Path, above: int = 127) -> ClassMap:
    """Read a mask of black and white that JPEG may have blurred: 1 where it is brighter than ``above``.

    A mask with many greys in between is something else (a photograph, a probability), and an error.
    """
    array = read_picture(path, "L")
    between = np.count_nonzero((array > 64) & (array < 192))
    if between > max(0.05 * array.size, 64):
        share = 100 * between / array.size
        raise DatasetError(f"{path} is not a black and white mask: {share:.0f} % of its pixels are grey.")
    return (array > above).astype(np.int16)


def nearest_colour(path: Path, colours: Mapping[RGB, int]) -> ClassMap:
    """Read a picture whose colours JPEG has blurred; a pixel farther than ``NEAR`` from all of them counts against it.

    Edges between two colours always have a few such pixels; more than 5 % are an error.
    """
    array = read_picture(path, "RGB").astype(np.int32)
    names = np.array(list(colours), dtype=np.int32)
    distances = np.stack([((array - name) ** 2).sum(axis=-1) for name in names])
    best = distances.argmin(axis=0)
    far = np.count_nonzero(np.sqrt(distances.min(axis=0)) > NEAR)
    if far > max(0.05 * best.size, 64):
        share = 100 * far / best.size
        raise DatasetError(f"{path}: {share:.0f} % of its pixels are close to none of the {len(names)} known colours.")
    return np.array(list(colours.values()), dtype=np.int16)[best]


def object_pictures(
    pictures: Iterable[tuple[Path, int, str | None, str | None]], values: Collection[int] | None = None
) -> list[Instance]:
    """Read one picture for each object: ``(path, category, identity, hint)``; whatever is not 0 is the object.

    With ``values`` the pictures are grey and nothing else may be in them.
    """
    instances = []
    for path, category, identity, hint in pictures:
        array = read_picture(path) if values is None else grey(path)
        unknown = [] if values is None else sorted(set(present(array)) - set(values))
        if unknown:
            raise DatasetError(f"{path} has the unknown value {unknown[0]}; known are {sorted(values or ())}.")
        mask: NDArray[np.bool_] = np.any(array[..., :3], axis=-1) if array.ndim == 3 else array > 0
        instances.append(Instance(category, mask, identity, hint))
    return instances


def labelme(path: Path, categories: Mapping[str, int], size: tuple[int, int]) -> Reading:
    """Read LabelMe polygons; all polygons of one label and group are one object, in several pieces."""
    described = read_json(path)
    if not isinstance(described, dict) or not isinstance(described.get("shapes"), list):
        raise DatasetError(f"{path} is not a LabelMe file: it has no list of shapes.")
    stated = described.get("imageHeight"), described.get("imageWidth")  # left out of frames without shapes
    if None not in stated and stated != size:
        raise DatasetError(f"{path} was drawn on a picture of {stated} (Y, X); the picture beside it is {size}.")
    masks: dict[tuple[str, Any], NDArray[np.bool_]] = {}
    for shape in described["shapes"]:
        label, kind = shape.get("label"), shape.get("shape_type", "polygon")
        if label not in categories:
            raise DatasetError(f"{path} has the unknown label {label!r}; known are {', '.join(categories)}.")
        if kind != "polygon" or len(shape.get("points", ())) < 3:
            raise DatasetError(
                f"{path} has a {kind} with {counted(len(shape.get('points', ())), 'point')}; expected are polygons."
            )
        piece = draw_polygon(shape["points"], size)
        key = label, shape.get("group_id")
        masks[key] = masks[key] | piece if key in masks else piece
    return Reading(
        size,
        [
            Instance(categories[label], mask, hint=None if group is None else str(group))
            for (label, group), mask in masks.items()
            if mask.any()
        ],
    )


def draw_polygon(points: Sequence[Sequence[float]], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Fill a polygon of ``(x, y)`` as LabelMe does; its outline belongs to it."""
    picture = Image.new("1", (size[1], size[0]))
    ImageDraw.Draw(picture).polygon([(float(x), float(y)) for x, y in points], fill=1, outline=1)
    return np.array(picture)


class CocoFile:
    """Pictures, categories and annotations of a COCO file."""

    def __init__(self, path: Path) -> None:
        described = read_json(path)
        lacking = [k for k in ("images", "annotations", "categories") if not isinstance(described, dict) or k not in described]
        if lacking:
            raise DatasetError(f"{path} is not a COCO file: it has no {lacking[0]}.")
        self.path = path
        self.images: list[dict[str, Any]] = described["images"]
        self.categories = {int(c["id"]): str(c["name"]) for c in described["categories"]}
        self._annotations: list[dict[str, Any]] = described["annotations"]

    @cached_property
    def _by_image(self) -> Mapping[int, list[dict[str, Any]]]:
        groups: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for annotation in self._annotations:
            groups[annotation["image_id"]].append(annotation)
        return groups

    def reading(self, image: Mapping[str, Any], names: Mapping[str, int]) -> Reading:
        """Return the objects of a picture; ``names`` are our categories by the file's names."""
        size = int(image["height"]), int(image["width"])
        instances = []
        for annotation in self._by_image.get(image["id"], []):
            name = self.categories.get(annotation["category_id"])
            if name is None or _plain(name) not in names:
                raise DatasetError(f"{self.path} has the unknown category {name or annotation['category_id']!r}.")
            mask = self._mask(annotation, size)
            if mask.any():
                instances.append(Instance(names[_plain(name)], mask))
        return Reading(size, instances)

    def _mask(self, annotation: Mapping[str, Any], size: tuple[int, int]) -> NDArray[np.bool_]:
        given = annotation.get("segmentation")
        if isinstance(given, dict):
            if tuple(given.get("size", ())) != size:
                raise DatasetError(
                    f"{self.path}: annotation {annotation.get('id')} is {given.get('size')}, its picture {size}."
                )
            try:
                return decode_rle(given)
            except FormatError as error:
                raise DatasetError(f"{self.path}: annotation {annotation.get('id')}: {error}") from error
        if isinstance(given, list) and given:
            mask = np.zeros(size, dtype=bool)
            for flat in given:
                mask |= draw_polygon(list(zip(flat[0::2], flat[1::2], strict=True)), size)
            return mask
        raise DatasetError(f"{self.path}: annotation {annotation.get('id')} has no mask; the file may hold boxes only.")


def _plain(name: str) -> str:
    """Return a name without the differences of spelling between releases."""
    return name.lower().replace("_", " ").replace("-", " ").strip()


def by_plain_name(names: Mapping[int, str]) -> dict[str, int]:
    """Return categories by their names in lower case, with blanks."""
    return {_plain(name): index for index, name in names.items()}


def stack(path: Path, labels: Path, categories: Mapping[int, int]) -> list[Instance]:
    """Read a numpy array with a channel for each object, and the file that names the label of each channel."""
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} is not an array that can be read ({error}).") from error
    try:
        with labels.open(newline="", encoding="utf-8") as file:
            words = [word.strip() for row in csv.reader(file) for word in row if word.strip()]
        names = [int(float(word)) for word in words]
    except (OSError, ValueError) as error:
        raise DatasetError(f"{labels} does not give a number for each object ({error}).") from error
    if array.ndim == 2:
        array = array[None]
    if array.ndim == 3 and array.shape[0] != len(names) and array.shape[-1] == len(names):
        array = np.moveaxis(array, -1, 0)
    if array.ndim != 3 or array.shape[0] != len(names):
        raise DatasetError(f"{path} of shape {array.shape} does not fit the {counted(len(names), 'label')} of {labels.name}.")
    unknown = sorted({n for n in names if n not in categories})
    if unknown:
        raise DatasetError(f"{labels} has the unknown label {unknown[0]}; known are {sorted(categories)}.")
    return [Instance(categories[n], channel > 0) for n, channel in zip(names, array, strict=True) if (channel > 0).any()]

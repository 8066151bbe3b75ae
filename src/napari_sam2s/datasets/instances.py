"""From classes to objects: connected parts, or the one object that a class is."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects, label

from napari_sam2s.datasets.annotation_readers import IGNORE, ClassMap
from napari_sam2s.datasets.source import Instance, Reading

LEAST_PIXELS = 50  # smaller parts are left-overs of drawing or of JPEG


def parts(mask: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """Return the connected parts of a mask (corners touch), the largest first."""
    labels, _ = label(mask, structure=np.ones((3, 3), dtype=int))
    found = []
    for index, place in enumerate(find_objects(labels), 1):
        part = labels[place] == index
        area = int(part.sum())
        if area >= LEAST_PIXELS:
            whole = np.zeros_like(mask)
            whole[place] = part
            found.append((area, whole))
    return [whole for _, whole in sorted(found, key=lambda item: -item[0])]


def split(
    classes: ClassMap,
    categories: Collection[int],
    *,
    single: Collection[int] = (),
    merge: Mapping[int, int] | None = None,
) -> Reading:
    """Make objects of a class map.

    Parameters
    ----------
    categories
        What to keep; other classes are background.
    single
        Categories of which there is one in a video, such as an organ: all its pixels are one object, always the same.
        Any other category is split into connected parts.
    merge
        Classes that are parts of one thing, ``{class: category}``, such as shaft and jaws.
    """
    if merge:
        classes = classes.copy()
        for part, whole in merge.items():
            classes[classes == part] = whole
    instances: list[Instance] = []
    for category in sorted(set(categories)):
        mask = classes == category
        if not mask.any():
            continue
        if category in single:
            instances.append(Instance(category, mask, identity=f"category {category}"))
        else:
            instances += [Instance(category, part) for part in parts(mask)]
    ignore: Any = classes == IGNORE
    height, width = classes.shape
    return Reading((height, width), instances, ignore if ignore.any() else None)


def objects_of(
    class_map: Callable[[Path], ClassMap],
    categories: Collection[int],
    *,
    single: Collection[int] = (),
    merge: Mapping[int, int] | None = None,
) -> Callable[[Path], Reading]:
    """Return what reads a mask and makes its objects; see :func:`split`."""
    return lambda path: split(class_map(path), categories, single=single, merge=merge)

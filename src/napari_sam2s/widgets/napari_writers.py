"""Napari's ``File > Save Selected Layers``: a Labels layer as DAVIS folders, COCO or a table of measurements.

Of the layer that shows a project the project itself is written, with names, classes, scores and overlaps; of any other layer
its labels.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from napari_sam2s.errors import FormatError
from napari_sam2s.formats import write_davis
from napari_sam2s.formats.coco import write_coco_file
from napari_sam2s.formats.measurements import write_measurements_file
from napari_sam2s.masklets import Project
from napari_sam2s.masklets.protocol import LabelMasklets, Masklets
from napari_sam2s.widgets.export_menu import pixel_size_of
from napari_sam2s.widgets.layer_sync import OURS


def save_davis(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write a layer as a folder of DAVIS, ``path``."""
    return _written(data, attributes, lambda masklets, name: write_davis(masklets, Path(path), name))


def save_coco(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write a layer as COCO instances, the file ``path``."""
    return _written(data, attributes, lambda masklets, name: write_coco_file(masklets, Path(path), name))


def save_measurements(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write measurements of a layer, the file ``path``."""
    size, unit = pixel_size_of(attributes.get("scale", (1.0, 1.0)), attributes.get("units"))
    return _written(
        data, attributes, lambda masklets, _: write_measurements_file(masklets, Path(path), pixel_size=size, unit=unit)
    )


def _written(data: Any, attributes: dict[str, Any], write: Callable[[Masklets, str], Path]) -> list[str]:
    name = str(attributes.get("name", "labels")).replace("/", "-")
    project = (attributes.get("metadata") or {}).get(OURS)
    if project is not None:
        with Project.open(project, mode="r") as known:
            return [str(write(known, known.name))]
    shape = np.shape(data)
    if len(shape) not in (2, 3):
        raise FormatError(f"Labels of the shape {shape} cannot be written: they are (T, Y, X), or one frame (Y, X).")
    labels = LabelMasklets(data if len(shape) == 3 else np.asarray(data)[None])
    return [str(write(labels, name))]

"""Napari's ``File > Save Selected Layers``: a Labels layer in each format that the registry gives a ``layer_ending``.

Of the layer that shows a project the project itself is written, with names, classes, scores and overlaps; of any other layer
its labels. ``napari.yaml`` names these functions: ``save_`` and the name of the format.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from napari_sam2s.errors import FormatError
from napari_sam2s.formats import FORMATS, Format
from napari_sam2s.formats.atomic_write import kind_of
from napari_sam2s.formats.export_view import ExportView
from napari_sam2s.masklets import Project
from napari_sam2s.masklets.protocol import LabelMasklets
from napari_sam2s.widgets.export_menu import pixel_size_of
from napari_sam2s.widgets.layer_sync import OURS

TIFF = ".tif"


def __getattr__(name: str) -> Callable[[str, Any, dict[str, Any]], list[str]]:
    known = FORMATS.get(name.removeprefix("save_"))
    if known is None or not known.layer_ending:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return partial(_save, known)


def _save(chosen: Format, path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write a layer as the file or folder ``path``; return what was made.

    napari's dialog proposes the first of our formats for every Labels layer. Who types "masks.tif" into it wants a TIFF.
    """
    chosen = FORMATS["tiff"] if kind_of(Path(path)) == TIFF else chosen
    size, unit = pixel_size_of(attributes.get("scale", (1.0, 1.0)), attributes.get("units"))
    options = {k: v for k, v in {"pixel_size": size, "unit": unit}.items() if k in chosen.keywords}
    project = (attributes.get("metadata") or {}).get(OURS)
    if project is not None:
        with Project.open(project, mode="r") as known:
            return [str(chosen.write(known, Path(path), known.path.stem, **options))]
    shape = np.shape(data)
    if len(shape) not in (2, 3):
        raise FormatError(f"Labels of the shape {shape} cannot be written: they are (T, Y, X), or one frame (Y, X).")
    name = str(attributes.get("name", "labels")).replace("/", "-")
    labels = LabelMasklets(data if len(shape) == 3 else np.asarray(data)[None])
    return [str(chosen.write(ExportView(labels, None), Path(path), name, **options))]

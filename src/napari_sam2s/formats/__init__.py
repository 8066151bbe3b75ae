"""Masks in and out of other formats; :mod:`registry` lists them."""

import warnings
from typing import Any

from napari_sam2s.formats.coco import CocoMasklets, read_coco, write_coco
from napari_sam2s.formats.ctc import CtcFolder, read_ctc, write_ctc
from napari_sam2s.formats.davis import DavisWriter, write_davis
from napari_sam2s.formats.davis_layout import DavisFolder, read_davis
from napari_sam2s.formats.measurements import measurements, write_measurements
from napari_sam2s.formats.ome_zarr import OmeZarrLabels, read_ome_zarr, write_ome_zarr
from napari_sam2s.formats.overlay import contact_sheet, overlay, write_overlay, write_video
from napari_sam2s.formats.phase_import import import_phases
from napari_sam2s.formats.registry import FORMATS, Format, Option
from napari_sam2s.formats.sav import SavFile, read_sav, write_sav

__all__ = [
    "FORMATS",
    "CocoMasklets",
    "CtcFolder",
    "DavisFolder",
    "DavisWriter",
    "Format",
    "OmeZarrLabels",
    "Option",
    "SavFile",
    "contact_sheet",
    "import_phases",
    "measurements",
    "overlay",
    "read_coco",
    "read_ctc",
    "read_davis",
    "read_ome_zarr",
    "read_sav",
    "write_coco",
    "write_ctc",
    "write_davis",
    "write_measurements",
    "write_ome_zarr",
    "write_overlay",
    "write_sav",
    "write_video",
]


def __getattr__(name: str) -> Any:
    if name == "WRITERS":
        warnings.warn("WRITERS is FORMATS now: FORMATS[name].write.", DeprecationWarning, stacklevel=2)
        return {known.name: known.write for known in FORMATS.values() if not known.needs_video}
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

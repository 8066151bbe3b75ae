"""Masks in and out of other formats."""

from collections.abc import Callable, Mapping
from pathlib import Path

from napari_sam2s.formats.coco import CocoMasklets, read_coco, write_coco
from napari_sam2s.formats.ctc import CtcFolder, read_ctc, write_ctc
from napari_sam2s.formats.davis import DavisWriter, write_davis
from napari_sam2s.formats.davis_layout import DavisFolder, read_davis
from napari_sam2s.formats.measurements import measurements, write_measurements
from napari_sam2s.formats.ome_zarr import OmeZarrLabels, read_ome_zarr, write_ome_zarr
from napari_sam2s.formats.overlay import contact_sheet, overlay, write_overlay, write_video
from napari_sam2s.formats.sav import SavFile, read_sav, write_sav

# What writes masklets of one video into a folder: (masklets, folder, name of the video) -> what was made. That of "csv" also
# takes ``pixel_size`` and ``unit``.
WRITERS: Mapping[str, Callable[..., Path]] = {
    "davis": write_davis,
    "coco": write_coco,
    "csv": write_measurements,
    "sav": write_sav,
    "ctc": write_ctc,
    "ome-zarr": write_ome_zarr,
}

__all__ = [
    "WRITERS",
    "CocoMasklets",
    "CtcFolder",
    "DavisFolder",
    "DavisWriter",
    "OmeZarrLabels",
    "SavFile",
    "contact_sheet",
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

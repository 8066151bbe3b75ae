"""Masks in and out of other formats."""

from collections.abc import Callable, Mapping
from pathlib import Path

from napari_sam2s.formats.ctc import CtcFolder, read_ctc, write_ctc
from napari_sam2s.formats.davis import DavisFolder, DavisWriter, read_davis, write_davis
from napari_sam2s.formats.ome_zarr import OmeZarrLabels, read_ome_zarr, write_ome_zarr
from napari_sam2s.formats.overlay import contact_sheet, overlay, write_overlay, write_video
from napari_sam2s.formats.sav import SavFile, read_sav, write_sav
from napari_sam2s.masklets.protocol import Masklets

# What writes masklets of one video into a folder: (masklets, folder, name of the video) -> what was made.
WRITERS: Mapping[str, Callable[[Masklets, Path | str, str], Path]] = {
    "davis": write_davis,
    "sav": write_sav,
    "ctc": write_ctc,
    "ome-zarr": write_ome_zarr,
}

__all__ = [
    "WRITERS",
    "CtcFolder",
    "DavisFolder",
    "DavisWriter",
    "OmeZarrLabels",
    "SavFile",
    "contact_sheet",
    "overlay",
    "read_ctc",
    "read_davis",
    "read_ome_zarr",
    "read_sav",
    "write_ctc",
    "write_davis",
    "write_ome_zarr",
    "write_overlay",
    "write_sav",
    "write_video",
]

"""Zarr arrays and OME-Zarr images on disk, as lazy arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from napari_sam2s.errors import VideoError
from napari_sam2s.video.lazy_array import as_video
from napari_sam2s.video.physical_scale import NOTHING_SAID, PhysicalScale, of_multiscale
from napari_sam2s.wording import counted

MOST_CHUNKS = 100_000  # that are counted when an array is opened


def is_zarr(folder: Path) -> bool:
    """Whether a folder is a zarr array or group."""
    return any((folder / name).exists() for name in ("zarr.json", ".zarray", ".zgroup"))


def missing_chunks(array: Any) -> list[str]:
    """Say how many pieces of a zarr array are not stored: they were empty, or never written, or not copied."""
    if array.nchunks > MOST_CHUNKS:  # asked for first: to count them takes long
        return []
    lost = array.nchunks - array.nchunks_initialized
    if lost <= 0:
        return []
    return [
        f"{lost} of {counted(array.nchunks, 'chunk')} of the array {'is' if lost == 1 else 'are'} missing and shown as "
        f"{array.fill_value or 0}: they were empty, or were not copied."
    ]


def _scales(node: Any) -> Any:
    attributes: dict[str, Any] = dict(node.attrs)
    return attributes.get("ome", attributes).get("multiscales")


def open_zarr(path: Path) -> tuple[Any, str | None, list[str], PhysicalScale]:
    """Open a zarr array, or the finest level of an OME-Zarr image, without reading it; with axes, warnings and scale.

    Raises :class:`VideoError` if it is neither, or damaged.
    """
    try:
        return _open_zarr(path)
    except VideoError:
        raise
    except Exception as error:  # zarr, its stores and damaged metadata raise many kinds
        raise VideoError(f"{path} cannot be read as zarr ({str(error) or type(error).__name__}).") from error


def _open_zarr(path: Path) -> tuple[Any, str | None, list[str], PhysicalScale]:
    import zarr

    node = zarr.open(path, mode="r")
    if isinstance(node, zarr.Array):
        return node, None, missing_chunks(node), NOTHING_SAID
    series = sorted(name for name, child in node.groups() if _scales(child))
    if not _scales(node) and len(series) == 1:  # as bioformats2raw writes it
        node = cast("zarr.Group", node[series[0]])
    scales = _scales(node)
    if not scales:
        inside = ", ".join(series or [name for name, _ in node.arrays()] or [name for name, _ in node.groups()])
        raise VideoError(f"{path} is a zarr group without one OME-Zarr image: open one of those inside ({inside or 'none'}).")
    array = node[scales[0]["datasets"][0]["path"]]
    if not isinstance(array, zarr.Array):
        raise VideoError(f"{path} has a group in the place of its finest level: it is damaged, or is not OME-Zarr.")
    names = [a["name"] if isinstance(a, dict) else a for a in scales[0].get("axes", [])]
    axes = "".join(name[:1].upper() for name in names)
    if not axes:
        return array, None, missing_chunks(array), NOTHING_SAID
    try:
        return (*as_video(array, axes), missing_chunks(array), of_multiscale(scales[0], array.shape))
    except VideoError as error:
        raise VideoError(f"{path}: {error}") from None

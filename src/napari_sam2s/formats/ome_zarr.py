"""OME-Zarr labels: one compressed array ``(t, y, x)``, read a frame at a time; names and colours in its metadata.

``root/<video>.ome.zarr/labels/masklets`` after OME-NGFF 0.5 (zarr version 3, https://ngff.openmicroscopy.org/0.5), or 0.4 (zarr
version 2) for readers that are older; a chunk is a frame, and an empty frame takes no room. Which frames are annotated, which
labels alone cannot say, is in the attribute ``napari-sam2s``. Both versions are read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import FormatError
from napari_sam2s.formats.atomic_write import refuse_full, whole_folder
from napari_sam2s.formats.davis_layout import object_colour
from napari_sam2s.formats.foreign_files import cannot_be_read
from napari_sam2s.formats.mask_entries import (
    Lost,
    annotated_frames,
    frame_labels,
    refuse_ids_beyond,
    refuse_negative,
    seconds_of,
    shape_of,
    warn_of_overlaps,
)
from napari_sam2s.formats.object_facts import facts_of_objects, object_of_facts
from napari_sam2s.masklets.label_masks import LabelMasks
from napari_sam2s.masklets.protocol import Masklets
from napari_sam2s.masklets.types import Object

NAME = "masklets"
OURS = "napari-sam2s"
_refuse_ids = refuse_ids_beyond(int(np.iinfo(np.int32).max))
VERSIONS: dict[str, Literal[2, 3]] = {"0.5": 3, "0.4": 2}  # of OME-NGFF: that of zarr


def write_ome_zarr(masklets: Masklets, root: Path | str, video: str, *, ngff: str = "0.5") -> Path:
    """Write masklets as labels of ``root/<video>.ome.zarr``, by version 0.5 or 0.4 of OME-NGFF; return that folder.

    Raises :class:`FormatError` if it is there already, cannot be written, nothing is annotated, an id has more than 31 bits,
    or the version is another.
    """
    import zarr

    if ngff not in VERSIONS:
        raise FormatError(f"OME-Zarr is written by version {' or '.join(VERSIONS)} of OME-NGFF, not {ngff}.")
    names = {"dimension_names": ("t", "y", "x")} if VERSIONS[ngff] == 3 else {}
    frames, shape = annotated_frames(masklets, video), shape_of(masklets)
    path = Path(root) / f"{video}.ome.zarr"
    _refuse_ids(o.id for o in masklets.objects)
    refuse_full(path)
    with whole_folder(path, anew=True) as part, _settled():
        group: Any = zarr.open_group(part, mode="w", zarr_format=VERSIONS[ngff])
        labels = group.create_group("labels")
        labels.attrs.update(_placed({"labels": [NAME]}, ngff))
        image = labels.create_group(NAME)
        array = image.create_array("0", shape=shape, chunks=(1, *shape[1:]), dtype="int32", fill_value=0, **names)
        objects, lost = masklets.objects, Lost()
        for frame in frames:
            drawn, overlap = frame_labels(masklets, frame, objects, shape[1:], np.int32, _refuse_ids)
            lost += overlap
            array[frame] = drawn
        times = [seconds_of(masklets, frame) for frame in frames]
        facts = getattr(masklets, "fps", None), getattr(masklets, "video", None)
        image.attrs.update(_placed(_image_metadata(objects, *facts), ngff))
        ours = {"annotated_frames": list(frames), "time_s": times, "fps": facts[0], "objects": facts_of_objects(objects)}
        image.attrs[OURS] = ours
    warn_of_overlaps(video, lost, objects)
    return path


@contextmanager
def _settled() -> Iterator[None]:
    """Wait for what zarr's own thread still writes when one thing failed: a folder removed meanwhile would be made anew."""
    from zarr.core.sync import sync

    async def others() -> None:
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}), return_exceptions=True)

    try:
        yield
    except BaseException:
        sync(others())
        raise


def _placed(facts: dict[str, Any], ngff: str) -> dict[str, Any]:
    """Return attributes as a version has them: from 0.5 on all is under ``ome``, and the version is there once."""
    if ngff != "0.4":
        return {"ome": {"version": ngff, **facts}}
    described = {key: {"version": ngff, **value} if isinstance(value, dict) else value for key, value in facts.items()}
    for scales in described.get("multiscales", ()):
        scales["version"] = ngff
    return described


def _image_metadata(objects: Sequence[Object], fps: float | None, video: Any) -> dict[str, Any]:
    time: dict[str, Any] = {"name": "t", "type": "time"}
    if fps:
        time["unit"] = "second"
    size, unit = getattr(video, "pixel_size", None) or (1.0, 1.0), getattr(video, "pixel_unit", "pixel")
    space: dict[str, Any] = {"type": "space"} | ({} if unit == "pixel" else {"unit": unit})
    axes = [time, {"name": "y", **space}, {"name": "x", **space}]
    scale = {"type": "scale", "scale": [1 / fps if fps else 1.0, *size]}
    datasets = [{"path": "0", "coordinateTransformations": [scale]}]
    return {
        "multiscales": [{"name": NAME, "axes": axes, "datasets": datasets}],
        "image-label": {
            "colors": [{"label-value": o.id, "rgba": [*o.colour, 255]} for o in objects],
            "properties": [{"label-value": o.id, "name": o.name, "class": o.class_name or ""} for o in objects],
        },
    }


class OmeZarrLabels:
    """Masklets of a label image; only the frames that are asked for are read."""

    def __init__(self, path: Path | str, name: str | None = None) -> None:
        import zarr

        self.path = Path(path)
        try:
            labels: Any = zarr.open_group(self.path, mode="r")["labels"]
            names = dict(labels.attrs).get("ome", labels.attrs)["labels"]
            chosen = name if name is not None else names[0]
            self.names = [str(name) for name in names]
            image: Any = labels[chosen]
            attributes = dict(image.attrs)
            facts = attributes.get("ome", attributes)
            self._array: Any = image[facts["multiscales"][0]["datasets"][0]["path"]]
        except Exception as error:  # zarr and its stores raise many kinds
            above = next((p.parent for p in (self.path, *self.path.parents) if p.name == "labels"), None)
            remedy = "" if above is None else f": give the folder that holds them, {above}"
            raise cannot_be_read(self.path, error, f"{self.path} holds no labels of OME-Zarr ({error!r}){remedy}.") from error
        size = [int(n) for n in self._array.shape]
        long = [n for n in range(len(size) - 2) if size[n] > 1] or [0]  # channels and planes, of which there is one
        if len(size) < 3 or len(long) > 1 or self._array.dtype.kind not in "iu":
            raise FormatError(f"{self.path}: the labels {chosen} are {self._array.dtype} {self._array.shape}, not (t, y, x).")
        axes = [axis.get("name") if isinstance(axis, dict) else axis for axis in facts["multiscales"][0].get("axes", [])]
        if len(axes) == len(size) and (axes[-2:] != ["y", "x"] or (axes[long[0]] == "c" and size[long[0]] > 1)):
            raise FormatError(f"{self.path}: the labels {chosen} have the axes {', '.join(map(str, axes))}: give (t, y, x).")
        if len(axes) == len(size) > 3 and size[long[0]] > 1 and axes[long[0]] != "t":
            raise FormatError(f"{self.path}: the labels {chosen} run along {axes[long[0]]}, not in time: give (t, y, x).")
        self._time, self.shape = long[0], (size[long[0]], *size[-2:])
        self._facts = facts.get("image-label", {})
        ours = attributes.get(OURS, {})
        self.fps: float | None = ours.get("fps")
        self._described: list[dict[str, Any]] = ours.get("objects", [])
        self.frames: list[int] = list(ours.get("annotated_frames", range(self.shape[0])))
        self._known = frozenset(self.frames)

    @cached_property
    def objects(self) -> tuple[Object, ...]:
        """The labels that we, or properties, name; of other files also all there are, for which the whole array is read."""
        if self._described:
            return tuple(map(object_of_facts, self._described))
        colours = {int(c["label-value"]): tuple(c["rgba"][:3]) for c in self._facts.get("colors", []) if "rgba" in c}
        named = {int(p["label-value"]): p for p in self._facts.get("properties", [])}
        ids = sorted({*named, *(int(i) for t in self.frames for i in np.unique(self._labels(t)))} - {0})
        return tuple(
            Object(
                i,
                str(named.get(i, {}).get("name") or f"object {i}"),
                named.get(i, {}).get("class") or None,
                colours.get(i, object_colour(i)),
            )
            for i in ids
        )

    def masks(self, frame: int) -> LabelMasks:
        """Return ``{object id: (Y, X) bool}``."""
        if frame not in self._known:
            raise FormatError(f"Frame {frame} of {self.path} is not annotated.")
        return LabelMasks(self._labels(frame))

    def _labels(self, frame: int) -> NDArray[np.integer]:
        place = tuple(frame if n == self._time else 0 for n in range(self._array.ndim - 2))
        labels = np.asarray(self._array[place])
        refuse_negative(labels, f"Frame {frame} of {self.path}")
        return labels


def read_ome_zarr(path: Path | str) -> dict[str, OmeZarrLabels]:
    """Read an OME-Zarr with labels: ``{video name: masklets}``; where it has several label images, by their names."""
    labels = OmeZarrLabels(path)
    if len(labels.names) == 1:
        return {labels.path.name.removesuffix(".zarr").removesuffix(".ome"): labels}
    return {name: OmeZarrLabels(path, name) for name in labels.names}

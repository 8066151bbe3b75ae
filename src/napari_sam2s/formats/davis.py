"""Writing DAVIS folders; :mod:`davis_layout` says what lies where in them, and reads them.

Where objects overlap, :func:`label_image` says which one is seen; the pixels lost are counted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import FormatError
from napari_sam2s.formats.atomic_write import make_folder, refuse_left_over, whole_file, whole_folder
from napari_sam2s.formats.davis_layout import ANNOTATIONS, IGNORE, LARGEST_ID, LAYERS, META, numbered_masks, palette_picture
from napari_sam2s.formats.mask_entries import (
    Lost,
    annotated_frames,
    frame_labels,
    labels_of,
    seconds_of,
    shape_of,
    warn_of_overlaps,
)
from napari_sam2s.formats.phase_table import facts_of_phases
from napari_sam2s.masklets.protocol import Masklets
from napari_sam2s.masklets.types import Object


class DavisWriter:
    """Writes one video frame by frame: ``root/Annotations/<video>/%05d.png`` and ``root/meta.json``.

    ``objects`` say by their order which one is seen where they overlap; without them the higher id is. The pictures go into
    ``folder``, if it is given, for the caller to put in their place.
    """

    def __init__(
        self,
        root: Path | str,
        video: str,
        size: tuple[int, int],
        objects: Iterable[Object] = (),
        folder: Path | None = None,
    ) -> None:
        self.root = Path(root)
        self.folder = make_folder(self.root / ANNOTATIONS / video if folder is None else folder)
        self._draft = folder is not None  # of which no file needs to be whole, and no sentence is to speak
        self.video = video
        self.size = size
        self.objects = tuple(objects)
        self._lost = Lost()

    def write(self, frame: int, masks: Mapping[int, NDArray[np.bool_]]) -> None:
        """Write a frame; an empty picture says that no object is there."""
        refuse_ids(masks)
        self.keep(frame, *labels_of(frame, masks, self.objects, self.size, np.uint8))

    def keep(self, frame: int, labels: NDArray[np.uint8], lost: Lost) -> None:
        """Write the picture of a frame, ``(Y, X)``, and note what is lost in it."""
        self._lost += lost
        path, picture = self.folder / f"{frame:05d}.png", palette_picture(labels)
        if self._draft:
            picture.save(path)
            return
        with whole_file(path) as part:
            picture.save(part, format="PNG")

    def finish(self, objects: Iterable[Object], frames: Iterable[int], facts: Mapping[str, object] | None = None) -> None:
        """Write ``meta.json``, beside what other videos have there already; warn of overlaps."""
        path = self.root / META
        meta = _read_meta(path)
        names = [f"{frame:05d}" for frame in frames]
        described = {
            str(o.id): {
                **{"category": o.class_name or "", "name": o.name, "frames": names},
                **{"colour": list(o.colour), "parent": o.parent},
            }
            for o in objects
        }
        meta["videos"][self.video] = {"objects": described, **(facts or {})}
        with whole_file(path, shared=True) as part:
            part.write_text(json.dumps(meta, indent=1), encoding="utf-8")
        warn_of_overlaps(self.video, self._lost, self.objects)


def write_davis(masklets: Masklets, root: Path | str, video: str) -> Path:
    """Write masklets as DAVIS folders under ``root``; return the video's folder.

    Raises :class:`FormatError` if nothing is annotated, an id is beyond the palette, the video's folder holds pictures of
    other frames, ``meta.json`` is something else, or they cannot be written. The folder is as it was then.
    """
    frames, (_, height, width), objects = annotated_frames(masklets, video), shape_of(masklets), masklets.objects
    _refuse_left_over(Path(root), video, {f"{frame:05d}.png" for frame in frames})
    _read_meta(Path(root) / META)
    folder = Path(root) / ANNOTATIONS / video
    refuse_ids(o.id for o in objects)
    times = [seconds_of(masklets, frame) for frame in frames]
    with whole_folder(folder) as draft:
        writer = DavisWriter(root, video, (height, width), objects, draft)
        for frame in frames:
            writer.keep(frame, *frame_labels(masklets, frame, objects, writer.size, np.uint8, refuse_ids))
        facts = {"fps": getattr(masklets, "fps", None), "frames": frames, "time_s": times, "phases": facts_of_phases(masklets)}
        writer.finish(objects, frames, facts)
    return folder


def refuse_ids(ids: Iterable[int]) -> None:
    """Refuse ids that a palette PNG does not hold."""
    for object_id in ids:
        if not 1 <= object_id <= LARGEST_ID:
            raise FormatError(f"A palette PNG holds the ids 1 to {LARGEST_ID}; object {object_id} needs another format.")


def _refuse_left_over(root: Path, video: str, names: set[str]) -> None:
    """Refuse folders in which a reader would find pictures of a video that are not among those of these names."""
    folder = root / ANNOTATIONS / video
    refuse_left_over(folder, sorted(p for p in numbered_masks(folder) if p.name not in names))
    for beside in (root / LAYERS / video, root / IGNORE / video):
        refuse_left_over(beside, sorted(beside.rglob("*.png")))


def _read_meta(path: Path) -> dict[str, Any]:
    """Return a ``meta.json`` of YouTube-VOS, to add a video to it; an empty one if there is none."""
    if not path.is_file():
        return {"videos": {}}
    try:
        meta: dict[str, Any] = json.loads(path.read_bytes())
        if not isinstance(meta["videos"], dict):
            raise TypeError("its videos are not an object")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FormatError(f"{path} is not a YouTube-VOS meta.json ({error!r}): move it away, or export elsewhere.") from error
    return meta

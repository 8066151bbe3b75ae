"""The folder of one converted subset, written video by video so that a conversion can be interrupted."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_sam2s import __version__
from napari_sam2s.datasets.conversion_report import Linked, Made
from napari_sam2s.datasets.json_files import read_json, write_json
from napari_sam2s.datasets.link_file import LinkFile
from napari_sam2s.datasets.metadata import Dataset, Subset
from napari_sam2s.errors import DatasetError
from napari_sam2s.formats.atomic_write import make_folder, move_folder, whole_file
from napari_sam2s.formats.davis import DavisWriter
from napari_sam2s.formats.davis_layout import ANNOTATIONS, IGNORE, LARGEST_ID, LAYERS, META, PICTURES
from napari_sam2s.masklets import rle

STILLS_A_COMMIT = 100  # stills are noted in meta.json by the hundred, videos each


class SubsetFolder:
    """The folder of one subset; ``meta.json`` says which videos are finished."""

    def __init__(self, root: Path, dataset: Dataset, subset: Subset) -> None:
        self.root, self.dataset, self.subset = root, dataset, subset
        self._unwritten = 0
        known = (root / META).is_file()
        self._meta: dict[str, Any] = (
            read_json(root / META, damaged="remove the folder and convert again")
            if known
            else {
                "dataset": dataset.name,
                "subset": subset.name,
                "split": subset.split,
                "title": dataset.title,
                "licence": dataset.licence,
                "link": dataset.link,
                "citation": dataset.citation,
                "layout_status": dataset.status,
                "fps": subset.fps,
                "published": asdict(subset.published),
                "napari_sam2s": __version__,
                "videos": {},
            }
        )
        strange = not known and root.is_dir() and any(p.suffix != ".part" for p in root.iterdir())
        if self._meta.get("dataset") != dataset.name or strange:
            raise DatasetError(f"{root} exists already and is not a conversion of {dataset.name}: choose another folder.")
        self._links = LinkFile(root, new=True)

    def has(self, video: str) -> bool:
        """Whether a video is finished."""
        return video in self._meta["videos"]

    def count(self, video: str, made: Made) -> None:
        """Count a video that an earlier run has made."""
        facts = self._meta["videos"][video]
        made.videos += 1
        for key in (
            "frames",
            "instrument_masks",
            "tissue_masks",
            "uncertain",
            "overlapping_pixels",
            "empty_frames",
            "beyond_palette",
        ):
            setattr(made, key, getattr(made, key) + facts["made"][key])
        made.masklets = (made.masklets or 0) + facts["made"]["masklets"]
        for name, count in facts["made"]["classes"].items():
            made.classes[name] = made.classes.get(name, 0) + count

    def write(self, kept: Linked) -> None:
        """Write one video."""
        video, size = kept.video, kept.size
        self.root.mkdir(parents=True, exist_ok=True)
        if not (self.root / META).is_file():
            write_json(self.root / META, self._meta)  # so that a conversion killed in its first video is known as one
        part = self.root / ".video.part"  # whose folders are put in place when all of them are written
        shutil.rmtree(part, ignore_errors=True)
        (part / PICTURES).mkdir(parents=True)
        whole = kept.overlapping_pixels > 0 or len(kept.linker.objects) > LARGEST_ID
        davis = DavisWriter(self.root, video.name, size, folder=part / ANNOTATIONS)
        for frame, packed, ignore in zip(video.frames, kept.masks, kept.ignore, strict=True):
            frame.picture.save(part / PICTURES / f"{frame.index:05d}.jpg")
            masks = {i: rle.decode(mask, size) for i, mask in packed.items()}
            davis.write(frame.index, {i: mask for i, mask in masks.items() if i <= LARGEST_ID})
            for i, mask in masks.items() if whole else ():  # where there is none, the object is absent
                _save_mask(part / LAYERS / f"{i:03d}" / f"{frame.index:05d}.png", mask)
            if ignore is not None:
                _save_mask(part / IGNORE / f"{frame.index:05d}.png", rle.decode(ignore, size))
        self._put_in_place(part, video.name)
        made = Made(self.subset)
        made.add(kept, self.dataset, linked=True)
        self._meta["videos"][video.name] = {"objects": self._objects(kept), "made": _facts(made)}
        self._links.entries += [u.as_json() for u in kept.linker.uncertain]
        self._unwritten += 1
        if not self.subset.stills or self._unwritten >= STILLS_A_COMMIT:
            self.commit()

    def _put_in_place(self, part: Path, video: str) -> None:
        """Move the folders of a video to where readers find them: the masks last, as readers begin with them."""
        for kind in (PICTURES, LAYERS, IGNORE, ANNOTATIONS):
            shutil.rmtree(self.root / kind / video, ignore_errors=True)  # of a conversion that was killed
            if (part / kind).is_dir():
                (self.root / kind).mkdir(exist_ok=True)
                move_folder(part / kind, self.root / kind / video)
        part.rmdir()

    def _objects(self, kept: Linked) -> dict[str, Any]:
        numbers: Counter[int] = Counter()
        frames = [f"{frame.index:05d}" for frame in kept.video.frames]
        described = {}
        for i, category in kept.linker.objects.items():
            numbers[category] += 1
            known = self.dataset.categories[category]
            described[str(i)] = {
                "category": known.name,
                "category_id": category,
                "is_instrument": known.instrument,
                "name": f"{known.name} {numbers[category]}" if numbers[category] > 1 else known.name,
                "frames": frames,
            }
        return described

    def commit(self) -> None:
        """Note what is finished."""
        if not self._unwritten:
            return
        self._unwritten = 0
        if self._links.entries:
            self._links.save()  # first: what meta.json has is not read again
        write_json(self.root / META, self._meta)

    def finish(self, made: Made) -> None:
        """Write the list of videos, and what was made in all."""
        if not self._meta["videos"]:
            return
        self._meta["made"] = asdict(made.counts)
        self._meta["differences"] = made.differences()
        write_json(self.root / META, self._meta)
        with whole_file(make_folder(self.root / "ImageSets") / "all.txt") as part:
            part.write_text("".join(f"{name}\n" for name in self._meta["videos"]), encoding="utf-8")


def _facts(made: Made) -> dict[str, Any]:
    return {key: value for key, value in asdict(made).items() if key not in ("subset", "videos")}


def _save_mask(path: Path, mask: NDArray[np.bool_]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask).save(path)

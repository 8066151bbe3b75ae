"""Endoscapes2023: single frames of cholecystectomy with an array of instances each."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from napari_sam2s.datasets.annotation_readers import grey, stack
from napari_sam2s.datasets.metadata import Counts, Dataset, Subset, instruments, tissues
from napari_sam2s.datasets.source import Picture, Reading, SourceFrame, SourceVideo, folders, need, partner, pictures, size_of
from napari_sam2s.errors import DatasetError

LAYOUT = "{train,val,test}_seg/VIDEO_FRAME.jpg, insseg/VIDEO_FRAME.npy with VIDEO_FRAME.csv, semseg/VIDEO_FRAME.png"
TISSUES = {1: "cystic plate", 2: "hepatocystic triangle", 3: "cystic artery", 4: "cystic duct", 5: "gallbladder"}
TOOL = {6: "instrument"}


def read(root: Path) -> Iterator[SourceVideo]:
    """Read the 493 segmented frames; they lie 30 s apart, so each is a video of its own."""
    places = {p.name: p for p in folders(root, "*seg", LAYOUT)}
    for name in ("insseg", "train_seg", "val_seg", "test_seg"):
        need([p for p in places if p == name], f"{root} holds no folder {name}", LAYOUT)
    for name in ("train_seg", "val_seg", "test_seg"):
        for path in pictures(places[name]):
            arrays = places["insseg"]
            array, labels = partner(path, arrays, [f"{path.stem}.npy"]), partner(path, arrays, [f"{path.stem}.csv"])
            semantic = places.get("semseg", arrays) / f"{path.stem}.png"
            reading = partial(_reading, path, array, labels, semantic)
            yield SourceVideo(path.stem, "Endoscapes", [SourceFrame(0, Picture(path), reading)])


def _reading(picture: Path, array: Path, labels: Path, semantic: Path) -> Reading:
    instances = stack(array, labels, {i: i for i in (*TISSUES, *TOOL)})
    size = size_of(picture)
    classes = grey(semantic) if semantic.is_file() else None
    for instance in instances:
        if instance.mask.shape != size or (classes is not None and classes.shape != size):
            raise DatasetError(f"{array} of {instance.mask.shape} does not fit its picture, {size} (Y, X).")
        if classes is not None:
            # The COCO files of this dataset count classes from 0; two sources that disagree are one shifted by one.
            most = int(np.bincount(classes[instance.mask].ravel()).argmax())
            if most != instance.category:
                raise DatasetError(f"{labels} gives {instance.category} to what {semantic} gives {most}: ids are shifted.")
    return Reading(size, instances)


DATASET = Dataset(
    name="endoscapes",
    title="Endoscapes2023 (Seg50)",
    procedure="cholecystectomy",
    licence="CC BY-NC-SA 4.0",
    link="https://github.com/CAMMA-public/Endoscapes",
    citation="Murali et al., The Endoscapes Dataset, arXiv 2312.12429 (2023); Mascagni et al., Scientific Data (2025)",
    obtain="direct archive, link in its repository",
    layout=LAYOUT,
    status="verified",
    categories=tissues(TISSUES) | instruments(TOOL),
    subsets=(Subset("Endoscapes", "train", Counts(None, 468, 936, 1288, None), stills=True),),
    read=read,
    doubts=("SA-SV uses 468 of the 493 frames and does not say which; all are converted.",),
)

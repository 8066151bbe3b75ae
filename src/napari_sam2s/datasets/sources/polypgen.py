"""PolypGen: colonoscopy of six centres; its positive sequences."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from napari_sam2s.datasets.annotation_readers import threshold
from napari_sam2s.datasets.instances import split
from napari_sam2s.datasets.metadata import Counts, Dataset, Subset, tissues
from napari_sam2s.datasets.source import Picture, Reading, SourceFrame, SourceVideo, folders, number, partner, pictures
from napari_sam2s.errors import DatasetError

LAYOUT = "sequenceData/positive/seqN/images_seqN/*.jpg and masks_seqN/*_mask.jpg"


def read(root: Path) -> Iterator[SourceVideo]:
    """Read the positive sequences, in the order of the last number in the names."""
    found = [p for p in folders(root, "seq*", LAYOUT) if p.parent.name == "positive"]
    if not found:
        raise DatasetError(f"{root} holds no sequenceData/positive. Expected is: {LAYOUT}.")
    for folder in found:
        paths = sorted(pictures(folder / f"images_{folder.name}"), key=number)
        if not paths:
            raise DatasetError(f"{folder} has no images_{folder.name}. Expected is: {LAYOUT}.")
        masks = folder / f"masks_{folder.name}"
        frames = [SourceFrame(number(p), Picture(p), partial(_reading, _mask(p, masks))) for p in paths]
        yield SourceVideo(folder.name, "PolypGen", frames)


def _mask(path: Path, masks: Path) -> Path:
    return partner(path, masks, [f"{path.stem}_mask.jpg", f"{path.stem}.jpg", f"{path.stem}_mask.png"])


def _reading(path: Path) -> Reading:
    return split(threshold(path, above=128), {1})


DATASET = Dataset(
    name="polypgen",
    title="PolypGen",
    procedure="colonoscopy",
    licence="CC BY 4.0",
    link="https://www.synapse.org/Synapse:syn26376615",
    citation="Ali et al., A multi-centre polyp detection and segmentation dataset, Scientific Data 10:75 (2023)",
    obtain="Synapse (account), PolypGen2021_MultiCenterData_v3.zip",
    layout=LAYOUT,
    status="verified",
    categories=tissues({1: "polyp"}),
    subsets=(Subset("PolypGen", "test", Counts(21, 2037, None, 1761, 24)),),
    read=read,
    doubts=("SA-SV takes 21 of the positive sequences and does not say which; all are made.",),
)

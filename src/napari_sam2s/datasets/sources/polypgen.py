"""PolypGen: colonoscopy of six centres; its positive sequences."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from napari_sam2s.datasets.annotation_readers import threshold
from napari_sam2s.datasets.instances import objects_of
from napari_sam2s.datasets.metadata import Counts, Dataset, Subset, tissues
from napari_sam2s.datasets.source import SourceVideo, folders, need, number, paired_frames, pictures

LAYOUT = "sequenceData/positive/seqN/images_seqN/*.jpg and masks_seqN/*_mask.jpg"


MASK_NAMES = ("{0}_mask.jpg", "{0}.jpg", "{0}_mask.png")
READING = objects_of(partial(threshold, above=128), {1})


def read(root: Path) -> Iterator[SourceVideo]:
    """Read the positive sequences, in the order of the last number in the names."""
    for folder in folders(root, "seq*", LAYOUT, within=["positive"]):
        images = sorted(pictures(folder / f"images_{folder.name}"), key=number)
        need(images, f"{folder} has no images_{folder.name}", LAYOUT)
        frames = paired_frames(images, folder / f"masks_{folder.name}", MASK_NAMES, READING)
        yield SourceVideo(folder.name, "PolypGen", frames)


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
    doubts=("SA-SV takes 21 of the positive sequences and does not say which; all are converted.",),
)

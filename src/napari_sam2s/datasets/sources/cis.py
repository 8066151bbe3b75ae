"""CholecInstanceSeg: instruments of Cholec80 and CholecT50 as LabelMe polygons."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path, PureWindowsPath

from napari_sam2s.datasets.annotation_readers import labelme
from napari_sam2s.datasets.json_files import read_json
from napari_sam2s.datasets.metadata import Counts, Dataset, Subset, instruments
from napari_sam2s.datasets.source import (
    Picture,
    Reading,
    SourceFrame,
    SourceVideo,
    folders,
    natural,
    need,
    number,
    partner,
    size_of,
)

LAYOUT = (
    "{train,test}/VIDxx_t50_full/ann_dir/*.json, with the pictures of CholecT50 (a download of its own) as img_dir/*.png beside"
)
NAMES = {1: "grasper", 2: "hook", 3: "irrigator", 4: "clipper", 5: "bipolar", 6: "scissors", 7: "snare"}
SUBSETS = {"train": "CIS-Train", "test": "CIS-Test"}


def read(root: Path) -> Iterator[SourceVideo]:
    """Read the fully annotated videos of the train and test splits."""
    for folder in folders(root, "VID*_t50_full", LAYOUT, within=list(SUBSETS)):
        files = sorted((folder / "ann_dir").glob("*.json"), key=natural)
        need(files, f"{folder} has no ann_dir/*.json", LAYOUT)
        yield SourceVideo(folder.name.split("_")[0], SUBSETS[folder.parent.name], [_frame(path) for path in files])


def _frame(path: Path) -> SourceFrame:
    described = read_json(path)
    named = described.get("imagePath") if isinstance(described, dict) else None
    names = [f"{path.stem}.png", f"{path.stem}.jpg"]
    if named:  # written on Windows: "..\\img_dir\\VID01_000001.png"
        names.insert(0, PureWindowsPath(named).name)
    picture = partner(path, path.parent.parent / "img_dir", dict.fromkeys(names))
    return SourceFrame(number(path), Picture(picture), partial(_reading, path, picture))


def _reading(path: Path, picture: Path) -> Reading:
    return labelme(path, {name: index for index, name in NAMES.items()}, size_of(picture))


DATASET = Dataset(
    name="cis",
    title="CholecInstanceSeg",
    procedure="cholecystectomy",
    licence="CC BY 4.0 (Synapse page, secondary); the pictures keep Cholec80's non-commercial terms",
    link="https://www.synapse.org/Synapse:syn60239970",
    citation="Alabi et al., CholecInstanceSeg, Scientific Data (2025), arXiv 2406.16039",
    obtain="annotations from Synapse (account), pictures from CholecT50 by its request form",
    layout=LAYOUT,
    status="verified",
    categories=instruments(NAMES),
    subsets=(
        Subset("CIS-Train", "train", Counts(10, 19029, 31416, None, 77), fps=1.0),
        Subset("CIS-Test", "test", Counts(4, 7229, 10971, None, 31), fps=1.0),
    ),
    read=read,
    doubts=("group_id distinguishes objects within one frame. Over time it is only a hint, not an identity.",),
)

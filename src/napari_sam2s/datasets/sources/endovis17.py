"""EndoVis 2017: robotic instruments on porcine tissue, one folder of masks for each instrument."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from napari_sam2s.datasets.annotation_readers import grey, object_pictures, present
from napari_sam2s.datasets.instances import parts
from napari_sam2s.datasets.metadata import Counts, Dataset, Subset, instruments
from napari_sam2s.datasets.source import (
    Box,
    Instance,
    Picture,
    Reading,
    SourceFrame,
    SourceVideo,
    folders,
    need,
    number,
    pictures,
)
from napari_sam2s.errors import DatasetError

CROP = Box(320, 28, 1280, 1024)  # the camera's picture in the 1920 x 1080 frame
TEST_SEQUENCES = (2, 5, 6)
TRAIN_FRAMES, TEST_FRAMES = 225, 75
LAYOUT = (
    "instrument_dataset_{2,5,6}/left_frames/frameNNN.png with ground_truth/<Instrument>_labels/frameNNN.png, "
    "and the same for the 75 test frames, or instrument_2017_test/instrument_dataset_N/gt/TypeSegmentation/frameNNN.png"
)
NAMES = {
    1: "bipolar forceps",
    2: "prograsp forceps",
    3: "large needle driver",
    4: "vessel sealer",
    5: "grasping retractor",
    6: "monopolar curved scissors",
    7: "other",
}
# Folder names differ between sequences ("Left_Prograsp_Forceps_labels", "Prograsp_Forceps_Right_labels").
WORDS = {
    "bipolar": 1,
    "prograsp": 2,
    "needle_driver": 3,
    "vessel_sealer": 4,
    "retractor": 5,
    "scissors": 6,
    "other": 7,
    "ultrasound": 7,
}
PARTS = frozenset({0, 10, 20, 30, 40, 100, 255})  # background, shaft, wrist, claspers, other; 100 and 255 in the test release
TYPE_FACTORS = (1, 32)


def read(root: Path) -> Iterator[SourceVideo]:
    """Read the three test sequences, the 225 training and 75 test frames of each as one video."""
    found = folders(root, "instrument_dataset_*", LAYOUT)
    for sequence in TEST_SEQUENCES:
        places = [p for p in found if number(p) == sequence]
        frames = _pictures(root, places, sequence)
        objects, types = _objects(root, places), _types(places)
        need(objects or types, f"Sequence {sequence} of {root} has no masks", LAYOUT)
        # A type that only one folder has is that folder's object on the test frames as well.
        owners: dict[int, list[str]] = {}
        for folder in {folder for per_frame in objects.values() for folder, _ in per_frame}:
            owners.setdefault(category_of(folder), []).append(folder)
        yield SourceVideo(
            f"seq_{sequence}",
            "EndoVis17",
            [
                SourceFrame(i, Picture(frames[i], crop=CROP), partial(_reading, objects.get(i, ()), types.get(i), owners))
                for i in sorted(frames)
                if i in objects or i in types
            ],
        )


def category_of(folder: str) -> int:
    """Return the category of a folder of masks by the words in its name."""
    name = folder.lower()
    for word, category in WORDS.items():
        if word in name:
            return category
    raise DatasetError(f"The folder {folder} names no instrument of EndoVis17 ({', '.join(NAMES.values())}).")


def _pictures(root: Path, places: Sequence[Path], sequence: int) -> dict[int, Path]:
    frames: dict[int, Path] = {}
    for place in places:
        for path in pictures(place / "left_frames"):
            frames[_frame(path, place, root)] = path
    return need(frames, f"Sequence {sequence} has no left_frames", LAYOUT)


def _frame(path: Path, place: Path, root: Path) -> int:
    """Return a frame's number; in a test folder that counts from 0 anew it goes on after the training frames."""
    index = number(path)
    in_test = any("test" in part.lower() for part in place.relative_to(root).parts[:-1])
    return index + TRAIN_FRAMES if in_test and index < TEST_FRAMES else index


def _objects(root: Path, places: Sequence[Path]) -> dict[int, list[tuple[str, Path]]]:
    objects: dict[int, list[tuple[str, Path]]] = {}
    for place in places:
        for folder in sorted((place / "ground_truth").glob("*_labels")):
            for path in pictures(folder):
                objects.setdefault(_frame(path, place, root), []).append((folder.name, path))
    return objects


def _types(places: Sequence[Path]) -> dict[int, Path]:
    types = {}
    for place in places:
        for folder in (place / "gt" / "TypeSegmentation", place / "TypeSegmentation"):
            for path in pictures(folder):
                # These folders lie beside no frames; the archive is named for the test.
                index = number(path)
                types[index + TRAIN_FRAMES if index < TEST_FRAMES else index] = path
    return types


def _reading(objects: Sequence[tuple[str, Path]], types: Path | None, owners: Mapping[int, Sequence[str]]) -> Reading:
    instances: list[Instance] = []
    if objects:
        named = [(path, category_of(folder), re.sub(r"_labels$", "", folder), None) for folder, path in objects]
        instances = object_pictures(named, PARTS)
    elif types is not None:
        instances = _of_types(types, owners)
    shown = objects[0][1] if objects else types
    assert shown is not None
    cut = [Instance(i.category, CROP.cut(i.mask, shown), i.identity) for i in instances]
    return Reading((CROP.height, CROP.width), [i for i in cut if i.mask.any()])


def _of_types(path: Path, owners: Mapping[int, Sequence[str]]) -> list[Instance]:
    """Read the test release, which has a value for each type of instrument."""
    array = grey(path)
    values = [v for v in present(array) if v]
    factor = next((f for f in TYPE_FACTORS if all(v % f == 0 and v // f in NAMES for v in values)), None)
    if factor is None:
        raise DatasetError(f"{path} has values {values}; types are 1 to 7, or those times 32.")
    instances = []
    for value in values:
        category, mask = value // factor, array == value
        folders_of = owners.get(category, ())
        if len(folders_of) == 1:
            instances.append(Instance(category, mask, identity=re.sub(r"_labels$", "", folders_of[0])))
        else:  # two of a kind: they are told apart by where they were
            instances += [Instance(category, part) for part in parts(mask)]
    return instances


DATASET = Dataset(
    name="endovis17",
    title="EndoVis 2017 Robotic Instrument Segmentation",
    procedure="nephrectomy (porcine)",
    licence="registration; non-commercial (CC BY-NC-SA 4.0 according to secondary sources)",
    link="https://endovissub2017-roboticinstrumentsegmentation.grand-challenge.org/",
    citation="Allan et al., 2017 Robotic Instrument Segmentation Challenge, arXiv 1902.06426 (2019)",
    obtain="register at the challenge's page; training and test archives and the test ground truth, unpacked into one folder",
    layout=LAYOUT,
    status="verified",
    categories=instruments(NAMES),
    subsets=(Subset("EndoVis17", "test", Counts(3, 900, 2265, None, 10), fps=2.0),),
    read=read,
    doubts=(
        "The values of the test release's TypeSegmentation (1 to 7, or times 32) are known from secondary sources.",
        "A folder of masks counts as one object for the whole sequence.",
    ),
)

"""EndoVis 2018: a colour for each class, with ISINet's added instances of instruments."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path

from napari_sam2s.datasets.annotation_readers import RGB, colour_map, object_pictures
from napari_sam2s.datasets.json_files import read_json
from napari_sam2s.datasets.metadata import Counts, Dataset, Subset, instruments, tissues
from napari_sam2s.datasets.source import Instance, Picture, Reading, SourceFrame, SourceVideo, folders, need, number, pictures
from napari_sam2s.errors import DatasetError

TEST_SEQUENCES = (2, 5, 9, 15)
LAYOUT = (
    "miccai_challenge_*release*/seq_{2,5,9,15}/left_frames and labels with frameNNN.png, labels.json beside them, and ISINet's "
    "seq_N/instrument_labels (or instrument_labels_2017)/frameNNN_class{c}_inst{k}.png"
)
# What labels.json says in the releases; the file in SRC is read in their place, as one release differs.
COLOURS: dict[str, RGB] = {
    "background-tissue": (0, 0, 0),
    "instrument-shaft": (0, 255, 0),
    "instrument-clasper": (0, 255, 255),
    "instrument-wrist": (125, 255, 12),
    "kidney-parenchyma": (255, 55, 0),
    "covered-kidney": (24, 55, 125),
    "thread": (187, 155, 25),
    "clamps": (0, 255, 125),
    "suturing-needle": (255, 255, 125),
    "suction-instrument": (123, 15, 175),
    "small-intestine": (124, 155, 5),
    "ultrasound-probe": (12, 255, 141),
}
INSTRUMENTS = {
    1: "bipolar forceps",
    2: "prograsp forceps",
    3: "large needle driver",
    4: "monopolar curved scissors",
    5: "ultrasound probe",
    6: "suction instrument",
    7: "clip applier",
    8: "suturing needle",
    9: "thread",
    10: "clamps",
    13: "stapler",
}
TISSUES = {11: "kidney parenchyma", 12: "covered kidney", 17: "small intestine"}  # SA-SV's EndoVis18-T
FROM_COLOUR = {
    "ultrasound-probe": 5,
    "suction-instrument": 6,
    "suturing-needle": 8,
    "thread": 9,
    "clamps": 10,
    "kidney-parenchyma": 11,
    "covered-kidney": 12,
    "small-intestine": 17,
}
# Class numbers in the names of ISINet's files: its own of 2018, and those compatible with 2017.
CLASSES = {
    "instrument_labels": {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6, 7: 7, 8: 13},
    "instrument_labels_2017": {1: 1, 2: 2, 3: 3, 6: 4, 7: 5, 8: 6, 9: 7, 10: 13},
}
BY_COLOUR = frozenset({5, 6})  # drawn in both; the colour picture is taken
_FILE = re.compile(r"class(\d+)_inst(\d+)$")


def read(root: Path) -> Iterator[SourceVideo]:
    """Read the four test sequences, each twice: instruments (-I) and tissue (-T)."""
    found = folders(root, "seq_*", LAYOUT)
    for sequence in TEST_SEQUENCES:
        places = [p for p in found if number(p) == sequence]
        frames = {number(path): path for place in places for path in pictures(place / "left_frames")}
        labels = {number(path): path for place in places for path in pictures(place / "labels")}
        need(frames and labels, f"Sequence {sequence} of {root} is not complete", LAYOUT)
        added = _instances(places)
        for subset in ("EndoVis18-I", "EndoVis18-T"):
            if subset == "EndoVis18-I" and not added:
                raise DatasetError(
                    f"Sequence {sequence} of {root} has no instrument_labels: EndoVis18-I needs ISINet's instances, from "
                    f"https://github.com/BCV-Uniandes/ISINet."
                )
            yield SourceVideo(
                f"seq_{sequence}",
                subset,
                [
                    SourceFrame(i, Picture(frames[i]), partial(_reading, labels[i], tuple(added.get(i, ())), subset))
                    for i in sorted(set(frames) & set(labels))
                ],
            )


def _instances(places: Sequence[Path]) -> dict[int, list[tuple[Path, int, str | None, str | None]]]:
    added: dict[int, list[tuple[Path, int, str | None, str | None]]] = {}
    for folder, classes in CLASSES.items():
        for path in (p for place in places for p in pictures(place / folder)):
            match = _FILE.search(path.stem)
            if match is None or int(match[1]) not in classes:
                raise DatasetError(f"{path} is not named frameNNN_class{{c}}_inst{{k}}.png with a class of {sorted(classes)}.")
            category = classes[int(match[1])]
            if category not in BY_COLOUR:
                frame = int(re.findall(r"\d+", path.stem)[0])
                added.setdefault(frame, []).append((path, category, None, f"{category}/{match[2]}"))
        if added:
            break  # both folders hold the same instances
    return added


@lru_cache(maxsize=8)
def _colours(folder: Path) -> Mapping[RGB, int]:
    """Return the categories of colours, from the labels.json nearest to a folder if there is one; 0 for what is not kept."""
    for place in (folder, *list(folder.parents)[:3]):
        if (place / "labels.json").is_file():
            described = read_json(place / "labels.json")
            try:
                named = {str(entry["name"]): tuple(int(v) for v in entry["color"]) for entry in described}
            except (KeyError, TypeError, ValueError) as error:
                raise DatasetError(f"{place / 'labels.json'} is not a list of names and colours ({error}).") from error
            return {colour: FROM_COLOUR.get(name, 0) for name, colour in named.items()}  # type: ignore[misc]
    return {colour: FROM_COLOUR.get(name, 0) for name, colour in COLOURS.items()}


def _reading(labels: Path, added: Sequence[tuple[Path, int, str | None, str | None]], subset: str) -> Reading:
    classes = colour_map(labels, _colours(labels.parent))
    wanted = INSTRUMENTS if subset == "EndoVis18-I" else TISSUES
    instances = [
        Instance(category, classes == category, identity=f"category {category}")
        for category in FROM_COLOUR.values()
        if category in wanted and (classes == category).any()
    ]
    height, width = classes.shape
    if subset == "EndoVis18-I":
        for instance in object_pictures(added):
            if instance.mask.shape != (height, width):
                raise DatasetError(f"{added[0][0]} is {instance.mask.shape} (Y, X); {labels.name} is {(height, width)}.")
            if instance.mask.any():
                instances.append(instance)
    return Reading((height, width), instances)


DATASET = Dataset(
    name="endovis18",
    title="EndoVis 2018 Robotic Scene Segmentation, with ISINet's instances",
    procedure="nephrectomy (porcine)",
    licence="registration; non-commercial (CC BY-NC-SA 4.0 according to secondary sources)",
    link="https://endovissub2018-roboticscenesegmentation.grand-challenge.org/",
    citation="Allan et al., 2018 Robotic Scene Segmentation Challenge, arXiv 2001.11190 (2020); "
    "González et al., ISINet, MICCAI 2020",
    obtain="register at the challenge's page for the four training releases; instances from github.com/BCV-Uniandes/ISINet",
    layout=LAYOUT,
    status="verified",
    categories=instruments(INSTRUMENTS) | tissues(TISSUES),
    subsets=(
        Subset("EndoVis18-I", "test", Counts(4, 596, 1676, None, None), fps=2.0),
        Subset("EndoVis18-T", "test", Counts(4, 596, None, 807, None), fps=2.0),
    ),
    read=read,
    doubts=(
        "Table 1 counts the masklets of -I and -T together: 28.",
        "Which classes have the ids 1 to 10 of -I and 11, 12, 17 of -T is inferred from Ref-EndoVis18 and the paper's figure.",
        "Suction, probe, needle, thread and clamps are one object each, because the colour picture does not distinguish them.",
    ),
)

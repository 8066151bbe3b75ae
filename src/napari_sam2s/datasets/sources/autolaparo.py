"""AutoLaparo, task 3: laparoscopic hysterectomy, six frames of each of 300 clips."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from itertools import groupby
from pathlib import Path

from napari_sam2s.datasets.annotation_readers import grey_map
from napari_sam2s.datasets.instances import objects_of
from napari_sam2s.datasets.metadata import Counts, Dataset, Subset, instruments, tissues
from napari_sam2s.datasets.source import SourceVideo, folders, need, paired_frames, pictures

LAYOUT = "imgs/XXXYYY.jpg and masks/XXXYYY.png: XXX the clip, YYY the frame (001, 025, 050, 075, 100, 125)"
# Manipulator and shaft of each instrument have a value of their own.
GREYS = {0: 0, 20: 1, 40: 1, 60: 2, 80: 2, 100: 3, 120: 3, 140: 4, 160: 4, 180: 5}
INSTRUMENTS = {1: "grasping forceps", 2: "LigaSure", 3: "dissecting and grasping forceps", 4: "electric hook"}
TISSUES = {5: "uterus"}


# Each tool is there once; only grasping forceps may come in pairs.
READING = objects_of(partial(grey_map, values=GREYS), {*INSTRUMENTS, *TISSUES}, single={2, 4, 5})


def read(root: Path) -> Iterator[SourceVideo]:
    """Read clips of six frames."""
    images = folders(root, "imgs", LAYOUT)[0]
    paths = need(pictures(images), f"{images} holds no pictures", LAYOUT)
    for path in paths:
        need(re.findall(r"^\d{6}$", path.stem), f"{path} is not named with six digits", LAYOUT)
    for clip, group in groupby(paths, key=lambda path: path.stem[:3]):
        frames = paired_frames(group, images.parent / "masks", ["{0}.png"], READING, lambda path: int(path.stem[3:]))
        yield SourceVideo(clip, "AutoLaparo", frames)


DATASET = Dataset(
    name="autolaparo",
    title="AutoLaparo, task 3",
    procedure="hysterectomy",
    licence="CC BY-NC-SA 4.0",
    link="https://autolaparo.github.io/",
    citation="Wang et al., AutoLaparo, MICCAI 2022, arXiv 2208.02049",
    obtain="request form on its page; task 3",
    layout=LAYOUT,
    status="verified",
    categories=instruments(INSTRUMENTS) | tissues(TISSUES),
    subsets=(Subset("AutoLaparo", "train", Counts(300, 1800, 2905, 1057, 738), fps=1.0),),
    read=read,
    doubts=("That LigaSure and hook occur once is an assumption; both kinds of forceps are split into connected parts.",),
)

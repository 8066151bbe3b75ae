"""SAR-RARP50: robot-assisted prostatectomy, masks of the parts of tools once a second."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from napari_sam2s.datasets.annotation_readers import grey_map
from napari_sam2s.datasets.instances import objects_of
from napari_sam2s.datasets.metadata import Counts, Dataset, Subset, instruments
from napari_sam2s.datasets.source import Picture, SourceFrame, SourceVideo, folders, need, number, pictures
from napari_sam2s.errors import DatasetError

LAYOUT = "test/video_NN/video_left.avi (or rgb/NNNNNNNNN.png of its toolkit) and test/video_NN/segmentation/NNNNNNNNN.png"
NAMES = {
    1: "robotic instrument",  # clasper, wrist and shaft of one tool
    4: "suturing needle",
    5: "thread",
    6: "suction tool",
    7: "needle holder",
    8: "clamps",
    9: "catheter",
}
MERGE = {2: 1, 3: 1}  # tool wrist and shaft
SINGLE = frozenset({4, 5, 6, 9})


# Three channels that are said to be equal; the toolkit reads the first.
READING = objects_of(partial(grey_map, values={i: i for i in range(10)}, channel=0), NAMES, single=SINGLE, merge=MERGE)


def read(root: Path) -> Iterator[SourceVideo]:
    """Read the test videos; a mask's name is the number of its frame at 60 Hz."""
    for folder in folders(root, "video_*", LAYOUT, within=["test"]):
        masks = need(pictures(folder / "segmentation", "*.png"), f"{folder} has no segmentation/*.png", LAYOUT)
        extracted = {number(path): path for path in pictures(folder / "rgb")}
        video = folder / "video_left.avi"
        if not extracted and not video.is_file():
            raise DatasetError(f"{folder} has neither video_left.avi nor rgb/: one of them must hold the frames.")
        frames = []
        for path in masks:
            index = number(path)
            picture = Picture(extracted[index]) if index in extracted else Picture(video, frame=index)
            frames.append(SourceFrame(index, picture, partial(READING, path)))
        yield SourceVideo(folder.name, "RARP50", frames)


DATASET = Dataset(
    name="rarp50",
    title="SAR-RARP50",
    procedure="prostatectomy",
    licence="CC BY-NC-SA 4.0 according to secondary sources; read the terms on its page",
    link="https://www.synapse.org/Synapse:syn27618412/wiki/616881",
    citation="Psychogyios et al., SAR-RARP50, arXiv 2401.00496 (2023)",
    obtain="UCL research data repository, linked from the challenge's page; test archives as test/video_41 ...",
    layout=LAYOUT,
    status="verified",
    categories=instruments(NAMES),
    subsets=(Subset("RARP50", "test", Counts(10, 3252, 10656, None, 81), fps=1.0),),
    read=read,
    doubts=(
        "The source has parts, not tools: clasper, wrist and shaft that touch are one object. Two tools that touch "
        "need review.",
        "That SA-SV takes the ten official test videos is inferred from its counts.",
    ),
)

"""CholecSeg8k: clips of Cholec80 with every pixel labelled."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from napari_sam2s.datasets.annotation_readers import IGNORE, grey_map
from napari_sam2s.datasets.instances import objects_of
from napari_sam2s.datasets.metadata import Counts, Dataset, Subset, instruments, tissues
from napari_sam2s.datasets.source import SourceFrame, SourceVideo, folders, need, paired_frames, pictures

LAYOUT = "videoXX/videoXX_STARTFRAME/frame_N_endo.png with frame_N_endo_watershed_mask.png"
# Grey values of the watershed masks. 255 is a frame of one pixel around the picture, 0 what nobody has labelled.
GREYS = {50: 0, 255: 0, 0: IGNORE, 11: 1, 21: 2, 13: 3, 12: 4, 31: 5, 23: 6, 24: 7, 25: 8, 32: 9, 22: 10, 33: 11, 5: 12}
TISSUES = {
    1: "abdominal wall",
    2: "liver",
    3: "gastrointestinal tract",
    4: "fat",
    6: "connective tissue",
    8: "cystic duct",
    10: "gallbladder",
    11: "hepatic vein",
    12: "liver ligament",
}
INSTRUMENTS = {5: "grasper", 9: "L-hook electrocautery"}


READING = objects_of(partial(grey_map, values=GREYS), {*TISSUES, *INSTRUMENTS}, single=TISSUES)


def read(root: Path) -> Iterator[SourceVideo]:
    """Read clips; folders whose frames follow on each other are one clip."""
    clip: list[SourceFrame] = []
    name = video = ""
    for folder in folders(root, "video*_*", LAYOUT):
        images = need(pictures(folder, "*_endo.png"), f"{folder} holds no frame_N_endo.png", LAYOUT)
        frames = paired_frames(images, folder, ["{0}_watershed_mask.png"], READING)
        follows = clip and folder.name.split("_")[0] == video and frames[0].index == clip[-1].index + 1
        if clip and not follows:
            yield SourceVideo(name, "CholecSeg8k", clip)
        if follows:
            clip = clip + frames
        else:
            clip, name, video = frames, folder.name, folder.name.split("_")[0]
    yield SourceVideo(name, "CholecSeg8k", clip)


DATASET = Dataset(
    name="cholecseg8k",
    title="CholecSeg8k",
    procedure="cholecystectomy",
    licence="CC BY-NC-SA 4.0",
    link="https://www.kaggle.com/datasets/newslab/cholecseg8k",
    citation="Hong et al., CholecSeg8k, arXiv 2012.12453 (2020)",
    obtain="Kaggle, one archive",
    layout=LAYOUT,
    status="verified",
    categories=tissues(TISSUES) | instruments(INSTRUMENTS),
    subsets=(Subset("CholecSeg8k", "train", Counts(45, 4338, 21136, 6242, 300), fps=25.0),),
    read=read,
    doubts=(
        "SA-SV uses about half of the 8,080 frames and does not say which; all are converted.",
        "SA-SV corrected more than 20,000 masks; those corrections are not published.",
        "The paper's columns of instrument and tissue masks look swapped.",
        "Blood and the black background are left out, as they are no category of SA-SV.",
    ),
)

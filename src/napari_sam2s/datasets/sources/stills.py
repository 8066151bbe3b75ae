"""Datasets that SA-SV uses as still images: Kvasir-SEG, BKAI-IGH, and two of unverified layout."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from napari_sam2s.datasets.annotation_readers import nearest_colour, threshold
from napari_sam2s.datasets.instances import objects_of
from napari_sam2s.datasets.metadata import Category, Counts, Dataset, Subset, instruments, tissues
from napari_sam2s.datasets.source import Reading, SourceVideo, folders, need, paired_frames, pictures

Reader = Callable[[Path], Reading]
MASK_NAMES = ("{0}.png", "{0}.jpg", "{0}.jpeg", "{0}_mask.png", "{0}_mask.jpg", "{0}.tif", "{0}.bmp")


BINARY = objects_of(threshold, {1})


def _stills(images: Path, masks: Path, subset: str, names: Sequence[str], reading: Reader) -> Iterator[SourceVideo]:
    for path in pictures(images):
        yield SourceVideo(path.stem, subset, paired_frames([path], masks, names, reading, lambda _: 0))


# --- Kvasir-SEG ------------------------------------------------------------------------------------------------------

KVASIR_LAYOUT = "images/*.jpg and masks/*.jpg of the same names"


def _pairs(root: Path, subset: str, layout: str) -> Iterator[SourceVideo]:
    for images in folders(root, "images", layout):
        yield from _stills(images, images.parent / "masks", subset, MASK_NAMES, BINARY)


KVASIR = Dataset(
    name="kvasir-seg",
    title="Kvasir-SEG",
    procedure="colonoscopy",
    licence="research and education; read the terms on its page",
    link="https://datasets.simula.no/kvasir-seg/",
    citation="Jha et al., Kvasir-SEG, MMM 2020, arXiv 1911.07069",
    obtain="direct archive",
    layout=KVASIR_LAYOUT,
    status="secondary",
    categories=tissues({1: "polyp"}),
    subsets=(Subset("Kvasir-SEG", "train", Counts(None, 1000, None, 1064, None), stills=True),),
    read=partial(_pairs, subset="Kvasir-SEG", layout=KVASIR_LAYOUT),
)

# --- BKAI-IGH --------------------------------------------------------------------------------------------------------

BKAI_LAYOUT = "train/train/*.jpeg and train_gt/train_gt/*.jpeg"
BKAI_COLOURS = {(0, 0, 0): 0, (255, 0, 0): 1, (0, 255, 0): 2}


def read_bkai(root: Path) -> Iterator[SourceVideo]:
    """Read the training pictures; the masks are colours that JPEG has blurred."""
    truths = [p for p in folders(root, "train_gt", BKAI_LAYOUT) if pictures(p)]
    images = [p for p in folders(root, "train", BKAI_LAYOUT) if pictures(p)]
    need(truths and images, f"{root} holds no pictures in train and train_gt", BKAI_LAYOUT)
    reading = objects_of(partial(nearest_colour, colours=BKAI_COLOURS), {1, 2})
    yield from _stills(images[0], truths[0], "BKAI-IGH", ["{0}.jpeg", "{0}.jpg", "{0}.png"], reading)


BKAI = Dataset(
    name="bkai-igh",
    title="BKAI-IGH NeoPolyp",
    procedure="colonoscopy",
    licence="rules of its Kaggle competition",
    link="https://www.kaggle.com/competitions/bkai-igh-neopolyp",
    citation="Lan et al., NeoUNet, ISVC 2021, arXiv 2107.05023; An et al., BlazeNeo, IEEE Access 2022",
    obtain="Kaggle, after accepting the competition's rules",
    layout=BKAI_LAYOUT,
    status="verified",
    categories=tissues({1: "neoplastic polyp", 2: "non-neoplastic polyp"}),
    subsets=(Subset("BKAI-IGH", "train", Counts(None, 1000, None, 1176, None), stills=True),),
    read=read_bkai,
)

# --- of unverified layout --------------------------------------------------------------------------------------------

PAIRS_LAYOUT = "images/* and masks/* of the same names, black and white (rearrange the download into this)"


def _unverified(
    name: str, subset: str, published: Counts, categories: dict[int, Category], facts: dict[str, str], doubts: Sequence[str]
) -> Dataset:
    return Dataset(
        name=name,
        layout=PAIRS_LAYOUT,
        status="unverified",
        categories=categories,
        subsets=(Subset(subset, "train", published, stills=True),),
        read=partial(_pairs, subset=subset, layout=PAIRS_LAYOUT),
        doubts=tuple(doubts),
        **facts,
    )


ROBOTOOL = _unverified(
    "robotool",
    "RoboTool",
    Counts(None, 514, 1008, None, None),
    instruments({1: "instrument"}),
    {
        "title": "RoboTool",
        "procedure": "several",
        "licence": "CC BY 4.0 according to one catalogue",
        "link": "https://www.synapse.org/Synapse:syn22427422",
        "citation": "Garcia-Peraza-Herrera et al., Image Compositing for Segmentation of Surgical Tools Without Manual "
        "Annotations, IEEE TMI 2021, arXiv 2102.09528",
        "obtain": "Synapse (account)",
    },
    ["514 pictures of 20 videos with binary masks; how the files are named is not known.", "Tools are connected parts."],
)
ARTNET = _unverified(
    "art-net",
    "ART-Net",
    Counts(None, 816, 816, None, None),
    instruments({1: "instrument"}),
    {
        "title": "ART-Net",
        "procedure": "hysterectomy",
        "licence": "academic use only, by its form",
        "link": "not known; see the paper",
        "citation": "Hasan et al., Detection, segmentation, and 3D pose estimation of surgical tools using convolutional "
        "neural networks and algebraic geometry, Medical Image Analysis 2021",
        "obtain": "form on its page",
    },
    ["The 662 + 154 pictures with a tool are SA-SV's 816; how masks are named is not known.", "Tools are connected parts."],
)

"""Dresden Surgical Anatomy Dataset: one organ at a time, binary masks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from napari_sam2s.datasets.annotation_readers import threshold
from napari_sam2s.datasets.instances import objects_of
from napari_sam2s.datasets.metadata import Counts, Dataset, Subset, tissues
from napari_sam2s.datasets.source import SourceVideo, need, need_folder, paired_frames, pictures

LAYOUT = "{organ}/{surgery}/imageNN.png and maskNN.png, organs such as colon or abdominal_wall, in SRC or SRC/data"
NAMES = {
    1: "abdominal wall",
    2: "colon",
    3: "inferior mesenteric artery",
    4: "intestinal veins",
    5: "liver",
    6: "pancreas",
    7: "small intestine",
    8: "spleen",
    9: "stomach",
    10: "ureter",
    11: "vesicular glands",
}
FOLDERS = {name.replace(" ", "_"): index for index, name in NAMES.items()}
FOLDERS["inferior_mesenteric"] = 3  # as one mirror has it
FOLDERS["intestinal_veins"] = 4


def read(root: Path) -> Iterator[SourceVideo]:
    """Read every organ of every surgery as a video."""
    base = root / "data" if (root / "data").is_dir() else root
    organs = [p for p in sorted(need_folder(base, LAYOUT).iterdir()) if p.is_dir() and p.name in FOLDERS]
    for organ in need(organs, f"{base} holds no folder of an organ", LAYOUT):
        category = FOLDERS[organ.name]
        reading = objects_of(threshold, {category}, single={category}, merge={1: category})
        for surgery in sorted(p for p in organ.iterdir() if p.is_dir() and p.name.isdigit()):
            images = pictures(surgery, "image*")
            frames = [f for p in images for f in paired_frames([p], surgery, [p.name.replace("image", "mask")], reading)]
            if frames:
                yield SourceVideo(f"{organ.name}_{surgery.name}", "DSAD-V", frames)


DATASET = Dataset(
    name="dsad",
    title="Dresden Surgical Anatomy Dataset",
    procedure="rectal resection",
    licence="CC BY 4.0",
    link="https://gitlab.com/nct_tso_public/dsad",
    citation="Carstens et al., The Dresden Surgical Anatomy Dataset, Scientific Data 10:3 (2023)",
    obtain="figshare, one archive, linked from its repository",
    layout=LAYOUT,
    status="verified",
    categories=tissues(NAMES),
    subsets=(
        Subset("DSAD-I", "train", Counts(None, 4177, None, 4864, None), stills=True),
        Subset("DSAD-V", "train", Counts(76, 4390, None, 4248, 91)),
    ),
    read=read,
    doubts=(
        "SA-SV does not say which frames are DSAD-V (videos) and which DSAD-I (stills); everything is converted as DSAD-V.",
        "The multilabel part and the masks of single annotators are left out.",
    ),
)

"""GraSP: robot-assisted prostatectomy, instruments on sparse key frames, in COCO files."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from napari_sam2s.datasets.annotation_readers import CocoFile, by_plain_name
from napari_sam2s.datasets.metadata import Counts, Dataset, Subset, instruments
from napari_sam2s.datasets.source import Picture, Reading, SourceFrame, SourceVideo, need, need_folder, size_of
from napari_sam2s.errors import DatasetError

LAYOUT = "frames_1fps/CASEnnn/NNNNN.jpg and annotations/grasp_short-term_{train,test}.json (or psiava_v2_{train,test}.json)"
NAMES = {
    1: "bipolar forceps",
    2: "prograsp forceps",
    3: "large needle driver",
    4: "monopolar curved scissors",
    5: "suction instrument",
    6: "clip applier",
    7: "laparoscopic grasper",
}
SPLITS = ("train", "test")  # fold1 and fold2 are the halves of train


def read(root: Path) -> Iterator[SourceVideo]:
    """Read every case of both splits; the frames between key frames help to follow objects from one to the next."""
    frames = need_folder(root / "frames_1fps", LAYOUT)
    for split in SPLITS:
        paths = [root / "annotations" / f"{stem}_{split}.json" for stem in ("grasp_short-term", "psiava_v2")]
        path = need([p for p in paths if p.is_file()], f"{root} has no annotations for {split}", LAYOUT)[0]
        coco = CocoFile(path)
        cases: dict[str, list[tuple[int, dict[str, Any]]]] = {}
        for image in coco.images:
            case, _, file = str(image["file_name"]).replace("\\", "/").rpartition("/")
            if not case or not Path(file).stem.isdigit():
                raise DatasetError(f"{path} names the picture {image['file_name']!r}; expected is CASEnnn/NNNNN.jpg.")
            cases.setdefault(case, []).append((int(Path(file).stem), image))
        for case in sorted(cases):
            yield SourceVideo(case, "GraSP", _frames(coco, frames / case, cases[case]))


def _frames(coco: CocoFile, folder: Path, images: list[tuple[int, dict[str, Any]]]) -> list[SourceFrame]:
    made = []
    before: int | None = None
    for index, image in sorted(images, key=lambda item: item[0]):
        path = folder / Path(str(image["file_name"])).name
        missed = range(before + 1, index) if before is not None else ()
        between = [Picture(p) for p in (folder / f"{i:05d}.jpg" for i in missed) if p.is_file()]
        made.append(SourceFrame(index, Picture(path), partial(_reading, coco, image, path), between))
        before = index
    return made


def _reading(coco: CocoFile, image: dict[str, Any], path: Path) -> Reading:
    reading = coco.reading(image, by_plain_name(NAMES))
    if size_of(path) != reading.size:
        raise DatasetError(f"{path} is {size_of(path)} (Y, X); {coco.path.name} says {reading.size}.")
    return reading


DATASET = Dataset(
    name="grasp",
    title="GraSP",
    procedure="prostatectomy",
    licence="repository MIT; terms of the data not verified, read them on its page",
    link="https://github.com/BCV-Uniandes/GraSP",
    citation="Ayobi et al., Pixel-Wise Recognition for Holistic Surgical Scene Understanding, arXiv 2401.11174 (2024)",
    obtain="links in its repository: frames_1fps and annotations",
    layout=LAYOUT,
    status="verified",
    categories=instruments(NAMES),
    subsets=(Subset("GraSP", "train", Counts(13, 3449, 9025, None, 130)),),
    read=read,
    doubts=("Key frames lie about 35 s apart: many links will be uncertain and need review.",),
)

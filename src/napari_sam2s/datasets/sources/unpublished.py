"""Test subsets whose sources are given on request or not at all: SurgAI3.8k and Hyst-YT. Their layout is ours to ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from napari_sam2s.datasets.annotation_readers import grey, present, threshold
from napari_sam2s.datasets.instances import objects_of
from napari_sam2s.datasets.metadata import Counts, Dataset, Subset, instruments, tissues
from napari_sam2s.datasets.source import Instance, Reading, SourceVideo, need, need_folder, paired_frames, pictures
from napari_sam2s.errors import DatasetError
from napari_sam2s.wording import counted

LAYOUT = "<video>/images/NNN.* and <video>/masks/NNN.png (rearrange the download into this): {0}"
BINARY, IDS = "masks black and white", "masks with a number for each object, 0 background"
MOST_OBJECTS = 50  # in a mask of numbers; more is a mask of something else


def _videos(root: Path, subset: str, reading: Callable[[Path], Reading], what: str) -> Iterator[SourceVideo]:
    layout = LAYOUT.format(what)
    found = [p for p in sorted(need_folder(root, layout).iterdir()) if (p / "images").is_dir()]
    for folder in need(found, f"{root} holds no <video>/images", layout):
        frames = paired_frames(pictures(folder / "images"), folder / "masks", ["{0}.png"], reading)
        if frames:
            yield SourceVideo(folder.name, subset, frames)


def _numbered(path: Path) -> Reading:
    array = grey(path)
    ids = [i for i in present(array) if i]
    if len(ids) > MOST_OBJECTS or 255 in ids:
        raise DatasetError(
            f"{path} has {counted(len(ids), 'value')} up to {max(ids)}; expected is a small number for each object."
        )
    height, width = array.shape
    return Reading((height, width), [Instance(1, array == i, identity=str(i)) for i in ids])


SURGAI = Dataset(
    name="surgai3.8k",
    title="SurgAI3.8K",
    procedure="gynaecology",
    licence="by agreement with its authors",
    link="https://doi.org/10.1016/j.jmig.2023.01.012",
    citation="Madad Zadeh et al., SurgAI3.8K, Journal of Minimally Invasive Gynecology 2023",
    obtain="on request (EnCoV, Clermont-Ferrand)",
    layout=LAYOUT.format(BINARY),
    status="unverified",
    categories=tissues({1: "uterus"}),
    subsets=(Subset("SurgAI3.8k", "test", Counts(51, 3817, None, 3817, 51)),),
    read=partial(_videos, subset="SurgAI3.8k", reading=objects_of(threshold, {1}, single={1}), what=BINARY),
    doubts=("3,800 pictures of 79 videos; SA-SV counts 51 videos, one uterus each.",),
)
HYST_YT = Dataset(
    name="hyst-yt",
    title="Hyst-YT",
    procedure="hysterectomy",
    licence="not known",
    link="https://arxiv.org/abs/2506.23759",
    citation="FedST, arXiv 2506.23759 (2025)",
    obtain="no public download was found",
    layout=LAYOUT.format(IDS),
    status="unverified",
    categories=instruments({1: "instrument"}),
    subsets=(Subset("Hyst-YT", "test", Counts(6, 1973, 4113, None, 19), fps=1.0),),
    read=partial(_videos, subset="Hyst-YT", reading=_numbered, what=IDS),
    doubts=("Classes of its instruments are not known; all are called instrument.",),
)

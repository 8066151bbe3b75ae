"""What is known of a source dataset: facts as data, with how sure we are of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from napari_sam2s.datasets.source import SourceVideo

Status = Literal["verified", "secondary", "unverified"]
STATUS: Mapping[Status, str] = {
    "verified": "the layout is documented by the source itself, by its code, or by several independent readers",
    "secondary": "the layout is known from one secondary source",
    "unverified": "the layout is not documented; the conversion stops at the first file that differs from it",
}


@dataclass(frozen=True)
class Counts:
    """How much a subset holds; ``None`` where the paper's Table 1 has no figure."""

    videos: int | None = None
    frames: int | None = None
    instrument_masks: int | None = None
    tissue_masks: int | None = None
    masklets: int | None = None


@dataclass(frozen=True)
class Category:
    """One class of a dataset, with SA-SV's kind: an instrument or tissue."""

    name: str
    instrument: bool


def instruments(names: Mapping[int, str]) -> dict[int, Category]:
    """Return the categories of instruments."""
    return {i: Category(name, True) for i, name in names.items()}


def tissues(names: Mapping[int, str]) -> dict[int, Category]:
    """Return the categories of tissue."""
    return {i: Category(name, False) for i, name in names.items()}


@dataclass(frozen=True)
class Subset:
    """A part of SA-SV that comes from one dataset; its name is the paper's."""

    name: str
    split: Literal["train", "test"]
    published: Counts  # SA-SV, arXiv 2511.16618 v1, Table 1
    fps: float | None = None  # of the annotated frames in the source; None where they are no sequence
    stills: bool = False  # every picture is a video of one frame


@dataclass(frozen=True)
class Dataset:
    """One source dataset of SA-SV.

    ``read`` takes the folder a user has downloaded and gives the videos of it; masks are read later, frame by frame.
    """

    name: str  # as on the command line
    title: str
    procedure: str
    licence: str
    link: str
    citation: str
    obtain: str  # how one gets it
    layout: str  # what SRC must hold
    status: Status
    categories: Mapping[int, Category]
    subsets: tuple[Subset, ...]
    read: Callable[[Path], Iterable[SourceVideo]]
    doubts: tuple[str, ...] = field(default=())  # what SA-SV does not say, or what is inferred here

    def subset(self, name: str) -> Subset:
        """Return a subset by its name."""
        return next(s for s in self.subsets if s.name == name)

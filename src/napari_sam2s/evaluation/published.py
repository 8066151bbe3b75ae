"""The figures of the paper (arXiv 2511.16618 v1, 20 November 2025, Tables 2, 3 and 4), as data: J&F in percent."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

SOURCE = "arXiv 2511.16618 v1"


@dataclass(frozen=True)
class PublishedSubset:
    """A test subset of SA-SV, and how much it holds (Table 1)."""

    name: str
    videos: int
    frames: int
    long: bool = False  # at least 300 s a video, by the paper


SUBSETS = (  # in the order of the paper's tables
    PublishedSubset("EndoVis17", 3, 900, long=True),
    PublishedSubset("EndoVis18-I", 4, 596),
    PublishedSubset("RARP50", 10, 3252, long=True),
    PublishedSubset("Hyst-YT", 6, 1973, long=True),
    PublishedSubset("CIS-Test", 4, 7229, long=True),
    PublishedSubset("EndoVis18-T", 4, 596),
    PublishedSubset("SurgAI3.8k", 51, 3817),
    PublishedSubset("PolypGen", 21, 2037),
)


@dataclass(frozen=True)
class Published:
    """One row of the paper's tables."""

    table: int
    model: str
    weights: str  # "vanilla", or "fine-tuned" on SA-SV
    size: int  # of the network's input
    prompt: str
    jf: Mapping[str, float]  # by subset; empty where the paper gives the average only
    average: float  # the mean of the eight subsets
    fps: float | None  # end to end on one A6000


@lru_cache(maxsize=1)
def published() -> tuple[Published, ...]:
    """Return all rows, in the paper's order."""
    with (files("napari_sam2s.evaluation") / "published.csv").open(encoding="utf-8") as file:
        return tuple(
            Published(
                int(row["table"]),
                row["model"],
                row["weights"],
                int(row["size"]),
                row["prompt"],
                {s.name: float(row[s.name]) for s in SUBSETS if row[s.name]},
                float(row["average"]),
                float(row["fps"]) if row["fps"] else None,
            )
            for row in csv.DictReader(file)
        )

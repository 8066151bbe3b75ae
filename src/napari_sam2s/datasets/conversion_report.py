"""What a conversion made, beside what the paper counts."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from napari_sam2s.datasets.instance_linking import Linker
from napari_sam2s.datasets.metadata import Counts, Dataset, Subset
from napari_sam2s.datasets.source import SourceVideo
from napari_sam2s.formats.davis_layout import LARGEST_ID
from napari_sam2s.masklets import rle
from napari_sam2s.wording import counted


@dataclass
class Linked:
    """A video with linked masks, as run lengths."""

    video: SourceVideo
    linker: Linker
    size: tuple[int, int]
    masks: list[dict[int, rle.Mask]] = field(default_factory=list)  # for each frame
    ignore: list[rle.Mask | None] = field(default_factory=list)
    overlapping_pixels: int = 0


@dataclass
class Made:
    """What became of one subset."""

    subset: Subset
    videos: int = 0
    frames: int = 0
    instrument_masks: int = 0
    tissue_masks: int = 0
    masklets: int | None = 0  # None where a dry run cannot say, as nothing is linked
    uncertain: int = 0
    overlapping_pixels: int = 0
    empty_frames: int = 0
    beyond_palette: int = 0  # videos of more objects than a palette picture holds; the rest is in Annotations_objects alone
    classes: dict[str, int] = field(default_factory=dict)  # masks of each

    def add(self, kept: Linked, dataset: Dataset, *, linked: bool) -> None:
        """Count a video; ``linked`` unless nothing was asked of a tracker, as in a dry run."""
        self.videos += 1
        self.frames += len(kept.masks)
        self.uncertain += len(kept.linker.uncertain)
        self.overlapping_pixels += kept.overlapping_pixels
        for masks in kept.masks:
            self.empty_frames += not masks
            for i in masks:
                category = dataset.categories[kept.linker.objects[i]]
                self.classes[category.name] = self.classes.get(category.name, 0) + 1
                self.instrument_masks += category.instrument
                self.tissue_masks += not category.instrument
        self.beyond_palette += len(kept.linker.objects) > LARGEST_ID
        certain = linked or not kept.linker.uncertain
        if self.masklets is not None:
            self.masklets = self.masklets + len(kept.linker.objects) if certain else None

    @property
    def counts(self) -> Counts:
        """The figures that Table 1 has as well."""
        return Counts(self.videos, self.frames, self.instrument_masks, self.tissue_masks, self.masklets)

    def differences(self) -> list[str]:
        """Return where the figures differ from the published ones, one sentence each."""
        ours, published = asdict(self.counts), asdict(self.subset.published)
        if self.subset.stills:
            ours["videos"] = ours["masklets"] = None
        if not self.videos:
            return [f"{self.subset.name}: nothing was made"]
        crowded = (
            f"{self.subset.name}: {counted(self.beyond_palette, 'video has', 'videos have')} objects beyond number "
            f"254, which are only in"
            " Annotations_objects"
        )
        return ([crowded] if self.beyond_palette else []) + [
            f"{self.subset.name}: {ours[key]} {key.replace('_', ' ')}, published are {published[key]}"
            for key in published
            if published[key] is not None and ours[key] is not None and ours[key] != published[key]
        ]


@dataclass(frozen=True)
class Report:
    """What a conversion made, beside what the paper counts."""

    dataset: Dataset
    target: Path | None  # None: a dry run
    made: tuple[Made, ...]

    @property
    def differences(self) -> list[str]:
        """Differences from SA-SV's Table 1, one sentence each."""
        return [line for made in self.made for line in made.differences()]

    def __str__(self) -> str:
        rows = ["| subset | | videos | frames | instrument masks | tissue masks | masklets | uncertain links |"]
        rows.append("|---|---|---|---|---|---|---|---|")
        for made in self.made:
            done = "would be made" if self.target is None else "made"
            rows.append(_row(made.subset.name, done, made.counts, str(made.uncertain) if made.masklets is not None else "-"))
            rows.append(_row("", "SA-SV, Table 1", made.subset.published, ""))
        return "\n".join(rows)

    def as_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "dataset": self.dataset.name,
            "target": None if self.target is None else str(self.target),
            "subsets": {
                m.subset.name: {
                    "made": asdict(m.counts),
                    "published": asdict(m.subset.published),
                    "uncertain_links": m.uncertain,
                    "overlapping_pixels": m.overlapping_pixels,
                    "empty_frames": m.empty_frames,
                    "masks_by_class": m.classes,
                }
                for m in self.made
            },
            "differences": self.differences,
        }


def _row(name: str, what: str, counts: Counts, uncertain: str) -> str:
    cells = ["-" if value is None else str(value) for value in asdict(counts).values()]
    return f"| {' | '.join([name, what, *cells, uncertain])} |"

"""CVC-ClinicDB: 612 frames of colonoscopy in one folder; which sequence they belong to is a table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from napari_sam2s.datasets.annotation_readers import threshold
from napari_sam2s.datasets.instances import objects_of
from napari_sam2s.datasets.metadata import Counts, Dataset, Subset, tissues
from napari_sam2s.datasets.source import SourceVideo, folders, paired_frames, pictures
from napari_sam2s.errors import DatasetError

LAYOUT = "Original/{1..612}.tif and 'Ground Truth'/{1..612}.tif (or .png)"
LAST = 612
# The first frame of each of the 29 sequences.
STARTS = (
    *(1, 26, 51, 68, 79, 104, 127, 152, 178, 200, 206, 228, 253, 278, 298),
    *(318, 343, 364, 384, 409, 429, 448, 467, 479, 504, 529, 547, 572, 592),
)


READING = objects_of(threshold, {1})


def read(root: Path) -> Iterator[SourceVideo]:
    """Read the sequences."""
    originals = folders(root, "Original", LAYOUT)[0]
    paths = {path.stem: path for path in pictures(originals)}
    strange = [p for stem, p in paths.items() if not stem.isdigit() or not 1 <= int(stem) <= LAST]
    if strange or not paths:
        raise DatasetError(f"{strange[0] if strange else originals} does not fit. Expected is: {LAYOUT}.")
    for sequence, (start, stop) in enumerate(zip(STARTS, (*STARTS[1:], LAST + 1), strict=True), 1):
        images = [paths[str(i)] for i in range(start, stop) if str(i) in paths]
        frames = paired_frames(images, originals.parent / "Ground Truth", ["{0}.tif", "{0}.png"], READING)
        if frames:
            yield SourceVideo(f"seq_{sequence:02d}", "ClinicDB", frames)


DATASET = Dataset(
    name="clinicdb",
    title="CVC-ClinicDB (CVC-612)",
    procedure="colonoscopy",
    licence="research use with citation; read the terms on its page",
    link="https://polyp.grand-challenge.org/CVCClinicDB/",
    citation="Bernal et al., WM-DOVA maps, Computerized Medical Imaging and Graphics 43 (2015)",
    obtain="link on its page",
    layout=LAYOUT,
    status="verified",
    categories=tissues({1: "polyp"}),
    subsets=(Subset("ClinicDB", "train", Counts(29, 612, None, 647, 32)),),
    read=read,
    doubts=("The table of sequences is from one secondary source; it gives 29 sequences, as SA-SV counts.",),
)

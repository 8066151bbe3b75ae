"""All source datasets of SA-SV by name, and its subsets in the order of the paper's Table 1."""

from __future__ import annotations

from napari_sam2s.datasets.metadata import Dataset, Subset
from napari_sam2s.datasets.sources import (
    autolaparo,
    cholecseg8k,
    cis,
    clinicdb,
    dsad,
    endoscapes,
    endovis17,
    endovis18,
    grasp,
    polypgen,
    rarp50,
    stills,
    unpublished,
)
from napari_sam2s.errors import DatasetError

DATASETS: dict[str, Dataset] = {
    dataset.name: dataset
    for dataset in (
        stills.ARTNET,
        stills.BKAI,
        endoscapes.DATASET,
        stills.KVASIR,
        stills.ROBOTOOL,
        autolaparo.DATASET,
        cholecseg8k.DATASET,
        cis.DATASET,
        clinicdb.DATASET,
        dsad.DATASET,
        grasp.DATASET,
        endovis17.DATASET,
        endovis18.DATASET,
        unpublished.HYST_YT,
        polypgen.DATASET,
        rarp50.DATASET,
        unpublished.SURGAI,
    )
}
_ORDER = (
    *("ART-Net", "BKAI-IGH", "DSAD-I", "Endoscapes", "Kvasir-SEG", "RoboTool"),
    *("AutoLaparo", "CholecSeg8k", "CIS-Train", "ClinicDB", "DSAD-V", "GraSP"),
    *("CIS-Test", "EndoVis17", "EndoVis18-I", "EndoVis18-T", "Hyst-YT", "PolypGen", "RARP50", "SurgAI3.8k"),
)
_BY_NAME = {subset.name: subset for dataset in DATASETS.values() for subset in dataset.subsets}
SUBSETS: dict[str, Subset] = {name: _BY_NAME[name] for name in _ORDER}


def find_dataset(name: str) -> Dataset:
    """Return a dataset by its name, however it is spelt: ``"EndoVis17"``, ``"endovis-17"``.

    Raises
    ------
    DatasetError
        If there is none of that name.
    """
    plain = _plain(name)
    for dataset in DATASETS.values():
        if plain in {_plain(dataset.name), *(_plain(s.name) for s in dataset.subsets)}:
            return dataset
    raise DatasetError(f"There is no dataset {name!r}; there are {', '.join(DATASETS)}.")


def _plain(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())

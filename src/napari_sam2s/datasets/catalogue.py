"""All source datasets of SA-SV by name, and its subsets in the order of the paper's Table 1.

Every ``Dataset`` in a module of ``sources/`` is one of them: a new one is a new file there.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Sequence
from importlib import import_module

from napari_sam2s.datasets import sources
from napari_sam2s.datasets.metadata import Dataset, Subset
from napari_sam2s.errors import DatasetError


def _order(name: str, subsets: Sequence[Subset]) -> tuple[bool, bool, str]:
    """Return the key of Table 1's order: stills, videos, then what is tested on, each by name."""
    return subsets[0].split == "test", not all(s.stills for s in subsets), name.lower()


_MODULES = [import_module(f"{sources.__name__}.{module.name}") for module in pkgutil.iter_modules(sources.__path__)]
_FOUND = [value for module in _MODULES for value in vars(module).values() if isinstance(value, Dataset)]
DATASETS: dict[str, Dataset] = {d.name: d for d in sorted(_FOUND, key=lambda d: _order(d.name, d.subsets))}
_SUBSETS = [subset for dataset in _FOUND for subset in dataset.subsets]
SUBSETS: dict[str, Subset] = {s.name: s for s in sorted(_SUBSETS, key=lambda s: _order(s.name, [s]))}


def find_dataset(name: str) -> Dataset:
    """Return a dataset by its name, however it is spelt: ``"EndoVis17"``, ``"endovis-17"``.

    Raises :class:`DatasetError` if there is none of that name.
    """
    plain = _plain(name)
    for dataset in DATASETS.values():
        if plain in {_plain(dataset.name), *(_plain(s.name) for s in dataset.subsets)}:
            return dataset
    raise DatasetError(f"There is no dataset {name!r}; there are {', '.join(DATASETS)}.")


def _plain(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())

"""SA-SV: its source datasets as tables of facts, and their conversion to masklets.

Importing this package is light: scipy comes with the first name that needs it, so that the viewer opens at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_sam2s.lazy_names import lazy_names

if TYPE_CHECKING:
    from napari_sam2s.datasets.apply_links import apply_review
    from napari_sam2s.datasets.catalogue import DATASETS, SUBSETS, find_dataset
    from napari_sam2s.datasets.conversion import convert
    from napari_sam2s.datasets.conversion_report import Made, Report
    from napari_sam2s.datasets.instance_linking import Linker, Uncertain
    from napari_sam2s.datasets.link_file import ReviewList, find_review_list
    from napari_sam2s.datasets.metadata import Category, Counts, Dataset, Subset

__all__ = [
    "DATASETS",
    "SUBSETS",
    "Category",
    "Counts",
    "Dataset",
    "Linker",
    "Made",
    "Report",
    "ReviewList",
    "Subset",
    "Uncertain",
    "apply_review",
    "convert",
    "find_dataset",
    "find_review_list",
]

__getattr__ = lazy_names(
    __name__,
    apply_links="apply_review",
    catalogue="DATASETS SUBSETS find_dataset",
    conversion="convert",
    conversion_report="Made Report",
    instance_linking="Linker Uncertain",
    link_file="ReviewList find_review_list",
    metadata="Category Counts Dataset Subset",
)

"""SA-SV: its source datasets as tables of facts, and their conversion to masklets."""

from napari_sam2s.datasets.catalogue import DATASETS, SUBSETS, find_dataset
from napari_sam2s.datasets.conversion import convert
from napari_sam2s.datasets.facts import Category, Counts, Dataset, Subset
from napari_sam2s.datasets.linking import Linker, Uncertain
from napari_sam2s.datasets.report import Made, Report
from napari_sam2s.datasets.review import apply_review
from napari_sam2s.datasets.review_list import ReviewList, find_review_list

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

"""SA-SV: its source datasets as tables of facts, and their conversion to masklets."""

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

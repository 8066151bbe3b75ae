"""What the user owns: objects, prompts, masks, and the project file that holds them."""

from napari_sam2s.masklets.class_lists import ClassList, class_list, read_class_list
from napari_sam2s.masklets.identity_links import Link, Question
from napari_sam2s.masklets.mask_statistics import Series
from napari_sam2s.masklets.operations import Change, Operation
from napari_sam2s.masklets.presence import Span
from napari_sam2s.masklets.project import Project
from napari_sam2s.masklets.protocol import LabelMasklets, Masklets
from napari_sam2s.masklets.quality_checks import Thresholds
from napari_sam2s.masklets.review import Reason, Review, ReviewSpan
from napari_sam2s.masklets.run_records import Run
from napari_sam2s.masklets.types import Object, Origin, Prompt, Scores

__all__ = [
    "Change",
    "ClassList",
    "LabelMasklets",
    "Link",
    "Masklets",
    "Object",
    "Operation",
    "Origin",
    "Project",
    "Prompt",
    "Question",
    "Reason",
    "Review",
    "ReviewSpan",
    "Run",
    "Scores",
    "Series",
    "Span",
    "Thresholds",
    "class_list",
    "read_class_list",
]

"""What the user owns: objects, prompts, masks, and the project file that holds them."""

import warnings
from typing import Any

from napari_sam2s.masklets.class_lists import ClassList, class_list, read_class_list
from napari_sam2s.masklets.clean_up import CleanUp
from napari_sam2s.masklets.identity_links import Link, Question
from napari_sam2s.masklets.mask_statistics import Series
from napari_sam2s.masklets.phases import Phase
from napari_sam2s.masklets.project import Project
from napari_sam2s.masklets.protocol import LabelMasklets, Masklets
from napari_sam2s.masklets.quality_checks import Thresholds
from napari_sam2s.masklets.review import Reason, Review, ReviewSpan
from napari_sam2s.masklets.run_records import Run
from napari_sam2s.masklets.span_states import Span
from napari_sam2s.masklets.track_edit_preview import Change, TrackEdit
from napari_sam2s.masklets.types import Object, Origin, Prompt, Scores

__all__ = [
    "Change",
    "ClassList",
    "CleanUp",
    "LabelMasklets",
    "Link",
    "Masklets",
    "Object",
    "Origin",
    "Phase",
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
    "TrackEdit",
    "class_list",
    "read_class_list",
]


def __getattr__(name: str) -> Any:
    if name != "Operation":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn("napari_sam2s.masklets.Operation is TrackEdit now.", DeprecationWarning, stacklevel=2)
    return TrackEdit

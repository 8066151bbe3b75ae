"""SAM2S in napari: click an object in a video of any length, get durable, named, per-instance masks for all of it.

Importing this package is light: neither torch nor napari nor Qt is imported until something that needs it is used.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from napari_sam2s.lazy_names import lazy_names
from napari_sam2s.moved_modules import install as _let_old_paths_be_imported

if TYPE_CHECKING:
    from napari_sam2s.batching import batch
    from napari_sam2s.evaluation.evaluate import evaluate
    from napari_sam2s.masklets import Project
    from napari_sam2s.measurements.measure import measure
    from napari_sam2s.model import load_model
    from napari_sam2s.tracking import Tracker, track
    from napari_sam2s.video import Video, open_video
    from napari_sam2s.widgets.console import current_project

try:
    __version__ = version("napari-sam2s")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

_let_old_paths_be_imported()

__all__ = [
    "Project",
    "Tracker",
    "Video",
    "__version__",
    "batch",
    "current_project",
    "evaluate",
    "load_model",
    "measure",
    "open_video",
    "track",
]

__getattr__ = lazy_names(
    __name__,
    batching="batch",
    evaluation="evaluate",
    masklets="Project",
    measurements="measure",
    model="load_model",
    tracking="Tracker track",
    video="Video open_video",
    **{"widgets.console": "current_project"},
)


def __dir__() -> list[str]:
    return sorted(__all__)

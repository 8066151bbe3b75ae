"""Import paths of before version 0.1 that scripts use: the module at its new path is given, with one warning."""

from __future__ import annotations

import sys
import warnings
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from typing import Any

MOVED = {
    "cli.prompts": "cli.prompt_options",
    "cli.resume": "cli.resume_command",
    "cli.track": "cli.track_command",
    "formats.files": "formats.atomic_write",
    "masklets.presence": "masklets.span_states",
    "masklets.shared_pixels": "masklets.overlaps",
    "masklets.vocabulary": "masklets.types",
    "tracking.rate": "tracking.working_rate",
    "tracking.runs": "tracking.propagation_run",
    "video.decoder": "video.forward_decoder",
    "video.frame_times": "video.frame_rate",
    "video.picture_order": "video.display_order",
    "widgets.readers": "widgets.napari_reader",
    "widgets.segment": "widgets.segment_widget",
}


class _Finder(MetaPathFinder, Loader):
    """Finds the old paths; asked last, when nothing else is found."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        package, _, rest = name.partition(".")
        return ModuleSpec(name, self) if package == "napari_sam2s" and rest in MOVED else None

    def create_module(self, spec: ModuleSpec) -> Any:
        new = f"napari_sam2s.{MOVED[spec.name.partition('.')[2]]}"
        warnings.warn(f"{spec.name} is now {new}.", DeprecationWarning, stacklevel=2)
        module = import_module(new)
        self._own = module.__spec__
        return module

    def exec_module(self, module: Any) -> None:
        module.__spec__ = self._own  # what importing by the old path has put in its place


def install() -> None:
    """Let the old paths be imported."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())

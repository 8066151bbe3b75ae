"""The tracker of a session: which model it has, the engine it runs in, and what it has yet to be told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from napari_sam2s.masklets import Project
from napari_sam2s.tracking.engine import Engine
from napari_sam2s.tracking.policy import MemoryPolicy
from napari_sam2s.video import Video

if TYPE_CHECKING:
    from napari_sam2s.model.speed import Mode
    from napari_sam2s.tracking import Tracker

OUT_OF_MEMORY = (
    "The device ran out of memory. Everything finished is saved. Take a smaller model, another device or fewer objects."
)


@dataclass(frozen=True)
class Choice:
    """Which model runs, where, and how it remembers."""

    model: str
    memory: str | MemoryPolicy = "divemem"
    device: str = "auto"
    precision: Literal["float32", "bfloat16"] = "float32"
    mode: Mode = "exact"
    image_size: int | None = None  # side of the network's input; ``None`` for the model's own
    address: str | None = None  # of a dask scheduler; ``None`` for a process on this machine
    strict: bool = True  # False: go on without the tensors of a checkpoint that do not fit
    crop: bool = False  # whether each object is tracked in a window that follows it


class TrackerSource:
    """Makes the tracker when it is first needed, and again after its engine died. Used in the session's thread only.

    ``on_ready`` is called with the engine's facts (model, device, threads, memory_bytes) whenever there is a new tracker.
    """

    def __init__(self, video: Video, project: Project, choice: Choice, on_ready: Callable[[dict[str, Any]], None]) -> None:
        self._video, self._project, self._on_ready = video, project, on_ready
        self.choice = choice
        self.worked: Choice | None = None  # the latest choice of which there was a tracker
        self.engine: Engine | None = None
        self.tracker: Tracker | None = None
        self._altered: set[int] | None = set()  # objects with other masks than before a change; None: any may have
        project.store.when_touched.append(self._note_masks)
        project.store.when_forgotten.append(self._note_all)
        self.stale = {o.id for o in project.objects}  # objects whose prompts the tracker has to be told anew

    def get(self) -> Tracker:
        """Return the tracker, after starting what is missing."""
        if self.engine is None or not self.engine.alive:
            if self.engine is not None:
                self.engine.close()
            self.engine, self.tracker = Engine(self.choice.address), None
        if self.tracker is None:
            from napari_sam2s.tracking.crop_tracker import make_tracker

            c = self.choice
            model = self.engine.model(
                c.model, device=c.device, image_size=c.image_size, precision=c.precision, mode=c.mode, strict=c.strict
            )
            self.tracker = make_tracker(model, self._video, self._project, c.memory, crop=c.crop)
            self.worked, self.stale = c, {o.id for o in self._project.objects}
            facts = {"memory_bytes": self.tracker.device_memory(), "object_bytes": self.tracker.object_bytes()}
            self._on_ready({**self.tracker.describe(), **facts})
        return self.tracker

    def fresh(self) -> Tracker:
        """Return the tracker once it knows all prompts as they are now."""
        from napari_sam2s.tracking.propagation_run import reload_prompts

        tracker = self.get()
        stale, self.stale = self.stale, set()
        for object_id in sorted(stale):
            reload_prompts(tracker, self._project, object_id)
        return tracker

    def _note_masks(self, keys: Sequence[Sequence[int]]) -> None:
        if self._altered is not None:
            self._altered.update(object_id for _, object_id in keys)

    def _note_all(self) -> None:
        self._altered = None

    def edited(self, change: Callable[[Project], Any]) -> None:
        """Change the project; stale are the objects that have other masks or prompts then. To tell many takes seconds."""
        said, self._altered = self._project.prompts.ids(), set()
        try:
            change(self._project)
        finally:
            if self._altered is None:
                self.all_stale()
            else:
                now = self._project.prompts.ids()
                self.stale |= self._altered | {i for i in said.keys() | now.keys() if said.get(i) != now.get(i)}

    def all_stale(self) -> None:
        """Note that any prompt may have changed."""
        self.stale |= {o.id for o in self._project.objects} | set(self.tracker.object_ids if self.tracker else ())

    def change(self, choice: Choice) -> None:
        """Take another model or device from now on; an engine at another address goes."""
        if choice.address != self.choice.address:
            self.close()
        self.choice = choice
        self.drop_tracker()

    def drop_tracker(self) -> None:
        """Let go of the tracker."""
        self.tracker = None

    def close(self) -> None:
        """Let go of tracker and engine; if its device was full, a new one starts with an empty device."""
        self.drop_tracker()
        if self.engine is not None:
            self.engine.close()
            self.engine = None

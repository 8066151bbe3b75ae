"""What a napari Labels layer writes into the masks of a project: strokes, and whatever else changes them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QTimer

from napari_sam2s.errors import ProjectError
from napari_sam2s.masklets import Project


class Strokes:
    """Gathers what a layer writes, and hands it on when a stroke is over; or at once, where the mouse did not do it.

    Napari has an event for painting, but none for its undo, so the writing itself is watched.

    Parameters
    ----------
    tell
        Called with a frame, the objects that were painted or erased on it, the others that were painted over, and the last
        step of undo before that.
    begin
        Called with the layer before a stroke begins.
    refuse
        Called with what a stroke cannot do, such as to paint a locked object; what a script writes raises an error instead.
    """

    def __init__(
        self,
        project: Project,
        tell: Callable[[int, Sequence[int], Sequence[int], int], None],
        begin: Callable[[Any], None] = lambda layer: None,
        refuse: Callable[[str], None] | None = None,
    ) -> None:
        self._project, self._tell, self._begin, self._refuse = project, tell, begin, refuse
        self.labels = project.labels.watched(self._writes, self._refused)
        self._before: dict[int, NDArray[Any]] = {}  # label images of the frames written to, as they were
        self._since = 0
        self._drawing = False
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(0)
        self._timer.timeout.connect(self._finish)

    def drag(self, layer: Any, event: Any) -> Generator[None, None, None]:
        """Hear of the mouse: a callback of the layer, before napari's own."""
        self._finish()
        self._drawing = True
        self._begin(layer)
        yield
        while event.type == "mouse_move":
            yield
        self._drawing = False
        self._finish()

    def close(self) -> None:
        """Hear no more."""
        self._timer.stop()
        self._before.clear()

    def _writes(self, frame: int) -> None:
        if not self._before:
            self._since = self._project.history.last
        if frame not in self._before:
            self._before[frame] = self._project.labels.frame(frame)
        if not self._drawing:  # as napari's undo and a script do, which may write several times
            self._timer.start()

    def _refused(self, error: ProjectError) -> bool:
        if self._drawing and self._refuse is not None:
            self._refuse(str(error))
            return True
        return False

    def _finish(self) -> None:
        self._timer.stop()
        written, self._before = self._before, {}
        for frame, before in written.items():
            after = self._project.labels.frame(frame)
            differs = before != after
            was, now = before[differs], after[differs]
            meant = {int(i) for i in np.unique(np.concatenate((now, was[now == 0]))) if i}
            covered = {int(i) for i in np.unique(was) if i} - meant
            if meant:
                self._tell(frame, sorted(meant), sorted(covered), self._since)


def lost_pixels(project: Project, frame: int, objects: Sequence[int]) -> str:
    """Say which objects lost pixels to what was painted over them."""
    names = " and ".join(project.objects.get(i).name for i in objects)
    one = len(objects) == 1
    return f"{names} lost these pixels on frame {frame}. {'Its' if one else 'Their'} other frames are unchanged."

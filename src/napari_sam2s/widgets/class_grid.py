"""Nine classes, a press each: the next click makes an object of that class."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QGridLayout, QPushButton, QWidget

from napari_sam2s.widgets.keys import Keys
from napari_sam2s.widgets.object_table import give_class
from napari_sam2s.widgets.session import Session

MOST, IN_A_ROW = 9, 3
ACTION, KEY = "class_{}", "Ctrl-{}"  # the digits alone are napari's own, for what the mouse does in a layer
AROUND = 14  # pixels of a button that are not text


class ClassGrid(QWidget):
    """Buttons of the first nine classes of a list; their keys work also while it is hidden."""

    def __init__(self, session: Session, keys: Keys) -> None:
        super().__init__()
        self._session, self._keys = session, keys
        self._names: tuple[str, ...] = ()
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(3)
        self.buttons = [QPushButton() for _ in range(MOST)]
        for n, one in enumerate(self.buttons):
            one.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # the canvas keeps the keyboard
            one.setMinimumWidth(1)
            one.setToolTip("A class: the next click adds an object of this class.")
            one.clicked.connect(lambda _checked=False, n=n: self.take(n))
            grid.addWidget(one, n // IN_A_ROW, n % IN_A_ROW)
            title = f"an object of class {n + 1} of the list"
            keys.add(ACTION.format(n + 1), KEY.format(n + 1), title, lambda n=n: self.take(n))  # type: ignore[misc]

    def show_classes(self, names: Sequence[str]) -> None:
        """Offer the first of these classes."""
        self._names = tuple(names[:MOST])
        self._write()

    def take(self, n: int) -> None:
        """Make an object of a class for the next click; one that nothing is known of yet is taken for it."""
        session, project = self._session, self._session.project
        if n >= len(self._names):
            session.tell(f"The list of classes ends at {len(self._names)}: there is no class {n + 1}.")
            return
        if project is None:
            return
        since, now = project.history.last, session.current_object
        used = bool(project.prompts(now) or project.masks.known(now, 0, project.shape[0]))
        if used:
            session.new_object()
        give_class(project, session.current_object, self._names[n])
        if used:
            project.history.merge(since, "add object", "set class")
        session.activate_prompts()
        session.changed.emit()
        session.tell(f"{project.objects.get(session.current_object).name} is new: click it in the picture.")

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Shorten the names to the room there is."""
        super().resizeEvent(event)
        self._write()

    def _write(self) -> None:
        room = self.width() // IN_A_ROW - AROUND
        for n, one in enumerate(self.buttons):
            one.setVisible(n < len(self._names))
            if n < len(self._names):
                text = f"{n + 1} {self._names[n]}"
                one.setText(one.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, max(room, 20)))
                key = self._keys.key(ACTION.format(n + 1))
                one.setToolTip(f"{self._names[n]} ({key}): the next click adds an object of this class.")

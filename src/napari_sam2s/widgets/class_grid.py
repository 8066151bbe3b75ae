"""Nine classes, a press each: the next click makes an object of that class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QGridLayout, QPushButton, QWidget

from napari_sam2s.widgets.object_table import give_class
from napari_sam2s.widgets.session import Session

MOST, IN_A_ROW = 9, 3
KEY = "Control-{}"  # the digits alone are napari's own, for what the mouse does in a layer
AROUND = 14  # pixels of a button that are not text


class ClassGrid(QWidget):
    """Buttons of the first nine classes of a list; their keys work while it is shown."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._names: tuple[str, ...] = ()
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(3)
        self.buttons = [QPushButton() for _ in range(MOST)]
        for n, one in enumerate(self.buttons):
            one.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # the canvas keeps the keyboard
            one.setMinimumWidth(1)
            one.setToolTip("A class: the next click makes an object of it.")
            one.clicked.connect(lambda _checked=False, n=n: self.take(n))
            grid.addWidget(one, n // IN_A_ROW, n % IN_A_ROW)

    def show_classes(self, names: Sequence[str]) -> None:
        """Offer the first of these classes."""
        self._names = tuple(names[:MOST])
        self._write()

    def take(self, n: int) -> None:
        """Make an object of a class for the next click; one that nothing is known of yet is taken for it."""
        session, project = self._session, self._session.project
        if project is None or n >= len(self._names):
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

    def bind(self, shown: bool) -> None:
        """Take the keys, or let go of them."""
        for n in range(MOST):
            action = (lambda _, n=n: self.take(n)) if shown else None
            self._session.viewer.bind_key(KEY.format(n + 1), action, overwrite=True)

    def showEvent(self, event: Any) -> None:
        """Take the keys."""
        super().showEvent(event)
        self.bind(True)

    def hideEvent(self, event: Any) -> None:
        """Let go of them."""
        super().hideEvent(event)
        self.bind(False)

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
                key = KEY.format(n + 1).replace("Control", "Ctrl")
                one.setToolTip(f"{self._names[n]} ({key}): the next click makes an object of it.")

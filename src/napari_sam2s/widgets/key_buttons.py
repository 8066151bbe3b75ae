"""Rows of buttons that have keys."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QGridLayout, QWidget

from napari_sam2s.widgets.form_parts import button
from napari_sam2s.widgets.keys import Keys

IN_A_ROW = 3


def key_buttons(keys: Keys, actions: Iterable[tuple[str, str, str, str, Callable[[], object]]]) -> QWidget:
    """Return buttons for actions ``(name, key, what it does, text, function)``, and bind their keys.

    The buttons take no focus: the canvas keeps the keyboard.
    """
    box = QWidget()
    grid = QGridLayout(box)
    grid.setContentsMargins(0, 0, 0, 0)
    for n, (name, key, title, text, function) in enumerate(actions):
        keys.add(name, key, title, function)
        made = button(f"{text} ({keys.key(name)})", function, f"{title[0].upper()}{title[1:]}.", Qt.FocusPolicy.NoFocus)
        made.setObjectName(name)
        grid.addWidget(made, n // IN_A_ROW, n % IN_A_ROW)
    return box

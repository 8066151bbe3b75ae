"""Squares of colour in lists and tables."""

from __future__ import annotations

from qtpy.QtCore import QSize
from qtpy.QtGui import QColor, QIcon, QPixmap

SIDE = 16  # pixels


def swatch(colour: QColor) -> QIcon:
    """Return a square of a colour that stays what it is where its row is chosen: Qt would tint it."""
    square = QPixmap(QSize(SIDE, SIDE))
    square.fill(colour)
    icon = QIcon()
    for mode in (QIcon.Mode.Normal, QIcon.Mode.Selected):
        icon.addPixmap(square, mode)
    return icon

"""Small pictures of the answers that a click may have, to choose one with the mouse."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QIcon, QImage, QPixmap
from qtpy.QtWidgets import QButtonGroup, QSizePolicy, QToolButton, QWidget

from napari_sam2s.widgets.form_parts import side_by_side

WIDTH, HEIGHT = 48, 46  # pixels
MARGIN = 0.15  # of what the largest answer covers, around it
CHOSEN = "#2a8fe0"  # seen on napari's dark and its light
DIM = 0.45  # of the brightness of what an answer leaves out


class ClickPictures(QWidget):
    """A row of buttons, a picture and a score each; the one on show is pressed."""

    chosen = Signal(int)  # its place in the list

    def __init__(self, most: int) -> None:
        super().__init__()
        # napari's theme shows no difference between a pressed one and the others, and its palette is black in the dark.
        self.setStyleSheet(f"QToolButton:checked {{ border: 2px solid {CHOSEN}; font-weight: bold; }}")
        self._group = QButtonGroup(self)
        self.buttons = [QToolButton() for _ in range(most)]
        for n, one in enumerate(self.buttons):
            one.setCheckable(True)
            one.setToolTip("An answer to the click. Click to take it.")
            one.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # the canvas keeps the keyboard
            one.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
            one.setIconSize(QSize(WIDTH, HEIGHT))
            one.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            self._group.addButton(one, n)
        side = side_by_side(*self.buttons)
        side.setContentsMargins(0, 0, 0, 0)
        self.setLayout(side)
        self._group.idClicked.connect(self.chosen)

    def show_answers(
        self, picture: NDArray[np.uint8], masks: Sequence[NDArray[np.bool_]], names: Sequence[str], shown: int
    ) -> None:
        """Show the masks ``(Y, X)`` bool of a picture ``(Y, X, 3)`` uint8, with a name each; ``shown`` is the one in use."""
        here = crop_around(masks)
        for n, one in enumerate(self.buttons):
            one.setVisible(n < len(masks))
            if n < len(masks):
                one.setIcon(_icon(lit(picture[here], masks[n][here])))
                first, *_, score = names[n].split()
                one.setText(f"{first}\n{score}")
                one.setToolTip(
                    f"{names[n]} (predicted IoU): the model's own guess, from 0 to 1, of how well it fits. Click to take it."
                )
                one.setChecked(n == shown)


def crop_around(masks: Sequence[NDArray[np.bool_]]) -> tuple[slice, slice]:
    """Return the part of a picture that all masks lie in, with a margin."""
    anywhere = np.logical_or.reduce(masks)
    parts = []
    for axis in (1, 0):
        there = np.flatnonzero(anywhere.any(axis=axis))
        first, stop = (int(there[0]), int(there[-1]) + 1) if len(there) else (0, anywhere.shape[1 - axis])
        room = max(4, round(MARGIN * (stop - first)))
        parts.append(slice(max(0, first - room), stop + room))
    return parts[0], parts[1]


def lit(picture: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return a picture in which all but the mask is grey and dim, as large as a button's icon."""
    every = max(1, min(picture.shape[0] // (2 * HEIGHT), picture.shape[1] // (2 * WIDTH)))
    picture, mask = picture[::every, ::every], mask[::every, ::every]
    grey = (picture.mean(axis=2, keepdims=True) * DIM).astype(np.uint8)
    return np.where(mask[..., None], picture, grey)


def _icon(pixels: NDArray[np.uint8]) -> QIcon:
    pixels = np.ascontiguousarray(pixels)
    height, width = pixels.shape[:2]
    image = QImage(pixels.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
    scaled = image.scaled(WIDTH, HEIGHT, Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation)
    return QIcon(QPixmap.fromImage(scaled))

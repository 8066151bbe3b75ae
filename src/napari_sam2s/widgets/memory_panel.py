"""How the model remembers: the policy and, for those who want them, its parameters."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QDoubleSpinBox, QFormLayout, QSpinBox, QWidget

from napari_sam2s.tracking.policy import POLICIES, MemoryPolicy
from napari_sam2s.widgets.form_parts import menu
from napari_sam2s.widgets.settings import remember, remembered

NUMBERS = (
    ("short_term", 1, 6, "recent frames", "Most recent frames kept as memories (N_s)."),
    ("long_term", 0, 16, "long-term frames", "Varied frames from long ago that are kept (N_l); 0 is SAM 2."),
    ("candidates", 1, 50, "candidates", "Confident frames collected before one of them is kept (Delta)."),
    ("pointers", 0, 64, "pointers", "Most recent frames whose object pointers are kept."),
    ("iou_threshold", 0.0, 1.0, "confidence", "Predicted IoU above which a frame is confident enough to be kept (gamma)."),
)


class MemoryPanel(QWidget):
    """A policy by name, with the checkpoint's own parameters unless the user sets others."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        tip = "divemem also remembers varied frames from long ago (SAM2S). vanilla remembers the last six (SAM 2)."
        self.name = menu(POLICIES, tip)
        self.own = QCheckBox("own parameters")
        self.own.setToolTip("Use the numbers below instead of those of the model.")
        self.numbers: dict[str, Any] = {}  # of QSpinBox and QDoubleSpinBox
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("memory", self.name)
        form.addRow("", self.own)
        for key, least, most, title, tip in NUMBERS:
            box: Any = QSpinBox() if isinstance(most, int) else QDoubleSpinBox()
            box.setSingleStep(1 if isinstance(most, int) else 0.05)
            box.setRange(least, most)
            box.setToolTip(tip)
            self.numbers[key] = box
            form.addRow(title, box)
        self.name.setCurrentText(str(remembered("model", "memory", "divemem")))
        self._show_defaults()
        self.own.setChecked(bool(remembered("memory", "own", False)))
        if self.own.isChecked():
            for key, box in self.numbers.items():
                box.setValue(remembered("memory", key, box.value()))
        self._enable()
        self.name.currentTextChanged.connect(self._named)
        self.own.toggled.connect(self._change)
        for number in self.numbers.values():
            number.valueChanged.connect(self._change)

    def policy(self) -> str | MemoryPolicy:
        """Return a policy's name, or a policy with the user's own parameters."""
        name = self.name.currentText()
        if not self.own.isChecked():
            return name
        return replace(POLICIES[name], **self._values())

    def _values(self) -> dict[str, Any]:
        return {key: box.value() for key, box in self.numbers.items()}

    def _show_defaults(self) -> None:
        policy = POLICIES[self.name.currentText()]
        for key, box in self.numbers.items():
            box.setValue(getattr(policy, key))

    def _enable(self) -> None:
        for number in self.numbers.values():
            number.setEnabled(self.own.isChecked())

    def _named(self, _: str) -> None:
        for number in self.numbers.values():
            number.blockSignals(True)
        self._show_defaults()
        for number in self.numbers.values():
            number.blockSignals(False)
        self._change()

    def _change(self, _: object = None) -> None:
        self._enable()
        remember("model", memory=self.name.currentText())
        remember("memory", own=self.own.isChecked(), **self._values())
        self.changed.emit()

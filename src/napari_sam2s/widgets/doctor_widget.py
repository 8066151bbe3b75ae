"""``napari-sam2s doctor`` in a window: what works here, with the text for an issue."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from qtpy.QtCore import Signal
from qtpy.QtGui import QFontDatabase, QResizeEvent
from qtpy.QtWidgets import QApplication, QPlainTextEdit, QWidget

from napari_sam2s.doctor import Finding, as_text, examine
from napari_sam2s.widgets.close_watcher import CloseWatcher
from napari_sam2s.widgets.form_parts import button, side_by_side, stacked
from napari_sam2s.widgets.layout import tab_beside_ours


class DoctorWidget(QWidget):
    """Checks this installation in the background, and shows each finding as it comes."""

    found = Signal(object)  # a Finding; None when there are no more

    def __init__(self) -> None:
        super().__init__()
        self._findings: list[Finding] = []
        self._closed = self._checking = False
        self._jobs = ThreadPoolExecutor(1, thread_name_prefix="sam2s-doctor")
        self.text = QPlainTextEdit()
        self.text.setReadOnly(True)
        self.text.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)  # it is a table
        self.text.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self.again = button("Check again", self.check, "Run all checks again. They take about ten seconds.")
        copy = button("Copy", self.copy, "Copy the text for an issue. Personal paths are shortened in the copy.")
        stacked((self.text, 1), side_by_side(self.again, copy), into=self, margins=True)
        self.found.connect(self._show)
        self._watcher = CloseWatcher(self, self.let_go)
        tab_beside_ours(self)
        self.check()

    def check(self) -> None:
        """Run all checks in the background."""
        self._findings = []
        self._checking = True
        self._write()
        self.again.setEnabled(False)
        self._jobs.submit(self._examine)

    def _examine(self) -> None:
        for finding in examine():
            if self._closed:
                return
            self.found.emit(finding)
        self.found.emit(None)

    def _show(self, finding: Finding | None) -> None:
        if finding is None:
            self._checking = False
            self.again.setEnabled(True)
        else:
            self._findings.append(finding)
        self._write()

    def _write(self) -> None:
        """Write the table as wide as the window is; what is longer goes on in its own column."""
        columns = self.text.viewport().width() // max(1, self.text.fontMetrics().horizontalAdvance("x")) - 2
        text = as_text(self._findings, columns=columns, paths=True)
        self.text.setPlainText(f"{text.rpartition(chr(10) * 2)[0]}\n\nChecking ..." if self._checking else text)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Write it anew at another width."""
        super().resizeEvent(event)
        self._write()

    def copy(self) -> None:
        """Put the text on the clipboard, a line a finding."""
        QApplication.clipboard().setText(as_text(self._findings))

    def let_go(self) -> None:
        """End the checks."""
        self._closed = True
        self._jobs.shutdown(wait=True, cancel_futures=True)

from qtpy.QtWidgets import QApplication

from napari_sam2s.doctor import Finding, checks
from napari_sam2s.widgets.doctor_widget import DoctorWidget


def test_findings_are_shown_and_copied(qtbot, monkeypatch):
    broken = Finding("two", "broken", "It does not work.", "pip install it")
    monkeypatch.setattr(checks, "CHECKS", (("one", lambda: [Finding("one", "ok", "all of it")]), ("two", lambda: [broken])))
    widget = DoctorWidget()
    qtbot.addWidget(widget)
    assert not widget.again.isEnabled()
    qtbot.waitUntil(widget.again.isEnabled)
    text = widget.text.toPlainText()
    assert "all of it" in text
    assert "-> pip install it" in text
    assert text.endswith("then run this again.")
    widget.copy()
    assert QApplication.clipboard().text() == text
    widget.show()
    widget.resize(10, 200)  # what does not fit goes on in its own column
    broken_lines = widget.text.toPlainText().splitlines()
    assert "broken   two  It does not work." in broken_lines
    long = Finding("one", "ok", "a word and another, " * 9)
    widget.found.emit(long)
    lines = widget.text.toPlainText().splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith("ok       one  a word"))
    assert lines[at + 1].startswith(" " * 14 + "a")
    assert all(len(line) <= 50 for line in lines[at : at + 5])
    widget.copy()
    assert long.found.strip() in QApplication.clipboard().text()
    monkeypatch.setattr(checks, "CHECKS", ())
    widget.check()
    qtbot.waitUntil(widget.again.isEnabled)
    assert widget.text.toPlainText().endswith("Everything works.")
    widget.close()

"""What is remembered between sessions."""

from __future__ import annotations

from types import SimpleNamespace

from napari_sam2s.widgets import settings


def test_a_setting_may_be_called_name(monkeypatch):
    known = SimpleNamespace(name="sam2s-nano", memory="divemem")
    monkeypatch.setattr(settings, "section", lambda name: known if name == "model" else None)
    settings.remember("model", name="sam2.1-tiny", memory="vanilla")
    assert known == SimpleNamespace(name="sam2.1-tiny", memory="vanilla")
    assert settings.remembered("model", "name", "") == "sam2.1-tiny"
    assert settings.remembered("other", "name", "default") == "default"

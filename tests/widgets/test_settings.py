"""What is remembered between sessions."""

from __future__ import annotations

import os
import subprocess
import sys
from enum import Enum
from types import SimpleNamespace

from napari_sam2s.widgets import settings


def test_a_setting_may_be_called_name(monkeypatch):
    known = SimpleNamespace(name="sam2s-nano", memory="divemem")
    monkeypatch.setattr(settings, "section", lambda name: known if name == "model" else None)
    settings.remember("model", name="sam2.1-tiny", memory="vanilla")
    assert known == SimpleNamespace(name="sam2.1-tiny", memory="vanilla")
    assert settings.remembered("model", "name", "") == "sam2.1-tiny"
    assert settings.remembered("other", "name", "default") == "default"


def test_a_word_that_napari_read_from_its_file_is_a_word(monkeypatch):
    """It comes as a member of an enumeration: what was chosen was forgotten when napari started again."""
    memory = Enum("memory", {"divemem": "divemem", "vanilla": "vanilla"})
    monkeypatch.setattr(settings, "section", lambda name: SimpleNamespace(memory=memory.vanilla))
    assert settings.remembered("model", "memory", "divemem") == "vanilla"


def test_what_is_chosen_outlives_napari(tmp_path):
    """In processes of their own, since napari reads its file once."""
    environment = {**os.environ, "NAPARI_CONFIG": str(tmp_path / "settings.yaml"), "QT_QPA_PLATFORM": "offscreen"}
    show = "print(remembered('model', 'device', ''), remembered('model', 'mode', ''), remembered('run', 'every', 0))"
    for before, expected in (
        ("pass", "auto exact 1"),
        ("remember('model', device='cpu', mode='fast'); remember('run', every=5)", "cpu fast 5"),
        ("pass", "cpu fast 5"),
    ):
        code = f"from napari_sam2s.widgets.settings import remember, remembered; {before}; {show}"
        run = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True, env=environment
        )
        assert run.stdout.strip() == expected

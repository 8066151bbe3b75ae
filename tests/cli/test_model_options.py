"""Options of the model reach it, whichever command they are given to."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2s.cli import main
from napari_sam2s.cli.convert_command import follow_with
from napari_sam2s.errors import ModelError


class Seen(ModelError):
    """What a command was about to load."""


@pytest.mark.parametrize(("words", "strict"), [([], True), (["--ignore-differences"], False)])
def test_a_checkpoint_is_taken_without_what_does_not_fit_at_ones_word(tmp_path, monkeypatch, capsys, words, strict):
    def seen(*_, strict=True, **__):
        raise Seen(f"strict={strict}")

    def settings_seen(videos, settings, out, **_):
        raise Seen(f"strict={settings[0].strict}")

    (tmp_path / "masks").mkdir()
    (tmp_path / "a.mp4").write_bytes(b"x")
    monkeypatch.setattr("napari_sam2s.batching.batch_run.ModelChoice", seen)
    monkeypatch.setattr("napari_sam2s.evaluation.benchmark.plan", settings_seen)
    monkeypatch.setattr("napari_sam2s.evaluation.benchmark_videos.find_benchmark_videos", lambda *_: [])
    for command in (["batch", str(tmp_path)], ["benchmark", str(tmp_path), "--out", str(tmp_path.parent / "out")]):
        assert main([*command, "--model", "mine.pt", *words]) == 2
        assert f"strict={strict}" in capsys.readouterr().err
    monkeypatch.setattr("napari_sam2s.model.load_model", seen)
    monkeypatch.setattr("napari_sam2s.cli.convert_command.follow_with", lambda *_, strict: seen(strict=strict))
    assert main(["convert", "bkai-igh", str(tmp_path), str(tmp_path / "new"), *words]) == 2
    assert f"strict={strict}" in capsys.readouterr().err
    with pytest.raises(Seen, match=f"strict={strict}"):
        follow_with("mine.pt", "cpu", strict=strict)([np.zeros((8, 8, 3), np.uint8)], {1: None})

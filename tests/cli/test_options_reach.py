"""Options that change what is computed reach what computes it."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from napari_sam2s.cli import main
from napari_sam2s.errors import Sam2sError
from napari_sam2s.model.model_registry import loadable


class Seen(Sam2sError):
    """What a command was about to do."""


@pytest.fixture
def seen(monkeypatch, capsys):
    """Return a function that replaces a callable, runs a command, and gives what it was called with, in words."""

    def run(target, say, *words):
        def called(*args, **options):
            raise Seen(f"seen: {say(*args, **options)}")

        monkeypatch.setattr(target, called)
        assert main(words) == 2
        return capsys.readouterr().err.partition("seen: ")[2].strip()

    return run


@pytest.mark.parametrize(
    ("words", "told"),
    [((), "255 error"), (("--keep-void",), "None error"), (("--missing", "empty"), "255 empty")],
)
def test_void_and_missing_frames_of_evaluate(seen, words, told):
    target = "napari_sam2s.evaluation.evaluate"
    assert seen(target, lambda *_, void, missing, **__: f"{void} {missing}", "evaluate", "a", "b", *words) == told


@pytest.mark.parametrize(("words", "told"), [((), "True"), (("--no-shape",), "False")])
def test_shapes_of_measure(seen, tmp_path, monkeypatch, words, told):
    monkeypatch.setattr("napari_sam2s.masklets.Project.open", lambda *_, **__: nullcontext(SimpleNamespace(frames=[0])))
    command = "measure", "case.sam2s", "--out", str(tmp_path / "a.csv"), "--no-video", *words
    assert seen("napari_sam2s.measurements.measure", lambda *_, shape, **__: shape, *command) == told


@pytest.mark.parametrize(("words", "told"), [((), "True"), (("--no-tracking",), "False")])
def test_tracking_of_convert(seen, tmp_path, words, told):
    command = "convert", "bkai-igh", str(tmp_path), str(tmp_path / "new"), *words
    assert seen("napari_sam2s.datasets.convert", lambda *_, propagate, **__: propagate is not None, *command) == told


@pytest.mark.parametrize(("words", "told"), [((), "exact"), (("--fast",), "fast")])
def test_fast_mode_of_track(seen, tmp_path, monkeypatch, words, told):
    video = SimpleNamespace(shape=(2, 8, 8, 3), warnings=[], fps=25.0)
    monkeypatch.setattr("napari_sam2s.video.open_video", lambda *_, **__: nullcontext(video))
    command = "track", "case.mp4", "--point", "0,1,1", "--out", str(tmp_path / "a.sam2s"), *words
    assert seen("napari_sam2s.model.load_model", lambda *_, mode, **__: mode, *command) == told


@pytest.mark.parametrize(
    ("words", "told"),
    [((), "exact float32"), (("--fast",), "fast float32"), (("--precision", "bfloat16"), "exact bfloat16")],
)
def test_speed_of_batch(seen, tmp_path, words, told):
    (tmp_path / "a.mp4").write_bytes(b"x")
    target = "napari_sam2s.batching.batch_run.ModelChoice"
    assert seen(target, _speed, "batch", str(tmp_path), *words) == told


def _speed(name, device, image_size, precision="float32", mode="exact", **_):
    return f"{mode} {precision}"


@pytest.mark.parametrize(("words", "told"), [((), ""), (("--yes",), "downloads")])
def test_a_licence_with_limits_is_agreed_to(seen, monkeypatch, words, told):
    entry = next(e for e in loadable().values() if e.licence.forbids and e.url)
    monkeypatch.setattr("napari_sam2s.model.downloads.find_local", lambda _: None)
    assert seen("napari_sam2s.model.downloads.download", lambda *_: "downloads", "models", "get", entry.name, *words) == told

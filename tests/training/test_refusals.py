"""What a run is refused for or tells of: settings, files, classes, and errors of its worker processes; one sentence each."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from napari_sam2s import load_model
from napari_sam2s.cli import main
from napari_sam2s.errors import TrainingError
from napari_sam2s.training.class_embeddings import add_names, fixed_embeddings
from napari_sam2s.training.setup import start
from napari_sam2s.training.training_config import read_config

VALIDATION = '\n[validation]\nevery = 2\ncases = 1\nfamilies = ["recorded"]\n'


@pytest.fixture
def config(write_config):
    return write_config({"frames": 2}, family="recorded")


def change(config, old, new):
    text = config.read_text()
    assert old in text
    config.write_text(text.replace(old, new))


@pytest.fixture
def davis(draw_davis, tmp_path):
    return draw_davis(tmp_path / "davis")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("\nsteps = 2", '\nsteps = "2"', "steps = '2' in Stage is not a whole number"),
        ("batch = 1", "batch = 1.5", "batch = 1.5 in Stage is not a whole number"),
        ("batch = 1", "batch = true", "batch = True in Stage is not a whole number"),
        ("ema = 0.9", 'ema = "0.9"', "ema = '0.9' in TrainingConfig is not a number"),
        ("ema = 0.9", "ema = nan", "ema = nan in TrainingConfig is not a number"),
        ("ema = 0.9", "ema = 0.9\ntsl = 1", "tsl = 1 in TrainingConfig is not true or false"),
        ("ema = 0.9", "ema = 0.9\ninit = 1", "init = 1 in TrainingConfig is not a text"),
        ("ema = 0.9", 'ema = 0.9\nparts = "semantic."', "parts = 'semantic.' in TrainingConfig is not a list of texts"),
        ("ema = 0.9", 'ema = 0.9\nclass_names = ["hook", "hook"]', "a name twice"),
        ("seed = 3\n", "", "lacks seed of TrainingConfig: copy configs/finetune.toml"),
        ("batch = 1\n", "", "lacks batch of Stage: copy"),
        ("seed = 3", "seed = -1", "seed, .* at least 0"),
        ("weight_decay = 0.05", "weight_decay = -1", "weight_decay .* at least 0"),
        ("clip_gradient = 1.0", "clip_gradient = 0", "clip_gradient must be above 0"),
        ("loss_stride = 1", "loss_stride = 0", "loss_stride must be at least 1"),
        ("images = 0.0", "images = 20", r"images must lie in \[0, 1\]"),
        ("divemem = 0.0", "divemem = -0.5", r"divemem must lie in \[0, 1\]"),
        ("images = 0.0", "images = 0.0\nmask_share = 2", r"mask_share must lie in \[0, 1\]"),
        ("images = 0.0", "images = 0.0\ncorrections = -3", "corrections .* at least 0"),
        ("[families]\nrecorded = 1.0", "families = 1.0", "not a table of numbers"),
        ("recorded = 1.0", 'recorded = "all"', "not a table of numbers"),
        ("[[stages]]", "[stages]", r"no \[\[stages\]\]"),
        ("seed = 3", "seed = 3\nvalidation = true", "validation is a table"),
    ],
)
def test_settings_of_the_wrong_kind(config, old, new, words):
    change(config, old, new)
    with pytest.raises(TrainingError, match=words):
        read_config(config)


def test_what_is_no_configuration(config, tmp_path):
    with pytest.raises(TrainingError, match="cannot be read"):
        read_config(tmp_path)
    config.write_bytes(config.read_bytes() + b"# \xe9\n")
    with pytest.raises(TrainingError, match="not valid TOML"):
        read_config(config)


def test_a_file_where_the_folder_should_be(config, davis, tmp_path, capsys):
    (tmp_path / "file").write_text("x")
    for out in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(TrainingError, match="is a file: choose another folder"):
            start(config, out, recorded=[davis])
        assert main(["demo", "--out", str(out), "--frames", "5"]) == 2
        assert "choose another" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "number"), [("--minutes", "0"), ("--minutes", "nan"), ("--workers", "-1"), ("--threads", "0")]
)
def test_numbers_of_the_command_line(config, davis, tmp_path, capsys, option, number):
    assert main(["train", str(config), "--out", str(tmp_path / "run"), "--data", str(davis), option, number]) == 2
    assert option in capsys.readouterr().err


@pytest.mark.parametrize("option", ["recorded", "validation"])
def test_what_is_not_there_or_not_used_is_told(config, davis, tmp_path, option):
    change(config, "recorded", "cells")
    with pytest.raises(TrainingError, match=r"there is no .*nowhere"):
        start(config, tmp_path / "run", **{option: [tmp_path / "nowhere"]})
    with pytest.warns(UserWarning, match=r"--(data|validation) is not used"):
        start(config, tmp_path / "run", **{option: [davis]})


def test_validation_is_opened_before_training(config, davis, draw_davis, tmp_path):
    config.write_text(config.read_text() + VALIDATION)
    single = draw_davis(tmp_path / "single", annotated=[2], name="once")
    with (
        pytest.warns(UserWarning, match="once is left out of validation"),
        pytest.raises(TrainingError, match="nothing to validate"),
    ):
        start(config, tmp_path / "run", recorded=[davis], validation=[single])
    with pytest.raises(TrainingError, match=r"there is no .*nowhere"):
        start(config, tmp_path / "run", recorded=[davis], validation=[tmp_path / "nowhere"])
    with pytest.warns(UserWarning, match="once is left out of validation"):
        run, _ = start(config, tmp_path / "run", recorded=[davis], validation=[single, davis])
    assert 0 <= run.validator(load_model(device="cpu", image_size=64))["recorded"] <= 1


@pytest.mark.slow
def test_an_error_in_a_worker_process_is_one_sentence(config, draw_davis, tmp_path, capsys):
    empty = draw_davis(tmp_path / "empty", drawn=False)
    meta = empty / "meta.json"
    meta.write_text('{"videos": {"v": {"objects": {"1": {"category": "hook"}}}}}')
    command = ["train", str(config), "--out", str(tmp_path / "run"), "--data", str(empty), "--workers", "1", "--threads", "1"]
    assert main([*command, "--device", "cpu"]) == 2
    said = capsys.readouterr().err
    assert "napari-sam2s train: No clip with a visible object was found for step 0" in said
    assert "Traceback" not in said


@pytest.mark.slow
def test_classes_are_added_to_those_of_the_network(config, davis, tmp_path):
    (davis / "meta.json").write_text('{"videos": {"v": {"objects": {"1": {"category": "stapler"}}}}}')
    change(config, "seed = 3", 'seed = 3\ninit = "sam2s-nano"')
    with pytest.raises(TrainingError, match=r"unknown class 'stapler'.*add it to class_names"):
        start(config, tmp_path / "run", recorded=[davis])
    change(config, "seed = 3", 'seed = 3\nclass_names = ["grasper", "stapler"]')
    run, data = start(config, tmp_path / "run", recorded=[davis])
    known = load_model(device="cpu")
    assert run.learner.model.class_names == (*known.class_names, "stapler")
    embeddings = run.learner.model.semantic.text_embeddings
    torch.testing.assert_close(embeddings[:-1], known.semantic.text_embeddings)
    torch.testing.assert_close(embeddings[:-1] @ embeddings[-1], torch.zeros(len(known.class_names)), atol=1e-4, rtol=0)
    batch = data[0]
    assert (batch.classes == len(known.class_names)).all()
    run.learner.take_step(batch)
    run.save()
    assert load_model(tmp_path / "run" / "model.pt", device="cpu").class_names[-1] == "stapler"
    start(config, tmp_path / "run", recorded=[davis])


def test_added_embeddings_are_of_the_same_encoder(monkeypatch):
    vectors = F.normalize(torch.randn(3, 16, generator=torch.Generator().manual_seed(0)), dim=1)
    words = {"a": vectors[0], "b": vectors[1], "c": vectors[2]}
    encode = "napari_sam2s.training.class_embeddings.clip_embeddings"
    monkeypatch.setattr(encode, lambda names, *place: torch.stack([words[n] for n in names]))
    torch.testing.assert_close(add_names(["a", "b"], vectors[:2], ["c"], "clip"), vectors)
    with pytest.raises(TrainingError, match="gives other embeddings of a, b"):
        add_names(["a", "b"], fixed_embeddings(["a", "b"], 16), ["c"], "clip")
    with pytest.raises(TrainingError, match="do not fit"):
        add_names(["a", "b"], fixed_embeddings(["a", "b"], 2), ["c"], "fixed")

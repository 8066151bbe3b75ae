"""Going on with a run: what decides it is compared, nothing is told twice, and nothing is lost when it is interrupted."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch

from napari_sam2s import load_model
from napari_sam2s.cli import main
from napari_sam2s.errors import TrainingError
from napari_sam2s.tracking.policy import find_policy
from napari_sam2s.training.checkpoint import save_atomically
from napari_sam2s.training.curves import append_row, forget_after
from napari_sam2s.training.learner import SKIPPED_STEPS
from napari_sam2s.training.loop import TrainingRun
from napari_sam2s.training.setup import start
from napari_sam2s.training.training_config import read_config

STAGES, CLASSES = ({"name": "first"}, {"name": "second"}), {"more": 'class_names = ["grasper", "hook"]'}


@pytest.fixture
def config(write_config):
    return write_config(*STAGES, **CLASSES)


@pytest.fixture(scope="module")
def begun(tmp_path_factory, config_text):
    """The folder of a run that has taken three steps, to copy."""
    folder = tmp_path_factory.mktemp("begun")
    (folder / "c.toml").write_text(config_text(*STAGES, **CLASSES))
    taken(folder / "c.toml", folder / "run", 3)
    return folder / "run"


@pytest.fixture(scope="module")
def begun_before(begun, tmp_path_factory):
    """It, as it would have been left by the first versions."""
    folder = shutil.copytree(begun, tmp_path_factory.mktemp("before") / "run")
    of_before(folder)
    return folder


@pytest.fixture(scope="module")
def network(begun):
    """The network of that run."""
    run, _ = start(begun.parent / "c.toml", begun)
    return run.learner.model


def change(config, old, new, count=-1):
    text = config.read_text()
    assert old in text
    config.write_text(text.replace(old, new, count))


def taken(config, folder, steps=2):
    """A run that has taken some steps and was saved."""
    run, data = start(config, folder)
    for step in range(steps):
        run.learner.take_step(data[step])
    run.save()
    return run


def of_before(folder):
    """Take out of a checkpoint what it did not have at first."""
    state = torch.load(folder / "last.pt", weights_only=True)
    for name in ("validated", "clocked", "recordings", "config", "class_names", "text_embeddings"):
        del state[name]
    torch.save(state, folder / "last.pt")


@pytest.mark.slow
def test_a_trained_network_remembers_as_the_one_it_came_from(config, tmp_path):
    change(config, "seed = 3", 'seed = 3\ninit = "sam2s-nano"')
    run = taken(config, tmp_path / "run", 1)
    own = find_policy("divemem", load_model(device="cpu").metadata)
    assert own.iou_threshold == 0.8
    assert find_policy("divemem", run.learner.model.metadata) == own  # in validation
    assert find_policy("divemem", load_model(tmp_path / "run" / "model.pt", device="cpu").metadata) == own


@pytest.mark.parametrize("early", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["", "begun before"])
@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("image_size = 64", "image_size = 96", "image_size was 64, is 96"),
        ("weight_decay = 0.05", "weight_decay = 0.1", "weight_decay was 0.05, is 0.1"),
        ("ema = 0.9", "ema = 0.9\nlayer_decay = 0.5", "layer_decay was 1.0, is 0.5"),
        ("ema = 0.9", "ema = 0.9\nnew_rate = 3.0", "new_rate was 1.0, is 3.0"),
        ("seed = 3", 'seed = 3\ninit = "sam2s-nano"', 'init was "", is "sam2s-nano"'),
        ("laparoscopy = 1.0", "cells = 1.0", "families was"),
        ("\nsteps = 2", "\nsteps = 3", "stage 'first' is over: its steps was 2, is 3"),
    ],
)
def test_what_decides_a_run_is_not_changed_on_the_way(config, begun, begun_before, network, old, new, words, early):
    change(config, old, new)
    with pytest.raises(TrainingError, match=words):
        TrainingRun(read_config(config), network, begun_before if early else begun).resume()


@pytest.mark.parametrize("early", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["", "begun before"])
def test_its_classes_are_not_changed_on_the_way(config, begun, begun_before, tmp_path, early):
    shutil.copytree(begun_before if early else begun, tmp_path / "run")
    change(config, '["grasper", "hook"]', '["grasper", "hook", "stapler"]')
    with pytest.raises(TrainingError, match=r"other classes \(stapler"):
        start(config, tmp_path / "run")


@pytest.mark.parametrize("early", [False, True], ids=["", "begun before"])
def test_what_is_still_to_come_may_be_changed(config, begun, begun_before, tmp_path, early):
    shutil.copytree(begun_before if early else begun, tmp_path / "run")
    head, second = config.read_text().split('name = "second"')
    second = second.replace("steps = 2", "steps = 5").replace("1e-3", "1e-4")
    config.write_text(f'{head}name = "second"{second}\n[validation]\nevery = 100\ncases = 1\n')
    run, _ = start(config, tmp_path / "run")
    assert (run.step, run.config.steps) == (3, 7)


def test_a_damaged_checkpoint_is_said(config, begun, tmp_path):
    shutil.copytree(begun, tmp_path / "run")
    path = tmp_path / "run" / "last.pt"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(TrainingError, match=r"last\.pt is damaged"):
        start(config, tmp_path / "run")
    torch.save({"model": {}}, path)
    with pytest.raises(TrainingError, match="was not written by a run"):
        start(config, tmp_path / "run")


def test_a_finished_run_says_so(config, tmp_path, capsys):
    command = ["train", str(config), "--out", str(tmp_path / "run"), "--workers", "0"]
    assert main(command) == 0
    told = capsys.readouterr().out
    assert "finished already" not in told
    assert "curves.png" not in told  # of which there is none yet
    assert not (tmp_path / "run" / "curves.png").exists()
    assert main(command) == 0
    assert "This run is already finished" in capsys.readouterr().out


def test_other_recordings_are_told_of(config, draw_davis, tmp_path):
    change(config, "laparoscopy", "recorded")
    first, second = draw_davis(tmp_path / "a"), draw_davis(tmp_path / "b", 7)
    run, data = start(config, tmp_path / "run", recorded=[first])
    run.learner.take_step(data[0])
    run.save()
    start(config, tmp_path / "run", recorded=[first])  # a warning would be an error
    with pytest.warns(UserWarning, match=r"started with other recorded videos \(v: 6 frames of 1 objects\)"):
        start(config, tmp_path / "run", recorded=[second])


@pytest.mark.slow
def test_steps_taken_again_are_written_once(config, tmp_path, monkeypatch):
    monkeypatch.setattr("napari_sam2s.training.loop.LOG_STEPS", 1)
    run, data = start(config, tmp_path / "run")
    for step in range(4):
        run._log(*run.learner.take_step(data[step]))
        if step == 1:
            run.save()
    again, data = start(config, tmp_path / "run")
    again.train(data, workers=0, report=lambda line: None)
    with (tmp_path / "run" / "curve.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["1", "2", "3", "4"]


def test_a_row_that_was_cut_off_is_forgotten(tmp_path):
    path = tmp_path / "curve.csv"
    forget_after(path, 10)
    for step in (10, 20, 30):
        append_row(path, {"step": step, "dice": 0.5})
    with path.open("a") as file:
        file.write("4")
    forget_after(path, 20)
    assert path.read_text().split() == ["step,dice", "10,0.50000", "20,0.50000"]
    path.write_text("ste")  # not even the names of the columns
    forget_after(path, 20)
    append_row(path, {"step": 30, "dice": 0.5})
    assert path.read_text().split() == ["step,dice", "30,0.50000"]


@pytest.mark.slow
def test_what_fails_in_validation_was_saved_before_and_is_judged_later(config, tmp_path):
    config.write_text(config.read_text() + "\n[validation]\nevery = 2\ncases = 1\n")
    run, data = start(config, tmp_path / "run")

    def fails(model):
        raise RuntimeError("no space left")

    run.validator = fails
    with pytest.raises(RuntimeError, match="no space"):
        run.train(data, workers=0, report=lambda line: None)
    again, data = start(config, tmp_path / "run")
    assert again.step == 2
    scores = iter([0.4, 0.6])
    again.validator = lambda model: {"laparoscopy": next(scores)}
    again.train(data, workers=0, report=lambda line: None)
    with (tmp_path / "run" / "validation.csv").open() as file:
        assert [(row["step"], float(row["mean"])) for row in csv.DictReader(file)] == [("2", 0.4), ("4", 0.6)]


@pytest.mark.slow
@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_waits_for_the_step_and_is_saved(config, tmp_path):
    """Ctrl-C in the middle of the second step: the run stops after it, and goes on to what it would have been."""
    whole, data = start(config, tmp_path / "whole")
    whole.train(data, workers=0, report=lambda line: None)
    run, data = start(config, tmp_path / "run")
    learn = run.learner._learn

    def interrupted(*args, **kwargs):
        if run.step == 1:
            signal.raise_signal(signal.SIGINT)
        return learn(*args, **kwargs)

    run.learner._learn = interrupted
    with pytest.raises(KeyboardInterrupt):
        run.train(data, workers=0, report=lambda line: None)
    again, data = start(config, tmp_path / "run")
    assert again.step == 2
    again.train(data, workers=0, report=lambda line: None)
    for name, value in whole.learner.model.state_dict().items():
        assert torch.equal(value, again.learner.model.state_dict()[name]), name


@pytest.mark.long  # three processes that import torch; the interrupt alone is the test before
@pytest.mark.skipif(sys.platform == "win32", reason="interrupts a group of processes, as a terminal does")
@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_on_the_command_line(config, tmp_path):
    """While a worker process makes clips, which the terminal interrupts as well."""
    change(config, "\nsteps = 2", "\nsteps = 5000")
    run = "import napari_sam2s.training.loop as l, sys; l.LOG_STEPS = 1; from napari_sam2s.cli import main; sys.exit(main())"
    command = [sys.executable, "-P", "-c", run, "train", str(config), "--out", str(tmp_path / "run"), "--threads", "1"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    curve, late = tmp_path / "run" / "curve.csv", time.monotonic() + 300
    while not (curve.exists() and curve.read_text().count("\n") > 3) and process.poll() is None:
        assert time.monotonic() < late
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=300)[1]
    assert process.returncode == 130
    assert "the same command resumes it" in said
    assert "Traceback" not in said
    state = torch.load(tmp_path / "run" / "last.pt", weights_only=True)
    assert f"Stopped after step {state['step']}," in said
    assert state["step"] >= 3


def test_gradients_that_are_not_finite_are_told(config, tmp_path):
    run, data = start(config, tmp_path / "run")
    batch = data[0]
    run.learner.model.no_mem_embed.register_hook(lambda gradient: gradient * float("nan"))
    before = run.learner.model.no_mem_embed.detach().clone()
    with pytest.warns(UserWarning, match=r"gradients of step 0 have the norm nan \(clips laparoscopy-"):
        run.learner.take_step(batch)
    assert torch.equal(run.learner.model.no_mem_embed, before)
    run.learner._skipped = SKIPPED_STEPS - 1
    with pytest.raises(TrainingError, match=f"gradients of {SKIPPED_STEPS} steps in a row.*start again"):
        run.learner.take_step(batch)


def test_a_run_within_a_time_is_not_gone_on_with(config, tmp_path):
    run, _ = start(config, tmp_path / "run")
    run.one_sitting = True
    run.save()
    with pytest.raises(TrainingError, match="cannot be resumed"):
        start(config, tmp_path / "run")


def test_a_run_is_not_gone_on_with_other_text_embeddings(config, tmp_path):
    run = taken(config, tmp_path / "run", 1)
    other = TrainingRun(replace(run.config), run.learner.model, tmp_path / "run")
    other.learner.model.semantic.set_classes(["grasper", "hook"], torch.eye(2, other.learner.model.config.text_dim))
    with pytest.raises(TrainingError, match="other text embeddings"):
        other.resume()
    save_atomically({}, tmp_path / "run" / "model.pt")  # from which early checkpoints are completed
    of_before(tmp_path / "run")
    assert other.resume()

"""Training the built-in model: its material, and runs that fit into a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_sam2s import load_model
from napari_sam2s.training.training_config import read_config
from research.material import Material
from research.train import main

RECIPES = Path(__file__).parents[2] / "research" / "recipes"
CONFIG = """
model = "sam2s-nano"
seed = 3
image_size = 64
max_objects = 1
weight_decay = 0.05
clip_gradient = 1.0
warmup_steps = 2
ema = 0.9
loss_stride = 1
families = {{{family} = 1.0}}

[[stages]]
name = "only"
steps = 2
frames = 1
batch = 1
learning_rate = 1e-3
"""


def write(folder, family="laparoscopy", more=""):
    path = folder / "c.toml"
    path.write_text(CONFIG.format(family=family) + more)
    return path


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda p: p.name)
def test_recipes_are_valid(path):
    assert read_config(path).steps > 0


@pytest.mark.slow
def test_a_run_fits_into_a_time(tmp_path, capsys):
    command = [str(write(tmp_path)), "--out", str(tmp_path / "run"), "--workers", "0", "--threads", "1", "--within", "0.01"]
    assert main(command) == 0
    made = load_model(tmp_path / "run" / "model.pt", device="cpu").metadata["provenance"]
    assert made["step"] == sum(stage["steps"] for stage in made["config"]["stages"]) > 0
    assert main(command) == 2  # no second sitting
    assert "cannot be resumed" in capsys.readouterr().err
    for minutes in ("-1", "0", "nan"):
        assert main([*command[:2], str(tmp_path / "other"), "--within", minutes]) == 2
        assert "above 0" in capsys.readouterr().err


def test_a_run_within_a_time_makes_a_step_of_each_batch(tmp_path, capsys):
    config = write(tmp_path, more="accumulate = 2\n")
    assert main([str(config), "--out", str(tmp_path / "run"), "--within", "1", "--workers", "0"]) == 2
    assert "accumulate = 1" in capsys.readouterr().err


@pytest.mark.slow
def test_composites_are_learned_from_and_judged_on(tmp_path, capsys):
    pytest.importorskip("cv2")
    pytest.importorskip("skimage")
    rng = np.random.default_rng(0)
    video = np.repeat(rng.integers(0, 255, (1, 8, 12, 3), np.uint8), 4, axis=0).repeat(8, 1).repeat(8, 2)
    cutout = np.full((40, 40, 4), 255, np.uint8)
    cutout[:4, :, 3] = 0
    Material([video], [cutout], [], [cutout]).save(tmp_path / "train.npz")
    validation = '[validation]\nevery = 2\ncases = 1\nfamilies = ["composites"]\n'
    command = [
        str(write(tmp_path, "composites", validation)),
        "--out",
        str(tmp_path / "run"),
        "--workers",
        "0",
        "--threads",
        "1",
    ]
    given = ["--material", str(tmp_path / "train.npz")]
    assert main(command + given) == 2
    assert "nothing to validate 'composites'" in capsys.readouterr().err
    assert main([*command, *given, "--held-out", str(tmp_path / "none.npz")]) == 2
    assert "there is no" in capsys.readouterr().err
    assert main(["x.toml", *command[1:]]) == 2
    assert "no configuration" in capsys.readouterr().err
    assert main([*command, *given, "--held-out", str(tmp_path / "train.npz")]) == 0
    assert (tmp_path / "run" / "validation.csv").read_text().startswith("step,composites,mean")
    with pytest.warns(UserWarning, match="--material is not used"):
        main([str(write(tmp_path, "cells")), "--out", str(tmp_path / "other"), *given, "--workers", "0", "--threads", "1"])

"""Several processes train together through accelerate, as on several GPUs; torchrun starts them on CPUs as well."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from napari_sam2s.training.setup import start


@pytest.fixture
def config(write_config):
    stage = {"steps": 3, "frames": 3, "images": 0.3, "learning_rate": 5e-4, "accumulate": 1}
    return write_config(stage, more='class_names = ["grasper", "hook"]')


@pytest.mark.long
def test_two_processes_learn_what_one_learns_of_both_their_batches(config, tmp_path):
    pytest.importorskip("accelerate")
    together, alone = config, tmp_path / "alone.toml"
    alone.write_text(config.read_text().replace("accumulate = 1", "accumulate = 2"))
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "-m", "napari_sam2s.cli", "train"]
    words = [*launch, str(together), "--out", str(tmp_path / "two"), "--threads", "1", "--workers", "0"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    env.pop("ACCELERATE_USE_CPU", None)  # it must not take this for the processes to find each other
    done = subprocess.run(words, capture_output=True, text=True, timeout=600, check=False, env=env)
    assert done.returncode == 0, done.stderr[-2000:]

    run, data = start(alone, tmp_path / "one", threads=1)
    before = {name: value.clone() for name, value in run.learner.model.state_dict().items()}
    run.train(data, workers=0)
    two = torch.load(tmp_path / "two" / "last.pt", weights_only=True)
    assert two["step"] == 3
    moved = apart = 0.0
    for name, value in run.learner.model.state_dict().items():
        if value.is_floating_point():
            moved += float((value - before[name]).double().square().sum())
            apart += float((value - two["model"][name]).double().square().sum())
    assert moved > 0
    assert apart < 1e-6 * moved  # gradients are averaged, so the same is learned


SKEWED = """
import os, sys, time
from napari_sam2s.training.loop import TrainingRun
if os.environ["RANK"] == "{late}":
    train = TrainingRun.train
    def late(self, *args, **kwargs):
        time.sleep(2)
        return train(self, *args, **kwargs)
    TrainingRun.train = late
from napari_sam2s.cli import main
sys.exit(main())
"""


@pytest.mark.long
@pytest.mark.parametrize("late", [0, 1])
def test_processes_whose_clocks_differ_stop_together(config, tmp_path, late):
    """Each would stop after its own 3 seconds, and the other wait for it in vain."""
    pytest.importorskip("accelerate")
    script = tmp_path / "skewed.py"
    config.write_text(config.read_text().replace("steps = 3", "steps = 400").replace("frames = 3", "frames = 1"))
    script.write_text(SKEWED.format(late=late))
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", str(script), "train"]
    words = [*launch, str(config), "--out", str(tmp_path / "run"), "--threads", "1", "--workers", "0", "--minutes", "0.05"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    env.pop("ACCELERATE_USE_CPU", None)
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False, env=env)
    assert done.returncode == 0, done.stderr[-2000:]
    assert 0 < torch.load(tmp_path / "run" / "last.pt", weights_only=True)["step"] < 400

"""Several processes train together through accelerate, as on several GPUs; torchrun starts them on CPUs as well."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from napari_sam2s.training.setup import start

CONFIG = """
model = "sam2s-nano"
seed = 3
image_size = 64
max_objects = 1
weight_decay = 0.05
clip_gradient = 1.0
warmup_steps = 1
ema = 0.9
loss_stride = 1
class_names = ["grasper", "hook"]

[families]
laparoscopy = 1.0

[[stages]]
name = "video"
steps = 3
frames = 3
batch = 1
accumulate = 1
learning_rate = 5e-4
divemem = 0.0
images = 0.3
"""


@pytest.mark.slow
def test_two_processes_learn_what_one_learns_of_both_their_batches(tmp_path):
    pytest.importorskip("accelerate")
    together, alone = tmp_path / "together.toml", tmp_path / "alone.toml"
    together.write_text(CONFIG)
    alone.write_text(CONFIG.replace("accumulate = 1", "accumulate = 2"))
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "-m", "napari_sam2s.cli", "train"]
    words = [*launch, str(together), "--out", str(tmp_path / "two"), "--threads", "1", "--workers", "0"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    env.pop("ACCELERATE_USE_CPU", None)  # it must not take this for the processes to find each other
    done = subprocess.run(words, capture_output=True, text=True, timeout=600, check=False, env=env)
    assert done.returncode == 0, done.stderr[-2000:]

    threads = torch.get_num_threads()
    run, data = start(alone, tmp_path / "one", threads=1)
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    run.train(data, workers=0)
    torch.set_num_threads(threads)
    two = torch.load(tmp_path / "two" / "last.pt", weights_only=True)
    assert two["step"] == 3
    moved = apart = 0.0
    for name, value in run.model.state_dict().items():
        if value.is_floating_point():
            moved += float((value - before[name]).double().square().sum())
            apart += float((value - two["model"][name]).double().square().sum())
    assert moved > 0
    assert apart < 1e-6 * moved  # gradients are averaged, so the same is learned


SKEWED = """
import os, sys, time
from napari_sam2s.training.loop import Run
if os.environ["RANK"] == "{late}":
    train = Run.train
    def late(self, *args, **kwargs):
        time.sleep(2)
        return train(self, *args, **kwargs)
    Run.train = late
from napari_sam2s.cli import main
sys.exit(main())
"""


@pytest.mark.slow
@pytest.mark.parametrize("late", [0, 1])
def test_processes_whose_clocks_differ_stop_together(tmp_path, late):
    """Each would stop after its own 3 seconds, and the other wait for it in vain."""
    pytest.importorskip("accelerate")
    config, script = tmp_path / "c.toml", tmp_path / "skewed.py"
    config.write_text(CONFIG.replace("steps = 3", "steps = 400").replace("frames = 3", "frames = 1"))
    script.write_text(SKEWED.format(late=late))
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", str(script), "train"]
    words = [*launch, str(config), "--out", str(tmp_path / "run"), "--threads", "1", "--workers", "0", "--minutes", "0.05"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    env.pop("ACCELERATE_USE_CPU", None)
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False, env=env)
    assert done.returncode == 0, done.stderr[-2000:]
    assert 0 < torch.load(tmp_path / "run" / "last.pt", weights_only=True)["step"] < 400

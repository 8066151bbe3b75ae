"""What the tests of training share: a small configuration, and one thread, so that the same numbers come out twice."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

CONFIG = """
model = "sam2s-nano"
seed = 3
image_size = 64
max_objects = {objects}
weight_decay = 0.05
clip_gradient = 1.0
warmup_steps = 2
ema = 0.9
loss_stride = 1
{more}

[families]
{family} = 1.0
"""
STAGE = {"name": "only", "steps": 2, "frames": 1, "batch": 1, "learning_rate": 1e-3, "divemem": 0.0, "images": 0.0}


@pytest.fixture(scope="session")
def config_text():
    """Make a configuration, each of whose stages is a dictionary of what is not as in ``STAGE``."""

    def make(*stages, objects=1, family="laparoscopy", more=""):
        text = CONFIG.format(objects=objects, family=family, more=more)
        for stage in stages or ({},):
            text += "\n[[stages]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in (STAGE | stage).items())
        return text

    return make


@pytest.fixture
def write_config(tmp_path, config_text):
    """Write a configuration."""

    def write(*stages, **settings):
        path = tmp_path / "c.toml"
        path.write_text(config_text(*stages, **settings))
        return path

    return write


@pytest.fixture
def draw_davis():
    """Draw a DAVIS root of one video of a square that moves."""

    def draw(root, frames=6, annotated=None, name="v", drawn=True):
        for kind in ("JPEGImages", "Annotations"):
            (root / kind / name).mkdir(parents=True)
        for t in range(frames):
            mask = np.zeros((64, 64), np.uint8)
            mask[20:40, 5 + 2 * t : 25 + 2 * t] = 1
            Image.fromarray(np.repeat(40 + 180 * mask[..., None], 3, axis=2)).save(root / "JPEGImages" / name / f"{t:05d}.jpg")
            if annotated is None or t in annotated:
                Image.fromarray(mask * drawn).save(root / "Annotations" / name / f"{t:05d}.png")
        return root

    return draw


@pytest.fixture(autouse=True)
def one_thread():
    """Threads would add up in another order, and start slower than they help on such small networks."""
    kept = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(kept)

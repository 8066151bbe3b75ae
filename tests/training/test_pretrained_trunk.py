"""Training beside a pretrained trunk: it is frozen or slow, and an earlier checkpoint may lack what is called new."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from napari_sam2s.errors import TrainingError
from napari_sam2s.model.network import SAM2S
from napari_sam2s.model.network_config import CONFIGS, NANO_LITE
from napari_sam2s.training.optimizer import make_optimizer
from napari_sam2s.training.setup import start
from napari_sam2s.training.training_config import read_config

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
init = "INIT"
SETTINGS
[families]
laparoscopy = 1.0
[[stages]]
name = "video"
steps = 2
frames = 3
batch = 1
learning_rate = 1e-3
images = 0.0
"""
NEW = '["image_encoder.trunk.lite.", "image_encoder.trunk.joins.", "interactive.joins.", "matching."]'


@pytest.fixture
def config(tmp_path):
    def make(init, settings=""):
        path = tmp_path / "c.toml"
        path.write_text(CONFIG.replace("INIT", str(init)).replace("SETTINGS", settings))
        return path

    return make


PRETRAINED = ("image_encoder.trunk.lite.", "interactive.deep.")


@pytest.fixture
def earlier(tmp_path):
    """A checkpoint of nano without a pretrained trunk, with a head for first prompts."""
    torch.manual_seed(1)
    return saved(tmp_path / "earlier.pt", replace(CONFIGS["sam2s-nano"], image_size=64, interactive=True))


@pytest.fixture
def beside(tmp_path):
    torch.manual_seed(1)
    compared = {"match_dim": 20, "match_pretrained": 16, "match_unit": True, "prompt_likeness": 12}
    compared |= {"prompt_unit": 16, "prompt_deep": True}
    return saved(tmp_path / "beside.pt", replace(NANO_LITE, image_size=64, interactive=True, **compared))


def saved(path, network):
    model = SAM2S(network)
    torch.save({"model": model.state_dict(), "config": network.to_dict(), "sam2s": {}}, path)
    return path


def one_step(run, data):
    before = {n: w.clone() for n, w in run.learner.model.state_dict().items()}
    run.learner.take_step(data[0])
    return {n for n, w in run.learner.model.state_dict().items() if not torch.equal(w, before[n])}


@pytest.mark.slow
def test_a_frozen_trunk_stays_as_it_is_to_the_bit(config, beside, tmp_path):
    run, data = start(config(beside, "trunk_rate = 0.0"), tmp_path / "run")
    changed = one_step(run, data)
    assert not any(n.startswith(PRETRAINED) for n in changed)
    assert {"matching.pretrained.fine.weight", "image_encoder.trunk.joins.0.weight", "matching.fine.weight"} <= changed


def test_a_trunk_with_a_rate_of_its_own_learns_so_much_slower(config, beside, tmp_path):
    run, data = start(config(beside, "trunk_rate = 0.1"), tmp_path / "run")
    factor = {id(p): g["factor"] for g in make_optimizer(run.learner.model, run.config).param_groups for p in g["params"]}
    factors = {n: factor[id(p)] for n, p in run.learner.model.named_parameters()}
    assert {f for n, f in factors.items() if n.startswith(PRETRAINED)} == {0.1}
    assert {f for n, f in factors.items() if not n.startswith(PRETRAINED)} == {1.0}
    assert any(n.startswith(PRETRAINED) for n in one_step(run, data))


def test_the_architecture_of_a_pretrained_checkpoint_is_kept(config, beside, tmp_path):
    run, _ = start(config(beside), tmp_path / "run")
    kept = run.learner.model.config
    assert (kept.match_dim, kept.match_pretrained, kept.match_unit, kept.prompt_likeness) == (20, 16, True, 12)
    assert (kept.prompt_unit, kept.prompt_deep) == (16, True)
    state = torch.load(beside, weights_only=True)["model"]
    assert all(torch.equal(w, state[n]) for n, w in run.learner.model.state_dict().items())


def test_a_checkpoint_of_other_shapes_starts_a_run_that_says_what_is_new(config, earlier, tmp_path):
    with pytest.raises(TrainingError, match=r"does not fit sam2s-nano: matching\.mix\.0\.weight"):
        start(config(earlier, 'trunk = "efficientnet_lite"'), tmp_path / "run")
    some = NEW.replace('"image_encoder.trunk.lite.", ', "")
    with pytest.raises(TrainingError, match=r"lacks image_encoder\.trunk\.lite"):
        start(config(earlier, f'trunk = "efficientnet_lite"\nnew_parts = {some}'), tmp_path / "run")
    run, _ = start(config(earlier, f'trunk = "efficientnet_lite"\nnew_parts = {NEW}'), tmp_path / "run")
    state = torch.load(earlier, weights_only=True)["model"]
    own = run.learner.model.state_dict()
    assert run.learner.model.config.trunk.kind == "efficientnet_lite"
    assert torch.equal(own["interactive.stages.0.0.weight"], state["interactive.stages.0.0.weight"])
    assert torch.equal(own["matching.fine.weight"], state["matching.fine.weight"])  # fits, so it is not new
    assert own["matching.mix.0.weight"].shape != state["matching.mix.0.weight"].shape


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ('trunk = "resnet"', "trunk can only be 'efficientnet_lite'"),
        ("trunk_rate = -1.0", "trunk_rate must be at least 0"),
        ('new_parts = "matching."', "new_parts = 'matching.' in TrainingConfig is not a list of texts"),
    ],
)
def test_wrong_settings_are_refused_in_a_sentence(config, settings, message):
    with pytest.raises(TrainingError, match=message):
        read_config(config("x.pt", settings))

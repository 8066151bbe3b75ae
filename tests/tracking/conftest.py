"""Small networks with seeded random weights, and clips to run them on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_sam2s.model.edgetam import EdgeTAM
from napari_sam2s.model.network import SAM2S
from napari_sam2s.model.network_config import CONFIGS, EDGETAM
from tests.fakes import AttentiveModel


@pytest.fixture(scope="session")
def random_nano():
    """A nano of 64 px whose objects are always there."""
    return make_nano()


@pytest.fixture(scope="session")
def attentive():
    """No network, but a model for whatever is not about networks: each mask depends on all that is remembered."""
    return AttentiveModel()


@pytest.fixture
def another_nano():
    """The same, to be changed."""
    return make_nano()


def make_nano(**changes):
    """Return a seeded nano of 64 px."""
    torch.manual_seed(0)
    model = SAM2S(replace(CONFIGS["sam2s-nano"], image_size=64, **changes))
    model.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.data.fill_(8.0)
    model.requires_grad_(False)
    return model.eval()


@pytest.fixture(scope="session")
def small_edgetam():
    """An EdgeTAM of 64 px with a short trunk and 4 + 4 latents, whose objects are always there."""
    torch.manual_seed(0)
    trunk = replace(EDGETAM.trunk, stages=(2, 1, 1, 1), widths=(16, 16, 24, 32))
    narrow = {"hidden_dim": 64, "memory_dim": 16, "attention_feedforward": 64, "decoder_heads": 4, "decoder_feedforward": 64}
    model = EdgeTAM(replace(EDGETAM, trunk=trunk, image_size=64, latents=4, latent_side=2, **narrow))
    for name, parameter in model.named_parameters():  # livelier than they start: what is remembered has to matter
        if (parameter.ndim > 1 and name.endswith("weight")) or name.endswith("gamma"):
            parameter.data.normal_(std=parameter[0].numel() ** -0.5)
    model.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.data.fill_(8.0)
    return model.requires_grad_(False).eval()


@pytest.fixture(scope="session")
def clip():
    """Forty frames of drifting noise, 48 x 80."""
    rng = np.random.default_rng(0)
    ground = rng.integers(0, 255, (60, 140, 3), dtype=np.uint8)
    return np.stack([ground[t // 6 : t // 6 + 48, t : t + 80] for t in range(40)])

"""EfficientTAM with the same weights, clip and prompts gives the logits of its authors' code; its files are recognised."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_sam2s import load_model
from napari_sam2s.errors import ModelError

_spec = importlib.util.spec_from_file_location("efficienttam_parity", Path(__file__).with_name("efficienttam_parity.py"))
efficienttam_parity = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(efficienttam_parity)
parity = efficienttam_parity.parity


@pytest.fixture(scope="module")
def golden():
    return np.load(parity.GOLDEN / "efficienttam.npz")


@pytest.mark.parametrize(
    "scenario", [pytest.param(efficienttam_parity.FEW[0], marks=pytest.mark.slow), *efficienttam_parity.FEW[1:]]
)
def test_against_golden_file(golden, scenario):
    side = efficienttam_parity.SMALL
    with parity.float_memories():
        parity.check_golden(parity.run_ours(efficienttam_parity.our_model(side), scenario, side), golden, scenario)


def test_a_file_is_recognised_and_what_is_wrong_with_it_named(tmp_path):
    shapes = efficienttam_parity.our_model(efficienttam_parity.SMALL).state_dict()
    weights = {name: torch.zeros(()).expand(like.shape) for name, like in shapes.items()}  # which take no room in a file
    path = tmp_path / "efficienttam_ti.pt"
    torch.save({"model": weights}, path)
    model = load_model(path, device="cpu", image_size=512)
    assert model.describe()["model"] == "efficienttam-ti"
    assert sum(p.numel() for p in model.parameters()) == 17_866_018
    name = "image_encoder.neck.convs.0.norm_0.weight"
    for change, words in (
        ({name: torch.ones(7)}, rf"of another shape \({name}\)"),
        ({name: weights[name] * float("nan")}, rf"damaged: 1 tensor has numbers that are not finite \({name}\)"),
        ({"slots": torch.zeros(1)}, r"1 tensor is unknown \(slots\)"),
        (
            {"image_encoder.trunk.patch_embed.proj.weight": torch.zeros(7, 3, 16, 16)},
            "an EfficientTAM 7 wide",
        ),
    ):
        torch.save(weights | change, path)
        with pytest.raises(ModelError, match=words):
            load_model(path, device="cpu", image_size=512)
    torch.save(weights, tmp_path / "efficienttam_ti_1.pt")
    with pytest.raises(ModelError, match="name of an EfficientTAM with pooled memories"):
        load_model(tmp_path / "efficienttam_ti_1.pt", device="cpu", image_size=512)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(ModelError, match="cut short or damaged"):
        load_model(path, device="cpu")

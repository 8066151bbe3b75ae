"""Loading SAM 3's tracker: the official file, that of transformers, and what is wrong with files."""

from __future__ import annotations

import gzip
import importlib.util
import re
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from napari_sam2s import load_model
from napari_sam2s.errors import InputSizeUnknown, ModelError
from napari_sam2s.model import checkpoints
from napari_sam2s.model.checkpoint_file import Checkpoint
from napari_sam2s.model.input_size import input_size
from napari_sam2s.model.network_config import SAM3
from napari_sam2s.model.sam3 import Sam3Tracker
from napari_sam2s.model.sam3_weights import own_weights
from napari_sam2s.model.speed import apply_speed, fast_speed

_spec = importlib.util.spec_from_file_location("sam3_parity", Path(__file__).parents[1] / "tracking" / "sam3_parity.py")
sam3_parity = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(sam3_parity)
CONFIG, SIDE = sam3_parity.CONFIG, sam3_parity.SIDE
GOLDEN = Path(__file__).parent / "golden"  # names and shapes of all tensors: official of ``sam3`` 0.1.4, and transformers 5.24
DETECTOR = "detector.transformer.encoder.layers.0.linear1.weight"
QKV = "detector.backbone.vision_backbone.trunk.blocks.0.attn.qkv.weight"
TABLE = "detector.backbone.vision_backbone.trunk.blocks.1.attn.freqs_cis"


@pytest.fixture(scope="module")
def weights():
    table = torch.zeros(CONFIG.grid**2, 16, dtype=torch.complex64)
    return sam3_parity.seeded_weights() | {DETECTOR: torch.zeros(3), TABLE: table}


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    """Take a file of SAM 3 for the small network, in which blocks 1 and 3 see everything."""
    monkeypatch.setattr(checkpoints, "SAM3", CONFIG)
    monkeypatch.setattr(checkpoints, "check_image_size", lambda size: None)  # of no published network
    monkeypatch.setattr("napari_sam2s.model.input_size.SAM3", CONFIG)


@pytest.mark.parametrize("layout", ["official", "transformers"])
def test_the_whole_network_is_in_the_published_layouts(layout):
    shapes = _shapes(layout)
    place = torch.zeros(2, 128)  # compared by its numbers, as transformers has it twice
    listed = {n: place if "positional_embedding" in n else torch.zeros(s, device="meta") for n, s in shapes.items()}
    with torch.device("meta"):
        own = Sam3Tracker(SAM3).state_dict()
    found = own_weights(listed, SAM3.trunk.num_heads)
    assert {name: weight.shape for name, weight in found.items()} == {name: weight.shape for name, weight in own.items()}
    assert sum(weight.numel() for weight in own.values()) == 464_929_922


def test_both_layouts_give_the_same_network(weights, tmp_path):
    own = sam3_parity.our_model().state_dict()
    torch.save({"model": weights}, tmp_path / "sam3.pt")
    for file, prefix in (("whole", "tracker_model."), ("tracker", "")):
        save_file({n: w.clone() for n, w in _of_transformers(weights, prefix).items()}, tmp_path / f"{file}.safetensors")
    files = ("sam3.pt", "whole.safetensors", "tracker.safetensors")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        models = [load_model(tmp_path / file, device="cpu", image_size=SIDE) for file in files]
    for model in models:
        assert isinstance(model, Sam3Tracker)
        assert not model.metadata.get("differences")
        assert model.state_dict().keys() == own.keys()
        assert all(torch.equal(weight, own[name]) for name, weight in model.state_dict().items())
    facts = models[0].facts
    assert (facts.image_size, facts.mask_size, facts.logits_size, facts.most_conditioning) == (168, 192, 48, 4)
    assert models[0].describe()["precision"] == "float32"


def _shapes(layout):
    lines = gzip.decompress((GOLDEN / f"sam3_{layout}.txt.gz").read_bytes()).decode().splitlines()
    return {line.partition(" ")[0]: [int(n) for n in re.findall(r"\d+", line.partition(" (")[2])] for line in lines}


def _of_transformers(weights, prefix):
    """Return weights in the layout of ``facebook/sam3``, or in that of its tracker alone."""
    like = {name: torch.zeros(shape) for name, shape in _shapes("small_transformers").items()}
    named = sam3_parity.renamed(weights, like, CONFIG.trunk.num_heads)
    if not prefix:
        return named
    whole = {"detector_model.detr_encoder.layers.0.mlp.fc1.weight": torch.zeros(3)}
    for name, weight in named.items():
        if name.startswith("vision_encoder.backbone."):
            whole[f"detector_model.{name}"] = weight
        else:
            new = name.replace("vision_encoder.neck.", "tracker_neck.")
            whole[new if new != name else prefix + name] = weight
    return whole


def test_its_size_is_told_by_its_table_and_never_assumed(weights):
    path = Path("sam3.pt")
    assert input_size("sam3.pt", Checkpoint(path, weights), "0" * 64) == SIDE
    with pytest.raises(InputSizeUnknown):
        input_size("sam3.pt", Checkpoint(path, {n: w for n, w in weights.items() if n != TABLE}), "0" * 64)
    for size in (1024, 512, 1000):
        with pytest.raises(ModelError, match="take a multiple of 336 from 64 to 8192, such as 1008"):
            replace(SAM3, image_size=size)
    assert replace(SAM3, image_size=672).grid == 48
    with pytest.raises(ModelError, match="take a multiple of 32 from 64 to 8192"):
        replace(checkpoints.EDGETAM, image_size=1008)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda w: {n: v for n, v in w.items() if not n.startswith("tracker.")}, "is SAM 3's detector without its tracker"),
        (lambda w: {n: v for n, v in w.items() if n != "tracker.no_obj_ptr"}, r"fit sam3: 1 tensor is missing \(no_obj_ptr\)"),
        (lambda w: w | {"tracker.slots": torch.zeros(1)}, r"1 tensor is unknown \(slots\)"),
        (lambda w: w | {"tracker.no_obj_ptr": torch.zeros(7)}, r"of another shape \(no_obj_ptr\)"),
        (
            lambda w: w | {TABLE: torch.zeros(()), QKV: torch.zeros(())},
            r"of another shape \(image_encoder.trunk.blocks.0.attn.qkv",
        ),
        (lambda w: w | {"tracker.no_obj_ptr": w["tracker.no_obj_ptr"] / 0}, r"damaged: 1 tensor has .* \(no_obj_ptr\)"),
    ],
)
def test_what_does_not_fit_is_named(weights, tmp_path, change, words):
    torch.save({"model": change(weights)}, tmp_path / "sam3.pt")
    with pytest.raises(ModelError, match=words):
        load_model(tmp_path / "sam3.pt", device="cpu")


def test_a_cut_file(weights, tmp_path):
    path = tmp_path / "sam3.pt"
    torch.save(weights, path)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(ModelError, match="cut short or damaged"):
        load_model(path, device="cpu")


def test_shortcuts_and_mixed_precision_change_little(weights, tmp_path):
    torch.save(weights, tmp_path / "sam3.pt")
    frame = sam3_parity._clip()[0]
    exact = load_model(tmp_path / "sam3.pt", device="cpu").encode_frame(frame).embedding
    models = [load_model(tmp_path / "sam3.pt", device="cpu", dtype=torch.bfloat16)]
    for trunk in ("bf16", "int8"):
        models.append(load_model(tmp_path / "sam3.pt", device="cpu"))
        apply_speed(models[-1], replace(fast_speed(CONFIG, models[-1].device), trunk=trunk))
    for model in models:
        near = model.encode_frame(frame).embedding
        assert 0 < float((near - exact).norm() / exact.norm()) < 0.05

"""At which size a fine-tune is run: known from somewhere, or asked for; never assumed."""

from __future__ import annotations

import argparse
import json
import pickle
from dataclasses import replace

import pytest
import torch

from napari_sam2s import load_model
from napari_sam2s.errors import InputSizeUnknown, ModelError
from napari_sam2s.model import input_size as module
from napari_sam2s.model.checkpoint_file import Checkpoint
from napari_sam2s.model.input_size import input_size, only_size
from napari_sam2s.model.model_registry import registry
from napari_sam2s.model.network import SAM2S
from napari_sam2s.model.network_config import CONFIGS
from napari_sam2s.model.own_models import add_model, remember_size
from napari_sam2s.training.checkpoint import model_state


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setenv("SAM2S_MODEL_DIR", str(tmp_path / "kept"))
    path = tmp_path / "lab.pt"
    path.write_bytes(b"weights")
    return Checkpoint(path, {})


def size(file, sha256="0" * 64, name="lab.pt"):
    return input_size(name, file, sha256)


def test_a_file_that_nobody_knows_is_asked_for(file):
    with pytest.raises(InputSizeUnknown, match=r"models add .*lab\.pt --input-size N.*1024.*512.*image_size=N") as told:
        size(file)
    assert pickle.loads(pickle.dumps(told.value)).path == str(file.path)


def test_what_a_user_is_told_to_type_is_that_file(file, tmp_path):
    path = tmp_path / "mein Modell.pt"
    with pytest.raises(InputSizeUnknown, match=rf"models add '{path}' --input-size N"):
        size(Checkpoint(path, {}))


def test_a_size_that_the_network_cannot_have_names_the_file_that_says_it(tmp_path):
    with torch.device("meta"):
        shapes = SAM2S(CONFIGS["sam2.1-tiny"]).state_dict()
    weights = {name: torch.zeros(()).expand(like.shape) for name, like in shapes.items()}  # which take no room in a file
    torch.save({"model": weights, "args": {"image_size": 1008}}, tmp_path / "lab.pt")
    with pytest.raises(ModelError, match=r"lab\.pt: image_size=1008 is not possible"):
        load_model(tmp_path / "lab.pt", device="cpu")


def test_each_that_may_know(file):
    assert size(replace(file, beside={"config": {"model": {"image_size": 640}}})) == 640
    assert size(replace(file, config=replace(CONFIGS["sam2.1-tiny"], image_size=768))) == 768
    assert size(file, registry()["medsam2"].sha256) == 512  # under any name
    assert size(file, name="medsam2-us-heart") == 512  # whose hash is not pinned
    file.path.with_suffix(".json").write_text('{"input_size": 448}')
    assert size(file, registry()["medsam2"].sha256) == 448
    add_model(file.path, "lab", 320)
    digest = module.own_models()["lab"].sha256
    assert size(file, digest) == size(file, digest, name="lab") == 320
    remember_size(file.path, 384)
    assert size(file, digest) == 384


@pytest.mark.parametrize(
    ("beside", "found"),
    [
        ({"args": argparse.Namespace(image_size=512, lr=1)}, 512),
        ({"config": {"scratch": {"resolution": 512}, "model": {"image_size": "512"}}}, 512),
        ({"vision_config": {"backbone_config": {"image_size": [1024, 1024]}}}, 1024),
        ({"a": {"image_size": 512}, "b": {"image_size": 1024}}, None),  # two
        ({"image_size": [512, 640]}, None),
        ({"image_size": 500}, None),  # not one that the network can have
        ({"epoch": 3}, None),
    ],
)
def test_what_metadata_say(beside, found):
    assert only_size(beside) == found


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("lab.yaml", "scratch:\n  resolution: 512\nmodel:\n  image_size: ${scratch.resolution}\n", 512),
        ("lab.pt.yml", "model:\n  image_size: 512  # px\n", 512),
        ("lab.yaml", "image_size: 512\nresolution: 1024\n", None),
        ("lab.json", json.dumps({"epochs": 3}), None),
        ("lab.json", "{", "cannot be read"),
        ("lab.yaml", "image_size: 500\n", "multiple of 32"),
    ],
)
def test_what_a_sidecar_says(file, name, text, found):
    file.path.with_name(name).write_text(text)
    if isinstance(found, int):
        assert size(file) == found
        return
    with pytest.raises(ModelError, match=found or "does not say"):
        size(file)


@pytest.mark.slow
def test_our_own_fine_tunes_carry_it(tmp_path, monkeypatch):
    monkeypatch.setenv("SAM2S_MODEL_DIR", str(tmp_path / "kept"))
    tuned = SAM2S(replace(CONFIGS["sam2.1-tiny"], image_size=512))
    torch.save(model_state(tuned, {}), tmp_path / "tuned.pt")
    assert load_model(tmp_path / "tuned.pt", device="cpu").image_size == 512
    assert load_model(tmp_path / "tuned.pt", device="cpu", mode="fast").image_size == 448
    nothing = {name: torch.zeros(()).expand(like.shape) for name, like in tuned.state_dict().items()}
    torch.save({"model": nothing}, tmp_path / "bare.pt")
    with pytest.raises(InputSizeUnknown):
        load_model(tmp_path / "bare.pt", device="cpu")
    remember_size(tmp_path / "bare.pt", 512)
    assert load_model(tmp_path / "bare.pt", device="cpu").image_size == 512

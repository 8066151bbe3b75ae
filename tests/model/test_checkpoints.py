"""Loading: built in, official, fine-tuned, foreign, damaged."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from napari_sam2s import load_model
from napari_sam2s.errors import ModelError
from napari_sam2s.model.checkpoints import WEIGHTS
from napari_sam2s.model.downloads import sha256
from napari_sam2s.model.network import SAM2S
from napari_sam2s.model.network_config import CONFIGS


@pytest.fixture(scope="module")
def tiny():
    torch.manual_seed(0)
    return SAM2S(CONFIGS["sam2.1-tiny"]).state_dict()


def test_the_built_in_model():
    model = load_model()
    assert model.config.name == "sam2s-nano"
    assert len(model.class_names) == 8
    assert model.metadata["sha256"] == sha256(WEIGHTS / "sam2s-nano.pt")
    assert (WEIGHTS / "sam2s-nano.pt").stat().st_size < 16e6
    assert model.metadata["provenance"]["config"]["seed"]
    assert not any(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize(
    "wrap", [lambda w: {"model": w}, lambda w: w, lambda w: {"model": {f"module.{k}": v for k, v in w.items()}}]
)
def test_official_checkpoints_are_recognised(tiny, tmp_path, wrap):
    path = tmp_path / "x.pt"
    torch.save(wrap(tiny), path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = load_model(path, device="cpu", image_size=512)
    assert model.config.name == "sam2.1-tiny"
    assert model.image_size == 512
    torch.testing.assert_close(model.state_dict()["no_mem_embed"], tiny["no_mem_embed"])


def test_safetensors(tiny, tmp_path):
    save_file({k: v.contiguous() for k, v in tiny.items()}, tmp_path / "x.safetensors")
    assert load_model(tmp_path / "x.safetensors", device="cpu").config.name == "sam2.1-tiny"


@pytest.mark.parametrize("name", ["sam2-tiny", "sam2.1-small", "sam2-base-plus"])
def test_sizes_and_versions_are_told_apart(name, tmp_path):
    torch.save({"model": SAM2S(CONFIGS[name]).state_dict()}, tmp_path / "x.pt")
    assert load_model(tmp_path / "x.pt", device="cpu").config.name == name


def test_a_checkpoint_of_sam2s_on_a_sam2_trunk(tmp_path):
    config = replace(CONFIGS["sam2.1-tiny"], long_term=True, semantic=True)
    torch.save({"model": SAM2S(config).state_dict()}, tmp_path / "x.pt")
    model = load_model(tmp_path / "x.pt", device="cpu")
    assert model.long_tpos_enc is not None
    assert model.semantic is not None


def test_missing_and_unknown_keys_are_named(tiny, tmp_path):
    lacking = {k: v for k, v in tiny.items() if k != "no_mem_embed"}
    torch.save({"model": lacking}, tmp_path / "a.pt")
    with pytest.raises(ModelError, match=r"1 tensors are missing \(no_mem_embed\)"):
        load_model(tmp_path / "a.pt", device="cpu")
    torch.save({"model": {**tiny, "extra.weight": torch.zeros(1)}}, tmp_path / "b.pt")
    with pytest.warns(UserWarning, match=r"1 tensors are unknown.*extra\.weight"):
        load_model(tmp_path / "b.pt", device="cpu")


class Evil:
    def __reduce__(self):
        return (print, ("this must never run",))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"nonsense", "not a checkpoint"),
        ({"model": {"a": torch.zeros(1)}}, "not a SAM 2 network"),
        ({"model": {}}, "holds no weights"),
        ([1, 2], "list"),
        ({"model": Evil()}, "not a checkpoint"),
        ({"model": {"a": torch.zeros(1)}, "config": {"name": "x", "wings": 2}}, "newer"),
    ],
)
def test_foreign_and_damaged_files(tmp_path, content, words, capsys):
    path = tmp_path / "x.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(ModelError, match=words):
        load_model(path)
    assert "never run" not in capsys.readouterr().out


def test_a_truncated_file(tiny, tmp_path):
    path = tmp_path / "x.pt"
    torch.save({"model": tiny}, path)
    path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(ModelError, match="damaged"):
        load_model(path)


def test_names_and_devices():
    with pytest.raises(ModelError, match="There is no model 'sam9'"):
        load_model("sam9")
    with pytest.raises(ModelError, match=r"models get sam2\.1-large"):
        load_model("sam2.1-large")
    with pytest.raises(ModelError, match="cannot be used here"):
        load_model(device="cuda:7" if not torch.cuda.is_available() else "xpu")
    with pytest.raises(ModelError, match="multiple of 32"):
        load_model(image_size=100)


def test_the_same_input_gives_the_same_output_twice():
    model, frame = load_model(device="cpu"), np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8)
    with torch.inference_mode():
        a, b = (model.encode(model.prepare(frame)).embedding for _ in range(2))
    assert torch.equal(a, b)

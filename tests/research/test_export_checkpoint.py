"""Packing a checkpoint for shipping."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import pytest
import torch

from napari_sam2s import load_model
from napari_sam2s.errors import ModelError, TrainingError
from napari_sam2s.model.checkpoints import find_weights
from napari_sam2s.model.network import SAM2S
from napari_sam2s.model.network_config import CONFIGS
from napari_sam2s.tracking.policy import find_policy
from napari_sam2s.training.checkpoint import model_state, save_atomically
from research import export_checkpoint as module
from research.export_checkpoint import EIGHT_BITS, pack

pytestmark = pytest.mark.slow  # each packs the whole built-in model


def test_a_packed_model_is_small_and_knows_where_it_came_from(tmp_path):
    config = tmp_path / "a.toml"
    config.write_text("seed = 1\n")
    scores = {"composites": {"mask": {"ours": {"jf": 0.5}}}}
    out = tmp_path / "packed.pt"
    trunk = tmp_path / "lite.pt"
    torch.save({"model": {"a": torch.zeros(1)}, "sam2s": {"provenance": {"licence": "Apache-2.0"}}}, trunk)
    said = {"scores": scores, "configs": [config], "hours": 1.5, "pretrained": trunk}
    pack(find_weights("sam2s-nano"), out, iou_threshold=0.85, outline_side=224, memories=(3, 2), **said)
    assert out.stat().st_size < 16e6
    model = load_model(out, device="cpu")
    assert model.metadata["pretrained"]["licence"] == "Apache-2.0"
    known = model.metadata["provenance"]
    assert known["scores"] == scores
    assert known["configs"] == {"a.toml": "seed = 1\n"}
    assert known["hours"] == 1.5
    assert "cores" in known["hardware"]
    assert known["data_seed"] == known["config"]["seed"]
    policy = find_policy("divemem", model.metadata)
    assert (policy.iou_threshold, policy.short_term, policy.long_term) == (0.85, 3, 2)
    policy = find_policy("vanilla", model.metadata)
    assert (policy.short_term, policy.long_term) == (5, 0)
    assert model.config.outline_side == 224
    for name, value in load_model("sam2s-nano", device="cpu").state_dict().items():
        # It was in half precision already, or in 8 bits.
        tolerance = float(value.abs().max()) / 1e5 if name.startswith("interactive.") else 0.0
        torch.testing.assert_close(model.state_dict()[name], value, atol=tolerance, rtol=0, msg=name)


def test_most_weights_are_stored_in_8_bits(tmp_path):
    torch.manual_seed(0)
    model = SAM2S(replace(CONFIGS["sam2s-nano"], image_size=64, interactive=True))
    save_atomically(model_state(model, {}, half=False), tmp_path / "run.pt")
    pack(tmp_path / "run.pt", tmp_path / "packed.pt")
    assert (tmp_path / "packed.pt").stat().st_size < 10e6
    packed = load_model(tmp_path / "packed.pt", device="cpu").state_dict()
    rounded = 0
    for name, value in model.state_dict().items():
        rough = name.startswith(EIGHT_BITS) and value.ndim >= 2 and value.numel() >= 4096 and value[0].numel() >= 64
        rows = value.abs().flatten(1).amax(1).view(-1, *[1] * (value.ndim - 1)) if rough else value.abs()
        error = (packed[name] - value).abs()
        assert (error <= rows / 127 * 0.501 if rough else error <= rows / 1024 + 1e-7).all(), name
        rounded += rough
    assert rounded > 50
    file = torch.load(tmp_path / "packed.pt", weights_only=True)
    del file["scales"]
    torch.save(file, tmp_path / "bare.pt")
    with pytest.raises(ModelError, match="without their scales"):
        load_model(tmp_path / "bare.pt", device="cpu")


def test_the_border_of_the_object_score_is_brought_to_zero(tmp_path):
    pack(find_weights("sam2s-nano"), tmp_path / "o.pt", object_score_shift=1.5)
    before, after = (load_model(source, device="cpu") for source in ("sam2s-nano", tmp_path / "o.pt"))
    assert after.metadata["provenance"]["object_score_shift"] == 1.5
    token = torch.zeros(1, before.config.hidden_dim)
    with torch.no_grad():
        scores = [model.sam_mask_decoder.pred_obj_score_head(token).item() for model in (before, after)]
    assert scores[0] - scores[1] == pytest.approx(1.5, abs=2e-3)  # half precision


def test_another_input_than_it_was_trained_with(tmp_path):
    pack(find_weights("sam2s-nano"), tmp_path / "o.pt", image_size=448)
    model = load_model(tmp_path / "o.pt", device="cpu")
    assert model.image_size == model.metadata["provenance"]["image_size"] == 448
    with pytest.raises(ModelError, match="multiple of 32"):
        pack(find_weights("sam2s-nano"), tmp_path / "no.pt", image_size=400)
    assert not (tmp_path / "no.pt").exists()


def test_edges_drawn_in_other_windows_or_not_at_all(tmp_path):
    for radius, wanted in ((None, load_model("sam2s-nano").config.edge_radius), (0, 0), (3, 3)):
        pack(find_weights("sam2s-nano"), tmp_path / "o.pt", edge_radius=radius)
        assert load_model(tmp_path / "o.pt", device="cpu").config.edge_radius == wanted


def test_weights_that_went_wrong_are_refused(tmp_path):
    state = torch.load(find_weights("sam2s-nano"), weights_only=True)
    state["model"]["no_mem_embed"] = state["model"]["no_mem_embed"].float() + 1e6
    torch.save(state, tmp_path / "bad.pt")
    with pytest.raises(TrainingError, match=r"no_mem_embed .* not finite"):
        pack(tmp_path / "bad.pt", tmp_path / "out.pt")
    del state["config"]
    torch.save(state, tmp_path / "foreign.pt")
    with pytest.raises(TrainingError, match="no configuration"):
        pack(tmp_path / "foreign.pt", tmp_path / "out.pt")
    assert not (tmp_path / "out.pt").exists()


def test_the_command(tmp_path, monkeypatch, capsys):
    (tmp_path / "s.json").write_text(json.dumps({"a": 1}))
    command = ["pack", str(find_weights("sam2s-nano")), str(tmp_path / "o.pt"), "--scores", str(tmp_path / "s.json")]
    monkeypatch.setattr(sys, "argv", command)
    module.main()
    assert "M parameters" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["pack", str(tmp_path / "no.pt"), str(tmp_path / "o.pt")])
    with pytest.raises(SystemExit) as error:
        module.main()
    assert error.value.code == 2
    assert "missing" in capsys.readouterr().err


def test_the_mean_of_two_checkpoints(tmp_path):
    torch.manual_seed(0)
    config = replace(CONFIGS["sam2s-nano"], image_size=64)
    models = [SAM2S(config) for _ in range(2)]
    for n, model in enumerate(models):
        save_atomically(model_state(model, {}, half=False), tmp_path / f"{n}.pt")
    pack(tmp_path / "0.pt", tmp_path / "mean.pt", average_with=tmp_path / "1.pt")
    found = load_model(tmp_path / "mean.pt", device="cpu").state_dict()
    a, b = (model.state_dict()["matching.mix.0.weight"] for model in models)
    torch.testing.assert_close(found["matching.mix.0.weight"], ((a + b) / 2).half().float())
    with pytest.raises(TrainingError, match="not of the same network"):
        pack(tmp_path / "0.pt", tmp_path / "mean.pt", average_with=find_weights("sam2s-nano"))

"""Loading: built in, official, fine-tuned, foreign, damaged."""

from __future__ import annotations

import argparse
import pickle
import struct
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from napari_sam2s import load_model
from napari_sam2s.cli import main
from napari_sam2s.errors import CheckpointDiffers, ModelError
from napari_sam2s.model.checkpoint_file import open_checkpoint
from napari_sam2s.model.checkpoints import WEIGHTS, recognise
from napari_sam2s.model.downloads import sha256
from napari_sam2s.model.model_registry import registry
from napari_sam2s.model.network import SAM2S
from napari_sam2s.model.network_config import CONFIGS


def weights_of(config):
    """The tensors of a network; all but the small ones are zeros, which take no room in a file."""
    with torch.device("meta"):
        shapes = SAM2S(config).state_dict()
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.randn(like.shape, generator=generator)
        if like.is_floating_point() and like.numel() < 1000
        else torch.zeros((), dtype=like.dtype).expand(like.shape)
        for name, like in shapes.items()
    }


@pytest.fixture(scope="module")
def tiny():
    return weights_of(CONFIGS["sam2.1-tiny"])


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
    weights = open_checkpoint(path).weights
    assert recognise(weights, path) == CONFIGS["sam2.1-tiny"]
    assert set(weights) == set(tiny)
    torch.testing.assert_close(weights["no_mem_embed"], tiny["no_mem_embed"])


def test_safetensors(tiny, tmp_path):
    save_file({k: v.contiguous() for k, v in tiny.items()}, tmp_path / "x.safetensors", {"image_size": "512"})
    model = load_model(tmp_path / "x.safetensors", device="cpu")
    assert (model.config.name, model.image_size) == ("sam2.1-tiny", 512)
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes((tmp_path / "x.safetensors").read_bytes()[:-7])
    with pytest.raises(ModelError, match=r"cut short \(7 of its bytes are missing\)"):
        load_model(cut, device="cpu")


def test_no_weights_are_drawn_that_a_file_replaces(tiny, tmp_path, monkeypatch):
    """They take a second for a large network; all else is as of a network that was filled.

    What `trunc_normal_` fills is drawn all the same, by one or the other call, as the version of torch has it: that is little.
    """
    torch.save(tiny, tmp_path / "x.pt")
    whole = load_model(tmp_path / "x.pt", device="cpu", image_size=512, strict=False)
    drawn = []
    for name in ("uniform_", "normal_"):
        real = getattr(torch.Tensor, name)

        def draw(tensor, *args, real=real, **kwargs):
            drawn.append(tensor.numel())
            return real(tensor, *args, **kwargs)

        monkeypatch.setattr(torch.Tensor, name, draw)
    found = load_model(tmp_path / "x.pt", device="cpu", image_size=512).state_dict()
    assert sum(drawn) < sum(value.numel() for value in found.values()) / 100
    assert found.keys() == whole.state_dict().keys()
    assert all(torch.equal(found[name], value) for name, value in whole.state_dict().items())


@pytest.mark.parametrize("name", ["sam2-tiny", "sam2.1-small", "sam2-base-plus"])
def test_sizes_and_versions_are_told_apart(name, tmp_path):
    assert recognise(weights_of(CONFIGS[name]), tmp_path / "x.pt") == CONFIGS[name]


def test_a_checkpoint_of_sam2s_on_a_sam2_trunk(tmp_path):
    config = replace(CONFIGS["sam2.1-tiny"], long_term=True, semantic=True)
    torch.save({"model": weights_of(config)}, tmp_path / "x.pt")
    model = load_model(tmp_path / "x.pt", device="cpu", image_size=1024)
    assert model.long_tpos_enc is not None
    assert model.semantic is not None


def other(nano, tmp_path, **changes):
    """Write a file like the built-in model's, with tensors that are added, replaced, or left out (``None``)."""
    weights = {k: v for k, v in {**nano["model"], **changes}.items() if v is not None}
    torch.save({**nano, "model": weights}, tmp_path / "x.pt")
    return tmp_path / "x.pt"


def test_what_does_not_fit_is_named_and_left_out_when_asked(nano, tmp_path):
    name = "sam_mask_decoder.iou_token.weight"
    shape = nano["model"][name].shape
    path = other(nano, tmp_path, no_mem_embed=None, **{"slots.a": torch.zeros(1), "slots.b": torch.zeros(1)})
    with pytest.raises(
        CheckpointDiffers, match=r"1 tensor is missing \(no_mem_embed\), 2 tensors are unknown \(slots\.a, slots\.b\)"
    ) as told:
        load_model(path, device="cpu")
    again = pickle.loads(pickle.dumps(told.value))  # as it comes from an engine
    assert (again.missing, again.unknown, again.shapes) == (("no_mem_embed",), ("slots.a", "slots.b"), ())
    assert "strict=False" in str(again)
    with pytest.warns(UserWarning, match=r"is used as sam2s-nano, though 1 tensor is missing.*do not trust the masks"):
        a, b = (load_model(path, device="cpu", strict=False) for _ in range(2))
    assert torch.equal(a.no_mem_embed, b.no_mem_embed)  # what is untrained is the same each time
    assert "slots.a" in a.metadata["differences"]
    path = other(nano, tmp_path, **{name: torch.zeros(shape[0], shape[1] + 1)})
    with pytest.raises(CheckpointDiffers, match=rf"1 tensor is of another shape \({name}\)"):
        load_model(path, device="cpu")


def test_numbers_that_are_not_finite(nano, tmp_path):
    path = other(nano, tmp_path, no_mem_embed=torch.full_like(nano["model"]["no_mem_embed"], torch.nan))
    with pytest.raises(ModelError, match=r"damaged: 1 tensor has numbers that are not finite"):
        load_model(path, device="cpu")
    path = other(nano, tmp_path, no_mem_embed=torch.full_like(nano["model"]["no_mem_embed"], 1e300, dtype=torch.float64))
    with pytest.raises(ModelError, match="not finite"):  # which they become in the network
        load_model(path, device="cpu")
    path = other(nano, tmp_path, no_mem_embed=nano["model"]["no_mem_embed"].to(torch.complex64))
    with pytest.raises(ModelError, match="complex numbers"):
        load_model(path, device="cpu")


def test_plain_data_beside_the_weights_is_no_damage(nano, tmp_path):
    beside = {
        "best": np.float64(0.5),
        "epoch": np.int64(3),
        "curve": np.arange(3.0),
        "args": argparse.Namespace(lr=1e-4, out=tmp_path, sizes=[1, 2]),
    }
    torch.save({**nano, **beside}, tmp_path / "x.pt")
    assert load_model(tmp_path / "x.pt", device="cpu").config.name == "sam2s-nano"


class Evil:
    def __reduce__(self):
        return (print, ("this must never run",))


def test_code_is_never_run_and_named(nano, tmp_path, capsys):
    torch.save({**nano, "args": Evil()}, tmp_path / "x.pt")
    with pytest.raises(ModelError, match=r"holds (builtins\.)?print, which is code, and code is not run") as told:
        load_model(tmp_path / "x.pt")
    assert "\x1b" not in str(told.value)
    assert "never run" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"nonsense", r"is text, not a checkpoint \(it begins with 'nonsense'\)"),
        (b'\n{"error": "Invalid username or password."}', "is text"),
        (b"<!DOCTYPE html>", "web page"),
        ("\n<!doctype html>".encode("utf-8-sig"), "web page"),
        ("<html>".encode("utf-16"), "web page"),
        (b"version https://git-lfs.github.com/spec/v1", "pointer of Git LFS"),
        (b"", "is empty"),
        (bytes(600), "not a checkpoint, or is damaged"),
        (b"Rar!\x1a\x07", "packed with RAR: unpack it"),
        (pickle.dumps({"model": {}}), "a pickle that torch did not write"),
        ({"model": {"a": torch.zeros(1)}}, "not a SAM 2 network"),
        ({"model": {"spatial_perceiver.latents": torch.zeros(1)}}, "does not fit edgetam"),
        ({"model": {"image_encoder.patch_embed.proj.weight": torch.zeros(1)}}, "SAM 1"),
        ({"vision_encoder.neck.weight": torch.zeros(1), "memory_attention.a": torch.zeros(1)}, "transformers"),
        ({"detector.a": torch.zeros(1), "tracker.b": torch.zeros(1)}, "a part of SAM 3 without its image encoder"),
        ({"model": {"image_encoder.body.weight": torch.zeros(1)}}, "an unknown trunk"),
        ({"model": {"sam_mask_decoder.iou_token.weight": torch.zeros(1)}}, "without its image encoder: save the whole"),
        ({"image_encoder.trunk.blocks.0.attn.qkv.lora_A.weight": torch.zeros(1)}, "LoRA weights without their network: merge"),
        ({"image_encoder.trunk.patch_embed.proj.weight": torch.zeros(())}, "unexpected shape"),
        ({"model": {}}, "holds no weights"),
        ([1, 2], "list"),
        ({"model": {"a": torch.zeros(1)}, "config": {"name": "x", "trunk": {}, "wings": 2}}, "newer"),
        ({"model": {"a": torch.zeros(1)}, "config": {"trunk": {"embed_dim": 10**9}}}, "no network can be built"),
        ({"model": {"a": torch.zeros(1)}, "config": {"trunk": {"stages": 5}}}, "no network can be built"),
        ({"model": {"a": torch.zeros(1)}, "config": {"trunk": {}, "edge_radius": "x", "name": 1}}, "cannot draw edges"),
    ],
)
def test_foreign_and_damaged_files(tmp_path, content, words):
    path = tmp_path / "x.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(ModelError, match=words) as told:
        load_model(path)
    assert "\n" not in str(told.value)


def test_what_is_inside_an_archive_is_told(tmp_path):
    path = tmp_path / "MedSAM2.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("MedSAM2_latest.pt", b"weights")
    with pytest.raises(ModelError, match=r"zip archive of other files \(MedSAM2_latest\.pt\): unpack it"):
        load_model(path)
    with zipfile.ZipFile(path, "w") as archive:
        for part in ("data.pkl", "constants.pkl", "code/net.py"):
            archive.writestr(f"net/{part}", b"x")
    with pytest.raises(ModelError, match=r"a program of torch\.jit .* save the weights alone"):
        load_model(path)


def test_places_where_there_is_no_file(tmp_path):
    (tmp_path / "EdgeTAM-hf").mkdir()
    (tmp_path / "EdgeTAM-hf" / "model.safetensors").touch()
    with pytest.raises(ModelError, match=r"EdgeTAM-hf is a folder: give the file of weights in it \(model\.safetensors\)"):
        load_model(tmp_path / "EdgeTAM-hf")
    with pytest.raises(ModelError, match=r"There is no file .*gone\.pt: check its path"):
        load_model(tmp_path / "gone.pt")


def test_a_published_name_is_never_another_network(nano, tmp_path, monkeypatch):
    """Nothing but the shape can tell, where no hash is pinned."""
    monkeypatch.setenv("SAM2S_MODEL_DIR", str(tmp_path))
    (tmp_path / "models").mkdir()
    for name in ("medsam2-us-heart", "surgsam2-endovis18"):
        torch.save(nano, tmp_path / "models" / f"{name}.pt")
        with pytest.raises(ModelError, match=f"is a network sam2s-nano, so it is not {name}, which has the shape of sam2.1-"):
            load_model(name, device="cpu")
    assert main(["models", "add", str(tmp_path / "models" / "surgsam2-endovis18.pt")]) == 2
    unpinned = [e for e in registry().values() if not (e.pinned or e.built_in) and e.family.loads]
    assert unpinned
    assert all(e.shape in CONFIGS for e in unpinned)


def test_a_file_that_is_cut_short(nano, tmp_path):
    path = tmp_path / "x.pt"
    torch.save(nano, path)
    path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(ModelError, match="cut short or damaged"):
        load_model(path)


def test_an_archive_that_says_it_is_in_parts_is_damaged(tmp_path):
    """Python's own test of a zip file is an error then; a mutant of `research/fuzz.py` did that."""
    torch.save({"model": {}}, tmp_path / "parts.pt")
    data = (tmp_path / "parts.pt").read_bytes()
    end = data.rindex(b"PK\5\6")
    locator = struct.pack("<4sLQL", b"PK\6\7", 1, 0, 2)  # of an end that is on the second of two disks
    (tmp_path / "parts.pt").write_bytes(data[:end] + locator + data[end:])
    with pytest.raises(ModelError, match="cut short or damaged"):
        load_model(tmp_path / "parts.pt")


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


WRAPPED = {
    "deep in a file": lambda w: {"checkpoint": {"state": {"model": w}}, "optimizer": {"state": {0: {"m": torch.zeros(2)}}}},
    "of DeepSpeed": lambda w: {"module": w, "epoch": 3},
    "of Lightning": lambda w: {"state_dict": {f"sam2.{k}": v for k, v in w.items()}, "callbacks": {}, "loops": {}},
    "of a class of one's own": lambda w: {"net": {f"model.predictor.{k}": v for k, v in w.items()}},
    "compiled in parts": lambda w: {k.replace("image_encoder.", "image_encoder._orig_mod."): v for k, v in w.items()},
    "shared out": lambda w: {k.replace("blocks.1.", "blocks.1._fsdp_wrapped_module."): v for k, v in w.items()},
    "averages alone": lambda w: {"ema": w},
    "8 bits": lambda w: {"model": {k: v.to(torch.float8_e4m3fn) for k, v in w.items()}},
}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
def test_weights_are_found_in_what_training_scripts_put_around_them(tiny, tmp_path, wrap):
    tiny = {k: v for k, v in tiny.items() if v.numel() < 1000}
    torch.save(wrap(tiny), tmp_path / "x.safetensors")  # whatever it is called
    weights = open_checkpoint(tmp_path / "x.safetensors").weights
    assert set(weights) == set(tiny)
    torch.testing.assert_close(weights["no_mem_embed"], tiny["no_mem_embed"], atol=0.01, rtol=0.1)


def test_safetensors_of_any_name(tiny, tmp_path):
    save_file({"no_mem_embed": tiny["no_mem_embed"].contiguous()}, tmp_path / "x.pt")
    assert torch.equal(open_checkpoint(tmp_path / "x.pt").weights["no_mem_embed"], tiny["no_mem_embed"])


PART = {"image_encoder.trunk.pos_embed": torch.ones(2)}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({**PART, **{f"module.{k}": v + 1 for k, v in PART.items()}}, "twice, with and without a wrapper's name"),
        (
            {f"{who}.{k}": v for who in ("student", "teacher") for k, v in PART.items()},
            r"several networks \(student, teacher\)",
        ),
        ({"student": PART, "teacher": PART}, r"several networks \(student, teacher\)"),
        ({"model": {k: v.to_sparse() for k, v in PART.items()}}, "not plain numbers"),
    ],
)
def test_weights_that_may_be_several_are_refused(tmp_path, content, words):
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(ModelError, match=words):
        open_checkpoint(tmp_path / "x.pt")


def test_averages_beside_the_weights_are_told_and_whole_numbers_refused(nano, tmp_path):
    torch.save({**nano, "model_ema": dict(nano["model"])}, tmp_path / "x.pt")
    with pytest.warns(UserWarning, match=r"also holds averaged weights \(model_ema\)"):
        assert load_model(tmp_path / "x.pt", device="cpu").metadata["averaged"] == "model_ema"
    deep = {"checkpoint": {"model": PART, "extra": {"ema": dict(PART)}}}
    torch.save(deep, tmp_path / "deep.pt")
    assert open_checkpoint(tmp_path / "deep.pt").averaged == "ema"
    path = other(nano, tmp_path, no_mem_embed=torch.ones(nano["model"]["no_mem_embed"].shape, dtype=torch.uint8))
    with pytest.raises(ModelError, match=r"whole numbers for weights, without their scales \(no_mem_embed\)"):
        load_model(path, device="cpu")


def test_a_part_that_is_marked_as_a_folder_is_damage(tmp_path):
    """Torch takes it for empty without a word."""
    torch.save({"model": {"a": torch.ones(4)}}, tmp_path / "a.pt")
    content = bytearray((tmp_path / "a.pt").read_bytes())
    at = content.rindex(b"a/data/0") - 46  # of its entry in the list of parts
    assert content[at : at + 4] == b"PK\x01\x02"
    content[at + 38] |= 0x10
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(ModelError, match="its part a/data/0 is marked as a folder"):
        load_model(tmp_path / "a.pt", device="cpu")

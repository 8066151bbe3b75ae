"""Loading EdgeTAM: the official file, that of transformers, and what is wrong with files."""

from __future__ import annotations

import gzip
import importlib.util
import re
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from napari_sam2s import load_model
from napari_sam2s.errors import ModelError
from napari_sam2s.model.checkpoint_fit import compare
from napari_sam2s.model.edgetam import EdgeTAM
from napari_sam2s.model.edgetam_weights import official
from napari_sam2s.model.network_config import EDGETAM

_spec = importlib.util.spec_from_file_location("edgetam_parity", Path(__file__).parents[1] / "tracking" / "edgetam_parity.py")
edgetam_parity = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(edgetam_parity)
NAMES = Path(__file__).parent / "golden" / "edgetam_transformers.txt.gz"  # of all tensors in transformers 5.24, with shapes


@pytest.fixture(scope="module")
def weights():
    return edgetam_parity.seeded_weights(1024)


@pytest.fixture(scope="module")
def in_transformers(weights):
    lines = gzip.decompress(NAMES.read_bytes()).decode().splitlines()
    shapes = {line.partition(" ")[0]: [int(n) for n in re.findall(r"\d+", line.partition(" (")[2])] for line in lines}
    return edgetam_parity.renamed(weights, {name: torch.zeros(shape) for name, shape in shapes.items()})


@pytest.mark.slow
def test_both_layouts_give_the_same_network(weights, in_transformers, tmp_path):
    counted = {"image_encoder.trunk.body.stem.conv1.bn.num_batches_tracked": torch.tensor(3)}
    torch.save({"model": weights | counted}, tmp_path / "edgetam.pt")
    save_file({name: weight.clone() for name, weight in in_transformers.items()}, tmp_path / "model.safetensors")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        models = [load_model(tmp_path / f, device="cpu", image_size=1024) for f in ("edgetam.pt", "model.safetensors")]
    assert all(isinstance(model, EdgeTAM) for model in models)
    assert not any(model.metadata.get("differences") for model in models)
    assert [model.describe()["model"] for model in models] == ["edgetam"] * 2
    ours, theirs = (model.state_dict() for model in models)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert models[0].facts.image_size == 1024
    assert sum(p.numel() for p in models[0].parameters()) > 13.8e6


def test_the_trunk_is_folded_as_it_would_be_computed(weights):
    """One block with all of its branches and norms, against the single convolution that it becomes."""
    from napari_sam2s.model.repvit import fold

    name = "image_encoder.trunk.body.stages_2.blocks.3.token_mixer"
    x = torch.randn(1, 192, 5, 6, generator=torch.Generator().manual_seed(0)).double()

    def branch(part, padding):
        mean, variance, gain, shift = (
            weights[f"{name}.{part}.bn.{of}"].double() for of in ("running_mean", "running_var", "weight", "bias")
        )
        out = torch.nn.functional.conv2d(x, weights[f"{name}.{part}.c.weight"].double(), padding=padding, groups=192)
        return torch.nn.functional.batch_norm(out, mean, variance, gain, shift)

    kernel, bias = fold(weights, name)
    found = torch.nn.functional.conv2d(x, kernel.double(), bias.double(), padding=1, groups=192)
    torch.testing.assert_close(found, branch("conv", 1) + branch("conv1", 0) + x, atol=1e-5, rtol=1e-5)


def _without(name):
    return lambda weights: {n: w for n, w in weights.items() if n != name}


def _with(name, change):
    return lambda weights: weights | {name: change(weights[name])}


NORM = "image_encoder.trunk.body.stem.conv1.bn.running_var"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda weights: {"spatial_perceiver.norm.weight": torch.ones(64)}, "does not fit edgetam: 875 tensors are missing"),
        (_without(NORM), rf"1 tensor is missing \({re.escape(NORM)}\)"),
        (_with("spatial_perceiver.latents", lambda w: w[:100]), r"1 tensor is of another shape \(spatial_perceiver.latents\)"),
        (
            _with("no_mem_embed", lambda w: w * float("nan")),
            r"damaged: 1 tensor has numbers that are not finite \(no_mem_embed\)",
        ),
        (
            _with(NORM, lambda w: w - 9),
            r"damaged: 2 tensors have numbers that are not finite \(image_encoder.trunk.body.stem.conv1",
        ),
    ],
)
def test_what_does_not_fit_is_named(weights, tmp_path, change, words):
    # Those without meaning here as one zero, so that they take no room in the file.
    small = {name: w if w.numel() < 1000 else torch.zeros(()).expand(w.shape) for name, w in weights.items()}
    torch.save({"model": change(small)}, tmp_path / "edgetam.pt")
    with pytest.raises(ModelError, match=words):
        load_model(tmp_path / "edgetam.pt", device="cpu")


def test_what_a_fold_does_not_need_may_lack_at_ones_word(weights, tmp_path):
    torch.save({"model": _without("no_mem_embed")(weights) | {"slots.a": torch.zeros(1)}}, tmp_path / "edgetam.pt")
    with pytest.warns(UserWarning, match=r"missing \(no_mem_embed\), 1 tensor is unknown \(slots.a\)"):
        load_model(tmp_path / "edgetam.pt", device="cpu", image_size=1024, strict=False)
    torch.save({"model": _without(NORM)(weights)}, tmp_path / "edgetam.pt")
    with pytest.raises(ModelError, match="1 tensor is missing"):  # a branch cannot be folded without its norm
        load_model(tmp_path / "edgetam.pt", device="cpu", image_size=1024, strict=False)


def test_a_cut_file(weights, tmp_path):
    path = tmp_path / "edgetam.pt"
    torch.save({"model": {name: weights[name] for name in list(weights)[:9]}}, path)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(ModelError, match="damaged"):
        load_model(path, device="cpu")


def test_a_single_number_in_the_place_of_a_matrix(in_transformers):
    with torch.device("meta"):
        network = EdgeTAM(EDGETAM)
    for name in ("prompt_encoder.point_embed.weight", "spatial_perceiver.layers.0.cross_attention.k_proj.weight"):
        found = compare(network, in_transformers | {name: torch.zeros(())})
        assert found.shapes or found.missing


def test_two_different_position_encodings_are_not_one(in_transformers):
    """Transformers keeps it twice; were they to differ, one of them would be left out unseen."""
    assert "shared_image_embedding.positional_embedding" not in official(in_transformers)
    changed = in_transformers | {"shared_image_embedding.positional_embedding": torch.zeros(2, 128)}
    assert "shared_image_embedding.positional_embedding" in official(changed)  # and is told as unknown

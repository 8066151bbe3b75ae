"""The network's parts and its sizes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from napari_sam2s.errors import ModelError
from napari_sam2s.model.frames import tensor_of
from napari_sam2s.model.hiera import MultiScaleAttention
from napari_sam2s.model.layers import fused_conv, fused_linear, has_fused_conv, has_fused_linear, linear
from napari_sam2s.model.matching import MaskMatching, readings_of
from napari_sam2s.model.memory_attention import RotaryAttention, attend_narrow
from napari_sam2s.model.network import SAM2S
from napari_sam2s.model.network_config import CONFIGS
from napari_sam2s.model.position import pairs_apart, rotary_table, rotate
from napari_sam2s.model.stages import LONG_TERM, Features, Memories


@pytest.fixture(scope="module")
def nano():
    torch.manual_seed(0)
    return SAM2S(replace(CONFIGS["sam2s-nano"], image_size=64)).eval()


PARAMETERS = {"tiny": 38.95, "small": 46.05, "base-plus": 80.85, "large": 224.45}  # millions, SAM 2.1's published sizes


@pytest.mark.parametrize("size", PARAMETERS)
def test_sizes_are_the_published_ones(size):
    with torch.device("meta"):
        model = SAM2S(CONFIGS[f"sam2.1-{size}"])
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(PARAMETERS[size], rel=0.01)


def test_nano_is_small():
    with torch.device("meta"):
        model = SAM2S(replace(CONFIGS["sam2s-nano"], interactive=True))
    assert sum(p.numel() for p in model.parameters()) < 6e6


@pytest.mark.parametrize("size", [64, 96, 160])
def test_any_multiple_of_32_goes_through(size):
    model = SAM2S(replace(CONFIGS["sam2s-nano"], image_size=size)).eval()
    features = model.encode(model.prepare(np.zeros((30, 50, 3), np.uint8)))
    decoded = model.decode(model.attend(features, None, 3))
    assert decoded.logits.shape == (3, 1, size // 4, size // 4)
    assert model.memorize(features, decoded.logits, decoded.object_score).shape == (3, 64, size // 16, size // 16)


@pytest.mark.parametrize("size", [0, 33, 1000])
def test_other_sizes_are_refused(size):
    with pytest.raises(ModelError, match="multiple of 32"):
        replace(CONFIGS["sam2s-nano"], image_size=size)


def memories(model, features, batch, count):
    decoded = model.decode(model.attend(features, None, batch))
    map_ = model.memorize(features, decoded.logits, decoded.object_score)
    return Memories(
        maps=map_[:, None].repeat(1, count, 1, 1, 1),
        slots=torch.tensor([[6, *range(count - 2, -1, -1)]]).expand(batch, -1),
        pointers=decoded.pointer[:, None].repeat(1, count, 1),
        distances=torch.arange(count).float().expand(batch, -1) / 15,
        keys=features.keys[None].repeat(batch, count, 1, 1, 1),
        patches=model.patches(decoded.logits)[:, None].repeat(1, count, 1, 1, 1),
    )


def test_objects_of_a_batch_are_independent(nano):
    frame = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    with torch.inference_mode():
        features = nano.encode(nano.prepare(frame))
        three = memories(nano, features, 3, 4)
        together = nano.decode(nano.attend(features, three)).logits
        fields = ("maps", "slots", "pointers", "distances", "keys", "patches")
        for n in range(3):
            one = Memories(**{f: getattr(three, f)[n : n + 1] for f in fields})
            alone = nano.decode(nano.attend(features, one)).logits
            torch.testing.assert_close(alone[0], together[n], atol=1e-4, rtol=1e-4)


def test_padding_is_not_read(nano):
    with torch.inference_mode():
        features = nano.encode(nano.prepare(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)))
        plain = memories(nano, features, 1, 3)
        plain.keys = plain.patches = None
        expected = nano.attend(features, plain).embedding
        padded = Memories(
            maps=torch.cat((plain.maps, torch.randn(1, 2, *plain.maps.shape[2:])), 1),
            slots=torch.cat((plain.slots, torch.tensor([[2, 3]])), 1),
            pointers=torch.cat((plain.pointers, torch.randn(1, 2, plain.pointers.shape[2])), 1),
            distances=torch.cat((plain.distances, torch.ones(1, 2)), 1),
            maps_valid=torch.tensor([[True] * 3 + [False] * 2]),
            pointers_valid=torch.tensor([[True] * 3 + [False] * 2]),
        )
        torch.testing.assert_close(nano.attend(features, padded).embedding, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("masked", [False, True])
def test_narrow_values_are_read_as_torch_reads_wide_ones(masked):
    torch.manual_seed(0)
    q, k, v = torch.randn(2, 300, 32), torch.randn(2, 70, 32), torch.randn(2, 70, 8)
    mask = torch.zeros(2, 1, 1, 70)
    mask[0, ..., 40:] = float("-inf")
    mask = mask if masked else None
    expected = F.scaled_dot_product_attention(q[:, None], k[:, None], F.pad(v, (0, 24))[:, None], attn_mask=mask)[:, 0, :, :8]
    torch.testing.assert_close(attend_narrow(q, k, v, mask), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("activation", [None, torch.nn.GELU(), torch.nn.ReLU(), torch.nn.Tanh()])
def test_a_linear_layer_in_one_pass_gives_the_same(activation):
    torch.manual_seed(0)
    layer, x = torch.nn.Linear(24, 40), torch.randn(2, 300, 24)
    expected = layer(x) if activation is None else activation(layer(x))
    with torch.inference_mode():
        torch.testing.assert_close(linear(layer, x, activation), expected.detach(), atol=1e-6, rtol=1e-5)
        with torch.autocast("cpu", dtype=torch.bfloat16):  # mixed precision stays what it is
            assert linear(layer, x, activation).dtype == torch.bfloat16
    assert linear(layer, x, activation).requires_grad


@pytest.mark.parametrize("rows", [5, 64])
def test_a_product_of_few_rows_with_many_gives_the_same(rows):
    torch.manual_seed(0)
    x, keys = torch.randn(rows, 79), torch.randn(6000, 79)
    with torch.inference_mode():
        torch.testing.assert_close(fused_linear(x, keys), x @ keys.T, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("activation", [None, torch.nn.GELU(), torch.nn.ReLU6(), torch.nn.Tanh()])
@pytest.mark.parametrize(("stride", "groups"), [(1, 1), (2, 8)])
def test_a_convolution_in_one_pass_gives_the_same(activation, stride, groups):
    torch.manual_seed(0)
    layer, x = torch.nn.Conv2d(8, 16, 3, stride, padding=1, groups=groups), 9 * torch.randn(2, 8, 20, 24)
    expected = layer(x) if activation is None else activation(layer(x))
    with torch.inference_mode():
        torch.testing.assert_close(fused_conv(layer, x, activation), expected.detach(), atol=1e-5, rtol=1e-5)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert fused_conv(layer, x, activation).dtype == torch.bfloat16
    assert fused_conv(layer, x, activation).requires_grad


@pytest.mark.parametrize(
    ("name", "has", "apply", "layer", "shape"),
    [
        ("_linear_pointwise", has_fused_linear, linear, torch.nn.Linear(24, 40), (300, 24)),
        ("_convolution_pointwise", has_fused_conv, fused_conv, torch.nn.Conv2d(24, 40, 1), (1, 24, 10, 10)),
    ],
)
def test_without_onednn_a_layer_still_works(monkeypatch, name, has, apply, layer, shape):
    def missing(*_):
        raise NotImplementedError

    monkeypatch.setattr(torch.ops.mkldnn, name, missing, raising=False)
    has.cache_clear()
    x = torch.randn(shape)
    with torch.inference_mode():
        torch.testing.assert_close(apply(layer, x, torch.nn.ReLU6()), torch.nn.functional.relu6(layer(x)))
    assert not has(torch.float32)
    has.cache_clear()


@pytest.mark.parametrize("pretrained", [0, 10])
def test_masks_are_matched_alike_in_training_and_at_inference(pretrained):
    """With gradients the keys are read as values, without them their part in the mean logit is."""
    torch.manual_seed(0)
    side, objects, count = 6, 3, 4
    trunk = replace(CONFIGS["sam2s-nano"].trunk, kind="efficientnet_lite" if pretrained else "conv")
    config = replace(CONFIGS["sam2s-nano"], trunk=trunk, match_dim=5, match_pretrained=pretrained)
    matching, width = MaskMatching(config), 5 + pretrained
    for last in (matching.to_embedding, matching.to_coarse_skip, matching.to_fine_skip):
        torch.nn.init.normal_(last.weight)
    query, keys = torch.randn(1, width, side, side), torch.randn(objects, count, width, side, side)
    given = query, keys, torch.rand(objects, count, 4, side, side), (0, 1, LONG_TERM, 6), ((0, 0, 1), (0, 1, 2))
    training = matching(*given)
    with torch.inference_mode():
        for found, expected in zip(matching(*given), training, strict=True):
            torch.testing.assert_close(found, expected.detach(), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("pooled", [False, True])
def test_memories_are_read_alike_in_training_and_at_inference(pooled):
    """With gradients torch's own attention is used, without them the one for narrow values."""
    torch.manual_seed(0)
    attention = RotaryAttention(32, 8)
    q, keys, values = torch.randn(2, 36, 32), torch.randn(2, 4 * 36 + 5, 8), torch.randn(2, 4 * 36 + 5, 8)
    training = attention(q, keys, values, side=6, pointer_tokens=5, pooled=pooled)
    with torch.inference_mode():
        inference = attention(q, keys, values, side=6, pointer_tokens=5, pooled=pooled)
    torch.testing.assert_close(inference, training.detach(), atol=1e-6, rtol=1e-5)


def test_rotation_is_that_of_neighbouring_channels():
    """As in SAM 2, where channels 2n and 2n + 1 turn together: as complex numbers."""
    torch.manual_seed(0)
    x = torch.randn(2, 9, 16)
    cosine, sine = rotary_table(16, 3, torch.device("cpu"))
    expected = torch.view_as_real(torch.view_as_complex(x.unflatten(2, (8, 2))) * torch.complex(cosine, sine)).flatten(2)
    order = pairs_apart(16, torch.device("cpu"))
    with torch.inference_mode():
        torch.testing.assert_close(rotate(x[..., order], cosine, sine), expected[..., order])
    torch.testing.assert_close(rotate(x[..., order], cosine, sine), expected[..., order])


@pytest.mark.parametrize("pool", [False, True])
@pytest.mark.parametrize("side", [6, 14, 20])
def test_windows_beyond_the_map_see_zeros(side, pool):
    """One key for all zeros beyond the map is the same as padding the map with them."""
    torch.manual_seed(0)
    attention = MultiScaleAttention(8, 16, 2)
    x, window = torch.randn(2, side, side, 8), 14
    beyond = -side % window
    padded = attention(F.pad(x, (0, 0, 0, beyond, 0, beyond)), window, pool)
    kept = side // 2 if pool else side
    torch.testing.assert_close(attention(x, window, pool), padded[:, :kept, :kept], atol=1e-6, rtol=1e-5)


def test_an_object_that_is_not_there_has_no_mask(nano):
    bias = nano.sam_mask_decoder.pred_obj_score_head.layers[-1].bias
    kept = bias.detach().clone()
    with torch.no_grad():
        bias.fill_(-20.0)
        features = nano.encode(nano.prepare(np.zeros((64, 64, 3), np.uint8)))
        decoded = nano.decode(nano.attend(features, None, 2))
        bias.copy_(kept)
    assert (decoded.logits < 0).all()
    assert (decoded.object_score < 0).all()


def test_a_mask_prompt_is_the_answer(nano):
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 10:30, 20:50] = 1
    with torch.inference_mode():
        decoded = nano.decode_mask(nano.encode(nano.prepare(np.zeros((64, 64, 3), np.uint8))), mask)
    assert decoded.iou.item() == 1
    assert (decoded.logits > 0).float().mean() == pytest.approx(
        float(mask.mean()), abs=0.05
    )  # the answer is kept at a quarter of the side


def test_matching_finds_what_moved():
    """A patch that is moved by whole cells is found by its looks, with its mask."""
    torch.manual_seed(0)
    model = SAM2S(replace(CONFIGS["sam2s-nano"], image_size=128)).eval()
    matching = model.matching
    with torch.inference_mode():
        keys = torch.nn.functional.normalize(torch.randn(1, 44, 16, 16), dim=1)
        patches = torch.zeros(1, 4, 16, 16)
        patches[..., 4:8, 4:8] = 1
        matching.log_scale.fill_(5.0)
        read = matching._read(
            torch.roll(keys, (3, 2), (2, 3)), keys[:, None], patches[:, None], {0: 6}, torch.tensor(0.004), [0]
        )
    found = read[0, :4].mean(0) > 0.5
    expected = torch.zeros(16, 16, dtype=torch.bool)
    expected[7:11, 6:10] = True
    assert torch.equal(found, expected)
    assert read[0, 4, 7:11, 6:10].min() > 0.9


def test_matching_leaves_long_term_memories_to_the_attention():
    """Nobody has seen their masks, and one often looks more like the frame than the prompted one does."""
    torch.manual_seed(0)
    matching = SAM2S(replace(CONFIGS["sam2s-nano"], image_size=64)).eval().matching
    for layer in (matching.to_embedding, matching.to_coarse_skip, matching.to_fine_skip):
        torch.nn.init.normal_(layer.weight)
    looks = torch.nn.functional.normalize(torch.randn(1, 44, 8, 8), dim=1)
    keys = torch.nn.functional.normalize(torch.randn(1, 3, 44, 8, 8), dim=2)
    keys[:, 2] = looks  # the long-term memory is the frame itself
    patches = torch.rand(1, 3, 4, 8, 8)
    slots = (6, 0, LONG_TERM)
    assert readings_of(slots) == ([1], [0])
    with torch.inference_mode():
        read = matching(looks, keys, patches, slots)
        patches[:, 2] = 1 - patches[:, 2]
        assert all(torch.equal(a, b) for a, b in zip(read, matching(looks, keys, patches, slots), strict=True))
        patches[:, 0] = 1 - patches[:, 0]
        assert not torch.allclose(read[0], matching(looks, keys, patches, slots)[0], atol=1e-3)


@pytest.mark.parametrize("labels", [(0, 0, 0, 0, 0), (0, 1, 0, 0, 4), (0, 1, 2, 3, 4)])
def test_objects_that_remember_the_same_frames_are_matched_as_alone(labels):
    torch.manual_seed(0)
    matching = SAM2S(replace(CONFIGS["sam2s-nano"], image_size=64)).matching
    for layer in (matching.to_embedding, matching.to_coarse_skip, matching.to_fine_skip):
        torch.nn.init.normal_(layer.weight)
    seen = torch.nn.functional.normalize(torch.randn(5, 3, 44, 8, 8), dim=2)
    keys = seen[list(labels)]  # objects of one label remember the same frames
    patches = torch.rand(5, 3, 4, 8, 8, requires_grad=True)
    query = torch.nn.functional.normalize(torch.randn(1, 44, 8, 8), dim=1)
    given = (query, keys, patches, (6, 1, 0))
    alone, together = matching(*given), matching(*given, (labels, labels))
    for a, b in zip(alone, together, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)
    slopes = [torch.autograd.grad(sum(x.square().sum() for x in r), patches)[0] for r in (alone, together)]
    torch.testing.assert_close(*slopes, atol=1e-3, rtol=1e-3)
    assert not torch.allclose(alone[0][0], alone[0][2], atol=1e-2)  # what they fetch from there is each one's own


def test_class_scores_need_class_names(nano):
    features = nano.encode(nano.prepare(np.zeros((64, 64, 3), np.uint8)))
    assert nano.class_scores(nano.decode(nano.attend(features, None))) is None
    nano.semantic.set_classes(["a", "b"], torch.eye(384)[:2])
    scores = nano.class_scores(nano.decode(nano.attend(features, None)))
    assert scores.shape == (1, 2)
    assert float(scores.detach().sum()) == pytest.approx(1)
    with pytest.raises(ModelError, match=r"\(3, 384\)"):
        nano.semantic.set_classes(["a", "b", "c"], torch.eye(384)[:2])
    nano.semantic.class_names = ()


def test_features_know_their_size():
    features = Features(torch.zeros(1, 2, 3, 3), (torch.zeros(1), torch.zeros(2)))
    assert features.nbytes == 4 * (18 + 3)


@pytest.mark.parametrize("pool", [False, True])
@pytest.mark.parametrize("size", [(28, 28), (32, 32), (8, 20)])
def test_windows_with_their_zeros_give_what_windows_without_give(size, pool):
    torch.manual_seed(0)
    attention = MultiScaleAttention(16, 32, 2)
    x = torch.randn(1, *size, 16)
    with torch.inference_mode():
        padded = attention.proj(attention._attend_padded(x, 14, pool))
        torch.testing.assert_close(attention(x, 14, pool), padded, atol=1e-5, rtol=1e-5)


@pytest.mark.filterwarnings("error")
def test_a_frame_that_cannot_be_written_is_taken_without_a_word():
    """As the video's own frames, and those that come to an engine over a line, are; torch warns once in a process."""
    frame = np.full((1, 8, 8, 3), 7, np.uint8)
    assert np.shares_memory(tensor_of(frame).numpy(), frame)
    frame.flags.writeable = False
    assert not np.shares_memory(tensor_of(frame).numpy(), frame)
    assert int(tensor_of(frame).min()) == 7

"""Which calls are recorded and replayed; that nothing in them waits for a GPU. Recording itself needs one."""

import copy
import logging
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from napari_sam2s.model.checkpoints import load_model
from napari_sam2s.model.cuda_graphs import Graphs, rebuild, signature, tensors
from napari_sam2s.model.frames import normalise, scale
from napari_sam2s.model.network import SAM2S
from napari_sam2s.model.network_config import CONFIGS
from napari_sam2s.model.speed import round_weights
from napari_sam2s.model.stages import Features, Memories
from napari_sam2s.tracking import Tracker
from tests.inside import actor_of


class Replays:
    """Stands for CUDA: counts, and computes into fixed places as a graph does."""

    def __init__(self):
        self.records = self.replays = 0

    def __call__(self, function, arguments):
        self.records += 1
        inputs = rebuild(arguments, torch.clone)

        def replay(new):
            self.replays += 1
            for place, tensor in zip(tensors(inputs), tensors(new), strict=True):
                place.copy_(tensor)
            return rebuild(function(*inputs), torch.clone)

        return replay


@pytest.fixture(autouse=True)
def inference():
    with torch.inference_mode():
        yield


def double(x):
    return 2 * x


def test_a_kind_is_recorded_when_it_comes_for_the_third_time():
    backend = Replays()
    graphs = Graphs(backend)
    answers = [graphs("double", None, double, torch.full((3,), float(n))) for n in range(5)]
    assert [float(a[0]) for a in answers] == [0, 2, 4, 6, 8]  # and later calls changed no earlier answer
    assert (backend.records, backend.replays, graphs.recorded) == (1, 3, 1)


@pytest.mark.parametrize("other", ["name", "state", "shape", "dtype", "value"])
def test_what_differs_is_of_another_kind(other):
    backend = Replays()
    graphs = Graphs(backend, repeats=1)
    function = lambda x, n: x * n  # noqa: E731
    kind = {"name": "a", "state": 0, "x": torch.ones(3), "n": 2}
    changed = {
        "name": {"name": "b"},
        "state": {"state": 1},
        "shape": {"x": torch.ones(4)},
        "dtype": {"x": torch.ones(3, dtype=torch.float64)},
        "value": {"n": 3},
    }[other]
    for call in (kind, kind | changed):
        found = graphs(call["name"], call["state"], function, call["x"], call["n"])
        torch.testing.assert_close(found, call["x"] * call["n"])
    assert backend.records == 0
    graphs("a", 0, function, torch.ones(3), 2)
    assert backend.records == 1


def test_what_cannot_be_recorded_runs_as_usual_and_says_so_once(caplog):
    def broken(function, arguments):
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    graphs = Graphs(broken, repeats=0)
    with caplog.at_level(logging.WARNING):
        for shape in (2, 3, 2):
            torch.testing.assert_close(graphs("double", None, double, torch.ones(shape)), torch.full((shape,), 2.0))
    assert [r.getMessage() for r in caplog.records] == [
        "A CUDA graph of 'double' could not be recorded, so it runs without one (operation not permitted when stream "
        "is capturing)."
    ]
    assert graphs.failed == {"double"}


def test_the_recording_not_used_for_longest_goes_first():
    backend = Replays()
    graphs = Graphs(backend, repeats=0, most=2)
    for size in (1, 2, 1, 3, 1, 2):
        graphs("double", None, double, torch.ones(size))
    assert backend.records == 4  # 1, 2, 3, and 2 again
    assert graphs.recorded == 2


def test_nothing_is_recorded_for_training():
    backend = Replays()
    with torch.inference_mode(False), torch.enable_grad():
        x = torch.ones(2, requires_grad=True)
        Graphs(backend, repeats=0)("double", None, double, x).sum().backward()
    assert x.grad.tolist() == [2, 2]
    assert backend.records == 0


def test_a_copy_starts_without_recordings():
    graphs = Graphs(Replays(), repeats=0)
    graphs("double", None, double, torch.ones(1))
    assert copy.deepcopy(graphs).recorded == pickle.loads(pickle.dumps(graphs)).recorded == 0


def test_dataclasses_are_taken_apart_and_put_together():
    features = Features(torch.ones(1), (torch.ones(2), torch.ones(3)), None)
    assert [len(t) for t in tensors((features, 5, [torch.ones(4)]))] == [1, 2, 3, 4]
    again = rebuild(features, double)
    assert isinstance(again, Features)
    assert (float(again.skips[1][0]), again.keys) == (2, None)
    assert signature(features) == signature(again) != signature(replace(features, keys=torch.ones(1)))


def track(model):
    """Return the masks of two objects on 24 frames, and their logits on the last."""
    video = np.random.default_rng(0).integers(0, 255, (24, 48, 64, 3), dtype=np.uint8)
    box = np.zeros((48, 64), bool)
    box[10:30, 12:40] = True
    tracker = Tracker(model, video, memory="vanilla")
    for i in (1, 2):
        tracker.prompt(i, 0, mask=np.roll(box, 5 * i, axis=1))
    masks = [mask for _, found in tracker.propagate(1) for mask in found.values()]
    return masks, torch.cat([actor_of(tracker).objects.logits(i, 23) for i in (1, 2)])


@pytest.mark.slow
def test_a_tracker_finds_the_same_with_replays():
    torch.manual_seed(0)
    model = SAM2S(replace(CONFIGS["sam2s-nano"], image_size=64, edge_radius=2)).eval()
    masks, logits = track(model)
    backend = Replays()
    model.graphs = Graphs(backend)
    again, logits_again = track(model)
    assert backend.records == 2  # encoding, and following two objects with all of their memory
    assert backend.replays > 24
    assert all(np.array_equal(a, b) for a, b in zip(masks, again, strict=True))
    assert torch.equal(logits, logits_again)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_cuda_graphs_give_what_is_computed_without(dtype):
    model = load_model(device="cuda", dtype=dtype)
    graphs, model.graphs = model.graphs, None
    masks, logits = track(model)
    model.graphs = graphs
    again, logits_again = track(model)
    assert (graphs.recorded, graphs.failed) == (2, frozenset())
    torch.testing.assert_close(logits, logits_again, atol=1e-2, rtol=1e-2)
    assert np.mean([(a != b).mean() for a, b in zip(masks, again, strict=True)]) < 1e-3


class Waits(TorchDispatchMode):
    """Notes operations that wait for a GPU, or need the host while it works."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = str(function)
        masks = name.startswith("aten.index.") and any(i is not None and i.dtype == torch.bool for i in args[1])
        if masks or any(part in name for part in ("local_scalar", "nonzero", "masked_select", "lift_fresh")):
            self.found.append(name)
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", ["sam2s-nano", "sam2.1-tiny"])
def test_nothing_that_is_recorded_waits(name):
    torch.manual_seed(0)
    config = replace(CONFIGS[name], image_size=64)
    model = SAM2S(config).eval()
    with torch.inference_mode(False), torch.no_grad():
        pixels = torch.randint(0, 255, (1, 64, 64, 3), dtype=torch.uint8)
        features = model.encode(scale(pixels))
        grid, keys = config.grid, features.keys
        memories = Memories(
            maps=torch.randn(2, 2, config.memory_dim, grid, grid),
            slots=torch.tensor([[6, 0]] * 2),
            pointers=torch.randn(2, 2, config.hidden_dim),
            distances=torch.rand(2, 2),
            order=(6, 0),
            keys=None if keys is None else keys[None].repeat(2, 2, 1, 1, 1),
            patches=None if keys is None else torch.rand(2, 2, 4, 2 * grid, 2 * grid),
        )
        model._track(features, memories)  # the tables are made
        with Waits() as waits:
            model._track(model.encode(scale(pixels)), memories)
        assert waits.found == []
        with Waits() as waits:
            bool(pixels.any())
        assert waits.found == ["aten._local_scalar_dense.default"]


def test_frames_are_scaled_in_two_steps_as_in_one():
    frames = np.random.default_rng(0).integers(0, 255, (2, 8, 8, 3), dtype=np.uint8)
    image = normalise(frames, torch.device("cpu"))
    assert torch.equal(scale(torch.from_numpy(frames)), image)
    expected = (frames[1, 2, 3] / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    np.testing.assert_allclose(image[1, :, 2, 3], expected, rtol=1e-5)


def test_rounded_weights_give_what_mixed_precision_gives():
    torch.manual_seed(0)
    model = SAM2S(replace(CONFIGS["sam2.1-tiny"], image_size=64)).eval()
    model.arithmetic = torch.bfloat16
    image = torch.randn(1, 3, 64, 64)

    def answer():
        features = model.encode(image)
        decoded = model.decode(model.attend(features, None))
        return features.embedding, decoded.logits, model.memorize(features, decoded.logits, decoded.object_score)

    before = answer()
    round_weights(model, torch.bfloat16)
    assert model.image_encoder.trunk.blocks[0].attn.qkv.weight.dtype == torch.bfloat16
    assert model.image_encoder.trunk.blocks[0].norm1.weight.dtype == torch.float32
    for a, b in zip(before, answer(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)

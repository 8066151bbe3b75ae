"""EdgeTAM behind the tracker: many objects, DiveMem, snapshots, shortcuts. Its numbers are in test_edgetam_parity.py."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_sam2s.errors import ModelError
from napari_sam2s.model.cuda_graphs import Graphs, rebuild
from napari_sam2s.model.network_config import EDGETAM
from napari_sam2s.model.speed import Speed, apply_speed, fast_image_size, fast_speed
from napari_sam2s.tracking import Tracker
from napari_sam2s.tracking.policy import DIVEMEM
from tests.inside import actor_of

POINTS = {1: (10, 12), 2: (30, 40), 3: (20, 60)}


def track(model, clip, memory="vanilla", ids=POINTS, frames=12):
    """Return the tracker, and the logits of the last frame by object."""
    tracker = Tracker(model, clip, memory=memory)
    for i in ids:
        tracker.prompt(i, 0, points=[POINTS[i]])
    for _ in tracker.propagate(0, frames):
        pass
    return tracker, {i: actor_of(tracker).objects.logits(i, frames - 1) for i in ids}


def test_objects_together_are_found_as_each_alone(small_edgetam, clip):
    _, together = track(small_edgetam, clip)
    for i in POINTS:
        _, alone = track(small_edgetam, clip, ids=[i])
        torch.testing.assert_close(alone[i], together[i], atol=2e-2, rtol=0)  # memories are kept in bfloat16
    assert float((together[1] - together[2]).abs().max()) > 0.1


def test_a_memory_is_latents_and_a_snapshot_keeps_them(small_edgetam, clip):
    tracker, _ = track(small_edgetam, clip)
    maps = {m.map.shape for bank in actor_of(tracker).objects.banks.values() for m in bank.conditioning.values()}
    assert maps == {(8, 16)}
    again = Tracker(small_edgetam, clip, memory="vanilla")
    again.restore(tracker.snapshot())
    for (_, a), (_, b) in zip(tracker.propagate(12, 20), again.propagate(12, 20), strict=True):
        assert all(np.array_equal(a[i], b[i]) for i in POINTS)


@pytest.mark.slow
def test_divemem_keeps_long_term_memories_that_are_read(small_edgetam, clip):
    policy = replace(DIVEMEM, iou_threshold=0.0)
    tracker, logits = track(small_edgetam, clip, policy, frames=30)
    assert all(bank.trails[1].long_term for bank in actor_of(tracker).objects.banks.values())
    _, vanilla = track(small_edgetam, clip, frames=30)
    assert not torch.equal(logits[1], vanilla[1])


@pytest.mark.slow
def test_shortcuts(small_edgetam, clip, monkeypatch):
    cpu = torch.device("cpu")
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False, raising=False)
    assert fast_speed(EDGETAM, cpu) == Speed(memories=4)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True, raising=False)
    assert fast_speed(EDGETAM, cpu) == Speed(memories=4, trunk="bf16", attention="bf16")
    assert fast_image_size(EDGETAM) == 1024
    _, exact = track(small_edgetam, clip)
    fast = copy.deepcopy(small_edgetam)
    apply_speed(fast, Speed(pooled_memory=True, memories=4, trunk="bf16", attention="bf16"))
    mixed = copy.deepcopy(small_edgetam)
    mixed.arithmetic = torch.bfloat16
    for model in (fast, mixed):
        _, near = track(model, clip)
        error = max(float((near[i] - exact[i]).norm() / exact[i].norm()) for i in POINTS)
        assert 0 < error < 0.2


def test_it_can_be_recorded_for_cuda_graphs(small_edgetam, clip):
    calls = []

    def recorder(function, arguments):
        def replay(new):
            calls.append(function)
            return rebuild(function(*new), torch.clone)

        return replay

    model = copy.deepcopy(small_edgetam)
    model.graphs = Graphs(recorder)
    _, logits = track(model, clip, frames=20)
    _, plain = track(small_edgetam, clip, frames=20)
    assert len(calls) > 15
    assert all(torch.equal(logits[i], plain[i]) for i in POINTS)


def test_sizes_that_its_windows_do_not_fill():
    with pytest.raises(ModelError, match="image_size=448 is not possible with edgetam: take a multiple of 256"):
        replace(EDGETAM, image_size=448)


def test_what_a_memory_takes_is_told(small_edgetam):
    assert small_edgetam.facts.bytes_per_memory == 4 * (8 * 5 * 64 + 4 * 4 * 64 // 4)

"""SAM 3's tracker and EfficientTAM behind the tracker: DiveMem, snapshots, recording. Their numbers are in the parity tests."""

from __future__ import annotations

import copy
import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_sam2s.model.cuda_graphs import Graphs, rebuild
from napari_sam2s.tracking import Tracker
from napari_sam2s.tracking.policy import DIVEMEM
from tests.inside import actor_of


def module(name):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


@pytest.fixture(scope="module", params=["sam3", "efficienttam"])
def model(request):
    parity = module(f"{request.param}_parity")
    return parity.our_model() if request.param == "sam3" else parity.our_model(parity.SMALL)


def begun(model, clip, policy, frames):
    tracker = Tracker(model, clip, memory=policy)
    for i, point in {1: (10, 12), 2: (30, 40)}.items():
        tracker.prompt(i, 0, points=[point])
    return tracker, [found for _, found in tracker.propagate(0, frames)]


def test_a_snapshot_goes_on_to_the_same_masks_with_long_term_memories(model, clip):
    policy = replace(DIVEMEM, iou_threshold=0.0)
    tracker, _ = begun(model, clip, policy, 9)
    assert all(bank.trails[1].long_term for bank in actor_of(tracker).objects.banks.values())
    again = Tracker(model, clip, memory=policy)
    again.restore(tracker.snapshot())
    for (_, a), (_, b) in zip(tracker.propagate(9, 11), again.propagate(9, 11), strict=True):
        assert all(np.array_equal(a[i], b[i]) for i in (1, 2))


def test_it_can_be_recorded_for_cuda_graphs(model, clip):
    calls = []

    def recorder(function, arguments):
        def replay(new):
            calls.append(function)
            return rebuild(function(*new), torch.clone)

        return replay

    recorded = copy.deepcopy(model)
    recorded.graphs = Graphs(recorder)
    _, masks = begun(recorded, clip, "vanilla", 7)
    _, plain = begun(model, clip, "vanilla", 7)
    assert len(calls) > 4
    assert all(np.array_equal(a[i], b[i]) for a, b in zip(masks, plain, strict=True) for i in (1, 2))

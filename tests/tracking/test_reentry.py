"""DiveMem on a clip whose object is seen from many sides, leaves for long and comes back from yet another one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_sam2s.tracking import Tracker
from napari_sam2s.tracking.memory_bank import FORWARD
from napari_sam2s.tracking.policy import DIVEMEM, VANILLA
from tests.inside import actor_of

SEEN, AWAY = 40, 25  # frames that the object is in the picture, and that it is away then
BACK = SEEN + AWAY


def make_clip():
    """Return ``(T, Y, X, 3)``: a striped square turns by 4 degrees a frame over a plain ground, and is away in between."""
    ground = np.random.default_rng(0).integers(90, 110, (64, 64, 3)).astype(np.uint8)
    stripes = np.kron(np.arange(40) % 2, np.ones(8))[:40] * 200 + 20
    square = np.repeat(np.tile(stripes, (40, 1))[..., None], 3, axis=2)
    square[:20, :, 0] = 0
    frames = np.repeat(ground[None], BACK + 1, axis=0)
    for t in (*range(SEEN), BACK):
        turned = ndimage.rotate(square, 4 * t, axes=(0, 1), reshape=False, order=1, cval=-1)
        there = turned.min(axis=2) >= 0
        frames[t, 12:52, 12:52][there] = turned[there]
    return frames


@pytest.fixture
def told_nano(random_nano, monkeypatch):
    """A network whose scores tell the truth: untrained ones say nothing of absence, and this test is of the memory."""
    now = {}
    encode, decode = type(random_nano).encode, type(random_nano).decode

    def looking(model, image):
        features = encode(model, image)
        now["there"] = float(image.std()) > 0.3  # the ground alone is plain
        return features

    def telling(model, attended, **keywords):
        decoded = decode(model, attended, **keywords)
        decoded.iou = torch.full_like(decoded.iou, 0.99 if now["there"] else 0.3)
        decoded.object_score = torch.full_like(decoded.object_score, 5.0 if now["there"] else -5.0)
        return decoded

    monkeypatch.setattr(type(random_nano), "encode", looking)
    monkeypatch.setattr(type(random_nano), "decode", telling)
    return random_nano


@pytest.mark.slow
def test_divemem_holds_views_from_all_sides_where_vanilla_holds_the_absence(told_nano):
    clip = make_clip()
    seen = {}
    for policy in (DIVEMEM, VANILLA):
        tracker = Tracker(told_nano, clip, memory=policy)
        tracker.prompt(1, 0, box=(12, 12, 52, 52))
        for _ in tracker.propagate(0, BACK):
            pass
        recall = actor_of(tracker).objects.banks[1].recall(BACK, FORWARD)
        trail = actor_of(tracker).objects.banks[1].trails[FORWARD]
        frames = [*tracker.conditioning[1], *sorted(trail.recent)[-6:], *(m.frame for m in trail.long_term)]
        assert len(recall.memories) == len(frames)
        seen[policy.name] = sorted(t for t in frames if t < SEEN)
    assert seen["vanilla"] == [0]
    long_term = seen["divemem"][1:]
    assert seen["divemem"][0] == 0
    assert len(long_term) == DIVEMEM.long_term
    assert long_term[-1] - long_term[0] >= 10  # not one moment

    with torch.inference_mode():
        views = {t: told_nano.encode(told_nano.prepare(clip[t])).embedding.flatten() for t in range(SEEN)}
    latest = torch.stack([views[t] for t in range(SEEN - 5, SEEN)])
    kept = torch.stack([views[t] for t in (0, *long_term)])
    assert torch.pdist(kept).mean() > 1.2 * torch.pdist(latest).mean()

"""Runs that end by the clock."""

from __future__ import annotations

import itertools
import math

import pytest

from napari_sam2s.training.optimizer import set_rates
from napari_sam2s.training.training_config import Stage, TrainingConfig
from research.time_budget import AHEAD_S, Clock


def config():
    stages = tuple(Stage(name, steps, 1, 1, 1.0) for name, steps in (("short", 100), ("long", 300)))
    return TrainingConfig("sam2s-nano", 0, 64, 1, 0.0, 1.0, 0, 0.9, 1, {"cells": 1.0}, stages)


class Rates:
    """An optimizer that notes the rates it is given."""

    def __init__(self):
        self.param_groups = [{"factor": 1.0, "encoder": False, "lr": math.nan}]


def run(seconds, pace, ahead=12):
    """Play a run whose steps take ``pace`` seconds each, with batches ordered some steps ahead."""
    now = [50.0]
    settings = config()
    clock = Clock(settings, seconds, lambda: now[0])
    order = clock.order()
    on_the_way = list(itertools.islice(order, ahead))
    taken, rates, optimizer = [], [], Rates()
    now[0] += 30  # until the first batch is there: not counted
    clock.start()
    while not clock.over:
        step, part, stage = on_the_way.pop(0)
        assert (step, part) == (len(taken), 0)
        got, within = clock.arrived()
        assert got.name == settings.stages[stage].name
        assert 0 <= within < got.steps
        set_rates(optimizer, settings, got, within)
        taken.append(stage)
        rates.append(optimizer.param_groups[0]["lr"])
        on_the_way.append(next(order))
        now[0] += pace
    return clock, taken, rates


@pytest.mark.parametrize("pace", [0.2, 1.0])
def test_stages_share_the_time_and_rates_fall_whatever_the_pace(pace):
    clock, taken, rates = run(400, pace)
    assert len(taken) == pytest.approx(400 / pace, abs=2)
    assert taken == sorted(taken)
    late = 12 + AHEAD_S / pace  # ordered ahead
    assert taken.count(0) == pytest.approx(100 / pace, abs=late)
    assert clock.config().steps == len(taken)
    first = rates[: taken.count(0)]
    for part in (first, rates[len(first) :]):
        assert part[0] > 0.95
        assert part[-1] < 0.15
        assert all(a >= b - 0.02 for a, b in itertools.pairwise(part))


def test_a_time_too_short_for_a_stage_leaves_it_out():
    clock, taken, _ = run(2, 5, ahead=3)
    assert clock.config().steps == len(taken) == 1

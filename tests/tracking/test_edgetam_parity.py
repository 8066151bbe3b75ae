"""EdgeTAM with the same weights, clip and prompts gives the logits of transformers."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

_spec = importlib.util.spec_from_file_location("edgetam_parity", Path(__file__).with_name("edgetam_parity.py"))
edgetam_parity = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(edgetam_parity)
parity = edgetam_parity.parity

LOGITS, SCORES = 1e-3, 1e-4


@pytest.fixture(scope="module")
def golden():
    return np.load(parity.GOLDEN / "edgetam.npz")


@pytest.mark.parametrize("scenario", [pytest.param(edgetam_parity.FEW[0], marks=pytest.mark.slow), *edgetam_parity.FEW[1:]])
def test_against_golden_file(golden, scenario):
    side = edgetam_parity.SMALL
    with parity.float_memories():
        parity.check_golden(parity.run_ours(edgetam_parity.our_model(side), scenario, side), golden, scenario)


@pytest.mark.long
@pytest.mark.parametrize("scenario", parity.SCENARIOS)
@pytest.mark.parametrize("side", [edgetam_parity.SMALL, 512])
def test_against_transformers(side, scenario, record_property):
    pytest.importorskip("transformers")
    if importlib.util.find_spec("timm") is None:  # not imported: without torchvision that takes the stand-in of Trunk
        pytest.skip("the oracle timm is not installed")
    found, _ = edgetam_parity.compare(side, scenario)
    record_property("differences", found)  # the figures of docs/models/edgetam.md, with --junitxml
    assert all(one < most for one, most in zip(found, (LOGITS, SCORES, SCORES), strict=True))

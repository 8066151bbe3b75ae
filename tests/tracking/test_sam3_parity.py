"""SAM 3's tracker with the same weights, clip and prompts gives the logits of transformers."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

_spec = importlib.util.spec_from_file_location("sam3_parity", Path(__file__).with_name("sam3_parity.py"))
sam3_parity = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(sam3_parity)
parity = sam3_parity.parity

LOGITS, SCORES = 1e-3, 1e-4


@pytest.fixture(scope="module")
def golden():
    return np.load(parity.GOLDEN / "sam3.npz")


@pytest.mark.parametrize("scenario", sam3_parity.FEW)
def test_against_golden_file(golden, scenario):
    parity.check_golden(sam3_parity.run_ours(scenario), golden, scenario)


@pytest.mark.long
@pytest.mark.parametrize("scenario", parity.SCENARIOS)
def test_against_transformers(scenario):
    pytest.importorskip("transformers")
    found = parity.differences(sam3_parity.run_ours(scenario), sam3_parity.run_oracle(scenario))
    assert all(one < most for one, most in zip(found, (LOGITS, SCORES, SCORES), strict=True))

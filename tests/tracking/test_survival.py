"""Killed at any moment of a propagation that also receives edits, a project goes on to the same masks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "survival.py"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("moments", [pytest.param(3, marks=pytest.mark.slow), pytest.param(25, marks=pytest.mark.long)])
def test_killed_and_gone_on_with(tmp_path, moments):
    command = [sys.executable, "-W", "ignore", str(SCRIPT), str(tmp_path), str(moments), str(moments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300 + 40 * moments, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    facts = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(facts) == moments
    for one in facts:
        assert one["integrity"] in ("ok", "no file"), one
        assert one["lost"] == 0, one
        assert one["resumed"], one
        assert one["same"], one
    assert any(0 < one["frames"] < 28 for one in facts), "no moment was in the middle of a run"

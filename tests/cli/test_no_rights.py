"""No door opens what a user may not read, or writes where one may not: a sentence, exit code 2, and nothing half-written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("no_rights.py")
DENIED = r"may not be read by you|you have no permission|cannot be written|Permission denied"
LOOKS = {"methods", "show", "info", "doctor"}  # that write nothing, unless they are told where


@pytest.fixture(scope="module")
def told():
    """What each command said, to somebody who is not root."""
    with tempfile.TemporaryDirectory(prefix="no rights ") as folder:  # pytest's own are closed to others
        Path(folder).chmod(0o755)
        yield commands_said(Path(folder))


def commands_said(base):
    """Return what the script printed."""
    environment = {**os.environ, "SAM2S_CACHE_DIR": str(base / "cache"), "PYTHONPATH": str(SCRIPT.parents[2])}
    command = [sys.executable, str(SCRIPT), str(base)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="rights of POSIX")
def test_what_is_allowed_works(told):
    """Also that these are the commands: a misspelled one is refused, too."""
    allowed = [one for one in told if one["kind"] == "allowed"]
    assert len(allowed) > 30
    assert [one for one in allowed if one["code"] != 0] == []


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="rights of POSIX")
@pytest.mark.parametrize("kind", ["closed", "secret"])
def test_what_is_not_allowed_is_said_in_one_sentence(told, kind):
    import re

    tried = [one for one in told if one["kind"] == kind]
    assert len(tried) > 30
    for one in tried:
        words = one["words"]
        writes = words[0] not in LOOKS or "--out" in words
        assert one["left"] == [], words
        if kind == "closed" and not writes:
            assert one["code"] == 0, one
        elif words[0] == "doctor":  # which says it in its report
            assert one["code"] == 1, one
            assert re.search(DENIED, one["out"]), one
        else:
            assert one["code"] == 2, one
            *_, sentence = one["err"].strip().splitlines()
            assert sentence.startswith(f"napari-sam2s {words[0]}: "), one
            assert re.search(DENIED, sentence), one
            assert "Errno" not in sentence, one
            assert len(sentence) < 400, one

import json
from pathlib import Path

import pytest

from napari_sam2s.cli import main
from napari_sam2s.doctor import Finding, as_json, as_text, examine
from napari_sam2s.doctor import checks as all_checks
from napari_sam2s.doctor.findings import anonymous, worst

GOOD = Finding("one", "ok", "all of it")
BAD = Finding("two", "broken", "It does not work.", "pip install it")
ODD = Finding("three", "warning", "It works a little.")


def test_the_worst_decides():
    assert [worst(f) for f in ([GOOD], [GOOD, ODD], [ODD, BAD, GOOD], [])] == ["ok", "warning", "broken", "ok"]


def test_text_says_what_to_do():
    text = as_text([GOOD, BAD])
    assert "ok       one  all of it" in text
    assert "-> pip install it" in text
    assert text.endswith("Follow the arrows above, then run this again.")


def test_json_is_for_scripts():
    read = json.loads(as_json([GOOD, BAD]))
    assert read["verdict"] == "broken"
    assert read["findings"][1] == {"part": "two", "verdict": "broken", "found": "It does not work.", "remedy": "pip install it"}


def test_a_check_that_fails_is_a_finding():
    def failing():
        yield GOOD
        raise ValueError("first line\nlast line")

    good, bad = examine([("three", failing)])
    assert good is GOOD
    assert (bad.part, bad.verdict, bad.found) == ("three", "broken", "ValueError: last line")


def test_no_personal_paths(monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: Path("/home/mueller"))
    monkeypatch.setenv("LOGNAME", "mueller")
    text = anonymous("/home/mueller/case, /data/mueller/x, /mnt/mueller-lab, muellers")
    assert text == "~/case, /data/USER/x, /mnt/USER-lab, muellers"


@pytest.mark.parametrize(("finding", "code"), [(GOOD, 0), (ODD, 0), (BAD, 1)])
def test_the_command(monkeypatch, capsys, finding, code):
    monkeypatch.setattr(all_checks, "CHECKS", (("it", lambda: [finding]),))
    assert main(["doctor", "--json"]) == code
    assert json.loads(capsys.readouterr().out)["findings"][0]["part"] == finding.part
    assert main(["doctor"]) == code
    assert finding.found in capsys.readouterr().out

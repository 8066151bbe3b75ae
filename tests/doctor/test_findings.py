import json

import pytest

from napari_sam2s.cli import main
from napari_sam2s.doctor import Finding, as_json, as_text, examine
from napari_sam2s.doctor import checks as all_checks
from napari_sam2s.doctor.findings import worst

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


@pytest.mark.parametrize("paths", [False, True])
def test_no_personal_paths(monkeypatch, capsys, paths):
    remedy = '"/mnt/lab/Meyer Hans/bin/python" -m pip install it'
    finding = Finding("two", "broken", "/mnt/lab/patient/case.mp4 is gone.", remedy)
    monkeypatch.setattr(all_checks, "CHECKS", (("it", lambda: [finding]),))
    for option in ([], ["--json"]):
        main(["doctor", *option, *["--paths"] * paths])
        said = capsys.readouterr().out
        assert ("patient" in said) == ("Meyer" in said) == paths
        assert ("<folder>/case.mp4" in said) != paths
    assert ("doctor --paths" in as_text([finding], paths=paths)) != paths


def test_a_long_path_is_shortened_before_the_line_is_broken():
    finding = Finding("two", "broken", f"/mnt/{'patient' * 9}/case.mp4 is gone.")
    assert "patient" not in as_text([finding], columns=40)


@pytest.mark.parametrize(("finding", "code"), [(GOOD, 0), (ODD, 0), (BAD, 1)])
def test_the_command(monkeypatch, capsys, finding, code):
    monkeypatch.setattr(all_checks, "CHECKS", (("it", lambda: [finding]),))
    assert main(["doctor", "--json"]) == code
    assert json.loads(capsys.readouterr().out)["findings"][0]["part"] == finding.part
    assert main(["doctor"]) == code
    assert finding.found in capsys.readouterr().out

"""The scripts whose figures the docs quote: what they keep, and what they add up."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_sam2s.evaluation.scores import ObjectScore
from napari_sam2s.formats import read_davis
from napari_sam2s.synthetic.laparoscopy import Laparoscopy
from napari_sam2s.training.validation_cases import Case, tracks_of
from research.material import HELD_OUT_VIDEOS
from research.scoring import FamilyScore, ObjectResult
from tests.apart import run_apart

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("model_benchmark", BENCHMARKS / "model.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    sys.path.insert(0, str(BENCHMARKS))  # as Python does when it is called
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(BENCHMARKS))
    del sys.modules[spec.name]


LOAD = """
import runpy, sys, traceback
for path in sys.argv[1:]:
    try:
        runpy.run_path(path, run_name="loaded")
    except Exception:
        print(path)
        traceback.print_exc()
"""


@pytest.mark.slow
def test_every_script_finds_what_it_imports(tmp_path):
    root = BENCHMARKS.parent
    scripts = sorted(path for folder in ("benchmarks", "docs", "research") for path in (root / folder).glob("*.py"))
    scripts = [path for path in scripts if path.name != "one_line_each.py"]  # the site's, which its strict build loads
    assert len(scripts) > 25
    # Elsewhere, as scripts change the environment; and where Python looks when one of them is called.
    told = run_apart(LOAD, *map(str, scripts), folder=tmp_path, paths=(BENCHMARKS, root / "docs", root))
    assert told == (0, "")


def test_a_folder_of_results_is_of_one_model(script, tmp_path):
    case = Case("a", np.zeros((2, 8, 8, 3), np.uint8), [])
    first, other = tmp_path / "first.npz", tmp_path / "other.npz"
    first.write_bytes(b"1")
    other.write_bytes(b"2")
    kept = script.Kept(tmp_path / "kept", {"sha256": "1"}, 0, {"composites": first})
    for family in ("composites", "laparoscopy"):
        kept.write(family, case, {"mask": {"ours": []}})
    same = script.Kept(tmp_path / "kept", {"sha256": "1"}, 1, {"composites": other})
    assert same.read("laparoscopy", case)
    assert not same.read("composites", case), "these were made of other material"
    with pytest.raises(SystemExit, match="another model"):
        script.Kept(tmp_path / "kept", {"sha256": "2"}, 0)
    (tmp_path / "kept" / "made-of.json").unlink()
    with pytest.raises(SystemExit, match="another model"):
        script.Kept(tmp_path / "kept", {"sha256": "1"}, 0)


def test_changed_annotations_make_other_results(script, tmp_path):
    picture = tmp_path / "annotations" / "a" / "00000.png"
    picture.parent.mkdir(parents=True)
    picture.write_bytes(b"1")
    before = script.fingerprint(tmp_path / "annotations")
    assert before == script.fingerprint(tmp_path / "annotations") != ""
    picture.write_bytes(b"2")
    changed = script.fingerprint(tmp_path / "annotations")
    assert changed != before
    (tmp_path / "annotations" / "README.md").write_text("words change nothing")
    assert script.fingerprint(tmp_path / "annotations") == changed
    assert script.fingerprint(tmp_path / "none") == script.fingerprint(None) == ""


def test_real_clips_are_annotated_only_where_nothing_was_trained_on(script):
    annotated = read_davis(script.ANNOTATIONS)
    assert set(annotated) <= set(HELD_OUT_VIDEOS)
    for truth in annotated.values():
        seen = [i for t in truth.frames for i, mask in truth.masks(t).items() if mask.any()]
        assert all(seen.count(o.id) > 1 for o in truth.objects)  # an object seen once cannot be scored


def test_what_is_kept_is_not_tracked_again(script, tmp_path, monkeypatch):
    clip = Laparoscopy(2**31, 3, (64, 64), classes=("hook",), organ=None, absences=0)
    images = np.stack([clip[t] for t in range(3)])
    cases = [Case(clip.name, images, tracks_of(clip))]
    monkeypatch.setattr(script, "families", lambda *_, **__: {"laparoscopy": lambda: iter(cases)})
    asked, run_case = [], script.run_case
    monkeypatch.setattr(
        script, "run_case", lambda m, c, prompts, *a: asked.append(list(prompts)) or run_case(m, c, prompts, *a)
    )
    args = argparse.Namespace(
        model="sam2s-nano", image_size=64, size=64, jobs=1, quick=True, families=[], counts={}, material=None, real=None
    )
    args.keep, args.no_vanilla, args.prompts, args.whole_frame = tmp_path / "kept", True, ["mask"], False
    args.edge_radius = None
    (alone,) = script.score_part(0, args)["laparoscopy"]
    args.prompts = ["mask", "1-click"]
    (both,) = script.score_part(0, args)["laparoscopy"]
    assert script.score_part(0, args)["laparoscopy"][0].keys() == {"mask", "1-click"}
    assert asked == [["mask"], ["1-click"]]
    assert repr(both["mask"]) == repr(alone["mask"])  # as nan is not equal to itself
    assert 0 < both["mask"]["ours"][0].score.jf <= 1


def test_the_lead_is_counted_object_by_object(script, capsys):
    def result(jf):
        return ObjectResult("a", ObjectScore("a", 1, 9, jf, jf, jf, *[0] * 7, 0.0, 0), returns=1, after_return=jf)

    ours = FamilyScore([result(v) for v in (0.9, 0.8, 0.7)])
    vanilla = FamilyScore([result(v) for v in (0.8, 0.8, 0.5)])
    script.leads({"moved": {"mask": {"ours": ours, "vanilla": vanilla}}}, "mask")
    told = capsys.readouterr().out
    assert "| moved | all frames | 3 | 10.0 | 5.8 | 2 | 0 |" in told  # differences of 10, 0 and 20: 10 +- 10 / sqrt(3)
    assert "| moved | after the first return | 3 | 10.0 | 5.8 | 2 | 0 |" in told

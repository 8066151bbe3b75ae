"""Methods: the paragraph, BibTeX and the JSON by which a result is repeated."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from napari_sam2s import __version__
from napari_sam2s.cli import main
from napari_sam2s.formats.coco_rle import decode_rle
from napari_sam2s.formats.methods_record import _about_runs, methods_record
from napari_sam2s.formats.references import bibtex
from napari_sam2s.masklets import Project, Prompt, Scores
from napari_sam2s.model.model_registry import registry
from napari_sam2s.video import open_video

SETTINGS = {
    **{"model": "edgetam", "model_hash": "ab" * 32, "model_source": "x.pt", "mode": "exact", "precision": "float32"},
    **{"image_size": 512, "device": "cuda:0", "torch": "2.13.0", "napari_sam2s": "0.1", "memory": {"name": "divemem"}},
}


@pytest.fixture
def project(tmp_path):
    video = open_video(np.zeros((5, 20, 30, 3), np.uint8), fps=25)
    with Project.create(tmp_path / "case.sam2s", video) as project:
        project.add_object("Greifer ä", "grasper")
        mask = np.zeros((20, 30), bool)
        mask[4:9, 5:9] = True
        project.keep_prompt(Prompt(1, 0, points=((5.0, 6.0), (1.0, 1.0)), labels=(1, 0)), mask, Scores(0.9, 3.0))
        project.keep_prompt(Prompt(1, 2, mask=mask), mask, None)
        run = project.runs.start(next_frame=0, stop_frame=5, **SETTINGS)
        project.write_masks([(t, 1, mask & (t < 4), Scores(0.9, 2.0)) for t in (1, 3, 4)], run=run)
        project.runs.finish(run)
        project.confirm(0)
        yield project


def test_the_record_has_what_repeats_it(project):
    record = json.loads(json.dumps(methods_record(project)))
    assert record["napari_sam2s"] == __version__
    assert record["video"] | {"fingerprint": ""} == {
        **{"name": None, "frames": 5, "height": 20, "width": 30, "fps": 25.0, "stream": None, "fingerprint": ""},
    }
    assert record["video"]["fingerprint"] == project.video.fingerprint != ""
    point, mask = record["prompts"]
    assert (point["points_yx"], point["labels"], point["frame"]) == ([[5.0, 6.0], [1.0, 1.0]], [1, 0], 0)
    np.testing.assert_array_equal(decode_rle(mask["mask"]), project.mask(2, 1))
    [run] = record["runs"]
    assert run["settings"] == SETTINGS
    assert (run["status"], run["direction"], run["start_frame"]) == ("finished", "forward", 0)
    assert record["masks"] == {"all": 5, "absent": 1, "confirmed": 1, "origins": {"prompted": 2, "propagated": 3}}
    assert {"step": "track", "undone": False} in record["edits"]
    assert record["written_on"]["packages"]["numpy"] == np.__version__


def test_the_digest_is_of_the_masks_alone(project, tmp_path):
    before = methods_record(project)["masks_sha256"]
    project.objects.rename(1, "other")
    assert methods_record(project)["masks_sha256"] == before
    project.write_masks([(1, 1, np.ones((20, 30), bool), None)], origin="painted")
    assert methods_record(project)["masks_sha256"] != before
    project.undo()
    assert methods_record(project)["masks_sha256"] == before


def test_paragraph_and_bibtex(project, tmp_path, capsys):
    assert main(["methods", str(project.path), "--out", str(tmp_path / "m")]) == 0
    text = (tmp_path / "m" / "case_methods.txt").read_text()
    assert "a video of 5 frames (30 × 20 pixels at 25 frames per second)" in text
    assert "There is 1 object (1 grasper)." in text
    assert "The prompts were 1 positive point, 1 negative point, 1 mask on 2 frames." in text
    assert f"the model x.pt, a network edgetam (SHA-256 of its weights {'ab' * 8}...) at 512 pixels with divemem memory" in text
    assert (
        "Of 5 masks, 2 (40.0 %) answer prompts, 3 (60.0 %) were propagated by the model. 1 mask marks an object as absent."
        in text
    )
    assert "A person confirmed 1 mask." in text
    bib = (tmp_path / "m" / "case_methods.bib").read_text()
    keys = re.findall(r"@\w+\{([\w]+),", bib)
    assert keys == ["napari_sam2s", "liu2025sam2s", "ravi2024sam2", "paszke2019pytorch", "zhou2025edgetam", "napari"]
    for entry in bib.split("\n\n"):
        assert entry.count("{") == entry.count("}")
    assert json.loads((tmp_path / "m" / "case_methods.json").read_text())["masks"]["all"] == 5
    assert text in capsys.readouterr().out


@pytest.mark.parametrize(
    ("facts", "words", "cited"),
    [
        ({"model": "sam2.1-tiny", "model_source": "medsam2"}, "the model medsam2, a network sam2.1-tiny (", "medsam2"),
        ({"model": "sam2.1-tiny", "model_source": "C:\\Users\\ich\\lab.pt"}, "the model lab.pt, a network sam2.1-tiny (", None),
        (
            {"model": "sam2.1-tiny", "model_source": "/home/ich/lab.pt", "model_hash": registry()["medsam2"].sha256},
            "",
            "medsam2",
        ),
        ({"model": "efficienttam-s", "model_source": "efficienttam-s"}, "the model efficienttam-s (", "efficienttam"),
        ({"model": "sam2.1-tiny", "model_source": "sam2.1-tiny"}, "the model sam2.1-tiny (SHA-256 of", None),
        (
            {"differences": "1 tensor is unknown (slots.a)"},
            "...) without the parts that did not fit that network (1 tensor is unknown (slots.a)), at 512 pixels",
            "zhou2025edgetam",
        ),
    ],
)
def test_a_fine_tune_is_not_said_to_be_what_it_was_made_from(facts, words, cited):
    run = {"status": "finished", "settings": SETTINGS | facts}
    assert words in "".join(_about_runs([run]))
    assert "ich" not in "".join(_about_runs([run]))  # a place on one's disk belongs in no paper
    keys = re.findall(r"@\w+\{([\w]+),", bibtex({"napari_sam2s": "1", "runs": [run]}))
    assert [key for key in keys if key in ("medsam2", "efficienttam", "zhou2025edgetam")] == ([cited] if cited else [])


def test_without_a_model(tmp_path, capsys):
    with Project.create(tmp_path / "e.sam2s", open_video(np.zeros((2, 4, 4, 3), np.uint8))):
        pass
    assert main(["methods", str(tmp_path / "e.sam2s")]) == 0
    told = capsys.readouterr().out
    assert "There is no object. No model was run. No object has a mask." in told
    assert "liu2025sam2s" not in told
    assert "Objects were annotated in a video of 2 frames" in told  # nothing was tracked, and no paper is to say so
    assert main(["methods", str(tmp_path / "none.sam2s")]) == 2

"""``napari-sam2s convert``."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from napari_sam2s.cli import main


@pytest.fixture
def source(tmp_path):
    """A tree of BKAI-IGH, the smallest there is."""
    for n in range(2):
        picture, mask = np.zeros((2, 40, 60, 3), np.uint8)
        picture[:, :, n] = 90
        mask[5:20, 5:25] = 255, 0, 0
        for folder, array in (("train/train", picture), ("train_gt/train_gt", mask)):
            (tmp_path / "bkai" / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(tmp_path / "bkai" / folder / f"p{n}.jpeg")
    return tmp_path / "bkai"


def run(capsys, *words):
    code = main([str(w) for w in words])
    out = capsys.readouterr()
    return code, out.out, out.err


def test_list(capsys):
    code, out, _ = run(capsys, "convert", "--list")
    assert code == 0
    assert out.count("\n") == 19
    assert "| hyst-yt | Hyst-YT | Hyst-YT (test) | not known | unverified |" in out
    code, out, _ = run(capsys, "convert", "--list", "EndoVis18-T")
    assert "17 small intestine (tissue)" in out
    assert "596 frames" in out
    code, out, _ = run(capsys, "convert", "--list", "--json")
    assert len(json.loads(out)) == 17


def test_dry_run_then_convert(capsys, source, tmp_path):
    code, out, _ = run(capsys, "convert", "bkai-igh", source, "--dry-run")
    assert code == 0
    assert "| BKAI-IGH | would be made | 2 | 2 | 0 | 2 |" in out
    assert "differs: BKAI-IGH: 2 frames, published are 1000" in out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bkai"]
    code, out, _ = run(capsys, "convert", "bkai-igh", source, tmp_path / "out", "--json")
    facts = json.loads(out)
    assert facts["subsets"]["BKAI-IGH"]["made"]["tissue_masks"] == 2
    assert (tmp_path / "out" / "BKAI-IGH" / "Annotations" / "p0" / "00000.png").exists()


def test_an_unverified_layout_is_said(capsys, tmp_path):
    code, _, err = run(capsys, "convert", "robotool", tmp_path, "--dry-run")
    assert code == 2
    assert (
        "RoboTool: the layout is not documented; the conversion stops at the first file that differs from it. Read "
        "as: images/*" in err
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["convert"], "Give NAME, SRC and DST"),
        (["convert", "bkai-igh", "{source}"], "Give NAME, SRC and DST"),
        (["convert", "davis", "{source}", "{new}"], "There is no dataset 'davis'"),
        (["convert", "bkai-igh", "/no/where", "{new}"], "There is no folder /no/where"),
        (["convert", "endovis17", "{source}", "{new}"], "holds no folder instrument_dataset_"),
        (["convert", "--apply-review", "{source}"], "There is no"),
    ],
)
def test_bad_input_is_one_sentence_and_code_2(capsys, source, tmp_path, words, sentence):
    code, out, err = run(capsys, *[w.format(source=source, new=tmp_path / "new") for w in words])
    assert code == 2
    assert sentence in err
    assert err.count("\n") == 1
    assert not out
    assert not (tmp_path / "new").exists()

"""The table of models: every fact is there and makes sense; the pages and commands made from it say what it says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from napari_sam2s.cli import main
from napari_sam2s.errors import ModelError
from napari_sam2s.model.checkpoints import find_weights, load_model
from napari_sam2s.model.downloads import DOWNLOADS, sha256, terms
from napari_sam2s.model.model_registry import entry_of_hash, families, loadable, markdown_table, registry
from napari_sam2s.model.network_config import CONFIGS
from napari_sam2s.model.own_models import FILE, add_model, own_models, remember_size, remembered_size

DOCS = Path(__file__).parents[2] / "docs"


def test_every_entry_is_whole():
    assert set(CONFIGS) <= set(registry())
    for entry in registry().values():
        assert entry.built_in or entry.url.startswith("https://") or entry.page.startswith("https://"), entry.name
        assert entry.built_in or entry.megabytes
        assert not entry.pinned or (len(entry.sha256) == 64 and int(entry.sha256, 16))
        assert entry.input_size >= 256
        assert entry.purpose
        assert entry.licence.title
    pins = [entry.sha256 for entry in registry().values() if entry.pinned]
    assert len(set(pins)) == len(pins)


def test_every_official_file_is_pinned():
    official = [entry for entry in DOWNLOADS.values() if entry.family.name in ("sam2", "edgetam")]
    assert len(official) >= 8
    assert all(entry.pinned and entry.bytes for entry in official)
    assert entry_of_hash(registry()["medsam2"].sha256).input_size == 512
    assert entry_of_hash("0" * 64) is None


def test_the_pages_say_what_the_table_says():
    page = (DOCS / "reference" / "models.md").read_text(encoding="utf-8")
    wrong = "docs/reference/models.md differs from the registry: `python -m napari_sam2s.model.model_registry` prints the table"
    assert markdown_table() in page, wrong
    for family in families().values():
        assert (DOCS / "models" / f"{family.card}.md").is_file() or (DOCS / f"{family.card}.md").is_file(), family.card


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SAM2S_MODEL_DIR", str(tmp_path / "kept"))
    monkeypatch.delenv("SAM2S_OFFLINE_DIR", raising=False)
    return tmp_path


def test_terms_name_what_a_licence_forbids(monkeypatch):
    known = registry()
    assert "research and education" in terms(known["medsam2"])
    assert "not known in advance" in terms(known["medsam2-us-heart"])
    assert terms(known["sam2.1-tiny"]) == "sam2.1-tiny: 156 MB from dl.fbaipublicfiles.com, licence Apache-2.0."
    monkeypatch.setenv("SAM2S_MODEL_MIRROR", "https://mirror.example/weights")
    assert "156 MB from mirror.example," in terms(known["sam2.1-tiny"])


def test_commands(folder, capsys, monkeypatch):
    assert main(["models", "list", "--json"]) == 0
    facts = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert set(facts) == set(loadable())
    assert facts["sam2.1-tiny"]["path"] is None
    assert main(["models", "where"]) == 0
    assert capsys.readouterr().out.strip() == str(folder / "kept" / "models")
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    for words, sentence in (
        (["get", "medsam2"], "Nothing was downloaded: agree"),
        (["get", "surgsam2-endovis18"], "models add FILE --name surgsam2-endovis18"),
        (["verify", "sam2.1-tiny"], "models get sam2.1-tiny"),
        (["add", str(folder / "none.pt")], "There is no file"),
    ):
        assert main(["models", *words]) == 2
        assert sentence in capsys.readouterr().err
    assert main(["models", "verify"]) == 0
    assert "nothing to check: no model is downloaded or added" in capsys.readouterr().err
    assert main(["models", "list", "--all"]) == 0
    listed = capsys.readouterr().out
    assert "this version cannot load it" in listed
    assert "[napari-sam2s models get sam2.1-tiny]" in listed


def test_every_damaged_file_is_told(folder, capsys):
    models = folder / "kept" / "models"
    models.mkdir(parents=True)
    for name in ("sam2.1-tiny", "edgetam"):
        (models / f"{name}.pt").write_bytes(b"other")
    own = folder / "lab.pt"
    own.write_bytes(b"weights")
    add_model(own, "lab", 512)
    assert main(["models", "verify"]) == 2
    out, err = capsys.readouterr()
    assert err.count("is damaged, or not the published file") == 2
    assert "lab: SHA-256" in out


def test_own_models_are_named_and_their_size_is_remembered(folder, capsys, nano_file):
    file = Path(shutil.copy(nano_file, folder / "ours.pt"))
    assert main(["models", "add", str(file), "--name", "lab", "--input-size", "512"]) == 0
    assert "lab: sam2s-nano, 4.3 M parameters, input 512 px" in capsys.readouterr().out
    assert find_weights("lab") == file
    assert remembered_size(sha256(file)) == 512
    assert main(["models"]) == 0
    assert f"yours, 512 px: {file}" in capsys.readouterr().out
    assert main(["models", "verify"]) == 0
    assert load_model("lab", device="cpu").image_size == 512
    spaced = file.with_name("mein Modell (1).pt")
    spaced.write_bytes(file.read_bytes())
    assert main(["models", "add", str(spaced)]) == 0
    assert own_models()["mein-Modell-1"].input_size == 512  # the same file
    assert main(["models", "add", str(file), "--name", "lab", "--input-size", "0"]) == 2
    assert "image_size=0 is not possible" in capsys.readouterr().err
    nano = load_model(device="cpu")  # a copy of which "lab" is
    assert nano.image_size == registry()["sam2s-nano"].input_size
    moved = file.rename(folder / "moved.pt")
    with pytest.raises(ModelError, match="is no longer there"):
        find_weights("lab")
    assert add_model(moved, "lab").input_size == 512  # known by its content
    remember_size(moved, 768)
    assert own_models()["lab"].input_size == 768
    moved.write_bytes(b"other weights")
    with pytest.raises(ModelError, match="changed since it was added"):
        find_weights("lab")


def test_a_file_trained_anew_under_its_old_name_has_not_its_old_size(folder, capsys, monkeypatch, nano, nano_file):
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    file = Path(shutil.copy(nano_file, folder / "lab.pt"))
    assert main(["models", "add", str(file), "--input-size", "512"]) == 0
    torch.save({**nano, "config": {**nano["config"], "image_size": 640}}, file)
    with pytest.raises(ModelError, match="has changed since it was added as lab"):
        load_model("lab", device="cpu")
    assert main(["models", "add", str(file)]) == 0  # it says of itself what it is now
    assert "input 640 px" in capsys.readouterr().out
    assert load_model("lab", device="cpu").image_size == 640


@pytest.mark.parametrize(
    ("name", "size", "words"),
    [
        ("a/b", None, "cannot be the name"),
        ("sam2.1-tiny", None, "not the published"),
        ("own", 500, "multiple of 32"),
        ("own", 2**30, "to 8192"),
        ("..", None, "a letter or digit first"),
    ],
)
def test_what_cannot_be_added(folder, name, size, words):
    file = folder / "ours.pt"
    file.write_bytes(b"weights")
    with pytest.raises(ModelError, match=words):
        add_model(file, name, size)
    assert not own_models()


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "null",
        "[1]",
        '[{"name": 5, "path": null, "sha256": 1}]',
        '[{"name": "a", "path": "", "sha256": "", "input_size": -5}]',
    ],
)
def test_a_list_that_cannot_be_read_is_told(folder, text):
    (folder / "kept" / "models").mkdir(parents=True)
    (folder / "kept" / "models" / FILE).write_text(text, encoding="utf-8")
    with pytest.raises(ModelError, match="delete it"):
        own_models()

"""Class lists: the presets, and files of one's own."""

from __future__ import annotations

import json

import pytest

from napari_sam2s.errors import FormatError
from napari_sam2s.masklets.class_lists import PRESETS, class_list, read_class_list


def test_presets_have_the_datasets_numbers_of_classes():
    sizes = {name: len(preset.classes) for name, preset in PRESETS.items()}
    assert sizes == {
        "SA-SV": 37,
        "CholecSeg8k": 12,
        "CholecInstanceSeg": 7,
        "EndoVis 2017": 7,
        "EndoVis 2018": 13,
        "SAR-RARP50": 9,
        "cells": 8,
        "animals": 15,
        "everyday": 16,
    }
    for preset in PRESETS.values():
        assert len(set(preset.classes)) == len(preset.classes)
    assert PRESETS["CholecSeg8k"].classes[5 - 1] == "grasper"  # the dataset's own id
    assert class_list("SAR-RARP50") is PRESETS["SAR-RARP50"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("mine.txt", "\ufeff# of our theatre\ngrasper\n\n  hook  # the L-shaped one\n"),
        ("mine.json", json.dumps(["grasper", "hook"])),
        ("mine.json", json.dumps({"classes": ["grasper", " hook "]})),
    ],
)
def test_a_list_of_ones_own(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    read = class_list(tmp_path / name)
    assert read.name == "mine"
    assert read.classes == ("grasper", "hook")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("gone.txt", None, "name per line"),
        ("binary.txt", b"\xff\xfe\x00\x81", "cannot be read"),
        ("empty.txt", b"# nothing\n", "names no classes"),
        ("twice.txt", b"a\nb\na\n", "a more than once"),
        ("broken.json", b"[", "valid JSON"),
        ("numbers.json", b"[1, 2]", "list of names"),
        ("other.json", b"{}", "list of names"),
    ],
)
def test_what_is_no_list_says_so(tmp_path, name, content, words):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(FormatError, match=words):
        read_class_list(tmp_path / name)

"""What is converted can be learned from as it is, whatever numbers its source gave the pictures."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_sam2s.formats import read_davis
from napari_sam2s.training.clip_families import Recorded


@pytest.mark.parametrize("name", ["endovis17", "cholecseg8k", "cis", "dsad"])
def test_every_annotated_frame_is_found(name, converted):
    _, target, _ = converted(name)
    for subset in (folder.parent for folder in target.glob("*/JPEGImages")):
        clips = {clip.name: clip for clip in Recorded([subset], 64).clips}
        folders = {video: folder for video, folder in read_davis(subset).items() if folder.objects}
        assert clips.keys() == folders.keys()
        for video, folder in folders.items():
            assert len(clips[video]) == len(folder.frames)
            seen = [{i for i, mask in clips[video].masks(t).items() if mask.any()} for t in range(len(folder.frames))]
            assert seen == [{i for i, mask in folder.masks(number).items() if mask.any()} for number in folder.frames]


def test_the_whole_folder_is_its_training_splits(converted):
    _, target, _ = converted("cis")
    splits = {meta.parent.name: json.loads(meta.read_text())["split"] for meta in target.glob("*/meta.json")}
    assert set(splits.values()) == {"train", "test"}
    found = {clip.name.split("/")[0] for clip in Recorded([target], 64).clips}
    assert found == {subset for subset, split in splits.items() if split == "train"}


def test_unlabelled_pixels_of_cholecseg8k_are_left_out(converted):
    _, target, _ = converted("cholecseg8k")
    clips = Recorded([target], 64).clips
    ignored = [clip.ignored(t) for clip in clips for t in range(len(clip))]
    assert any(pixels is not None and pixels.any() for pixels in ignored)
    for clip in clips:
        for t in range(len(clip)):
            pixels = clip.ignored(t)
            if pixels is not None:
                assert not (np.any(list(clip.masks(t).values()), axis=0) & pixels).any()

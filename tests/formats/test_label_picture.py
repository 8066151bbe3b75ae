"""Label pictures: what people's tools write, a page of a stack, and what are no labels."""

from __future__ import annotations

import re

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_sam2s.errors import FormatError
from napari_sam2s.formats.davis import davis_palette
from napari_sam2s.formats.label_picture import read_label_picture

LABELS = np.zeros((20, 30), np.uint8)
LABELS[2:8, 3:9] = 1
LABELS[10:15, 20:28] = 7


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "uint32", "int64", "float32"])
def test_integers_of_any_width_in_a_tiff(tmp_path, dtype):
    tifffile.imwrite(tmp_path / "a.tif", LABELS.astype(dtype))
    np.testing.assert_array_equal(read_label_picture(tmp_path / "a.tif", 3), LABELS)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int64"])
@pytest.mark.parametrize("suffix", ["tif", "npy"])
def test_of_a_stack_the_page_of_the_frame(tmp_path, dtype, suffix):
    stack = np.stack([LABELS * 0, LABELS, LABELS * 2]).astype(dtype)
    path = tmp_path / f"a.{suffix}"
    if suffix == "npy":
        np.save(path, stack)
    else:
        tifffile.imwrite(path, stack, photometric="minisblack")
    np.testing.assert_array_equal(read_label_picture(path, 2), LABELS * 2)
    with pytest.raises(FormatError, match=r"3 pages.*none for frame 3"):
        read_label_picture(path, 3)


def test_pngs_and_the_void_of_davis(tmp_path):
    labels = LABELS.copy()
    labels[0] = 255
    picture = Image.fromarray(labels, mode="P")
    picture.putpalette(davis_palette())
    picture.save(tmp_path / "palette.png")
    np.testing.assert_array_equal(read_label_picture(tmp_path / "palette.png", 0), LABELS)
    Image.fromarray(labels).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_label_picture(tmp_path / "grey.png", 0), labels)  # 255 is an object like others
    Image.fromarray(LABELS > 0).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(read_label_picture(tmp_path / "bits.png", 0), LABELS > 0)


def test_what_is_no_label_picture(tmp_path):
    def refused(name, words):
        with pytest.raises(FormatError, match=words) as caught:
            read_label_picture(tmp_path / name, 0)
        assert re.search(re.escape(name), str(caught.value))

    refused("none.png", "no such file")
    (tmp_path / "text.png").write_text("no picture")
    refused("text.png", "cannot be read")
    (tmp_path / "text.tif").write_text("no picture")
    refused("text.tif", "cannot be read")
    (tmp_path / "text.npy").write_text("no array")
    refused("text.npy", "cannot be read")
    np.save(tmp_path / "words.npy", np.full((3, 3), "a"))
    refused("words.npy", "must be object ids")
    Image.fromarray(LABELS).save(tmp_path / "a.jpg")
    refused("a.jpg", "JPEG changes values")
    Image.new("RGB", (30, 20)).save(tmp_path / "rgb.png")
    refused("rgb.png", "colour picture")
    tifffile.imwrite(tmp_path / "half.tif", LABELS / np.float32(2))
    refused("half.tif", "whole numbers")
    tifffile.imwrite(tmp_path / "nan.tif", np.full((20, 30), np.nan, np.float32))
    refused("nan.tif", "whole numbers")
    tifffile.imwrite(tmp_path / "negative.tif", LABELS.astype(np.int32) - 1)
    refused("negative.tif", "negative values")

"""Label pictures: what people's tools write, a page of a stack, and what are no labels."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
import tifffile
from packaging.version import Version
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from napari_sam2s.errors import FormatError
from napari_sam2s.formats.davis_layout import davis_palette, palette_picture, read_mask
from napari_sam2s.formats.label_picture import prompts_of_picture, read_label_picture
from napari_sam2s.video import open_video

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


OLD = pytest.mark.skipif(Version(tifffile.__version__) < Version("2026.2"), reason="reads no fax, nor does its imagecodecs")


@pytest.mark.parametrize("compression", [None, "zlib", pytest.param("group4", marks=OLD), "tiff_lzw"])
@pytest.mark.parametrize("white", [0, 1])
def test_a_tiff_whose_0_is_white_is_not_turned_around(tmp_path, compression, white):
    """What tifffile writes of a boolean mask, and fax compressions of others; LZW and fax are Pillow's to read."""
    mask = LABELS > 0
    path = tmp_path / "a.tif"
    if compression in (None, "zlib"):
        photometric = ("miniswhite", "minisblack")[white]
        values = mask if compression is None else mask.astype(np.uint8)
        tifffile.imwrite(path, values, photometric=photometric, compression=compression)
    else:
        # Pillow turns the values when it writes, too.
        Image.fromarray(mask if white else ~mask).save(path, compression=compression, tiffinfo={262: white})
    with tifffile.TiffFile(path) as file:
        assert file.pages.first.photometric == white
    np.testing.assert_array_equal(read_label_picture(path, 0) > 0, mask)


def test_a_grey_tiff_whose_0_is_white_and_that_pillow_has_to_read(tmp_path):
    Image.fromarray(255 - LABELS).save(tmp_path / "a.tif", compression="tiff_lzw", tiffinfo={262: 0})
    np.testing.assert_array_equal(read_label_picture(tmp_path / "a.tif", 0), LABELS)


def test_a_tiff_under_another_name(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", LABELS > 0)  # its 0 is white
    (tmp_path / "a.tif").rename(tmp_path / "a.mask")
    np.testing.assert_array_equal(read_label_picture(tmp_path / "a.mask", 0), LABELS > 0)
    Image.fromarray(LABELS).save(tmp_path / "b.tif", format="PNG")
    np.testing.assert_array_equal(read_label_picture(tmp_path / "b.tif", 0), LABELS)


def test_stacks_of_imagej_and_pillow_and_of_more_axes(tmp_path):
    stack = np.stack([LABELS * 0, LABELS, LABELS * 2])
    tifffile.imwrite(tmp_path / "imagej.tif", stack, imagej=True)
    pages = [Image.fromarray(page) for page in stack]
    for name, compression in (("pillow.tif", None), ("lzw.tif", "tiff_lzw")):
        pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:], compression=compression)
    for name in ("imagej.tif", "pillow.tif", "lzw.tif"):
        np.testing.assert_array_equal(read_label_picture(tmp_path / name, 2), LABELS * 2)
        with pytest.raises(FormatError, match=r"3 pages.*none for frame 3"):
            read_label_picture(tmp_path / name, 3)
    tifffile.imwrite(tmp_path / "channels.tif", np.stack([stack, stack], axis=1), imagej=True)
    with pytest.raises(FormatError, match=r"has the shape \(3, 2, 20, 30\); a mask is"):
        read_label_picture(tmp_path / "channels.tif", 1)


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
    tifffile.imwrite(tmp_path / "cut.tif", LABELS, compression="zlib")
    (tmp_path / "cut.tif").write_bytes((tmp_path / "cut.tif").read_bytes()[:-20])
    refused("cut.tif", "cannot be read")
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


def disc(softness):
    y, x = np.mgrid[:60, :80]
    distance = np.hypot(y - 30, x - 40) - 15
    return np.clip((0.5 - distance / max(softness, 1e-9)) * 255, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("softness", [2, 6])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_soft_edges_are_no_objects(tmp_path, softness, kind):
    path = tmp_path / "soft.npy"
    np.save(path, disc(softness).astype(kind) * (200 if kind is np.uint16 else 1))
    with pytest.raises(FormatError, match=r"soft edges \(\d+ grey values\): threshold"):
        read_label_picture(path, 0)


@pytest.mark.parametrize("radius", [4, 20])
@pytest.mark.parametrize("sigma", [1, 2, 8])
def test_smoothed_masks_are_no_objects(tmp_path, radius, sigma):
    """Rounding makes small plateaus in some of their rims; a small object has no place that stays white."""
    y, x = np.mgrid[:96, :160]
    np.save(tmp_path / "soft.npy", gaussian_filter((np.hypot(y - 40, x - 60) < radius) * 255.0, sigma).astype(np.uint8))
    with pytest.raises(FormatError, match=r"soft edges \(\d+ grey values\): threshold"):
        read_label_picture(tmp_path / "soft.npy", 0)


def tiles(side, kind, *, shuffled=False, holes=False):
    """Superpixels, numbered row by row or in any order, all over the picture or where there is something."""
    y, x = np.mgrid[:60, :80]
    labels = 1 + y // side * -(-80 // side) + x // side
    labels = labels if not shuffled else (1 + np.random.default_rng(0).permutation(labels.max()))[labels - 1]
    return (labels * (np.hypot(y - 30, x - 40) < 25 if holes else 1)).astype(kind)


def cells(count):
    """Touching cells of any form, with gaps."""
    y, x = np.mgrid[:120, :160]
    seeds = np.random.default_rng(1).integers(0, [120, 160], (count, 2))
    labels = 1 + cKDTree(seeds).query(np.stack([y, x], axis=-1))[1]
    return labels * (np.hypot(y - 60, x - 80) < 55)


LABEL_PICTURES = {
    **{f"{n} x {n}, {kind}": tiles(n, kind) for n in (2, 3, 4) for kind in ("uint16", "int64")},
    **{f"{n} x {n}, shuffled": tiles(n, "uint16", shuffled=True) for n in (2, 3)},
    **{f"{n} x {n}, with holes": tiles(n, "uint16", shuffled=n == 2, holes=True) for n in (2, 3)},
    "2 x 2 up to 255": np.where(tiles(2, "uint16") < 256, tiles(2, "uint16"), 0).astype("uint8"),
    "cells": cells(120).astype("uint8"),
    "small cells": cells(900).astype("uint16"),
    "cells, sparse ids to 255": np.linspace(0, 255, 61).astype("uint8")[cells(60)],
    "cells coded by colour": (cells(120) * 7919 % 2**24).astype("uint32"),
    "classes to 255": np.linspace(0, 255, 20).astype("uint8")[cells(120) % 20],
    "classes, enlarged": np.linspace(0, 255, 20).astype("uint8")[np.kron(cells(30)[::4, ::4] % 20, np.ones((4, 4), int))],
    "few, all through each other": np.random.default_rng(2).integers(0, 5, (60, 80)).astype("uint8"),
    "layers": np.clip(np.mgrid[:120, :160][0] // 3, 0, 40).astype("uint8"),
}


@pytest.mark.parametrize("name", LABEL_PICTURES)
def test_small_and_touching_labels_are_objects(tmp_path, name):
    np.save(tmp_path / "labels.npy", LABEL_PICTURES[name])
    np.testing.assert_array_equal(read_label_picture(tmp_path / "labels.npy", 0), LABEL_PICTURES[name])


def jpeg(picture, quality):
    stored = io.BytesIO()
    Image.fromarray(picture).save(stored, "JPEG", quality=quality)
    return np.asarray(Image.open(stored))


def resized(picture, factor, how=Image.Resampling.BILINEAR):
    height, width = picture.shape
    scaled = Image.fromarray(picture.astype(np.float32)).resize((round(width * factor), round(height * factor)), how)
    return np.asarray(scaled).round().clip(0, 255).astype(np.uint8)


HARD = (cells(60) % 3 == 1).astype(np.uint8) * 255
SOFT_PICTURES = {
    **{f"enlarged {n} times": resized(HARD, n) for n in (2, 4, 8)},
    **{f"bicubic, {n} times": resized(HARD, n, Image.Resampling.BICUBIC) for n in (2, 3)},
    "made smaller": resized(HARD, 0.3),
    **{f"JPEG of quality {q}": jpeg(HARD, q) for q in (50, 75, 95)},
    **{f"smoothed by {s}": gaussian_filter(HARD * 1.0, s).round().astype(np.uint8) for s in (0.5, 3, 12)},
    **{f"{n} x {n} blocks of a soft one": np.kron(resized(HARD, 0.3), np.ones((n, n), np.uint8)) for n in (2, 3, 8)},
    "per cent": resized(HARD // 255 * 100, 2),
    **{f"labels, scaled by {n}": resized(cells(120), n) for n in (0.7, 2)},
    "16 bits": (gaussian_filter(HARD * 257.0, 3)).astype(np.uint16),
}


@pytest.mark.parametrize("name", SOFT_PICTURES)
def test_what_was_scaled_or_compressed_is_no_object(tmp_path, name):
    np.save(tmp_path / "soft.npy", SOFT_PICTURES[name])
    with pytest.raises(FormatError, match=r"soft edges \(\d+ grey values\): threshold it first, .*labels == 1|photograph"):
        read_label_picture(tmp_path / "soft.npy", 0)


def test_dots_and_threads_are_objects(tmp_path):
    labels = np.zeros((96, 160), np.uint8)
    for n in range(12):
        labels[5 + 7 * n, 10:150], labels[2 + 7 * n : 4 + 7 * n, 4 * n : 4 * n + 2] = n + 1, 240 + n
    labels[:, 100] = 255
    np.save(tmp_path / "labels.npy", labels)
    np.testing.assert_array_equal(read_label_picture(tmp_path / "labels.npy", 0), labels)


def test_labels_that_touch_and_end_at_255_are_objects(tmp_path):
    labels = np.zeros((60, 80), np.uint8)
    for n, i in enumerate((1, 7, 128, 254, 255)):
        labels[10:40, 10 + 12 * n : 22 + 12 * n] = i
    labels[50, 3:30] = 9  # a thread
    np.save(tmp_path / "labels.npy", labels)
    np.testing.assert_array_equal(read_label_picture(tmp_path / "labels.npy", 0), labels)


def test_a_palette_picture_of_void_alone(tmp_path):
    picture = Image.fromarray(disc(0), "L").convert("P")
    picture.putdata([255 * (v > 100) for v in disc(0).ravel().tolist()])
    picture.save(tmp_path / "void.png")
    with pytest.raises(FormatError, match="255 alone, which means void"):
        read_label_picture(tmp_path / "void.png", 0)


def test_a_photograph_is_no_label_picture_and_cells_all_over_it_are(tmp_path):
    y, x = np.mgrid[:60, :80]
    np.save(tmp_path / "photo.npy", (100 + 60 * np.sin(y / 7) * np.cos(x / 9) + x % 7).astype(np.uint8))
    with pytest.raises(FormatError, match="looks like a photograph"):
        read_label_picture(tmp_path / "photo.npy", 0)
    cells = (1 + y // 6 * 20 + x // 4).astype(np.uint16)
    np.save(tmp_path / "cells.npy", cells)
    np.testing.assert_array_equal(read_label_picture(tmp_path / "cells.npy", 0), cells)


@pytest.mark.parametrize("white", [np.float32(255), np.float64(1), np.uint16(65535), np.uint8(255)])
def test_black_and_white_of_any_type_is_one_object(tmp_path, white):
    mask = np.zeros((12, 16), bool)
    mask[2:6, 3:9] = True
    tifffile.imwrite(tmp_path / "a.tif", mask * white)
    np.save(tmp_path / "a.npy", mask * white)
    for name in ("a.tif", "a.npy"):
        (prompt,) = prompts_of_picture(tmp_path / name, 0)
        assert prompt.object_id == 1
        np.testing.assert_array_equal(prompt.mask, mask)


def test_an_array_without_pixels_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((0, 16), np.uint8))
    with pytest.raises(FormatError, match=r"is empty: its shape is \(0, 16\)"):
        read_label_picture(tmp_path / "a.npy", 0)


@pytest.mark.parametrize("code", range(1, 9))
@pytest.mark.parametrize("kind", ["png", "tif", "palette.png"])
def test_a_mask_that_says_it_is_turned_is_upright_as_its_video_is(tmp_path, code, kind):
    """The frame and its mask are stored alike, and both say so in EXIF or the tag of TIFF."""
    labels = np.zeros((6, 9), np.uint8)
    labels[1, 2:5], labels[4, 7] = 1, 3
    frames, path = tmp_path / "frames", tmp_path / f"mask.{kind}"
    frames.mkdir()
    exif = Image.Exif()
    exif[274] = code
    Image.fromarray(labels * 80).save(frames / "0.png", exif=exif)
    if kind == "tif":
        tifffile.imwrite(path, labels, photometric="minisblack", extratags=[(274, "H", 1, code, True)])
    else:
        picture = Image.fromarray(labels) if kind == "png" else palette_picture(labels)
        picture.save(path, exif=exif)
        np.testing.assert_array_equal(read_mask(path) * 80, open_video(frames)[0][..., 0])
    np.testing.assert_array_equal(read_label_picture(path, 0) * np.uint8(80), open_video(frames)[0][..., 0])

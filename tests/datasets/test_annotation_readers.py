"""Polygons against pycocotools, and the rules of the readers that no source's tree shows."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from napari_sam2s.datasets.annotation_readers import (
    colour_map,
    draw_polygon,
    grey_map,
    nearest_colour,
    threshold,
)
from napari_sam2s.datasets.instances import parts
from napari_sam2s.datasets.source import Picture, read_picture
from napari_sam2s.errors import DatasetError


def test_polygons_cover_what_pycocotools_covers_but_for_their_outline():
    points = [(10.2, 5.1), (60.7, 12.4), (45.0, 50.9), (8.3, 40.0)]
    theirs = coco.decode(coco.frPyObjects([[c for p in points for c in p]], 64, 80))[..., 0].astype(bool)
    ours = draw_polygon(points, (64, 80))
    assert (theirs & ours).sum() > 0.95 * (theirs | ours).sum()  # LabelMe draws the outline as well


def test_colours_are_compared_whole(tmp_path):
    """Channel by channel (0, 255, 255) would pass for (0, 255, 0) or (255, 255, 0)."""
    array = np.zeros((4, 5, 3), np.uint8)
    array[0], array[1], array[2] = (0, 255, 0), (0, 255, 255), (255, 255, 0)
    Image.fromarray(array).save(tmp_path / "a.png")
    known = {(0, 0, 0): 0, (0, 255, 0): 1, (0, 255, 255): 2, (255, 255, 0): 3}
    assert colour_map(tmp_path / "a.png", known)[:, 0].tolist() == [1, 2, 3, 0]
    Image.fromarray(np.dstack([array, np.full((4, 5), 255, np.uint8)])).save(tmp_path / "b.png")  # with alpha
    assert colour_map(tmp_path / "b.png", known)[:, 0].tolist() == [1, 2, 3, 0]
    with pytest.raises(DatasetError, match=r"unknown colour \(255, 255, 0\) in 5 pixels"):
        colour_map(tmp_path / "a.png", {k: v for k, v in known.items() if v != 3})


def test_grey_of_16_bits(tmp_path):
    Image.fromarray(np.array([[0, 300], [7, 7]], np.uint16)).save(tmp_path / "a.png")
    assert grey_map(tmp_path / "a.png", {0: 0, 7: 1, 300: 2}).tolist() == [[0, 2], [1, 1]]


def test_turned_pictures_and_masks_are_read_upright(tmp_path):
    """As a video of the same pictures shows them, and masks are painted on what is shown."""
    picture = np.zeros((16, 32, 3), np.uint8)
    picture[:8, :16], picture[8:, 16:] = (255, 0, 0), (0, 0, 255)
    exif = Image.Exif()
    exif[274] = 6  # to be turned by a quarter, clockwise
    Image.fromarray(picture).save(tmp_path / "a.jpg", exif=exif, quality=95, subsampling=0)
    Image.fromarray(picture[..., 0] // 255).save(tmp_path / "a.png", exif=exif)
    found, wanted = Picture(tmp_path / "a.jpg"), np.rot90(picture, -1).astype(int)
    assert found.size() == (32, 16)
    assert np.abs(found.read() - wanted).max() < 9
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png"), wanted[..., 0] // 255)
    found.save(tmp_path / "b.jpg")  # byte for byte it would lie for whoever does not look at its EXIF
    assert np.abs(np.asarray(Image.open(tmp_path / "b.jpg")).astype(int) - wanted).max() < 9


def test_a_damaged_picture_is_one_sentence(tmp_path):
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / "a.png")
    content = bytearray((tmp_path / "a.png").read_bytes())
    content[content.index(b"IDAT") + 1] = ord("Q")  # Pillow raises a SyntaxError of it
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DatasetError, match="download it again"):
        read_picture(tmp_path / "a.png")


@pytest.mark.parametrize("quality", [60, 95])
def test_jpeg_masks(tmp_path, quality):
    truth = np.zeros((80, 100), np.uint8)
    truth[20:60, 30:71] = 255
    Image.fromarray(truth).save(tmp_path / "a.jpg", quality=quality)
    assert np.count_nonzero((threshold(tmp_path / "a.jpg") == 1) != (truth > 0)) < 20
    colours = np.zeros((80, 100, 3), np.uint8)
    colours[20:60, 30:71] = 0, 255, 0
    Image.fromarray(colours).save(tmp_path / "b.jpg", quality=quality)
    read = nearest_colour(tmp_path / "b.jpg", {(0, 0, 0): 0, (255, 0, 0): 1, (0, 255, 0): 2})
    assert set(np.unique(read)) == {0, 2}


def test_parts_touch_at_corners_and_specks_are_dropped():
    mask = np.zeros((40, 40), bool)
    mask[0:10, 0:10] = mask[10:20, 10:21] = mask[30:33, 30:33] = True
    [only] = parts(mask)
    assert only.sum() == 210

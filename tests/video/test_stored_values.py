"""Values that are stored in unusual ways are shown as other viewers show them, in stacks and in folders alike."""

from __future__ import annotations

import struct

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from napari_sam2s.errors import VideoError
from napari_sam2s.video import open_video

GREY = np.add.outer(np.arange(3) * 9, np.arange(20 * 24).reshape(20, 24) % 251).astype(np.uint8) % 251


def both(tmp_path, write, **more):
    """Return the frames ``(T, Y, X, 3)`` of pictures that are written into one file and into a folder."""
    write(tmp_path / "a.tif", GREY)
    (tmp_path / "folder").mkdir()
    for n, picture in enumerate(GREY):
        write(tmp_path / "folder" / f"{n}.tif", picture[None])
    shown = []
    for path in (tmp_path / "a.tif", tmp_path / "folder"):
        with open_video(path, **more) as video:
            shown.append(video[:])
    np.testing.assert_array_equal(*shown)
    return shown[0]


def few_bits(bits, photometric):
    """Return what writes grey of so many bits, which tifffile does not; 0 is white for ``photometric`` 0."""

    def write(path, pictures):
        with path.open("wb") as file:
            file.write(struct.pack("<2sHI", b"II", 42, 0))
            link = 4
            for picture in pictures:
                values = picture >> (8 - bits)
                values = values if photometric else 2**bits - 1 - values
                rows = np.unpackbits(values[..., None], axis=-1)[..., 8 - bits :].reshape(len(values), -1)
                data, start = np.packbits(rows, axis=-1).tobytes(), file.tell()
                file.write(data + b"\0" * (len(data) % 2))
                tags = {256: values.shape[1], 257: len(values), 258: bits, 259: 1, 262: photometric, 273: start, 277: 1}
                tags |= {278: len(values), 279: len(data)}
                here = file.tell()
                file.write(struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", t, 4, 1, v) for t, v in tags.items()))
                end = file.tell()
                file.write(b"\0" * 4)
                file.seek(link)
                file.write(struct.pack("<I", here))
                file.seek(0, 2)
                link = end

    return write


@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize("bits", [2, 4, 6])
def test_grey_of_few_bits(tmp_path, bits, photometric):
    shown = both(tmp_path, few_bits(bits, photometric))
    np.testing.assert_array_equal(shown[..., 0], (GREY >> (8 - bits)).astype(int) * 255 // (2**bits - 1))


@pytest.mark.parametrize("factor", [1, 256, 257])
def test_palettes_of_8_and_of_16_bits(tmp_path, factor):
    """TIFF wants 16 bits; what has 8 would be black (libtiff looks for it, too)."""
    colours = np.stack([np.arange(256), 255 - np.arange(256), np.roll(np.arange(256), 50)])
    told = {"photometric": "palette", "colormap": (colours * factor).astype(np.uint16)}
    np.testing.assert_array_equal(both(tmp_path, lambda path, values: tifffile.imwrite(path, values, **told)), colours.T[GREY])


def test_colours_that_are_multiplied_by_their_opacity(tmp_path):
    """They are shown as those that are not, whose opacity is left out as well."""

    def colours(values):
        return np.stack([values, 255 - values, values // 2], axis=-1)

    def write(path, values):
        stored = (colours(values).astype(int) * 128 // 255).astype(np.uint8)
        stored = np.concatenate([stored, np.full_like(values, 128)[..., None]], axis=-1)
        tifffile.imwrite(path, stored, photometric="rgb", extrasamples=["assocalpha"])

    assert np.abs(both(tmp_path, write).astype(int) - colours(GREY)).max() < 3


def test_inks_in_planes_are_refused(tmp_path):
    planes = np.stack([GREY] * 4, axis=1)
    tifffile.imwrite(tmp_path / "a.tif", planes, photometric="separated", planarconfig="separate")
    with pytest.raises(VideoError, match="CMYK or YCbCr in separate planes: save the file as RGB"):
        open_video(tmp_path / "a.tif")


@pytest.mark.parametrize(("names", "order"), [(("y", "x", "time"), (1, 2, 0)), (("dim_0", "dim_1", "dim_2"), (0, 1, 2))])
def test_the_axes_that_an_array_names_itself(names, order):
    """As one of xarray does; what are no names of axes is guessed from the shape."""

    class Named:
        def __init__(self):
            self.values, self.dims = np.transpose(GREY, order), names
            self.shape, self.dtype = self.values.shape, self.values.dtype

        def __getitem__(self, key):
            return self.values[key]

    np.testing.assert_array_equal(open_video(Named())[:][..., 0], GREY)


def test_a_bigtiff_with_the_high_byte_first(tmp_path):
    told = {"photometric": "minisblack", "bigtiff": True, "byteorder": ">"}
    np.testing.assert_array_equal(both(tmp_path, lambda p, values: tifffile.imwrite(p, values, **told))[..., 0], GREY)


@pytest.mark.parametrize("kind", [np.uint32, np.float64, np.int64])
def test_large_numbers_keep_their_small_differences(kind):
    shown = open_video(3_000_000_000 + GREY.astype(kind), limits=(3_000_000_000, 3_000_000_255))[:]
    np.testing.assert_array_equal(shown[..., 0], GREY)


@pytest.mark.parametrize("code", [2, 6, 8, 9])
def test_a_turned_png_of_16_bits_and_colour(tmp_path, code):
    """A code that is none (9) turns nothing."""
    exif = Image.Exif()
    exif[274] = code
    values = np.dstack([GREY[0], GREY[1], GREY[2]])
    Image.fromarray(values).save(tmp_path / "eight.png", exif=exif)
    content = (tmp_path / "eight.png").read_bytes()
    start = content.index(b"eXIf") - 4
    chunk = content[start : start + 12 + struct.unpack_from(">I", content, start)[0]]
    deep = imagecodecs.png_encode(values.astype(np.uint16) * 257)
    place = deep.index(b"IDAT") - 4
    (tmp_path / "deep").mkdir()
    for n in range(2):
        (tmp_path / "deep" / f"{n}.png").write_bytes(deep[:place] + chunk + deep[place:])
    with open_video(tmp_path / "deep", limits=(0, 65535)) as video, Image.open(tmp_path / "eight.png") as wanted:
        np.testing.assert_array_equal(video[1], np.asarray(ImageOps.exif_transpose(wanted)))
        assert bool(video.warnings) == (code < 9)


def test_a_damaged_png_leaves_the_others_readable(tmp_path):
    """Opening a folder reads no pixels: of a PNG Pillow decodes all of them to learn how it is turned."""
    for n in range(4):
        Image.fromarray(np.random.default_rng(n).integers(0, 255, (60, 80, 3), np.uint8)).save(tmp_path / f"{n}.png")
    content = bytearray((tmp_path / "2.png").read_bytes())
    content[2000:2100] = bytes(100)
    (tmp_path / "2.png").write_bytes(content)
    with open_video(tmp_path) as video:
        np.testing.assert_array_equal(video[3], np.asarray(Image.open(tmp_path / "3.png")))
        with pytest.raises(VideoError, match=r"2\.png"):
            video[2]


def test_exif_that_follows_the_pixels_of_a_png(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(np.arange(600, dtype=np.uint8).reshape(20, 30)).save(tmp_path / "0.png", exif=exif)
    content = (tmp_path / "0.png").read_bytes()
    start = content.index(b"eXIf") - 4
    end = start + 12 + int.from_bytes(content[start : start + 4], "big")
    (tmp_path / "1.png").write_bytes(content[:start] + content[end:-12] + content[start:end] + content[-12:])
    with open_video(tmp_path) as video:
        assert video.shape == (2, 30, 20, 3)
        np.testing.assert_array_equal(video[0], video[1])

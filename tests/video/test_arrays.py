"""Microscopy and other arrays: a stated mapping, the raw data untouched."""

from __future__ import annotations

import pickle

import dask.array as da
import imagecodecs
import numpy as np
import pytest
import tifffile
import torch
import zarr
from PIL import Image

from napari_sam2s.errors import VideoError
from napari_sam2s.video import open_video, picture_file


@pytest.fixture
def stack():
    """Eight frames TYX, 16 bit, dim, with one hot pixel."""
    values = np.random.default_rng(0).integers(500, 900, (8, 40, 50)).astype(np.uint16)
    values[3, 0, 0] = 65535
    return values


def test_one_mapping_for_the_whole_video(stack):
    video = open_video(stack)
    low, high = video.mapping.limits[0]
    assert 500 <= low < 510
    assert 890 < high < 910  # the hot pixel does not count
    frame = video[2]
    assert frame.shape == (40, 50, 3)
    expected = np.clip((stack[2].astype(float) - low) * 255 / (high - low) + 0.5, 0, 255).astype(np.uint8)
    assert np.abs(frame[..., 0].astype(int) - expected).max() <= 1
    assert (frame[..., 0] == frame[..., 2]).all()
    assert video.raw is stack
    assert "TYX, channel 0" in str(video.mapping)


def test_brightness_over_time_stays(stack):
    fading = (stack.astype(float) * np.linspace(1, 0.2, 8)[:, None, None]).astype(np.uint16)
    means = [f.mean() for f in open_video(fading)]
    assert means == sorted(means, reverse=True)
    assert means[0] > 2 * means[-1]


def test_channels():
    values = np.zeros((4, 5, 20, 30), np.uint8)
    for c in range(5):
        values[:, c] = 10 * c
    assert open_video(values, axes="TCYX")[0][0, 0].tolist() == [0, 10, 20]
    assert open_video(values, axes="TCYX", channels=(4, 1))[0][0, 0].tolist() == [40, 10, 0]
    assert open_video(values, axes="TCYX", channels=(3,))[0][0, 0].tolist() == [30, 30, 30]
    with pytest.raises(VideoError, match="channels"):
        open_video(values, axes="TCYX", channels=(5,))
    with pytest.raises(VideoError, match="axes"):
        open_video(values, axes="TYX")
    with pytest.raises(VideoError, match="limits"):
        open_video(values, axes="TCYX", limits=(5, 5))


@pytest.mark.parametrize("kind", ["numpy", "dask", "zarr", "bool", "float"])
def test_kinds_of_arrays(kind, stack, tmp_path):
    if kind == "dask":
        source = da.from_array(stack, chunks=(1, 40, 50))
    elif kind == "zarr":
        source = zarr.create_array(str(tmp_path / "a.zarr"), shape=stack.shape, dtype=stack.dtype, chunks=(1, 40, 50))
        source[:] = stack
    else:
        source = {"numpy": stack, "bool": stack > 700, "float": stack / 1000}[kind]
    video = open_video(source)
    assert video.shape == (8, 40, 50, 3)
    assert video[5].std() > 10


def test_tiff_stays_on_disk_and_names_its_axes(stack, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack")
    tifffile.imwrite(tmp_path / "b.tif", stack, photometric="minisblack", compression="zlib")
    tifffile.imwrite(tmp_path / "c.tif", stack[:, None].repeat(2, 1), imagej=True, metadata={"axes": "TCYX"})
    plain = open_video(tmp_path / "a.tif")
    assert isinstance(plain.raw, np.memmap)
    np.testing.assert_array_equal(open_video(tmp_path / "b.tif")[3], plain[3])
    two = open_video(tmp_path / "c.tif")
    assert two.mapping.axes == "TCYX"
    assert two.shape == plain.shape
    tifffile.imwrite(tmp_path / "one.tif", stack[0])
    with pytest.raises(VideoError, match="single picture"):
        open_video(tmp_path / "one.tif")


def test_ome_zarr(tmp_path, stack):
    group = zarr.create_group(str(tmp_path / "a.ome.zarr"))
    array = group.create_array("0", shape=(8, 2, 1, 40, 50), dtype="u2", chunks=(1, 1, 1, 40, 50))
    array[:] = stack[:, None, None].repeat(2, axis=1)
    axes = [{"name": n, "type": "space"} for n in "tczyx"]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": [{"path": "0"}]}]
    video = open_video(tmp_path / "a.ome.zarr")
    assert video.shape == (8, 40, 50, 3)
    assert video.mapping.axes == "TCYX"
    np.testing.assert_array_equal(video[2][..., 0], open_video(stack)[2][..., 0])


def test_a_video_is_itself(stack):
    video = open_video(stack)
    assert open_video(video) is video
    assert video.fingerprint() == open_video(stack.copy()).fingerprint()
    assert video.fingerprint() != open_video(stack + 1).fingerprint()


def test_hela(real_data):
    video = open_video(real_data / "hela" / "hela.tif")
    assert video.mapping.axes == "TYX"
    assert video.raw.dtype == np.uint16
    frame = video[len(video) // 2]
    assert 5 < frame.mean() < 200
    assert frame.max() > 200


def test_a_single_colour_picture_is_no_video(tmp_path):
    tifffile.imwrite(tmp_path / "rgb.tif", np.zeros((30, 40, 3), np.uint8), photometric="rgb")
    with pytest.raises(VideoError, match="single picture"):
        open_video(tmp_path / "rgb.tif")


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_tiff_pickles_by_its_path_and_is_watched(stack, tmp_path, compression):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stack.repeat(40, axis=0), photometric="minisblack", compression=compression)
    video = open_video(path)
    kept = pickle.dumps(video)
    assert len(kept) < 20_000
    np.testing.assert_array_equal(pickle.loads(kept)[123], video[123])
    with path.open("ab") as file:
        file.write(b"more")
    with pytest.raises(VideoError, match="changed or disappeared"):
        video[5]
    with pytest.raises(VideoError, match="is another file now"):
        pickle.loads(kept)


def test_a_cut_tiff_says_so(stack, tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stack, photometric="minisblack", compression="zlib")
    path.write_bytes(path.read_bytes()[:-10_000])
    with pytest.raises(VideoError, match=r"a\.tif|Frame \d"):
        open_video(path)[7]


def test_a_damaged_chunk_names_its_frame(stack, tmp_path):
    array = zarr.create_array(str(tmp_path / "a.zarr"), shape=stack.shape, dtype=stack.dtype, chunks=(1, 40, 50))
    array[:] = stack
    video = open_video(tmp_path / "a.zarr")
    (tmp_path / "a.zarr" / "c" / "3" / "0" / "0").write_bytes(b"broken")
    with pytest.raises(VideoError, match="Frame 3 cannot be read"):
        video[3]
    assert video[4].shape == (40, 50, 3)


def test_what_is_not_finite_is_black_or_at_the_end_of_the_scale():
    values = np.linspace(0, 1, 6 * 20 * 20).reshape(6, 20, 20).astype(np.float32)
    values[:, :, :3] = np.nan  # a border that was registered
    values[2, 5, 5], values[2, 6, 6] = np.inf, -np.inf
    video = open_video(values)
    assert np.isfinite(video.mapping.limits).all()
    assert not video[2][:, :3].any()
    assert (video[2][5, 5, 0], video[2][6, 6, 0]) == (255, 0)
    assert video[5][10, 10, 0] > 200
    assert not open_video(np.full((2, 8, 8), np.nan))[0].any()


def test_tensors():
    grey = torch.arange(4 * 3 * 8 * 9, dtype=torch.uint8).reshape(4, 3, 8, 9)
    np.testing.assert_array_equal(open_video(grey)[2], grey[2].permute(1, 2, 0).numpy())
    video = open_video(grey.permute(0, 2, 3, 1).requires_grad_(False))
    np.testing.assert_array_equal(video[1], grey[1].permute(1, 2, 0).numpy())
    assert open_video((grey.float() / 255).requires_grad_()).shape == (4, 8, 9, 3)


def test_an_open_file_is_refused_and_stays_open(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"video")
    with (tmp_path / "a.mp4").open("rb") as file:
        with pytest.raises(VideoError, match="A BufferedReader is not a video: give a path or an array"):
            open_video(file)
        assert file.read() == b"video"


@pytest.mark.parametrize(
    ("axes", "shape"),
    [
        ("CTYX", (2, 5, 6, 7)),
        ("TZCYX", (5, 1, 2, 6, 7)),
        ("TCZYX", (1, 2, 5, 6, 7)),
        ("ZYX", (5, 6, 7)),
        ("TZYX", (5, 1, 6, 7)),
        ("CZYX", (2, 5, 6, 7)),
        ("TCYX", (5, 1, 6, 7)),
        ("ZTYX", (1, 5, 6, 7)),
    ],
)
@pytest.mark.parametrize("kind", [np.asarray, da.from_array, zarr.array])
def test_axes_of_length_1_and_z_stacks(axes, shape, kind):
    values = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
    video = open_video(kind(values), axes=axes)
    lengths = dict(zip(axes, shape, strict=True))
    time = "T" if lengths.get("T", 1) > 1 else "Z"
    expected = np.moveaxis(values, [axes.index(time), axes.index("Y"), axes.index("X")], [0, -2, -1]).reshape(5, -1, 6, 7)
    assert video.shape == (5, 6, 7, 3)
    np.testing.assert_array_equal(video[3][..., 0], expected[3, 0])
    if lengths.get("C", 1) > 1:
        np.testing.assert_array_equal(video[3][..., 1], expected[3, 1])


@pytest.mark.parametrize(
    ("shape", "first"),
    [
        ((1, 9, 6, 7), np.s_[0]),
        ((9, 6, 7, 1), np.s_[..., 0]),
        ((1, 9, 1, 6, 7), np.s_[0, :, 0]),
        ((9, 1, 1, 6, 7, 1), np.s_[:, 0, 0, ..., 0]),
        ((1, 9, 2, 6, 7), np.s_[0, :, 0]),
        ((1, 1, 16, 17, 3), np.s_[0, ..., 0]),
        ((1, 1, 6, 7, 1), np.s_[0, ..., 0]),
    ],
)
def test_axes_of_length_1_that_nobody_names(shape, first):
    values = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
    np.testing.assert_array_equal(np.stack(list(open_video(values)))[..., 0], values[first])


def test_a_volume_over_time_is_refused():
    with pytest.raises(VideoError, match="volume over time"):
        open_video(np.zeros((3, 4, 5, 6), np.uint8), axes="TZYX")


@pytest.mark.parametrize("channels", [3, 4])
def test_a_png_of_16_bits_and_colour_keeps_them(tmp_path, channels):
    values = np.random.default_rng(0).integers(0, 4096, (2, 12, 13, channels), dtype=np.uint16)
    for k in range(2):
        (tmp_path / f"{k}.png").write_bytes(imagecodecs.png_encode(values[k]))
    video = open_video(tmp_path, limits=(0, 4095))
    np.testing.assert_array_equal(np.asarray(video.raw[1]), values[1])
    expected = np.clip(values[1, ..., :3] * (255 / 4095) + 0.5, 0, 255).astype(np.uint8)
    assert np.abs(video[1].astype(int) - expected).max() <= 1


def test_pictures_beyond_the_limit_of_pillow(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # its own is 89 million, where it warns
    for k in range(2):
        Image.new("1", (150, 120), k).save(tmp_path / f"{k}.png")
    video = open_video(tmp_path)
    assert video[1][119, 149, 0] == 255
    assert Image.MAX_IMAGE_PIXELS == 100
    monkeypatch.setattr(picture_file, "LARGEST_BYTES", 1000)
    with pytest.raises(VideoError, match="150 x 120 pixels takes more than"):
        open_video(tmp_path)


@pytest.mark.parametrize(("shape", "place"), [((5, 1, 1, 8, 9), ""), ((1, 1, 5, 8, 9), "0")])
def test_as_bioformats2raw_writes(tmp_path, shape, place):
    values = np.random.default_rng(0).integers(0, 255, (5, 8, 9), dtype=np.uint8)
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    group.attrs["bioformats2raw.layout"] = 3
    image = group.create_group("0")
    image.create_array("0", shape=shape, chunks=(1, 1, 1, 8, 9), dtype="uint8")[...] = values.reshape(shape)
    axes = [{"name": n} for n in "tczyx"]
    image.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": [{"path": "0"}]}]
    group.create_group("OME")
    np.testing.assert_array_equal(open_video(tmp_path / "a.zarr" / place)[3][..., 0], values[3])
    group.create_group("1").attrs["multiscales"] = image.attrs["multiscales"]
    with pytest.raises(VideoError, match=r"\(0, 1\)"):
        open_video(tmp_path / "a.zarr")


@pytest.mark.parametrize("options", [{"fps": 0}, {"fps": -5.0}, {"fps": np.nan}, {"fps": "25"}, {"limits": (1, 2, 3)}])
def test_rates_and_limits_that_are_none_are_refused(options):
    with pytest.raises(VideoError, match=r"is not a frame rate|are not two numbers in order"):
        open_video(np.zeros((3, 8, 8), np.uint16), **options)


GREY = np.arange(3 * 8 * 9, dtype=np.uint8).reshape(3, 8, 9)


@pytest.mark.parametrize(
    ("array", "options", "remedy"),
    [
        (np.ma.array(GREY, mask=GREY > 200), {}, r"array\.filled\(0\)"),
        (da.from_array(GREY)[da.from_array(np.array([True, False, True]))], {}, "compute_chunk_sizes"),
        (GREY, {"axes": 3}, "give text"),
        (GREY, {"limits": (None, 5)}, "give .low, high."),
        (GREY, {"limits": (0, float("inf"))}, "give .low, high."),
        (GREY, {"channels": 0}, "choose one to three"),
        (GREY, {"channels": [0.0]}, "choose one to three"),
        (GREY, {"channels": "0"}, "choose one to three"),
        (GREY, {"fps": True}, "give frames per second"),
    ],
)
def test_what_is_no_array_or_option_is_one_sentence(array, options, remedy):
    with pytest.raises(VideoError, match=remedy):
        open_video(array, **options)


def test_blocks_of_another_shape_or_type_than_the_array_says():
    whole = da.from_array(GREY, chunks=(1, 8, 9))
    wrong = whole.map_blocks(lambda block: block[:, :5], dtype=np.uint8, chunks=(1, 8, 9))
    with pytest.raises(VideoError, match=r"Frame 1 has the shape \(5, 9\) .* but the array declares \(8, 9\)"):
        open_video(wrong)[1]
    with pytest.raises(VideoError, match=r"the type float64, but the array declares .* uint8"):
        open_video(whole.map_blocks(lambda block: block / 255, dtype=np.uint8))[0]
    np.testing.assert_array_equal(open_video(whole)[:][..., 0], GREY)


def test_frames_are_chosen_by_a_row_of_numbers():
    with pytest.raises(IndexError, match="whole numbers"):
        open_video(GREY)[[[0, 1], [1, 2]]]


@pytest.mark.parametrize(
    ("shape", "chunks", "words"),
    [
        ((10, 10**7, 10**7), (1, 512, 512), "One frame takes .* GiB to read"),
        ((10**6, 4096, 4096), (10**6, 4096, 4096), "save it in smaller chunks, one frame each"),
        ((10**12, 8, 8), (1, 8, 8), "declares 1,000,000,000,000 frames"),
    ],
)
def test_what_does_not_fit_into_memory_is_refused_before_it_is_read(tmp_path, shape, chunks, words):
    """Nothing of it is stored, and its chunks are too many to be counted."""
    zarr.create_array(str(tmp_path / "a.zarr"), shape=shape, dtype="uint16", chunks=chunks)
    with pytest.raises(VideoError, match=words):
        open_video(tmp_path / "a.zarr")

"""TIFF as video: what a file says of its axes, pages written in any way, pictures of more than 8 bits."""

from __future__ import annotations

import pickle

import imagecodecs
import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image, ImageOps

from napari_sam2s.errors import FormatError, VideoError
from napari_sam2s.formats.tiff_stack import read_tiff_stack
from napari_sam2s.video import open_video
from napari_sam2s.widgets.napari_reader import get_reader, video_layer


@pytest.fixture
def stack():
    """Five frames TYX, 16 bit."""
    return np.random.default_rng(0).integers(300, 1260, (5, 40, 50)).astype(np.uint16)


def folder(path, pictures, **options):
    for n, picture in enumerate(pictures):
        tifffile.imwrite(path / f"f{n}.tif", picture, **options)
    return open_video(path)


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("dtype", ["uint16", "int16", "uint32", "int32", "int8", "float32", "float64"])
def test_a_folder_of_pictures_of_any_type_keeps_its_values(dtype, byteorder, stack, tmp_path):
    values = stack.astype(np.float64)
    values = {"int16": values * 60 - 40_000, "uint32": values * 3e6, "int32": values * 1e6 - 6e8, "int8": values / 6 - 128}.get(
        dtype, values
    )
    values = values.astype(dtype)
    video = folder(tmp_path, values, byteorder=byteorder)
    assert video.raw.dtype == dtype
    np.testing.assert_array_equal(np.stack([video.raw[t] for t in range(5)]), values)
    expected = open_video(values)
    assert video.mapping == expected.mapping
    np.testing.assert_array_equal(video[:], expected[:])


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_a_folder_of_16_bit_colour_keeps_its_values(planar, stack, tmp_path):
    colour = np.stack([stack, stack + 1000, stack + 2000], axis=-1)
    pictures = colour if planar == "contig" else np.moveaxis(colour, -1, 1)
    video = folder(tmp_path, pictures, photometric="rgb", planarconfig=planar)
    assert video.mapping.axes == "TYXC"
    np.testing.assert_array_equal(video.raw[3], colour[3])


def test_a_codec_that_is_missing_here_is_taken_from_pillow_or_named(stack, tmp_path):
    for n, picture in enumerate(stack):
        Image.fromarray(picture).save(tmp_path / f"f{n}.tif", compression="tiff_lzw")
    np.testing.assert_array_equal(open_video(tmp_path).raw[2], stack[2])


def test_a_picture_that_changes_its_type_is_refused(stack, tmp_path):
    folder(tmp_path, stack)
    tifffile.imwrite(tmp_path / "f2.tif", stack[2].astype(np.float32))
    with pytest.raises(VideoError, match=r"f2\.tif is 50 x 40 float32, but f0\.tif is 50 x 40 uint16"):
        open_video(tmp_path)


def test_a_folder_of_stacks_says_that_the_first_pages_are_shown(stack, tmp_path):
    video = folder(tmp_path, [stack, stack + 1], photometric="minisblack")
    assert video.shape == (2, 40, 50, 3)
    assert "2 of 2 pictures have several pages" in video.warnings[0]


def test_a_16_bit_folder_in_napari_shows_its_values(stack, tmp_path):
    data = video_layer(folder(tmp_path, stack))[0]
    np.testing.assert_array_equal(np.asarray(data[3, 5:9]), stack[3, 5:9])


@pytest.mark.parametrize(("axes", "options"), [("CTYX", {"ome": True}), ("CZYX", {"ome": True}), ("TCYX", {"imagej": True})])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_the_axes_of_the_file_count(axes, options, compression, stack, tmp_path):
    both = np.stack([stack, stack + 5000], axis=axes.index("C"))
    tifffile.imwrite(tmp_path / "a.tif", both, metadata={"axes": axes}, compression=compression, **options)
    video = open_video(tmp_path / "a.tif")
    assert video.shape == (5, 40, 50, 3)
    assert video.mapping.axes == "TCYX"
    np.testing.assert_array_equal(video.raw[3], [stack[3], stack[3] + 5000])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(video))[2], video[2])


def test_what_its_axes_call_no_video_is_refused(stack, tmp_path):
    def refuse(name, words, values, **options):
        tifffile.imwrite(tmp_path / name, values, **options)
        with pytest.raises(VideoError, match=words):
            open_video(tmp_path / name)

    refuse("c.ome.tif", r"single picture of 3 channels \(axes CYX\).*axes='TYX'", stack[:3], metadata={"axes": "CYX"})
    refuse("s.tif", "single picture of 3 channels", stack[:3].astype(np.uint8), photometric="rgb", planarconfig="separate")
    volume = np.stack([stack, stack])
    for axes in ("TZYX", "ZTYX"):
        refuse(f"{axes}.ome.tif", r"volume over time \(2, 5, 40, 50\)", volume, metadata={"axes": axes})
    many = np.tile(stack, (2, 1, 1))
    tifffile.imwrite(tmp_path / "m.tif", many, imagej=True, metadata={"axes": "CYX"})
    video = open_video(tmp_path / "m.tif")
    np.testing.assert_array_equal(video.raw[7], many[7])
    assert "10 pages channels" in video.warnings[0]


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("colour", [False, True])
def test_pages_written_one_by_one_are_frames(compression, colour, stack, tmp_path):
    frames = np.stack([stack] * 3, axis=-1) if colour else stack
    options = {"compression": compression, "photometric": "rgb" if colour else "minisblack"}
    with tifffile.TiffWriter(tmp_path / "loop.tif") as file:
        for frame in frames:
            file.write(frame, **options)
    for frame in frames:
        tifffile.imwrite(tmp_path / "append.tif", frame, append=True, **options)
    for name in ("loop.tif", "append.tif"):
        video = open_video(tmp_path / name)
        assert not video.warnings
        assert get_reader(str(tmp_path / name)) is not None
        assert video.mapping.axes == ("TYXC" if colour else "TYX")
        np.testing.assert_array_equal(np.stack([video.raw[t] for t in range(5)]), frames)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(video))[4], video[4])


def test_of_pages_that_differ_the_first_images_are_shown_with_a_warning(stack, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack")
    tifffile.imwrite(tmp_path / "a.tif", stack[:2, :20, :20], photometric="minisblack", append=True)
    video = open_video(tmp_path / "a.tif")
    assert video.shape == (5, 40, 50, 3)
    assert video.warnings == ("The file holds 2 separate images (series); the first is shown.",)


def test_a_dot_in_the_name_of_a_folder(stack, tmp_path):
    (tmp_path / "case.2024.01").mkdir()
    assert folder(tmp_path / "case.2024.01", stack).name == "case.2024.01"


def pages(dtype=np.uint8, frames=6):
    return np.random.default_rng(0).integers(0, 250, (frames, 20, 30)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_where_0_is_white_the_stack_looks_like_the_folder(tmp_path, dtype):
    values = pages(dtype) * (1 if dtype is np.uint8 else 200)
    (tmp_path / "folder").mkdir()
    for k in range(6):
        tifffile.imwrite(tmp_path / "folder" / f"{k}.tif", values[k], photometric="miniswhite")
    tifffile.imwrite(tmp_path / "stack.tif", values, photometric="miniswhite")
    stack, folder = open_video(tmp_path / "stack.tif"), open_video(tmp_path / "folder")
    np.testing.assert_array_equal(stack[2], folder[2])
    np.testing.assert_array_equal(np.asarray(stack.raw[2]), np.iinfo(dtype).max - values[2])
    assert np.corrcoef(stack[2][..., 0].ravel(), values[2].ravel())[0, 1] < -0.99


def test_a_palette_is_colour(tmp_path):
    colours = np.zeros((3, 256), np.uint16)
    colours[0], colours[2] = np.arange(256) * 257, 65535 - np.arange(256) * 257
    values = pages()
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="palette", colormap=colours)
    video = open_video(tmp_path / "a.tif")
    assert video.shape == (6, 20, 30, 3)
    np.testing.assert_array_equal(video[3], np.dstack((values[3], 0 * values[3], 255 - values[3])))


@pytest.mark.parametrize("compression", ["lzw", "jpeg", "zlib", "packbits", "zstd"])
def test_compressed_stacks(tmp_path, compression):
    values = np.repeat(np.repeat(pages(), 8, 1), 8, 2)
    tifffile.imwrite(tmp_path / "a.tif", values, compression=compression, photometric="minisblack")
    assert np.abs(open_video(tmp_path / "a.tif")[3][..., 0].astype(int) - values[3]).mean() < 3


@pytest.mark.parametrize("suffix", [".btf", ".tf8", ".tf2", ".lsm", ".stk", ".TIF"])
def test_other_endings_of_tiff(tmp_path, suffix):
    tifffile.imwrite(tmp_path / f"a{suffix}", pages(), bigtiff=suffix in (".btf", ".tf8"), photometric="minisblack")
    np.testing.assert_array_equal(open_video(tmp_path / f"a{suffix}")[5][..., 0], pages()[5])


OME = (
    '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"{uuid}><Image '
    'ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="30" SizeY="20" SizeZ="1" SizeC="1" '
    'SizeT="{frames}"><Channel ID="Channel:0:0" SamplesPerPixel="1"/>{data}</Pixels></Image></OME>'
)


def test_a_recording_that_ended_early(tmp_path):
    data = "".join(f'<TiffData FirstT="{i}" IFD="{i}" PlaneCount="1"/>' for i in range(9))
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=False) as file:
        for i, page in enumerate(pages()):
            words = OME.format(uuid="", frames=9, data=data) if i == 0 else None
            file.write(page, description=words, metadata=None, contiguous=False)
    video = open_video(tmp_path / "a.ome.tif")
    assert len(video) == 6
    np.testing.assert_array_equal(video[5][..., 0], pages()[5])
    assert "3 of 9 frames are not there (6 to 8)" in video.warnings[0]


@pytest.mark.parametrize("lost", [1, 2])
def test_a_file_of_a_set_is_missing(tmp_path, lost):
    ids = [f"urn:uuid:00000000-0000-0000-0000-00000000000{k}" for k in range(3)]
    data = "".join(
        f'<TiffData FirstT="{2 * j + i}" IFD="{i}" PlaneCount="1"><UUID FileName="img_{j}.ome.tif">{ids[j]}</UUID></TiffData>'
        for j in range(3)
        for i in range(2)
    )
    for k in {0, 1, 2} - {lost}:
        with tifffile.TiffWriter(tmp_path / f"img_{k}.ome.tif", ome=False) as file:
            for i in range(2):
                words = OME.format(uuid=f' UUID="{ids[k]}"', frames=6, data=data) if i == 0 else None
                file.write(pages()[2 * k + i], description=words, metadata=None, contiguous=False)
    video = open_video(tmp_path / "img_0.ome.tif")
    assert f"2 of 6 frames are not there ({2 * lost} to {2 * lost + 1})" in video.warnings[0]
    assert len(video) == (4 if lost == 2 else 6)
    np.testing.assert_array_equal(video[1][..., 0], pages()[1])
    if lost == 1:
        np.testing.assert_array_equal(video[5][..., 0], pages()[5])
        with pytest.raises(VideoError, match=r"Frame 2 of .* is not there: copy all files"):
            video[2]
    assert f"copy the files that are missing beside it (img_{lost}.ome.tif)." in video.warnings[0]


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_file_that_is_cut_off(tmp_path, compression):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for page in pages():
            file.write(page, metadata=None, contiguous=False, compression=compression)
    whole = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(whole[: int(0.6 * len(whole))])
    video = open_video(tmp_path / "a.tif")
    assert len(video) == 3
    np.testing.assert_array_equal(video[2][..., 0], pages()[2])
    assert "The file is cut off" in video.warnings[0]


@pytest.mark.parametrize("following", [1, None])
def test_a_list_of_pages_that_runs_in_a_circle_or_ends_early(tmp_path, following):
    """Early: the others lie behind it, and half of the film was shown without a word."""
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for page in pages():
            file.write(page, metadata=None, contiguous=False)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        places = [page.offset for page in tiff.pages]
    content = bytearray((tmp_path / "a.tif").read_bytes())
    place = places[3] + 2 + 12 * int.from_bytes(content[places[3] : places[3] + 2], "little")
    content[place : place + 4] = (0 if following is None else places[following]).to_bytes(4, "little")
    (tmp_path / "a.tif").write_bytes(content)
    with open_video(tmp_path / "a.tif") as video:
        assert len(video) == 4
        assert "The file is cut off" in video.warnings[0]


def test_a_zarr_of_which_pieces_are_not_there(tmp_path):
    array = zarr.open_array(tmp_path / "a.zarr", mode="w", shape=(6, 8, 9), chunks=(1, 8, 9), dtype="uint8", zarr_format=2)
    array[...] = 7
    (tmp_path / "a.zarr" / "3.0.0").unlink()
    assert open_video(tmp_path / "a.zarr").warnings == (
        "1 of 6 chunks of the array is missing and shown as 0: they were empty, or were not copied.",
    )


@pytest.mark.parametrize("channels", [1, 2])
def test_an_imagej_stack_that_is_cut_off(tmp_path, channels):
    values = np.random.default_rng(0).integers(0, 60000, (10, channels, 50, 60)).astype(np.uint16)
    axes = "TCYX" if channels > 1 else "TYX"
    tifffile.imwrite(tmp_path / "a.tif", values.squeeze(), imagej=True, metadata={"axes": axes})
    whole = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "b.tif").write_bytes(whole[: len(whole) * 6 // 10])
    video = open_video(tmp_path / "b.tif")
    assert len(video) == 6
    assert video.warnings == ("The file is cut off: only 6 frames are there.",)
    np.testing.assert_array_equal(np.asarray(video.raw[4]).reshape(channels, 50, 60), values[4])


def test_inks_and_transparent_grey_are_shown_as_they_look(tmp_path):
    """A stack of CMYK was shown as its own negative, and how opaque grey is as a second colour."""
    colours = np.random.default_rng(0).integers(0, 256, (4, 20, 30, 3)).astype(np.uint8)
    tifffile.imwrite(
        tmp_path / "inks.tif", np.concatenate([255 - colours, np.zeros_like(colours[..., :1])], -1), photometric="separated"
    )
    np.testing.assert_array_equal(open_video(tmp_path / "inks.tif")[2], colours[2])
    grey = np.stack([colours[..., 0], np.full((4, 20, 30), 255, np.uint8)], -1)
    tifffile.imwrite(tmp_path / "grey.tif", grey, photometric="minisblack", extrasamples=["unassalpha"], planarconfig="contig")
    with open_video(tmp_path / "grey.tif", limits=(0, 255)) as video:
        assert video.shape == (4, 20, 30, 3)
        np.testing.assert_array_equal(video[2], np.repeat(colours[2, ..., :1], 3, 2))


def test_pages_of_another_size_between_the_frames(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for t in range(5):
            file.write(np.full((22 if t == 3 else 20, 30), 10 * t, np.uint8), photometric="minisblack", metadata=None)
    with open_video(tmp_path / "a.tif") as video:
        assert [int(video[t].max()) for t in range(len(video))] == [0, 10, 20, 40]
        assert "left out, the first after frame 2: frame 3 is page 4 of the file." in " ".join(video.warnings)


@pytest.mark.parametrize("kind", [np.uint8, np.float32, "colour", "0 is white"])
@pytest.mark.parametrize("compression", [None, "lzw"])
def test_a_page_of_another_kind_where_tifffile_does_not_look(tmp_path, kind, compression):
    """It was read as if it had the type of the first: as other numbers."""
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for t in range(12):
            page = np.full((20, 30), 100 + t, np.uint16)
            if t == 4:
                page = np.stack([page] * 3, -1) if kind == "colour" else page if kind == "0 is white" else page.astype(kind)
            look = {"colour": "rgb", "0 is white": "miniswhite"}.get(kind, "minisblack") if t == 4 else "minisblack"
            file.write(page, photometric=look, compression=compression, contiguous=False, metadata=None)
    with pytest.raises(VideoError, match=r"its page 4 is of another size or kind|incompatible keyframe"):
        open_video(tmp_path / "a.tif")
    with pytest.raises(FormatError, match=r"cannot be read as TIFF \(its page 4 is of another|incompatible keyframe"):
        read_tiff_stack(tmp_path / "a.tif")


def test_thumbnails_between_the_frames(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for t in range(5):
            file.write(np.full((20, 30), 10 * t, np.uint8), photometric="minisblack", metadata=None)
            file.write(np.zeros((5, 7), np.uint8), photometric="minisblack", metadata=None, subfiletype=1)
    with open_video(tmp_path / "a.tif") as video:
        assert (video.shape, video.warnings) == ((5, 20, 30, 3), ())
        assert [int(video[t].max()) for t in range(5)] == [0, 10, 20, 30, 40]


def test_arrays_in_files_of_numpy(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((5, 20, 30), np.uint8))
    with pytest.raises(VideoError, match=r"open_video\(numpy\.load\(PATH\)\)"):
        open_video(tmp_path / "a.npy")


def test_every_page_has_a_palette_of_its_own(tmp_path):
    indices = np.arange(200, dtype=np.uint8).reshape(1, 10, 20).repeat(3, 0)
    for n in range(3):
        palette = np.arange(256, dtype=np.uint16) * 257 * np.eye(3, dtype=np.uint16)[n][:, None]
        tifffile.imwrite(tmp_path / "a.tif", indices[n], photometric="palette", colormap=palette, append=True, metadata=None)
    with open_video(tmp_path / "a.tif") as video:
        for n in range(3):
            assert (video[n][..., n] == indices[n]).all()
            assert not np.delete(video[n], n, axis=2).any()


def test_colours_that_are_not_rgb_are_converted_or_refused(tmp_path):
    pictures = [Image.fromarray(np.full((16, 16, 3), colour, np.uint8)) for colour in ((200, 30, 90), (10, 220, 40))]
    first, second = (picture.convert("YCbCr") for picture in pictures)
    first.save(tmp_path / "a.tif", save_all=True, append_images=[second])
    with open_video(tmp_path / "a.tif") as video:
        np.testing.assert_allclose(video[:], np.stack([np.asarray(p.convert("RGB")) for p in (first, second)]), atol=1)
    tifffile.imwrite(tmp_path / "b.tif", np.zeros((2, 16, 16, 3), np.uint8), photometric="cielab")
    with pytest.raises(VideoError, match="save it as RGB"):
        open_video(tmp_path / "b.tif")


@pytest.mark.parametrize(
    ("said", "told"), [("images=9\nframes=9", "names 9 pictures and holds 5"), ("images=3\nframes=3", "5 pages")]
)
def test_a_file_with_other_pages_than_its_metadata_names(said, told, stack, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack", description=f"ImageJ=1.53\n{said}\n", metadata=None)
    assert told in " ".join(open_video(tmp_path / "a.tif").warnings)


def test_a_stack_in_one_piece_that_is_cut_off(stack, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack")
    (tmp_path / "a.tif").write_bytes((tmp_path / "a.tif").read_bytes()[: -2 * stack[0].nbytes])
    with open_video(tmp_path / "a.tif") as video:
        assert len(video) == 3
        assert "2 of 5 frames are not there (3 to 4)" in " ".join(video.warnings)


@pytest.mark.parametrize("code", range(2, 9))
def test_turned_pictures_are_shown_upright_in_a_stack_and_in_folders(code, stack, tmp_path):
    eight, wanted = stack.astype(np.uint8), []
    for name in ("tiff", "deep", "jpeg"):
        (tmp_path / name).mkdir()
    turned = [(274, 3, 1, code, True)]
    tifffile.imwrite(tmp_path / "a.tif", eight, photometric="minisblack", extratags=turned)
    exif = Image.Exif()
    exif[274] = code
    for n, picture in enumerate(eight):
        Image.fromarray(picture).save(tmp_path / "jpeg" / f"{n}.png", exif=exif)
        tifffile.imwrite(tmp_path / "tiff" / f"{n}.tif", picture, extratags=turned)
        tifffile.imwrite(tmp_path / "deep" / f"{n}.tif", picture.astype(np.uint16), extratags=turned)
        wanted.append(np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / "jpeg" / f"{n}.png"))))
    for name in ("a.tif", "jpeg", "tiff", "deep"):
        with open_video(tmp_path / name, limits=(0, 255) if name == "deep" else None) as video:
            np.testing.assert_array_equal(video[:][..., 0], wanted)
    assert "upright" in open_video(tmp_path / "a.tif").warnings[0]
    assert "upright" in open_video(tmp_path / "jpeg").warnings[0]


def test_a_folder_of_tiffs_in_a_codec_that_pillow_lacks(stack, tmp_path):
    (tmp_path / "4.tif").mkdir()  # a folder is no picture
    eight = stack[:3].astype(np.uint8)
    with folder(tmp_path, eight, compression="jpeg2000", photometric="minisblack") as video:
        np.testing.assert_array_equal(video[:][..., 0], eight)


def test_a_png_of_16_bits_grey_and_alpha_keeps_them(stack, tmp_path):
    for n, picture in enumerate(stack):
        values = np.dstack([picture, np.full_like(picture, 9)])
        (tmp_path / f"{n}.png").write_bytes(imagecodecs.png_encode(values))
    np.testing.assert_array_equal(open_video(tmp_path).raw[:], stack)


def test_what_is_behind_a_single_picture_is_named(tmp_path):
    path, stack = tmp_path / "a.ome.tif", np.zeros((6, 40, 50), np.uint16)
    with tifffile.TiffWriter(path) as file:
        file.write(stack[0, ::2, ::2], metadata={"axes": "YX"})
        file.write(stack, metadata={"axes": "TYX"})
    with pytest.raises(VideoError, match=r"its image 1 is \(6, 40, 50\): give the array tifffile\.imread\(PATH, series=1\)"):
        open_video(path)
    with tifffile.TiffWriter(tmp_path / "b.tif") as file:
        for page in (stack[0], stack[1, :, :30], stack[2]):
            file.write(page, photometric="minisblack")
    with pytest.raises(VideoError, match=r"b\.tif holds 3 pictures of several sizes or kinds"):
        open_video(tmp_path / "b.tif")

"""Pixel sizes, frame intervals and pixel aspects that files state: in the layer, in the project, in measurements."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
import zarr

from napari_sam2s.masklets import Project
from napari_sam2s.measurements import measure
from napari_sam2s.video import open_video
from napari_sam2s.video.physical_scale import length_name, of_multiscale
from napari_sam2s.widgets.napari_reader import video_layer

STACK = np.random.default_rng(0).integers(0, 255, (5, 24, 32)).astype(np.uint8)
OME = {"PhysicalSizeX": 0.25, "PhysicalSizeY": 0.5, "PhysicalSizeXUnit": "µm", "PhysicalSizeYUnit": "µm"}


def imagej(path, **facts):
    tifffile.imwrite(path, STACK, imagej=True, resolution=(4.0, 2.0), metadata={"axes": "TYX", **facts})
    return path


def ome(path, **facts):
    tifffile.imwrite(path, STACK, metadata={"axes": "TYX", **OME, **facts})
    return path


def ome_zarr(path, scale, unit="micrometer", first=("t", "time", "second"), data=STACK):
    group = zarr.open_group(path, mode="w", zarr_format=2)
    group.create_array("0", shape=data.shape, chunks=(1, *data.shape[1:]), dtype="uint8")[...] = data
    axes = [{"name": first[0], "type": first[1]} | ({"unit": first[2]} if first[2] else {})]
    axes += [{"name": a, "type": "space"} | ({"unit": unit} if unit else {}) for a in "yx"]
    datasets = [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets}]
    return path


@pytest.mark.parametrize(
    "write",
    [
        lambda folder: imagej(folder / "a.tif", finterval=30.0, unit="um"),
        lambda folder: imagej(folder / "a.tif", finterval=0.5, tunit="min", unit="\\u00B5m"),
        lambda folder: ome(folder / "a.ome.tif", TimeIncrement=30.0, TimeIncrementUnit="s"),
        lambda folder: ome(folder / "a.ome.tif", TimeIncrement=30000, TimeIncrementUnit="ms"),
        lambda folder: ome(folder / "a.ome.tif", TimeIncrement=30, PhysicalSizeY=5e-4, PhysicalSizeYUnit="mm"),
        lambda folder: ome_zarr(folder / "a.ome.zarr", [30, 0.5, 0.25]),
        lambda folder: ome_zarr(folder / "a.ome.zarr", [0.5, 0.5, 0.25], first=("t", "time", "minute")),
    ],
    ids=["ImageJ", "ImageJ, minutes", "OME-TIFF", "OME-TIFF, ms", "OME-TIFF, mm", "OME-Zarr", "OME-Zarr, minutes"],
)
def test_a_stack_is_in_its_units(tmp_path, write):
    with open_video(write(tmp_path)) as video:
        assert (video.pixel_size, video.pixel_unit) == ((0.5, 0.25), "micrometer")
        assert video.fps == pytest.approx(1 / 30)
        np.testing.assert_allclose(video.timestamps, np.arange(5) * 30)
        attributes = video_layer(video)[1]
        assert attributes["scale"] == pytest.approx((30, 0.5, 0.25))
        assert attributes["units"] == ("second", "micrometer", "micrometer")
        with Project.create(tmp_path / "a.sam2s", video) as project:
            thing, mask = project.add_object(), np.zeros(STACK.shape[1:], bool)
            mask[2:6, 3:5] = True
            project.write_masks([(2, thing.id, mask, None)])
            for given in (video, None):  # the project knows it without the video
                [row] = measure(project, given).to_dict("records")
                assert (row["area"], row["unit"], row["time_s"]) == (pytest.approx(1.0), "micrometer", pytest.approx(60))


@pytest.mark.parametrize(
    "write",
    [
        lambda folder: imagej(folder / "a.tif"),
        lambda folder: imagej(folder / "a.tif", unit="pixel"),
        lambda folder: ome_zarr(folder / "a.ome.zarr", [1, 0.5, 0.25], unit=None, first=("t", "time", None)),
    ],
    ids=["ImageJ", "ImageJ, pixels", "OME-Zarr"],
)
def test_no_unit_no_size(tmp_path, write):
    """A resolution without a unit is that of a printer, or of nothing."""
    with open_video(write(tmp_path)) as video:
        assert (video.pixel_size, video.pixel_unit, video.fps) == (None, "pixel", None)
        assert video_layer(video)[1]["scale"] == (1, 1, 1)


def test_an_interval_alone_keeps_frames_as_the_axis(tmp_path):
    with open_video(imagej(tmp_path / "a.tif", finterval=30.0)) as video:
        assert video.fps == pytest.approx(1 / 30)
        assert video_layer(video)[1]["scale"] == (1, 1, 1)
    with open_video(tmp_path / "a.tif", fps=2) as video:  # who says a rate knows better
        assert (video.fps, video.timestamps[2]) == (2, 1.0)


def test_slices_are_apart_by_their_depth(tmp_path):
    tifffile.imwrite(
        tmp_path / "z.tif", STACK, imagej=True, resolution=(4, 4), metadata={"axes": "ZYX", "spacing": 1.5, "unit": "um"}
    )
    ome_zarr(tmp_path / "z.ome.zarr", [1.5, 0.25, 0.25], first=("z", "space", "micrometer"))
    for name in ("z.tif", "z.ome.zarr"):
        with open_video(tmp_path / name) as video:
            attributes = video_layer(video)[1]
            assert (video.fps, attributes["scale"]) == (None, (1.5, 0.25, 0.25))
            assert attributes["units"] == ("micrometer",) * 3


def test_frames_that_were_taken_at_noted_times(tmp_path):
    taken = [0.0, 10.0, 20.0, 31.0, 45.0]
    ome(tmp_path / "a.ome.tif", Plane={"DeltaT": taken, "DeltaTUnit": ["s"] * 5})
    with open_video(tmp_path / "a.ome.tif") as video:
        np.testing.assert_allclose(video.timestamps, taken)
        assert video.fps == pytest.approx(1 / 10.5)


def test_a_pause_between_noted_times_is_told(tmp_path):
    taken = [0.0, 1.0, 2.0, 60.0, 61.0]
    ome(tmp_path / "a.ome.tif", Plane={"DeltaT": taken, "DeltaTUnit": ["s"] * 5})
    with open_video(tmp_path / "a.ome.tif") as video:
        assert video.timestamps.tolist() == taken
        assert video.warnings == (
            "The recording pauses for 58.0 s after frame 2 (2.00 s). Frame numbers continue without a gap.",
        )


def test_both_transformations_of_a_multiscale_count():
    axes = [{"name": "t"}, {"name": "y", "unit": "nanometer"}, {"name": "x", "unit": "nanometer"}]
    scale = {"type": "scale", "scale": [1, 2, 2]}
    scales = {"axes": axes, "datasets": [{"coordinateTransformations": [scale]}], "coordinateTransformations": [scale]}
    assert of_multiscale(scales, (5, 24, 32)).pixel_size == (4, 4)
    assert of_multiscale({"axes": axes, "datasets": [{}]}, (5, 24, 32)).pixel_size is None
    assert of_multiscale({"axes": "what", "datasets": []}, (5, 24, 32)).pixel_size is None
    assert [length_name(u) for u in ("μm", "micron", "nm", "pixel", None)] == ["micrometer"] * 2 + ["nanometer", None, None]


@pytest.mark.parametrize(("aspect", "width"), [("16/11", 16 / 11), ("8/9", 8 / 9), ("1", None), ("999/1000", None)])
def test_pixels_that_are_not_square(tmp_path, numbered, aspect, width):
    numbered["encode"](tmp_path / "a.mkv", *numbered["X264"], "-vf", f"setsar={aspect}", frames=3)
    with open_video(tmp_path / "a.mkv") as video, open_video(tmp_path / "a.mkv") as again:  # the second from the cache
        assert again.file.index_cached
        for opened in (video, again):
            assert opened.pixel_size == (None if width is None else pytest.approx((1, width)))
            assert video_layer(opened)[1]["scale"] == pytest.approx((1, 1, width or 1))
            assert video_layer(opened)[1]["units"] == ("pixel",) * 3


def test_a_folder_of_pictures_that_state_their_size(tmp_path):
    for k, picture in enumerate(STACK):
        tifffile.imwrite(tmp_path / f"{k}.tif", picture, imagej=True, resolution=(4, 4), metadata={"unit": "um"})
    with open_video(tmp_path) as video:
        assert (video.pixel_size, video.pixel_unit) == ((0.25, 0.25), "micrometer")

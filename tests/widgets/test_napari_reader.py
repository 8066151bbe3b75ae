"""Dropping videos on napari's reader."""

from __future__ import annotations

import subprocess

import imageio_ffmpeg
import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from napari.layers import Image

from napari_sam2s.errors import ProjectError, VideoError
from napari_sam2s.masklets import Project
from napari_sam2s.video import Video, open_video
from napari_sam2s.widgets.napari_reader import find_video, get_reader, video_layer
from napari_sam2s.widgets.segment_widget import SegmentWidget
from napari_sam2s.widgets.settings import VIDEO_KEY, remember


def layer_of(path):
    data, attributes, kind = get_reader(str(path))(str(path))[0]
    assert kind == "image"
    return Image(data, **attributes)


def test_a_file_becomes_a_lazy_layer_of_frames(case_file):
    layer = layer_of(case_file)
    assert layer.data.shape == (24, 270, 480, 3)
    assert layer.rgb
    assert layer.name == "case"
    assert layer.scale[0] == 1
    assert layer.metadata["fps"] == pytest.approx(25)
    assert layer.axis_labels == ("time", "y", "x")
    video = layer.metadata[VIDEO_KEY]
    assert isinstance(video, Video)
    assert find_video(layer) is video
    np.testing.assert_array_equal(np.asarray(layer.data[7]), video[7])
    np.testing.assert_allclose(layer.metadata["timestamps"], np.arange(24) / 25, atol=1e-6)


def test_frames_of_a_file_are_kept_once(case_file):
    """The file's own cache ends with it; napari's, of up to half of the memory, would keep them for good."""
    from napari.utils import resize_dask_cache

    kept = resize_dask_cache().cache
    before = kept.total_bytes
    viewer = ViewerModel()
    (data, attributes, _) = get_reader(str(case_file))(str(case_file))[0]
    viewer.add_image(data, **attributes)
    for frame in (3, 4, 3):
        viewer.dims.set_current_step(0, frame)
    assert kept.total_bytes == before
    video = attributes["metadata"][VIDEO_KEY]
    assert {0, 3, 4} <= set(video.file._cache)


def test_a_16_bit_stack_keeps_its_raw_values(tmp_path):
    stack = np.random.default_rng(0).integers(1000, 3000, (5, 40, 50)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "cells.tif", stack, photometric="minisblack")
    layer = layer_of(tmp_path / "cells.tif")
    assert not layer.rgb
    np.testing.assert_array_equal(np.asarray(layer.data[3]), stack[3])
    low, high = layer.contrast_limits
    assert 1000 <= low < 1100
    assert 2900 < high <= 3000
    assert find_video(layer).shape == (5, 40, 50, 3)


def test_what_is_not_a_video_is_left_to_others(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    assert get_reader(str(tmp_path)) is None
    assert get_reader(["a.mp4", "b.mp4"]) is None
    tifffile.imwrite(tmp_path / "one.tif", np.zeros((30, 40), np.uint8))
    tifffile.imwrite(tmp_path / "rgb.tif", np.zeros((30, 40, 3), np.uint8), photometric="rgb")
    assert get_reader(str(tmp_path / "one.tif")) is None
    assert get_reader(str(tmp_path / "rgb.tif")) is None


def test_indexing_shows_progress_in_napari(case_file, tmp_path, monkeypatch):
    from napari.utils import progress

    told = []

    class Told(progress):
        def update(self, n=1):
            told.append((self.desc, n))
            super().update(n)

    monkeypatch.setenv("SAM2S_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr("napari_sam2s.video.ffmpeg.PROGRESS_PACKETS", 5)
    monkeypatch.setattr("napari.utils.progress", Told)
    stream = tmp_path / "case.ts"  # which nothing but reading it all indexes
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", case_file, "-c", "copy", stream], check=True)
    layer_of(stream)
    with open_video(stream) as video:
        Project.create(tmp_path / "case.sam2s", video).close()
    of_video, told[:] = told[:], []
    monkeypatch.setenv("SAM2S_CACHE_DIR", str(tmp_path / "another"))
    layer_of(tmp_path / "case.sam2s")
    for shown in (of_video, told):
        assert len(shown) >= 4
        assert all("Indexing case.ts" in words for words, _ in shown)
        assert 0 < sum(n for _, n in shown) <= 100


def test_a_broken_file_says_so(tmp_path):
    path = tmp_path / "broken.mp4"
    path.write_bytes(b"this is no video" * 100)
    with pytest.raises(VideoError, match=r"broken\.mp4"):
        get_reader(str(path))(str(path))


def test_any_image_layer_will_do():
    rng = np.random.default_rng(0)
    plain = Image(rng.integers(0, 255, (4, 30, 40, 3), dtype=np.uint8), rgb=True, name="plain")
    assert find_video(plain).shape == (4, 30, 40, 3)
    grey = Image(rng.random((4, 30, 40)), contrast_limits=(0.2, 0.8), name="grey")
    video = find_video(grey)
    assert video.shape == (4, 30, 40, 3)
    assert video[0][grey.data[0] <= 0.2].max() == 0
    with pytest.raises(VideoError, match="4 dimensions"):
        find_video(Image(np.zeros((2, 3, 30, 40)), name="stack"))


def test_a_plain_array_of_as_many_frames_lies_on_a_video():
    data, attributes, _ = video_layer(open_video(np.zeros((50, 4, 6, 3), dtype=np.uint8), fps=24000 / 1001))
    viewer = ViewerModel()
    viewer.add_image(data, **attributes)
    plain = viewer.add_labels(np.zeros((50, 4, 6), dtype=np.uint8))
    assert viewer.dims.nsteps[0] == 50
    viewer.dims.set_current_step(0, 49)
    assert plain.world_to_data(viewer.dims.point)[0] == 49


def test_the_last_of_246_frames_at_24_a_second_is_shown():
    frames = np.zeros((246, 4, 6, 3), dtype=np.uint8)
    frames[-1] = 255
    data, attributes, _ = video_layer(open_video(frames, fps=24))
    viewer = ViewerModel()
    layer = viewer.add_image(data, **attributes)
    assert viewer.dims.nsteps[0] == 246
    viewer.dims.set_current_step(0, 245)
    assert layer._data_view.min() == 255


@pytest.mark.long
def test_every_real_file_dropped_on_napari(real_data, make_napari_viewer):
    viewer = make_napari_viewer()
    for path in [*sorted((real_data / "videos").glob("*.mp4")), real_data / "hela" / "hela.tif"]:
        (layer,) = viewer.open(path, plugin="napari-sam2s")
        last = len(layer.metadata[VIDEO_KEY]) - 1
        viewer.dims.set_point(0, layer.data_to_world((last, 0, 0))[0])
        np.testing.assert_array_equal(layer._data_view, np.asarray(layer.data[last]))
        viewer.layers.clear()


def test_real_video_by_the_reader(real_data):
    layer = layer_of(real_data / "videos" / "02_cups.mp4")
    assert layer.data.shape[1:] == (720, 1280, 3)
    hela = layer_of(real_data / "hela" / "hela.tif")
    assert hela.data.ndim == 3
    assert hela.data.dtype == np.uint16
    assert not hela.rgb


def test_a_project_is_opened_with_its_video_wherever_it_lies(case_file, tmp_path, make_napari_viewer, shared_engine):
    remember("model", address=shared_engine.address)
    (tmp_path / "work").mkdir()
    path = tmp_path / "work" / "graspers.sam2s"
    with open_video(case_file) as video:
        Project.create(path, video).close()
    viewer = make_napari_viewer()
    viewer.open(str(path), plugin="napari-sam2s")
    assert [layer.name for layer in viewer.layers] == ["case"]
    widget = SegmentWidget(viewer)
    assert widget.session.project.path == path
    widget.close()
    case_file.unlink()
    with pytest.raises(ProjectError, match=r"case\.mp4 of graspers\.sam2s is no longer there: open the video first"):
        get_reader(str(path))(str(path))

"""Masks in every format that is read, as a project."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_sam2s.cli import main
from napari_sam2s.errors import FormatError
from napari_sam2s.formats.foreign_files import reading
from napari_sam2s.formats.import_project import READABLE, import_project
from napari_sam2s.formats.ome_zarr import read_ome_zarr
from napari_sam2s.masklets import Project
from napari_sam2s.video import open_video

SIZE = (20, 30)


@pytest.fixture
def case(tmp_path):
    """Object 2 comes of object 1, which is gone then."""
    with Project.create(tmp_path / "case.sam2s", np.zeros((4, *SIZE, 3), np.uint8)) as project:
        project.add_object("mother", "zelle ä", (1, 2, 3))
        project.add_object("child", None, (200, 100, 50))
        project.objects.set_parent(2, 1)
        for t in range(4):
            mask = np.zeros(SIZE, bool)
            mask[2:9, 3 + t : 10] = True
            project.write_masks([(t, i, mask & (i == 1 + (t > 1)), None) for i in (1, 2)])
        yield project


@pytest.mark.parametrize("name", READABLE)
def test_every_format_there_and_back(case, tmp_path, name):
    made = case.export(tmp_path / name, name)
    path = import_project(tmp_path / name if name == "davis" else made, name, tmp_path / "new.sam2s", np_video())
    with Project.open(path) as project:
        assert [(o.id, o.name) for o in project.objects] == [(1, "mother"), (2, "child")]
        assert [o.class_name for o in project.objects] == ["zelle ä", None]
        if name in ("ctc", "tiff"):
            assert project.objects.get(2).parent == 1
        assert project.masks.origins(3) == {1: "imported", 2: "imported"}
        for t in range(4):
            for i in (1, 2):
                np.testing.assert_array_equal(project.mask(t, i), case.mask(t, i))
        project.undo()
        assert not project.objects
    assert not list(tmp_path.glob("*.part*"))


def np_video():
    return open_video(np.zeros((4, *SIZE, 3), np.uint8))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
@pytest.mark.parametrize("name", READABLE)
def test_a_pipe_is_not_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FormatError):
        import_project(tmp_path / "pipe", name, tmp_path / "new.sam2s")


def test_masks_as_prompts(case, tmp_path, capsys):
    made = case.export(tmp_path, "tiff")
    assert main(["import", str(made), "--format", "tiff", "--out", str(tmp_path / "p.sam2s"), "--as", "prompts"]) == 0
    with Project.open(tmp_path / "p.sam2s") as project:
        assert [(p.object_id, p.frame) for p in project.prompts()] == [(1, 0), (2, 2)]
        assert project.frames == [0, 2]
        np.testing.assert_array_equal(project.prompts()[1].mask, case.mask(2, 2))


def test_foreign_stacks(tmp_path):
    labels = np.zeros((3, *SIZE), np.uint8)
    labels[1, 3:5, 4:8] = 7
    tifffile.imwrite(tmp_path / "s.tif", labels, photometric="minisblack")
    with Project.open(import_project(tmp_path / "s.tif", "tiff", tmp_path / "s.sam2s")) as project:
        assert [o.name for o in project.objects] == ["object 7"]
        assert project.mask(1, 1).sum() == 8
        assert not project.mask(0, 1).any()


@pytest.mark.filterwarnings("ignore:.*writing zero-size array")
@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (np.zeros((3, *SIZE), np.float32), "labels are whole numbers"),
        (np.zeros(SIZE, np.uint8), "labels are whole numbers"),
        (np.zeros((0, *SIZE), np.uint8), r"is empty: its shape is \(0, 20, 30\)"),
        (np.full((3, *SIZE), -1, np.int16), "labels below 0"),
        (np.zeros((9, *SIZE), np.uint8), "and the video has 4 frames"),
        (np.zeros((3, *SIZE), np.uint8), "is of 3 frames, and the video has 4"),
        (np.zeros((3, 20, 31), np.uint8), r"masks of \(20, 31\)"),
    ],
)
def test_bad_stacks(tmp_path, pixels, words):
    tifffile.imwrite(tmp_path / "s.tif", pixels, photometric="minisblack")
    with pytest.raises(FormatError, match=words):
        import_project(tmp_path / "s.tif", "tiff", tmp_path / "s.sam2s", np_video())
    assert [p.name for p in tmp_path.iterdir()] == ["s.tif"]


@pytest.mark.parametrize("head", [b"II*\0\x08\0\0\0", b"II*\0\0\0\0\0"])
def test_a_tiff_without_a_picture(tmp_path, head):
    """It said "list index out of range"."""
    (tmp_path / "s.tif").write_bytes(head)
    with pytest.raises(FormatError, match="it holds no picture"):
        import_project(tmp_path / "s.tif", "tiff", tmp_path / "s.sam2s")


@pytest.mark.parametrize("name", ["ctc", "davis"])
def test_pictures_of_floats_are_refused(case, tmp_path, name):
    """Cut to whole numbers 1.2 and 1.7 would be one object, or none."""
    made = case.export(tmp_path / "out", name)
    for path in (*made.rglob("*.tif"), *made.rglob("*.png")):
        Image.fromarray(np.linspace(0, 2, 600, dtype=np.float32).reshape(SIZE)).save(path, format="TIFF")
    with pytest.raises(FormatError, match=r"labels are whole numbers|ids are read from palette or grey"):
        import_project(tmp_path / "out" if name == "davis" else made, name, tmp_path / "s.sam2s")
    assert not (tmp_path / "s.sam2s").exists()


def test_bad_input(case, tmp_path):
    with pytest.raises(FormatError, match="not a format that can be read"):
        import_project(tmp_path, "csv", tmp_path / "s.sam2s")
    with pytest.raises(FormatError, match="exists already"):
        import_project(tmp_path, "tiff", case.path)
    with pytest.raises(FormatError, match="no file or folder"):
        import_project(tmp_path / "no.tif", "tiff", tmp_path / "s.sam2s")
    made = case.export(tmp_path, "tiff")
    with pytest.raises(FormatError, match="has no video 'x': name one of 'case'"):
        import_project(made, "tiff", tmp_path / "s.sam2s", name="x")


def test_pictures_that_do_not_count_from_0_are_refused(tmp_path):
    (tmp_path / "pictures").mkdir()
    labels = np.zeros((3, 20, 30), np.uint8)
    labels[:, 4:9, 5:12] = 1
    for k in range(3):
        Image.fromarray(labels[k] * 100).save(tmp_path / "pictures" / f"{k + 1:05d}.png")
    tifffile.imwrite(tmp_path / "masks.tif", labels, photometric="minisblack")
    with open_video(tmp_path / "pictures") as video, pytest.raises(FormatError, match="count from 1 on"):
        import_project(tmp_path / "masks.tif", "tiff", tmp_path / "a.sam2s", video)
    assert not (tmp_path / "a.sam2s").exists()


def in_json(name, change):
    """Change the JSON of a format."""

    def changed(made):
        content = json.loads(made.read_text())
        change(content)
        made.write_text(json.dumps(content))

    return name, changed


def in_text(name, file, old, new):
    def changed(made):
        path = made / file if file else made
        path.write_text(path.read_text().replace(old, new, 1))

    return name, changed


def copied(name, old, new):
    return name, lambda made: shutil.copy(made / old, made / new)


DAMAGED = {
    "a part that is text": in_json("coco", lambda c: c.update(info="x")),
    "half an image": in_json("coco", lambda c: c["annotations"][0].update(image_id=1.5)),
    "half a track": in_json("coco", lambda c: c["annotations"][0].update(track_id=1.5)),
    "a track that is true": in_json("coco", lambda c: c["annotations"][0].update(track_id=True)),
    "two images of one frame": in_json("coco", lambda c: c["images"][0].update(frame_index=1)),
    "images of several sizes": in_json("coco", lambda c: c["images"][0].update(height=9)),
    "nothing": in_json("coco", lambda c: c.update(annotations=[], tracks=[])),
    "a list that is a number": in_json("sav", lambda c: c.update(masklet=5)),
    "names for some": in_json("sav", lambda c: c["object_names"].pop()),
    "two of one id": in_json("sav", lambda c: c.update(masklet_id=[1, 1])),
    "a colour that is none": in_json("sav", lambda c: c["object_facts"][0].update(colour=[1])),
    "no step": in_json("sav", lambda c: c.update(ann_every=0)),
    "a track that is none": in_json("youtube-vis", lambda c: c["tracks"].append(5)),
    "a frame behind the end": in_text("cvat", "", ' frame="1" keyframe="1" outside="0"', ' frame="77"'),
    "a frame twice": in_text("cvat", "", ' frame="1" keyframe="1" outside="0"', ' frame="0"'),
    "a number beyond any": in_text("cvat", "", 'width="', f'width="{2**70}'),
    "another size": in_text("mots", "seqinfo.ini", "imWidth=30", "imWidth=31"),
    "a frame that is not listed": in_text("mots", "objects.json", '"frames": [0, ', '"frames": ['),
    "two pictures of one number": copied("ctc", "mask000.tif", "mask0000.tif"),
    "two pictures of a number": copied("davis", "00000.png", "0.png"),
}


@pytest.mark.filterwarnings("ignore:Track 1 .* leaves out frames:UserWarning")  # told before the file is refused
@pytest.mark.parametrize(("name", "damage"), DAMAGED.values(), ids=DAMAGED)
def test_damaged_files_are_one_sentence_and_no_project(case, tmp_path, name, damage):
    made = case.export(tmp_path / name, name)
    damage(made)
    with pytest.raises(FormatError):
        import_project(made, name, tmp_path / "new.sam2s")
    assert not list(tmp_path.glob("new*"))


def test_a_mask_of_another_size(case, tmp_path):
    made = case.export(tmp_path / "davis", "davis")
    with Image.open(made / "00001.png") as picture:
        picture.resize((15, 10), 0).save(made / "00001.png")
    with pytest.raises(FormatError, match=r"has a mask of \(10, 15\) \(Y, X\) on frame 1, and its video has \(20, 30\)"):
        import_project(tmp_path / "davis", "davis", tmp_path / "new.sam2s")


def test_too_little_memory_is_not_called_damage_alone():
    told = r"^a\.json asks for more memory than there is: it is too large, or damaged\.$"
    with pytest.raises(FormatError, match=told), reading("a.json", "a JSON file of SA-V"):
        raise MemoryError


def test_a_picture_given_as_text_is_told_without_its_bytes(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", labels_of_two(5))
    with pytest.raises(FormatError, match=r"a\.tif is not a COCO file of instances, or is damaged: it is not text \(") as told:
        import_project(tmp_path / "a.tif", "coco", tmp_path / "new.sam2s")
    assert "\\x" not in str(told.value)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("frames", [3, 4])
def test_a_stack_that_tifffile_takes_for_colours_says_how_to_write_it(tmp_path, frames):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, labels_of_two(frames), photometric="rgb", planarconfig="separate")  # its default
    with pytest.raises(FormatError, match=f"one colour picture of {frames} planes, .* photometric='minisblack'"):
        import_project(path, "tiff", tmp_path / "new.sam2s")
    tifffile.imwrite(path, labels_of_two(frames), photometric="minisblack")
    assert import_project(path, "tiff", tmp_path / "new.sam2s").exists()


def labels_of_two(frames=3):
    labels = np.zeros((frames, *SIZE), np.uint16)
    for t in range(frames):
        labels[t, 2:9, 3 + t : 10], labels[t, 11:18, 12:20] = 7, 9
    return labels


def taken(source, name, tmp_path):
    with Project.open(import_project(source, name, tmp_path / "new.sam2s"), mode="r") as project:
        named = {o.id: int(o.name.split()[1]) for o in project.objects}
        return np.stack([sum(mask * named[i] for i, mask in project.masks(t).items()) for t in range(project.shape[0])])


@pytest.mark.parametrize("how", ["page by page", "channels of one", "mirrored"])
def test_stacks_as_several_programs_write_them(tmp_path, how):
    path, labels = tmp_path / "s.tif", labels_of_two()
    if how == "page by page":
        with tifffile.TiffWriter(path) as file:
            for page in labels:
                file.write(page, photometric="minisblack", contiguous=False)
    elif how == "channels of one":
        tifffile.imwrite(path, labels[:, None], metadata={"axes": "TCYX"})
    else:
        tifffile.imwrite(path, labels[:, :, ::-1], photometric="minisblack", extratags=[(274, "H", 1, 2, True)])
    np.testing.assert_array_equal(taken(path, "tiff", tmp_path), labels)


def test_values_that_are_no_labels_any_more(tmp_path):
    labels = labels_of_two().astype(np.uint8)
    tifffile.imwrite(tmp_path / "jpeg.tif", labels.repeat(8, 1).repeat(8, 2) * 20, photometric="minisblack", compression="jpeg")
    with pytest.raises(FormatError, match="is compressed as JPEG, so its values are no longer ids"):
        import_project(tmp_path / "jpeg.tif", "tiff", tmp_path / "new.sam2s")
    small = Image.fromarray(np.where(labels[0] > 0, 255, 0).astype(np.uint8))
    (tmp_path / "soft").mkdir()
    small.resize((300, 200), Image.Resampling.BICUBIC).save(tmp_path / "soft" / "00000.png")
    with pytest.raises(FormatError, match=r"has soft edges \(\d+ grey values\): threshold it first"):
        import_project(tmp_path / "soft", "davis", tmp_path / "new.sam2s")


@pytest.mark.parametrize("axes", ["tyx", "tczyx"])
@pytest.mark.parametrize("coloured", [(), (0, 7)])
def test_labels_of_ome_zarr_with_one_channel_and_a_few_colours(tmp_path, axes, coloured):
    zarr = pytest.importorskip("zarr")
    labels = labels_of_two().astype(np.int32)
    group = zarr.open_group(tmp_path / "l.zarr", mode="w", zarr_format=2).create_group("labels")
    group.attrs["labels"] = ["cells"]
    image = group.create_group("cells")
    shaped = labels if axes == "tyx" else labels[:, None, None]
    image.create_array("0", shape=shaped.shape, chunks=shaped.shape, dtype="i4")[:] = shaped
    image.attrs["multiscales"] = [{"version": "0.4", "axes": [{"name": a} for a in axes], "datasets": [{"path": "0"}]}]
    image.attrs["image-label"] = {"colors": [{"label-value": i, "rgba": [i, 0, 0, 255]} for i in coloured]}
    np.testing.assert_array_equal(taken(tmp_path / "l.zarr", "ome-zarr", tmp_path), labels)
    with pytest.raises(FormatError, match="give the folder that holds them"):
        import_project(tmp_path / "l.zarr" / "labels" / "cells", "ome-zarr", tmp_path / "other.sam2s")


def test_labels_of_ome_zarr_along_z_are_no_video(tmp_path):
    """One time and several planes: the planes would be taken for frames."""
    zarr = pytest.importorskip("zarr")
    labels = labels_of_two().astype(np.int32)
    image = zarr.open_group(tmp_path / "l.zarr", mode="w", zarr_format=2).create_group("labels/cells")
    zarr.open_group(tmp_path / "l.zarr/labels", mode="a").attrs["labels"] = ["cells"]
    image.create_array("0", shape=(1, 1, *labels.shape), chunks=(1, 1, *labels.shape), dtype="i4")[:] = labels[None, None]
    image.attrs["multiscales"] = [{"version": "0.4", "axes": [{"name": a} for a in "tczyx"], "datasets": [{"path": "0"}]}]
    with pytest.raises(FormatError, match="run along z, not in time"):
        import_project(tmp_path / "l.zarr", "ome-zarr", tmp_path / "new.sam2s")


def test_labels_of_ome_zarr_are_looked_through_once(tmp_path, monkeypatch):
    zarr = pytest.importorskip("zarr")
    labels = labels_of_two().astype(np.int32)
    group = zarr.open_group(tmp_path / "l.zarr", mode="w", zarr_format=2).create_group("labels")
    group.attrs["labels"] = ["cells"]
    image = group.create_group("cells")
    image.create_array("0", shape=labels.shape, chunks=labels.shape, dtype="i4")[:] = labels
    image.attrs["multiscales"] = [{"version": "0.4", "datasets": [{"path": "0"}]}]
    (masklets,) = read_ome_zarr(tmp_path / "l.zarr").values()
    read = []
    monkeypatch.setattr(type(masklets), "_labels", lambda self, t: read.append(t) or labels[t])
    assert [o.id for o in masklets.objects] == [o.id for o in masklets.objects] == sorted({*np.unique(labels)} - {0})
    assert read == list(range(len(labels)))


def _pictures(folder, names):
    folder.mkdir(parents=True)
    for n, name in enumerate(names):
        labels = np.zeros(SIZE, np.uint8)
        labels[3:6, 4 + n : 8 + n] = 2
        if name.lower().endswith("png"):
            Image.fromarray(labels).save(folder / name, format="PNG")
        else:
            tifffile.imwrite(folder / name, labels.astype(np.uint16))
    return folder


def test_folders_of_davis_with_capital_endings(tmp_path):
    """They held "no folders of PNGs"."""
    _pictures(tmp_path / "Annotations" / "v", ["00000.PNG", "00001.Png"])
    with Project.open(import_project(tmp_path, "davis", tmp_path / "s.sam2s")) as project:
        assert [int(np.flatnonzero(project.mask(t, 1)[3])[0]) for t in range(2)] == [4, 5]


def test_lists_of_tracks_of_others(tmp_path):
    """A mark before the list, and the folder above the masks of ground truth."""
    made = _pictures(tmp_path / "01_GT" / "TRA", ["man_track000.tif", "man_track001.tif"])
    (made / "man_track.txt").write_bytes(b"\xef\xbb\xbf2 0 1 0\r\n")
    with Project.open(import_project(tmp_path / "01_GT", "ctc", tmp_path / "s.sam2s")) as project:
        assert project.masks.series(1).area.tolist() == [12, 12]
    (made / "man_track.txt").write_text("2 0 1 0\n3 0 1 0\n2 0 1 3\n")
    with pytest.raises(FormatError, match="has one track on two lines"):
        import_project(made, "ctc", tmp_path / "t.sam2s")

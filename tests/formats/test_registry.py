"""Formats are registered once, and files agree with the screen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_sam2s import formats
from napari_sam2s.cli import main
from napari_sam2s.errors import FormatError, ProjectError
from napari_sam2s.formats import FORMATS, overlay, read_ctc, read_davis, read_ome_zarr
from napari_sam2s.formats.registry import export, format_by_ending
from napari_sam2s.masklets import LabelMasklets, Object, Project
from napari_sam2s.masklets.overlaps import label_image
from napari_sam2s.video import open_video

SIZE = (24, 30)
FRAMES = 4


@pytest.fixture
def overlapping(tmp_path):
    """Three objects that overlap two by two and all three, on every frame elsewhere."""
    with Project.create(tmp_path / "case.sam2s", np.zeros((FRAMES, *SIZE, 3), np.uint8)) as project:
        for i in range(3):
            project.add_object()
            rows = []
            for t in range(FRAMES):
                mask = np.zeros(SIZE, bool)
                mask[3 + 3 * i : 15 + 3 * i, t + 4 * i : t + 4 * i + 12] = True
                rows.append((t, i + 1, mask, None))
            project.write_masks(rows)
        yield project


def label_array(masklets):
    """Return the labels that were read back, whose masks do not overlap any more."""
    return np.stack([sum(i * mask.astype(int) for i, mask in masklets.masks(t).items()) for t in range(FRAMES)])


@pytest.mark.filterwarnings("ignore:case. objects overlap")
@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2), (2, 3, 1)])
def test_files_show_what_the_screen_shows(overlapping, tmp_path, order):
    overlapping.objects.reorder(order)
    shown = np.asarray(overlapping.labels)
    assert shown[0, 12, 10] == order[-1]  # all three are there
    made = {name: overlapping.export(tmp_path / name, name) for name in ("davis", "ctc", "ome-zarr")}
    back = {
        "davis": read_davis(tmp_path / "davis"),
        "ctc": read_ctc(made["ctc"]),
        "ome-zarr": read_ome_zarr(made["ome-zarr"]),
    }
    for name, videos in back.items():
        np.testing.assert_array_equal(label_array(videos["case"]), shown, err_msg=name)
    grey = np.full((*SIZE, 3), 90, np.uint8)
    for t in range(FRAMES):
        visible = {i: shown[t] == i for i in (1, 2, 3)}
        drawn = overlay(grey, overlapping.masks(t), overlapping.objects)
        np.testing.assert_array_equal(drawn, overlay(grey, visible, overlapping.objects))
        assert (drawn[shown[t] > 0] != 90).any(axis=-1).all()
        assert (drawn[shown[t] == 0] == 90).all()


def test_the_higher_id_covers_where_there_is_no_table():
    masks = {i: np.ones((2, 2), bool) for i in (7, 2, 5)}
    assert (label_image(masks, (), (2, 2)) == 7).all()


def test_the_command_line_offers_every_format_and_option(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "5000")
    with pytest.raises(SystemExit):
        main(["export", "--help"])
    text = capsys.readouterr().out
    for known in FORMATS.values():
        assert f"{known.name}: {known.title}" in " ".join(text.split())
        for option in known.options:
            assert f"--{option.name.replace('_', '-')} {option.metavar}" in text


def test_the_pages_tell_of_every_format_and_option():
    folder = Path(__file__).parents[2] / "docs" / "reference"
    page, more = ((folder / name).read_text(encoding="utf-8") for name in ("formats.md", "exchange.md"))
    names = [line.split("|")[1].strip(" `") for line in page.splitlines() if line.startswith("| `")]
    assert names == list(FORMATS)  # titles and tips are written from the code, see docs/hooks.py
    for known in FORMATS.values():
        assert all(f"--{option.name.replace('_', '-')}" in page + more for option in known.options)


@pytest.mark.parametrize("name", [name for name, known in FORMATS.items() if known.layer_ending and name != "davis"])
def test_a_file_of_any_name(tmp_path, name):
    labels = LabelMasklets(np.ones((2, 5, 6), np.uint8))
    ending = FORMATS[name].layer_ending
    assert FORMATS[name].write(labels, tmp_path / f"mine{ending}", "case") == tmp_path / f"mine{ending}"
    (tmp_path / f"folder{ending}").mkdir()
    made = FORMATS[name].write(labels, tmp_path / f"folder{ending}", "case")
    assert made.parent == tmp_path / f"folder{ending}"
    assert made.name.startswith("case_")


def test_what_a_format_does_not_have_is_told(overlapping, tmp_path):
    with pytest.raises(
        ProjectError, match=r"'jpeg' is not a format that can be written. Formats: 'davis', 'coco', " r".*'overlay'"
    ):
        overlapping.export(tmp_path, "jpeg")
    with pytest.raises(ProjectError, match="'words' is an option of 'overlay' and 'gif', not of 'csv'"):
        overlapping.export(tmp_path, "csv", words="names")
    with pytest.raises(ProjectError, match="'depth' is an option of no format"):
        overlapping.export(tmp_path, "csv", depth=3)
    with pytest.raises(ProjectError, match="'overlay' draws on the frames: give the video"):
        overlapping.export(tmp_path / "o.mp4", "overlay")
    video = np.zeros((FRAMES, *SIZE, 3), np.uint8)
    assert overlapping.export(tmp_path / "o.mp4", "overlay", video=video).stat().st_size > 0


def test_the_old_name_of_the_list_still_works():
    with pytest.warns(DeprecationWarning, match="WRITERS is FORMATS now"):
        assert formats.WRITERS["coco"] is FORMATS["coco"].write
    with pytest.raises(AttributeError, match="nonsense"):
        formats.nonsense  # noqa: B018


FOREIGN = {  # what somebody's own class of masks may give, and what is said of it
    "an id of 0": ({"objects": (Object(0, "a"),)}, "ids are whole numbers from 1"),
    "an id below 0": ({"objects": (Object(-1, "a"),)}, "ids are whole numbers from 1"),
    "an id beyond": ({"objects": (Object(2**53, "a"),)}, "ids are whole numbers from 1"),
    "an id twice": ({"objects": (Object(1, "a"), Object(1, "b"))}, "Two objects have the id 1"),
    "a stranger": ({"objects": (Object(2, "b"),)}, "Frame 0 has a mask of object 1, which is not among"),
    "a frame below 0": ({"frames": [-1, 0]}, "below 0 or out of order"),
    "frames out of order": ({"frames": [1, 0]}, "below 0 or out of order"),
    "a frame beyond": ({"frames": [0, 7]}, "frame 7, but the video has 3 frames"),
    "probabilities": ({"mask": np.linspace(0, 1, 20).reshape(4, 5)}, "as probabilities do"),
    "another size": ({"mask": np.ones((4, 6), bool)}, r"shape of the frame, \(4, 5\)"),
    "a video of other frames": ({"shape": (9, 4, 5)}, "The video has 3 frames, and the masks belong to one with 9"),
}


@pytest.mark.parametrize("name", ["coco", "csv", "mots", "geff", "gif"])
@pytest.mark.parametrize("kind", FOREIGN)
def test_masks_that_cannot_be_are_refused_by_every_format(tmp_path, name, kind):
    class Foreign:
        shape, frames, objects, mask = (3, 4, 5), [0, 1], (Object(1, "a"),), np.ones((4, 5), bool)

        def masks(self, frame):
            return {1: self.mask}

    given, words = FOREIGN[kind]
    masks = Foreign()
    for key, value in given.items():
        setattr(masks, key, value)
    with pytest.raises(FormatError, match=words):
        export(masks, "case", tmp_path / f"a{FORMATS[name].file_ending}", name, video=np.zeros((3, 4, 5, 3), np.uint8))
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_labels_that_are_none_are_refused():
    with pytest.raises(FormatError, match="Labels are integers"):
        LabelMasklets(np.ones((2, 3, 4)))
    below = LabelMasklets(np.full((2, 3, 4), -1))
    for read in (lambda: below.objects, lambda: below.masks(0)):
        with pytest.raises(FormatError, match="labels below 0"):
            read()


@pytest.mark.parametrize(
    ("target", "name"),
    [("masks", "davis"), ("case.v2", "davis"), ("look.MP4", "overlay"), ("look.mkv", "overlay"), ("look.gif", "gif")],
)
def test_a_target_without_a_format_says_it_by_its_ending(target, name):
    assert format_by_ending(target) == name


@pytest.mark.parametrize("target", ["look.webm", "LOOK.WMV", "masks.npz", "case.parquet"])
def test_a_file_that_no_format_writes_is_no_folder_of_pictures(tmp_path, target):
    with pytest.raises(FormatError, match=r"name an \.mp4, a \.gif, or a folder and the format"):
        format_by_ending(tmp_path / target)


@pytest.mark.parametrize(
    "target", ["masks.tif", "masks.json", "case.zarr", "case.csv", "tracks.xml", "tracks.geff", "gt.txt", "m.png"]
)
def test_a_file_of_another_format_is_not_made_a_folder_of_pictures(overlapping, tmp_path, target):
    overlapping.close()
    with pytest.raises(FormatError, match=rf"{target} names no format. Name a folder and a format"):
        export(overlapping, "case", tmp_path / target)
    assert main(["export", str(tmp_path / "case.sam2s"), str(tmp_path / target)]) == 2
    assert not (tmp_path / target).exists()


def test_without_a_format_a_gif_is_a_gif(overlapping, tmp_path):
    made = overlapping.export(tmp_path / "look.gif", video=open_video(np.zeros((FRAMES, *SIZE, 3), np.uint8)))
    assert made.read_bytes().startswith(b"GIF89a")

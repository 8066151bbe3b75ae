"""YouTube-VIS, MOTS, YOLO and CVAT as their own tools read them, and pictures to look at."""

from __future__ import annotations

import itertools
import json
import re
import shutil
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from PIL import Image, ImageSequence
from pycocotools import mask as coco

from napari_sam2s.cli import main
from napari_sam2s.errors import FormatError
from napari_sam2s.formats import FORMATS
from napari_sam2s.formats.captions import Captions
from napari_sam2s.formats.coco_rle import pack_counts
from napari_sam2s.formats.cvat import read_cvat, write_cvat
from napari_sam2s.formats.import_project import import_project
from napari_sam2s.formats.mots import read_mots, write_mots
from napari_sam2s.formats.overlay import write_overlay, write_overlay_gif
from napari_sam2s.formats.registry import export, read_span
from napari_sam2s.formats.yolo_seg import outline_of, write_yolo_seg
from napari_sam2s.formats.youtube_vis import read_youtube_vis, write_youtube_vis
from napari_sam2s.masklets import Object, Project, rle
from napari_sam2s.synthetic.samples import demo_case
from napari_sam2s.video import open_video

SIZE = (24, 30)


def test_trackeval_reads_youtube_vis(tmp_path, three):
    from trackeval.datasets import YouTubeVIS

    gt, results = tmp_path / "youtube_vis_val", tmp_path / "results" / "youtube_vis_val" / "ours" / "data"
    path = write_youtube_vis(three, gt, "case")
    facts = json.loads(path.read_text())
    results.mkdir(parents=True)
    packed = [
        {**a, "score": 0.9, "segmentations": [s and {**s, "counts": pack_counts(s["counts"])} for s in a["segmentations"]]}
        for a in facts["annotations"]
        if any(a["areas"])
    ]  # as results are
    (results / "r.json").write_text(json.dumps(packed))
    config = {"GT_FOLDER": f"{tmp_path}/", "TRACKERS_FOLDER": f"{tmp_path}/results/", "SPLIT_TO_EVAL": "val"}
    dataset = YouTubeVIS({**config, "PRINT_CONFIG": False})
    assert dataset.seq_list == ["case"]
    raw = dataset.get_raw_seq_data("ours", "case")
    for t in range(6):
        masks = three.masks(t)
        assert sorted(raw["gt_ids"][t].tolist()) == [i for i, mask in masks.items() if mask.any()]
        for i, runs in zip(raw["gt_ids"][t], raw["gt_dets"][t], strict=True):
            np.testing.assert_array_equal(coco.decode(runs).astype(bool), masks[int(i)])
    assert dataset.get_preprocessed_seq_data(raw, "grasper")["num_gt_ids"] == 1


def test_trackeval_reads_mots(tmp_path, three):
    from trackeval.datasets import MOTSChallenge

    three.objects = (Object(2, "left", "pedestrian"), *three.objects[1:])
    with pytest.warns(UserWarning, match="overlap"):
        folder = write_mots(three, tmp_path / "gt" / "MOTS-train", "case")
    ours = tmp_path / "results" / "MOTS-train" / "ours" / "data"
    ours.mkdir(parents=True)
    shutil.copy(folder / "gt" / "gt.txt", ours / "case.txt")
    config = {"GT_FOLDER": f"{tmp_path}/gt", "TRACKERS_FOLDER": f"{tmp_path}/results", "SEQ_INFO": {"case": None}}
    dataset = MOTSChallenge({**config, "PRINT_CONFIG": False})
    raw = dataset.get_raw_seq_data("ours", "case")
    assert raw["num_timesteps"] == 7
    assert raw["gt_ids"][0].tolist() == [2002, 4005]
    seen = three.masks(0)[2] & ~three.masks(0)[5]
    np.testing.assert_array_equal(coco.decode(raw["gt_dets"][0][0]).astype(bool), seen)
    assert dataset.get_preprocessed_seq_data(raw, "pedestrian")["num_gt_ids"] == 1
    back = read_mots(tmp_path / "gt" / "MOTS-train")["case"]
    assert (back.shape, back.fps, back.frames) == (three.shape, 25.0, list(range(6)))
    assert back.objects == three.objects
    (folder / "objects.json").unlink()  # as others write it
    others = read_mots(folder)["case"]
    assert [(o.id, o.class_name) for o in others.objects] == [(2002, "pedestrian"), (4005, "class 4")]
    np.testing.assert_array_equal(others.masks(0)[2002], seen)


def test_mots_has_ids_up_to_999(tmp_path, three):
    three.objects = (*three.objects, Object(1000, "late"))
    with pytest.raises(FormatError, match="has an object 1000, and MOTS ends at 999"):
        write_mots(three, tmp_path, "case")
    assert not list(tmp_path.iterdir())


def test_an_object_that_is_there_twice_is_refused(tmp_path, three):
    """The last one counted, without a word."""
    with pytest.warns(UserWarning, match="objects overlap"):
        folder = write_mots(three, tmp_path, "case")
    lines = (folder / "gt" / "gt.txt").read_text().splitlines()
    (folder / "gt" / "gt.txt").write_text("\n".join([*lines, lines[0]]))
    with pytest.raises(FormatError, match="twice on frame"):
        read_mots(folder)
    frame, number, kind, *rest = lines[0].split(" ")
    (folder / "gt" / "gt.txt").write_text("\n".join([lines[0], " ".join([str(int(frame) + 1), number, f"{kind}1", *rest])]))
    with pytest.raises(FormatError, match=f"has object {number} in two classes"):
        read_mots(folder)
    (folder / "seqinfo.ini").write_text("name=case\n")
    with pytest.raises(FormatError, match="no section headers") as told:  # what the parser says has several lines
        read_mots(folder)
    assert "\n" not in str(told.value)
    path = write_youtube_vis(three, tmp_path, "case")
    facts = json.loads(path.read_text())
    facts["annotations"].append(facts["annotations"][0])
    path.write_text(json.dumps(facts))
    with pytest.raises(FormatError, match="two annotations have the id"):
        read_youtube_vis(path)


def masks_of_all_kinds():
    random = np.random.default_rng(0)
    for _ in range(40):
        blobs = cv2.GaussianBlur(random.random(SIZE).astype(np.float32), (0, 0), random.uniform(0.4, 3))
        yield blobs > np.quantile(blobs, random.uniform(0.3, 0.97))
    one = np.zeros(SIZE, bool)
    one[3, 4] = True
    yield one
    yield np.ones(SIZE, bool)
    line = one.copy()
    line[3, 4:9] = True
    yield line


def test_yolo_outlines_drawn_again_are_the_masks_without_holes():
    from scipy import ndimage

    for mask in masks_of_all_kinds():
        outline, holes = outline_of(rle.encode(mask))
        filled = ndimage.binary_fill_holes(mask)
        assert holes == filled.sum() - mask.sum()
        corners = (outline + 0.5) / SIZE[::-1]
        assert len(corners) >= 3
        drawn = np.zeros(SIZE, np.uint8)
        cv2.fillPoly(drawn, [np.int32(corners * SIZE[::-1])], 1)  # as Ultralytics does
        assert (drawn >= filled).all()  # and the lines that join pieces
        if ndimage.label(mask, np.ones((3, 3)))[1] == 1:
            np.testing.assert_array_equal(drawn.astype(bool), filled)


def test_yolo_says_what_it_loses(tmp_path, three):
    with pytest.warns(UserWarning, match="YOLO loses names, numbers and colours of objects"):
        folder = write_yolo_seg(three, tmp_path, "case")
    assert [p.name for p in sorted((folder / "labels").iterdir())] == [f"case_{t:05d}.txt" for t in range(6)]
    lines = (folder / "labels" / "case_00000.txt").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["0", "2"]  # grasper, hook, object
    assert '  0: "grasper"' in (folder / "data.yaml").read_text()


def test_cvat_xml(tmp_path, three, sparse):
    path = write_cvat(three, tmp_path, "case")
    root = ElementTree.parse(path).getroot()
    tracks = root.findall("track")  # CVAT takes the first mask of a track alone; none of what is never seen
    shown = [(t, i) for t in range(6) for i, mask in three.masks(t).items() if mask.any()]
    assert [(int(t[0].get("frame")), int(t.get("id"))) for t in tracks] == shown
    assert {t.get("id"): t.get("label") for t in tracks} == {"2": "grasper", "5": "object"}
    for track in tracks:
        assert [int(m.get("frame")) - int(track[0].get("frame")) for m in track] == [0, 1]
        assert [(m.get("outside"), m.get("keyframe"), m.get("occluded")) for m in track] == [("0", "1", "0"), ("1", "1", "0")]
    for mask in root.iter("mask"):
        runs = [int(n) for n in mask.get("rle").split(",")]
        assert sum(runs) == int(mask.get("width")) * int(mask.get("height"))
    assert runs[0] == 0  # the first run is of background
    assert root.findtext("meta/task/size") == "7"
    back = read_cvat(path)["case"]
    assert (back.objects, back.frames, back.fps, back.shape) == (three.objects, list(range(6)), 25.0, three.shape)
    for t in range(6):
        for i, mask in three.masks(t).items():
            np.testing.assert_array_equal(back.masks(t).get(i, np.zeros(SIZE, bool)), mask)
    assert read_cvat(write_cvat(sparse, tmp_path, "sparse"))["sparse"].frames == [0, 4, 6]


def test_cvat_and_back(tmp_path, three):
    """CVAT keeps nothing of ours, and numbers the tracks anew: label and name tell whose masks they are."""
    text = write_cvat(three, tmp_path, "case").read_text()
    text = re.sub(r"<napari-sam2s>.*</napari-sam2s>", "", text)
    numbers = itertools.count()
    (tmp_path / "back.xml").write_text(re.sub(r'track id="\d+"', lambda _: f'track id="{next(numbers)}"', text))
    with pytest.warns(UserWarning, match=r"has a track for each mask.*one label and one attribute `name`"):
        back = read_cvat(tmp_path / "back.xml")["case"]
    ids = {o.name: o.id for o in back.objects}
    for t in range(6):
        for o in three.objects:
            if (mask := three.masks(t).get(o.id)) is not None and mask.any():
                np.testing.assert_array_equal(back.masks(t)[ids[o.name]], mask)
    (tmp_path / "nameless.xml").write_text(re.sub("<attribute name=.*?</attribute>", "", (tmp_path / "back.xml").read_text()))
    with pytest.warns(UserWarning, match="each becomes an object of its own"):
        assert len(read_cvat(tmp_path / "nameless.xml")["case"].objects) == next(numbers)


@pytest.mark.parametrize(
    ("task", "frames"),
    [
        ("<task><name>t</name><size>4</size><start_frame>10</start_frame><stop_frame>13</stop_frame>{}</task>", range(10, 14)),
        (
            "<task><name>t</name><size>4</size><start_frame>10</start_frame><stop_frame>25</stop_frame>"
            "<frame_filter>step=5</frame_filter>{}</task>",
            range(10, 30, 5),
        ),
        ("<job><id>3</id><size>4</size><start_frame>10</start_frame><stop_frame>13</stop_frame>{}</job>", range(10, 14)),
    ],
)
def test_cvat_of_a_part_of_a_video(tmp_path, task, frames):
    """Frames are those of the video, whatever part of it a task or a job is of."""
    size = "<original_size><width>30</width><height>24</height></original_size>"
    mask = '<mask frame="{}" outside="{}" occluded="1" rle="0, 6" left="2" top="3" width="3" height="2" z_order="0">{}</mask>'
    state = '<attribute name="state">open</attribute>'
    shapes = "".join(mask.format(t, 0, state) for t in frames[:2]) + mask.format(frames[2], 1, state)
    text = f"<annotations><meta>{task.format(size)}</meta><track id='7' label='tool'>{shapes}</track></annotations>"
    path = tmp_path / "part.xml"
    path.write_text(text)
    video = open_video(np.zeros((40, 24, 30, 3), np.uint8))
    with pytest.warns(UserWarning, match=r"is not kept: occluded, the attribute state\."):
        made = import_project(path, "cvat", tmp_path / "part.sam2s", video)
    with Project.open(made, mode="r") as project:
        assert project.frames == list(frames)
        assert [int(project.mask(t, 1).sum()) for t in frames] == [6, 6, 0, 0]
    path.write_text(text.replace(f'frame="{frames[1]}"', 'frame="3"'))
    with pytest.raises(FormatError, match="has masks on frame 3, which is not among its 4 frames"):
        read_cvat(path)
    path.write_text(text.replace(size, ""))
    with pytest.raises(FormatError, match="does not say how large its frames are, as tasks of pictures do"):
        read_cvat(path)


def test_cvat_of_others(tmp_path):
    """As CVAT writes it: ids from 0, boxes wider than the mask, nothing of ours."""
    head = "<annotations><meta><task><name>t</name><size>4</size><original_size><width>30</width><height>24</height>"
    mask = '<mask frame="1" outside="{}" rle="1, 2, 3" left="2" top="3" width="3" height="2" z_order="0"></mask>'
    text = (
        f'{head}</original_size></task></meta><track id="0" label="tool">{mask.format(0)}{mask.format(1)}</track></annotations>'
    )
    (tmp_path / "annotations.xml").write_text(text)
    back = read_cvat(tmp_path / "annotations.xml")["t"]
    assert [(o.id, o.name, o.class_name) for o in back.objects] == [(1, "object 1", "tool")]
    assert np.argwhere(back.masks(1)[1]).tolist() == [[3, 3], [3, 4]]
    (tmp_path / "box.xml").write_text(text.replace(mask.format(0), '<box frame="0" outside="0"/>'))
    with pytest.raises(FormatError, match="has a box in track 0: only masks are read"):
        read_cvat(tmp_path / "box.xml")
    later = mask.format(0).replace('frame="1"', 'frame="3"')
    (tmp_path / "gap.xml").write_text(text.replace(mask.format(1), later))
    with pytest.warns(UserWarning, match=r"Track 0 of .*gap\.xml leaves out frames \(1 x\) and does not say"):
        assert read_cvat(tmp_path / "gap.xml")["t"].masks(2) == {}
    for change in (
        ('left="2"', 'left="28"'),
        ('width="3" height="2"', 'width="1000000" height="1000000"'),
        ('top="3"', 'top="-3"'),
    ):
        (tmp_path / "beyond.xml").write_text(text.replace(*change))
        with pytest.raises(FormatError, match="track 0 has a mask beyond the frame"):
            read_cvat(tmp_path / "beyond.xml")
    task = text[text.index("<task>") : text.index("</meta>")]
    (tmp_path / "two.xml").write_text(text.replace(task, task + task))  # the masks of both lay on each other
    with pytest.raises(FormatError, match="is of several tasks"):
        read_cvat(tmp_path / "two.xml")
    (tmp_path / "bad.xml").write_text("<annotations><meta>")
    with pytest.raises(FormatError, match="not a file of CVAT for video"):
        read_cvat(tmp_path / "bad.xml")


def test_times_are_those_of_the_video(tmp_path, three):
    class Slow:
        """A video whose clock is not its rate."""

        fps = 25.0
        timestamps = np.arange(7) ** 2 / 10

        def __len__(self):
            return 7

    seen = []
    path = export(three, "case", tmp_path, "coco", video=Slow(), progress=lambda done, total: seen.append((done, total)))
    assert [image["time_s"] for image in json.loads(path.read_text())["images"]] == [0.0, 0.1, 0.4, 0.9, 1.6, 2.5]
    assert seen[-1] == (6, 6)
    path = export(three, "case", tmp_path, "youtube-vis")
    assert json.loads(path.read_text())["videos"][0]["time_s"] == [t / 25 for t in range(6)]
    three.shape = (9, *SIZE)
    with pytest.raises(FormatError, match="The video has 7 frames, and the masks belong to one with 9"):
        export(three, "case", tmp_path, "coco", video=Slow())


def test_names_legend_and_side_by_side(tmp_path):
    case = demo_case(6, size=(96, 160))
    path = write_overlay(case, case, tmp_path / "o.mp4", words="both", layout="side-by-side", span=(1, 4))
    with open_video(path) as video:
        assert len(video) == 3
        assert video.shape[2] == 320
        assert video.shape[1] > 96
        assert np.abs(video[0][:96, :160].astype(int) - case[1]).mean() < 8  # the frame as it is
        legend = video[0][98:]
        colours = {tuple(o.colour) for o in case.objects}
        near = [np.abs(legend.astype(int) - c).max(axis=2).min() for c in colours]
        assert max(near) < 60  # every colour is there
    with pytest.raises(FormatError, match="'all' is not one of 'names', 'legend'"):
        write_overlay(case, case, tmp_path / "x.mp4", words="all")


def test_names_in_letters_that_no_font_has():
    with pytest.warns(UserWarning, match=r"No installed font has .* of the objects \[1\]"):
        captions = Captions([Object(1, "\U00012000"), Object(2, "Zange")], (300, 400))
    frame = np.zeros((300, 400, 3), np.uint8)
    assert captions.name(frame, {1: (0, 0), 2: (299, 399)}).any()
    assert not frame.any()
    assert captions.legend(400).shape[1:] == (400, 3)


def test_a_gif_lasts_as_long_as_its_frames(tmp_path):
    case = demo_case(30, size=(96, 160))
    path = write_overlay_gif(case, case, tmp_path / "o.gif", span=(5, 25), width=80)
    with Image.open(path) as picture:
        frames = [f.info["duration"] for f in ImageSequence.Iterator(picture)]
        assert picture.size == (80, 48)
    assert len(frames) == 20 // np.ceil(case.fps / 12.5)
    assert sum(frames) / 1000 == pytest.approx(20 / case.fps, rel=0.1)
    with pytest.raises(FormatError, match="does not have the ending of a GIF"):
        write_overlay_gif(case, case, tmp_path / "o.mp4")
    assert [p.name for p in tmp_path.iterdir()] == ["o.gif"]


@pytest.mark.parametrize("word", ["5", "9:3", "a:b", "-2:5"])
def test_wrong_spans(word):
    with pytest.raises(FormatError, match="is not a span of frames, such as 100:250"):
        read_span(word)


def test_from_the_command_line(tmp_path, capsys, three):
    from napari_sam2s.formats import write_video
    from napari_sam2s.masklets import Project

    source = write_video((np.full((*SIZE, 3), 9 * t, np.uint8) for t in range(7)), tmp_path / "v.mp4", fps=10)
    with open_video(source) as video, Project.create(tmp_path / "case.sam2s", video) as project:
        project.add_object("links")
        project.write_masks([(t, 1, three.masks(t)[5], None) for t in range(7)])
    for name, known in FORMATS.items():
        target = tmp_path / name / f"out{known.file_ending}" if known.file_ending else tmp_path / name
        target.parent.mkdir(exist_ok=True)
        assert main(["export", str(tmp_path / "case.sam2s"), str(target), "--format", name]) == 0
    facts = json.loads((tmp_path / "youtube-vis" / "case_ytvis.json").read_text())
    assert facts["videos"][0]["time_s"] == pytest.approx([t / 10 for t in range(7)])
    assert main(["export", str(tmp_path / "case.sam2s"), str(tmp_path / "g.gif"), "--format", "gif", "--span", "7"]) == 2
    assert "--span 7 is not a span of frames" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("reader", "name", "words"),
    [
        (read_youtube_vis, "x.json", "not a YouTube-VIS file"),
        (read_cvat, "x.xml", "not a file of CVAT"),
        (read_mots, "x", "holds no video of MOTS"),
    ],
)
def test_files_of_something_else(tmp_path, reader, name, words):
    (tmp_path / name).write_text("{}")
    with pytest.raises(FormatError, match=words):
        reader(tmp_path / name)
    with pytest.raises(FormatError, match=r"There is no file|holds no"):
        reader(tmp_path / "nothing")

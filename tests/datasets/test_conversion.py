"""Every source dataset of SA-SV from a small tree with its real names, values and traps."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_sam2s.datasets import DATASETS, SUBSETS, convert, find_dataset
from napari_sam2s.errors import DatasetError
from napari_sam2s.evaluation import published
from napari_sam2s.formats import read_davis

# What each tree becomes: subset, video, {frame: {object id: (name, an (y, x) inside it)}}
EXPECTED = {
    "endovis17": [
        ("EndoVis17", "seq_2", [0, 1, 225], {1: ("prograsp forceps", (110, 115)), 2: ("bipolar forceps", (640, 420))}),
        ("EndoVis17", "seq_5", [0, 1, 225], {3: ("prograsp forceps 2", (110, 720))}),
        ("EndoVis17", "seq_6", [0, 1, 225], {3: ("prograsp forceps 2", (110, 720))}),
    ],
    "endovis18": [
        *(
            (
                "EndoVis18-I",
                f"seq_{n}",
                [0, 1, 2],
                {1: ("suction instrument", (4, 55)), 2: ("monopolar curved scissors", (20, 10))},
            )
            for n in (2, 5, 9, 15)
        ),
        *(("EndoVis18-T", f"seq_{n}", [0, 1, 2], {1: ("kidney parenchyma", (40, 30))}) for n in (2, 5, 9, 15)),
    ],
    "rarp50": [
        (
            "RARP50",
            f"video_{n}",
            [0, 2],
            {1: ("thread", (41, 20)), 2: ("robotic instrument", (25, 50)), 3: ("robotic instrument 2", (25, 10))},
        )
        for n in range(41, 51)
    ],
    "cholecseg8k": [
        ("CholecSeg8k", "video01_00080", [80, 81, 82, 83], {1: ("liver", (40, 30)), 2: ("grasper", (20, 50))}),
        ("CholecSeg8k", "video01_00400", [400, 401], {3: ("grasper 2", (20, 10))}),
    ],
    "cis": [
        ("CIS-Train", "VID01", [0, 1, 2], {1: ("grasper", (10, 8)), 2: ("hook", (18, 30))}),
        ("CIS-Test", "VID14", [0, 1, 2], {1: ("grasper", (25, 8)), 2: ("hook", (18, 30))}),
    ],
    "grasp": [("GraSP", case, [0, 4], {1: ("large needle driver", (20, 10))}) for case in ("CASE001", "CASE041")],
    "autolaparo": [
        (
            "AutoLaparo",
            clip,
            [1, 25, 50, 75, 100, 125],
            {1: ("LigaSure", (20, 6)), 2: ("uterus", (40, 30)), 3: ("grasping forceps", (20, 50))},
        )
        for clip in ("001", "300")
    ],
    "dsad": [
        ("DSAD-V", "abdominal_wall_03", [0, 1], {1: ("abdominal wall", (20, 10))}),
        ("DSAD-V", "liver_02", [0, 1], {1: ("liver", (20, 10))}),
    ],
    "polypgen": [("PolypGen", "seq1", [9, 10, 100], {1: ("polyp", (20, 10))})],
    "clinicdb": [
        ("ClinicDB", "seq_01", [25], {1: ("polyp", (20, 10))}),
        ("ClinicDB", "seq_02", [26, 27], {1: ("polyp", (20, 10))}),
        ("ClinicDB", "seq_29", [612], {1: ("polyp", (20, 10))}),
    ],
    "endoscapes": [
        ("Endoscapes", stem, [0], {1: ("gallbladder", (20, 10)), 2: ("instrument", (20, 50))})
        for stem in ("1_14050", "2_750", "3_1500")
    ],
    "kvasir-seg": [
        ("Kvasir-SEG", stem, [0], {1: ("polyp", (20, 50)), 2: ("polyp 2", (20, 10))})
        for stem in ("cju0qkwl35piu", "cju0qoxqj9q6s")
    ],
    "bkai-igh": [
        ("BKAI-IGH", stem, [0], {1: ("neoplastic polyp", (20, 10)), 2: ("non-neoplastic polyp", (20, 50))})
        for stem in ("0a5f3601", "0a7bf1ca")
    ],
    "robotool": [("RoboTool", stem, [0], {1: ("instrument", (20, 10))}) for stem in ("a1", "a2")],
    "art-net": [("ART-Net", stem, [0], {1: ("instrument", (20, 10))}) for stem in ("a1", "a2")],
    "surgai3.8k": [("SurgAI3.8k", "case1", [0, 1], {1: ("uterus", (20, 10))})],
    "hyst-yt": [("Hyst-YT", "case1", [0, 1], {1: ("instrument", (20, 10)), 2: ("instrument 2", (20, 50))})],
}


def test_all_17_datasets_have_a_tree_and_facts(trees):
    assert len(DATASETS) == 17
    assert set(EXPECTED) == set(DATASETS) == set(trees.TREES)
    for dataset in DATASETS.values():
        described = [dataset.title, dataset.licence, dataset.link, dataset.citation, dataset.obtain, dataset.layout]
        assert all(described)
        assert dataset.status in ("verified", "secondary", "unverified")


def test_published_counts_add_up_to_the_paper():
    """SA-SV, arXiv 2511.16618 v1: 61,397 frames, 572 videos, 1,612 masklets, 123,894 masks.

    EndoVis18 has 4 videos, 596 frames and 28 masklets in Table 1, for both of its subsets together.
    """
    counts = [asdict(s.published) for s in SUBSETS.values()]
    total = {key: sum(c[key] or 0 for c in counts) for key in counts[0]}
    assert total["videos"] - 4 == 572
    assert total["frames"] - 596 == 61397
    assert total["masklets"] + 28 == 1612
    assert total["instrument_masks"] + total["tissue_masks"] == 123894


def test_the_benchmark_knows_the_same_subsets():
    tests = {s.name: s.published for s in SUBSETS.values() if s.split == "test"}
    assert {s.name for s in published.SUBSETS} == set(tests)
    for subset in published.SUBSETS:
        assert (subset.videos, subset.frames) == (tests[subset.name].videos, tests[subset.name].frames)


@pytest.mark.parametrize("name", DATASETS)
def test_conversion(name, converted):
    _, target, report = converted(name)
    found = {(made.subset.name, made.subset.name in {s for s, *_ in EXPECTED[name]}): made for made in report.made}
    for (subset, expected), made in found.items():
        videos = [v for v in EXPECTED[name] if v[0] == subset]
        assert made.videos == len(videos), subset
        assert made.frames == sum(len(v[2]) for v in videos)
        assert (target / subset / "meta.json").exists() == expected
    for subset, video, frames, objects in EXPECTED[name]:
        root = target / subset
        masklets = read_davis(root)[video]
        assert masklets.frames == frames
        assert video in (root / "ImageSets" / "all.txt").read_text().split()
        names = {o.id: o.name for o in masklets.objects}
        masks = masklets.masks(frames[0])
        for i, (object_name, place) in objects.items():
            assert names[i] == object_name
            assert masks[i][place], (video, object_name)
        pictures = sorted((root / "JPEGImages" / video).iterdir())
        assert [int(p.stem) for p in pictures] == frames
        with Image.open(pictures[0]) as picture:
            assert (picture.height, picture.width) == masks[next(iter(masks))].shape
            assert picture.format == "JPEG"
        meta = json.loads((root / "meta.json").read_text())
        assert meta["licence"] == DATASETS[name].licence
        described = meta["videos"][video]["objects"]["1"]
        assert described["category"] == DATASETS[name].categories[described["category_id"]].name
        assert described["is_instrument"] == DATASETS[name].categories[described["category_id"]].instrument
        assert 255 not in {int(v) for t in frames for v in np.unique(masklets.labels(t))}


@pytest.mark.parametrize("name", DATASETS)
def test_dry_run_writes_nothing_and_counts_the_same(name, converted):
    source, _, report = converted(name)
    before = sorted(source.rglob("*"))
    dry = convert(DATASETS[name], source, None)
    assert sorted(source.rglob("*")) == before
    for ours, theirs in zip(dry.made, report.made, strict=True):
        assert (ours.videos, ours.frames, ours.classes) == (theirs.videos, theirs.frames, theirs.classes)


def test_differences_from_the_published_counts_are_said(converted):
    _, target, report = converted("rarp50")
    assert "RARP50: 20 frames, published are 3252" in report.differences
    assert not any("videos" in line for line in report.differences)  # there are ten
    assert json.loads((target / "RARP50" / "meta.json").read_text())["differences"] == report.differences
    assert "| RARP50 | made | 10 | 20 |" in str(report)
    _, _, report = converted("dsad")
    assert "DSAD-I: nothing was made" in report.differences


def test_an_interrupted_conversion_goes_on(tmp_path, trees):
    trees.autolaparo(tmp_path / "source")
    spoilt = tmp_path / "source" / "task3" / "masks" / "300125.png"
    whole = spoilt.read_bytes()
    spoilt.write_bytes(b"")
    with pytest.raises(DatasetError, match=r"300125\.png is not a picture"):
        convert(DATASETS["autolaparo"], tmp_path / "source", tmp_path / "target")
    first = tmp_path / "target" / "AutoLaparo" / "Annotations" / "001" / "00001.png"
    written = first.stat().st_mtime_ns
    spoilt.write_bytes(whole)
    report = convert(DATASETS["autolaparo"], tmp_path / "source", tmp_path / "target")
    assert first.stat().st_mtime_ns == written
    assert (report.made[0].videos, report.made[0].frames, report.made[0].masklets) == (2, 12, 6)
    again = convert(DATASETS["autolaparo"], tmp_path / "source", tmp_path / "target")
    assert again.made[0].counts == report.made[0].counts


def test_a_foreign_folder_is_not_written_into(tmp_path, trees):
    trees.pairs(tmp_path / "source")
    (tmp_path / "target" / "RoboTool").mkdir(parents=True)
    (tmp_path / "target" / "RoboTool" / "mine.txt").write_text("keep")
    with pytest.raises(DatasetError, match="is not a conversion of robotool"):
        convert(DATASETS["robotool"], tmp_path / "source", tmp_path / "target")


def test_overlaps_are_kept_whole_beside(converted):
    _, target, report = converted("cis")
    test = report.made[1]
    assert test.overlapping_pixels > 0
    whole = target / "CIS-Test" / "Annotations_objects" / "VID14"
    hook = np.asarray(Image.open(whole / "002" / "00000.png"))
    assert hook[13, 12]
    masklets = read_davis(target / "CIS-Test")["VID14"]
    assert masklets.labels(0)[13, 12] == 2  # the higher id covers
    assert masklets.masks(0)[2][13, 12]  # but nothing is lost
    assert not (whole / "002" / "00002.png").exists()  # annotated, absent
    assert masklets.masks(2) == {}


def test_names_of_datasets_are_forgiving():
    for name in ("EndoVis17", "endovis-17", "EndoVis18-T", "CIS-Test", "DSAD-I", "surgai38k"):
        assert find_dataset(name).name in DATASETS
    with pytest.raises(DatasetError, match="There is no dataset 'davis'; there are art-net"):
        find_dataset("davis")


# --- traps -----------------------------------------------------------------------------------------------------------


def test_endovis17_is_cropped_and_its_sequences_merged(converted):
    """Training and test frames are one video; what the test archive gives as types goes on with the folders' objects."""
    _, target, report = converted("endovis17")
    assert sorted(p.name for p in (target / "EndoVis17" / "Annotations").iterdir()) == ["seq_2", "seq_5", "seq_6"]
    video = read_davis(target / "EndoVis17")["seq_2"]
    assert video.labels(0).shape == (1024, 1280)
    assert report.made[0].masklets == 9
    assert report.made[0].uncertain == 0
    assert video.masks(225)[1][110, 130]  # the left one is the left one still
    assert video.masks(225)[3][110, 720]


def test_endovis17_test_frames_that_count_from_0(tmp_path, trees):
    trees.endovis17(tmp_path)
    for n in (2, 5, 6):
        frames = tmp_path / "instrument_1_4_testing" / f"instrument_dataset_{n}" / "left_frames"
        (frames / "frame225.png").rename(frames / "frame000.png")
        truth = tmp_path / "instrument_2017_test" / f"instrument_dataset_{n}" / "gt" / "TypeSegmentation"
        (truth / "frame225.png").rename(truth / "frame000.png")
    video = next(iter(DATASETS["endovis17"].read(tmp_path)))
    assert [f.index for f in video.frames] == [0, 1, 225]


def test_endovis18_reads_the_colours_that_came_with_it(converted):
    """In one release thread is (128, 155, 25) and there is a renal vessel: labels.json says so, our table does not."""
    _, _, report = converted("endovis18")
    assert report.made[0].classes == {"suction instrument": 12, "monopolar curved scissors": 12}  # class 6 of 2017 is 4 of 2018
    assert report.made[1].classes == {"kidney parenchyma": 12}


def test_endovis18_ids_of_isinet_2018(tmp_path, trees):
    trees.endovis18(tmp_path)
    for folder in tmp_path.rglob("instrument_labels_2017"):
        for path in folder.glob("*class6*"):
            path.rename(path.with_name(path.name.replace("class6", "class4")))
        folder.rename(folder.with_name("instrument_labels"))
    report = convert(DATASETS["endovis18"], tmp_path, None)
    # Class 8 is the stapler here, the suction instrument there.
    assert report.made[0].classes == {"suction instrument": 12, "monopolar curved scissors": 12, "stapler": 12}


def test_rarp50_frames_come_from_the_video(converted):
    _, target, _ = converted("rarp50")
    with Image.open(target / "RARP50" / "JPEGImages" / "video_41" / "00002.jpg") as picture:
        assert abs(np.asarray(picture).astype(int) - 80).max() < 8  # frame 2 was painted 80


def test_rarp50_parts_are_one_tool(converted):
    _, target, _ = converted("rarp50")
    masks = read_davis(target / "RARP50")["video_50"].masks(0)
    assert masks[3][11, 6]  # its clasper
    assert masks[3][28, 6]  # its shaft
    assert masks[2][20, 50]


def test_cholecseg8k_border_blood_and_unlabelled_pixels(converted):
    _, target, report = converted("cholecseg8k")
    root = target / "CholecSeg8k"
    labels = read_davis(root)["video01_00080"].labels(80)
    assert not labels[0].any()
    assert not labels[3, 25]
    ignore = np.asarray(Image.open(root / "Ignore" / "video01_00080" / "00080.png"))
    assert ignore.sum() == 4 * 7
    assert ignore[3, 4]
    assert "blood" not in report.made[0].classes


def test_cis_objects_in_several_pieces(converted):
    """The authors' own tool keeps only the last polygon of an object."""
    _, target, report = converted("cis")
    mask = read_davis(target / "CIS-Train")["VID01"].masks(0)[1]
    assert mask[10, 6]
    assert mask[25, 6]
    assert report.made[0].empty_frames == 1


def test_polypgen_order_specks_and_jpeg_masks(converted):
    _, target, _ = converted("polypgen")
    masks = read_davis(target / "PolypGen")["seq1"]
    assert masks.frames == [9, 10, 100]
    assert list(masks.masks(9)) == [1]
    assert abs(int(masks.masks(9)[1].sum()) - 20 * 16) < 20  # blurred by JPEG, thresholded back
    assert masks.masks(100) == {}


# --- a wrong file in each --------------------------------------------------------------------------------------------


def _edit(pattern, change):
    def spoil(root):
        path = sorted(root.rglob(pattern))[0]
        described = json.loads(path.read_text())
        change(described)
        path.write_text(json.dumps(described))

    return spoil


def _paint(pattern, value, mode=None):
    def spoil(root):
        path = sorted(p for p in root.rglob(pattern))[0]
        with Image.open(path) as picture:
            array = np.array(picture if mode is None else picture.convert(mode))
        array[5:15, 5:15] = value
        Image.fromarray(array).save(path)

    return spoil


def _remove(pattern):
    def spoil(root):
        path = sorted(root.rglob(pattern))[0]
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return spoil


def _resize(pattern):
    def spoil(root):
        path = sorted(root.rglob(pattern))[0]
        with Image.open(path) as picture:
            smaller = picture.resize((picture.width // 3, picture.height))
        smaller.save(path)

    return spoil


def _noise(pattern):
    def spoil(root):
        path = sorted(root.rglob(pattern))[0]
        with Image.open(path) as picture:
            size = picture.height, picture.width
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8)).save(path)

    return spoil


def _shift_labels(root):
    for path in (root / "insseg").glob("*.csv"):
        path.write_text("4\n5\n")


def _rename(pattern, name):
    def spoil(root):
        path = sorted(root.rglob(pattern))[0]
        path.rename(path.with_name(name))

    return spoil


WRONG = [
    ("endovis17", _paint("Left_Prograsp_Forceps_labels/frame000.png", 77), "unknown value 77"),
    ("endovis17", _rename("instrument_dataset_2/ground_truth/Left_Prograsp*", "Left_Spoon_labels"), "names no instrument"),
    ("endovis17", _paint("instrument_dataset_2/gt/TypeSegmentation/frame225.png", 77), "types are 1 to 7"),
    ("endovis17", _resize("instrument_dataset_2/left_frames/frame000.png"), r"is \(1080, 640\) \(Y, X\), its annotation"),
    ("endovis18", _paint("seq_2/labels/frame000.png", (9, 9, 9)), r"unknown colour \(9, 9, 9\)"),
    ("endovis18", _rename("seq_2/instrument_labels_2017/frame000_class6*", "frame000_class5_inst1.png"), "is not named"),
    ("endovis18", lambda root: [shutil.rmtree(p) for p in root.rglob("instrument_labels_2017")], "needs ISINet's instances"),
    ("rarp50", _paint("video_42/segmentation/*0.png", 12), "unknown value 12"),
    ("rarp50", _remove("video_42/rgb"), "neither video_left"),
    ("rarp50", _rename("video_41/segmentation/*2.png", "000000099.png"), "names frame 99"),
    ("cholecseg8k", _paint("*_watershed_mask.png", 99), "unknown value 99"),
    ("cholecseg8k", _remove("*_watershed_mask.png"), "no partner"),
    ("cholecseg8k", _noise("*_watershed_mask.png"), "is a colour picture"),
    ("cis", _edit("VID14*.json", lambda d: d["shapes"][0].update(label="spoon")), "unknown label 'spoon'"),
    ("cis", _edit("VID14*.json", lambda d: d["shapes"][0].update(shape_type="circle")), "has a circle"),
    ("cis", _edit("VID14*.json", lambda d: d.update(imageHeight=99)), "was drawn on a picture"),
    ("cis", _edit("VID14*.json", lambda d: d.pop("shapes")), "is not a LabelMe file"),
    ("cis", _remove("img_dir"), "no partner"),
    ("grasp", _edit("*_train.json", lambda d: d["categories"][2].update(name="Spoon")), "unknown category 'Spoon'"),
    (
        "grasp",
        _edit("*_train.json", lambda d: d["annotations"][0]["segmentation"].update(counts="01")),
        "do not fill a picture",
    ),
    ("grasp", _edit("*_train.json", lambda d: d["annotations"][0].pop("segmentation")), "has no mask"),
    ("grasp", _edit("*_train.json", lambda d: d["images"][0].update(file_name="a.jpg")), "expected is CASEnnn"),
    ("grasp", _edit("*_train.json", lambda d: d.pop("images")), "is not a COCO file"),
    ("grasp", _remove("CASE001/00000.jpg"), "There is no picture"),
    ("autolaparo", _paint("masks/*.png", 30), "unknown value 30"),
    ("autolaparo", _rename("imgs/001001.jpg", "1001.jpg"), "not named with six digits"),
    ("dsad", _noise("liver/02/mask00.png"), "not a black and white mask"),
    ("dsad", _remove("liver/02/mask00.png"), "no partner"),
    ("polypgen", _noise("*_mask.jpg"), "not a black and white mask"),
    ("polypgen", _remove("images_seq1"), "has no images_seq1"),
    ("clinicdb", _rename("Original/25.tif", "613.tif"), "does not fit"),
    ("clinicdb", _noise("Ground Truth/25.tif"), "not a black and white mask"),
    ("endoscapes", _shift_labels, "ids are shifted"),
    ("endoscapes", lambda root: (root / "insseg" / "1_14050.csv").write_text("5\n"), "does not fit the 1 label of"),
    ("endoscapes", lambda root: (root / "insseg" / "1_14050.csv").write_text("5\n9\n"), "unknown label 9"),
    ("kvasir-seg", _noise("masks/*.jpg"), "not a black and white mask"),
    ("bkai-igh", _noise("train_gt/train_gt/*.jpeg"), "close to none of the 3 known colours"),
    ("robotool", _noise("masks/a1.png"), "not a black and white mask"),
    ("art-net", _remove("masks/a1.png"), "no partner"),
    ("surgai3.8k", _noise("masks/0.png"), "not a black and white mask"),
    ("hyst-yt", _paint("masks/0.png", 255), "a small number for each object"),
]


@pytest.mark.parametrize(("name", "spoil", "words"), WRONG, ids=[f"{n}-{w[:24]}" for n, _, w in WRONG])
def test_a_wrong_file_is_one_clear_sentence(name, spoil, words, tmp_path, converted):
    source, *_ = converted(name)
    shutil.copytree(source, tmp_path / "source")
    spoil(tmp_path / "source")
    with pytest.raises(DatasetError, match=words) as error:
        convert(DATASETS[name], tmp_path / "source", None)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", DATASETS)
def test_an_empty_or_missing_folder(name, tmp_path):
    with pytest.raises(DatasetError, match="Expected is"):
        convert(DATASETS[name], tmp_path, None)
    with pytest.raises(DatasetError, match="There is no folder"):
        convert(DATASETS[name], tmp_path / "nowhere", None)


def test_the_table_in_the_docs_is_that_of_the_code():
    page = (Path(__file__).parents[2] / "docs" / "reference" / "datasets.md").read_text(encoding="utf-8")
    for d in DATASETS.values():
        row = next(line for line in page.splitlines() if f"| `{d.name}` |" in line)
        for fact in (d.title, d.licence, d.link, d.obtain, d.status, *(f"{s.name} ({s.split})" for s in d.subsets)):
            assert fact in row


def test_more_objects_than_a_palette_holds(tmp_path, trees, monkeypatch):
    """Polyps that each jump to where none was before: every one is a doubt, and an object of its own. Say 15 is the limit."""
    for module in ("subset_folder", "conversion_report"):
        monkeypatch.setattr(f"napari_sam2s.datasets.{module}.LARGEST_ID", 15)
    place = tmp_path / "source" / "sequenceData" / "positive" / "seq1"
    for t in range(3):
        trees.photo(place / "images_seq1" / f"{t}.jpg", t, (100, 100))
        y = 4 + 9 * (t % 2)
        places = [((slice(y + 18 * k, y + 18 * k + 8), slice(x, x + 8)), 255) for k in range(2) for x in range(0, 90, 20)]
        trees.paint(place / "masks_seq1" / f"{t}_mask.png", places, (100, 100))
    report = convert(DATASETS["polypgen"], tmp_path / "source", tmp_path / "target")
    assert report.made[0].masklets == 30
    assert "PolypGen: 1 video has objects beyond number 254, which are only in Annotations_objects" in report.differences
    video = read_davis(tmp_path / "target" / "PolypGen")["seq1"]
    assert video.frames == [0, 1, 2]
    assert video.labels(2).max() == 0
    assert video.labels(1).max() == 15
    assert sorted(video.masks(2)) == list(range(21, 31))
    assert video.masks(2)[30].sum() == 64

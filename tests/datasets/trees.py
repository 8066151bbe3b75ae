"""Small trees with the names, values and traps of the real downloads, made in code."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from napari_sam2s.formats import write_video

SIZE = (48, 64)  # (Y, X)
LEFT, RIGHT = (slice(10, 30), slice(4, 20)), (slice(12, 34), slice(40, 58))


def shift(place, dx):
    return place[0], slice(place[1].start + dx, place[1].stop + dx)


def photo(path: Path, seed=0, size=SIZE):
    """A picture that no mask is taken for."""
    path.parent.mkdir(parents=True, exist_ok=True)
    y, x = np.mgrid[: size[0], : size[1]]
    Image.fromarray(np.stack([x * 3 % 256, y * 4 % 256, (x + y + 9 * seed) % 256], -1).astype(np.uint8)).save(path)


def paint(path: Path, places, size=SIZE, channels=None, fill=0, **save):
    """A picture of values (or colours) at places."""
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.zeros((*size, 3), np.uint8) if isinstance(fill, tuple) else np.zeros(size, np.uint8)
    array[:] = fill
    for place, value in places:
        array[place] = value
    if channels:
        array = np.stack([array] * channels, -1)
    Image.fromarray(array).save(path, **save)


def endovis17(root):
    """Three sequences: two frames of training with a folder for each instrument, one of the test with types times 32.

    Pictures have their real size, which is cropped; they are flat so that they are fast to write.
    """
    full = (1080, 1920)

    def at(y, x):  # in the part of the picture that the camera fills
        return slice(28 + y, 28 + y + 100), slice(320 + x, 320 + x + 150)

    def draw(path, places, size=full, fill=0):
        paint(path, places, size, fill=fill, compress_level=1)

    instruments = {
        "Left_Prograsp_Forceps_labels": (at(100, 100), 10),
        "Right_Prograsp_Forceps_labels": (at(100, 700), 20),
        "Maryland_Bipolar_Forceps_labels": (at(600, 400), 30),
    }
    photo(root / "instrument_1_4_training" / "instrument_dataset_1" / "left_frames" / "frame000.png")
    for n in (2, 5, 6):
        place = root / "instrument_1_4_training" / f"instrument_dataset_{n}"
        for t in (0, 1):
            draw(place / "left_frames" / f"frame{t:03d}.png", [], fill=(90, 40 * t, 40))
            for folder, painted in instruments.items():
                draw(place / "ground_truth" / folder / f"frame{t:03d}.png", [painted])
        test = root / "instrument_1_4_testing" / f"instrument_dataset_{n}"
        draw(test / "left_frames" / "frame225.png", [], fill=(90, 80, 40))
        truth = root / "instrument_2017_test" / f"instrument_dataset_{n}" / "gt" / "TypeSegmentation"
        draw(truth / "frame225.png", [(at(100, 110), 64), (at(100, 705), 64), (at(620, 400), 32)])


def endovis18(root):
    """Four sequences over two releases; another colour for thread in labels.json; an instance file of each kind."""
    colours = {
        "background-tissue": (0, 0, 0),
        "instrument-shaft": (0, 255, 0),
        "suction-instrument": (123, 15, 175),
        "kidney-parenchyma": (255, 55, 0),
        "small-intestine": (124, 155, 5),
        "thread": (128, 155, 25),
        "renal-vessel": (1, 2, 3),
    }
    described = [{"name": name, "color": list(colour), "classid": i} for i, (name, colour) in enumerate(colours.items())]
    for n in (1, 2, 5, 9, 15):
        release = root / f"miccai_challenge_release_{1 + n // 6}"
        release.mkdir(parents=True, exist_ok=True)
        (release / "labels.json").write_text(json.dumps(described))
        place = release / f"seq_{n}"
        for t in range(3):
            photo(place / "left_frames" / f"frame{t:03d}.png", t)
            kidney, suction = (slice(36, 48), slice(0, 64)), (slice(0, 8), slice(50, 60))
            paint(
                place / "labels" / f"frame{t:03d}.png",
                [
                    (LEFT, (0, 255, 0)),
                    (kidney, (255, 55, 0)),
                    (suction, (123, 15, 175)),
                    ((slice(0, 2), slice(0, 2)), (1, 2, 3)),
                ],
                fill=(0, 0, 0),
            )
            paint(place / "instrument_labels_2017" / f"frame{t:03d}_class6_inst1.png", [(shift(LEFT, t), 255)], channels=3)
            paint(place / "instrument_labels_2017" / f"frame{t:03d}_class8_inst1.png", [(suction, 1)])


def rarp50(root):
    """Ten test videos, of which one as a video file; parts of a tool; three channels that differ after the first."""
    for n in range(41, 51):
        place = root / "test" / f"video_{n}"
        for t in (0, 2):
            left, right = shift(LEFT, t // 2), shift(RIGHT, -(t // 2))
            tip = slice(left[0].start, left[0].start + 8), left[1]
            paint(
                place / "segmentation" / f"{t:09d}.png", [(left, 3), (tip, 1), (right, 2), ((slice(40, 44), slice(8, 30)), 5)]
            )
            array = np.asarray(Image.open(place / "segmentation" / f"{t:09d}.png"))
            Image.fromarray(np.stack([array, array * 0, array * 0 + 7], -1)).save(place / "segmentation" / f"{t:09d}.png")
            if n != 41:
                photo(place / "rgb" / f"{t:09d}.png", t)
    frames = [np.full((*SIZE, 3), 40 * t, np.uint8) for t in range(4)]
    write_video(iter(frames), root / "test" / "video_41" / "video_left.mp4")
    (root / "test" / "video_41" / "video_left.mp4").rename(root / "test" / "video_41" / "video_left.avi")
    (root / "train1" / "video_01").mkdir(parents=True)


def cholecseg8k(root):
    """Two folders of a clip that follow on each other, one that does not; white frame, unlabelled pixels, four channels."""
    for folder, first in (("video01_00080", 80), ("video01_00082", 82), ("video01_00400", 400)):
        for n in (first, first + 1):
            stem = root / "video01" / folder / f"frame_{n}_endo"
            photo(stem.with_name(f"{stem.name}.png"), n)
            border = [((0, slice(None)), 255), ((-1, slice(None)), 255), ((slice(None), 0), 255), ((slice(None), -1), 255)]
            liver, unlabelled, blood = (slice(36, 46), slice(2, 60)), (slice(2, 6), slice(2, 9)), (slice(2, 6), slice(20, 30))
            places = [(LEFT, 31), (shift(RIGHT, n % 2), 31), (liver, 21), (unlabelled, 0), (blood, 24), *border]
            paint(stem.with_name(f"{stem.name}_watershed_mask.png"), places, fill=50, channels=4 if n % 2 else 3)
            photo(stem.with_name(f"{stem.name}_color_mask.png"))


def cis(root):
    """A train and a test video; an object in two pieces, overlapping objects, an empty frame, Windows paths."""

    def box(y0, x0, y1, x1):
        return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]

    for split, video in (("train", "VID01"), ("test", "VID14")):
        place = root / split / f"{video}_t50_full"
        for t in range(3):
            photo(place / "img_dir" / f"{video}_{t:06d}.png", t)
            shapes = [
                {"label": "grasper", "group_id": 1, "shape_type": "polygon", "points": box(5, 4 + t, 15, 20 + t)},
                {"label": "grasper", "group_id": 1, "shape_type": "polygon", "points": box(20, 4 + t, 30, 20 + t)},
                {"label": "hook", "group_id": 1, "shape_type": "polygon", "points": box(12, 10, 24, 40)},
            ]
            described = {"shapes": shapes, "imagePath": f"..\\img_dir\\{video}_{t:06d}.png"}
            described |= {"imageHeight": SIZE[0], "imageWidth": SIZE[1]}
            if t == 2:  # nothing to be seen, and then neither size nor polygons
                described = {"shapes": [], "imagePath": f"..\\img_dir\\{video}_{t:06d}.png"}
            (place / "ann_dir").mkdir(exist_ok=True)
            (place / "ann_dir" / f"{video}_{t:06d}.json").write_text(json.dumps(described))
    (root / "train" / "VID02_seg8k" / "ann_dir").mkdir(parents=True)


def grasp(root):
    """Key frames apart, run lengths written by pycocotools, frames between."""
    from pycocotools import mask as coco

    names = ["Bipolar Forceps", "Prograsp Forceps", "Large Needle Driver", "Monopolar Curved Scissors"]
    names += ["Suction Instrument", "Clip Applier", "Laparoscopic Grasper"]
    for split, case in (("train", "CASE001"), ("test", "CASE041")):
        images, annotations = [], []
        for t in range(5):
            photo(root / "frames_1fps" / case / f"{t:05d}.jpg", t)
            if t % 4 == 0:
                images.append({"id": len(images) + 1, "file_name": f"{case}/{t:05d}.jpg", "height": SIZE[0], "width": SIZE[1]})
                mask = np.zeros(SIZE, np.uint8)
                mask[shift(LEFT, t // 4)] = 1
                rle = coco.encode(np.asfortranarray(mask))
                found = {"size": list(SIZE), "counts": rle["counts"].decode()}
                annotations.append({"id": t, "image_id": len(images), "category_id": 3, "segmentation": found})
        described = {"images": images, "annotations": annotations}
        described["categories"] = [{"id": i, "name": name} for i, name in enumerate(names, 1)]
        (root / "annotations").mkdir(exist_ok=True)
        (root / "annotations" / f"grasp_short-term_{split}.json").write_text(json.dumps(described))


def autolaparo(root):
    for clip in (1, 300):
        for frame in (1, 25, 50, 75, 100, 125):
            photo(root / "task3" / "imgs" / f"{clip:03d}{frame:03d}.jpg", frame)
            tip = LEFT[0], slice(LEFT[1].start, LEFT[1].start + 6)
            places = [((slice(36, 46), slice(0, 64)), 180), (LEFT, 80), (tip, 60), (RIGHT, 40)]
            paint(root / "task3" / "masks" / f"{clip:03d}{frame:03d}.png", places, channels=3)


def dsad(root):
    for organ, surgery in (("liver", "02"), ("abdominal_wall", "03")):
        for t in range(2):
            photo(root / "data" / organ / surgery / f"image{t:02d}.png", t)
            paint(root / "data" / organ / surgery / f"mask{t:02d}.png", [(LEFT, 255)])
    photo(root / "data" / "multilabel" / "02" / "image00.png")


def polypgen(root):
    """Names that sort wrongly as text, masks as JPEG, a speck that is no polyp, and a frame without one."""
    place = root / "PolypGen2021_MultiCenterData_v3" / "sequenceData" / "positive" / "seq1"
    for t in (9, 10, 100):
        photo(place / "images_seq1" / f"seq1_C6_{t}.jpg", t)
        places = [] if t == 100 else [(LEFT, 255), ((slice(40, 43), slice(50, 53)), 255)]
        paint(place / "masks_seq1" / f"seq1_C6_{t}_mask.jpg", places, quality=60, channels=3)
    photo(place.parents[1] / "negativeOnly" / "seq1_neg" / "x1.jpg")
    photo(place.parents[2] / "data_C1" / "images_C1" / "a1.jpg")


def clinicdb(root):
    for n in (25, 26, 27, 612):
        photo(root / "CVC-ClinicDB" / "Original" / f"{n}.tif", n)
        paint(root / "CVC-ClinicDB" / "Ground Truth" / f"{n}.tif", [(LEFT, 255)])


def endoscapes(root):
    for split, stem in (("train_seg", "1_14050"), ("val_seg", "2_750"), ("test_seg", "3_1500")):
        photo(root / split / f"{stem}.jpg")
        masks = np.zeros((2, *SIZE), np.uint8)
        masks[0][LEFT], masks[1][RIGHT] = 1, 1
        (root / "insseg").mkdir(exist_ok=True)
        np.save(root / "insseg" / f"{stem}.npy", masks)
        (root / "insseg" / f"{stem}.csv").write_text("5\n6\n")
        paint(root / "semseg" / f"{stem}.png", [(LEFT, 5), (RIGHT, 6)], channels=3)


def kvasir(root):
    for stem in ("cju0qkwl35piu", "cju0qoxqj9q6s"):
        photo(root / "Kvasir-SEG" / "images" / f"{stem}.jpg")
        paint(root / "Kvasir-SEG" / "masks" / f"{stem}.jpg", [(LEFT, 255), (RIGHT, 255)], quality=70)


def bkai(root):
    for stem in ("0a5f3601", "0a7bf1ca"):
        photo(root / "train" / "train" / f"{stem}.jpeg")
        places = [(LEFT, (255, 0, 0)), (RIGHT, (0, 255, 0))]
        paint(root / "train_gt" / "train_gt" / f"{stem}.jpeg", places, fill=(0, 0, 0), quality=70)


def pairs(root):
    for stem in ("a1", "a2"):
        photo(root / "images" / f"{stem}.png")
        paint(root / "masks" / f"{stem}.png", [(LEFT, 255)])


def videos_binary(root):
    for t in range(2):
        photo(root / "case1" / "images" / f"{t}.jpg", t)
        paint(root / "case1" / "masks" / f"{t}.png", [(LEFT, 255)])


def videos_numbered(root):
    for t in range(2):
        photo(root / "case1" / "images" / f"{t}.jpg", t)
        paint(root / "case1" / "masks" / f"{t}.png", [(LEFT, 1), (RIGHT, 4)])


TREES = {
    "endovis17": endovis17,
    "endovis18": endovis18,
    "rarp50": rarp50,
    "cholecseg8k": cholecseg8k,
    "cis": cis,
    "grasp": grasp,
    "autolaparo": autolaparo,
    "dsad": dsad,
    "polypgen": polypgen,
    "clinicdb": clinicdb,
    "endoscapes": endoscapes,
    "kvasir-seg": kvasir,
    "bkai-igh": bkai,
    "robotool": pairs,
    "art-net": pairs,
    "surgai3.8k": videos_binary,
    "hyst-yt": videos_numbered,
}


def uncertain_subset(folder):
    """Convert a sequence of frames 10 to 13 (a polyp, two, the second, one that comes back); return its subset."""
    from napari_sam2s.datasets import DATASETS, convert

    place = folder / "source" / "sequenceData" / "positive" / "seq1"
    for t, here in enumerate([[(4, 4)], [(4, 4), (20, 44)], [(20, 44)], [(4, 6)]], start=10):
        photo(place / "images_seq1" / f"seq1_C6_{t}.jpg", t)
        places = [((slice(y, y + 16), slice(x, x + 16)), 255) for y, x in here]
        paint(place / "masks_seq1" / f"seq1_C6_{t}_mask.jpg", places)
    convert(DATASETS["polypgen"], folder / "source", folder / "target")
    return folder / "target" / "PolypGen"

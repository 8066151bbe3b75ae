"""Clips that no model of ours was trained on, to judge models and choose checkpoints by.

Of real material, part of every source is held out by name (``research/material.py``, ``research/nuclei.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import TrainingError
from napari_sam2s.formats import read_davis
from napari_sam2s.masklets.types import Object
from napari_sam2s.synthetic.laparoscopy import INSTRUMENT_CLASSES, Laparoscopy
from napari_sam2s.training.validation_cases import (
    FIRST_SEED,
    Case,
    Track,
    laparoscopy,
    recorded_cases,
    rendered,
    tracks_of,
)
from napari_sam2s.video import open_video

CALIBRATION_SEED = FIRST_SEED + 2**20  # of clips that a model's own parameters may be chosen on
MOVED_AWAY = (20, 52), (95, 149)  # frames of leaving, absence and coming back, of :func:`moved`
LINK_IOU = 0.5  # between a nucleus's masks on two frames for it to be the same nucleus


def reentry(numbers: Iterable[int], size: int = 256, seed: int = FIRST_SEED + 10_000) -> Iterator[Case]:
    """Yield procedural cases of 110 frames of two instruments, each of which is away for 30 frames or more."""
    for i in numbers:
        classes = _two_classes(seed + i)
        yield rendered(
            Laparoscopy(seed + i, 110, (size, size), classes=classes, organ=None, absences=1, absence_frames=(30, 40))
        )


def moved(numbers: Iterable[int], size: int = 256, seed: int = FIRST_SEED + 20_000) -> Iterator[Case]:
    """Yield procedural cases of 175 frames of two instruments that come back as they were last seen, not as they were prompted.

    After 20 frames each goes for less than 30 frames and comes back through another port, the other way up; there it stays for
    some 40 frames, is away for more than 30, and comes back through the same port. Only that last return counts as one.
    """
    for i in numbers:
        classes = _two_classes(seed + i)
        yield rendered(
            Laparoscopy(seed + i, 175, (size, size), classes=classes, organ=None, absences=0, away=MOVED_AWAY, moved=True)
        )


def _two_classes(seed: int) -> tuple[str, ...]:
    return tuple(map(str, np.random.default_rng(seed).choice(INSTRUMENT_CLASSES, 2)))


def composites(
    numbers: Iterable[int], material: Path, size: int = 256, frames: int = 32, seed: int = FIRST_SEED
) -> Iterator[Case]:
    """Yield composites of held-out material (``held_out.npz``)."""
    from research.composites import CompositeMaker
    from research.material import Material

    if not material.is_file():
        raise TrainingError(f"There is no material at {material}: `python -m research.collect_material REAL OUT`.")
    make = CompositeMaker(Material.load(material), size)
    for i in numbers:
        clip = make(seed + i, frames)
        yield Case(clip.name, clip.images, tracks_of(clip))


def microscopy(
    numbers: Iterable[int], folder: Path, size: int = 256, frames: int = 32, seed: int = FIRST_SEED
) -> Iterator[Case]:
    """Yield pictures of real nuclei (those held out by name) set in motion."""
    from research.nuclei import Nuclei

    make = Nuclei(folder, size, held_out=True)
    for i in numbers:
        yield rendered(make(seed + i, frames // 3))


def real_clips(videos: Path, annotations: Path, part: tuple[int, int] = (0, 1)) -> Iterator[Case]:
    """Yield the clips of real video that are annotated by hand on some of their frames (``benchmarks/real_clips``).

    Parameters
    ----------
    videos
        Folder of ``<name>.mp4``.
    annotations
        DAVIS root with pictures of some frames of each.
    part
        ``(k, n)`` for the ``k``-th of ``n`` parts.

    Raises
    ------
    FormatError
        If there are no annotations.
    VideoError
        If an annotated clip's video is not there.
    """
    annotated = sorted(read_davis(annotations).items())
    for name, truth in annotated[part[0] :: part[1]]:
        yield Case(name, open_video(videos / f"{name}.mp4"), tracks_of(truth))


def nuclei_in_time(folder: Path, count: int = 20) -> Iterator[Case]:
    """Yield the HeLa time-lapse with ``count`` of its nuclei, drawn by a fixed seed from those that are not small.

    Its labels are not linked in time. A nucleus is linked to the label of the next frame that overlaps it most, if each is
    the other's best and their IoU is above 0.5; it is followed until there is none, as at a division. What comes after
    is unknown, and not scored.
    """
    import tifffile

    images, labels = (tifffile.imread(folder / name) for name in ("hela.tif", "hela_masks.tif"))
    video = open_video(images, axes="TYX", limits=(float(images.min()), float(np.percentile(images, 99.9))))
    ids, areas = np.unique(labels[0][labels[0] > 0], return_counts=True)
    chosen = np.random.default_rng(0).permutation(ids[areas > np.median(areas) / 2])
    tracks = (link(labels, int(i)) for i in chosen)
    long = [t for t in tracks if len(t) > 2][:count]
    yield Case("hela", video, [Track(Object(n + 1, f"nucleus {n + 1}"), t) for n, t in enumerate(long)])


def link(labels: NDArray[np.integer], first: int) -> dict[int, NDArray[np.bool_]]:
    """Follow one label of the first frame of ``(T, Y, X)`` through frames whose labels are not linked."""
    known = {0: labels[0] == first}
    for t in range(1, len(labels)):
        before = known[t - 1]
        best = _best_overlap(before, labels[t])
        if best is None:
            break
        now = labels[t] == best[0]
        back = _best_overlap(now, labels[t - 1])
        if best[1] <= LINK_IOU or back is None or not (labels[t - 1] == back[0])[before].all():
            break
        known[t] = now
    return known


def _best_overlap(mask: NDArray[np.bool_], labels: NDArray[np.integer]) -> tuple[int, float] | None:
    """Return the label that overlaps a mask most, and their IoU."""
    found, counts = np.unique(labels[mask], return_counts=True)
    counts = counts[found > 0]
    found = found[found > 0]
    if not len(found):
        return None
    best = int(found[counts.argmax()])
    shared = int(counts.max())
    return best, shared / (int(mask.sum()) + int((labels == best).sum()) - shared)


def families(
    names: Sequence[str],
    counts: Mapping[str, int],
    *,
    material: Path | None = None,
    real: Path | None = None,
    annotations: Path | None = None,
    size: int = 256,
    longest: int = 300,
    part: tuple[int, int] = (0, 1),
) -> dict[str, Callable[[], Iterator[Case]]]:
    """Return what makes the cases of each family that can be had here, by name.

    Parameters
    ----------
    counts
        Cases of each family (of ``hela``: nuclei).
    material
        ``held_out.npz``, for ``composites``.
    real
        Folder with ``nuclei``, ``pumavos-caps``, ``hela`` and ``videos``, for the families made of them.
    annotations
        DAVIS root with masks of some frames of ``real / "videos"``, for ``real-clips``.
    part
        ``(k, n)`` for the ``k``-th of ``n`` parts, to share the work out over processes.
    """

    def numbers(family: str) -> range:
        return range(part[0], counts[family], part[1])

    known: dict[str, Callable[[], Iterator[Case]]] = {
        "laparoscopy": lambda: laparoscopy(numbers("laparoscopy"), size, longest),
        "re-entry": lambda: reentry(numbers("re-entry"), size),
        "moved": lambda: moved(numbers("moved"), size),
    }
    if material is not None:
        known["composites"] = lambda: composites(numbers("composites"), material, size)
    if real is not None:
        known["microscopy"] = lambda: microscopy(numbers("microscopy"), real / "nuclei", size)
    if real is not None and annotations is not None:
        known["real-clips"] = lambda: real_clips(real / "videos", annotations, part)
    if real is not None and part[0] == 0:  # one case each
        known["pumavos-caps"] = lambda: recorded_cases([real / "pumavos-caps"])
        known["hela"] = lambda: nuclei_in_time(real / "hela", counts["hela"])
    return {name: known[name] for name in names if name in known}

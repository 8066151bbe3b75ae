"""Masks of other tools as a project: as they are, or the first of each object as its prompt."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from napari_sam2s.errors import FormatError
from napari_sam2s.formats.davis_layout import VOID, DavisFolder
from napari_sam2s.formats.foreign_files import reading
from napari_sam2s.formats.label_picture import SOFT, soft_edges
from napari_sam2s.formats.mask_entries import annotated_frames, entries_of, shape_of
from napari_sam2s.formats.registry import FORMATS
from napari_sam2s.masklets import Masklets, Project, Prompt, rle
from napari_sam2s.masklets.label_masks import LabelMasks
from napari_sam2s.masklets.mask_queries import Entry
from napari_sam2s.masklets.project_draft import project_draft
from napari_sam2s.masklets.types import Object
from napari_sam2s.masklets.validation import binary_mask
from napari_sam2s.video.image_folder import picture_numbers
from napari_sam2s.video.zarr_image import is_zarr
from napari_sam2s.wording import counted

READABLE = tuple(known.name for known in FORMATS.values() if known.read is not None)
ONE_LABEL_A_PIXEL = ("davis", "tiff", "ome-zarr")
_NO_OBJECT = "{} shows no object{}: give each object its own number."
LARGEST_SIDE = 2**31 - 1  # frames or pixels
BATCH = 500  # rows that are written at once


def import_project(
    source: Path | str,
    format: str,  # noqa: A002
    target: Path | str,
    video: Any = None,
    *,
    name: str | None = None,
    kind: Literal["masks", "prompts"] = "masks",
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Make a project of masks in another format; return its file, which appears whole or not at all.

    Parameters
    ----------
    source, format
        A file or folder, and one of ``READABLE``.
    target
        The project to make.
    video
        The open :class:`Video` that the masks are of; without it the project has none until it is given one.
    name
        Which video, where the source has several.
    kind
        ``"masks"`` takes all masks; ``"prompts"`` the first mask of each object, as its prompt.
    progress
        Called with the frames done and their number.

    Raises
    ------
    FormatError
        If the format is not one that is read, the source is not of it, or the masks do not fit the video.
    ProjectError
        If the project exists or cannot be written.
    """
    if format not in READABLE:
        raise FormatError(f"{format!r} is not a format that can be read. Formats: {', '.join(map(repr, READABLE))}.")
    if kind not in ("masks", "prompts"):
        raise FormatError(f"{kind!r} is neither 'masks' nor 'prompts'.")
    target = Path(target).expanduser()
    if target.exists():
        raise FormatError(f"{target} exists already: choose another name.")
    if not Path(source).exists():
        raise FormatError(f"There is no file or folder {source}.")
    read, what = FORMATS[format].read, f"of the format {FORMATS[format].title}"
    assert read is not None
    with reading(source, what):
        masklets = _one(read(source), name, source)
        frames, objects = annotated_frames(masklets, str(source)), sorted(masklets.objects, key=lambda o: (o.order, o.id))
        if not objects and getattr(masklets, "shape", None) is None:  # else their size is looked at first
            raise FormatError(_NO_OBJECT.format(source, " (255 is void)" * (format == "davis")))
        phases = [(phase.name, phase.start, phase.stop) for phase in getattr(masklets, "phases", ())]
        sized = video if video is not None else _Sized(shape_of(masklets))
    stated = FORMATS[format].states_length and not getattr(masklets, "part", False)
    _check(masklets, frames, sized.shape, source, stated=stated)
    if not objects:
        raise FormatError(_NO_OBJECT.format(source, " (255 is void)" * (format == "davis")))
    if format in ONE_LABEL_A_PIXEL:
        _refuse_soft_edges(masklets, frames, source)
    if isinstance(masklets, DavisFolder):
        _tell_of_numbers(masklets, frames[0], source)
    _check_numbers(getattr(video, "path", None))
    with project_draft(target) as draft, Project.create(draft, sized) as project, project.history.step("import"):
        known = _known(masklets, frames, project.shape[1:], source, what)
        _take_up(project, objects, known, len(frames), kind, progress)
        if phases:
            project.phases.extend(phases)
    return target


def _tell_of_numbers(masklets: DavisFolder, first: int, source: Path | str) -> None:
    """Say what the numbers of frames and of objects mean where they are often meant otherwise."""
    if first == 1 and not masklets.described:
        warnings.warn(
            f"The masks of {source} begin with the number 1, which is the second frame. If your pictures count from 1, number "
            "the masks again from 0.",
            stacklevel=3,
        )
    labels = masklets.stored(first)
    if labels.dtype == np.uint8 and (void := int(np.count_nonzero(labels == VOID))):
        warnings.warn(
            f"The {counted(void, 'pixel')} of {source} with the value {VOID} on frame {first} {'is' if void == 1 else 'are'} "
            "void, as in DAVIS. If this is an object, give it another number.",
            stacklevel=3,
        )


def _refuse_soft_edges(masklets: Masklets, frames: Sequence[int], source: Path | str) -> None:
    """Refuse pictures that were smoothed or scaled, of which every grey would be an object."""
    frame, masks = next(((t, found) for t in frames if (found := masklets.masks(t))), (0, {}))
    if not masks or max(masks) > LARGEST_SIDE:
        return
    if isinstance(masks, LabelMasks):
        labels = masks.labels.astype(np.min_scalar_type(max(masks)))
    else:
        labels = sum((mask * np.int64(i) for i, mask in masks.items()), np.int64(0)).astype(np.min_scalar_type(max(masks)))
    if isinstance(masklets, DavisFolder):
        labels = masklets.stored(frame)  # with 255, which is the inside of what is soft
    if (values := soft_edges(labels)) is not None:
        raise FormatError(SOFT.format(source, values))


class _Sized:
    """In place of a video: its size."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.shape = shape


def _one(found: Mapping[str, Masklets], name: str | None, source: Path | str) -> Masklets:
    if name is None and len(found) == 1:
        return next(iter(found.values()))
    if name is None or name not in found:
        wanted = "has several videos" if name is None else f"has no video {name!r}"
        above = " If they are objects of one video, give the folder above." if all(map(str.isdecimal, found)) else ""
        raise FormatError(f"{source} {wanted}: name one of {', '.join(map(repr, found)) or 'none'}.{above}")
    return found[name]


def _check_numbers(pictures: Path | None) -> None:
    """Refuse pictures that do not count from 0: whether masks are numbered as they are, or from 0 on, nothing here tells."""
    numbers = picture_numbers(pictures) if pictures is not None and pictures.is_dir() and not is_zarr(pictures) else []
    if numbers != list(range(len(numbers))):
        raise FormatError(
            f"The pictures of {pictures} count from {numbers[0]} on and may have gaps, so the frames of the masks are not "
            "certain. Number pictures and masks again from 0, or import without --video."
        )


def _check(masklets: Masklets, frames: list[int], shape: tuple[int, ...], source: Path | str, *, stated: bool) -> None:
    if len(shape) < 3 or not all(isinstance(n, int) and 0 < n <= LARGEST_SIDE for n in shape[:3]):
        raise FormatError(f"{source} is of a video of {tuple(shape[:3])} (T, Y, X), which is impossible: the file is damaged.")
    if frames[0] < 0 or frames[-1] >= shape[0]:
        raise FormatError(
            f"{source} has masks on frame {frames[-1]}, and the video has {counted(shape[0], 'frame')}: give the video of the"
            " masks."
        )
    of_masks = getattr(masklets, "shape", None)
    if of_masks is not None and tuple(of_masks[1:3]) != tuple(shape[1:3]):
        raise FormatError(f"{source} has masks of {tuple(of_masks[1:3])} (Y, X), and the video has {tuple(shape[1:3])}.")
    if stated and of_masks is not None and of_masks[0] != shape[0]:
        raise FormatError(
            f"{source} is of {counted(of_masks[0], 'frame')}, and the video has {shape[0]}: give the video of the masks, or"
            " import without a video."
        )


def _known(
    masklets: Masklets, frames: list[int], size: tuple[int, int], source: Path | str, what: str
) -> Iterator[tuple[int, dict[int, Entry]]]:
    """Yield what is known of the objects on every frame, by object."""
    for frame in frames:
        with reading(source, what):
            if hasattr(masklets.masks, "entries"):
                entries = {e.object_id: e for e in entries_of(masklets, frame)}
            else:
                masks = masklets.masks(frame)
                shapes = [masks.labels.shape] * len(masks) if isinstance(masks, LabelMasks) else map(np.shape, masks.values())
                if other := next((shape for shape in shapes if shape != tuple(size)), None):
                    raise FormatError(
                        f"{source} has a mask of {other} (Y, X) on frame {frame}, and its video has {tuple(size)}."
                    )
                if isinstance(masks, LabelMasks):
                    entries = {i: Entry(i, mask) for i, mask in masks.encoded().items()}
                else:
                    entries = {i: Entry(i, rle.encode(binary_mask(mask, size, FormatError))) for i, mask in masks.items()}
        yield frame, entries


def _take_up(
    project: Project,
    objects: Sequence[Object],
    frames: Iterable[tuple[int, dict[int, Entry]]],
    count: int,
    kind: str,
    progress: Callable[[int, int], None] | None,
) -> None:
    ids = {o.id: project.add_object(o.name or None, o.class_name, o.colour).id for o in objects}
    for o in objects:
        if o.parent in ids:
            project.objects.set_parent(ids[o.id], ids[o.parent])
    waiting = dict(ids)
    rows: list[tuple[int, int, rle.Mask, Any]] = []
    for n, (frame, known) in enumerate(frames):
        strangers = known.keys() - ids.keys()
        if strangers:
            raise FormatError(f"Frame {frame} shows object {min(strangers)}, which is not in the list of objects.")
        if kind == "masks":
            for i, ours in ids.items():  # an object that is left out is absent
                rows.append((frame, ours, known[i].mask, known[i].scores) if i in known else (frame, ours, rle.EMPTY, None))
        else:
            for i in [i for i in waiting if i in known and known[i].mask.area]:
                mask = rle.decode(known[i].mask, (project.shape[1], project.shape[2]))
                project.keep_prompt(Prompt(waiting.pop(i), frame, mask=np.asarray(mask)), mask, None)
        if len(rows) >= BATCH:
            project.write_masks(rows, origin="imported")
            rows = []
        if progress is not None:
            progress(n + 1, count)
    project.write_masks(rows, origin="imported")

"""Which videos a batch has, where the project of each is, and which files hold its prompts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from napari_sam2s.errors import PromptError, TrackingError
from napari_sam2s.masklets.validation import user_path
from napari_sam2s.video.image_folder import PICTURES
from napari_sam2s.video.zarr_image import is_zarr

PromptSource = Literal["project", "masks", "first-labels"]
ENDING = ".sam2s"
# Those of napari.yaml, which a test compares.
VIDEO_ENDINGS = frozenset(
    f".{ending}"
    for row in (
        "mp4 mov m4v mkv avi ts mts m2ts m2t mpg mpeg m2v vob webm wmv asf flv mxf ogv gif h264",
        "h265 hevc 3gp 3g2 mjpeg mjpg dv rm y4m apng 264 265 avc divx f4v gxf ivf m1v mk3d mod mpe",
        "mpv nut obu qt rmvb tod trp tif tiff btf tf2 tf8 lsm stk zarr",
    )
    for ending in row.split()
)
MASK_ENDINGS = (".png", ".tif", ".tiff", ".npy")
LABEL_ENDINGS = ("_labels.tif", "_labels.tiff", "_labels.zarr", "_labels.ome.zarr", "_labels")  # the last is a folder of PNGs
_MASK = re.compile(r"(?P<stem>.+)_frame(?P<frame>\d+)$")


@dataclass(frozen=True)
class BatchVideo:
    """One video of a batch. All paths are absolute."""

    video: Path
    project: Path
    prompts: tuple[tuple[int, Path], ...] = ()  # frame and label picture; or of existing labels (0, their file or folder)


def find_batch(
    sources: Iterable[Path | str],
    prompts: PromptSource = "project",
    out: Path | str | None = None,
    prompt_folder: Path | str | None = None,
) -> list[BatchVideo]:
    """Return the videos of files and folders, in the order they are given and by name.

    Parameters
    ----------
    sources
        Videos, folders of videos, folders of pictures (one video each), projects.
    prompts
        ``"project"``: in the project of each video. ``"masks"``: label pictures ``<video>_frame<N>.png`` (or TIFF, npy), each
        the prompts of its frame. ``"first-labels"``: labels ``<video>_labels.tif``, ``.zarr`` or a folder ``<video>_labels`` of
        PNGs, of which the first mask of each object is taken. ``<video>`` is the name without its ending.
    out
        Where projects are; by default each beside its video, as ``<video's file name>.sam2s``.
    prompt_folder
        Where masks and labels are; by default beside each video.

    Raises
    ------
    TrackingError
        If there is no video, or two would have the same project.
    PromptError
        If there is no such kind of prompts.
    """
    if prompts not in get_args(PromptSource):
        raise PromptError(f"prompts={prompts!r} is not one of {', '.join(map(repr, get_args(PromptSource)))}.")
    folder = None if out is None else user_path(out).absolute()
    found: dict[Path, BatchVideo] = {}
    for path in _expand([user_path(source).absolute() for source in sources], prompts):
        one = _of_project(path, folder) if path.suffix == ENDING else _of_video(path, prompts, folder, prompt_folder)
        other = found.setdefault(one.project, one)
        if other.video != one.video:
            raise TrackingError(
                f"{other.video} and {one.video} would have the same project {one.project}: rename one, or batch each alone."
            )
    if not found:
        raise TrackingError("No video was found there: give video files, or a folder that holds some.")
    return list(found.values())


def _expand(paths: Sequence[Path], prompts: str) -> list[Path]:
    """Return files and folders of pictures; of folders of videos what is in them."""
    expanded: list[Path] = []
    for path in paths:
        if not path.exists():
            raise TrackingError(f"There is no file or folder {path}.")
        if not path.is_dir() or _is_video_folder(path):
            expanded.append(path)
            continue
        inside = [p for p in sorted(path.iterdir()) if not p.name.startswith(".") and _is_video(p)]
        expanded += [p for p in inside if not _holds_prompts(p, inside, prompts)]
    return expanded


def _is_video(path: Path) -> bool:
    return _is_video_folder(path) if path.is_dir() else path.suffix.lower() in VIDEO_ENDINGS


def _is_video_folder(path: Path) -> bool:
    """Whether a folder is one video: a zarr, or pictures and no video beside them."""
    if is_zarr(path):
        return True
    endings = {p.suffix.lower() for p in path.iterdir() if not p.name.startswith(".")}
    return bool(endings & set(PICTURES)) and not endings & (VIDEO_ENDINGS - set(PICTURES))


def _holds_prompts(path: Path, inside: Sequence[Path], prompts: str) -> bool:
    """Whether what looks like a video holds the prompts of another one."""
    stems = {_stem(p) for p in inside if p != path}
    if prompts == "masks" and (named := _MASK.match(path.stem)) is not None:
        return named["stem"] in stems
    return prompts == "first-labels" and any(path.name == f"{stem}{ending}" for stem in stems for ending in LABEL_ENDINGS)


def _stem(video: Path) -> str:
    return video.name.removesuffix(".zarr").removesuffix(".ome") if video.is_dir() else video.stem


def _of_project(path: Path, folder: Path | None) -> BatchVideo:
    from napari_sam2s.masklets import Project

    if folder is not None:
        raise TrackingError(f"{path} is a project, and projects stay where they are: leave out the folder for projects.")
    with Project.open(path, "r") as project:
        video = project.video.path
    if video is None:
        raise TrackingError(f"{path} does not say where its video is: give the video.")
    return BatchVideo(video, path)


def _of_video(path: Path, prompts: str, folder: Path | None, prompt_folder: Path | str | None) -> BatchVideo:
    project = (folder or path.parent) / f"{path.name}{ENDING}"
    beside = path.parent if prompt_folder is None else user_path(prompt_folder).absolute()
    if prompts == "project":
        return BatchVideo(path, project)
    if prompts == "masks":
        pictures = []
        for near in sorted(beside.glob("*_frame*")):
            named = _MASK.match(near.stem)
            if named is not None and named["stem"] == _stem(path) and near.suffix.lower() in MASK_ENDINGS:
                pictures.append((int(named["frame"]), near))
        return BatchVideo(path, project, tuple(sorted(pictures)))
    labels = [place for ending in LABEL_ENDINGS if (place := beside / f"{_stem(path)}{ending}").exists()]
    return BatchVideo(path, project, tuple((0, place) for place in labels))

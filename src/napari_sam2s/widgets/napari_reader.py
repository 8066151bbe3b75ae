"""Dropping a video on napari: a lazy Image layer, without reading the video."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sam2s.errors import ProjectError, Sam2sError, VideoError
from napari_sam2s.masklets import Project
from napari_sam2s.video import Video, open_video
from napari_sam2s.video.physical_scale import layer_scale
from napari_sam2s.video.stream_choice import same_size_streams
from napari_sam2s.video.tiff import SUFFIXES
from napari_sam2s.video.video import reopen_video
from napari_sam2s.widgets.console import SESSIONS
from napari_sam2s.widgets.offer import offer_widget
from napari_sam2s.widgets.project_location import ENDING
from napari_sam2s.widgets.settings import PLUGIN, VIDEO_KEY
from napari_sam2s.wording import counted

if TYPE_CHECKING:
    from napari.types import LayerData, PathLike

PICTURES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"}
PROJECT_KEY = "napari_sam2s_project"  # and the project that was opened with it, if it was one


def get_reader(path: PathLike | Sequence[PathLike]) -> Callable[[PathLike], list[LayerData]] | None:
    """Return a function that opens ``path`` as a layer, or ``None`` if it is not for us."""
    if not isinstance(path, str | Path):
        return None  # several files dropped as a stack are napari's own business
    place = Path(path)
    if place.suffix.lower() == ENDING:
        return _telling(read_project)
    try:
        if place.is_dir():
            return _telling(read_video) if _looks_like_frames(place) else None
        if place.suffix.lower() in SUFFIXES:
            return _telling(read_video) if _has_pages(place) else None
    except OSError:
        pass  # read_video says what is wrong with it
    return _telling(read_video)


def _telling(read: Callable[[Any], list[LayerData]]) -> Callable[[Any], list[LayerData]]:
    """Return a reader that says to the widgets that are open what it opens, and what is wrong with it.

    While napari's window is at work an error of ours is told as one sentence: napari itself would show its beginning, and a
    traceback. Where another plugin may read the file, or a script asks, it is raised all the same.
    """

    def told(path: Any) -> list[LayerData]:
        sessions = tuple(SESSIONS)
        for session in sessions:
            session.begin(f"Opening {Path(path).name} ...")
        try:
            return read(path)
        except Sam2sError as error:
            said = str(error).replace(str(path), Path(path).name)  # the file at hand needs no folder, and a notice has no room
            for session in sessions:
                session.tell(said)
            if not _in_window() or _others_read(path):
                raise
            from napari_sam2s.widgets.notifications import show_trouble  # which needs Qt; a reader does not

            show_trouble(said)
            return [(None,)]  # napari's word for "no layer"

    return told


def _others_read(path: Any) -> bool:
    """Whether a plugin may read a file that we do not; of videos napari's own reader has the same ffmpeg as we have."""
    from npe2 import PluginManager

    same = {PLUGIN} if Path(path).is_dir() or Path(path).suffix.lower() in SUFFIXES else {PLUGIN, "napari"}
    return any(reader.plugin_name not in same for reader in PluginManager.instance().iter_compatible_readers(str(path)))


def _in_window() -> bool:
    """Whether it is napari's window that asks, not a script: then uncaught errors go to its notices."""
    from napari.utils.notifications import notification_manager

    return bool(sys.excepthook == notification_manager.receive_error)


def _looks_like_frames(folder: Path) -> bool:
    if any((folder / name).exists() for name in ("zarr.json", ".zarray", ".zgroup")):
        return True
    return any(p.suffix.lower() in PICTURES for p in folder.iterdir())


def _has_pages(path: Path) -> bool:
    """Whether a TIFF is more than a single picture."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            first = tiff.series[0]
            return len(tiff.series) > 1 or len(first.shape) >= (4 if first.axes.endswith("S") else 3)
    except (tifffile.TiffFileError, IndexError):
        return True


def read_video(path: Any) -> list[LayerData]:
    """Open a video as one layer, or those of several cameras in one file as a layer each.

    Where it must be indexed first, napari's activity dock shows how far that is.
    """
    with _indexing(Path(path)) as show:
        video = open_video(path, progress=show)
        others = [s for s in same_size_streams(Path(path)) if s != video.stream] if video.stream is not None else []
        layers = [video_layer(v) for v in (video, *(open_video(path, stream=s, progress=show) for s in others))]
    offer_widget(video.name)
    return layers


@contextmanager
def _indexing(path: Path) -> Iterator[Callable[[float], bool]]:
    """Give what shows in napari's activity dock how far the indexing of a video is; nothing, where it is indexed already."""
    from napari.utils import progress

    bar: Any = None

    def show(part: float) -> bool:
        nonlocal bar
        if bar is None:
            bar = progress(total=100, desc=f"Indexing {path.name}")
        bar.update(max(0.0, round(100 * part) - bar.n))
        return True

    try:
        yield show
    finally:
        if bar is not None:
            bar.close()


def read_project(path: Any) -> list[LayerData]:
    """Open the video of a project as a layer; the widget then takes this project, wherever it lies.

    Raises :class:`ProjectError` if it is no project, or its video is gone.
    """
    place = Path(path)
    with Project.open(place, mode="r") as project:
        source = project.video.path
        if source is None or not source.exists():
            raise ProjectError(
                f"{source or 'The video'} of {place.name} is no longer there: open the video first, then choose the project."
            )
        with _indexing(source) as show:
            video = reopen_video(source, fps=project.fps, stream=project.video.stream, progress=show)
    data, attributes, kind = video_layer(video)
    attributes["metadata"][PROJECT_KEY] = place
    offer_widget(video.name)
    return [(data, attributes, kind)]


def video_layer(video: Video) -> LayerData:
    """Return a video as a napari layer: ``(data, attributes, "image")``.

    Frames are decoded when they are looked at. Of microscopy the raw data is shown, with the contrast our mapping chose;
    of everything else the RGB frames. The time axis of a video file counts frames: a plain array ``(T, Y, X)`` of as many
    frames lies on them. Where a file of pictures says how large its pixels are, the layer is in its units, in time as well.
    Times are in the metadata, and on the timeline.
    """
    metadata: dict[str, Any] = {
        VIDEO_KEY: video,
        "fps": video.fps,
        "timestamps": video.timestamps,
        "warnings": list(video.warnings),
    }
    attributes: dict[str, Any] = {
        "name": video.name if video.stream is None else f"{video.name} [stream {video.stream}]",
        "metadata": metadata,
        **layer_scale(video.physical),
        "axis_labels": ("time", "y", "x"),
        "multiscale": False,
        # A file keeps its latest frames itself, and lets go of them when it is closed. Napari's cache, of up to half of the
        # memory, would keep another copy for each time that a frame is looked at, and past the end of the layer.
        "cache": video.file is None,
    }
    mapping = video.mapping
    if mapping is not None and mapping.axes == "TYX":
        metadata["mapping"] = str(mapping)
        return _lazy(video.raw), {**attributes, "rgb": False, "contrast_limits": mapping.limits[0]}, "image"
    if mapping is not None:
        metadata["mapping"] = str(mapping)
    return video.dask, {**attributes, "rgb": True}, "image"


def _lazy(raw: Any) -> Any:
    """Return a raw stack as something napari slices lazily."""
    import dask.array as da
    import numpy as np

    if isinstance(raw, np.ndarray | da.Array):
        return raw
    chunks = ((1,) * raw.shape[0], *((n,) for n in raw.shape[1:]))
    return da.from_array(raw, chunks=chunks, inline_array=True, asarray=True, fancy=False)


def find_video(layer: Any) -> Video:
    """Return the video behind an Image layer, whoever made it.

    Raises :class:`VideoError` if it has more than time, y and x, or is multiscale.
    """
    known = layer.metadata.get(VIDEO_KEY)
    if isinstance(known, Video):
        return known
    if getattr(layer, "multiscale", False):
        raise VideoError(f"{layer.name!r} is multiscale: give one of its levels.")
    if layer.ndim < 3:
        raise VideoError(
            f"{layer.name!r} is a single picture. SAM2S follows objects over time or depth: open a video, a stack of pictures "
            "or a folder of them."
        )
    if layer.ndim != 3:
        raise VideoError(
            f"{layer.name!r} has {counted(layer.ndim, 'dimension')} besides colour; SAM2S takes time (or z), y and x. "
            "Channels: open the file with the reader SAM2S. A volume over time: take one plane or a projection."
        )
    limits = None if layer.rgb else tuple(float(v) for v in layer.contrast_limits)
    video = open_video(layer.data, axes="TYXC" if layer.rgb else "TYX", limits=limits)  # type: ignore[arg-type]
    video.name = layer.name
    return video

"""The list of formats: what each is called, what can be chosen, who reads and writes it.

The command line, the widget's menu, napari's writers and :meth:`Project.export` read this list. A new format is a file of this
folder with a writer (and a reader), and an entry here; where napari is to save layers in it, also a writer in ``napari.yaml``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import FormatError, ProjectError
from napari_sam2s.formats.atomic_write import replacing
from napari_sam2s.formats.coco import read_coco, write_coco
from napari_sam2s.formats.ctc import read_ctc, write_ctc
from napari_sam2s.formats.cvat import read_cvat, write_cvat
from napari_sam2s.formats.davis import write_davis
from napari_sam2s.formats.davis_layout import read_davis
from napari_sam2s.formats.export_view import ExportView
from napari_sam2s.formats.geff_graph import write_geff
from napari_sam2s.formats.measurements import read_pixel_size, write_measurements, write_object_table
from napari_sam2s.formats.mots import read_mots, write_mots
from napari_sam2s.formats.ome_zarr import read_ome_zarr, write_ome_zarr
from napari_sam2s.formats.overlay import Span, write_overlay, write_overlay_gif
from napari_sam2s.formats.sav import read_sav, write_sav
from napari_sam2s.formats.tiff_stack import read_tiff_stack, write_tiff_stack
from napari_sam2s.formats.trackmate import write_trackmate
from napari_sam2s.formats.video_encoding import ENDINGS
from napari_sam2s.formats.yolo_seg import write_yolo_seg
from napari_sam2s.formats.youtube_vis import read_youtube_vis, write_youtube_vis
from napari_sam2s.masklets.protocol import Masklets
from napari_sam2s.wording import counted


@dataclass(frozen=True)
class Option:
    """What can be chosen of a format: a keyword of its writer, and an option of the command line."""

    name: str
    metavar: str
    help: str
    read: Callable[[str], Any] = str  # from a word of the command line to what the writer takes


@dataclass(frozen=True)
class Format:
    """One format that masks are written in, and perhaps read from."""

    name: str  # in ``project.export(folder, name)`` and ``--format``
    title: str
    tip: str
    write: Callable[..., Path]  # (masklets, folder or file, name of the video, **options) -> what was made
    read: Callable[[Path | str], Mapping[str, Masklets]] | None = None  # path -> {name of the video: masklets}
    options: tuple[Option, ...] = ()
    file_ending: str = ""  # of a format that is one file which the user names; else the user names a folder
    usual_file: str = ""  # what its one file in that folder is called after the video's name; the user may name it instead
    needs_video: bool = False  # the writer takes ``video`` too, with the frames
    layer_ending: str = ""  # of what napari saves Labels layers as; empty where it does not
    states_length: bool = False  # its files say how many frames the video has

    @property
    def keywords(self) -> frozenset[str]:
        """What the writer takes by name."""
        return frozenset(option.name for option in self.options) | ({"video"} if self.needs_video else set())


def read_span(word: str) -> Span:
    """Return a span of frames from words such as ``100:250`` (100 to 249), ``100:`` and ``:250``."""
    first, colon, stop = word.partition(":")
    try:
        span = int(first or 0), int(stop) if stop else None
    except ValueError:
        span = -1, None
    if not colon or span[0] < 0 or (span[1] is not None and span[1] <= span[0]):
        raise FormatError(f"{word} is not a span of frames, such as 100:250.")
    return span


def _read_width(word: str) -> int:
    if not word.isdecimal():
        raise FormatError(f"{word} is not a number of pixels.")
    return int(word)


def _write_overlay(masklets: Masklets, path: Path | str, name: str, *, video: Any, **options: Any) -> Path:
    return write_overlay(video, masklets, path, **options)


def _write_gif(masklets: Masklets, path: Path | str, name: str, *, video: Any, **options: Any) -> Path:
    return write_overlay_gif(video, masklets, path, **options)


_DRAWN = (
    Option("words", "names|legend|both|none", "names: write names at the objects; legend: draw a legend below the picture"),
    Option("layout", "overlay|side-by-side", "side-by-side: show the frame without masks as well"),
    Option("span", "START:STOP", "only these frames (default: all)", read_span),
)

_UNITS = (
    Option("pixel_size", "Y[,X]", "size of a pixel, for areas in physical units", read_pixel_size),
    Option("unit", "UNIT", "unit of the pixel size, such as micrometer"),
)

_ALL = (
    Format(
        "davis",
        "DAVIS folders",
        "One palette PNG for each frame, and a meta.json. SAM 2, Cutie and DAVIS tools read it.",
        write_davis,
        read_davis,
        layer_ending=".davis",
    ),
    Format(
        "coco",
        "COCO instances",
        "One JSON with run-length masks, a track_id for each object, scores and origins.",
        write_coco,
        read_coco,
        layer_ending=".json",
        usual_file="_coco.json",
    ),
    Format(
        "csv",
        "Measurements (CSV)",
        "Area, centroid, box, scores and origin of every object on every frame. Phases, if there are any, in a file beside it.",
        write_measurements,
        options=_UNITS,
        layer_ending=".csv",
        usual_file="_measurements.csv",
    ),
    Format(
        "objects",
        "Measurements of objects (CSV)",
        "One row for each object: first and last seen, visible time, entries and exits, path, speed, idle time.",
        write_object_table,
        options=_UNITS,
        usual_file="_objects.csv",
    ),
    Format(
        "sav",
        "SA-V JSON",
        "Run lengths of all objects; they may overlap.",
        write_sav,
        read_sav,
        usual_file="_manual.json",
        states_length=True,
    ),
    Format(
        "ctc",
        "Cell Tracking Challenge",
        "16-bit TIFF and res_track.txt; every frame must be known.",
        write_ctc,
        read_ctc,
        states_length=True,
    ),
    Format(
        "ome-zarr",
        "OME-Zarr labels",
        "One compressed array (t, y, x) with names and colours.",
        write_ome_zarr,
        read_ome_zarr,
        options=(Option("ngff", "0.5|0.4", "version of OME-NGFF; 0.4 for programs that do not read zarr 3"),),
        states_length=True,
    ),
    Format(
        "tiff",
        "TIFF stack",
        "Labels (t, y, x) of 16 bits in one file.",
        write_tiff_stack,
        read_tiff_stack,
        states_length=True,
        usual_file="_labels.tif",
    ),
    Format(
        "youtube-vis",
        "YouTube-VIS JSON",
        "One run-length mask for each object and frame. TrackEval and mmdetection read it.",
        write_youtube_vis,
        read_youtube_vis,
        states_length=True,
        usual_file="_ytvis.json",
    ),
    Format(
        "mots",
        "MOTS challenge",
        "gt.txt with a run-length mask per line; masks do not overlap.",
        write_mots,
        read_mots,
        states_length=True,
    ),
    Format(
        "yolo-seg", "YOLO segmentation", "Outlines to train YOLO with. Identities over time and holes are lost.", write_yolo_seg
    ),
    Format(
        "cvat",
        "CVAT for video 1.1",
        "An XML of tracks with masks, to upload to CVAT.",
        write_cvat,
        read_cvat,
        states_length=True,
        usual_file="_cvat.xml",
    ),
    Format("geff", "GEFF tracks", "Tracks with divisions as a graph: centroids, areas, names; no masks.", write_geff),
    Format(
        "trackmate",
        "TrackMate XML",
        "Spots with outlines and tracks with divisions, for Fiji.",
        write_trackmate,
        usual_file="_trackmate.xml",
    ),
    Format(
        "overlay",
        "Overlay video",
        "An MP4 with the masks drawn in.",
        _write_overlay,
        options=_DRAWN,
        file_ending=".mp4",
        needs_video=True,
    ),
    Format(
        "gif",
        "GIF",
        "A small animation of a range of frames, with the masks drawn in.",
        _write_gif,
        options=(*_DRAWN, Option("width", "PIXELS", "greatest width in pixels (default: 480)", _read_width)),
        file_ending=".gif",
        needs_video=True,
    ),
)
FORMATS: Mapping[str, Format] = {known.name: known for known in _ALL}
# Endings of files that formats put into the folder that the user names.
_INSIDE = {
    ".json": ("coco", "sav", "youtube-vis"),
    ".csv": ("csv", "objects"),
    **dict.fromkeys((".tif", ".tiff"), ("tiff", "ctc")),
    ".zarr": ("ome-zarr",),
    ".xml": ("cvat", "trackmate"),
    ".geff": ("geff",),
    ".txt": ("mots", "yolo-seg"),
    ".png": ("davis",),
}
_UNWRITTEN = (".webm", ".wmv", ".ogv", ".mpg", ".mpeg", ".webp", ".jpg", ".jpeg", ".npy", ".npz", ".h5", ".parquet", ".zip")


def format_by_ending(target: Path | str) -> str:
    """Return the format of a target whose format was not named: by its ending, else ``"davis"``.

    A folder called ``masks.tif`` with pictures of DAVIS inside would be a surprise, so such endings are a FormatError.
    """
    ending = Path(target).suffix.lower()
    if ending in _INSIDE:
        names = " or ".join(_INSIDE[ending])
        raise FormatError(f"{Path(target).name} names no format. Name a folder and a format: {names} writes {ending} files.")
    if ending in _UNWRITTEN:
        raise FormatError(f"No format is written as {ending} files: name an .mp4, a .gif, or a folder and the format.")
    return {".gif": "gif", **dict.fromkeys(ENDINGS, "overlay")}.get(ending, "davis")


def export(
    masklets: Masklets,
    name: str,
    target: Path | str,
    format: str | None = None,  # noqa: A002
    *,
    video: Any = None,
    progress: Callable[[int, int], None] | None = None,
    overwrite: bool = False,
    **options: Any,
) -> Path:
    """Write masks in a format of ``FORMATS`` and return what was made; see :meth:`Project.export`.

    Without a format the target's ending decides (:func:`format_by_ending`).
    ``progress`` is called with the number of frames done and of all. What is there already is refused, unless ``overwrite``.
    """
    format = format_by_ending(target) if format is None else format  # noqa: A001
    if format not in FORMATS:
        raise ProjectError(f"{format!r} is not a format that can be written. Formats: {', '.join(map(repr, FORMATS))}.")
    chosen = FORMATS[format]
    for option in sorted(options.keys() - chosen.keywords):
        owners = [repr(known.name) for known in FORMATS.values() if option in known.keywords]
        raise ProjectError(
            f"{option!r} is an option of {' and '.join(owners) or 'no format'}, not of {format!r}: leave it out."
        )
    if chosen.needs_video:
        if video is None:
            raise ProjectError(f"{format!r} draws on the frames: give the video, as video=sam2s.open_video(...).")
        options["video"] = video
    with replacing(bool(overwrite)):
        return chosen.write(ExportView(masklets, _times(masklets, video), progress), target, name, **options)


def _times(masklets: Masklets, video: Any) -> NDArray[np.float64] | None:
    """Return the times of a video by its own clock; of pictures and arrays without a rate there are none."""
    shape = getattr(masklets, "shape", None)
    if video is not None and shape is not None and len(video) != shape[0]:
        raise FormatError(
            f"The video has {counted(len(video), 'frame')}, and the masks belong to one with {shape[0]}: give that one."
        )
    if getattr(video, "fps", None) is None or getattr(video, "timestamps", None) is None:
        return None
    return np.asarray(video.timestamps)

"""GEFF, the Graph Exchange File Format: ``<video>.geff``, tracks with divisions as a graph in zarr.

A node is an object on a frame, with ``t`` (the frame), ``y``, ``x``, ``area``, ``object_id``, ``name`` and ``class``; what the
edges are, :mod:`track_graph` says. The time axis is scaled to seconds where the rate is known. Objects with colours,
and the times of frames, are in ``extra`` of the metadata.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from napari_sam2s.errors import FormatError
from napari_sam2s.formats.atomic_write import refuse_full, whole_folder
from napari_sam2s.formats.mask_entries import annotated_frames, seconds_of_frames
from napari_sam2s.formats.object_facts import facts_of_objects
from napari_sam2s.formats.track_graph import TrackGraph, track_graph
from napari_sam2s.masklets.protocol import Masklets

ENDING = ".geff"
OURS = "napari-sam2s"


def write_geff(masklets: Masklets, root: Path | str, video: str) -> Path:
    """Write the tracks of masklets as ``root/<video>.geff``; return that folder.

    Raises :class:`FormatError` if the package geff is missing, no object is seen, or the folder is there already or cannot
    be written.
    """
    frames = annotated_frames(masklets, video)
    path = Path(root) / f"{video}{ENDING}"
    refuse_full(path)
    _refuse_without_geff()
    graph = track_graph(masklets)
    if not len(graph.frame):
        raise FormatError(f"{video} has no object on any frame, so there are no tracks to write.")
    times = seconds_of_frames(masklets, frames)
    extra = {"video": video, "frames": frames, "time_s": times, "objects": facts_of_objects(graph.objects)}
    with whole_folder(path, anew=True) as part:
        _write(part, graph, getattr(masklets, "fps", None), extra)
    return path


def _refuse_without_geff() -> None:
    try:
        import geff  # noqa: F401
    except ImportError:
        raise FormatError("GEFF needs the package geff: pip install 'napari-sam2s[geff]'.") from None


def _write(path: Path, graph: TrackGraph, fps: float | None, extra: Mapping[str, object]) -> None:
    from geff import GeffMetadata
    from geff.core_io import write_arrays

    known = {o.id: o for o in graph.objects}
    names = [known[i].name for i in graph.object_id.tolist()]
    classes = [known[i].class_name or "" for i in graph.object_id.tolist()]
    columns = {
        **{"t": graph.frame, "y": graph.y, "x": graph.x, "area": graph.area, "object_id": graph.object_id},
        **{"tracklet": graph.tracklet, "lineage": graph.lineage, "name": np.array(names), "class": np.array(classes)},
    }
    time = {"scale": 1 / fps, "scaled_unit": "second"} if fps else {}
    bounds = {key: {"min": float(columns[key].min()), "max": float(columns[key].max())} for key in ("t", "y", "x")}
    space = [{"name": name, "type": "space", "unit": "pixel", **bounds[name]} for name in ("y", "x")]
    metadata = GeffMetadata.model_validate(
        {
            "directed": True,
            "axes": [{"name": "t", "type": "time", "unit": "frame", **bounds["t"], **time}, *space],
            "node_props_metadata": {},
            "edge_props_metadata": {},
            "track_node_props": {"tracklet": "tracklet", "lineage": "lineage"},
            "extra": {OURS: dict(extra)},
        }
    )
    props: Any = {key: {"values": values, "missing": None} for key, values in columns.items()}
    ids = np.arange(len(graph.frame), dtype=np.uint64)
    path.rmdir()  # geff makes it
    write_arrays(path, ids, props, graph.edges.astype(np.uint64), {}, metadata)

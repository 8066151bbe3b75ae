"""TrackMate's XML: ``<video>_trackmate.xml``, a spot an object and frame with its outline, and the edges between spots.

Places are pixels and times seconds (frames, where the rate is not known). A track of TrackMate is a whole lineage; a spot's
name is the object's. Holes of masks are filled, as TrackMate's outlines have none. Open it with *Load a TrackMate file*;
of a project it names the video, which Fiji opens where it can.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TextIO
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import FormatError
from napari_sam2s.formats.atomic_write import file_in, whole_file
from napari_sam2s.formats.cvat import printable
from napari_sam2s.formats.mask_entries import annotated_frames, entries_of, seconds_of, shape_of
from napari_sam2s.formats.track_graph import TrackGraph, graph_of, sighting_rows
from napari_sam2s.formats.yolo_seg import outline_of
from napari_sam2s.masklets.mask_queries import Entry
from napari_sam2s.masklets.protocol import Masklets
from napari_sam2s.masklets.types import Object

ENDING = "_trackmate.xml"
VERSION = "7.11.1"  # of TrackMate, whose file this is like
_SPOTS = {  # feature: (name, dimension, whether it is a whole number)
    "QUALITY": ("Quality", "QUALITY", False),
    "POSITION_X": ("X", "POSITION", False),
    "POSITION_Y": ("Y", "POSITION", False),
    "POSITION_Z": ("Z", "POSITION", False),
    "POSITION_T": ("T", "TIME", False),
    "FRAME": ("Frame", "NONE", True),
    "RADIUS": ("Radius", "LENGTH", False),
    "VISIBILITY": ("Visibility", "NONE", True),
    "MANUAL_SPOT_COLOR": ("Manual spot color", "NONE", True),
    "AREA": ("Area", "AREA", False),
}
_EDGES = {"SPOT_SOURCE_ID": ("Source spot ID", "NONE", True), "SPOT_TARGET_ID": ("Target spot ID", "NONE", True)}
_TRACKS = {"TRACK_INDEX": ("Track index", "NONE", True), "TRACK_ID": ("Track ID", "NONE", True)}


def write_trackmate(masklets: Masklets, root: Path | str, video: str) -> Path:
    """Write the tracks of masklets as ``root/<video>_trackmate.xml``, or as the file ``root`` if that ends in ``.xml``.

    Raises :class:`FormatError` if no object is seen, or the file cannot be written.
    """
    frames, shape = annotated_frames(masklets, video), shape_of(masklets)
    path = file_in(root, video, ENDING)
    objects = {o.id: o for o in masklets.objects}
    timed = seconds_of(masklets, frames[0]) is not None
    tables: list[NDArray[np.float64]] = []
    spots = 0
    with whole_file(path) as part, part.open("w", encoding="utf-8") as file:
        file.write(_head("second" if timed else "frame"))
        for frame in frames:
            seen = [e for e in entries_of(masklets, frame) if e.mask.area and e.object_id in objects]
            if seen:
                file.write(f'<SpotsInFrame frame="{frame}">\n')
                time = seconds_of(masklets, frame)
                rows = sighting_rows([(frame, entry.object_id, entry.mask) for entry in seen])
                for entry, centre in zip(seen, rows[:, 2:4].tolist(), strict=True):
                    file.write(_spot(spots, entry, centre, (frame, frame if time is None else time), objects))
                    spots += 1
                tables.append(rows)
                file.write("</SpotsInFrame>\n")
        if not tables:
            raise FormatError(f"{video} has no object on any frame, so there are no tracks to write.")
        file.write("</AllSpots>\n")
        table = np.concatenate(tables)
        order = np.lexsort((table[:, 1], table[:, 0]))  # that of the graph's nodes
        _write_tracks(file, graph_of(masklets.objects, table), order.tolist())
        fps = getattr(masklets, "fps", None)
        source = getattr(getattr(masklets, "video", None), "path", None) or Path(video)
        file.write(_tail(source, shape, 1 / fps if fps else 1.0))
    return path


def _head(time: str) -> str:
    declared = "".join(
        f"<{kind}>\n{''.join(_declared(key, *facts) for key, facts in features.items())}</{kind}>\n"
        for kind, features in (("SpotFeatures", _SPOTS), ("EdgeFeatures", _EDGES), ("TrackFeatures", _TRACKS))
    )
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<TrackMate version="{VERSION}">\n<Log>Written by napari-sam2s</Log>\n'
        f'<Model spatialunits="pixel" timeunits="{time}">\n<FeatureDeclarations>\n{declared}</FeatureDeclarations>\n'
        "<AllSpots>\n"
    )


def _declared(feature: str, name: str, dimension: str, whole: bool) -> str:
    isint = "true" if whole else "false"
    return f'<Feature feature="{feature}" name="{name}" shortname="{name}" dimension="{dimension}" isint="{isint}"/>\n'


def _spot(number: int, entry: Entry, centre: Sequence[float], when: tuple[int, float], objects: dict[int, Object]) -> str:
    outline, _ = outline_of(entry.mask)
    y, x = centre
    known = objects[entry.object_id]
    red, green, blue = known.colour
    colour = (255 << 24 | red << 16 | green << 8 | blue) - 2**32  # as Java has it
    score = 1.0 if entry.scores is None else entry.scores.iou
    values = (outline - (x, y)).ravel().tolist()
    corners = " ".join(["%.6g"] * len(values)) % tuple(values)
    return (
        f'<Spot ID="{number}" name={_quoted(known.name)} QUALITY="{score:.4f}" POSITION_X="{x:.4f}" '
        f'POSITION_Y="{y:.4f}" POSITION_Z="0.0" POSITION_T="{when[1]}" FRAME="{when[0]}" '
        f'RADIUS="{np.sqrt(entry.mask.area / np.pi):.4f}" VISIBILITY="1" MANUAL_SPOT_COLOR="{colour}" '
        f'AREA="{entry.mask.area}" ROI_N_POINTS="{len(outline)}">{corners}</Spot>\n'
    )


def _write_tracks(file: TextIO, graph: TrackGraph, spots: Sequence[int]) -> None:
    """Write the edges by lineage; a spot without any is in no track, as in TrackMate."""
    lineage = graph.lineage
    by_track: dict[int, list[tuple[int, int]]] = {}
    for source, target in graph.edges.tolist():
        by_track.setdefault(int(lineage[source]), []).append((int(spots[source]), int(spots[target])))
    file.write("<AllTracks>\n")
    for n, track in enumerate(sorted(by_track)):
        file.write(f'<Track name="Track_{track}" TRACK_INDEX="{n}" TRACK_ID="{track}">\n')
        file.writelines(f'<Edge SPOT_SOURCE_ID="{a}" SPOT_TARGET_ID="{b}"/>\n' for a, b in by_track[track])
        file.write("</Track>\n")
    file.write("</AllTracks>\n<FilteredTracks>\n")
    file.writelines(f'<TrackID TRACK_ID="{track}"/>\n' for track in sorted(by_track))
    file.write("</FilteredTracks>\n</Model>\n")


def _quoted(words: str) -> str:
    return quoteattr(printable(words))


def _tail(source: Path, shape: tuple[int, int, int], interval: float) -> str:
    count, height, width = shape
    name, folder = _quoted(source.name), _quoted(str(source.parent.absolute()))
    return f"""<Settings>
<ImageData filename={name} folder={folder} width="{width}" height="{height}" nslices="1" nframes="{count}" \
pixelwidth="1.0" pixelheight="1.0" voxeldepth="1.0" timeinterval="{interval}"/>
<BasicSettings xstart="0" xend="{width - 1}" ystart="0" yend="{height - 1}" zstart="0" zend="0" tstart="0" tend="{count - 1}"/>
<InitialSpotFilter feature="QUALITY" value="0.0" isabove="true"/>
<SpotFilterCollection/>
<TrackFilterCollection/>
<AnalyzerCollection/>
</Settings>
<GUIState state="ConfigureViews"/>
<DisplaySettings>{escape("{}")}</DisplaySettings>
</TrackMate>
"""

"""A ``SAM2S tracks`` layer, on request: the paths of the objects as they are now, with divisions."""

from __future__ import annotations

import logging
import threading
import warnings
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Tracks
from napari.utils import Colormap
from qtpy.QtCore import QObject, Signal

from napari_sam2s.errors import Sam2sError
from napari_sam2s.formats.track_graph import TrackGraph
from napari_sam2s.masklets import Project
from napari_sam2s.widgets.layer_factory import spatial
from napari_sam2s.widgets.layer_sync import OURS
from napari_sam2s.wording import counted

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_sam2s.widgets.session import Session

_log = logging.getLogger(__name__)
TRACKS = "SAM2S tracks"


def make_tracks_layer(image: Image, tracks: TrackGraph) -> Tracks:
    """Return the tracks as a layer: a track an object, in its colour; over frames on which it is not seen its line goes on."""
    known = {o.id: o for o in tracks.objects}
    ids = np.unique(tracks.object_id).tolist()
    step = {i: (n + 0.5) / len(ids) for n, i in enumerate(ids)}  # napari scales no feature that has a colormap of its own
    import pandas as pd

    features = pd.DataFrame(
        {
            "object": [step[i] for i in tracks.object_id.tolist()],
            "name": [known[i].name for i in tracks.object_id.tolist()],
            "area": tracks.area,
        }
    )
    colours = np.array([(*(c / 255 for c in known[i].colour), 1.0) for i in ids])
    steps = Colormap(colours, controls=np.linspace(0, 1, len(ids) + 1), interpolation="zero", name="objects")
    return Tracks(
        tracks.data,
        graph=tracks.graph,
        features=features,
        name=TRACKS,
        color_by="object",
        colormaps_dict={"object": steps},
        tail_length=50,
        **spatial(image),
    )


class TracksShower(QObject):
    """Reads the masks in a thread, then puts the layer into the viewer, in place of the one of before."""

    _read = Signal(object)
    _failed = Signal(str)

    def __init__(self, session: Session, parent: QObject) -> None:
        super().__init__(parent)
        self._session = session
        self._thread: threading.Thread | None = None
        self._read.connect(self._put)
        self._failed.connect(session.tell)

    def show(self) -> None:
        """Show the tracks of the project as it is now."""
        session, project = self._session, self._session.project
        if project is None or not project.frames:
            session.tell("There are no masks to make tracks of. Click an object first.")
            return
        if self._thread is not None and self._thread.is_alive():
            session.tell("The tracks are being read. Wait until they are shown.")
            return
        path = project.path
        session.tell("Reading the tracks ...")

        def work() -> None:
            try:
                with warnings.catch_warnings(record=True) as noted, Project.open(path, mode="r") as project:
                    warnings.simplefilter("always", UserWarning)
                    tracks = project.tracks()
                notes = "".join(f" {w.message}" for w in noted if issubclass(w.category, UserWarning))
                self._read.emit((str(path), tracks, notes))
            except Sam2sError as error:
                self._failed.emit(f"The tracks are not shown: {error}")
            except RuntimeError:  # the widget is gone
                return
            except Exception as error:  # noqa: BLE001  the edge of the thread
                _log.exception("tracks")
                self._failed.emit(f"The tracks are not shown ({type(error).__name__}: {error}). See the log.")

        self._thread = threading.Thread(target=work, name="sam2s-tracks", daemon=True)
        self._thread.start()

    def _put(self, found: tuple[str, TrackGraph, str]) -> None:
        path, tracks, notes = found
        session = self._session
        if session.project is None or session.image is None or str(session.project.path) != path:
            return  # another video is open by now
        if not len(tracks.frame):
            session.tell("No object is seen on any frame, so there are no tracks.")
            return
        viewer, active = session.viewer, session.viewer.layers.selection.active
        for layer in [layer for layer in viewer.layers if isinstance(layer, Tracks) and layer.metadata.get(OURS) == path]:
            viewer.layers.remove(layer)
        layer = make_tracks_layer(session.image, tracks)
        layer.metadata[OURS] = path
        viewer.add_layer(layer)
        viewer.layers.selection.active = active
        session.tell(
            f"{TRACKS} shows {counted(len(np.unique(tracks.object_id)), 'track as it is', 'tracks as they are')} now.{notes}"
        )

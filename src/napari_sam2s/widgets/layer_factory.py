"""The two layers that stand beside the video: prompts and objects.

They share its transforms, and are the only layers we touch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels, Points, Tracks
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import NDArray
from qtpy.QtGui import QGuiApplication

from napari_sam2s.masklets import Object, Project, Prompt
from napari_sam2s.masklets.labels import LabelView

if TYPE_CHECKING:
    import pandas as pd
    from napari.layers import Image

PROMPTS, OBJECTS = "SAM2S prompts", "SAM2S objects"
KINDS = ["positive", "negative", "box"]
KIND_COLOURS = {"positive": "#2ecc71", "negative": "#e74c3c", "box": "#f1c40f"}
KIND_SYMBOLS = {"positive": "disc", "negative": "x", "box": "square"}
MOST_DOT = 9  # pixels of the screen: a dot that grew with the zoom would cover the small object that one zooms in on
RIM = 0.3  # of a dot's size, in the colour of its object
BOX_DOTS = 12  # that each side of a box is drawn with
FILLED, OUTLINED = 0.5, 1.0  # opacity of masks
OUTLINES = 240  # of them would fill the height of a frame


def spatial(image: Image) -> dict[str, Any]:
    """Return the transforms of a layer, for its companions."""
    return {
        "scale": image.scale,
        "translate": image.translate,
        "rotate": image.rotate,
        "shear": image.shear,
        "affine": image.affine,
        "units": image.units,
        "axis_labels": image.axis_labels,
    }


def lie_on(layer: Labels | Points | Tracks, image: Image) -> None:
    """Give a companion the transforms that its image has by now."""
    for name, value in spatial(image).items():
        setattr(layer, name, value)


def _features(kinds: list[str], objects: list[int]) -> pd.DataFrame:
    import pandas as pd  # half a second, which the widget does not wait for when it opens

    return pd.DataFrame({"kind": pd.Categorical(kinds, categories=KINDS), "object": np.array(objects, dtype=int)})


def make_prompts_layer(image: Image) -> Points:
    """Return an empty layer of clicks, ready to add to."""
    height = int(image.data.shape[1])
    return Points(
        np.empty((0, 3)),
        ndim=3,
        name=PROMPTS,
        features=_features([], []),
        face_color="kind",
        face_color_cycle=KIND_COLOURS,
        border_color="white",
        border_width=RIM,
        size=max(5.0, height / 50),
        symbol="disc",
        canvas_size_limits=(0, MOST_DOT * QGuiApplication.primaryScreen().devicePixelRatio()),
        **spatial(image),
    )


def make_objects_layer(image: Image, project: Project, labels: LabelView) -> Labels:
    """Return the masks of a project, as ``labels``, as a layer."""
    return Labels(labels, name=OBJECTS, opacity=FILLED, colormap=colormap(project.objects), **spatial(image))


def outline_width(height: int) -> int:
    """Return how wide an outline is in pixels of a frame of that height, to be seen when all of it is on show."""
    return max(1, round(height / OUTLINES))


class ObjectColours(DirectLabelColormap):  # type: ignore[misc]
    """Colours by object id, looked up without numba.

    Where numba is installed, napari compiles the look-up of colours when they are first shown: seconds in which the viewer
    stands still, to fill a table of 256 or 65,536 entries.
    """

    def _map_without_cache(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Return the colours ``(..., 4)`` of labels; a hook of napari's, which fills its tables with it."""
        mapped = np.broadcast_to(np.asarray(self.default_color, np.float32), (*values.shape, 4)).copy()
        for label, colour in self.color_dict.items():
            if label is not None:
                mapped[values == label] = colour
        return mapped


def colormap(objects: Iterable[Object]) -> ObjectColours:
    """Return the objects' colours for a Labels layer; whatever is not an object is not shown."""
    colours: dict[int | None, Any] = {None: "transparent", 0: "transparent"}
    colours |= {o.id: (*(c / 255 for c in o.colour), 1.0) for o in objects}
    return ObjectColours(color_dict=colours)


def set_next(layer: Points, kind: str, object_id: int) -> None:
    """Set what the next point is; selecting a point overwrites that, so it is set before every click."""
    layer.feature_defaults = _features([kind], [object_id])
    layer.current_face_color = KIND_COLOURS[kind]
    layer.current_symbol = KIND_SYMBOLS[kind]


def show_prompts(layer: Points, prompts: Iterable[Prompt], known: Iterable[Object] = ()) -> None:
    """Draw exactly these prompts, with rims in the colours of the ``known`` objects; boxes as dots along their sides."""
    rows: list[tuple[float, float, float]] = []
    kinds: list[str] = []
    objects: list[int] = []
    for prompt in prompts:
        for (y, x), label in zip(prompt.points, prompt.labels, strict=True):
            rows.append((prompt.frame, y, x))
            kinds.append("positive" if label else "negative")
            objects.append(prompt.object_id)
        if prompt.box is not None:
            dots = _box_dots(prompt.box)
            rows += [(prompt.frame, y, x) for y, x in dots]
            kinds += ["box"] * len(dots)
            objects += [prompt.object_id] * len(dots)
    data, features = np.array(rows, dtype=float).reshape(-1, 3), _features(kinds, objects)
    layer.selected_data = set()
    colours = {o.id: (*(c / 255 for c in o.colour), 1.0) for o in known}
    rims = np.array([colours.get(i, (1.0, 1.0, 1.0, 1.0)) for i in objects]).reshape(-1, 4)
    same = np.array_equal(layer.data, data) and features.equals(layer.features[list(features)])
    if same and np.allclose(layer.border_color, rims):
        return  # a new set of points, even of the same ones, costs tens of milliseconds
    size = float(layer.current_size)
    with layer.events.data.blocker(), layer.events.features.blocker():
        layer.data, layer.features = data, features
        layer.face_color = [KIND_COLOURS[k] for k in kinds] if kinds else "white"
        layer.size = [size / 3 if k == "box" else size for k in kinds] if kinds else size
        layer.symbol = [KIND_SYMBOLS[k] for k in kinds] if kinds else "disc"
        layer.border_color = rims if kinds else "white"
        layer.border_width = RIM
    layer.current_size = size
    layer.refresh()


def still_drawn(prompts: Iterable[Prompt], dots: Iterable[tuple[str, float, float]]) -> list[Prompt]:
    """Return what is left of the prompts of an object on a frame when some of their points were deleted.

    A box goes with the first of its dots; a mask is not drawn, and stays.

    Parameters
    ----------
    dots
        The points that are drawn of the object on that frame: ``(kind, y, x)``.
    """
    drawn = Counter(dots)

    def take(*wanted: tuple[str, float, float]) -> bool:
        there = all(drawn[dot] > 0 for dot in wanted)
        if there:
            drawn.subtract(wanted)
        return there

    left = []
    for p in prompts:
        pairs = zip(p.points, p.labels, strict=True)
        kept = [(point, label) for point, label in pairs if take(("positive" if label else "negative", *point))]
        box = p.box if p.box is not None and take(*(("box", *dot) for dot in _box_dots(p.box))) else None
        if kept or box is not None or p.mask is not None:
            left.append(replace(p, points=tuple(a for a, _ in kept), labels=tuple(b for _, b in kept), box=box))
    return left


def _box_dots(box: tuple[float, float, float, float]) -> list[tuple[float, float]]:
    y0, x0, y1, x1 = box
    along = np.linspace(0, 1, BOX_DOTS)
    sides = [
        *((y0, x0 + f * (x1 - x0)) for f in along),
        *((y1, x0 + f * (x1 - x0)) for f in along),
        *((y0 + f * (y1 - y0), x0) for f in along[1:-1]),
        *((y0 + f * (y1 - y0), x1) for f in along[1:-1]),
    ]
    return [(float(y), float(x)) for y, x in sides]

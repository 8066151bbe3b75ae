"""Masks as tracks: where each object is seen, which sighting follows which, and divisions.

A node is an object on a frame on which it is seen. An edge leads from one sighting to the next of the same object, over frames
on which it is not seen too, and from the last sighting of a parent to the first of a child.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.formats.mask_entries import sightings_of
from napari_sam2s.masklets import rle
from napari_sam2s.masklets.protocol import Masklets
from napari_sam2s.masklets.types import Object


@dataclass(frozen=True)
class TrackGraph:
    """Nodes by object and frame, as columns of the same length N; places in pixels, pixel centres at integers."""

    objects: tuple[Object, ...]  # all there are, by id
    object_id: NDArray[np.int64]
    frame: NDArray[np.int64]
    y: NDArray[np.float64]
    x: NDArray[np.float64]
    area: NDArray[np.int64]
    edges: NDArray[np.int64]  # (E, 2): from node to node, by their numbers from 0
    parents: dict[int, int]  # of the objects that have one that is seen before them

    @property
    def data(self) -> NDArray[np.float64]:
        """What a napari Tracks layer takes: ``(N, 4)``, object id, frame, y, x."""
        return np.column_stack((self.object_id, self.frame, self.y, self.x)).astype(np.float64)

    @property
    def graph(self) -> dict[int, list[int]]:
        """What a napari Tracks layer takes: ``{child: [parent]}``."""
        return {child: [parent] for child, parent in self.parents.items()}

    @property
    def lineage(self) -> NDArray[np.int64]:
        """Of each node, the first of the objects that it descends from."""
        first: dict[int, int] = {}
        for i in np.unique(self.object_id).tolist():
            ancestor = i
            while ancestor in self.parents:
                ancestor = self.parents[ancestor]
            first[i] = ancestor
        return np.array([first[i] for i in self.object_id.tolist()], dtype=np.int64)

    @property
    def tracklet(self) -> NDArray[np.int64]:
        """Of each node, the number from 1 of the longest path without a division that it lies on."""
        out = np.bincount(self.edges[:, 0], minlength=len(self.frame))
        edges = self.edges[out[self.edges[:, 0]] == 1]  # from the nodes that lead nowhere else
        next_row = edges[:, 1] == edges[:, 0] + 1
        begins = np.ones(len(self.frame), dtype=np.bool_)
        begins[edges[next_row, 1]] = False
        run, first = np.cumsum(begins) - 1, np.flatnonzero(begins)
        path = np.arange(len(first))
        leaps = edges[~next_row]
        for a, b in leaps[np.argsort(self.frame[leaps[:, 1]], kind="stable")].tolist():
            path[run[b]] = path[run[a]]
        order = np.argsort(self.frame[first], kind="stable")
        heads = order[path[order] == order]
        numbers = np.zeros(len(first), dtype=np.int64)
        numbers[heads] = np.arange(1, len(heads) + 1)
        found: NDArray[np.int64] = numbers[path[run]]
        return found


def track_graph(masklets: Masklets) -> TrackGraph:
    """Return the tracks of masklets. Parents that are not seen before their children are left out, and told."""
    places = getattr(masklets.masks, "places", None)
    if places is not None:  # a project, which knows where its objects are without its masks
        return graph_of(masklets.objects, places())
    ids = {o.id for o in masklets.objects}
    seen = (sighting for sighting in sightings_of(masklets) if sighting[1] in ids)
    tables = [sighting_rows(part) for part in iter(lambda: list(islice(seen, rle.PART)), [])]
    return graph_of(masklets.objects, np.concatenate([np.zeros((0, 5)), *tables]))


def graph_of(objects: Iterable[Object], table: NDArray[np.float64]) -> TrackGraph:
    """Return the tracks of sightings, as :func:`sighting_rows` gives them."""
    objects = tuple(sorted(objects, key=lambda o: o.id))
    table = table[np.lexsort((table[:, 1], table[:, 0]))]
    ids, frames = table[:, 0].astype(np.int64), table[:, 1].astype(np.int64)
    follows = np.flatnonzero(ids[1:] == ids[:-1])
    parents, edges = _divisions(objects, ids, frames)
    whole = np.concatenate((np.column_stack((follows, follows + 1)), edges))
    return TrackGraph(objects, ids, frames, table[:, 2], table[:, 3], table[:, 4].astype(np.int64), whole, parents)


def _divisions(
    objects: tuple[Object, ...], ids: NDArray[np.int64], frames: NDArray[np.int64]
) -> tuple[dict[int, int], NDArray[np.int64]]:
    parents, edges, untold = {}, [], []
    for o in objects:
        first = int(np.searchsorted(ids, o.id))
        if o.parent is None or first == len(ids) or ids[first] != o.id:
            continue
        start, end = (int(n) for n in np.searchsorted(ids, (o.parent, o.parent + 1)))
        before = start + int(np.searchsorted(frames[start:end], frames[first]))
        if before == start:
            untold.append(o.name)
        else:
            parents[o.id] = o.parent
            edges.append((before - 1, first))
    if untold:
        text = f"The parents of {', '.join(untold)} are left out, because they are not seen before their children."
        warnings.warn(text, stacklevel=4)
    return parents, np.array(edges, dtype=np.int64).reshape(-1, 2)


def sighting_rows(sightings: Sequence[tuple[int, int, rle.Mask]]) -> NDArray[np.float64]:
    """Return object, frame, centroid (y, x) and area of sightings ``(frame, object id, mask)``, as ``(N, 5)``."""
    if not sightings:
        return np.zeros((0, 5))
    frames, ids, masks = zip(*sightings, strict=True)
    return np.column_stack((ids, frames, rle.centres_of(masks), [mask.area for mask in masks]))

"""Tracks with divisions: as data, as GEFF and as TrackMate's XML, read by the package of GEFF."""

from __future__ import annotations

import sys

import geff
import numpy as np
import pytest
from geff.convert import from_trackmate_xml_to_geff

from napari_sam2s.errors import FormatError
from napari_sam2s.formats.geff_graph import write_geff
from napari_sam2s.formats.registry import export
from napari_sam2s.formats.track_graph import track_graph
from napari_sam2s.formats.trackmate import write_trackmate
from napari_sam2s.masklets import LabelMasklets, Object, Project


class Cells:
    """Cell 1 is not seen on frame 1; from frame 3 on it is 2 and 3; cell 9 is seen once."""

    shape = (5, 20, 30)
    fps = 2.0
    frames = range(5)
    objects = (
        Object(1, "mother", "cell", (10, 20, 30)),
        Object(2, "left <ä>", "cell", parent=1),
        Object(3, "right", None, parent=1),
        Object(9, "once"),
    )

    def masks(self, frame):
        places = {0: {1: 4}, 1: {9: 20}, 2: {1: 6}, 3: {2: 2, 3: 10}, 4: {2: 3, 3: 11}}[frame]
        masks = {}
        for i, x in places.items():
            masks[i] = np.zeros((20, 30), bool)
            masks[i][5:8, x : x + 5] = True
        return masks


EDGES = {((1, 0), (1, 2)), ((1, 2), (2, 3)), ((1, 2), (3, 3)), ((2, 3), (2, 4)), ((3, 3), (3, 4))}


def test_nodes_edges_and_what_napari_takes():
    graph = track_graph(Cells())
    assert graph.data.tolist()[:3] == [[1, 0, 6, 6], [1, 2, 6, 8], [2, 3, 6, 4]]
    assert graph.graph == {2: [1], 3: [1]}
    key = list(zip(graph.object_id.tolist(), graph.frame.tolist(), strict=True))
    assert {(key[a], key[b]) for a, b in graph.edges} == EDGES
    assert dict(zip(key, graph.lineage.tolist(), strict=True)) == {k: 9 if k[0] == 9 else 1 for k in key}
    tracklet = dict(zip(key, graph.tracklet.tolist(), strict=True))
    assert tracklet[1, 0] == tracklet[1, 2] != tracklet[2, 3] == tracklet[2, 4] != tracklet[3, 3]


def test_an_only_child_goes_on_with_its_parents_tracklet():
    cells = Cells()
    cells.objects = (*Cells.objects[:2], Object(3, "right"), Object(9, "once"))
    graph = track_graph(cells)
    tracklet = dict(zip(zip(graph.object_id.tolist(), graph.frame.tolist(), strict=True), graph.tracklet.tolist(), strict=True))
    assert tracklet[1, 0] == tracklet[2, 4] != tracklet[3, 3]


def test_geff_is_valid_and_read(tmp_path):
    path = write_geff(Cells(), tmp_path, "case")
    geff.validate_structure(path)
    graph, metadata = geff.read(path, backend="networkx")
    node = {n: (facts["object_id"], facts["t"]) for n, facts in graph.nodes(data=True)}
    assert {(node[a], node[b]) for a, b in graph.edges} == EDGES
    facts = next(facts for _, facts in graph.nodes(data=True) if (facts["object_id"], facts["t"]) == (2, 4))
    assert (facts["y"], facts["x"], facts["area"], facts["name"], facts["class"]) == (6, 5, 15, "left <ä>", "cell")
    time = metadata.axes[0]
    assert (time.name, time.scale, time.scaled_unit) == ("t", 0.5, "second")
    ours = metadata.extra["napari-sam2s"]
    assert ours["objects"][0] == {"id": 1, "name": "mother", "class": "cell", "colour": [10, 20, 30], "parent": None}
    assert ours["time_s"] == [0, 0.5, 1, 1.5, 2]
    with pytest.raises(FormatError, match="exists already"):
        write_geff(Cells(), tmp_path, "case")


def test_trackmate_xml_is_read(tmp_path):
    path = write_trackmate(Cells(), tmp_path, "case")
    from_trackmate_xml_to_geff(path, tmp_path / "from.geff")
    graph, _ = geff.read(tmp_path / "from.geff", backend="networkx")
    node = {n: (facts["name"], facts["FRAME"]) for n, facts in graph.nodes(data=True)}
    names = {o.id: o.name for o in Cells.objects}
    assert {(node[a], node[b]) for a, b in graph.edges} == {tuple((names[i], t) for i, t in edge) for edge in EDGES}
    facts = next(facts for _, facts in graph.nodes(data=True) if facts["name"] == "mother" and facts["FRAME"] == 2)
    assert (facts["POSITION_X"], facts["POSITION_Y"], facts["POSITION_T"], facts["AREA"]) == (8, 6, 1.0, 15)
    assert len(graph) == 7
    text = path.read_text()
    assert 'ROI_N_POINTS="4">' in text
    assert '<Model spatialunits="pixel" timeunits="second">' in text


def test_projects_and_what_is_empty(tmp_path):
    with Project.create(tmp_path / "c.sam2s", np.zeros((5, 20, 30, 3), np.uint8)) as project:
        for o in Cells.objects[:3]:
            project.add_object(o.name)
        project.write_masks([(t, i, m, None) for t in (0, 2, 3, 4) for i, m in Cells().masks(t).items()])
        project.objects.set_parent(2, 1)
        tracks = project.tracks()
        assert tracks.graph == {2: [1]}
        assert len(tracks.data) == 6
        for name in ("geff", "trackmate"):
            assert project.export(tmp_path / "out", name).exists()
    nothing = LabelMasklets(np.zeros((2, 5, 6), np.uint8))
    for name in ("geff", "trackmate"):
        with pytest.raises(FormatError, match="no object on any frame"):
            export(nothing, "empty", tmp_path / "empty", name)
    assert not (tmp_path / "empty").exists()


def test_a_parent_that_is_not_seen_before_is_told():
    cells = Cells()
    cells.objects = (Object(1, "a", parent=2), Object(2, "b"), Object(3, "c"), Object(9, "d"))
    with pytest.warns(UserWarning, match="parents of a are left out"):
        assert track_graph(cells).graph == {}


def test_without_its_package_geff_is_refused_with_the_command(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "geff", None)
    with pytest.raises(FormatError, match=r"pip install 'napari-sam2s\[geff\]'"):
        write_geff(Cells(), tmp_path, "case")
    assert not list(tmp_path.iterdir())

"""What is said of an object beside its masks, as plain data: in the JSON of ours that formats have room for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from napari_sam2s.formats.davis_layout import object_colour
from napari_sam2s.formats.foreign_files import whole
from napari_sam2s.masklets.types import Object


def facts_of_objects(objects: Iterable[Object]) -> list[dict[str, Any]]:
    """Return id, name, class, colour and parent of each object, by id."""
    return [
        {"id": o.id, "name": o.name, "class": o.class_name, "colour": list(o.colour), "parent": o.parent}
        for o in sorted(objects, key=lambda o: o.id)
    ]


def object_of_facts(facts: Mapping[str, Any]) -> Object:
    """Return the object of such facts; what is not among them is as it is by default.

    Raises
    ------
    KeyError, TypeError, ValueError
        If they are no such facts.
    """
    i = whole(facts["id"])
    colour = facts.get("colour")
    red, green, blue = object_colour(i) if colour is None else (whole(c) for c in colour)
    parent = facts.get("parent")
    return Object(
        i,
        str(facts.get("name") or f"object {i}"),
        str(facts["class"]) if facts.get("class") else None,
        (red, green, blue),
        parent=None if parent is None else whole(parent),
    )

"""Steps of undo in the words of a user: the history keeps short labels with the ids of objects."""

from __future__ import annotations

import re
from collections.abc import Mapping

WORDS = {
    "track": "the whole run of tracking",
    "prompt": "a click or box",
    "change prompts": "a change of clicks",
    "choose answer": "another answer to a click",
    "share pixels": "who has the shared pixels",
    "remove prompts": "the removal of clicks",
    "paint": "painting",
    "confirm": "confirming masks",
    "add object": "a new object",
    "remove object": "the removal of an object",
    "reorder": "the order of the objects",
    "rename": "a name",
    "set class": "a class",
    "set colour": "a colour",
    "set parent": "the mother of an object",
    "set flags": "locking or hiding",
    "add phase": "a phase",
    "import phases": "the phases of a table",
    "change phase": "a change of a phase",
    "remove phase": "the removal of a phase",
    "import": "an import of masks",
}
EDITS = {
    "absent": "marking absent",
    "copy": "copying a mask of",
    "delete": "deleting masks of",
    "split": "splitting",
    "merge": "merging",
    "move": "giving masks of",
    "share": "giving the shared pixels to",
    "swap": "swapping",
    "divide": "dividing",
}


def in_words(step: str, names: Mapping[int, str]) -> str:
    """Return what a step did, such as ``"absent 1"``, with the ``names`` of the objects by id."""
    if step in WORDS:
        return WORDS[step]
    verb, _, rest = step.partition(" ")
    text = f"{EDITS[verb]} {rest}" if verb in EDITS else step
    return re.sub(r"(?:object )?\b(\d+)\b", lambda found: names.get(int(found[1]), f"object {found[1]}"), text)

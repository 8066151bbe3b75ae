"""The checks of ``napari-sam2s doctor PROJECT``: what of a project is damaged, what can still be read, how to save it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from napari_sam2s.doctor.findings import Finding
from napari_sam2s.errors import ProjectError
from napari_sam2s.wording import counted


def examine_project(path: Path) -> Iterator[Finding]:
    """Read all of a project and yield what was found."""
    from napari_sam2s.masklets.damage import find_damage

    try:
        damage = find_damage(path)
    except ProjectError as error:
        yield Finding("project", "broken", str(error))
        return
    for problem in damage.pages:
        yield Finding("pages", "broken", " ".join(problem.split()))
    for part, text in damage.parts.items():
        yield Finding(part, "broken", text)
    if damage.lost:
        yield Finding("masks", "broken", f"cannot be read: {damage.lost_text}.", "Track or paint these frames again.")
    readable = (
        f"{counted(damage.masks, 'mask')} of {counted(len(damage.names), 'object')} on {counted(damage.frames, 'frame')} can be"
        " read"
    )
    if damage.whole:
        yield Finding("project", "ok", f"{readable}, and nothing is damaged.")
    else:
        remedy = f"napari-sam2s copy --salvage {json.dumps(path.name)} saved.sam2s"
        yield Finding("project", "warning", f"{readable}. Restore a copy from before, or save them into a new project:", remedy)

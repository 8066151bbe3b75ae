"""Which pictures of a folder are no longer those that a project was made for."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any

from napari_sam2s.wording import counted

FILE_SYSTEM_NS = 2_000_000_000  # to which some round times of change
NAMED = 3  # in a sentence
Pictures = Mapping[str, tuple[int, int]]  # size in bytes and time of change in ns, by name


def packed(pictures: Pictures | None) -> bytes | None:
    """Return a listing as it is kept in a project."""
    return None if pictures is None else zlib.compress(json.dumps(dict(pictures)).encode())


def unpacked(content: Any) -> Pictures | None:
    """Return a listing that was kept; ``None`` where there is none."""
    return {k: (v[0], v[1]) for k, v in json.loads(zlib.decompress(content)).items()} if content else None


def changed_pictures(before: Pictures, now: Pictures) -> list[str]:
    """Return the names of pictures that came, went or changed; none for a copy, in which all times differ and no size."""
    other = [name for name in now if name not in before] + [name for name in before if name not in now]
    common = [name for name in before if name in now]
    resized = [name for name in common if before[name][0] != now[name][0]]
    steps = {name: abs(before[name][1] - now[name][1]) for name in common if before[name][1] != now[name][1]}
    copied = not other and not resized and (len(steps) == len(common) > 1 or max(steps.values(), default=0) < FILE_SYSTEM_NS)
    return [] if copied else sorted({*other, *resized, *steps})


def sentence(changed: list[str], pictures: int) -> str:
    """Say which pictures changed."""
    named = ", ".join(changed[:NAMED]) + (", ..." if len(changed) > NAMED else "")
    return (
        f"{len(changed)} of {counted(pictures, 'picture')} changed since the project was made ({named}), so masks may not fit"
        " them. Put the old ones back, or accept the new ones with relink (`napari-sam2s resume --relink`)."
    )

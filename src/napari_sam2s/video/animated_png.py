"""Pictures of an animated PNG that ffmpeg draws other than the format says."""

from __future__ import annotations

import struct
from pathlib import Path

HEAD, FRAME_CONTROL = 8, b"fcTL"
CLEARED_AFTER, DRAWN_OVER = 1, 1  # APNG_DISPOSE_OP_BACKGROUND, APNG_BLEND_OP_OVER


def drawn_otherwise(path: Path) -> list[str]:
    """Warn of pictures as large as all, that are drawn over the one before and cleared afterwards.

    Ffmpeg takes them for key frames, and so leaves out what shines through them.
    """
    found, number, size = [], -1, b""
    with path.open("rb") as file:
        file.seek(HEAD)
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            data = file.read(length) if kind in (b"IHDR", FRAME_CONTROL) and length < 100 else b""
            file.seek(length - len(data) + 4, 1)
            if kind == b"IHDR":
                size = data[:8]
            elif kind == FRAME_CONTROL and len(data) == 26:
                number += 1
                if number and data[4:12] == size and tuple(data[24:26]) == (CLEARED_AFTER, DRAWN_OVER):
                    found.append(number)
    if not found:
        return []
    which = f"Frame {found[0]} is" if len(found) == 1 else f"Frames {found[0]} to {found[-1]} ({len(found)} of them) are"
    return [f"{which} black where the previous frame should show. Save the file as numbered PNG pictures and open those."]

"""What a run would cost, said before it starts. Nothing here touches Qt."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

from napari_sam2s.widgets.plan import Leg
from napari_sam2s.widgets.settings import remember, remembered

HOUR = 3600.0
MASK_BYTES = 1200  # of one object on one frame in the project, until the project itself tells
TELLING_MASKS = 50  # from which it does


@dataclass(frozen=True)
class Preflight:
    """The size of a run."""

    legs: Sequence[Leg]
    rate: float | None  # frames a second, if one was measured
    mask_bytes: float = MASK_BYTES
    free_bytes: int | None = None  # of the disk
    device: str = ""
    memory_bytes: tuple[int, int] | None = None  # taken, in all, on the device

    @property
    def frames(self) -> int:
        """Frames to visit."""
        return sum(leg.frames for leg in self.legs)

    @property
    def seconds(self) -> float | None:
        """How long it takes."""
        return self.frames / self.rate if self.rate else None

    @property
    def disk_bytes(self) -> float:
        """What the project grows by."""
        return sum(leg.frames * len(leg.objects) for leg in self.legs) * self.mask_bytes

    @property
    def every_for_an_hour(self) -> int | None:
        """Every which frame would have to be tracked for it to end within the hour; ``None`` if it does so anyway."""
        seconds = self.seconds
        return math.ceil(seconds / HOUR) if seconds is not None and seconds > HOUR else None

    def __str__(self) -> str:
        if not self.legs:
            return ""
        objects = len({i for leg in self.legs for i in leg.objects})
        parts = [f"{self.frames:,} frame{_s(self.frames)}", f"{objects} object{_s(objects)}"]
        if self.seconds is not None:
            parts.append(f"about {duration(self.seconds)} at {self.rate:.1f} frames/s")
        disk = f"{size(self.disk_bytes)} disk"
        if self.free_bytes is not None:
            disk += f" of {size(self.free_bytes)} free"
        parts.append(disk)
        if self.memory_bytes is not None:
            taken, total = self.memory_bytes
            parts.append(f"{self.device} memory {size(taken)} of {size(total)}")
        if self.every_for_an_hour is not None:
            parts.append(f"would end within the hour at every {ordinal(self.every_for_an_hour)} frame")
        return " · ".join(parts)


def measured_rate(model: str, device: str, objects: int) -> float | None:
    """Return the frames a second of an earlier run; of the nearest number of objects, if not of this one."""
    known = json.loads(str(remembered("speed", "measured", "")) or "{}").get(f"{model} on {device}", {})
    if not known:
        return None
    return float(known[min(known, key=lambda n: abs(int(n) - objects))])


def keep_rate(model: str, device: str, objects: int, rate: float) -> None:
    """Remember how fast a run was, for the next preflight."""
    known = json.loads(str(remembered("speed", "measured", "")) or "{}")
    known.setdefault(f"{model} on {device}", {})[str(objects)] = round(rate, 2)
    remember("speed", measured=json.dumps(known))


def duration(seconds: float) -> str:
    """Return a length of time in words."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def size(count: float) -> str:
    """Return a number of bytes in words."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{math.ceil(count / 1e3)} kB"


def ordinal(number: int) -> str:
    """Return 2nd, 3rd, 4th ..."""
    ending = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def _s(count: int) -> str:
    return "" if count == 1 else "s"

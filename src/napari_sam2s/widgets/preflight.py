"""What a run would cost, shown before it starts. Nothing here touches Qt."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from napari_sam2s.masklets import Project
from napari_sam2s.tracking.propagation_plan import Segment
from napari_sam2s.widgets.settings import remember, remembered

HOUR = 3600.0
SLOW = 0.95  # frames a second; below, the seconds of one frame say more
MASK_BYTES = 1200  # of one object on one frame in the project, until it has a mask to judge by
MASK_ROW_BYTES = 190  # of these, what is not the mask: scores, the index, the history (165 to 208 measured)
JUDGED_MASKS = 200
# A run keeps what the network remembers of each object, to be resumed: eight memories within some 40 tracked frames. The
# factor is for the write-ahead log, which doubles it while the project is open: the disk must have room for that.
MEMORIES, FRAMES_A_MEMORY, OF_LOG = 8, 6, 1.75
FILL_SECONDS = 0.006  # that filling one mask between two tracked frames takes; measured on a core of 2026 at 480 x 270
TOO_FULL = ", but only"  # there is less room than a run takes
JOINER = "\u2060"  # no line ends here
FEW = 3  # objects that take little longer than one
ALIKE = 2  # runs whose numbers of objects differ by less than this factor take about as long
MOST_EVERY = 250  # of a rate that is worth offering


@dataclass(frozen=True)
class Preflight:
    """The size of a run."""

    segments: Sequence[Segment]
    rate: float | None  # frames a second when every frame is tracked, if that was measured
    mask_bytes: float = MASK_BYTES
    free_bytes: int | None = None  # of the disk
    device: str = ""
    memory_bytes: tuple[int, int] | None = None  # taken, in all, on the device
    fps: float | None = None  # of the video
    object_bytes: int = 0  # that the network remembers of an object
    room_bytes: int = 0  # in the project's file

    @property
    def frames(self) -> int:
        """Frames to visit."""
        return sum(segment.frames for segment in self.segments)

    @property
    def tracked(self) -> int:
        """Frames of these that are tracked; the others are filled."""
        return sum(segment.tracked for segment in self.segments)

    @property
    def every(self) -> int:
        """The N of "track every N-th frame"."""
        return max((segment.stride for segment in self.segments), default=1)

    @property
    def seconds(self) -> float | None:
        """How long it takes."""
        return self._seconds(self.tracked) if self.rate else None

    def _seconds(self, tracked: float) -> float:
        assert self.rate
        share = 1 - tracked / self.frames if self.frames else 0.0
        return tracked / self.rate + share * self._fill_seconds

    @property
    def _fill_seconds(self) -> float:
        """How long it would take to fill every mask."""
        return FILL_SECONDS * sum(segment.frames * len(segment.objects) for segment in self.segments)

    @property
    def disk_bytes(self) -> float:
        """What the project grows by: masks, and what a run is resumed from."""
        masks = sum(segment.frames * len(segment.objects) for segment in self.segments) * self.mask_bytes
        kept = max(
            (
                len(segment.objects) * min(1 + segment.tracked / FRAMES_A_MEMORY, MEMORIES) / MEMORIES
                for segment in self.segments
            ),
            default=0.0,
        )
        return max(masks + OF_LOG * kept * self.object_bytes - self.room_bytes, masks / 10)

    @property
    def every_for_an_hour(self) -> int | None:
        """The least N of "every N-th frame" that ends within the hour; ``None`` if the run does so anyway, or never would."""
        if not self.rate or self.seconds is None or self.seconds <= HOUR:
            return None
        left = HOUR - self._fill_seconds
        if left <= 0:
            return None
        every = math.ceil((self.frames / self.rate - self._fill_seconds) / left)
        return every if self.every < every <= MOST_EVERY else None

    def __str__(self) -> str:
        return " · ".join(self._parts())

    @property
    def html(self) -> str:
        """The same, with a link whose target is the rate that it proposes."""
        parts = [escape(part).replace("/", f"{JOINER}/{JOINER}") for part in self._parts()]
        parts = [f"<b>{part}</b>" if TOO_FULL in part else part for part in parts]
        if (every := self.every_for_an_hour) is not None:
            parts[-1] = f'<a href="{every}">{parts[-1]}</a>'
        return " · ".join(parts)

    def _parts(self) -> list[str]:
        if not self.segments:
            return []
        objects = len({i for segment in self.segments for i in segment.objects})
        parts = [f"{self.frames:,} frame{_s(self.frames)}", f"{objects} object{_s(objects)}"]
        if self.tracked < self.frames:
            parts[0] += f", {self.tracked:,} of them tracked"
        if self.seconds is not None:
            rate = self.frames / max(self.seconds, 1e-9)
            lasts = f"about {duration(self.seconds)}" if self.seconds >= 1 else "less than 1 s"
            parts.append(f"{lasts} at {speed(rate)}")
        disk = f"{size(self.disk_bytes)} disk"
        if self.free_bytes is not None:
            disk += (
                f" of {size(self.free_bytes)} free"
                if self.disk_bytes <= self.free_bytes
                else f"{TOO_FULL} {size(self.free_bytes)} free"
            )
        parts.append(disk)
        if self.memory_bytes is not None:
            taken, total = self.memory_bytes
            parts.append(f"{self.device} memory {size(taken)} of {size(total)}")
        if (every := self.every_for_an_hour) is not None:
            rate_words = f" ({self.fps / every:.2g} a second)" if self.fps else ""
            parts.append(f"would end within the hour at every {ordinal(every)} frame{rate_words}")
        return parts


def mask_bytes(project: Project) -> float:
    """Return what a mask takes in a project's file, by those that are there."""
    sql = f"SELECT avg(length(counts)) FROM (SELECT counts FROM masks WHERE area > 0 LIMIT {JUDGED_MASKS})"
    [(mean,)] = project.store.rows(sql)
    return MASK_BYTES if mean is None else MASK_ROW_BYTES + float(mean)


def free_bytes(project: Project) -> int:
    """Return the room in a project's file, which is used before it grows."""
    return int(project.store.rows("PRAGMA freelist_count")[0][0]) * int(project.store.rows("PRAGMA page_size")[0][0])


def full_rate(rate: float, every: int, objects: int) -> float:
    """Return how fast a run would have been that tracks every frame, from one that tracked every ``every``-th.

    ``rate`` is in frames a second, filled ones counted.
    """
    fill = (1 - 1 / every) * objects * FILL_SECONDS
    each = every * max(1 / rate - fill, 0.1 / rate)  # filling was faster than thought if nothing is left
    return 1 / each


def measured_rate(setup: str, objects: int) -> float | None:
    """Return the frames a second of earlier runs; ``None`` where none had about as many objects.

    Between two numbers of objects the seconds of a frame are interpolated; beyond them, up to twice as many or half are alike,
    and of few objects one takes as long. More objects never take less time: a slower run of fewer was one on a busy machine.
    """
    kept = json.loads(str(remembered("speed", "measured", "")) or "{}").get(setup, {})
    known = {int(n): 1 / float(rate) for n, rate in kept.items() if float(rate) > 0}
    if not known or objects > max(known) * ALIKE or (objects < min(known) / ALIKE and min(known) > FEW):
        return None
    counts = sorted(known)
    seconds = np.minimum.accumulate([known[n] for n in reversed(counts)])[::-1]
    return 1 / float(np.interp(objects, counts, seconds))


def measured_rates(model: str, device: str, size: int) -> dict[int, float]:
    """Return the frames a second of earlier runs of a model on a device, exact and with float32, by number of objects.

    Only those at the input size ``size``, in pixels: a network of half that size is seven times as fast.
    """
    known = json.loads(str(remembered("speed", "measured", "")) or "{}")
    rates = known.get(setup_of({"model": model, "device": device, "image_size": size}), {})
    return {int(n): float(rate) for n, rate in rates.items()}


def keep_rate(setup: str, objects: int, rate: float) -> None:
    """Remember how fast a run was with a setup, such as "sam2s-nano on cpu at 384 px", for the next preflight."""
    known = json.loads(str(remembered("speed", "measured", "")) or "{}")
    known.setdefault(setup, {})[str(objects)] = round(rate, 2)
    remember("speed", measured=json.dumps(known))


def setup_of(facts: dict[str, object]) -> str:
    """Return in words what the speed of an engine depends on."""
    words = f"{facts.get('model', '')} on {facts.get('device', '')} at {facts.get('image_size', '')} px"
    more = [str(facts[k]) for k, usual in (("mode", "exact"), ("precision", "float32")) if facts.get(k, usual) != usual]
    return ", ".join((words, *more))


def duration(seconds: float) -> str:
    """Return a length of time in words."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def speed(rate: float) -> str:
    """Return frames a second in words; of slow ones, the seconds that a frame takes."""
    return f"{rate:.1f} frames/s" if rate >= SLOW else f"{1 / rate:.1f} s a frame"


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

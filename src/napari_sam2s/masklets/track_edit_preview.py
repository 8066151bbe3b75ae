"""A track edit as something to look at before it is done: what would change, and then doing it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.errors import ProjectError
from napari_sam2s.masklets.types import Object
from napari_sam2s.wording import counted

if TYPE_CHECKING:
    from napari_sam2s.masklets.project import Project

TrackEditKind = Literal["swap", "merge", "split", "move", "delete", "copy", "absent"]
KINDS: tuple[TrackEditKind, ...] = get_args(TrackEditKind)
PAIRED = ("swap", "merge", "move")  # those that need a second object


@dataclass(frozen=True)
class Change:
    """What a track edit would do."""

    text: str  # in words
    masks: int  # how many change hands, go or come
    lost: int  # masks that are replaced or forgotten; undo brings them back
    confirmed: int  # how many of those touched a person vouched for


@dataclass(frozen=True)
class TrackEdit:
    """One edit on the frames ``start`` to ``stop - 1`` (``None``: to the end), one step of undo.

    ``swap`` exchanges ``first`` and ``second``; ``merge`` adds the first to the second; ``move`` gives the first's masks to the
    second; ``split`` gives them to a new object; ``delete`` forgets them; ``absent`` says that the first is not there; ``copy``
    puts the first's mask of ``frame`` on the span.
    """

    kind: TrackEditKind
    first: int
    second: int | None = None
    start: int = 0
    stop: int | None = None
    frame: int | None = None  # that `copy` copies

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ProjectError(f"{self.kind!r} is not a track edit: choose one of {', '.join(KINDS)}.")
        if self.kind in PAIRED and self.second is None:
            raise ProjectError(f"To {self.kind}, choose a second object.")
        if self.kind == "copy" and self.frame is None:
            raise ProjectError("Say which frame to copy from.")

    def apply(self, project: Project) -> Object | None:
        """Do it; return the new object of a split.

        Raises
        ------
        ProjectError
            If the span or an object does not exist, or an object is locked.
        """
        first, second, start, stop = self.first, self.second, self.start, self.stop
        if self.kind == "split":
            with project.history.step(f"split {first}"):
                old = project.objects.get(first)
                new = project.add_object(f"{old.name} (split)", old.class_name)
                project.tracks.move(first, new.id, start, stop)
            return new
        if self.kind in PAIRED:
            assert second is not None
            getattr(project.tracks, self.kind)(first, second, start, stop)
        elif self.kind == "delete":
            project.tracks.delete(first, start, stop)
        elif self.kind == "absent":
            project.tracks.mark_absent(first, start, stop)
        else:
            assert self.frame is not None
            project.tracks.copy(first, self.frame, start, project.shape[0] if stop is None else stop)
        return None

    def preview(self, project: Project) -> Change:
        """Count what would change; nothing is changed.

        Raises
        ------
        ProjectError
            As for :meth:`apply`.
        """
        pair = (self.first,) if self.kind not in PAIRED or self.second is None else (self.first, self.second)
        stop = project.tracks.check_span(self.start, self.stop, *pair)
        parts = {i: project.masks.series(i).part(self.start, stop) for i in pair}
        mine, confirmed = len(parts[self.first]), int(sum(part.confirmed.sum() for part in parts.values()))
        name = project.objects.get(self.first).name
        where = f"on frames {self.start} to {stop - 1}"
        second = pair[-1]
        if self.kind == "swap":
            other = len(parts[second])
            text = f"Exchanges {_masks(mine)} of {name} and {other} of {project.objects.get(second).name} {where}."
            return Change(text, mine + other, 0, confirmed)
        if self.kind in ("merge", "move"):
            both = len(np.intersect1d(parts[self.first].frames, parts[second].frames, assume_unique=True))
            target = project.objects.get(second).name
            if self.kind == "merge":
                text = f"Adds {_masks(mine)} of {name} to {target} {where}. {_masks(both)} there become the union of two."
                return Change(text, mine, 0, confirmed)
            text = f"Gives {_masks(mine)} of {name} to {target} {where}." + _deleted(both, target)
            return Change(text, mine, both, confirmed)
        if self.kind == "split":
            return Change(f"Gives {_masks(mine)} of {name} to a new object {where}.", mine, 0, confirmed)
        if self.kind == "delete":
            return Change(f"Deletes {_masks(mine)} of {name} {where}, as if never tracked.", mine, mine, confirmed)
        length, shown = stop - self.start, int(np.count_nonzero(parts[self.first].area))
        if self.kind == "absent":
            text = f"Marks {name} as absent {where}.{_deleted(shown, name)}"
            return Change(text, length, shown, confirmed)
        if project.mask(int(self.frame or 0), self.first) is None:
            raise ProjectError(f"{name} has no mask on frame {self.frame} to copy.")
        text = f"Copies the mask of {name} on frame {self.frame} to frames {self.start} to {stop - 1}." + _deleted(mine, name)
        return Change(text, length, mine, confirmed)

    def masks_after(self, project: Project, frame: int) -> dict[int, NDArray[np.bool_]]:
        """Return ``{object id: (Y, X) bool}`` of a frame as it would be; a split's new object has the id 0."""
        masks = project.masks(frame)
        if not self.start <= frame < (project.shape[0] if self.stop is None else self.stop):
            return masks
        mine = masks.pop(self.first, None)
        if self.kind == "copy":
            mine = project.mask(int(self.frame or 0), self.first)
            return masks if mine is None else masks | {self.first: mine}
        if self.kind == "absent":
            return masks | {self.first: np.zeros(project.shape[1:], dtype=bool)}
        if self.kind == "delete":
            return masks
        target = 0 if self.kind == "split" else int(self.second or 0)
        other = masks.pop(target, None) if self.kind != "split" else None
        if self.kind == "swap":
            return masks | {i: m for i, m in ((target, mine), (self.first, other)) if m is not None}
        if mine is None or other is None or self.kind == "move":
            kept = mine if mine is not None else other
            return masks if kept is None else masks | {target: kept}
        return masks | {target: mine | other}


def _deleted(count: int, name: str) -> str:
    return f" {_masks(count)} of {name} there {'is' if count == 1 else 'are'} deleted." if count else ""


def _masks(count: int) -> str:
    return counted(count, "mask")


def draw(masks: Mapping[int, NDArray[np.bool_]], objects: Iterable[Object], picture: NDArray[Any]) -> NDArray[np.uint8]:
    """Return a picture ``(Y, X, 3)`` uint8 with the objects' masks over it; masks without an object are drawn white."""
    drawn = picture.astype(np.float32)
    known = list(objects)
    colours = {o.id: o.colour for o in known} | {0: (255, 255, 255)}
    for i in [*(o.id for o in known if o.visible), 0]:
        if i in masks:
            drawn[masks[i]] = 0.35 * drawn[masks[i]] + 0.65 * np.array(colours[i], np.float32)
    return drawn.round().astype(np.uint8)

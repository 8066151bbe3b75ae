"""Named stretches of the video, such as "dissection", and moments, such as "clip": what happens beside the objects."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from napari_sam2s.errors import ProjectError
from napari_sam2s.masklets.live_sequence import LiveSequence
from napari_sam2s.masklets.span_states import Span
from napari_sam2s.masklets.store import Store
from napari_sam2s.masklets.validation import frame_of, id_of, name_of


@dataclass(frozen=True)
class Phase:
    """Frames ``start`` to ``stop - 1`` under a name; of one that has begun and not ended, ``stop`` is ``None``."""

    id: int
    name: str
    start: int
    stop: int | None = None


class Phases(LiveSequence[Phase]):
    """The phases of a project, the earliest first. Phases of different names may overlap, those of one name do not."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def read(self) -> tuple[Phase, ...]:
        """Return the phases, the earliest first."""
        rows = self._store.rows("SELECT id, name, start, stop FROM phases ORDER BY start, id")
        return tuple(Phase(*row) for row in rows)

    @property
    def names(self) -> list[str]:
        """The names in use, that of the earliest phase first."""
        return list(dict.fromkeys(phase.name for phase in self.read()))

    def get(self, phase_id: int) -> Phase:
        """Return a phase by its id, or raise a :class:`ProjectError`."""
        wanted, known = id_of(phase_id), self.read()
        for phase in known:
            if phase.id == wanted:
                return phase
        raise ProjectError(f"There is no phase {phase_id}; there are {[phase.id for phase in known]}.")

    def open(self, name: str) -> Phase | None:
        """Return the phase of a name that has begun and not ended."""
        return next((phase for phase in self.read() if phase.name == name_of(name) and phase.stop is None), None)

    def add(self, name: str, start: int, stop: int | None = None) -> Phase:
        """Add a phase of the frames ``start`` to ``stop - 1``, one step of undo; without ``stop`` it has begun and not ended.

        Raises
        ------
        ProjectError
            If the frames are none of the video, or another phase of that name is on one of them.
        """
        return self.extend([(name, start, stop)])[0]

    def extend(self, phases: Iterable[tuple[str, int, int | None]]) -> tuple[Phase, ...]:
        """Add phases ``(name, start, stop)``, all or none, one step of undo; see :meth:`add`."""
        # Of what was undone, too: redoing brings it back under its number.
        last = "SELECT max(ifnull((SELECT max(id) FROM phases), 0), ifnull((SELECT max(id) FROM phases_changes), 0))"
        added: list[Phase] = []
        with self._store.step("add phase") as db:
            others: dict[str, list[Phase]] = {}
            for phase in self.read():
                others.setdefault(phase.name, []).append(phase)
            begin = 1 + int(db.execute(last).fetchone()[0])
            for n, (name, start, stop) in enumerate(phases, begin):
                phase = self._checked(Phase(n, name, start, stop), others.get(name, ()))
                others.setdefault(phase.name, []).append(phase)
                added.append(phase)
            self._store.touch("phases", [(phase.id,) for phase in added])
            sql = "INSERT INTO phases (id, name, start, stop) VALUES (?, ?, ?, ?)"
            db.executemany(sql, [(phase.id, phase.name, phase.start, phase.stop) for phase in added])
            self._store.note()
        return tuple(added)

    def change(self, phase_id: int, name: str, start: int, stop: int | None) -> Phase:
        """Give a phase another name or other frames, one step of undo; see :meth:`add`."""
        with self._store.step("change phase") as db:
            phase = self._checked(Phase(self.get(phase_id).id, name, start, stop), self.read())
            self._store.touch("phases", [(phase.id,)])
            sql = "UPDATE phases SET name = ?, start = ?, stop = ? WHERE id = ?"
            db.execute(sql, (phase.name, phase.start, phase.stop, phase.id))
            self._store.note()
        return phase

    def remove(self, phase_id: int) -> None:
        """Remove a phase, one step of undo."""
        with self._store.step("remove phase") as db:
            key = (self.get(phase_id).id,)
            self._store.touch("phases", [key])
            db.execute("DELETE FROM phases WHERE id = ?", key)
            self._store.note()

    def mark(self, name: str, frame: int) -> Phase:
        """Begin a phase at a frame; or end the one of that name that has begun, with this frame as its last."""
        begun = self.open(name)
        if begun is None:
            return self.add(name, frame)
        first, last = sorted((begun.start, frame_of(frame)))
        return self.change(begun.id, begun.name, first, last + 1)

    def spans(self, name: str) -> list[Span]:
        """Return where the phases of a name are, over all of the video.

        "present" on their frames, "absent" behind the beginning of one that has not ended, else "unseen".
        """
        frames = self._store.shape[0]
        edges: list[tuple[int, int, bool]] = []
        phases = [phase for phase in self.read() if phase.name == name and phase.start < frames]
        for phase, after in pairwise([*phases, None]):
            assert phase is not None
            if phase.stop is not None:
                edges.append((phase.start, min(phase.stop, frames), True))
                continue
            edges.append((phase.start, phase.start + 1, True))
            edges.append((phase.start + 1, frames if after is None else after.start, False))
        found: list[Span] = []
        end = 0
        for start, stop, sure in edges:
            found += [Span(end, start, "unseen")] if start > end else []
            found += [Span(start, stop, "present" if sure else "absent")] if stop > start else []
            end = max(end, stop)
        return [*found, Span(end, frames, "unseen")] if end < frames else found

    def _checked(self, phase: Phase, others: Iterable[Phase]) -> Phase:
        """Return a phase as it is kept beside others, or raise a :class:`ProjectError`."""
        frames, name, start = self._store.shape[0], name_of(phase.name), frame_of(phase.start)
        stop = None if phase.stop is None else frame_of(phase.stop)
        if not 0 <= start < frames or (stop is not None and not start < stop <= frames):
            there = f"{start} on" if stop is None else f"{start} to {stop - 1}"
            raise ProjectError(f"A phase from frame {there} does not lie in the video, whose frames are 0 to {frames - 1}.")
        for other in others:
            if other.name != name or other.id == phase.id:
                continue
            both_open = phase.stop is None and other.stop is None
            if both_open or (_stop(other) > start and _stop(Phase(phase.id, name, start, stop)) > other.start):
                raise ProjectError(
                    f"Another {name!r} is on frames {_words(other)}: end the new one earlier, or change the other one."
                )
        return Phase(phase.id, name, start, stop)


def _stop(phase: Phase) -> int:
    return phase.start + 1 if phase.stop is None else phase.stop


def _words(phase: Phase) -> str:
    return f"{phase.start} on" if phase.stop is None else f"{phase.start} to {phase.stop - 1}"

"""What comes after a click: doubts about the answer, other answers to choose from, and objects that it covers as well."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_sam2s.masklets import Prompt
from napari_sam2s.masklets.overlaps import covered, iou, without
from napari_sam2s.masklets.span_states import UNSURE_ANSWER
from napari_sam2s.tracking.candidates import SAME, Candidate
from napari_sam2s.widgets.keys import Keys
from napari_sam2s.widgets.project_worker import ProjectWorker
from napari_sam2s.widgets.session import Session

if TYPE_CHECKING:
    from napari_sam2s.masklets import Project

SIZES = {1: ("the only answer",), 2: ("whole", "part"), 3: ("whole", "part", "finer part")}  # the largest first
FIRST = "first"  # the answer on show, where it is none of the others: that to a box is made in another way
MOST = 0.7  # of a picture; a click beside the cells gives all that is between them
MOST_ANSWERS = max(SIZES) + 1


@dataclass
class Offer:
    """The answers that a click may have on a frame of an object, and which of them is shown."""

    object_id: int
    frame: int
    answers: list[Candidate]  # the largest first, after the first answer if that is none of them
    shown: int
    with_first: bool = False
    said: tuple[Prompt, ...] = ()  # the clicks and the box that they are answers to

    def names(self) -> list[str]:
        """Return what each answer is called, with the IoU that the model predicts for it."""
        names = (FIRST,) * self.with_first + SIZES[len(self.answers) - self.with_first]
        return [f"{name} {answer.iou:.2f}" for name, answer in zip(names, self.answers, strict=True)]

    def describe(self) -> str:
        """Return all of them in a line, the one on show in brackets."""
        words = self.names()
        words[self.shown] = f"[{words[self.shown]}]"
        return " · ".join(words)


class ClickAnswers(QObject):
    """Says what is doubtful about the answer to a click, and does what the user wants instead."""

    offered = Signal(object)  # the Offer that there is to choose from, or None any more

    def __init__(self, session: Session, keys: Keys, parent: QObject) -> None:
        super().__init__(parent)
        self._session, self._keys = session, keys
        self._offer: Offer | None = None
        self._choosing = 0  # so many of the prompts that are answered next are choices of ours
        self._presses: dict[tuple[int, int], int] = {}  # of the key, for an object and frame whose answers are on their way
        self._shares: list[tuple[int, int, int]] = []  # frame, object, another that it covers; not decided yet, the newest last
        self.elsewhere: Callable[[Literal["take", "give", "keep"]], bool] = lambda _: False  # whether the review has a question
        self._done: dict[int, str] = {}  # what became of the pixels of an object, to be said once they are written
        keys.add("other_answer", "D", "another answer to the click: whole, part, finer part", self.next_answer)
        keys.add("take_shared", "T", "give the shared pixels to this object", self.take)
        keys.add("give_shared", "Shift-T", "give the shared pixels to the other object", self.give)
        keys.add("keep_shared", "O", "leave the shared pixels to both objects", self.keep)
        session.reword = self.with_what_was_said
        session.opened.connect(self._watch)
        session.moved.connect(self._look)
        session.changed.connect(self._look)

    def _look(self) -> None:
        """Offer nothing where another frame or object is on show."""
        session, offer = self._session, self._offer
        here = offer is not None and (offer.frame, offer.object_id) == (session.frame, session.current_object)
        if here and not session.tracking and not self._choosing:
            offer = self._offer = self._as_undone(offer)
        self.offered.emit(offer if here and not session.tracking else None)

    def _as_undone(self, offer: Offer | None) -> Offer | None:
        """Mark the answer that is on show: undo and redo go from one to another, or to before the click."""
        project = self._session.project
        now = None if project is None or offer is None else self._on_show(project, offer.frame, offer.object_id)
        if offer is None or now is None:
            return None
        offer.shown = int(np.argmax([iou(now.mask, answer.mask) for answer in offer.answers]))
        return offer

    def _watch(self, worker: ProjectWorker) -> None:
        self._offer = None
        self._shares, self._done = [], {}
        self._failed()
        self._look()
        worker.offered.connect(self._offered)
        worker.failed.connect(self._failed)
        worker.lost.connect(self._failed)

    def _failed(self, message: str = "") -> None:
        self._choosing = 0
        self._presses.clear()

    # What is said after a click

    def say(self, frame: int, object_id: int) -> str:
        """Return what is doubtful about the answer that an object has on a frame, with keys; "" if nothing is."""
        project = self._session.project
        if project is None:
            return ""
        if object_id not in self._done:  # what was just decided asks nothing new
            self._note_shares(project, frame, object_id)
        if not self._choosing:
            self._offer = None
        elif self._offer is not None:
            self._choosing -= 1
            told = f"{self._offer.describe()} (predicted IoU). {self._keys.key('other_answer')} shows the next."
            return f"{told} {self._question(project, frame)}".rstrip()
        done = self._done.pop(object_id, "")
        doubts = done, self._unsure(project, frame, object_id), self._question(project, frame)
        return " ".join(doubt for doubt in doubts if doubt)

    def asks(self, frame: int, object_id: int) -> bool:
        """Return whether there is a click or a box on a frame of an object, which may have other answers."""
        project = self._session.project
        return project is not None and any(p.mask is None for p in project.prompts(object_id, frame))

    def _unsure(self, project: Project, frame: int, object_id: int) -> str:
        entry = next((e for e in project.masks.entries(frame) if e.object_id == object_id), None)
        if entry is None or entry.origin != "prompted":  # painted masks are the user's own
            return ""
        where_it_is = any(p.box is not None or 1 in p.labels for p in project.prompts(object_id, frame))
        if entry.mask.area == 0 and where_it_is:
            return "The model found no object here. Click again, draw a box, or paint the mask."
        if entry.mask.area > MOST * project.shape[1] * project.shape[2]:
            return f"This is most of the picture. If it is the background, {self._keys.key('undo')} takes it back."
        if entry.mask.area and entry.scores is not None and entry.scores.iou < UNSURE_ANSWER:
            other = f"{self._keys.key('other_answer')}: another answer. Or click" if where_it_is else "Click"
            return f"The model is unsure (predicted IoU {entry.scores.iou:.2f}). {other} where it is wrong."
        return ""

    # Overlaps that are not decided yet

    def _note_shares(self, project: Project, frame: int, object_id: int) -> None:
        """Note which others the answer covers. Rapid marking leaves no time to decide: what was noted before waits."""
        shares = covered(project.masks(frame), object_id)
        pairs = [(frame, object_id, other) for other in shares]
        again = {*pairs, *((frame, other, object_id) for other in shares)}  # the other saw this one already
        kept = [p for p in self._shares if p[:2] != (frame, object_id) and p not in again] if self._session.rapid else []
        self._shares = kept + pairs

    def _open(self, project: Project, frame: int) -> list[tuple[int, int, int]]:
        """Return what is to be decided on a frame, without what undo, painting or the other answers have settled."""
        mine = {i for t, i, _ in self._shares if t == frame}
        masks = project.masks(frame) if mine else {}
        now = {i: covered(masks, i) for i in mine}
        self._shares = [p for p in self._shares if p[0] != frame or p[2] in now[p[1]]]
        return [p for p in self._shares if p[0] == frame]

    def _question(self, project: Project, frame: int) -> str:
        pairs = self._open(project, frame)
        if not pairs:
            return ""
        mine = pairs[-1][1]
        names, key = {o.id: o.name for o in project.objects}, self._keys.key
        waiting = len({i for _, i, _ in pairs}) - 1
        others = " and ".join(names[other] for _, i, other in pairs if i == mine)
        return (
            f"{names[mine]} also covers {others}. Who gets the shared pixels? {key('take_shared')}: {names[mine]}, "
            f"{key('give_shared')}: {others}, {key('keep_shared')}: both."
            + (f" {waiting} more to decide after this." if waiting else "")
        )

    # Other answers

    def next_answer(self) -> None:
        """Show the next of the answers that the click may have."""
        session = self._session
        project, worker, offer = session.project, session.worker, self._offer
        if project is None or worker is None:
            return
        frame, object_id = session.frame, session.current_object
        if offer is not None and (offer.frame, offer.object_id) == (frame, object_id):
            self._choose(offer, (offer.shown + 1) % len(offer.answers))
            return
        if not self.asks(frame, object_id):
            session.tell("Click the object on this frame first. Then this key shows other answers.")
        elif session.tracking:
            session.tell(f"Pause the run first ({self._keys.key('track')}).")
        elif (object_id, frame) in self._presses:
            self._presses[object_id, frame] += 1
        else:
            self._presses[object_id, frame] = 1
            worker.candidates(object_id, frame)

    def _offered(self, object_id: int, frame: int, answers: list[Candidate]) -> None:
        project, presses = self._session.project, self._presses.pop((object_id, frame), 1)
        if project is None:
            return
        answers = sorted(answers, key=lambda a: -np.count_nonzero(a.mask))[: max(SIZES)]
        now = self._on_show(project, frame, object_id)
        alike = [0.0 if now is None else iou(now.mask, a.mask) for a in answers]
        first = [now] if now is not None and answers and max(alike) < SAME else []
        if len(answers) + len(first) < 2:
            self._session.tell("The model has no other answer to this click. Click again where the mask is wrong.")
            return
        shown = 0 if first else int(np.argmax(alike))
        said = tuple(p for p in project.prompts(object_id, frame) if p.mask is None)
        self._offer = Offer(object_id, frame, first + answers, shown, bool(first), said)
        self._choose(self._offer, (shown + presses) % len(self._offer.answers))

    @staticmethod
    def _on_show(project: Project, frame: int, object_id: int) -> Candidate | None:
        entry = next((e for e in project.masks.entries(frame) if e.object_id == object_id and e.mask.area), None)
        mask = None if entry is None else project.mask(frame, object_id)
        if entry is None or mask is None:
            return None
        return Candidate(mask, entry.scores.iou if entry.scores is not None else 0.0)

    def choose(self, n: int) -> None:
        """Take one of the answers that are offered, by its place in the list."""
        if self._offer is not None:
            self._choose(self._offer, n)

    def _choose(self, offer: Offer, n: int) -> None:
        worker = self._session.worker
        if worker is None or self._session.refuse_locked(offer.object_id):
            return
        offer.shown = n
        self._choosing += 1
        worker.prompt(Prompt(offer.object_id, offer.frame, mask=offer.answers[n].mask), reset=True)

    def with_what_was_said(self, prompt: Prompt) -> Prompt:
        """Add to a click that corrects an answer which was chosen here the clicks and the box that led to the answer."""
        project, offer = self._session.project, self._offer
        if project is None or offer is None or (offer.object_id, offer.frame) != (prompt.object_id, prompt.frame):
            return prompt
        known = project.prompts(prompt.object_id, prompt.frame)
        mask = known[0].mask if len(known) == 1 and prompt.mask is None else None
        if mask is None or not np.array_equal(mask, offer.answers[offer.shown].mask):
            return prompt  # the choice was undone, or something else was said since
        said = (*offer.said, prompt)
        points, labels = sum((p.points for p in said), ()), sum((p.labels for p in said), ())
        return replace(prompt, points=points, labels=labels, box=next((p.box for p in reversed(said) if p.box), None))

    # What two objects cover

    def take(self) -> None:
        """Take the pixels that both claim from the other objects."""
        if (shares := self._asked("take")) is not None:
            frame, mine, others = shares
            for other in others:
                if self._leave(frame, other, mine):
                    self._shares.remove((frame, mine, other))

    def give(self) -> None:
        """Leave the pixels that both claim to the other objects."""
        if (shares := self._asked("give")) is not None and self._leave(shares[0], shares[1], *shares[2]):
            self._settle(*shares)

    def keep(self) -> None:
        """Leave them to both: the lower one in the table is shown."""
        if (shares := self._asked("keep")) is not None and (project := self._session.project) is not None:
            self._settle(*shares)
            then = self._question(project, shares[0]) or f"Press {self._keys.key('track')} to track from here."
            self._session.tell(f"Both keep what they cover. {then}")

    def _settle(self, frame: int, mine: int, others: tuple[int, ...]) -> None:
        for other in others:
            self._shares.remove((frame, mine, other))

    def _asked(self, decision: Literal["take", "give", "keep"]) -> tuple[int, int, tuple[int, ...]] | None:
        """Return what the status line asks: the frame on show, the newest object there that covers others, and those."""
        project, frame = self._session.project, self._session.frame
        pairs = [] if project is None else self._open(project, frame)
        if pairs:
            return frame, pairs[-1][1], tuple(other for _, i, other in pairs if i == pairs[-1][1])
        if self.elsewhere(decision):
            return None
        if self._shares:
            self._session.tell(f"There is nothing to decide here. Frame {self._shares[-1][0]} has objects that overlap.")
        else:
            self._session.tell("There is nothing to decide. This key works after a click that covers another object.")
        return None

    def _leave(self, frame: int, loser: int, *winners: int) -> bool:
        """Take from an object what others cover; return whether something of it is left, or else nothing is done."""
        session = self._session
        assert session.project is not None
        masks = session.project.masks(frame)
        names = {o.id: o.name for o in session.project.objects}
        if loser not in masks or not (left := without(masks, loser, *winners)).any():
            undo = self._keys.key("undo")
            session.tell(f"{names[loser]} would have no pixels left. Remove that object, or undo the click ({undo}).")
            return False
        self._done[loser] = f"{names[loser]} gives the shared pixels to {' and '.join(names[i] for i in winners)}."
        session.replace_prompts(loser, frame, (Prompt(loser, frame, mask=left),), "share pixels")
        return True

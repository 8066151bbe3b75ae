"""What can be done by key: bound in the viewer, listed in the help, changed in napari's preferences."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from html import escape
from itertools import groupby
from typing import TYPE_CHECKING, Any

from napari_sam2s.widgets.notifications import show_warning
from napari_sam2s.widgets.settings import section

if TYPE_CHECKING:
    import napari


DIGITS = "0123456789"
SAVED_AS = {"resume": "go_on"}  # settings that keep the name under which users saved their keys


@dataclass(frozen=True)
class Action:
    """Something the user can do."""

    name: str  # also of the setting that changes its key, see ``keys`` in napari.yaml
    key: str  # unless it was changed, as napari writes it: "Shift-U"
    title: str  # in the help: "undo the last step"
    run: Callable[[], Any]


class Keys:
    """The actions of one widget and their keys in one viewer.

    Panels add theirs with :meth:`add`. A key that the viewer cannot take is left out with a warning.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        self.actions: dict[str, Action] = {}
        self.viewer = viewer
        self._bound: set[str] = set()
        self._settings = section("keys")
        if self._settings is not None:
            self._settings.events.connect(self.bind)

    def add(self, name: str, key: str, title: str, run: Callable[[], Any]) -> None:
        """Add an action, and bind its key at once."""
        self.actions[name] = Action(name, key, title, run)
        self._bind(self.actions[name])

    def key(self, name: str) -> str:
        """Return the key of an action: the user's own, else the default."""
        chosen = getattr(self._settings, SAVED_AS.get(name, name), "")
        return str(chosen or self.actions[name].key)

    def bind(self, event: Any = None) -> None:
        """Bind all keys anew, as after a change of the preferences."""
        self.unbind()
        for action in self.actions.values():
            self._bind(action)

    def _bind(self, action: Action) -> None:
        key = self.key(action.name)
        if key in self._bound:
            show_warning(f"SAM2S: {key} belongs to two actions. '{action.title}' has no key now.")
            return
        try:
            self.viewer.bind_key(key, lambda _: action.run(), overwrite=True)
        except (ValueError, TypeError, KeyError) as error:
            show_warning(f"SAM2S: {key!r} is not a key for '{action.title}' ({error}). Change it in the preferences.")
            return
        self._bound.add(key)

    def unbind(self) -> None:
        """Let go of all keys."""
        for key in self._bound:
            self.viewer.bind_key(key, None)
        self._bound.clear()

    def close(self) -> None:
        """Let go of the viewer and the settings."""
        self.unbind()
        if self._settings is not None:
            self._settings.events.disconnect(self.bind)

    def help(self, before: Iterable[tuple[str, str]] = ()) -> str:
        """Return the keys as an HTML table; other things that one can do, and what they do, come ``before``."""
        first = [_row(what, says) for what, says in before]
        gap = ["<tr><td>&nbsp;</td></tr>"] if first else []
        rows = [_row(what, says) for what, says in self._listed()]
        return f"<table>{''.join(first + gap + rows)}</table>"

    def _listed(self) -> Iterator[tuple[str, str]]:
        """Yield keys and what they do; numbered actions with keys numbered alike, such as classes, are one line."""
        for family, members in groupby(self.actions.values(), lambda action: action.name.rstrip(DIGITS)):
            alike = list(members)
            keys = [self.key(action.name) for action in alike]
            numbers = [action.name.removeprefix(family) for action in alike]
            if len(alike) > 1 and all(key.endswith(n) for key, n in zip(keys, numbers, strict=True)):
                yield f"{keys[0]} to {keys[-1]}", alike[0].title.replace(numbers[0], f"{numbers[0]} to {numbers[-1]}")
            else:
                yield from ((key, action.title) for key, action in zip(keys, alike, strict=True))


def _row(what: str, says: str) -> str:
    return f"<tr><td><b>{escape(what)}</b>&nbsp;&nbsp;&nbsp;</td><td>{escape(says)}</td></tr>"

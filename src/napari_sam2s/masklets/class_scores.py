"""Probabilities of classes as a project keeps them: 16-bit numbers after the id of their list of names."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np

from napari_sam2s.errors import ProjectError
from napari_sam2s.masklets.store import Store
from napari_sam2s.masklets.validation import quoted

ONE = 65535


class ClassScores:
    """Packs and unpacks them, and knows the lists of names."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lists: dict[str, int] = {}
        self._names: dict[int, list[str]] = {}
        store.when_forgotten.append(self._forget)  # a list that was new in what did not happen

    def _forget(self) -> None:
        self._lists.clear()
        self._names.clear()

    def pack(self, scores: Mapping[str, float] | None) -> bytes | None:
        """Pack probabilities by name, inside a transaction; without any there is nothing to keep."""
        if scores is None:
            return None
        if not isinstance(scores, Mapping):
            raise ProjectError(f"Probabilities of classes are given by name, as in {{'grasper': 0.9}}; got {scores!r}.")
        if not scores:
            return None
        for name, value in scores.items():
            if not isinstance(name, str) or not isinstance(value, int | float | np.number) or not -1e9 < value < 1e9:
                raise ProjectError(f"Probabilities of classes are numbers by name; got {name!r}: {value!r}.")
        names = json.dumps(list(scores))
        if names not in self._lists:
            self._store.db.execute("INSERT OR IGNORE INTO class_lists (names) VALUES (?)", (names,))
            row = self._store.db.execute("SELECT id FROM class_lists WHERE names = ?", (names,)).fetchone()
            self._lists[names] = int(row[0])
        return np.array(
            [self._lists[names], *(round(min(max(float(v), 0.0), 1.0) * ONE) for v in scores.values())], "<u2"
        ).tobytes()

    def unpack(self, packed: bytes | None) -> dict[str, float]:
        """Return probabilities by name. Raises :class:`ProjectError` if they are damaged, or their list of names is missing."""
        if packed is None:
            return {}
        try:
            which, *values = np.frombuffer(packed, "<u2").tolist()
            if which not in self._names:
                rows = self._store.rows("SELECT id, names FROM class_lists")
                self._names.update({row[0]: json.loads(row[1]) for row in rows})
            return {name: round(v / ONE, 4) for name, v in zip(self._names[which], values, strict=True)}
        except (ValueError, KeyError, TypeError) as error:
            name = self._store.path.name
            raise ProjectError(
                f"{name} is damaged (probabilities of classes): `napari-sam2s doctor {quoted(name)}` says what can be "
                "saved, and how."
            ) from error

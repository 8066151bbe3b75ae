"""Gives each parameter its own entry in the API's pages, where a docstring describes several in one: each has its own type."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Function

SEVERAL = re.compile(r"^(?P<names>\w+(?:, \w+)+)\n(?P<text>(?: {4}.*\n?)+)", re.MULTILINE)


def _apart(found: re.Match[str]) -> str:
    text = found["text"] if found["text"].endswith("\n") else found["text"] + "\n"
    return "".join(f"{name}\n{text}" for name in found["names"].split(", "))


class OneLineEach(Extension):
    """What mkdocstrings calls."""

    def on_function(self, *, func: Function, **_: Any) -> None:
        """Take the entries of a docstring apart."""
        if func.docstring is not None:
            func.docstring.value = SEVERAL.sub(_apart, func.docstring.value)

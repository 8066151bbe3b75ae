"""The models that there are, as data: one table, ``model_registry.toml``, that menus, commands and pages are made from."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True)
class Licence:
    """Under which terms weights may be used."""

    title: str
    forbids: str = ""  # what it does not allow, in a sentence or two
    url: str = ""

    @property
    def short(self) -> str:
        """Its title, and whether it forbids something."""
        return self.title + (" (restricted)" if self.forbids else "")


@dataclass(frozen=True)
class ModelFamily:
    """Networks of one kind, by one group of authors."""

    name: str
    title: str
    network: str  # what computes it: "sam2", "edgetam" ...
    loads: bool  # whether this version can
    card: str  # its page, under docs/models/
    citation: str
    signs: tuple[str, ...] = ()  # beginnings of the names of tensors that only this family has


@dataclass(frozen=True)
class ModelEntry:
    """One published file of weights."""

    name: str
    family: ModelFamily
    file: str  # as its publisher calls it
    url: str  # "" where it is to be fetched by hand, from `page`
    licence: Licence
    input_size: int  # that it was trained at, in pixels
    bytes: int = 0  # 0: not known
    about_mb: int = 0
    sha256: str = ""  # "": not pinned
    shape: str = ""  # a network whose trunk it must have, where no hash is known
    page: str = ""
    parameters: str = ""
    purpose: str = ""
    measured: str = ""  # where, by us; "": nowhere
    built_in: bool = False

    @property
    def megabytes(self) -> int:
        """Its size, rounded; 0 if it is not known."""
        return round(self.bytes / 1e6) or self.about_mb

    @property
    def pinned(self) -> bool:
        """Whether this package knows the SHA-256 that the file must have."""
        return bool(self.sha256)


@cache
def _tables() -> tuple[dict[str, ModelFamily], dict[str, ModelEntry]]:
    table: dict[str, Any] = tomllib.loads((files("napari_sam2s.model") / "model_registry.toml").read_text(encoding="utf-8"))
    licences = {name: Licence(**facts) for name, facts in table["licence"].items()}
    families = {name: ModelFamily(name, **{**f, "signs": tuple(f["signs"])}) for name, f in table["family"].items()}
    entries = {
        row["name"]: ModelEntry(**{**row, "family": families[row["family"]], "licence": licences[row["licence"]]})
        for row in table["model"]
    }
    return families, entries


def families() -> dict[str, ModelFamily]:
    """Return every family by its name."""
    return _tables()[0]


def registry() -> dict[str, ModelEntry]:
    """Return every known model by its name, in the table's order; also those that this version cannot load."""
    return _tables()[1]


def loadable() -> dict[str, ModelEntry]:
    """Return the models that this version can load."""
    return {name: entry for name, entry in registry().items() if entry.family.loads}


def entry_of_hash(sha256: str) -> ModelEntry | None:
    """Return the published file that has this SHA-256, under whatever name it lies on the disk."""
    return next((entry for entry in registry().values() if entry.pinned and entry.sha256 == sha256), None)


def markdown_table() -> str:
    """Return the loadable models as the table of ``docs/reference/models.md``."""
    lines = [
        "| name | parameters | input | licence | what for | file | measured by us |",
        "|---|---|---|---|---|---|---|",
    ]
    for entry in loadable().values():
        size = f"{entry.megabytes} MB" if entry.bytes else f"about {entry.megabytes} MB"
        if entry.built_in:
            how = "built in"
        elif entry.url:
            how = f"{size}{'' if entry.pinned else ', not pinned'}"
        else:
            how = f"by hand from [its page]({entry.page}); {size}"
        measured = entry.measured or "nothing"
        cells = [
            *(
                f"`{entry.name}`",
                entry.parameters or "?",
                str(entry.input_size),
                entry.licence.short,
                entry.purpose,
                how,
                measured,
            ),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(markdown_table())  # noqa: T201 - for docs/reference/models.md

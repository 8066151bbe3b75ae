"""What checks found, as text and as JSON, without personal paths."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Literal

from napari_sam2s import __version__
from napari_sam2s.doctor.personal_paths import FOLDER, without_personal_paths

Verdict = Literal["ok", "warning", "broken"]


INSTALLATION_VERDICTS: Mapping[Verdict, str] = {
    "ok": "Everything works.",
    "warning": "Everything works, with the limits above.",
    "broken": "Something is broken. Follow the arrows above, then run this again.",
}
PROJECT_VERDICTS: Mapping[Verdict, str] = {
    "ok": "The project is whole.",
    "warning": "The project is whole, with the limits above.",
    "broken": "The project is damaged. Nothing in the file was changed.",
}


SHORTENED = f"{FOLDER} stands for the folders of a path. `napari-sam2s doctor --paths` shows them. Do not publish that text."
LEAST_COLUMNS = 20  # for what was found, however narrow the window is


@dataclass(frozen=True)
class Finding:
    """What one check found."""

    part: str
    verdict: Verdict
    found: str  # a sentence or a list of facts
    remedy: str = ""  # what to do, with the exact command


def as_text(
    findings: Iterable[Finding],
    sentences: Mapping[Verdict, str] = INSTALLATION_VERDICTS,
    columns: int = 100_000,
    *,
    paths: bool = False,
) -> str:
    """Return the findings as lines for a person, or for an issue; ``sentences`` end them, by the worst verdict.

    What is longer than ``columns`` goes on below its own beginning. Personal paths are shortened unless ``paths`` is true.
    """
    findings = list(findings) if paths else _public(findings)
    width = max((len(f.part) for f in findings), default=0)
    lines, indent = [f"napari-sam2s {__version__}", ""], " " * (8 + 1 + width + 2)
    fill = partial(textwrap.fill, width=max(columns, len(indent) + LEAST_COLUMNS), break_on_hyphens=False)
    for f in findings:
        lines.append(fill(f.found, initial_indent=f"{f.verdict:8} {f.part:{width}}  ", subsequent_indent=indent))
        if f.remedy:
            lines.append(fill(f.remedy, initial_indent=f"{indent}-> ", subsequent_indent=f"{indent}   "))
    end = sentences[worst(findings)]
    if not paths and any(FOLDER in f.found + f.remedy for f in findings):
        end += f"\n{SHORTENED}"
    return "\n".join([*lines, "", end])


def as_json(findings: Iterable[Finding], *, paths: bool = False) -> str:
    """Return the findings for a script: ``{"version", "verdict", "findings": [{"part", "verdict", "found", "remedy"}]}``."""
    findings = list(findings) if paths else _public(findings)
    whole = {"version": __version__, "verdict": worst(findings), "findings": [asdict(f) for f in findings]}
    return json.dumps(whole, indent=1)


def _public(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings whose personal paths are shortened; before lines are broken, so that none is broken in two."""
    short = without_personal_paths
    return [replace(f, found=short(f.found), remedy=short(f.remedy)) for f in findings]


def worst(findings: Iterable[Finding]) -> Verdict:
    """Return the worst verdict among the findings."""
    verdicts = {f.verdict for f in findings}
    return "broken" if "broken" in verdicts else "warning" if "warning" in verdicts else "ok"

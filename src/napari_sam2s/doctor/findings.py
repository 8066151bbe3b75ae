"""What checks found, as text and as JSON, without personal paths."""

from __future__ import annotations

import getpass
import json
import re
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from napari_sam2s import __version__

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


LEAST_COLUMNS = 20  # for what was found, however narrow the window is


@dataclass(frozen=True)
class Finding:
    """What one check found."""

    part: str
    verdict: Verdict
    found: str  # a sentence or a list of facts
    remedy: str = ""  # what to do, with the exact command


def as_text(
    findings: Iterable[Finding], sentences: Mapping[Verdict, str] = INSTALLATION_VERDICTS, columns: int = 100_000
) -> str:
    """Return the findings as lines for a person, or for an issue; ``sentences`` end them, by the worst verdict.

    What is longer than ``columns`` goes on below its own beginning.
    """
    findings = list(findings)
    width = max((len(f.part) for f in findings), default=0)
    lines, indent = [f"napari-sam2s {__version__}", ""], " " * (8 + 1 + width + 2)
    fill = partial(textwrap.fill, width=max(columns, len(indent) + LEAST_COLUMNS), break_on_hyphens=False)
    for f in findings:
        lines.append(fill(f.found, initial_indent=f"{f.verdict:8} {f.part:{width}}  ", subsequent_indent=indent))
        if f.remedy:
            lines.append(fill(f.remedy, initial_indent=f"{indent}-> ", subsequent_indent=f"{indent}   "))
    return anonymous("\n".join([*lines, "", sentences[worst(findings)]]))


def as_json(findings: Iterable[Finding]) -> str:
    """Return the findings for a script: ``{"version", "verdict", "findings": [{"part", "verdict", "found", "remedy"}]}``."""
    findings = list(findings)
    whole = {"version": __version__, "verdict": worst(findings), "findings": [asdict(f) for f in findings]}
    return anonymous(json.dumps(whole, indent=1))


def worst(findings: Iterable[Finding]) -> Verdict:
    """Return the worst verdict among the findings."""
    verdicts = {f.verdict for f in findings}
    return "broken" if "broken" in verdicts else "warning" if "warning" in verdicts else "ok"


def anonymous(text: str) -> str:
    """Return text without the home folder and the user's name."""
    home = str(Path.home())
    if len(home) > 1:
        text = text.replace(home, "~").replace(json.dumps(home)[1:-1], "~")
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container without an entry for its user
        return text
    return re.sub(rf"(?<=[/\\]){re.escape(user)}(?=[/\\]|\b)", "USER", text) if user else text

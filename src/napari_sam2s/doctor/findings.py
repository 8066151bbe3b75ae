"""What checks found, as text and as JSON, without personal paths."""

from __future__ import annotations

import getpass
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
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


@dataclass(frozen=True)
class Finding:
    """What one check found."""

    part: str
    verdict: Verdict
    found: str  # a sentence or a list of facts
    remedy: str = ""  # what to do, with the exact command


def as_text(findings: Iterable[Finding], sentences: Mapping[Verdict, str] = INSTALLATION_VERDICTS) -> str:
    """Return the findings as lines for a person, or for an issue; ``sentences`` end them, by the worst verdict."""
    findings = list(findings)
    width = max((len(f.part) for f in findings), default=0)
    lines = [f"napari-sam2s {__version__}", ""]
    for f in findings:
        lines.append(f"{f.verdict:8} {f.part:{width}}  {f.found}")
        if f.remedy:
            lines.append(f"{'':8} {'':{width}}  -> {f.remedy}")
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

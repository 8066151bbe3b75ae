"""What MkDocs writes into pages from the code itself: the command line, the keys, the formats and the settings."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
ROLE = re.compile(r":(?:class|func|meth|mod|attr|data|exc):<code>~?(?:[\w.]*\.)?(\w+)</code>")
PLACE = re.compile(r"<!-- from the code: ([\w-]+) -->")


def _row(*cells: object) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _configurations() -> dict[str, Any]:
    manifest = yaml.safe_load((ROOT / "napari.yaml").read_text(encoding="utf-8"))
    return manifest["contributions"]["configurations"]


def command_line() -> str:
    """Return a section a command: its description and its ``--help``."""
    from napari_sam2s.cli import build_parser

    parser = build_parser()
    commands = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    short = {choice.dest: choice.help or "" for choice in commands._choices_actions}
    parts = []
    for name, command in commands.choices.items():
        command.formatter_class = lambda prog: argparse.HelpFormatter(prog, width=74, max_help_position=24)
        parts += [f"## {name}", short[name][:1].upper() + short[name][1:] + ".", f"```text\n{command.format_help()}```"]
    return "\n\n".join(parts)


def keys() -> str:
    """Return the table of keys."""
    rows = [_row(f"`{fact['default']}`", fact["title"]) for fact in _configurations()["keys"]["properties"].values()]
    return "\n".join([_row("key", "what it does"), "|---|---|", *rows])


def settings() -> str:
    """Return the table of napari's preferences for this plugin, keys apart."""
    lines = [_row("section", "setting", "values", "default"), "|---|---|---|---|"]
    for name, section in _configurations().items():
        for fact in section["properties"].values() if name != "keys" else ():
            title = fact["title"] + (f". {fact['description']}." if "description" in fact else "")
            values = ", ".join(map(str, fact["enum"])) if "enum" in fact else fact["type"]
            default = f"`{fact['default']}`" if fact["default"] != "" else "empty"
            lines.append(_row(section["title"], title, values, default))
    return "\n".join(lines)


def formats() -> str:
    """Return the table of formats."""
    from napari_sam2s.formats import FORMATS

    rows = [_row(f"`{name}`", form.title, form.tip, "yes" if form.read else "no") for name, form in FORMATS.items()]
    return "\n".join([_row("name", "title", "what is written", "read"), "|---|---|---|---|", *rows])


MAKERS: dict[str, Callable[[], str]] = {
    "command-line": command_line,
    "formats": formats,
    "keys": keys,
    "settings": settings,
}


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Fill the places of a page (called by MkDocs)."""
    return PLACE.sub(lambda place: MAKERS[place.group(1)](), markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Show the names that docstrings mark as Sphinx does (called by MkDocs)."""
    return ROLE.sub(r"<code>\1</code>", html)

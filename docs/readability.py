"""Find what is hard to read: long sentences, private words, long pages. Prints them, and exits with 1 if there are any.

    python docs/readability.py              all pages, their lengths, and what the program says
    python docs/readability.py FILE ...     these Markdown or Python files

What the program says is read from the source: all strings of several words, so tooltips, messages, help texts and errors.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
LONGEST = 30  # words in a sentence
PAGE = 1200  # words on a page, code apart
FENCE = re.compile(r"^```.*?^```$|<!--.*?-->", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
CODE = re.compile(r"`[^`]+`")
ENDS = re.compile(r"(?<=[.!?])[\"')]*\s+")
BLOCK = re.compile(r"\n\s*\n|\n\s*(?:[-*]|\d+\.)\s|\||^#+ ", re.MULTILINE)
PRIVATE = re.compile(r"gone on with|every which|wants? eyes|is told\b|are told of|goes on so\b", re.IGNORECASE)

SQL = r"\b(SELECT|INSERT|UPDATE|CREATE|DELETE|FROM|PRAGMA)\b"
LIST = r"^\s*\w+(,\s+[\w\s]+){9}"
NOT_SPOKEN = re.compile(rf"{SQL}|{LIST}|^\s*[<({{@]|^\s*import ")  # nor HTML, patterns, code
COMMAND = re.compile(r"\bffmpeg \S*-.*", re.DOTALL)  # to be copied, not read


def sentences(text: str) -> Iterator[str]:
    """Yield the sentences of Markdown; list items, table cells and headings end one too."""
    text = FENCE.sub("\n\n", text)
    text = COMMAND.sub("code", CODE.sub("code", LINK.sub(r"\1", text)))
    for block in BLOCK.split(text):
        yield from (part for part in ENDS.split(" ".join(block.split())) if part)


def _string(node: ast.AST) -> str | None:
    """Return what a string or f-string says; what is filled in counts as one word."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "0" for part in node.values)
    return None


def spoken(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and text of what a module may say to a user: its strings of several words, docstrings and SQL apart."""
    tree = ast.parse(source)
    passed = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            passed |= {id(part) for part in node.values}
        text = None if id(node) in passed else _string(node)
        if text and text.count(" ") > 3 and not NOT_SPOKEN.search(text):
            yield node.lineno, text


def complaints(name: str, text: str) -> Iterator[str]:
    """Yield what is hard to read in a text."""
    for sentence in sentences(text):
        count = len(re.findall(r"[\w%][^\s]*", sentence))
        if count > LONGEST:
            yield f"{name}: {count} words: {sentence}"
        for word in PRIVATE.findall(sentence):
            yield f"{name}: say it otherwise ({word}): {sentence}"


def of_file(path: Path) -> Iterator[str]:
    """Yield what is hard to read in a Markdown or Python file."""
    text, name = path.read_text(encoding="utf-8"), path.resolve().relative_to(ROOT) if ROOT in path.resolve().parents else path
    if path.suffix == ".md":
        yield from complaints(str(name), text)
    else:
        for line, words in spoken(text):
            yield from complaints(f"{name}:{line}", words)


def long_pages() -> Iterator[str]:
    """Yield pages of the site that are too long; a history is read by its end."""
    for page in sorted((ROOT / "docs").rglob("*.md")):
        count = len(FENCE.sub("", page.read_text(encoding="utf-8")).split())
        if count > PAGE and page.name != "history.md":
            yield f"{page.relative_to(ROOT)}: {count} words, the limit is {PAGE}"


def main(names: list[str]) -> int:
    """Print what is hard to read; return the exit code."""
    if names:
        found = [complaint for name in names for complaint in of_file(Path(name))]
    else:
        heads = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")]
        pages = [*heads, *sorted((ROOT / "docs").rglob("*.md"))]
        source = sorted((ROOT / "src").rglob("*.py"))
        found = [complaint for path in (*pages, *source) for complaint in of_file(path)] + list(long_pages())
    for complaint in found:
        sys.stdout.write(f"{complaint}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

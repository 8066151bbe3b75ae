"""How large the package is, folder by folder: ``python research/count_lines.py``, from anywhere.

A function's lines are those from its ``def`` on, without its docstring.
"""

from __future__ import annotations

import ast
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "napari_sam2s"
BEFORE = 30_612  # lines in all before the package was rebuilt as one house


def longest_function(path: Path) -> tuple[int, str]:
    """Return the lines of the longest function of a file, and its name; ``(0, "")`` if there is none."""
    found = [(0, "")]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
            doc = node.body[0] if ast.get_docstring(node) is not None else None
            unseen = 0 if doc is None or doc.end_lineno is None else doc.end_lineno - doc.lineno + 1
            found.append((node.end_lineno - node.lineno + 1 - unseen, f"{path.stem}.{node.name}"))
    return max(found)


def count(source: Path = SOURCE) -> dict[str, dict[Path, int]]:
    """Return the lines of every file, by folder."""
    folders: dict[str, dict[Path, int]] = {}
    for path in sorted(source.rglob("*.py")):
        folder = str(path.parent.relative_to(source)).replace(".", "(top)", 1)
        folders.setdefault(folder, {})[path] = len(path.read_text(encoding="utf-8").splitlines())
    return folders


def main(source: Path = SOURCE) -> None:
    """Print a table."""
    folders = count(source)
    print(f"{'folder':20} {'files':>5} {'lines':>6}  {'longest file':32} longest function")
    for folder, files in folders.items():
        file = max(files, key=lambda path: files[path])
        lines, function = max(longest_function(path) for path in files)
        print(f"{folder:20} {len(files):5} {sum(files.values()):6}  {file.name:26} {files[file]:5} {function} {lines or ''}")
    total, number = sum(sum(files.values()) for files in folders.values()), sum(map(len, folders.values()))
    print(f"{'all':20} {number:5} {total:6}  {total - BEFORE:+} lines since there were {BEFORE}")


if __name__ == "__main__":
    main()

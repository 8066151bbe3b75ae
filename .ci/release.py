"""Say whether a tag may be published: tag, version, changelog, citation and recipe agree, and nothing is left to fill in.

    python .ci/release.py v0.1.0 [--dist dist/] [--notes notes.md]

Prints each disagreement and exits with 1 if there are any. ``--dist`` also compares the version of the built files;
``--notes`` writes the section of the changelog, for the release on GitHub.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
TAG = re.compile(r"v(\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?)")


def section(changelog: str, version: str) -> tuple[str, str] | None:
    """Return the date and the text of a version's section, or None."""
    found = re.search(rf"^## \[{re.escape(version)}\] - (.+?)\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL)
    return (found[1].strip(), found[2].strip()) if found else None


def disagreements(tag: str, root: Path = ROOT, dist: Path | None = None) -> list[str]:
    """Return what speaks against publishing a tag."""
    if not (match := TAG.fullmatch(tag)):
        return [f"The tag {tag!r} is not of the form v1.2.3."]
    version, wrong = match[1], []
    found = section((root / "CHANGELOG.md").read_text(encoding="utf-8"), version)
    citation = (root / "CITATION.cff").read_text(encoding="utf-8")
    if found is None:
        wrong.append(f"CHANGELOG.md has no section '## [{version}] - YYYY-MM-DD'.")
    elif not re.fullmatch(r"\d{4}-\d\d-\d\d", found[0]):
        wrong.append(f"The date of {version} in CHANGELOG.md is {found[0]!r}, not of the form 2026-12-01.")
    elif f'date-released: "{found[0]}"' not in citation:
        wrong.append(f"CITATION.cff has another date than CHANGELOG.md ({found[0]}).")
    if found is not None and len(found[1].split()) < 20:
        wrong.append(f"The section of {version} in CHANGELOG.md says next to nothing.")
    if f"\nversion: {version}\n" not in citation:
        wrong.append(f"CITATION.cff has another version than the tag ({version}).")
    if f'  version: "{version}"\n' not in (root / "packaging" / "recipe.yaml").read_text(encoding="utf-8"):
        wrong.append(f"packaging/recipe.yaml has another version than the tag ({version}).")
    for name in ("CITATION.cff", "SECURITY.md"):
        left = (root / name).read_text(encoding="utf-8").count("FILL IN")
        wrong += [f"{name} has {left} place{'s' * (left != 1)} marked FILL IN."] if left else []
    if dist is not None:
        built = {re.split(r"-", path.name.removesuffix(".tar.gz"))[1] for path in dist.iterdir()}
        wrong += [f"The built files are of version {', '.join(sorted(built))}, not {version}."] if built != {version} else []
    return wrong


def main(arguments: list[str] | None = None) -> int:
    """Print what disagrees; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tag")
    parser.add_argument("--dist", type=Path)
    parser.add_argument("--notes", type=Path)
    args = parser.parse_args(arguments)
    wrong = disagreements(args.tag, dist=args.dist)
    for text in wrong:
        print(text)
    if not wrong and args.notes:
        args.notes.write_text(
            section((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), args.tag[1:])[1] + "\n", encoding="utf-8"
        )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

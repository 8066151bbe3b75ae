"""Look into wheel and sdist: contents, size, metadata, links. Prints what is wrong, and exits with 1 if anything is.

python .ci/check_distributions.py dist/
"""

from __future__ import annotations

import re
import sys
import tarfile
import zipfile
from email import message_from_string
from email.message import Message
from pathlib import Path

LARGEST = 25_000_000  # bytes of either file; the built-in model is the most of it
IN_WHEEL = (
    "napari_sam2s/__init__.py",
    "napari_sam2s/py.typed",
    "napari_sam2s_manifest/napari.yaml",
    "napari_sam2s/model/weights/",
)
IN_SDIST = (
    "LICENSE",
    "NOTICE",
    "CHANGELOG.md",
    "tox.ini",
    "napari.yaml",
    "tests/test_docs.py",
    "docs/index.md",
    "pyproject.toml",
)
NEVER = re.compile(r"__pycache__|\.pyc$|\.sam2s|/\.tox/|/shared/|/runs/|/material/|\.venv|\.DS_Store|\.mp4$")
CLASSIFIERS = ("Framework :: napari", "Programming Language :: Python :: 3.11")


def of_metadata(metadata: Message) -> list[str]:
    """Return what is wrong with the metadata."""
    wrong = []
    expected = {"Name": "napari-sam2s", "License-Expression": "Apache-2.0", "Description-Content-Type": "text/markdown"}
    for field, value in expected.items():
        if metadata[field] != value:
            wrong.append(f"metadata: {field} is {metadata[field]!r}, not {value!r}")
    classifiers = metadata.get_all("Classifier") or []
    wrong += [f"metadata: no classifier {c!r}" for c in CLASSIFIERS if c not in classifiers]
    wrong += [
        f"metadata: {r!r} is a direct link, which the index refuses"
        for r in metadata.get_all("Requires-Dist") or []
        if "@" in r
    ]
    urls = [entry.split(", ", 1) for entry in metadata.get_all("Project-URL") or []]
    wrong += [
        f"metadata: no link {name!r}" for name in ("Documentation", "Issues", "Source") if name not in [u[0] for u in urls]
    ]
    wrong += [f"metadata: {url!r} is not https" for _, url in urls if not url.startswith("https://")]
    text = metadata.get_payload()
    wrong += [f"README: the link {link!r} is dead on the index" for link in re.findall(r"\]\((?!https://|#)([^)]*)\)", text)]
    wrong += [f"README: the link {link!r} is malformed" for link in re.findall(r"\]\((https://[^)]*)\)", text) if " " in link]
    return wrong


def of_wheel(path: Path) -> list[str]:
    """Return what is wrong with a wheel."""
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
        metadata = wheel.read(next(name for name in names if name.endswith(".dist-info/METADATA"))).decode()
        entries = wheel.read(next(name for name in names if name.endswith(".dist-info/entry_points.txt"))).decode()
    wrong = [f"no {wanted}" for wanted in IN_WHEEL if not any(name.startswith(wanted) for name in names)]
    allowed = re.compile(r"napari_sam2s/|napari_sam2s_manifest/|napari_sam2s-[^/]+\.dist-info/")
    wrong += [f"{name} does not belong there" for name in names if not allowed.match(name) or NEVER.search(name)]
    wrong += [f"no entry point {group}" for group in ("[console_scripts]", "[napari.manifest]") if group not in entries]
    return wrong + of_metadata(message_from_string(metadata))


def of_sdist(path: Path) -> list[str]:
    """Return what is wrong with an sdist."""
    with tarfile.open(path) as sdist:
        names = [name.split("/", 1)[1] for name in sdist.getnames() if "/" in name]
        info = sdist.extractfile(next(name for name in sdist.getnames() if re.fullmatch(r"[^/]+/PKG-INFO", name)))
        metadata = info.read().decode() if info else ""
    wrong = [f"no {wanted}" for wanted in IN_SDIST if wanted not in names]
    wrong += [f"{name} does not belong there" for name in names if NEVER.search(f"/{name}")]
    return wrong + of_metadata(message_from_string(metadata))


def main(folder: Path) -> int:
    """Print what is wrong; return the exit code."""
    wheels, sdists = sorted(folder.glob("*.whl")), sorted(folder.glob("*.tar.gz"))
    wrong = (
        [] if len(wheels) == len(sdists) == 1 else [f"{folder}: {len(wheels)} wheels and {len(sdists)} sdists, not one of each"]
    )
    for path in (*wheels, *sdists):
        size = path.stat().st_size
        found = of_wheel(path) if path.suffix == ".whl" else of_sdist(path)
        found += [f"{size} bytes, the limit is {LARGEST}"] if size > LARGEST else []
        wrong += [f"{path.name}: {text}" for text in found]
        print(f"{path.name}: {size / 1e6:.1f} MB, {len(found)} faults")
    for text in wrong:
        print(text)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

"""Every Python block of the documentation runs, in order, in one namespace a page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from napari_sam2s.formats import write_video
from napari_sam2s.synthetic.samples import demo_case

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?://|mailto:|#)([^)#\s]+)")


def _blocks(page: Path) -> list[tuple[int, str]]:
    text = page.read_text(encoding="utf-8")
    return [(text[: match.start(1)].count("\n"), match.group(1)) for match in BLOCK.finditer(text)]


@pytest.mark.parametrize("page", [page for page in PAGES if _blocks(page)], ids=lambda page: page.stem)
def test_code_in_docs_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    case = demo_case(frames=6)
    write_video((case[t] for t in range(6)), "case.mp4")  # "a video of yours"
    namespace: dict[str, object] = {"__name__": "docs"}
    for line, block in _blocks(page):
        code = compile("\n" * line + block, str(page), "exec")  # so that a traceback names the page's own line
        exec(code, namespace)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_in_docs_lead_somewhere(page):
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}, which does not exist"

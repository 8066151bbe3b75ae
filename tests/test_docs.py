"""The documentation: every Python block runs, in order, in one namespace a page; links lead somewhere; it can be read."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from napari_sam2s.formats import write_video
from napari_sam2s.synthetic.samples import demo_case

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SITE = "https://napari-sam2s.github.io/napari-sam2s/"
REPOSITORY = r"https://(?:github\.com|raw\.githubusercontent\.com)/napari-sam2s/napari-sam2s/(?:(?:blob|tree|raw)/)?main/"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?://|mailto:|#)([^)#\s]+)")


def _name(page: Path) -> str:
    return page.relative_to(ROOT).with_suffix("").as_posix()


def _blocks(page: Path) -> list[tuple[int, str]]:
    text = page.read_text(encoding="utf-8")
    return [(text[: match.start(1)].count("\n"), match.group(1)) for match in BLOCK.finditer(text)]


@pytest.fixture(scope="module")
def a_video_of_yours(tmp_path_factory) -> Path:
    case = demo_case(frames=6)
    return write_video((case[t] for t in range(6)), tmp_path_factory.mktemp("video") / "case.mp4")


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if _blocks(page)], ids=_name)
def test_code_in_docs_runs(page, tmp_path, monkeypatch, a_video_of_yours, small_input):
    monkeypatch.chdir(tmp_path)
    shutil.copy(a_video_of_yours, "case.mp4")
    namespace: dict[str, object] = {"__name__": "docs"}
    for line, block in _blocks(page):
        code = compile("\n" * line + block, str(page), "exec")  # so that a traceback names the page's own line
        exec(code, namespace)


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_in_docs_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in LINK.findall(text):
        assert (page.parent / target).exists(), f"{page.name} links to {target}, which does not exist"
    for target in re.findall(re.escape(SITE) + r"([\w/-]+?)/?(?=[)#\s])", text):
        assert (ROOT / "docs" / f"{target}.md").exists(), f"{page.name} links to {SITE}{target}, which is no page"
    for target in re.findall(REPOSITORY + r"([\w./-]+)", text):
        assert (ROOT / target).exists(), f"{page.name} links to {target} of this repository, which does not exist"


def test_links_of_the_readme_are_absolute():
    """The index and napari's hub show it without this repository around it."""
    assert not LINK.findall((ROOT / "README.md").read_text(encoding="utf-8"))


def test_pages_named_in_the_code_exist():
    for folder in ("src", "tests", "benchmarks", "research", "configs"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".py", ".toml", ".md"):
                for page in re.findall(r"\bdocs/[\w/-]{2,}\.\w+", path.read_text(encoding="utf-8")):
                    assert (ROOT / page).exists(), f"{path.relative_to(ROOT)} names {page}, which does not exist"


def _readability(*files: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "docs" / "readability.py"), *map(str, files)]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=60)


@pytest.mark.slow
def test_sentences_that_a_user_reads_are_short():
    result = _readability()
    assert result.returncode == 0, result.stdout


def test_long_sentences_are_found(tmp_path):
    text = "This is short. " + "word " * 31 + "end.\n\n```text\n" + "code " * 40 + "\n```\n"
    (tmp_path / "page.md").write_text(text, encoding="utf-8")
    (tmp_path / "module.py").write_text(f'"""{"doc " * 40}."""\nwidget.setToolTip(f"{{x}} {"tip " * 31}.")\n', encoding="utf-8")
    result = _readability(tmp_path / "page.md", tmp_path / "module.py")
    assert result.returncode == 1
    assert ["32 words" in line for line in result.stdout.splitlines()] == [True, True]

"""What is published: the agreement of tag, changelog and citation, the distributions, the forms."""

from __future__ import annotations

import importlib.util
import re
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest
import yaml

ROOT = Path(__file__).parents[1]
CHANGELOG = "# Changelog\n\n## [1.2.3] - 2026-12-01\n\n" + "- Something new.\n" * 10 + "\n## [1.2.2] - 2026-11-01\n\n- Old.\n"
CITATION = 'title: x\nversion: 1.2.3\ndate-released: "2026-12-01"\n'


def _script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / ".ci" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    (tmp_path / "CITATION.cff").write_text(CITATION)
    (tmp_path / "SECURITY.md").write_text("write to us\n")
    (tmp_path / "packaging").mkdir()
    (tmp_path / "packaging" / "recipe.yaml").write_text('context:\n  version: "1.2.3"\n')
    return tmp_path


def test_a_tag_is_published_only_where_everything_agrees(tree):
    release = _script("release")
    assert release.disagreements("v1.2.3", tree) == []
    assert "no section" in release.disagreements("v1.2.4", tree)[0]
    assert "not of the form" in release.disagreements("1.2.3", tree)[0]
    (tree / "SECURITY.md").write_text("<!-- FILL IN: an address -->\n")
    assert release.disagreements("v1.2.3", tree) == ["SECURITY.md has 1 place marked FILL IN."]
    (tree / "CITATION.cff").write_text(CITATION.replace("12-01", "12-02").replace("1.2.3", "1.2.2"))
    assert len(release.disagreements("v1.2.3", tree)) == 3
    (tree / "packaging" / "recipe.yaml").write_text('context:\n  version: "1.2.2"\n')
    assert "recipe.yaml has another version" in "\n".join(release.disagreements("v1.2.3", tree))
    assert release.section(CHANGELOG, "1.2.3")[1].startswith("- Something new.")
    assert "Old" not in release.section(CHANGELOG, "1.2.3")[1]


def test_this_tree_is_published_once_a_person_has_filled_it_in(tree):
    """Nothing is asked for that is known only after the release, such as its DOI."""
    for name in ("CITATION.cff", "SECURITY.md", "CHANGELOG.md", "packaging/recipe.yaml"):
        text = (ROOT / name).read_text(encoding="utf-8")
        text = re.sub(r'"[\d-]+" # FILL IN: the day of the tag', '"2026-12-01"', text).replace("DATE OF THE TAG", "2026-12-01")
        (tree / name).write_text(re.sub(r"(<!--| #) FILL IN.*", "", text))
    version = re.search(r"^version: (.+)$", (tree / "CITATION.cff").read_text(), re.MULTILINE)[1]
    assert _script("release").disagreements(f"v{version}", tree) == []


def test_built_files_of_another_version_are_not_published(tree):
    dist = tree / "dist"
    dist.mkdir()
    for name in ("napari_sam2s-1.2.3-py3-none-any.whl", "napari_sam2s-1.2.3.tar.gz"):
        (dist / name).touch()
    release = _script("release")
    assert release.disagreements("v1.2.3", tree, dist) == []
    (dist / "napari_sam2s-1.2.3.tar.gz").rename(dist / "napari_sam2s-1.2.4.dev1+g0.tar.gz")
    assert "1.2.3, 1.2.4.dev1" in release.disagreements("v1.2.3", tree, dist)[0]


def test_what_does_not_belong_into_a_wheel_is_found(tmp_path):
    path = tmp_path / "napari_sam2s-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("napari_sam2s/__init__.py", "")
        wheel.writestr("tests/test_docs.py", "")
        wheel.writestr("napari_sam2s-1.dist-info/entry_points.txt", "[console_scripts]\n")
        wheel.writestr("napari_sam2s-1.dist-info/METADATA", "Name: napari-sam2s\nRequires-Dist: a @ git+x\n\n[a](pages/a.md)\n")
    wrong = "\n".join(_script("check_distributions").of_wheel(path))
    for word in (
        "tests/test_docs.py does not belong",
        "no napari_sam2s/py.typed",
        "[napari.manifest]",
        "direct link",
        "pages/a.md",
    ):
        assert word in wrong


def test_forms_and_workflows_can_be_read():
    files = [*(ROOT / ".github").rglob("*.yml"), ROOT / "packaging" / "recipe.yaml", ROOT / "CITATION.cff", ROOT / "mkdocs.yml"]
    assert len(files) >= 8
    assert all(yaml.safe_load(path.read_text(encoding="utf-8")) for path in files)
    publish = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8"))["jobs"]["publish"]
    assert set(publish["needs"]) == {"tests", "build"}
    assert publish["permissions"] == {"id-token": "write"}

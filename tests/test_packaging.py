"""The Dockerfile and the conda recipe: what they name is there, and they say what pyproject.toml says."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
DOCKERFILE = (ROOT / "packaging" / "Dockerfile").read_text(encoding="utf-8")
RECIPE = yaml.safe_load((ROOT / "packaging" / "recipe.yaml").read_text(encoding="utf-8"))
CONDA_NAMES = {"torch": "pytorch", "dask": "dask-core"}


def _as_conda(requirement: str) -> str:
    name, version = re.fullmatch(r"([\w-]+)(?:\[.*\])?(.*)", requirement).groups()
    return f"{CONDA_NAMES.get(name, name)} {version.strip()}"


def test_the_recipe_wants_what_the_package_wants():
    run, host = RECIPE["requirements"]["run"], RECIPE["requirements"]["host"]
    assert sorted(run[1:]) == sorted(map(_as_conda, PROJECT["project"]["dependencies"]))
    assert run[0] == "python >=${{ python_min }}"
    assert host == ["python ${{ python_min }}.*", "pip", *map(_as_conda, PROJECT["build-system"]["requires"])]
    assert RECIPE["context"]["python_min"] == PROJECT["project"]["requires-python"].removeprefix(">=")


def test_the_recipe_says_of_the_package_what_pyproject_says():
    project, about = PROJECT["project"], RECIPE["about"]
    assert RECIPE["build"]["python"]["entry_points"] == [f"{name} = {where}" for name, where in project["scripts"].items()]
    assert (about["summary"], about["license"]) == (project["description"], project["license"])
    assert about["license_file"] == project["license-files"]
    assert (about["homepage"], about["repository"]) == (project["urls"]["Documentation"], project["urls"]["Source"])


def _instructions() -> list[tuple[str, str]]:
    """Return the Dockerfile's instructions, each with what follows it on one line."""
    text = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE))
    return [tuple(line.split(maxsplit=1)) for line in text.splitlines() if line]


def test_what_the_image_copies_and_installs_is_there():
    copies = [words.split() for name, words in _instructions() if name == "COPY"]
    assert copies == [[".", "/source"], ["--from=build", "/opt/sam2s", "/opt/sam2s"]]
    runs = "\n".join(words for name, words in _instructions() if name == "RUN")
    for path in re.findall(r"/source/(\S+)", runs):
        assert (ROOT / path).exists(), path
    pythons = {words.split()[0] for name, words in _instructions() if name == "FROM"}
    (version,) = {re.fullmatch(r"python:(3\.\d+)-slim", python)[1] for python in pythons}
    assert f"Programming Language :: Python :: {version}" in PROJECT["project"]["classifiers"]


def _ignored(name: str) -> set[str]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return {line.removeprefix("**/").strip("/") for line in lines if line and not line.startswith("#")}


def test_the_image_lacks_nothing_that_is_committed():
    """Else the version would be that of a changed tree."""
    assert _ignored(".dockerignore") <= _ignored(".gitignore")


def _commands_of_the_header() -> list[list[str]]:
    text = re.sub(r" \\\n# +", " ", DOCKERFILE.split("\nFROM", 1)[0])
    return [shlex.split(line[1:]) for line in text.splitlines() if line.startswith("#   docker")]


def test_the_commands_that_the_dockerfile_names_are_right():
    from distributed.cli.dask_worker import main

    from napari_sam2s.cli import build_parser

    build, track, worker = _commands_of_the_header()
    assert (ROOT / build[build.index("-f") + 1]).exists()
    arguments = build_parser("track").parse_args(track[track.index("napari-sam2s") + 1 :])
    assert (arguments.video, arguments.out) == ("case.mp4", Path("case.sam2s"))
    known = {option for parameter in main.params for option in (*parameter.opts, *parameter.secondary_opts)}
    given = worker[worker.index("worker") + 1 :]
    assert given[0].startswith("tls://")
    assert {word for word in given if word.startswith("--")} <= known


@pytest.mark.parametrize("variable", ["SAM2S_MODEL_DIR", "SAM2S_CACHE_DIR"])
def test_any_user_may_write_where_the_image_keeps_things(variable, monkeypatch):
    from napari_sam2s.model.downloads import weights_folder
    from napari_sam2s.video.frame_index import cache_folder

    (environment,) = [dict(word.split("=", 1) for word in words.split()) for name, words in _instructions() if name == "ENV"]
    monkeypatch.setenv(variable, environment[variable])
    folder = {"SAM2S_MODEL_DIR": weights_folder, "SAM2S_CACHE_DIR": cache_folder}[variable]()
    assert folder.is_relative_to(environment[variable])
    assert environment[variable].startswith("/tmp/") or f"chmod 1777 {environment[variable]}" in DOCKERFILE

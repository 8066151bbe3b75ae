"""The benchmark command: subsets found, videos tracked and scored, resumed, and the paper's table."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_sam2s.cli import main
from napari_sam2s.evaluation.benchmark_videos import find_benchmark_videos
from napari_sam2s.formats import write_davis
from napari_sam2s.synthetic.laparoscopy import Laparoscopy

FRAMES = 7
SMALL = ("--image-size", "128")  # the model's own 384 takes nine times as long
pytestmark = pytest.mark.usefixtures("small_input")


def write_recording(root, name, seed, numbers, annotated=None, **options):
    """Write a drawn clip; its pictures have numbers of their own, and of some there is ground truth."""
    clip = Laparoscopy(seed, len(numbers), (96, 128), classes=("grasper",), organ="liver", absences=0, **options)
    (root / "JPEGImages" / name).mkdir(parents=True)
    for t, number in enumerate(numbers):
        Image.fromarray(clip[t]).save(root / "JPEGImages" / name / f"{number:05d}.jpg", quality=95)

    class Truth:
        objects, shape = clip.objects, clip.shape
        frames = tuple(n for n in numbers if annotated is None or n in annotated)

        @staticmethod
        def masks(number):
            masks = dict(clip.masks(numbers.index(number)))
            if number == numbers[0] and seed % 2:
                masks[2] = np.zeros_like(masks[2])  # the organ comes late
            return masks

    write_davis(Truth, root, name)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write_recording(root / "cis test", "VID14", 31, list(range(0, 25 * FRAMES, 25)))
    write_recording(root / "polyps" / "PolypGen", "seq1", 32, list(range(1, FRAMES + 1)), annotated=(1, 4, 6, 7))
    write_recording(root / "mine", "a", 33, list(range(FRAMES)))
    write_recording(root / "CIS-Train", "VID01", 34, [0, 1, 2])
    (root / "CIS-Train" / "meta.json").write_text('{"split": "train", "videos": {}}')
    return root


def run(capsys, *words):
    code = main(["benchmark", *map(str, words)])
    out = capsys.readouterr()
    return code, out.out, out.err


def test_subsets_are_found_by_the_papers_names(data):
    found = find_benchmark_videos(data)
    assert [(r.subset, r.name) for r in found] == [("CIS-Test", "VID14"), ("PolypGen", "seq1"), ("mine", "a")]
    assert [r.subset for r in find_benchmark_videos(data, ["polypgen"])] == ["PolypGen"]
    assert [r.subset for r in find_benchmark_videos(data, ["CIS-Train"])] == ["CIS-Train"]


@pytest.mark.slow
def test_the_papers_table_with_ours(data, capsys, tmp_path):
    out = tmp_path / "out"
    code, text, _ = run(
        capsys, data, "--out", out, "--prompt", "mask", "--prompt", "1-click", "--keep-masks", "--nsd", "2", *SMALL
    )
    assert code == 0
    lines = text.splitlines()
    paper = next(line for line in lines if line.startswith("| SAM2S, fine-tuned | 512 | 83.76"))
    assert paper.endswith("| 78.07 | - | Table 3 |")
    assert any(line.startswith("| SAM2S, fine-tuned | 512 | - | - | - | - | - | - | - | - | 81.52 |") for line in lines)
    ours = [line.split(" | ") for line in lines if line.startswith("| **sam2s-nano, divemem** | 128 | - | - | - | - | ")]
    assert len(ours) == 2  # one a prompt
    for row in ours:
        assert 20 < float(row[6]) <= 100  # CIS-Test
        assert row[10] == "-"  # no average of two subsets under the name of that of eight
        assert float(row[11]) > 0  # frames a second
    assert "Protocol: skip ends, missing error, void 255, late own-clip" in text
    assert "CIS-Test has 1 video here and 4 in the paper" in text
    result = json.loads((out / "sam2s-nano-128-divemem-mask" / "CIS-Test" / "VID14.json").read_text())
    assert result["prompted_on"] == {"1": 0, "2": 25}
    assert result["frames"] == FRAMES
    scores = {o["object_id"]: o for o in result["evaluation"]["objects"]}
    assert (scores[1]["frames"], scores[2]["frames"]) == (FRAMES - 2, FRAMES - 3)  # without its prompt and the last
    sparse = json.loads((out / "sam2s-nano-128-divemem-mask" / "PolypGen" / "seq1.json").read_text())
    assert sparse["frames"] == FRAMES
    assert [t for t, *_ in sparse["evaluation"]["frames"][0]["scores"]] == [4, 6]
    report = (out / "sam2s-nano-128-divemem-mask" / "report" / "report.md").read_text()
    assert "## CIS-Test/VID14" in report
    assert "NSD at 2 px" in report
    assert len(list((out / "sam2s-nano-128-divemem-mask" / "report" / "pictures").glob("*frame*.jpg"))) > 3
    _resumes(data, capsys, out)


def _resumes(data, capsys, out):
    results = sorted(p for p in out.glob("*/*/*.json") if p.parent.name != "report")
    assert len(results) == 6
    gone, kept = results[0], {p: p.stat().st_mtime_ns for p in results[1:]}
    gone.unlink()
    words = [data, "--out", out, "--prompt", "mask", "--prompt", "1-click", "--keep-masks", "--nsd", "2", *SMALL]
    code, text, _ = run(capsys, *words, "--json")
    assert code == 0
    assert gone.is_file()
    assert {p: p.stat().st_mtime_ns for p in results[1:]} == kept
    rows = json.loads(text)
    assert [r["prompt"] for r in rows] == ["mask", "1-click"]
    assert set(rows[0]["subsets"]) == {"CIS-Test", "PolypGen", "mine"}
    code, _, err = run(capsys, *words, "--skip", "none")
    assert code == 2
    assert "was made with another protocol" in err
    assert not list(out.rglob("*.part"))


def test_a_video_that_fails_does_not_stop_the_others(data, capsys, tmp_path):
    root = tmp_path / "data"
    write_recording(root / "one", "good", 35, [0, 1, 2])
    write_recording(root / "one", "empty", 36, [0, 1, 2])
    for path in (root / "one" / "Annotations" / "empty").glob("*.png"):
        Image.fromarray(np.zeros((96, 128), np.uint8)).save(path)
    code, text, err = run(capsys, root, "--out", tmp_path / "out", "--prompt", "box", "--skip", "none")
    assert code == 2
    assert "one/empty (sam2s-nano-divemem-box): The ground truth shows no object" in err
    assert "**sam2s-nano, divemem**" in text
    (good,) = (tmp_path / "out").rglob("good.json")
    old = json.loads(good.read_text().replace("one/good", "one/empty"))
    old["settings"]["model_hash"], old["evaluation"]["objects"][0]["j"] = "of other weights", 0.0
    good.with_name("empty.json").write_text(json.dumps(old))
    code, again, err = run(capsys, root, "--out", tmp_path / "out", "--prompt", "box", "--skip", "none", "--again")
    assert (code, "one/empty" in err) == (2, True)
    assert again == text  # the result of other weights is not in it
    report = (tmp_path / "out").rglob("report.md")
    assert all("empty" not in page.read_text() for page in report)
    assert good.with_name("empty.json").is_file()


def test_on_a_cluster(data, capsys, tmp_path):
    from distributed import LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0") as cluster:
        words = ["--subset", "mine", "--prompt", "mask", "--out", tmp_path / "out", "--scheduler", cluster.scheduler_address]
        code, text, _ = run(capsys, data, *words)
    assert code == 0
    assert "| model | size | mine | average | fps | source |" in text


@pytest.mark.long
def test_processes_give_the_same_scores(data, capsys, tmp_path):
    pages = []
    for n in (1, 2):
        assert run(capsys, data, "--prompt", "mask", "--out", tmp_path / str(n), "--processes", n)[0] == 0
        results = sorted(p for p in (tmp_path / str(n)).glob("*/*/*.json") if p.parent.name != "report")
        pages.append([json.loads(p.read_text())["evaluation"] for p in results])
    assert pages[0] == pages[1]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["/no/such"], "no folder /no/such"),
        (["{new}"], "holds no subset to test on"),
        (["{data}", "--subset", "RARP50"], "no subset 'RARP50'"),
        (["{data}", "--out", "{data}/results"], "is scored"),
        (["{data}", "--processes", "0"], "at least one"),
        (["{data}", "--model", "sam9", "--out", "{new}/out"], "no model 'sam9'"),
        (["{data}", "--scheduler", "tcp://127.0.0.1:9", "--subset", "mine", "--out", "{new}/out"], "No dask scheduler answers"),
    ],
)
def test_bad_input(data, capsys, tmp_path, monkeypatch, words, sentence):
    monkeypatch.setattr("napari_sam2s.batching.benchmark_work.SCHEDULER_SECONDS", 0.5)
    code, out, err = run(capsys, *(w.format(data=data, new=tmp_path) for w in words))
    assert code == 2
    assert sentence in err
    assert "Traceback" not in err
    assert not out


@pytest.mark.slow
def test_the_synthetic_benchmark_puts_its_table_into_the_docs(tmp_path, monkeypatch, capsys):
    path = Path(__file__).parents[2] / "benchmarks" / "synthetic_sasv.py"
    spec = importlib.util.spec_from_file_location("synthetic_sasv", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    clips = script.cases()
    assert clips.keys() == {"Syn-Stay", "Syn-Return", "Syn-Alike"}
    for clip in (*clips["Syn-Return"], *clips["Syn-Alike"]):
        assert any(not clip.visible(o.id).all() for o in clip.objects), f"{clip.name}: nothing leaves"
    page = tmp_path / "page.md"
    page.write_text(f"before\n{script.BEGIN}\nold\n{script.END}\nafter\n")
    tiny = Laparoscopy(script.SEED, 4, (64, 96), classes=("hook",), organ=None, absences=0)
    monkeypatch.setattr(script, "PAGE", page)
    monkeypatch.setattr(script, "cases", lambda: {"Syn-Stay": [tiny]})
    monkeypatch.setattr("sys.argv", ["synthetic_sasv.py", "--docs"])
    assert script.main() == 0
    text = page.read_text()
    assert text.startswith(f"before\n{script.BEGIN}\n\n### 1-click")
    assert text.endswith(f"{script.END}\nafter\n")
    assert "old" not in text
    assert text.count("sam2s-nano, vanilla") == text.count("sam2s-nano, divemem") == 4
    assert "Protocol: " in text

"""Kill what works at random moments, as a power cut or the system would, and see that nothing is lost.

python benchmarks/kills.py [--track 40] [--export 20] [--convert 20] [--train 20] [--benchmark 20] [--import 10] [--batch 10]
    [--seed 0] [--way plain]

``track`` is killed (SIGKILL, its whole process group) when it has committed a random number of masks, every fourth time in
the moments after its project appears. Then the project must be sound, no mask that was committed may be lost or other than in
an uninterrupted run, and ``resume`` (or, before a run has begun, the same command again) must come to the masks of the
uninterrupted run. ``export``, ``convert``, ``train``, ``benchmark``, ``import`` and ``batch`` must leave nothing under a final
name that is not whole, and come to the same files when they are started again. The exit code is the number of kills after which
something was wrong. Linux and macOS.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sqlite3
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
warnings.simplefilter("ignore")

import numpy as np  # noqa: E402
import torch  # noqa: E402
from _killing import Bench, renamed, tree_of  # noqa: E402
from PIL import Image  # noqa: E402

from napari_sam2s.formats import FORMATS, write_video  # noqa: E402
from napari_sam2s.masklets import Project  # noqa: E402
from napari_sam2s.masklets.damage import find_damage  # noqa: E402

FRAMES, HEIGHT, WIDTH = 24, 120, 160
WAYS: dict[str, list[str]] = {
    "plain": [],
    "rate": ["--rate", "5"],
    "both": ["--direction", "both", "--start", "12"],
    "both at a rate": ["--direction", "both", "--start", "12", "--rate", "5"],
    "many": [],
}
TRAINING = """
model = "sam2s-nano"
seed = 3
image_size = 64
max_objects = 1
weight_decay = 0.05
clip_gradient = 1.0
warmup_steps = 2
ema = 0.9
loss_stride = 1
[families]
recorded = 1.0
[validation]
every = 2
cases = 1
families = ["recorded"]
[[stages]]
name = "only"
steps = 6
frames = 1
batch = 1
learning_rate = 1e-3
"""


def make_video(path: Path) -> None:
    """Write two squares that move over noise."""
    rng = np.random.default_rng(3)
    ground = np.kron(rng.integers(60, 180, (HEIGHT // 8, WIDTH // 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)

    def frames():
        for t in range(FRAMES):
            picture = ground.copy()
            picture[25:60, 20 + t : 45 + t] = (220, 60, 40)
            picture[70:95, 120 - t : 145 - t] = (40, 90, 230)
            yield picture

    write_video(frames(), path)


def prompts(way: str) -> list[str]:
    """Return the options that prompt the two squares, and of ``many`` four places more."""
    t = 12 if "both" in way else 0
    words = ["--box", f"{t},25,{20 + t},60,{45 + t},1", "--box", f"{t},70,{120 - t},95,{145 - t},2"]
    if way == "many":
        for i in range(3, 7):
            words += ["--box", f"0,{12 * i},{20 * i},{12 * i + 20},{20 * i + 20},{i}"]
    return words


def masks_of(path: Path) -> dict[tuple[int, int], bytes]:
    """Return all masks of a project."""
    with Project.open(path) as project:
        return {(t, i): mask.tobytes() for t in project.frames for i, mask in project.masks(t).items()}


def committed(path: Path) -> int:
    """Return how many masks another process has committed so far."""
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=1)) as db:
            return int(db.execute("SELECT count(*) FROM masks").fetchone()[0])
    except sqlite3.Error:  # there is no file yet
        return 0


def kill_track(bench: Bench, video: Path, kills: int, ways: Sequence[str]) -> None:
    """Kill ``track`` in several ways, by turns."""
    whole = {}
    for way in ways:
        began = time.monotonic()
        out = bench.folder / f"whole {way}.sam2s"
        code = bench.run("track", video, *prompts(way), *WAYS[way], "--image-size", 128, "--out", out)
        assert code == 0, bench.said()
        whole[way] = masks_of(out)
        print(f"track, {way}: {len(whole[way])} masks in {time.monotonic() - began:.1f} s when nothing is killed", flush=True)
    for n in range(kills):
        way, path = ways[n % len(ways)], bench.folder / f"{n}.sam2s"
        words = ("track", video, *prompts(way), *WAYS[way], "--image-size", 128, "--out", path)
        child = bench.start(*words)
        if n // len(ways) % 4 == 0:  # around the beginning of the run
            while not path.exists() and not child.over():
                time.sleep(0.001)
            time.sleep(bench.random.uniform(0, 0.4))
        else:
            goal = bench.random.randrange(1, len(whole[way]))  # not a time: the machine may be busy
            while committed(path) < goal and not child.over():
                time.sleep(0.002)
            time.sleep(bench.random.uniform(0, 0.05))
        ended = child.over()
        child.kill()
        bench.note(f"track, {way}", *after_kill(bench, path, words, whole[way], ended=ended))


def after_kill(
    bench: Bench, path: Path, words: Sequence[object], whole: dict[tuple[int, int], bytes], *, ended: bool
) -> tuple[list[str], str]:
    """Resume a project; return what is wrong with it, and how far it was."""
    troubles: list[str] = []
    if not path.exists():
        how, before = "no project yet", {}
    else:
        if not (damage := find_damage(path)).whole:
            troubles.append(f"damaged: {damage}")
        before = masks_of(path)
        how = "over already" if ended else "resumed in the middle" if before else "nothing committed yet"
    if any(whole.get(key) != mask for key, mask in before.items()):
        troubles.append("what was committed is not what an uninterrupted run makes")
    if before == whole:
        return troubles, "over already"  # killed on its way out
    if not ended and (not path.exists() or bench.run("resume", path) != 0):
        refused = bench.said() if path.exists() else ""
        how = "begun anew by the same command"
        if bench.run(*words) != 0:
            troubles.append(f"resume says {refused!r}, track {bench.said()!r}")
            return troubles, how
    after = masks_of(path)
    if any(after.get(key) != mask for key, mask in before.items()):
        troubles.append("committed masks are lost")
    if after != whole:
        troubles.append(f"{sum(after.get(k) != m for k, m in whole.items())} of {len(whole)} masks are other ones")
    left = [p.name for p in path.parent.glob(f"{path.name}*") if p.suffix in (".lock", ".holder") or "-" in p.suffix]
    if left:
        troubles.append(f"left behind: {left}")
    return troubles, how


def kill_export(bench: Bench, video: Path, kills: int) -> None:
    """Kill exports in every format, by turns."""
    source = bench.folder / "long.sam2s"
    frames = 400
    noise = np.random.default_rng(0).random((8, HEIGHT, WIDTH)) < 0.5

    class Long:
        shape, fps, path = (frames, HEIGHT, WIDTH, 3), 25.0, None

    pictures = np.zeros((frames, HEIGHT, WIDTH, 3), np.uint8)
    write_video(pictures, bench.folder / "long.mp4")
    from napari_sam2s.video import open_video

    with Project.create(source, open_video(bench.folder / "long.mp4")) as project:
        project.add_object()
        project.write_masks([(t, 1, noise[t % 8], None) for t in range(frames)])
    whole, seconds = {}, {}
    names = list(FORMATS)
    for name in names:
        out = bench.folder / f"whole-{name}"
        out.mkdir()
        began = time.monotonic()
        assert bench.run("export", source, target_in(out, name), "--format", name) == 0, bench.said()
        whole[name], seconds[name] = renamed(tree_of(out)), time.monotonic() - began
    for n in range(kills):
        name = names[n % len(names)]
        out = bench.folder / f"{n}-{name}"
        out.mkdir()
        words = ("export", source, target_in(out, name), "--format", name)
        child = bench.start(*words)
        time.sleep(bench.random.uniform(0, seconds[name]))
        ended = child.over()
        child.kill()
        found, troubles = renamed(tree_of(out)), []
        # Of DAVIS folders meta.json comes a moment before the pictures, which readers begin with.
        if found and found != whole[name] and not set(found) <= {"meta.json"}:
            troubles.append(f"{len(found)} of {len(whole[name])} files are there")
        if bench.run(*words) != 0 and "exists already" not in bench.said():  # of what some formats refuse to replace
            troubles.append(f"not made anew: {bench.said()}")
        if renamed(tree_of(out)) != whole[name]:
            troubles.append("other files when it is made anew")
        bench.note(f"export, {name}", troubles, "over already" if ended else "killed before its end")


def target_in(folder: Path, name: str) -> Path:
    """Return what a format is written to: a file, or the folder itself."""
    ending = FORMATS[name].file_ending
    return folder / f"masks{ending}" if ending else folder


def kill_convert(bench: Bench, kills: int) -> None:
    """Kill conversions of a made-up dataset."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "datasets"))
    from trees import TREES

    name = "endovis18"
    source = bench.folder / "source"
    TREES[name](source)
    began = time.monotonic()
    assert bench.run("convert", name, source, bench.folder / "converted") == 0, bench.said()
    seconds, whole = time.monotonic() - began, renamed(tree_of(bench.folder / "converted"))
    for n in range(kills):
        out = bench.folder / f"converted-{n}"
        child = bench.start("convert", name, source, out)
        time.sleep(bench.random.uniform(0, seconds))
        ended = child.over()
        child.kill()
        found = renamed(tree_of(out)) if out.exists() else {}
        pictures = {key for key in found if key.endswith((".png", ".jpg"))}
        half = [key for key in pictures if found[key] != whole.get(key)]
        troubles = [f"{len(half)} pictures are half or other ones"] if half else []
        if bench.run("convert", name, source, out) != 0:
            troubles.append(f"not gone on with: {bench.said()}")
        if renamed(tree_of(out)) != whole:
            troubles.append("other files at the end")
        bench.note("convert", troubles, "over already" if ended else "killed before its end")


def kill_train(bench: Bench, kills: int) -> None:
    """Kill a training run that is validated and saved every two steps."""
    from napari_sam2s.training import loop

    loop.LOG_STEPS = 1  # so that so short a run has curves
    for name in ("seen", "unseen"):
        draw_davis(bench.folder / name, ("v",), 3)
    config = bench.folder / "training.toml"
    config.write_text(TRAINING)
    data = ("--data", bench.folder / "seen", "--validation", bench.folder / "unseen", "--threads", 1, "--device", "cpu")
    compare(bench, "train", kills, lambda out: ("train", config, "--out", out, *data), trained, whole_training)


def trained(out: Path) -> dict[str, Any]:
    """Return what a training run has come to: weights, state of the optimizer, curves; all but the clock."""
    found: dict[str, Any] = {name: (out / name).read_bytes() for name in ("curve.csv", "validation.csv", "curves.png")}
    for name in ("last.pt", "model.pt", "best.pt"):
        state = torch.load(out / name, weights_only=True)
        state.pop("seconds", None)
        state.get("sam2s", {}).get("provenance", {}).pop("seconds", None)
        found[name] = hashed(state)
    return found


def hashed(value: Any) -> str:
    """Return what a state says, tensors by their content."""
    if isinstance(value, torch.Tensor):
        return f"{value.dtype} {tuple(value.shape)} {hash(value.contiguous().numpy().tobytes())}"
    if isinstance(value, dict):
        return str({key: hashed(part) for key, part in value.items()})
    return str([hashed(part) for part in value]) if isinstance(value, list | tuple) else repr(value)


def whole_training(out: Path) -> list[str]:
    """Say which files of a run cannot be read."""
    troubles = []
    for path in out.glob("*"):
        try:
            if path.suffix == ".pt":
                torch.load(path, weights_only=True)
            elif path.suffix == ".png":
                Image.open(path).load()
        except Exception as error:  # noqa: BLE001 (of any library)
            troubles.append(f"{path.name} is half: {error}"[:100])
    return troubles


def draw_davis(root: Path, names: Sequence[str], frames: int) -> None:
    """Draw a DAVIS root of videos of a square that moves."""
    for n, name in enumerate(names):
        for kind in ("JPEGImages", "Annotations"):
            (root / kind / name).mkdir(parents=True)
        for t in range(frames):
            mask = np.zeros((64, 64), np.uint8)
            mask[20:40, 5 + 2 * t + n : 25 + 2 * t + n] = 1
            picture = np.repeat(40 + 180 * mask[..., None], 3, axis=2)
            Image.fromarray(picture).save(root / "JPEGImages" / name / f"{t:05d}.jpg")
            Image.fromarray(mask).save(root / "Annotations" / name / f"{t:05d}.png")


def kill_benchmark(bench: Bench, kills: int) -> None:
    """Kill a benchmark of three videos under two prompts, which keeps its masks."""
    root = bench.folder / "subsets"
    draw_davis(root / "mine", ("a", "b", "c"), 12)
    rest = ("--prompt", "mask", "--prompt", "box", "--image-size", 128, "--keep-masks", "--device", "cpu")
    compare(bench, "benchmark", kills, lambda out: ("benchmark", root, "--out", out, *rest), measured, whole_benchmark)


def measured(out: Path) -> dict[str, Any]:
    """Return the files of a benchmark, without its seconds."""
    tree = renamed(tree_of(out))
    for path in out.glob("*/*/*.json"):
        result = json.loads(path.read_text())
        if result.pop("seconds", None) is not None:
            tree[str(path.relative_to(out))] = json.dumps(result)
    tree["benchmark.md"] = str("benchmark.md" in tree)  # it has frames a second
    return tree


def whole_benchmark(out: Path) -> list[str]:
    """Say which results and masks are not whole."""
    troubles = []
    for path in out.rglob("*.json"):
        try:
            json.loads(path.read_text())
        except ValueError:
            troubles.append(f"{path.name} is half")
    folders = [p for p in out.glob("*/*/masks/Annotations/*") if not p.name.startswith(".")]
    return troubles + [f"{p} has some masks only" for p in folders if len(list(p.glob("*.png"))) != 12]


def kill_import(bench: Bench, kills: int) -> None:
    """Kill the import of 300 masks as a project."""
    root = bench.folder / "to-import"
    draw_davis(root, ("v",), 22)
    many = sorted((root / "Annotations" / "v").glob("*.png"))
    for t in range(len(many), 600):
        (root / "Annotations" / "v" / f"{t:05d}.png").write_bytes(many[t % len(many)].read_bytes())
    words = ("import", root, "--format", "davis", "--out")
    compare(bench, "import", kills, lambda out: (*words, out / "case.sam2s"), imported, whole_import)


def imported(out: Path) -> dict[Any, Any]:
    """Return the masks of the project, and what is beside it."""
    return {**masks_of(out / "case.sam2s"), "beside": sorted(p.name for p in out.iterdir())}


def whole_import(out: Path) -> list[str]:
    """Say what is wrong with the project."""
    path = out / "case.sam2s"
    if not path.exists():
        return []
    count = len(masks_of(path))
    return [] if count == 600 and find_damage(path).whole else [f"{count} of 600 masks are there"]


def kill_batch(bench: Bench, video: Path, kills: int) -> None:
    """Kill a batch of two videos with one worker; its workers are in sessions of their own, and end by themselves."""
    folder = bench.folder / "videos"
    folder.mkdir()
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    labels[25:60, 20:45], labels[70:95, 120:145] = 1, 2
    for name in "ab":
        (folder / f"{name}.mp4").write_bytes(video.read_bytes())
        Image.fromarray(labels).save(folder / f"{name}_frame0.png")
    rest = ("--prompts", "masks", "--image-size", 128, "--workers", 1, "--device", "cpu", "--direction", "forward")
    compare(bench, "batch", kills, lambda out: ("batch", folder, "--out", out, *rest), batched, whole_batch)


def batched(out: Path) -> dict[Any, Any]:
    """Return the masks of the projects, and what the table says of them."""
    found: dict[Any, Any] = {p.name: masks_of(p) for p in out.glob("*.sam2s")}
    with (out / "sam2s-batch.csv").open(newline="") as file:
        return {**found, "rows": [row["state"] in ("done", "nothing to do") for row in csv.DictReader(file)]}


def whole_batch(out: Path) -> list[str]:
    """Say which projects are damaged."""
    return [f"{p.name} is damaged" for p in out.glob("*.sam2s") if not find_damage(p).whole]


def compare(
    bench: Bench,
    what: str,
    kills: int,
    words: Callable[[Path], Sequence[object]],
    content: Callable[[Path], dict[Any, Any]],
    whole: Callable[[Path], list[str]],
) -> None:
    """Kill a command that writes into a folder, look at what is there, and see what the same command then comes to."""
    began = time.monotonic()
    first = bench.folder / f"whole-{what}"
    first.mkdir()
    assert bench.run(*words(first)) == 0, bench.said()
    seconds, expected = time.monotonic() - began, content(first)
    print(f"{what}: {seconds:.1f} s when nothing is killed", flush=True)
    for n in range(kills):
        out = bench.folder / f"{what}-{n}"
        out.mkdir()
        child = bench.start(*words(out))
        time.sleep(bench.random.uniform(0, seconds))
        ended = child.over()
        child.kill()
        troubles = whole(out)
        if bench.run(*words(out)) != 0 and not (ended and "exists already" in bench.said()):
            troubles.append(f"not gone on with: {bench.said()}")
        else:
            found = content(out)
            troubles += [f"{key} differs" for key in sorted(map(str, expected)) if found.get(key, 0) != expected.get(key, 0)][
                :3
            ]
        if left := [str(p.relative_to(out)) for p in out.rglob("*") if ".part" in p.name or ".old" in p.name]:
            troubles.append(f"left behind: {left[:3]}")
        bench.note(what, troubles, "over already" if ended else "killed before its end")


def main() -> int:
    """Print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--track", type=int, default=40)
    parser.add_argument("--export", type=int, default=20)
    for kind in ("convert", "train", "benchmark", "import", "batch"):
        parser.add_argument(f"--{kind}", type=int, default=0)
    parser.add_argument("--way", choices=tuple(WAYS), help="of tracking; all by default")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), args.seed)
        video = bench.folder / "clip.mp4"
        make_video(video)
        began = time.monotonic()
        if args.track:
            kill_track(bench, video, args.track, [args.way] if args.way else list(WAYS))
        if args.export:
            kill_export(bench, video, args.export)
        for kind, kill in (("convert", kill_convert), ("train", kill_train), ("benchmark", kill_benchmark)):
            if getattr(args, kind):
                kill(bench, getattr(args, kind))
        if imports := getattr(args, "import"):  # which is a word of Python
            kill_import(bench, imports)
        if args.batch:
            kill_batch(bench, video, args.batch)
    for outcome, count in sorted(bench.outcomes.items()):
        print(f"{count:4}  {outcome}")
    print(f"{sum(bench.outcomes.values())} kills in {time.monotonic() - began:.0f} s, {bench.wrong} with something wrong")
    return bench.wrong


if __name__ == "__main__":
    sys.exit(main())

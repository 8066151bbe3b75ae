"""Kill what works at random moments, as a power cut or the system would, and see that nothing is lost.

python benchmarks/kills.py [--track 40] [--export 20] [--convert 10] [--seed 0] [--way plain]

``track`` is killed (SIGKILL, its whole process group) at a random moment between its start and its end, every fourth time in
the moments after its project appears. Then the project must be sound, no mask that was committed may be lost or other than in
an uninterrupted run, and ``resume`` (or, before a run has begun, the same command again) must come to the masks of the
uninterrupted run. ``export`` and ``convert`` must leave nothing under a final name that is not whole, and come to the
same files when they are started again. The exit code is the number of kills after which something was wrong. Linux and macOS.
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import os
import random
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
warnings.simplefilter("ignore")

import numpy as np  # noqa: E402
import torch  # noqa: E402

from napari_sam2s.cli import main as command  # noqa: E402
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
LIMIT = 300  # seconds that a command may take


class Child:
    """A command in a forked child, which has torch loaded already."""

    def __init__(self, job: Callable[[], int | None], log: Path) -> None:
        self.log = log
        self.code: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            code = 99
            try:
                os.setsid()
                out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
                for stream in (1, 2):
                    os.dup2(out, stream)
                code = job() or 0
            except BaseException:  # noqa: BLE001 (to be read in the log)
                import traceback

                traceback.print_exc()
                sys.stderr.flush()
            os._exit(code)

    def over(self) -> bool:
        """Whether it has ended."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code is not None

    def kill(self) -> None:
        """Kill it and all its children."""
        if not self.over():
            try:
                os.killpg(self.pid, signal.SIGKILL)
            except ProcessLookupError:  # it has no group of its own yet
                os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.code = -9

    def wait(self) -> int:
        """Return its exit code; a hang is killed."""
        until = time.monotonic() + LIMIT
        while not self.over():
            if time.monotonic() > until:
                self.kill()
            time.sleep(0.01)
        assert self.code is not None
        return self.code


class Bench:
    """A folder to work in, and what came of it."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.random = folder, random.Random(seed)
        self.outcomes: collections.Counter[str] = collections.Counter()
        self.wrong = 0

    def run(self, *words: object) -> int:
        """Run a command to its end."""
        return self.start(*words).wait()

    def start(self, *words: object) -> Child:
        """Start a command."""
        return Child(lambda: command([str(word) for word in words]), self.folder / "log.txt")

    def said(self) -> str:
        """Return the last line that the latest command wrote."""
        lines = (self.folder / "log.txt").read_text(errors="replace").strip().splitlines()
        return lines[-1][-200:] if lines else ""

    def note(self, what: str, troubles: Sequence[str], how: str) -> None:
        """Count a kill."""
        self.wrong += bool(troubles)
        self.outcomes[f"{what}: {how}{', BUT ' + ', '.join(troubles) if troubles else ''}"] += 1
        print(sum(self.outcomes.values()), "WRONG" if troubles else "right", what, how, *troubles, sep=": ", flush=True)


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


def kill_track(bench: Bench, video: Path, kills: int, ways: Sequence[str]) -> None:
    """Kill ``track`` in several ways, by turns."""
    whole, seconds = {}, {}
    for way in ways:
        began = time.monotonic()
        out = bench.folder / f"whole {way}.sam2s"
        code = bench.run("track", video, *prompts(way), *WAYS[way], "--image-size", 128, "--out", out)
        assert code == 0, bench.said()
        whole[way], seconds[way] = masks_of(out), time.monotonic() - began
        print(f"track, {way}: {len(whole[way])} masks in {seconds[way]:.1f} s when nothing is killed", flush=True)
    for n in range(kills):
        way, path = ways[n % len(ways)], bench.folder / f"{n}.sam2s"
        words = ("track", video, *prompts(way), *WAYS[way], "--image-size", 128, "--out", path)
        child = bench.start(*words)
        if n // len(ways) % 4 == 0:  # around the beginning of the run
            while not path.exists() and not child.over():
                time.sleep(0.001)
            time.sleep(bench.random.uniform(0, 0.4))
        else:
            time.sleep(bench.random.uniform(0, seconds[way]))
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


def tree_of(place: Path) -> dict[str, str]:
    """Return the sums of the files under a path, what is not finished left out."""
    files = [p for p in (place.rglob("*") if place.is_dir() else [place]) if p.is_file()]
    names = {p: str(p.relative_to(place.parent)) for p in files}
    finished = [p for p, name in names.items() if not any(".part" in part for part in Path(name).parts)]
    return {names[p]: hashlib.sha256(p.read_bytes()).hexdigest() for p in finished}


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


def renamed(tree: dict[str, str]) -> dict[str, str]:
    """Return a tree without its first folder."""
    return {str(Path(*Path(name).parts[1:])): digest for name, digest in tree.items()}


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


def main() -> int:
    """Print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--track", type=int, default=40)
    parser.add_argument("--export", type=int, default=20)
    parser.add_argument("--convert", type=int, default=0)
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
        if args.convert:
            kill_convert(bench, args.convert)
    for outcome, count in sorted(bench.outcomes.items()):
        print(f"{count:4}  {outcome}")
    print(f"{sum(bench.outcomes.values())} kills in {time.monotonic() - began:.0f} s, {bench.wrong} with something wrong")
    return bench.wrong


if __name__ == "__main__":
    sys.exit(main())

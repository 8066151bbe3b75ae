"""Kill a propagation that also receives edits, at random moments, and go on; what test_survival.py runs in a process apart.

survival.py FOLDER MOMENTS SEED: torch is imported once, and every attempt is a fork that has never computed anything.
Prints a line of JSON a moment.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parent))
from conftest import make_nano
from napari_sam2s.masklets import Project
from napari_sam2s.tracking import ProjectRun, Tracker, propagation_run, resumable_run
from napari_sam2s.video import open_video

FRAMES = 28


def clip() -> np.ndarray:
    """Frames of drifting noise, 48 x 80."""
    ground = np.random.default_rng(0).integers(0, 255, (60, 140, 3), dtype=np.uint8)
    return np.stack([ground[t // 6 : t // 6 + 48, t : t + 80] for t in range(FRAMES)])


def edit(project: Project, t: int) -> None:
    """Do what the user does when frame ``t`` appears, if it is not done yet; each is one step of undo."""
    name = f"edit {t}"
    if name in {step for step, _ in project.history.steps}:
        return
    with project.history.step(name):
        if t % 5 == 2:
            project.labels[t - 1, :9, :9] = 1 + t % 2
        if t % 7 == 3:
            project.confirm(t, 1)
        if t == 11:
            project.tracks.swap(1, 2, 4, 8)
        if t == 15:
            project.tracks.delete(1, 9, 12)
        if t == 18:
            project.tracks.merge(1, 2, 16, 18)
        if t == 23:
            project.tracks.copy(2, 20, 21, 23)


def work(path: Path, report: int | None = None) -> None:
    """Make a project, prompt and track, or go on wherever that was left."""
    video, model = open_video(clip()), make_nano()
    with Project.open(path) if path.exists() else Project.create(path, video) as project:
        for n in range(len(project.objects), 2):
            project.add_object(f"thing {n + 1}")
        tracker = Tracker(model, video, project)
        if not project.runs:
            boxes = {1: (5, 5, 25, 40), 2: (20, 30, 44, 70)}
            for i, box in boxes.items():
                if project.prompts(i):
                    tracker.replay(project.prompts(i)[0])
                else:
                    tracker.prompt(i, 0, box=box)
            run = ProjectRun(tracker, 0)
        elif resumable_run(project) is not None:
            run = ProjectRun.resume(tracker)
        else:
            return
        for t, _ in run:
            tell(report, f"frame {t}")
            edit(project, t)
            tell(report, f"edit {t}")


def tell(pipe: int | None, line: str) -> None:
    """Say that something is kept."""
    if pipe is not None:
        os.write(pipe, f"{line}\n".encode())


def forked(job) -> int:
    """Run a job in a fork and return its id."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            job()
            code = 0
        finally:
            os._exit(code)
    return pid


def content(path: Path) -> dict:
    """Return everything that a resumed project must share with an uninterrupted one."""
    with Project.open(path, mode="r") as project:
        return {
            "labels": np.asarray(project.labels),
            "masks": [{i: m.tobytes() for i, m in project.masks(t).items()} for t in range(FRAMES)],
            "scores": [project.scores(t) for t in range(FRAMES)],
            "origins": [project.masks.origins(t) for t in range(FRAMES)],
            "confirmed": [project.masks.confirmed_frames(i) for i in (1, 2)],
        }


def same(one: dict, other: dict) -> bool:
    """Compare bit for bit."""
    return all(np.array_equal(v, other[k]) if k == "labels" else v == other[k] for k, v in one.items())


def kill_one(path: Path, after: int, seconds: float) -> dict:
    """Kill an attempt so long after it told so much, look at what it left, and go on."""
    read, write = os.pipe()
    pid = forked(lambda: work(path, write))
    os.close(write)
    with os.fdopen(read) as pipe:
        told = [line.split() for line in itertools.islice(pipe, after)]
        time.sleep(seconds)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        told += [line.split() for line in pipe]
    facts: dict = {
        "seconds": round(seconds, 3),
        "frames": sum(t[0] == "frame" for t in told),
        "lost": 0,
        "integrity": "no file",
    }
    if path.exists():
        with Project.open(path) as project:
            facts["integrity"] = project.store.db.execute("PRAGMA integrity_check").fetchone()[0]
            facts["status"] = [r.status for r in project.runs]
            known, steps = set(project.frames), {name for name, _ in project.history.steps}
        facts["lost"] = sum(int(t) not in known if what == "frame" else f"edit {t}" not in steps for what, t in told)
    again = forked(lambda: work(path))
    facts["resumed"] = os.waitpid(again, 0)[1] == 0
    return facts


def main() -> None:
    """Run the reference, then every moment."""
    folder, moments, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    os.waitpid(forked(lambda: work(folder / "whole.sam2s")), 0)
    whole = content(folder / "whole.sam2s")
    chance = random.Random(seed)
    for n in range(moments):
        propagation_run.SNAPSHOT_SECONDS = 2.0 if n % 3 == 0 else 0.05
        path = folder / f"{n}.sam2s"
        # Where it is told of a frame and of an edit: a slow machine is killed at the same places as a fast one.
        facts = kill_one(path, chance.randrange(3 * FRAMES // 2) if n else FRAMES // 2, chance.uniform(0, 0.03))
        print(json.dumps(facts | {"same": facts["resumed"] and same(whole, content(path))}), flush=True)


if __name__ == "__main__":
    main()

"""Damaged files of every kind that we read: none may crash or hang us, fail without a sentence, or be read as something else.

python research/fuzz.py KIND [--minutes 60 | --mutants 1000] [--seed 0] [--only N] [--keep FOLDER]

KIND is one of video, project, tiff, zarr, checkpoint, or all. Small valid files are made, and changed at random places: bits,
bytes, numbers, blocks that are cut, doubled, exchanged or emptied. Each mutant is opened and read in a process of its own, with
limits of time and memory. What may come of it: it is *read*, *warned of*, or *refused* by a sentence of ours. What is counted
as a fault: a *crash* (a signal), a *hang*, an *exception* that is not ours, and *silence* about other contents:

- video, TIFF, OME-Zarr: a frame that is other when it is jumped to than when it is played;
- project: a mask that is other than the one that was written, or missing;
- checkpoint: other weights (of ``.pt``; safetensors have no checksums, so that changed numbers cannot be told).

``--only N`` runs mutant N again and prints what it does; ``--keep`` writes the faulty ones. The exit code is the number of
faults. Linux and macOS.
"""

from __future__ import annotations

import argparse
import collections
import io
import json
import os
import random
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import tifffile
import torch
import zarr

from napari_sam2s import load_model, open_video
from napari_sam2s.errors import Sam2sError
from napari_sam2s.formats import write_video
from napari_sam2s.masklets import Project, Prompt, Scores
from napari_sam2s.masklets.damage import find_damage
from napari_sam2s.model.checkpoints import WEIGHTS

SECONDS, MEMORY = 30, 6 * 2**30  # that a mutant may take
FAULTS = ("crash", "hang", "exception", "silence")
FRAMES, HEIGHT, WIDTH = 20, 48, 64


def pictures(frames: int = FRAMES, channels: int = 3) -> np.ndarray:
    """Return frames that are all different, smooth enough to be compressed."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    out = np.zeros((frames, HEIGHT, WIDTH, channels), np.uint8)
    for t in range(frames):
        for c in range(channels):
            out[t, ..., c] = (3 * x + 2 * y * (c + 1) + 9 * t) % 200
        out[t, 10:25, 5 + 2 * t : 15 + 2 * t] = 250
    return out


# The seeds


def make_videos(folder: Path) -> list[Path]:
    """Write a video in several containers; the same pictures without B-frames, and with them."""
    import subprocess

    import imageio_ffmpeg

    source = folder / "source.mp4"
    write_video(pictures(), source)
    found = [source]
    for ending, options in {
        "mkv": ["-c", "copy"],
        "mov": ["-c", "copy"],
        "ts": ["-c", "copy"],
        "flv": ["-c", "copy"],
        "avi": ["-c:v", "mpeg4", "-g", "6", "-bf", "0"],
        "webm": ["-c:v", "libvpx", "-g", "8"],
        "mpg": ["-c:v", "mpeg2video", "-g", "8"],
    }.items():
        path = folder / f"clip.{ending}"
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-i", str(source), "-an", *options, str(path)]
        if subprocess.run(command, check=False).returncode == 0:
            found.append(path)
    return found


def make_projects(folder: Path) -> list[Path]:
    """Write a project with masks, prompts, runs, history and a snapshot."""
    path = folder / "case.sam2s"
    with Project.create(path, pictures()) as project:
        for name in ("left grasper", "right grasper"):
            project.add_object(name, class_name="grasper")
        masks = original_masks()
        project.keep_prompt(Prompt(1, 0, points=((12.0, 8.0),), labels=(1,)), masks[0, 1], Scores(0.9, 5.0))
        run = project.runs.start(model="none", next_frame=0, stop_frame=FRAMES)
        project.write_masks([(t, i, m, Scores(0.9, 5.0, {"a": 0.5})) for (t, i), m in masks.items()], run=run)
        state = io.BytesIO()
        torch.save({"bank": torch.zeros(700)}, state)
        project.runs.save_snapshot(run, 10, "forward", state.getvalue())
        project.runs.finish(run, "paused")
        project.tracks.swap(1, 2)
        project.undo()
    return [path]


def original_masks() -> dict[tuple[int, int], np.ndarray]:
    """Return the masks that the project holds."""
    rng = np.random.default_rng(1)
    return {(t, i): rng.random((HEIGHT, WIDTH)) < 0.3 for t in range(FRAMES) for i in (1, 2)}


def make_tiffs(folder: Path) -> list[Path]:
    """Write stacks: plain, compressed, tiled, ImageJ's, OME's, BigTIFF, 16 bits."""
    grey = pictures()[..., 0]
    plain = {"photometric": "minisblack"}
    tifffile.imwrite(folder / "plain.tif", grey, **plain)
    tifffile.imwrite(folder / "zlib.tif", grey, compression="zlib", **plain)
    tifffile.imwrite(folder / "lzw.tif", grey, compression="lzw", predictor=True, **plain)
    tifffile.imwrite(folder / "tiled.tif", grey, tile=(16, 16), compression="zlib", **plain)
    tifffile.imwrite(folder / "imagej.tif", grey.astype(np.uint16) * 9, imagej=True, metadata={"axes": "TYX"})
    tifffile.imwrite(folder / "stack.ome.tif", grey, metadata={"axes": "TYX"}, **plain)
    tifffile.imwrite(folder / "big.tif", pictures(), bigtiff=True, photometric="rgb", compression="zlib")
    return sorted(folder.glob("*.tif"))


def make_zarrs(folder: Path) -> list[Path]:
    """Write OME-Zarr of both versions, with and without compression."""
    made = []
    for version, ome in ((2, "0.4"), (3, "0.5")):
        path = folder / f"v{version}.ome.zarr"
        group = zarr.open_group(path, mode="w", zarr_format=version)
        array = group.create_array("0", shape=(FRAMES, HEIGHT, WIDTH), chunks=(4, 24, 64), dtype="uint8")
        array[:] = pictures()[..., 0]
        axes = [{"name": "t", "type": "time"}, {"name": "y", "type": "space"}, {"name": "x", "type": "space"}]
        scale = [{"type": "scale", "scale": [1.0, 0.5, 0.5]}]
        scales = [{"version": ome, "axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}]
        group.attrs.update({"multiscales": scales} if version == 2 else {"ome": {"version": ome, "multiscales": scales}})
        made.append(path)
    return made


def make_checkpoints(folder: Path) -> list[Path]:
    """Copy the built-in model, and write its weights as safetensors."""
    from safetensors.torch import save_file

    path = folder / "model.pt"
    shutil.copy(WEIGHTS / "sam2s-nano.pt", path)
    content = torch.load(path, weights_only=True)
    tiny = {name: tensor for name, tensor in content["model"].items() if tensor.numel() < 2000}
    torch.save({"model": tiny, "config": content["config"]}, folder / "tiny.pt")
    save_file({name: tensor.contiguous() for name, tensor in tiny.items()}, folder / "tiny.safetensors")
    return [path, folder / "tiny.pt", folder / "tiny.safetensors"]


# What a mutant is put through: it returns "read" or "warned of", or raises


def read_video(path: Path, seed: Path) -> str:
    """Play a video, and jump about in it."""
    video = open_video(path)
    count = min(len(video), 60)
    played = [frame_or_sentence(video, t) for t in range(count)]
    order = list(range(count))
    random.Random(0).shuffle(order)
    other = open_video(path)
    for t in order:
        jumped = frame_or_sentence(other, t)
        both = isinstance(jumped, np.ndarray) and isinstance(played[t], np.ndarray)
        if both and not np.array_equal(jumped, played[t]) and not (video.warnings or other.warnings):
            raise SilenceError(f"frame {t} of {count} is another one when it is jumped to")
    return "warned of" if video.warnings else "read"


def frame_or_sentence(video: object, t: int) -> np.ndarray | str:
    """Return a frame, or why there is none."""
    try:
        return np.asarray(video[t])
    except Sam2sError as error:
        return str(error)


def read_project(path: Path, seed: Path) -> str:
    """Read all of a project as show, export and the widget do; then edit it."""
    expected = original_masks()
    with Project.open(path, mode="r") as project:
        found = {(t, i): mask for t in project.frames for i, mask in project.masks(t).items()}
        if other := [key for key, mask in found.items() if key not in expected or not np.array_equal(mask, expected[key])]:
            raise SilenceError(f"masks {other[:3]} are other ones")
        if missing := sorted(expected.keys() - found.keys()):
            raise SilenceError(f"masks {missing[:3]} are missing")
        _ = project.review(), [project.masks.series(o.id) for o in project.objects], project.prompts(), tuple(project.runs)
        _ = [project.masks.entries(t) for t in project.frames], [project.masks.suggested_class(o.id) for o in project.objects]
    with Project.open(path) as project:
        while project.undo():
            pass
        while project.redo():
            pass
        project.add_object()
    return "read" if find_damage(path).whole else "warned of"


def read_checkpoint(path: Path, seed: Path) -> str:
    """Load weights and compare them with the seed's."""
    from napari_sam2s.model.checkpoints import read_checkpoint as read

    if seed.stem == "tiny":
        found, expected = read(path)[0], read(seed)[0]
    else:
        found, expected = load_model(path).state_dict(), load_model(seed).state_dict()
    if path.suffix == ".safetensors":
        return "read"
    if found.keys() != expected.keys() or not all(torch.equal(found[k], expected[k]) for k in found):
        raise SilenceError("the weights are other ones")
    return "read"


class SilenceError(Exception):
    """Something else was read than was written, without a word."""


KINDS: dict[str, tuple[Callable[[Path], list[Path]], Callable[[Path, Path], str]]] = {
    "video": (make_videos, read_video),
    "project": (make_projects, read_project),
    "tiff": (make_tiffs, read_video),
    "zarr": (make_zarrs, read_video),
    "checkpoint": (make_checkpoints, read_checkpoint),
}


# Mutants


def mutate(content: bytes, rng: random.Random) -> bytes:
    """Return a changed copy."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        if not data:
            break
        CHANGES[rng.randrange(len(CHANGES))](data, rng)
    return bytes(data)


def place(data: bytearray, rng: random.Random) -> int:
    """Choose a place: often near the beginning or the end, where containers have their tables."""
    where = rng.random()
    reach = min(len(data), 2048)
    if where < 0.3:
        return rng.randrange(reach)
    return len(data) - 1 - rng.randrange(reach) if where < 0.5 else rng.randrange(len(data))


def _flip(data: bytearray, rng: random.Random) -> None:
    data[place(data, rng)] ^= 1 << rng.randrange(8)


def _byte(data: bytearray, rng: random.Random) -> None:
    data[place(data, rng)] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))


def _number(data: bytearray, rng: random.Random) -> None:
    at, size = place(data, rng), rng.choice((2, 4, 8))
    value = rng.choice((0, 1, 2**31 - 1, 2**32 - 1, rng.randrange(2**16))) % 256**size
    data[at : at + size] = value.to_bytes(size, rng.choice(("big", "little")))


def _empty(data: bytearray, rng: random.Random) -> None:
    at, size = place(data, rng), rng.choice((16, 200, 4096))
    data[at : at + size] = bytes(len(data[at : at + size]))


def _noise(data: bytearray, rng: random.Random) -> None:
    at, size = place(data, rng), rng.choice((16, 200, 1000))
    data[at : at + size] = rng.randbytes(len(data[at : at + size]))


def _cut(data: bytearray, rng: random.Random) -> None:
    del data[place(data, rng) :]


def _leave_out(data: bytearray, rng: random.Random) -> None:
    at = place(data, rng)
    del data[at : at + rng.choice((1, 4, 100, 2000))]


def _double(data: bytearray, rng: random.Random) -> None:
    at, size = place(data, rng), rng.choice((1, 4, 100, 2000))
    data[at:at] = data[at : at + size]


def _exchange(data: bytearray, rng: random.Random) -> None:
    a, b, size = place(data, rng), place(data, rng), rng.choice((4, 64, 512))
    if max(a, b) + size <= len(data) and abs(a - b) >= size:
        data[a : a + size], data[b : b + size] = data[b : b + size], data[a : a + size]


CHANGES = (_flip, _byte, _number, _empty, _noise, _cut, _leave_out, _double, _exchange)


def make_mutant(seed: Path, target: Path, rng: random.Random) -> Path:
    """Write a mutant of a file, or of a folder with one file of it changed."""
    path = target / seed.name
    if seed.is_dir():
        shutil.copytree(seed, path)
        files = sorted(p for p in path.rglob("*") if p.is_file())
        tables = [p for p in files if p.name.startswith(".z") or p.suffix == ".json"]
        victim = rng.choice(tables if rng.random() < 0.5 else files)
        if rng.random() < 0.05:
            victim.unlink()
        else:
            victim.write_bytes(mutate(victim.read_bytes(), rng))
    else:
        path.write_bytes(mutate(seed.read_bytes(), rng))
    return path


def outcome_of(read: Callable[[Path, Path], str], path: Path, seed: Path, *, loud: bool = False) -> tuple[str, str]:
    """Read a mutant in a process of its own; return what came of it, and the words."""
    out, into = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(out)
        os.setsid()
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        if not loud:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 1)
            os.dup2(nowhere, 2)
        os.write(into, json.dumps(_tried(read, path, seed, loud=loud)).encode()[:60_000])
        os._exit(0)
    os.close(into)
    said = b""
    until = time.monotonic() + SECONDS
    while (left := until - time.monotonic()) > 0 and select.select([out], [], [], left)[0]:
        if not (piece := os.read(out, 65536)):
            break
        said += piece
    os.close(out)
    hung = left <= 0
    if hung:
        os.killpg(pid, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if hung:
        return "hang", f"more than {SECONDS} s"
    if status != 0 or not said:
        return "crash", f"exit status {status}"
    result, words = json.loads(said)
    return str(result), str(words)


def _tried(read: Callable[[Path, Path], str], path: Path, seed: Path, *, loud: bool) -> tuple[str, str]:
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            result = read(path, seed)
        return ("warned of" if any(w.category is UserWarning for w in told) else result), ""
    except Sam2sError as error:
        return "refused", str(error)
    except SilenceError as error:
        return "silence", str(error)
    except BaseException as error:  # noqa: BLE001 (that is what is looked for)
        if loud:
            traceback.print_exc()
        frames = traceback.extract_tb(error.__traceback__)
        ours = [f for f in frames if "napari_sam2s" in f.filename]
        at = ours[-1] if ours else frames[-1]
        return "exception", f"{type(error).__name__}: {str(error)[:150]} (at {Path(at.filename).name}:{at.lineno})"


def fuzz(kind: str, args: argparse.Namespace, folder: Path) -> int:
    """Put mutants of one kind through it, print what came of them, and return how many were faults."""
    make, read = KINDS[kind]
    (folder / kind).mkdir()
    seeds = make(folder / kind)
    for seed in seeds:
        copy = folder / seed.name
        shutil.copytree(seed, copy) if seed.is_dir() else shutil.copy(seed, copy)
        result, words = outcome_of(read, copy, seed)
        if result not in ("read", "warned of"):
            print(f"{kind}: the seed {seed.name} itself is not read: {result}: {words}")
    counts: collections.Counter[str] = collections.Counter()
    until = time.monotonic() + 60 * args.minutes if args.minutes else None
    n = args.only or 0
    while (args.only is not None and n == args.only) or (
        args.only is None and (time.monotonic() < until if until is not None else n < args.mutants)
    ):
        rng = random.Random(f"{kind}-{args.seed}-{n}")
        place_of = folder / f"{kind}-{n}"
        place_of.mkdir()
        seed = seeds[n % len(seeds)]
        result, words = outcome_of(read, make_mutant(seed, place_of, rng), seed, loud=args.only is not None)
        counts[result] += 1
        if result in FAULTS or args.only is not None:
            print(f"{kind} {n} ({seed.name}): {result}: {words}", flush=True)
            if args.keep:
                shutil.copytree(place_of, args.keep / place_of.name, dirs_exist_ok=True)
        shutil.rmtree(place_of)
        n += 1
    words = ", ".join(f"{count} {result}" for result, count in counts.most_common())
    faults = sum(counts[fault] for fault in FAULTS)
    print(f"{kind}: {sum(counts.values())} mutants: {words}; {faults} faults", flush=True)
    return faults


def main() -> int:
    """Print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=(*KINDS, "all"))
    parser.add_argument("--minutes", type=float, help="of each kind, in place of a number of mutants")
    parser.add_argument("--mutants", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="this one alone")
    parser.add_argument("--keep", type=Path, help="a folder for the faulty ones")
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder  # of indices of videos
        return sum(fuzz(kind, args, Path(folder)) for kind in (KINDS if args.kind == "all" else [args.kind]))


if __name__ == "__main__":
    sys.exit(min(main(), 100))

"""What the command line costs on real input: CPU time and memory of whole `napari-sam2s track` commands, and sheets to look at.

    OMP_WAIT_POLICY=passive OMP_NUM_THREADS=1 python benchmarks/real_videos.py REAL OUT [--frames 120]

Three clips from one box each, ``hela.tif`` from the 60 largest masks of its first frame, and from one of them; start, decoding
and writing included. There is no truth for the clips. For ``hela`` a mask counts as kept on the last frame if it has an IoU of
0.5 or more with the nucleus that it covers most there, whichever nucleus that is. Linux and macOS.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

import napari_sam2s as sam2s

BOXES = {  # (y0, x0, y1, x1) in pixels of the first frame
    "10_cloth_magic": (436, 503, 717, 835),
    "16_robotarm": (135, 278, 450, 797),
    "20_doughkneading": (428, 528, 585, 845),
}
TILES, WIDTH, HEIGHT = 8, 400, 225
NUCLEI = 60


def track(*words: str) -> tuple[float, float]:
    """Run `napari-sam2s track`; return its CPU-seconds and the most memory that it took, in MiB."""
    start = "import sys; from napari_sam2s.cli import main; sys.exit(main())"
    command = [sys.executable, "-W", "ignore", "-c", start, "track", *words]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"track {' '.join(words)} ended with {process.returncode}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / (1024 if sys.platform == "linux" else 2**20)


def sheet(video, folder: Path, path: Path) -> None:
    """Write frames with all masks in the colours of their files, four in a row."""
    found = sorted(folder.rglob("*.png"))
    page = Image.new("RGB", (WIDTH * 4, HEIGHT * 2))
    for n, t in enumerate(np.linspace(0, len(found) - 1, TILES).round().astype(int)):
        labels = Image.open(found[t])
        colours = np.asarray(labels.convert("RGB")).astype(np.float32)
        inside = np.asarray(labels)[..., None] > 0
        image = np.where(inside, 0.45 * np.asarray(video[int(t)]) + 0.55 * colours, np.asarray(video[int(t)]))
        tile = Image.fromarray(image.astype(np.uint8))
        tile.thumbnail((WIDTH, HEIGHT), Image.Resampling.BOX)
        page.paste(tile, (n % 4 * WIDTH, n // 4 * HEIGHT))
    page.save(path)


def kept(folder: Path, truth: np.ndarray) -> int:
    """Return how many masks of the last frame lie on one nucleus, see above."""
    labels = np.asarray(Image.open(sorted(folder.rglob("*.png"))[-1]))
    count = 0
    for i in np.unique(labels[labels > 0]):
        mask = labels == i
        nucleus = truth == np.bincount(truth[mask]).argmax()
        count += bool(truth[mask].any() and (mask & nucleus).sum() >= 0.5 * (mask | nucleus).sum() and truth[nucleus][0] > 0)
    return count


def main() -> None:
    """Run, print, write the sheets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("real", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--frames", type=int, default=120)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    print("| | frames | objects | CPU-seconds | MiB at most |\n|---|---|---|---|---|")
    for name, corners in BOXES.items():
        path, folder = args.real / "videos" / f"{name}.mp4", args.out / f"{name}-{time.time_ns()}"
        box = ",".join(map(str, (0, *corners)))
        seconds, memory = track(str(path), "--box", box, "--stop", str(args.frames), "--out", str(folder))
        print(f"| `{name}`, box | {args.frames} | 1 | {seconds:.0f} | {memory:.0f} |", flush=True)
        with sam2s.open_video(path) as video:
            sheet(video, folder, args.out / f"{name}.png")
    truth = tifffile.imread(args.real / "hela" / "hela_masks.tif")
    largest = np.argsort(np.bincount(truth[0].ravel())[1:])[::-1][:NUCLEI] + 1
    for count in (NUCLEI, 1):
        picture = args.out / f"first-{count}.tif"
        tifffile.imwrite(picture, np.where(np.isin(truth[0], largest[:count]), truth[0], 0))
        folder = args.out / f"hela-{count}-{time.time_ns()}"
        path = args.real / "hela" / "hela.tif"
        seconds, memory = track(str(path), "--mask", f"0,{picture}", "--out", str(folder))
        print(f"| `hela.tif` | {len(truth)} | {count} | {seconds:.0f} | {memory:.0f} |", flush=True)
        if count > 1:
            with sam2s.open_video(path) as video:
                sheet(video, folder, args.out / "hela.png")
            print(f"\n{kept(folder, truth[-1])} of {count} nuclei are kept on the last frame.\n", file=sys.stderr)


if __name__ == "__main__":
    main()

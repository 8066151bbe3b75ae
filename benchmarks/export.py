"""What an export costs beside its library alone, on frames of 1080p with three objects each; memory; Ctrl-C.

``python benchmarks/export.py [--frames N] [--formats NAME ...]`` prints a table in Markdown. "Alone" is the format's library
writing the same content, ready in memory: Pillow PNGs, tifffile TIFFs, zarr a chunk a frame, ffmpeg drawn frames; or made
from full frames, as who has no run lengths does: pycocotools and json the masks. TrackMate's is scikit-image for the
outlines of the crops, ready in memory, and ElementTree. geff begins with what an export begins with,
the masks in the project's file, and takes the means of the pixels of each, in its box. It has a second line, beside geff alone
when it is given the finished places, which an export has to find first. Each export is a process of its own; its memory is
measured at N and at N / 4 frames. Ctrl-C is sent in the middle of a third one. On a machine with other work the ratio of CPU
times, of the process with its children, says more than that of the clock.
"""

from __future__ import annotations

import argparse
import json
import resource
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from napari_sam2s.formats.davis_layout import palette_picture
from napari_sam2s.formats.overlay import overlay
from napari_sam2s.formats.registry import FORMATS
from napari_sam2s.formats.track_graph import TrackGraph, graph_of
from napari_sam2s.formats.video_encoding import write_video
from napari_sam2s.masklets import Project, rle
from napari_sam2s.masklets.overlaps import label_image

READY = "geff, places ready"
SIZE, OBJECTS, PLACES, RADIUS = (1080, 1920), 3, 25, 120
VIDEO = np.random.default_rng(0).integers(0, 60, (1, *SIZE, 3), np.uint8)


class Still:
    """A video of one picture, so that no decoder is measured."""

    fps = 25.0

    def __init__(self, frames: int) -> None:
        self.shape = (frames, *SIZE, 3)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, t: int) -> NDArray[np.uint8]:
        return VIDEO[0]


def masks_of() -> list[list[rle.Mask]]:
    """Return blobs with rough rims, of each object at each place."""
    random = np.random.default_rng(1)
    y, x = np.ogrid[-RADIUS : RADIUS + 1, -RADIUS : RADIUS + 1]
    turn = np.arctan2(y, x)
    found = []
    for i in range(OBJECTS):
        waves = sum(random.uniform(2, 12) * np.sin(k * turn + random.uniform(0, 6)) for k in range(2, 9))
        blob = np.hypot(y, x) + waves < 0.75 * RADIUS
        found.append([rle.encode(blob, (200 + 40 * i, 100 + 420 * i + 3 * n)) for n in range(PLACES)])
    return found


def make(path: Path, frames: int) -> None:
    """Make the project."""
    masks = masks_of()
    with Project.create(path, Still(frames)) as project:
        for i in range(OBJECTS):
            project.add_object(class_name="grasper")
            project.write_masks((t, i + 1, masks[i][t % PLACES], None) for t in range(frames))


def target(folder: Path, name: str) -> Path:
    """Return where a format is written to."""
    return folder / f"out{FORMATS[name].file_ending}" if FORMATS[name].file_ending else folder


def cpu_seconds() -> float:
    """Return the CPU time of this process and of the children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def export_once(path: Path, folder: Path, name: str, progress: Callable[[int, int], None]) -> tuple[float, float]:
    """Export, and return the seconds by the clock and of CPU time."""
    with Project.open(path, mode="r") as project, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        started, used = time.perf_counter(), cpu_seconds()
        project.export(target(folder, name), name, video=Still(project.shape[0]), progress=progress)
        return time.perf_counter() - started, cpu_seconds() - used


def alone(path: Path, folder: Path, name: str, frames: int) -> tuple[float, float] | tuple[None, None]:
    """Return the seconds of a format's library alone, as :func:`export_once` does; ``None`` where it has none."""
    full = [{i + 1: rle.decode(of[n], SIZE) for i, of in enumerate(masks_of())} for n in range(PLACES)]
    with Project.open(path, mode="r") as project:
        objects = tuple(project.objects)
    labels = [label_image(masks, objects, SIZE, np.uint16) for masks in full]
    drawn = [overlay(VIDEO[0], masks, objects) for masks in full] if name == "overlay" else []
    writers: dict[str, Callable[[], object]] = {
        "davis": lambda: [
            palette_picture(labels[t % PLACES].astype(np.uint8)).save(folder / f"{t:05d}.png") for t in range(frames)
        ],
        "ctc": lambda: [write_tiff(folder / f"mask{t:05d}.tif", labels[t % PLACES]) for t in range(frames)],
        "tiff": lambda: write_stack(folder / "s.tif", labels, frames),
        "ome-zarr": lambda: write_zarr(folder / "z.zarr", labels, frames),
        "overlay": lambda: write_video((drawn[t % PLACES] for t in range(frames)), folder / "v.mp4"),
        "geff": lambda: write_graph(folder / "g.geff", places(path)),
        "trackmate": lambda: write_spots(folder / "t.xml", frames),
    }
    if name == READY:
        finished = places(path)
        known = {"video": "v", "frames": list(range(frames)), "time_s": [t / 25 for t in range(frames)]}
        writers[name] = lambda: write_graph(folder / "g.geff", finished, known)
    for packed in ("coco", "sav", "youtube-vis", "mots"):
        writers[packed] = lambda: write_packed(folder / "m.json", full, frames)
    if name not in writers:
        return None, None
    started, used = time.perf_counter(), cpu_seconds()
    writers[name]()
    return time.perf_counter() - started, cpu_seconds() - used


def write_tiff(path: Path, labels: NDArray[np.uint16]) -> None:
    """Write a page as the challenge has it."""
    import tifffile

    tifffile.imwrite(path, labels, compression="zlib")


def write_stack(path: Path, labels: list[NDArray[np.uint16]], frames: int) -> None:
    """Write a stack."""
    import tifffile

    pages = (labels[t % PLACES] for t in range(frames))
    tifffile.imwrite(path, pages, shape=(frames, *SIZE), dtype=np.uint16, compression="zlib", photometric="minisblack")


def write_zarr(path: Path, labels: list[NDArray[np.uint16]], frames: int) -> None:
    """Write a chunk a frame."""
    import zarr

    array = zarr.create_array(path, shape=(frames, *SIZE), chunks=(1, *SIZE), dtype="int32", zarr_format=2)
    for t in range(frames):
        array[t] = labels[t % PLACES]


def write_packed(path: Path, full: list[dict[int, NDArray[np.bool_]]], frames: int) -> None:
    """Write run lengths as pycocotools packs them."""
    from pycocotools import mask as coco

    with path.open("w") as file:
        for t in range(frames):
            for i, mask in full[t % PLACES].items():
                packed = coco.encode(np.asfortranarray(mask.view(np.uint8)))
                json.dump({"id": i, "image_id": t, "segmentation": {**packed, "counts": packed["counts"].decode()}}, file)


def places(path: Path) -> TrackGraph:
    """Return the tracks of the masks in a project's file, whose places are the means of pixels, one mask after the other."""
    found = []
    with Project.open(path, mode="r") as project:
        for frame, i, mask in project.masks.seen():
            y, x = np.nonzero(rle.decode_crop(mask))
            found.append((i, frame, y.mean() + mask.y0, x.mean() + mask.x0, len(y)))
        return graph_of(project.objects, np.array(found))


def write_graph(path: Path, graph: TrackGraph, known: Mapping[str, object] | None = None) -> None:
    """Write the nodes and edges of a graph, and what is known of its frames."""
    from napari_sam2s.formats.geff_graph import _write

    path.mkdir()
    _write(path, graph, 25.0, known or {})


def write_spots(path: Path, frames: int) -> None:
    """Write the outlines of masks as scikit-image finds them in their boxes, and the edges, with ElementTree."""
    from skimage.measure import find_contours

    root = ElementTree.Element("TrackMate")
    spots = ElementTree.SubElement(root, "AllSpots")
    masks = [[(m, rle.decode_crop(m)) for m in of] for of in masks_of()]
    for t in range(frames):
        frame = ElementTree.SubElement(spots, "SpotsInFrame", frame=str(t))
        for i in range(OBJECTS):
            mask, crop = masks[i][t % PLACES]
            y, x = np.nonzero(crop)
            centre = y.mean(), x.mean()
            outline = np.rint(find_contours(np.pad(crop, 1).astype(float), 1 - 1e-9)[0][:-1]) - 1
            at = {"POSITION_Y": f"{centre[0] + mask.y0:.4f}", "POSITION_X": f"{centre[1] + mask.x0:.4f}", "FRAME": str(t)}
            more = {"ID": str(t * OBJECTS + i), "POSITION_T": str(t / 25), "AREA": str(len(y)), "name": f"object {i}"}
            spot = ElementTree.SubElement(frame, "Spot", {**more, **at, "ROI_N_POINTS": str(len(outline))})
            spot.text = " ".join(f"{value:.6g}" for value in (outline - centre)[:, ::-1].ravel().tolist())
    tracks = ElementTree.SubElement(root, "AllTracks")
    for i in range(OBJECTS):
        track = ElementTree.SubElement(tracks, "Track", name=f"Track_{i}")
        for n in range(i, (frames - 1) * OBJECTS, OBJECTS):
            ElementTree.SubElement(track, "Edge", SPOT_SOURCE_ID=str(n), SPOT_TARGET_ID=str(n + OBJECTS))
    ElementTree.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def child(args: list[str]) -> dict[str, float]:
    """Run this script for one thing and return what it says."""
    done = subprocess.run([sys.executable, __file__, *args], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def interrupted(path: Path, folder: Path, name: str) -> list[str]:
    """Send Ctrl-C to an export when it is halfway and return the files that it leaves."""
    command = [sys.executable, __file__, "--one", name, "--project", str(path), "--folder", str(folder), "--ready"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    process.wait()
    return sorted(p.name for p in folder.rglob("*") if p.is_file())


def one(args: argparse.Namespace) -> None:
    """Do one export, or its library alone, and say what it took."""
    said: list[str] = []

    def tell_when_halfway(done: int, total: int) -> None:
        if args.ready and 2 * done > total and not said:
            said.append("halfway")
            print(said[0], flush=True)

    if args.ready:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if args.alone:
        seconds, cpu = alone(args.project, args.folder, args.one, args.frames)
    else:
        seconds, cpu = export_once(args.project, args.folder, args.one, tell_when_halfway)
    print(json.dumps({"seconds": seconds, "cpu": cpu, "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=20_000)
    parser.add_argument("--formats", nargs="+", default=[name for name in FORMATS if name != "gif"], choices=list(FORMATS))
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--project", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--ready", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        one(args)
        return
    n = args.frames
    print(f"{n} frames\n")
    print("| format | frames/s | beside its library alone | by CPU time | MB at N / 4 | MB at N | files left by Ctrl-C |")
    print("|---|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as base:
        large, small = Path(base, "large.sam2s"), Path(base, "small.sam2s")
        make(large, n)
        make(small, n // 4)
        for name in args.formats:
            found = {}
            alone_too = [(name, large, ["--alone"]), *([(READY, large, ["--alone"])] if name == "geff" else [])]
            for kind, path, extra in (("small", small, []), ("large", large, []), *alone_too):
                with tempfile.TemporaryDirectory(dir=base) as folder:
                    words = [
                        "--one",
                        kind if extra else name,
                        "--project",
                        str(path),
                        "--folder",
                        folder,
                        "--frames",
                        str(n),
                        *extra,
                    ]
                    found[kind] = child(words)
            with tempfile.TemporaryDirectory(dir=base) as folder:
                left = interrupted(large, Path(folder), name)
            memory = f"{found['small']['mb']:.0f} | {found['large']['mb']:.0f}"
            speed = n / found["large"]["seconds"]
            for beside, _, _ in alone_too:
                ratios = ("-", "-")
                if found[beside]["seconds"] is not None:
                    ratios = tuple(f"{found[beside][clock] / found['large'][clock]:.2f}x" for clock in ("seconds", "cpu"))
                print(f"| {beside} | {speed:.0f} | {' | '.join(ratios)} | {memory} | {', '.join(left) or 'none'} |", flush=True)


if __name__ == "__main__":
    main()

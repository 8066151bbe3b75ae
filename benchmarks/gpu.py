"""Frames a second on a GPU beside the official package: eager, and with CUDA graphs.

    TQDM_DISABLE=1 python benchmarks/gpu.py [--json OUT.json] [--rows base-plus:1 base-plus:3 base-plus:10 nano:1 nano:3]
        [--size 512] [--frames 60] [--limit 80]

From frames of 720 x 1280 in memory to boolean masks of that size on the host, in bfloat16 as the official predictor has it
(``nano`` in float32, as it ships). Weights of ``base-plus`` are seeded, the same on both sides, with objects always there;
every object starts with a mask. Memory is full when the clock starts. The official predictor finds its frames resized,
normalised and on the GPU; ours resizes and uploads them as it goes. What the official one needs for that is printed apart.
"""

# ruff: noqa: BLE001 - whatever goes wrong with one row, the others are measured

from __future__ import annotations

import argparse
import functools
import itertools
import json
import statistics
import sys
import tempfile
import time
import traceback
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "tracking"))
import parity

from napari_sam2s.model import load_model
from napari_sam2s.model.cuda_graphs import CudaRecorder, Graphs
from napari_sam2s.model.frames import normalise, resize_frame
from napari_sam2s.model.network import SAM2S
from napari_sam2s.model.network_config import CONFIGS
from napari_sam2s.tracking import Tracker
from napari_sam2s.tracking.results import MemoryResults

HEIGHT, WIDTH = 720, 1280
WARM = 24  # frames before the clock starts: 16 until memory is full, then those in which graphs are recorded
MANY = 10  # objects from which on half the frames must do
STARTED = time.monotonic()


class Discard(MemoryResults):
    """Keeps nothing, as the official predictor writes no files either."""

    def write_masks(self, rows, **_):
        """Forget them."""


@functools.lru_cache(maxsize=3)
def make_video(frames: int, objects: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return discs that drift over a blurred background, and their masks on the first frame."""
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(60, 200, (36, 64, 3), dtype=np.uint8))
    background = small.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    colours = [tuple(int(c) for c in rng.integers(0, 255, 3)) for _ in range(objects)]
    video = np.empty((frames, HEIGHT, WIDTH, 3), np.uint8)
    masks = []
    for t in range(frames):
        picture = background.copy()
        draw = ImageDraw.Draw(picture)
        for i, colour in enumerate(colours):
            x, y, r = 110 + 115 * i + t, 160 + 130 * (i % 4) + t // 2, 45
            draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)
            if t == 0:
                own = Image.new("L", (WIDTH, HEIGHT))
                ImageDraw.Draw(own).ellipse((x - r, y - r, x + r, y + r), fill=1)
                masks.append(np.asarray(own).astype(bool))
        video[t] = np.asarray(picture)
    return video, masks


def official_model(name: str, size: int, device: torch.device):
    """Return the official predictor with seeded weights."""
    from sam2.build_sam import build_sam2_video_predictor

    attention = "++model.memory_attention.layer"
    overrides = [f"++model.image_size={size}", "++model.fill_hole_area=0"]
    overrides += [
        f"{attention}.{part}.feat_sizes=[{size // 16},{size // 16}]" for part in ("self_attention", "cross_attention")
    ]
    yaml = f"configs/sam2.1/sam2.1_hiera_{parity.YAML[name]}.yaml"
    model = build_sam2_video_predictor(yaml, None, device=str(device), hydra_overrides_extra=overrides)
    model.load_state_dict(parity.seeded_weights({n: tuple(p.shape) for n, p in model.state_dict().items()}))
    return model.eval()


def official_frames(model, video: np.ndarray, masks: list[np.ndarray], size: int, device: torch.device):
    """Yield the masks ``{object: (Y, X) bool}`` of each frame after the first."""
    with tempfile.TemporaryDirectory() as folder:
        Image.fromarray(video[0]).save(f"{folder}/00000.jpg")
        state = model.init_state(folder)
    state["images"] = normalise(np.stack([resize_frame(frame, size) for frame in video]), device)
    state["num_frames"] = len(video)
    state["cached_features"] = {}
    with torch.inference_mode(), torch.autocast(device.type, dtype=torch.bfloat16):
        for i, mask in enumerate(masks):
            model.add_new_mask(state, 0, i + 1, mask)
        for frame, ids, logits in model.propagate_in_video(state, 0):
            if frame:
                found = (logits[:, 0] > 0).cpu().numpy()
                yield {int(i): found[n] for n, i in enumerate(ids)}


def official_preparation(video: np.ndarray, size: int) -> float:
    """Return the milliseconds a frame that the official loader's resizing and scaling take."""
    started = time.perf_counter()
    for frame in video[:8]:
        small = np.array(Image.fromarray(frame).convert("RGB").resize((size, size))) / 255.0
        _ = torch.from_numpy(small).permute(2, 0, 1).float()
    return (time.perf_counter() - started) / 8 * 1e3


def our_model(name: str, size: int, device: torch.device) -> SAM2S:
    """Return the built-in network, or another with seeded weights, read as a checkpoint is."""
    if name == "nano":
        return load_model(device=str(device))
    shell = SAM2S(CONFIGS[f"sam2.1-{name}"])
    weights = parity.seeded_weights({n: tuple(p.shape) for n, p in shell.state_dict().items()})
    with tempfile.TemporaryDirectory() as folder:
        torch.save({"model": weights}, f"{folder}/seeded.pt")
        return load_model(f"{folder}/seeded.pt", device=str(device), dtype=torch.bfloat16, image_size=size)


def our_tracker(model: SAM2S, video: np.ndarray, masks: list[np.ndarray], *, keep: bool = False) -> Tracker:
    """Return a tracker whose objects have their masks."""
    memory = "divemem" if model.config.trunk.kind != "hiera" else "vanilla"
    results = MemoryResults((HEIGHT, WIDTH)) if keep else Discard((HEIGHT, WIDTH))
    tracker = Tracker(model, video, results, memory=memory)
    for i, mask in enumerate(masks):
        tracker.prompt(i + 1, 0, mask=mask)
    return tracker


def wait(device: torch.device) -> None:
    """Wait for the GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def clock(run, warm: int, frames: int, device: torch.device) -> tuple[dict, list[dict]]:
    """Return frames a second, the median of a frame and the peak of memory, and the masks of every frame from the first."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    found = [next(run) for _ in range(warm)]
    each = []
    wait(device)
    started = last = time.perf_counter()
    for _ in range(frames):
        found.append(next(run))
        now = time.perf_counter()
        each.append(now - last)
        last = now
    wait(device)
    taken = time.perf_counter() - started
    peak = torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else float("nan")
    return {"fps": frames / taken, "median_ms": statistics.median(each) * 1e3, "peak_mib": peak}, found


def agreement(found: list[dict], other: list[dict]) -> dict[str, float]:
    """Return the IoU of masks, on the first frame and over all."""

    def iou(a: dict, b: dict) -> float:
        pairs = [(int((a[i] & b[i]).sum()), int((a[i] | b[i]).sum())) for i in a]
        return float(np.mean([both / either if either else 1.0 for both, either in pairs]))

    each = [iou(a, b) for a, b in zip(found, other, strict=False)]
    return {"iou_first": each[0], "iou_mean": float(np.mean(each))}


def last_logits(tracker: Tracker, frame: int) -> torch.Tensor:
    """Return the logits of all objects on the frame tracked last."""
    kept = [tracker._actor.objects.logits(i, frame) for i in tracker.object_ids]
    return torch.cat([logits.float() for logits in kept]).cpu()


def split(tracker: Tracker, frame: int, times: int = 20) -> dict[str, float]:
    """Return the GPU's milliseconds for each part of the network, replayed as a graph (eager on a CPU)."""
    model, actor = tracker.model, tracker._actor
    assert isinstance(model, SAM2S)
    device = model.device
    with torch.inference_mode():
        image = normalise(tracker._frames(frame)[None], device)
        features = model.encode(image)
        memories = model.recalled([actor.objects._recall(i, frame, 1) for i in tracker.object_ids])
        attended = model.attend(features, memories)
        decoded = model.decode(attended)
        parts = {
            "encode": (model.encode, (image,)),
            "attend": (model.attend, (features, memories)),
            "decode": (model.decode, (attended,)),
            "memorize": (model.memorize, (features, decoded.logits, decoded.object_score)),
        }
        taken = {}
        for name, (function, arguments) in parts.items():
            try:
                again = CudaRecorder()(function, arguments) if device.type == "cuda" else lambda a, f=function: f(*a)
                again(arguments)
                wait(device)
                started = time.perf_counter()
                for _ in range(times if device.type == "cuda" else 1):
                    again(arguments)
                wait(device)
                taken[name] = (time.perf_counter() - started) / (times if device.type == "cuda" else 1) * 1e3
            except Exception:
                traceback.print_exc()
    return taken


Before = tuple[torch.Tensor, list[dict]]


def compare(row: dict, tracker: Tracker, found: list[dict], theirs: tuple | None, eager: Before | None, frame: int) -> Before:
    """Put into ``row`` how near ours is to the official one and to ``eager``; return what the next runner compares with."""
    if theirs is not None:
        row["ratio"] = row["fps"] / theirs[0]["fps"]
        row |= agreement(found, theirs[1])
    logits = last_logits(tracker, frame)
    if eager is None:
        return logits, found
    row["logits_from_eager"] = float((logits - eager[0]).abs().max())
    row["iou_with_eager"] = agreement(found, eager[1])["iou_mean"]
    return eager


class Report:
    """Prints rows as they come and keeps the JSON file up to date."""

    def __init__(self, path: str | None, header: dict) -> None:
        self.path, self.content = path, {**header, "rows": []}
        print(json.dumps(header), flush=True)
        print(
            "| network | objects | runner | frames/s | ms (median) | ratio | peak MiB | remarks |\n" + "|---" * 8 + "|",
            flush=True,
        )

    def add(self, row: dict) -> None:
        """Print a row."""
        self.content["rows"].append(row)
        rest = {
            k: v for k, v in row.items() if k not in ("network", "objects", "runner", "fps", "median_ms", "ratio", "peak_mib")
        }
        remarks = ", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in rest.items())
        ratio = f"{row['ratio']:.2f}x" if row.get("ratio") else ""
        cells = [row["network"], row["objects"], row["runner"], f"{row['fps']:.1f}", f"{row['median_ms']:.2f}", ratio]
        print("| " + " | ".join(str(c) for c in [*cells, f"{row['peak_mib']:.0f}", remarks]) + " |", flush=True)
        self.save()

    def save(self) -> None:
        """Write the file."""
        if self.path:
            Path(self.path).write_text(json.dumps(self.content, indent=1))


def frames_for(objects: int, frames: int) -> int:
    """Return how many frames are timed."""
    return max(frames // 2, 1) if objects >= MANY else frames


def late(limit: float) -> bool:
    """Whether the time is up."""
    if time.monotonic() - STARTED < limit:
        return False
    print(f"left out: {limit:.0f} s are over", flush=True)
    return True


def run_official(name: str, counts: list[int], args, device: torch.device, report: Report) -> dict[int, tuple[dict, list]]:
    """Time the official predictor; return rows and masks by the number of objects."""
    done: dict[int, tuple[dict, list]] = {}
    try:
        model = official_model(name, args.size, device)
    except Exception:
        traceback.print_exc()
        return done
    for objects in counts:
        if late(args.limit):
            break
        try:
            timed = frames_for(objects, args.frames)
            video, masks = make_video(args.warm + timed + 2, objects)
            row, found = clock(official_frames(model, video, masks, args.size, device), args.warm, timed, device)
            row |= {"prepare_ms": official_preparation(video, args.size)}
            report.add({"network": name, "objects": objects, "runner": "official", **row})
            done[objects] = row, found
        except Exception:
            traceback.print_exc()
    return done


def run_ours(name: str, counts: list[int], args, device: torch.device, report: Report, beside: dict) -> None:
    """Time ours, eager and with graphs."""
    try:
        model = our_model(name, args.size, device)
    except Exception:
        traceback.print_exc()
        return
    for objects in counts:
        eager: Before | None = None
        timed = frames_for(objects, args.frames)
        video, masks = make_video(args.warm + timed + 2, objects)
        for runner in ("ours, eager", "ours, graphs", "ours, graphs, masks kept"):
            if late(args.limit):
                return
            if "kept" in runner and name != "nano":
                continue
            try:
                model.graphs = Graphs() if "graphs" in runner and device.type == "cuda" else None
                tracker = our_tracker(model, video, masks, keep="kept" in runner)
                row, found = clock((m for _, m in tracker.propagate(1)), args.warm, timed, device)
                try:
                    eager = compare(row, tracker, found, beside.get(objects), eager, args.warm + timed)
                except Exception:
                    traceback.print_exc()
                if model.graphs is not None:
                    row |= {"recorded": model.graphs.recorded, "failed": " ".join(sorted(model.graphs.failed)) or "none"}
                report.add({"network": name, "objects": objects, "runner": runner, **row})
                if runner == "ours, graphs":
                    parts = split(tracker, args.warm + timed)
                    print("  GPU ms:", ", ".join(f"{part} {ms:.2f}" for part, ms in parts.items()), flush=True)
                    report.content["rows"][-1]["parts_ms"] = parts
                    report.save()
            except Exception:
                traceback.print_exc()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    default = ["base-plus:1", "base-plus:3", "nano:1", "nano:3", "base-plus:10"]
    parser.add_argument("--rows", nargs="+", default=default, metavar="NETWORK:OBJECTS")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--warm", type=int, default=WARM)
    parser.add_argument("--limit", type=float, default=75.0, help="seconds after which no further row is begun")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--json")
    args = parser.parse_args()
    device = torch.device(args.device)
    card = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    header = {"card": card, "torch": torch.__version__, "size": args.size, "video": [HEIGHT, WIDTH], "frames": args.frames}
    report = Report(args.json, {**header, "threads": torch.get_num_threads()})
    for name, rows in itertools.groupby((row.split(":") for row in args.rows), key=lambda row: row[0]):
        objects = [int(row[1]) for row in rows]
        beside = {} if name == "nano" else run_official(name, objects, args, device, report)
        if device.type == "cuda":
            torch.cuda.empty_cache()
        run_ours(name, objects, args, device, report, beside)
    report.content["seconds"] = time.monotonic() - STARTED
    report.save()
    print(f"{report.content['seconds']:.0f} s", flush=True)


if __name__ == "__main__":
    main()

"""``napari-sam2s models compare``: models side by side on the user's own clip, so that the choice is an informed one."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sam2s.cli.common_options import add_shared
from napari_sam2s.cli.prompt_options import add_options, read_prompts
from napari_sam2s.cli.terminal import progress_bar, say, tell_warnings
from napari_sam2s.errors import PromptError, Sam2sError
from napari_sam2s.wording import counted

if TYPE_CHECKING:
    from napari_sam2s.masklets.types import Prompt
    from napari_sam2s.tracking.model_comparison import ModelRun

SHOWN = 6  # frames of the sheet


def add_parser(actions: Any) -> None:
    """Add the action."""
    parser = actions.add_parser("compare", help="compare models on a clip: pictures, speed, memory and agreement")
    add_shared(parser, "video")
    parser.add_argument("models", nargs="*", metavar="MODEL", help="names or checkpoint files (default: all on this machine)")
    add_options(parser)
    parser.add_argument("--project", type=Path, help="use the prompts of this project")
    parser.add_argument(
        "--truth",
        type=Path,
        help="ground truth for J&F, a DAVIS folder or a project; it also gives the prompts, if there are none",
    )
    parser.add_argument("--frames", type=int, default=60, help="number of frames to track from the first prompt (default: 60)")
    add_shared(parser, "--device")
    parser.add_argument("--image-size", type=int, help="side of every network's input in pixels (default: that of each model)")
    add_shared(parser, "--memory", "--fast", "--ignore-differences")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--out", type=Path, required=True, help="a new folder for the pictures and tables")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Compare."""
    from napari_sam2s.formats.atomic_write import refuse_full
    from napari_sam2s.video import open_video

    refuse_full(args.out)
    if args.frames < 2:
        raise PromptError(f"--frames {args.frames} is too few to compare: take at least 2.")
    prompts = _prompts(args)
    with open_video(args.video) as video:
        tell_warnings("models compare", video)
        shape = (int(video.shape[0]), int(video.shape[1]), int(video.shape[2]))
        frames = _frames(prompts, shape, args.frames)
        runs: list[ModelRun] = []
        failed: dict[str, str] = {}
        try:
            _run_all(args, video, prompts, frames, runs, failed)
        finally:  # Ctrl-C as well: each may have taken minutes
            if runs:
                report = _report(args, runs, frames) | {"failed": failed}
                _write(args.out, video, runs, frames, report)
                print(json.dumps(report, indent=1) if args.json else _table(report))
    for name, reason in failed.items():
        say("models compare", f"{name}: {reason}")
    return 2 if failed else 0


def _prompts(args: argparse.Namespace) -> list[Prompt]:
    from napari_sam2s.masklets import Project

    prompts = read_prompts(args)
    if args.project is not None:
        with Project.open(args.project, mode="r") as project:
            prompts += project.prompts()
    if not prompts and args.truth is not None:
        prompts = _first_masks(args.truth)
    if not prompts:
        raise PromptError("There is nothing to track: give --point, --box, --mask, --project or --truth.")
    return prompts


def _first_masks(truth: Path) -> list[Prompt]:
    """Return the first mask of each object of the ground truth as its prompt."""
    from napari_sam2s.evaluation.protocols import first_frames
    from napari_sam2s.masklets.types import Prompt

    masklets = _truth(truth)
    return [Prompt(i, frame, mask=masklets.masks(frame)[i]) for i, frame in first_frames(masklets).items()]


def _truth(path: Path) -> Any:
    from napari_sam2s.errors import EvaluationError
    from napari_sam2s.evaluation.masklet_sources import find_videos

    videos = find_videos(path, 255)
    if len(videos) != 1:
        raise EvaluationError(f"{path} holds the masks of {counted(len(videos), 'video')}: give the folder of one.")
    return next(iter(videos.values()))


def _frames(prompts: Sequence[Prompt], shape: tuple[int, int, int], count: int) -> range:
    from napari_sam2s.tracking.prompts import check_prompt

    for prompt in prompts:
        check_prompt(prompt, shape)
    first = min(prompt.frame for prompt in prompts)
    return range(first, min(first + count, shape[0]))


def _run_all(
    args: argparse.Namespace,
    video: Any,
    prompts: Sequence[Prompt],
    frames: range,
    runs: list[ModelRun],
    failed: dict[str, str],
) -> None:
    """Run every model, and note what it did or why not; one that cannot be run does not keep the others from it."""
    from napari_sam2s.model.speed import Mode
    from napari_sam2s.tracking.engine import ModelChoice
    from napari_sam2s.tracking.model_comparison import run_model

    mode: Mode = "fast" if args.fast else "exact"
    names = list(dict.fromkeys(args.models or _installed()))
    short = [Path(name).name for name in names]
    for name, shown in zip(names, short if len(set(short)) == len(short) else names, strict=True):
        choice = ModelChoice(name, args.device, args.image_size, mode=mode, strict=args.strict)
        try:
            with progress_bar(shown, "frame") as show:
                runs.append(run_model(shown, choice, video, prompts, frames, args.memory, progress=show))
        except Sam2sError as error:
            failed[name] = str(error)


def _installed() -> list[str]:
    from napari_sam2s.model.downloads import find_local
    from napari_sam2s.model.model_registry import loadable
    from napari_sam2s.model.own_models import own_models

    own = own_models()
    return [*own, *(e.name for e in loadable().values() if e.name not in own and (e.built_in or find_local(e) is not None))]


def _report(args: argparse.Namespace, runs: Sequence[ModelRun], frames: range) -> dict[str, Any]:
    """Return everything there is to say, as plain data."""
    from napari_sam2s.evaluation.agreement import agreement_table

    prompted = {p.frame for run in runs for p in run.masks.prompts()}
    counted = [frame for frame in frames if frame not in prompted]  # there they were told
    table = agreement_table({run.name: run.masks for run in runs}, counted)
    rows = []
    for each in runs:
        others = [j for j in table[each.name].values() if not math.isnan(j)]
        rows.append(
            {
                "model": each.name,
                "input_size": each.facts.get("image_size"),
                "seconds_a_frame": round(each.seconds, 4),
                "memory_mb": round(each.memory_bytes / 1e6),
                "device": each.device,
                "agreement": round(sum(others) / len(others), 4) if others else None,
                "agreement_with": {name: None if math.isnan(j) else round(j, 4) for name, j in table[each.name].items()},
                **({} if args.truth is None else _scores(each, _truth(args.truth), frames)),
                **({"differences": each.facts["differences"]} if each.facts.get("differences") else {}),
            }
        )
    mode = "fast" if args.fast else "exact"
    return {
        "video": str(args.video),
        "frames": [frames.start, frames.stop],
        "memory": args.memory,
        "mode": mode,
        "models": rows,
    }


def _scores(run: ModelRun, truth: Any, frames: range) -> dict[str, float]:
    """Return J, F and J&F on the annotated frames of the clip, but for those with the first masks."""
    from napari_sam2s.evaluation import evaluate
    from napari_sam2s.masklets.protocol import Renumbered

    part = Renumbered(truth, {frame: frame for frame in frames})
    evaluation = evaluate(run.masks, part, skip="prompt", missing="empty", offset=0)
    whole = evaluation.overall
    return {"j": round(whole.j, 4), "f": round(whole.f, 4), "jf": round(whole.jf, 4)}


def _write(folder: Path, video: Any, runs: Sequence[ModelRun], frames: range, report: dict[str, Any]) -> None:
    from napari_sam2s.formats.atomic_write import whole_folder
    from napari_sam2s.formats.comparison_sheet import comparison_sheet

    step = max((len(frames) - 1) / (SHOWN - 1), 1)
    shown = sorted({frames[min(round(n * step), len(frames) - 1)] for n in range(SHOWN)})
    with whole_folder(folder) as part:
        comparison_sheet(video, {run.name: run.masks for run in runs}, shown).save(part / "comparison.png")
        (part / "comparison.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
        (part / "comparison.md").write_text(_table(report) + "\n", encoding="utf-8")
    print(f"Look at {folder / 'comparison.png'}.", file=sys.stderr)


def _table(report: dict[str, Any]) -> str:
    """Return the report as a Markdown table."""
    from napari_sam2s.evaluation.score_tables import table
    from napari_sam2s.masklets.validation import markdown_cell

    rows = report["models"]
    names = [row["model"] for row in rows]
    truth = "jf" in rows[0]
    agree = names if len(names) > 1 else []
    heads = ["model", "input", "s/frame", "memory", "device"]
    heads += ["J&F", "J", "F"] if truth else []
    heads += [f"J with {markdown_cell(n)}" for n in agree]
    cells = []
    for row in rows:
        facts = [row["model"], str(row["input_size"]), f"{row['seconds_a_frame']:.3f}", f"{row['memory_mb']} MB", row["device"]]
        scores = [f"{100 * row[key]:.1f}" for key in ("jf", "j", "f")] if truth else []
        cells.append([*facts, *scores, *(_percent(row["agreement_with"].get(other)) for other in agree)])
    left_out = [
        f"{markdown_cell(name)} was loaded without the tensors that do not fit: {row['differences']}."
        for name, row in zip(names, rows, strict=True)
        if row.get("differences")
    ]
    start, stop = report["frames"]
    setting = f"{report['mode']} mode, memory {report['memory']}"
    lines = [table(heads, cells), "", f"Frames {start} to {stop - 1}; {setting}; median seconds of a frame.", *left_out]
    if not truth:
        lines.append("J tells how far models agree, not which of them is right: look at the pictures.")
    return "\n".join(lines)


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}"

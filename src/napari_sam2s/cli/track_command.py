"""``napari-sam2s track``: prompts in, masks out."""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sam2s.cli.common_options import add_shared
from napari_sam2s.cli.prompt_options import add_options, read_prompts
from napari_sam2s.cli.terminal import tell_warnings
from napari_sam2s.errors import FormatError, ProjectError, PromptError, TrackingError, is_disk_full
from napari_sam2s.masklets.project_draft import remove_project
from napari_sam2s.masklets.validation import quoted

if TYPE_CHECKING:
    from napari_sam2s.masklets.types import Prompt
    from napari_sam2s.model.speed import Mode
    from napari_sam2s.tracking import Tracker

PROJECT_ENDING = ".sam2s"
MANY = 20  # prompts, from which on giving them has a progress bar


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_shared(parser, "video")
    add_options(parser)
    add_shared(parser, "--model", "--memory", "--image-size", "--device")
    parser.add_argument("--start", type=int, help="first frame to track (default: the first prompted frame)")
    parser.add_argument(
        "--stop", type=int, help="stop before this frame (default: the end of the video); applies to the forward direction"
    )
    add_shared(parser, "--direction", "--rate")
    parser.add_argument("--fps", type=float, help="frame rate of images and arrays, which do not store one")
    add_shared(parser, "--stream", "--fast", "--crop", "--ignore-differences")
    parser.add_argument(
        "--out", type=Path, required=True, help=f"a new project ({PROJECT_ENDING}), or a folder for PNG masks and scores"
    )


def run(args: argparse.Namespace) -> int:
    """Track."""
    prompts = read_prompts(args)
    if not prompts:
        raise PromptError("There is nothing to track: give --point, --box or --mask.")
    into_project = args.out.suffix == PROJECT_ENDING
    if not into_project:
        _check_folder(args.out, prompts)

    from napari_sam2s.model import load_model
    from napari_sam2s.video import open_video

    with open_video(args.video, fps=args.fps, stream=args.stream) as video:
        tell_warnings("track", video)
        _check(args, video, prompts)
        mode: Mode = "fast" if args.fast else "exact"
        model = load_model(args.model, device=args.device, image_size=args.image_size, mode=mode, strict=args.strict)
        (_into_project if into_project else _into_folder)(args, video, model, prompts)
    print(args.out)
    return 0


def _check_folder(folder: Path, prompts: Sequence[Prompt]) -> None:
    """Refuse what would fail when everything is tracked."""
    from napari_sam2s.formats.atomic_write import refuse_full
    from napari_sam2s.formats.davis_layout import LARGEST_ID

    refuse_full(folder)
    if (largest := max(p.object_id for p in prompts)) > LARGEST_ID:
        raise FormatError(
            f"A folder of palette PNGs holds the objects 1 to {LARGEST_ID}, and the prompts name {largest}: write a project "
            f"instead, as in --out {folder.name}{PROJECT_ENDING}."
        )


def _check(args: argparse.Namespace, video: Any, prompts: Sequence[Prompt]) -> None:
    """Refuse prompts, ranges and rates that do not fit the video, before anything is loaded or made."""
    from napari_sam2s.tracking.frame_ranges import check_frames, directions, frame_range
    from napari_sam2s.tracking.prompts import check_prompt
    from napari_sam2s.tracking.working_rate import find_stride

    shape = (int(video.shape[0]), int(video.shape[1]), int(video.shape[2]))
    shown: dict[int, list[int]] = {}
    for p in prompts:
        check_prompt(p, shape)
        shown.setdefault(p.object_id, []).append(p.frame)
    if find_stride(video, args.rate) > 1 and args.crop:
        raise TrackingError("--crop follows its object from frame to frame, so it needs every one: leave out --rate.")
    ends = directions(args.direction, args.stop)
    ranges = [check_frames(frame_range(shown, shape[0], list(shown), args.start, stop, sign)) for sign, stop in ends]
    for i, frames in shown.items():
        if not any((reached[-1] - t) * reached.step >= 0 for reached in ranges for t in frames):
            raise PromptError(
                f"Object {i} is prompted on frame {frames[0]}, and tracking {args.direction} ends before that: change --start, "
                "--stop or --direction."
            )


def _into_folder(args: argparse.Namespace, video: Any, model: Any, prompts: Sequence[Prompt]) -> None:
    from napari_sam2s.formats.atomic_write import check_writable
    from napari_sam2s.tracking import make_tracker
    from napari_sam2s.tracking.track_video import Masks

    check_writable(args.out)  # now, and not when everything is tracked
    results = Masks.for_objects(video, {p.object_id for p in prompts})
    tracker = make_tracker(model, video, results, args.memory, crop=args.crop)
    give(tracker, prompts)
    try:
        _propagate(tracker, args)
    except BaseException:
        _keep(results, args.out, video)
        last = results.frames[0 if args.direction == "backward" else -1]
        print(f"stopped; what was found until frame {last} is in {args.out}", file=sys.stderr)
        raise
    _keep(results, args.out, video)


def _keep(results: Any, folder: Path, video: Any) -> None:
    """Write the folder or, where its disk is full by now, another one: it may be the work of hours."""
    import tempfile

    try:
        write_folder(results, folder, video)
    except FormatError as error:
        try:
            elsewhere = Path(tempfile.mkdtemp(prefix="sam2s-")) / folder.name
            write_folder(results, elsewhere, video)
        except (FormatError, OSError):
            raise error from None
        raise FormatError(f"{error} What was found is in {elsewhere}: move it from there.") from error


def _into_project(args: argparse.Namespace, video: Any, model: Any, prompts: Sequence[Prompt]) -> None:
    from napari_sam2s.masklets import Project
    from napari_sam2s.tracking import Segment, make_tracker, segment_runs
    from napari_sam2s.tracking.frame_ranges import directions
    from napari_sam2s.tracking.propagation_plan import OneDirection
    from napari_sam2s.tracking.working_rate import find_stride

    if args.out.is_file():
        _remove_if_never_begun(args.out, video, prompts)
    with Project.create(args.out, video) as project:
        numbers = {i: project.add_object(f"object {i}").id for i in sorted({p.object_id for p in prompts})}
        if any(i != number for i, number in numbers.items()):
            print(
                f"The project numbers its objects 1 to {len(numbers)}; their names hold the numbers of the prompts.",
                file=sys.stderr,
            )
        tracker = make_tracker(model, video, project, args.memory, crop=args.crop)
        try:
            give(tracker, [replace(p, object_id=numbers[p.object_id]) for p in prompts])
        except BaseException:
            # Nothing is tracked that could be resumed, and the name would be taken: the prompts are in the command.
            project.close()
            remove_project(args.out)
            raise
        stride = find_stride(video, args.rate)
        segments = []
        for sign, stop in directions(args.direction, args.stop):
            frames = tracker.frames(tracker.object_ids, args.start, stop, sign)
            one: OneDirection = "forward" if sign > 0 else "backward"
            segments.append(Segment(frames.start, frames.stop, one, tracker.object_ids, stride))
        for each in segment_runs(tracker, segments):
            show(each)


def _remove_if_never_begun(path: Path, video: Any, prompts: Sequence[Prompt]) -> None:
    """Remove what the same command left when it was killed before it tracked: nothing is in it that it does not say."""
    from napari_sam2s.masklets import Project
    from napari_sam2s.tracking.prompts import check_prompt

    asked = [check_prompt(p, (int(video.shape[0]), int(video.shape[1]), int(video.shape[2]))) for p in prompts]  # as kept
    with Project.open(path) as project:
        numbers = dict(enumerate(sorted({p.object_id for p in prompts}), 1))
        known = [replace(p, object_id=numbers.get(p.object_id, 0)) for p in project.prompts()]
        given = all(any(_alike(one, other) for other in asked) for one in known)
        named = all(o.id in numbers and o.name == f"object {numbers[o.id]}" and not o.class_name for o in project.objects)
        more = "SELECT 1 FROM known_masks WHERE origin != 'prompted' OR confirmed != 0 UNION ALL SELECT 1 FROM links LIMIT 1"
        if project.runs or not given or not named or project.store.rows(more):
            return  # Project.create says that it exists
        try:
            project.video.check(video)
        except ProjectError:
            return
    remove_project(path)


def _alike(one: Prompt, other: Prompt) -> bool:
    from numpy import array_equal

    if replace(one, mask=None) != replace(other, mask=None):
        return False
    if one.mask is None or other.mask is None:
        return one.mask is other.mask
    return array_equal(one.mask, other.mask)


def give(tracker: Tracker, prompts: Sequence[Prompt]) -> None:
    """Prompt a tracker."""
    from tqdm import tqdm

    for p in tqdm(prompts, unit="prompt", desc="prompting", disable=len(prompts) < MANY):
        tracker.give(p)
    _doubt(tracker, prompts)


def _doubt(tracker: Tracker, prompts: Sequence[Prompt]) -> None:
    """Say which answers to clicks and boxes are likely wrong: tracking carries them through the video."""
    from napari_sam2s.masklets.span_states import UNSURE_ANSWER

    for frame, object_id in dict.fromkeys((p.frame, p.object_id) for p in prompts if p.mask is None):
        scores = tracker.scores(frame).get(object_id)
        if scores is not None and scores.iou < UNSURE_ANSWER:
            what = f"its mask of object {object_id} on frame {frame} (predicted IoU {scores.iou:.2f})"
            print(f"The model is unsure of {what}: look at it, and add a click where it is wrong.", file=sys.stderr)


def show(run: Any) -> None:
    """Run a :class:`ProjectRun` with a progress bar; when interrupted, it can be resumed."""
    from tqdm import tqdm

    try:
        for _ in tqdm(run, total=len(run), unit="frame", desc=f"tracking {run.direction}"):
            pass
    except KeyboardInterrupt:
        run.pause()
        print(f"paused; resume it with: napari-sam2s resume {quoted(run.project.path)}")
        raise
    except ProjectError as error:
        if error.__cause__ is None or not is_disk_full(error.__cause__):
            raise
        raise ProjectError(f"{error} Resume it with: napari-sam2s resume {quoted(run.project.path)}") from error


def _propagate(tracker: Tracker, args: argparse.Namespace) -> None:
    from tqdm import tqdm

    from napari_sam2s.tracking.track_video import count_frames

    total = count_frames(tracker, args.start, args.stop, args.direction)
    frames = tracker.propagate(args.start, args.stop, args.direction, rate=args.rate)
    for _ in tqdm(frames, total=total, unit="frame", desc="tracking"):
        pass


def write_folder(results: Any, folder: Path, video: Any) -> None:
    """Write palette PNGs, ``meta.json`` and ``scores.csv``; of a folder of pictures under the pictures' own numbers."""
    from napari_sam2s.formats import write_davis
    from napari_sam2s.formats.atomic_write import whole_file
    from napari_sam2s.masklets.protocol import Renumbered
    from napari_sam2s.video.image_folder import picture_numbers

    numbers = picture_numbers(video.path) if video.path is not None and video.path.is_dir() else []
    own = len(numbers) == video.shape[0]
    with whole_file(folder / "scores.csv") as part:  # together with the pictures, or not at all
        _write_scores(results, part, numbers if own else range(video.shape[0]))
        write_davis(Renumbered(results, dict(enumerate(numbers))) if own else results, folder, video.name)


def _write_scores(results: Any, path: Path, numbers: Sequence[int]) -> None:
    from napari_sam2s.formats.text_cells import csv_cell

    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["frame", "object", "area", "iou", "object_score", "class", "class_score"])
        for frame in results.frames:
            masks, scores = results.masks(frame), results.scores(frame)
            for i in sorted(masks):
                s = scores.get(i)
                best = max(s.class_scores.items(), key=lambda item: item[1]) if s and s.class_scores else ("", "")
                known = (f"{s.iou:.4f}", f"{s.object_score:.3f}") if s else ("", "")
                area, sure = int(masks[i].sum()), f"{best[1]:.3f}" if best[0] else ""
                writer.writerow([numbers[frame], i, area, *known, csv_cell(best[0]), sure])

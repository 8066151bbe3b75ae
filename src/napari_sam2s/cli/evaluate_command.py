"""``napari-sam2s evaluate``: J&F and its relatives."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sam2s.cli.common_options import add_shared
from napari_sam2s.cli.terminal import progress_bar
from napari_sam2s.errors import EvaluationError

if TYPE_CHECKING:
    from napari_sam2s.evaluation import Evaluation
    from napari_sam2s.evaluation.identity import IdentityScore


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("prediction", help="a DAVIS folder or a project")
    parser.add_argument("truth", help="a DAVIS folder or a project")
    add_shared(parser, "--skip")
    parser.add_argument(
        "--missing",
        default="error",
        choices=("error", "empty"),
        help="how to score frames that have no prediction: stop with an error, or count an empty mask (default: error)",
    )
    add_shared(parser, "--late")
    parser.add_argument("--keep-void", action="store_true", help="score the value 255 as an object, not as void")
    parser.add_argument("--nsd", type=float, metavar="TOLERANCE", help="compute HD95 too, and NSD at this tolerance")
    parser.add_argument("--identity", action="store_true", help="compute IDF1 and HOTA too, by TrackEval")
    parser.add_argument("--spacing", metavar="Y,X", help="size of a pixel in millimetres; distances are then in millimetres")
    parser.add_argument("--offset", type=int, help="number to add to the frame numbers of the prediction")
    parser.add_argument("--processes", type=int, default=1, help="number of processes (default: 1)")
    parser.add_argument("--csv", type=Path, help="write one row for each object to this file")
    parser.add_argument("--report", type=Path, metavar="FOLDER", help="write tables and pictures to this new folder")
    parser.add_argument(
        "--video",
        type=Path,
        help="the video for the pictures of the report, or a folder with a folder of images for each video",
    )
    add_shared(parser, "--json")


def run(args: argparse.Namespace) -> int:
    """Evaluate."""
    from napari_sam2s.evaluation import evaluate

    spacing = _spacing(args.spacing)
    _check_places(args)
    identity = _identity(args) if args.identity else None
    with progress_bar("scoring", "frame" if args.processes == 1 else "video", leave=False) as show:
        scores = evaluate(
            args.prediction,
            args.truth,
            skip=args.skip,
            missing=args.missing,
            late=args.late,
            void=None if args.keep_void else 255,
            surface=args.nsd,
            spacing=spacing,
            offset=args.offset,
            processes=args.processes,
            progress=show,
        )
    print(_shown(scores, identity, as_json=args.json), flush=True)  # first: whatever becomes of the files, the work is not lost
    if args.csv is not None:
        scores.write_csv(args.csv)
    if args.report is not None:
        _write_report(args, scores)
    return 0


def _identity(args: argparse.Namespace) -> dict[str, IdentityScore]:
    from napari_sam2s.evaluation.identity import score_identity

    return score_identity(args.prediction, args.truth, void=None if args.keep_void else 255, offset=args.offset)


def _shown(scores: Evaluation, identity: dict[str, IdentityScore] | None, *, as_json: bool) -> str:
    from napari_sam2s.evaluation.identity import identity_table

    if not as_json:
        return str(scores) if identity is None else f"{scores}\n\n{identity_table(identity)}"
    if identity is None:
        return scores.to_json()
    return json.dumps(json.loads(scores.to_json()) | {"identity": {n: asdict(s) for n, s in identity.items()}}, indent=1)


def _check_places(args: argparse.Namespace) -> None:
    """Refuse what would fail when everything is scored."""
    from napari_sam2s.evaluation.report import check_report_folder
    from napari_sam2s.formats.text_cells import csv_place

    if args.csv is not None and (args.csv.is_dir() or not args.csv.absolute().parent.is_dir()):
        raise EvaluationError(f"--csv {args.csv} cannot be written: give a file name in a folder that exists.")
    if args.csv is not None:
        csv_place(args.csv)
    if args.report is not None:
        check_report_folder(args.report, _inputs(args))
    if args.video is not None and not args.video.exists():
        raise EvaluationError(f"There is no file or folder {args.video}: say with --video where the frames are.")


def _inputs(args: argparse.Namespace) -> list[Any]:
    return [args.prediction, args.truth, *([args.video] if args.video is not None else [])]


def _spacing(word: str | None) -> tuple[float, float] | None:
    if word is None:
        return None
    try:
        y, x = map(float, word.split(","))
    except ValueError:
        raise EvaluationError(f"--spacing {word} is not written as Y,X, such as 0.1,0.1.") from None
    return y, x


def _write_report(args: argparse.Namespace, scores: Any) -> None:
    from napari_sam2s.evaluation import write_report
    from napari_sam2s.evaluation.masklet_sources import aligned, closed, find_videos, name_alike

    truth = find_videos(args.truth, None if args.keep_void else 255)
    opened = name_alike(find_videos(args.prediction, None), truth)
    prediction = {name: aligned(name, masklets, truth[name], args.offset) for name, masklets in opened.items()}
    videos = _videos(args.video, list(truth)) if args.video is not None else {}
    write_report(
        scores,
        args.report,
        prediction=prediction,
        truth=truth,
        videos=videos,
        inputs=_inputs(args),
    )
    for masklets in (*opened.values(), *truth.values()):
        with closed(masklets):
            pass


def _videos(path: Path, names: list[str]) -> dict[str, Any]:
    """Return the frames of each video: one file, one folder of pictures, or a folder of these."""
    from napari_sam2s.formats.davis_layout import PICTURES, NumberedPictures
    from napari_sam2s.video import open_video

    pictures = path / PICTURES if (path / PICTURES).is_dir() else path
    inner = {name: pictures / name for name in names if (pictures / name).is_dir()}
    if inner:
        return {name: NumberedPictures(folder) for name, folder in inner.items()}
    if len(names) > 1:
        raise EvaluationError(f"{path} has no folder for {names[0]!r}: give a folder with one folder of pictures per video.")
    return {names[0]: NumberedPictures(path) if path.is_dir() else open_video(path)}

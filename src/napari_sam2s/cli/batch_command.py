"""``napari-sam2s batch``: many videos, on this machine or on a cluster."""

from __future__ import annotations

import argparse
import json
import math
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from napari_sam2s.cli.common_options import add_shared
from napari_sam2s.cli.terminal import harmless, say
from napari_sam2s.wording import counted

if TYPE_CHECKING:
    from napari_sam2s.batching.batch_rows import BatchRow

LEAST_LINES = 6  # of the terminal that the table takes, however low it is
WIDEST_NAME = 40


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("videos", nargs="+", metavar="FILE|FOLDER", help="videos, folders of videos, or projects")
    parser.add_argument(
        "--prompts",
        default="project",
        choices=("project", "masks", "first-labels"),
        help="source of the prompts: the project of each video, a label image VIDEO_frame0.png, or the first mask of each "
        "object in VIDEO_labels.tif (default: project)",
    )
    parser.add_argument(
        "--prompt-folder", type=Path, metavar="DIR", help="folder of the label images (default: beside each video)"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for the projects (default: beside each video)")
    add_shared(parser, "--model", "--memory", "--image-size", "--device")
    parser.add_argument(
        "--precision",
        default="float32",
        choices=("float32", "bfloat16"),
        help="number format of the arithmetic; bfloat16 is faster on GPUs (default: float32)",
    )
    add_shared(parser, "--direction", default="both")
    add_shared(parser, "--rate")
    parser.add_argument("--fps", type=float, help="frame rate of image folders, which do not store one")
    add_shared(parser, "--fast", "--crop", "--ignore-differences")
    _add_workers(parser)
    parser.add_argument(
        "--summary", type=Path, metavar="CSV", help="file for the summary (default: sam2s-batch.csv beside the projects)"
    )
    parser.add_argument("--json", action="store_true", help="print the summary as JSON, for scripts")


def _add_workers(parser: argparse.ArgumentParser) -> None:
    """Add what says who does the work."""
    parser.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="use the workers of a dask scheduler, such as tls://gpu-box:8786 (default: this machine)",
    )
    parser.add_argument(
        "--keys", type=Path, metavar="DIR", help="folder with engine-certificate.pem and engine-key.pem, for tls://"
    )
    parser.add_argument(
        "--workers", type=int, metavar="N", help="number of videos at once on this machine (default: one for every two cores)"
    )
    parser.add_argument(
        "--gpus", type=int, default=0, metavar="N", help="number of graphics cards to use, one video on each (default: 0)"
    )
    parser.add_argument(
        "--retries",
        type=int,
        default=2,
        help="how often to try a video again after an error that is not the video's own (default: 2)",
    )


def run(args: argparse.Namespace) -> int:
    """Track them; exit code 0 if every video is done, 2 if some failed."""
    from napari_sam2s.batching import batch
    from napari_sam2s.batching.batch_rows import COLUMNS

    options = {name: value for name, value in vars(args).items() if name not in ("command", "run", "videos", "keys", "json")}
    table = Table(sys.stderr)
    try:
        rows = batch(args.videos, security=args.keys, progress=table.show, **options)
    except KeyboardInterrupt:
        say("batch", "Every video is paused. Run the same command again to resume.")
        raise
    finally:
        table.close()
    if args.json:
        print(json.dumps([dict(zip(COLUMNS, row.cells(), strict=True)) for row in rows], indent=1))
    failed = [row for row in rows if row.state != "done" and row.state != "nothing to do"]
    for row in failed:
        say("batch", f"{row.video.name}: {row.message}")
    say("batch", f"{(done := len(rows) - len(failed))} of {counted(len(rows), 'video')} {'is' if done == 1 else 'are'} done.")
    return 2 if failed else 0


class Table:
    """Rows that are drawn anew in place on a terminal; elsewhere a line for each video when its state changes."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lines = 0  # that were drawn last
        self._said: dict[Path, tuple[str, int, str]] = {}
        self._began = time.monotonic()

    def show(self, rows: Sequence[BatchRow]) -> None:
        """Draw the rows as they are."""
        if not self._stream.isatty():
            self._say_changes(rows)
            return
        size = shutil.get_terminal_size()
        lines = [harmless(line)[: size.columns - 1] for line in self.lines(rows, max(size.lines - 2, LEAST_LINES))]
        up = f"\x1b[{self._lines}A" if self._lines else ""
        self._stream.write(up + "".join(f"\x1b[2K{line}\n" for line in lines) + "\x1b[J")
        self._stream.flush()
        self._lines = len(lines)

    def lines(self, rows: Sequence[BatchRow], most: int) -> list[str]:
        """Return at most so many lines: of more videos, those at work first, then what failed, then the rest."""
        order = {"running": 0, "failed": 1, "waiting": 2, "stopped": 3, "done": 4, "nothing to do": 5}
        room = most - 2
        chosen = list(rows) if len(rows) <= room else sorted(rows, key=lambda row: order[row.state])[: room - 1]
        width = min(max((len(row.video.name) for row in chosen), default=5), WIDEST_NAME)
        lines = [
            f"{'video':{width}}  {'state':13}  {'frames':>15}  {'a second':>8}  worker",
            *(_line(r, width) for r in chosen),
        ]
        if len(chosen) < len(rows):
            lines.append(f"... and {len(rows) - len(chosen)} more")
        over = sum(row.over for row in rows)
        frames = sum(row.tracked for row in rows)
        seconds = time.monotonic() - self._began
        return [*lines, f"{over} of {counted(len(rows), 'video')}, {counted(frames, 'frame')} in {seconds:.0f} s"]

    def close(self) -> None:
        """Leave what was drawn."""
        self._lines = 0

    def _say_changes(self, rows: Sequence[BatchRow]) -> None:
        for row in rows:
            now = row.state, row.attempts, row.message if row.state == "waiting" else ""
            if now != self._said.get(row.video, ("waiting", 0, "")):
                self._said[row.video] = now
                more = f": {row.message}" if row.message else ""
                more = f", {counted(row.tracked, 'frame')}" if row.state == "done" else more
                print(harmless(f"{row.video.name}: {row.state}{more}"), file=self._stream, flush=True)


def _line(row: BatchRow, width: int) -> str:
    name = row.video.name if len(row.video.name) <= width else row.video.name[: width - 3] + "..."
    frames = f"{row.tracked} of {row.total}" if row.total else ""
    rate = "" if math.isnan(row.rate) else f"{row.rate:.1f}"
    last = row.message if row.state in ("failed", "waiting") or row.attempts > 1 else row.worker
    return f"{name:{width}}  {row.state:13}  {frames:>15}  {rate:>8}  {last}"

"""A synthetic SA-SV: drawn laparoscopy as subsets, run by the benchmark command; vanilla memory against DiveMem.

OMP_NUM_THREADS=1 python benchmarks/synthetic_sasv.py            prints the table
OMP_NUM_THREADS=1 python benchmarks/synthetic_sasv.py --docs     and puts it into docs/explanation/synthetic-benchmark.md

About 6 minutes of one core; --processes 2 shares the videos out.

The seeds are none that a model was trained on. Three subsets: everything stays in view; instruments leave and come back; two
of the same kind, one of which leaves.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from PIL import Image

from napari_sam2s.cli import main as command
from napari_sam2s.formats import write_davis
from napari_sam2s.synthetic.laparoscopy import Laparoscopy

SIZE = (240, 320)
SEED = 20300  # never trained on
PROMPTS = ("1-click", "3-click", "box", "mask")
PAGE = Path(__file__).parents[1] / "docs" / "explanation" / "synthetic-benchmark.md"
BEGIN, END = "<!-- synthetic SA-SV: begin -->", "<!-- synthetic SA-SV: end -->"


def cases() -> dict[str, list[Laparoscopy]]:
    """Return the subsets."""
    away = {"absences": 1, "absence_frames": (8, 10)}
    return {
        "Syn-Stay": [
            Laparoscopy(SEED, 24, SIZE, classes=("grasper", "hook"), organ="gallbladder", absences=0),
            Laparoscopy(SEED + 1, 24, SIZE, classes=("scissors",), organ="liver", absences=0),
        ],
        "Syn-Return": [
            Laparoscopy(SEED + 2, 44, SIZE, classes=("grasper", "suction"), organ=None, **away),
            Laparoscopy(SEED + 3, 44, SIZE, classes=("bipolar", "clip applier"), organ="uterus", **away),
        ],
        "Syn-Alike": [
            Laparoscopy(SEED + 4, 44, SIZE, classes=("grasper", "grasper"), organ=None, **away),
            Laparoscopy(SEED + 5, 44, SIZE, classes=("needle driver", "needle driver"), organ=None, **away),
        ],
    }


def write(root: Path) -> None:
    """Write the subsets in the masklet layout."""
    for subset, clips in cases().items():
        for n, clip in enumerate(clips):
            name = f"{subset.lower()}-{n}"
            pictures = root / subset / "JPEGImages" / name
            pictures.mkdir(parents=True)
            for t in range(len(clip)):
                Image.fromarray(clip[t]).save(pictures / f"{t:05d}.jpg", quality=92)
            write_davis(clip, root / subset, name)


def main() -> int:
    """Write, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docs", action="store_true", help="put the table into docs/explanation/synthetic-benchmark.md")
    parser.add_argument("--model", default="sam2s-nano")
    parser.add_argument("--processes", default="1")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root, out = Path(folder) / "data", Path(folder) / "results"
        write(root)
        words = ["benchmark", str(root), "--out", str(out), "--model", arguments.model, "--processes", arguments.processes]
        words += [w for m in ("vanilla", "divemem") for w in ("--memory", m)] + [w for p in PROMPTS for w in ("--prompt", p)]
        code = command(words)
        if code == 0 and arguments.docs:
            table = (out / "benchmark.md").read_text(encoding="utf-8").strip()
            before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
            PAGE.write_text(f"{before}{BEGIN}\n\n{table}\n\n{END}{rest.split(END)[1]}", encoding="utf-8")
    return code


if __name__ == "__main__":
    sys.exit(main())

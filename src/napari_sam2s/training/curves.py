"""The curves of a run: its CSV files, and one picture drawn from them."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from napari_sam2s.formats.atomic_write import make_folder, whole_file, writing

WIDTH, HEIGHT, MARGIN = 460, 190, 42  # pixels of one panel, and around it
RAW, SMOOTH, VALID = (190, 205, 225), (30, 90, 170), (200, 70, 40)


def append_row(path: Path, row: Mapping[str, float]) -> None:
    """Add a row to a CSV file, which is begun with the names of its columns; see :func:`writing`."""
    make_folder(path.parent)
    with writing(path), path.open("a", newline="", encoding="utf-8") as file:
        new = file.tell() == 0
        writer = csv.writer(file)
        if new:
            writer.writerow(row)
        writer.writerow([v if isinstance(v, int) else f"{v:.5f}" for v in row.values()])


def forget_after(path: Path, step: int) -> None:
    """Take the rows of later steps out of a CSV file: the run resumes from this step, and will write them again."""
    if not path.is_file():
        return
    with path.open(newline="", encoding="utf-8") as file:
        head, *rows = list(csv.reader(file)) or [[]]
    # A row may have been cut off by a kill.
    kept = [row for row in rows if len(row) == len(head) and row[0].isdigit() and int(row[0]) <= step]
    if not kept:  # perhaps not even the names of the columns were all written
        path.unlink()
        return
    if len(kept) == len(rows):
        return
    with whole_file(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([head, *kept])


def _columns(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([float(row[name]) for row in rows]) for name in (rows[0] if rows else {})}


def draw_curves(folder: Path) -> Path:
    """Draw ``curve.csv`` and ``validation.csv`` of a run's folder into ``curves.png``; return its path."""
    training, validation = _columns(folder / "curve.csv"), _columns(folder / "validation.csv")
    panels = [(name, training["step"], values, False) for name, values in training.items() if name != "step"]
    panels += [(f"validation {name}", validation["step"], v, True) for name, v in validation.items() if name != "step"]
    panels = [panel for panel in panels if np.isfinite(panel[2]).any()]
    rows = max((len(panels) + 1) // 2, 1)
    picture = Image.new("RGB", (2 * WIDTH, rows * HEIGHT), "white")
    draw = ImageDraw.Draw(picture)
    for n, (name, steps, values, valid) in enumerate(panels):
        _panel(draw, (n % 2 * WIDTH, n // 2 * HEIGHT), name, steps, values, valid)
    path = folder / "curves.png"
    with whole_file(path) as part:
        picture.save(part, format="PNG")
    return path


def _panel(
    draw: ImageDraw.ImageDraw, corner: tuple[int, int], name: str, steps: np.ndarray, values: np.ndarray, valid: bool
) -> None:
    """Draw one curve: what was measured, and (of training) its moving average."""
    known = np.isfinite(values)
    steps, values = steps[known], values[known]
    left, top = corner[0] + MARGIN, corner[1] + 22
    width, height = WIDTH - MARGIN - 12, HEIGHT - 48
    low, high = float(values.min()), float(values.max())
    first, last = float(steps.min()), float(steps.max())

    def place(x: np.ndarray, y: np.ndarray) -> list[tuple[float, float]]:
        u = (x - first) / max(last - first, 1e-9)
        v = (y - low) / max(high - low, 1e-9)
        return list(zip((left + u * width).tolist(), (top + (1 - v) * height).tolist(), strict=True))

    draw.rectangle((left, top, left + width, top + height), outline=(210, 210, 210))
    draw.text((left, corner[1] + 6), name, fill="black")
    draw.text((corner[0] + 4, top - 4), f"{high:.3g}", fill=(90, 90, 90))
    draw.text((corner[0] + 4, top + height - 8), f"{low:.3g}", fill=(90, 90, 90))
    draw.text((left, top + height + 4), f"{first:.0f}", fill=(90, 90, 90))
    draw.text((left + width - 30, top + height + 4), f"{last:.0f}", fill=(90, 90, 90))
    points = place(steps, values)
    draw.line(points, fill=VALID if valid else RAW, width=2 if valid else 1)
    if valid:
        for x, y in points:
            draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=VALID)
    elif len(values) > 4:
        reach = max(len(values) // 12, 2)
        kernel = np.ones(reach) / reach
        draw.line(place(np.convolve(steps, kernel, "valid"), np.convolve(values, kernel, "valid")), fill=SMOOTH, width=2)

"""Make the README's moving picture: ``xvfb-run -a -s "-screen 0 1600x1000x24" python docs/make_moving_picture.py``.

Clicks, keys, masks and a correction in a real window, with the built-in model. By default on the drawn case, whose objects are
known. ``--video FILE --click Y,X --click Y,X`` takes a video of yours (each click is an object), ``--fix FRAME,Y,X`` clicks
what its first object lacks there, and ``--credit`` names its source. The README's was made of a clip that is not in this
repository::

    --video ../shared/real/videos/04_coffee.mp4 --click 470,500 --click 506,875 --fix 16,270,762 --frames 90 --step 4
    --credit "Video: SA-V, Meta, CC BY 4.0"
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from qtpy.QtCore import QPoint, Qt
from walk import LEFT, Walk, grabbed

from napari_sam2s.evaluation.clicks import next_click
from napari_sam2s.evaluation.region_and_boundary import iou
from napari_sam2s.formats import write_video
from napari_sam2s.synthetic.clip import Clip
from napari_sam2s.synthetic.samples import demo_case

OUT = Path(__file__).parent / "images" / "tour.gif"
SIZE, SHOWN = (1180, 740), 860  # of the window, and the width of the picture
CLICKS, RIGHT = 4, 0.85  # at most for an object, and the IoU from which on it needs no more
FAIR = 0.9  # IoU below which a tracked mask is corrected
COLOURS = 80
ARROW = ((0, 0), (0, 19), (5, 15), (9, 23), (12, 21), (8, 14), (14, 14))


class Film(Walk):
    """A walk whose pictures become one."""

    def __init__(self, folder: Path, credit: str, step: int) -> None:
        super().__init__(folder)
        self.step = step  # frames between two that are shown
        self.viewer.window.resize(*SIZE)
        for dock in (self.viewer.window._qt_viewer.dockLayerControls, self.viewer.window._qt_viewer.dockLayerList):
            dock.setVisible(False)  # more room for the video
        self.pictures: list[Image.Image] = []
        self.lengths: list[int] = []  # milliseconds
        self.credit = credit
        self.truth: Clip | None = None
        self.fix: tuple[float, ...] | None = None  # frame, y, x
        self.font = ImageFont.load_default(24)
        self.small = ImageFont.load_default(13)

    def take(self, caption: str, milliseconds: int, at: QPoint | None = None) -> None:
        """Take a picture with a caption, and the pointer on the canvas."""
        self.rest(0.3)
        window = self.viewer.window._qt_window
        image = grabbed(window)
        draw = ImageDraw.Draw(image)
        corner = self.canvas.mapTo(window, QPoint(0, 0))
        x, y = corner.x() + self.canvas.width() // 2, corner.y() + self.canvas.height() - 42
        box = draw.textbbox((x, y), caption, self.font, anchor="mm")
        draw.rounded_rectangle(
            (box[0] - 14, box[1] - 10, box[2] + 14, box[3] + 10), 8, fill=(20, 20, 20), outline=(200, 200, 200)
        )
        draw.text((x, y), caption, (255, 255, 255), self.font, anchor="mm")
        if self.credit:
            draw.text((corner.x() + 8, corner.y() + 8), self.credit, (255, 255, 255), self.small)
        if at is not None:
            tip = corner + at
            draw.polygon([(tip.x() + a, tip.y() + b) for a, b in ARROW], fill=(255, 255, 255), outline=(0, 0, 0))
        self.pictures.append(image.resize((SHOWN, SHOWN * image.height // image.width), Image.Resampling.LANCZOS))
        self.lengths.append(milliseconds)

    def say_where(self, number: int, clicks: list[tuple[float, float]]) -> None:
        """Click an object; a new one first, but for the first."""
        if number:
            self.press(Qt.Key.Key_N)
        said = ("N: a new object. " if number else "") + "Click it"
        for n in range(CLICKS):
            (y, x), label = (clicks[n], True) if n < len(clicks) else self.most_wrong()
            if y is None:
                break
            at = self.place(y, x)
            self.take(said, 700, at)
            self.click(y, x, LEFT if label else Qt.MouseButton.RightButton)
            said = "Click what is missing, right-click what is too much"
        self.take("its mask", 900, at)

    def most_wrong(self) -> tuple[tuple[float, float] | tuple[None, None], bool]:
        """Return where the mask of the chosen object is most wrong, and whether it is missing there; none if it is right."""
        session = self.widget.session
        mask = session.project.mask(session.frame, session.current_object)
        truth = None if self.truth is None else self.truth.masks(session.frame).get(session.current_object)
        if truth is None or mask is None or (mask & truth).sum() > RIGHT * (mask | truth).sum():
            return (None, None), True
        (y, x), label = next_click(truth, mask)
        return (y, x), bool(label)

    def watch(self, caption: str) -> None:
        """Take pictures while it tracks."""
        shown = -self.step
        while self.widget.session.tracking:
            self.rest(0.05)
            if self.widget.session.frame >= shown + self.step:
                shown = self.widget.session.frame
                self.take(caption, 160)
        self.take(caption, 900)

    def correct(self) -> None:
        """Click objects where their masks are most wrong, the worst first (its middle alone, where the truth is not known)."""
        session = self.widget.session
        if self.fix is not None:
            session.go_to(int(self.fix[0]))
            at = self.place(*self.fix[1:])
            session.current_object = session.project.objects[0].id
            self.take("Correct: click what is missing", 1500, at)
            self.click(*self.fix[1:], LEFT)
            self.take("only this object changes", 1200, at)
            self.go_on()
            return
        known = self.truth.masks(session.frame) if self.truth is not None else {}
        masks = {o.id: session.project.mask(session.frame, o.id) for o in session.project.objects}
        good = {i: iou(mask, known[i]) if i in known else 1.0 for i, mask in masks.items() if mask is not None}
        for mine in [i for i in sorted(good, key=lambda i: good[i]) if good[i] < FAIR] or list(good)[:1]:
            session.current_object = mine
            (y, x), label = next_click(known.get(mine, masks[mine]), masks[mine] if mine in known else None)
            at = self.place(y, x)
            self.take("Correct: " + ("click what is missing" if label else "right-click what is too much"), 1500, at)
            self.click(y, x, LEFT if label else Qt.MouseButton.RightButton)
            self.take("only this object changes", 1200, at)
        self.go_on()

    def go_on(self) -> None:
        """Track again from the corrected frame, and confirm the last one."""
        self.press(Qt.Key.Key_G)
        self.watch("G tracks it again")
        self.press(Qt.Key.Key_K)
        self.take("K: this frame is right", 1500)

    def save(self) -> None:
        """Write the picture, with one palette for all of it."""
        together = Image.new("RGB", (SHOWN, sum(p.height for p in self.pictures[::4])))
        top = 0
        for picture in self.pictures[::4]:
            together.paste(picture, (0, top))
            top += picture.height
        palette = together.quantize(COLOURS, dither=Image.Dither.NONE)
        frames = [p.quantize(palette=palette, dither=Image.Dither.NONE) for p in self.pictures]
        frames[0].save(OUT, save_all=True, append_images=frames[1:], duration=self.lengths, loop=0, optimize=True)
        sys.stdout.write(f"{OUT.name}: {OUT.stat().st_size / 1e6:.2f} MB, {len(frames)} pictures\n")


def drawn_case(folder: Path, frames: int) -> tuple[Path, list[list[tuple[float, float]]]]:
    """Write the drawn case, and say where its objects are on the first frame: two clicks each."""
    case = demo_case(frames)
    file = write_video((case[t] for t in range(frames)), folder / "cholecystectomy.mp4")
    objects = []
    for mask in case.masks(0).values():
        first, _ = next_click(mask, None)
        objects.append([first])
    return Path(file), objects


def main() -> None:
    """Film."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--video", type=Path)
    parser.add_argument("--click", action="append", default=[], help="Y,X of an object on the first frame")
    parser.add_argument("--fix", help="FRAME,Y,X of what the first object lacks there")
    parser.add_argument("--frames", type=int, default=30, help="that are tracked")
    parser.add_argument("--step", type=int, default=2, help="between two frames that are shown")
    parser.add_argument("--credit", default="")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if args.video is None:
            file, objects = drawn_case(Path(folder), args.frames)
        else:
            file = Path(folder, args.video.name)
            file.symlink_to(args.video.resolve())
            objects = [[tuple(float(v) for v in text.split(","))] for text in args.click]
        film = Film(Path(folder) / "steps", args.credit, args.step)
        film.truth = demo_case(args.frames) if args.video is None else None
        film.fix = tuple(float(v) for v in args.fix.split(",")) if args.fix else None
        film.drop(str(file))
        film.choose_widget()
        film.until(lambda: "ready" in film.widget.status.text())
        film.take("Drop a video on napari", 1500)
        for number, clicks in enumerate(objects):
            film.say_where(number, clicks)
        film.widget.timeline.set_bounds(0, args.frames)
        film.take("Press G", 1200)
        film.press(Qt.Key.Key_G)
        film.watch("G tracks")
        film.widget.session.go_to(2 * args.frames // 3)
        film.correct()
        film.save()
        film.viewer.close()


if __name__ == "__main__":
    main()

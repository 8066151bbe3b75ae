"""The paper's tables with ours below: J&F of each subset in percent, their average, frames a second."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from napari_sam2s.evaluation.benchmark import Outcome
from napari_sam2s.evaluation.published import SOURCE, SUBSETS, published
from napari_sam2s.evaluation.score_tables import table
from napari_sam2s.wording import counted

_PAPER = [s.name for s in SUBSETS]


def page(outcomes: Sequence[Outcome], *, videos: Mapping[str, int] | None = None) -> str:
    """Return a Markdown page: a table for each prompt, and under which protocol ours were made.

    Parameters
    ----------
    outcomes
        Of any settings.
    videos
        How many videos of each subset there are, to be compared with the paper's.
    """
    prompts = list(dict.fromkeys(o.setting.prompt for o in outcomes))
    parts = [part for prompt in prompts for part in _of_prompt(prompt, [o for o in outcomes if o.setting.prompt == prompt])]
    return "\n\n".join([*parts, *_notes(outcomes, videos or {})])


def _of_prompt(prompt: str, outcomes: list[Outcome]) -> Iterable[str]:
    subsets = list(dict.fromkeys(s for o in outcomes for s in o.evaluation.subsets))
    yield f"### {prompt}"
    if any(s in _PAPER for s in subsets):
        rows = [
            [
                f"{p.model}, {p.weights}",
                str(p.size),
                *(_number(p.jf.get(s)) for s in _PAPER),
                f"{p.average:.2f}",
                _fps(p.fps),
                _place(p.table),
            ]
            for p in published()
            if p.prompt == prompt
        ]
        rows += [_our_row(o, _PAPER, paper=True) for o in outcomes]
        yield table(["model", "size", *_PAPER, "average", "fps", "source"], rows)
    others = [s for s in subsets if s not in _PAPER]
    if others:
        yield table(
            ["model", "size", *others, "average", "fps", "source"], [_our_row(o, others, paper=False) for o in outcomes]
        )


def _our_row(outcome: Outcome, subsets: list[str], *, paper: bool) -> list[str]:
    scores = outcome.evaluation
    known = {s: 100 * scores.subset(s).jf for s in subsets if s in scores.subsets}
    # The paper's average is that of its eight subsets: of fewer it would be another figure under the same name.
    average = sum(known.values()) / len(known) if known and (len(known) == len(subsets) or not paper) else None
    seconds = sum(outcome.seconds.get(s, 0.0) for s in known)
    fps = sum(outcome.frames.get(s, 0) for s in known) / seconds if seconds else None
    name = f"**{outcome.setting.model}, {outcome.setting.memory}**"
    return [
        name,
        str(outcome.made_with["image_size"]),
        *(_number(known.get(s)) for s in subsets),
        _number(average),
        _fps(fps),
        "ours",
    ]


def _notes(outcomes: Sequence[Outcome], videos: Mapping[str, int]) -> Iterable[str]:
    if any(s in _PAPER for o in outcomes for s in o.evaluation.subsets):
        yield (
            f"Published rows: {SOURCE}; fps there is end to end on one A6000. The paper does not say whether first and last "
            "frames are scored."
        )
    for s in SUBSETS:
        if s.name in videos and videos[s.name] != s.videos:
            yield (
                f"{s.name} has {counted(videos[s.name], 'video')} here and {s.videos} in the paper: its figures cannot be"
                " compared."
            )
    yield (
        "J&F in percent, the mean over the objects of a subset; average: the mean of the subsets. Every object is prompted "
        "once, on the first frame on which it is annotated, and tracked to the end."
    )
    for protocol in dict.fromkeys(o.evaluation.protocol for o in outcomes):
        yield f"Protocol: {protocol}."
    machines = dict.fromkeys(
        f"{o.made_with['device']} ({o.made_with['machine']}, {counted(o.made_with['threads'], 'thread')}, torch"
        f" {o.made_with['torch']})"
        for o in outcomes
    )
    yield f"Our fps: propagation end to end (frames from disk, network, masks as large as the video), on {'; '.join(machines)}."


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _fps(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def _place(number: int) -> str:
    return f"Table {number}"

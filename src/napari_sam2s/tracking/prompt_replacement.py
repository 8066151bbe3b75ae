"""Saying anew what is left of the prompts of an object on a frame when some were taken back."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from napari_sam2s.masklets import Project, Prompt


def replace_prompts(
    project: Project,
    object_id: int,
    frame: int,
    prompts: Sequence[Prompt],
    ask: Callable[[Prompt], None],
    label: str = "change prompts",
) -> None:
    """Keep only these prompts of an object on a frame, as one step of undo that is called ``label``.

    ``ask`` has a prompt answered, and kept with its answer. Masks are the user's own and need none.
    """
    since = project.history.last
    whole = _as_understood(prompts)
    # Where nothing is left but where it is not, that corrects the mask that is there.
    corrects = bool(whole) and all(p.mask is None and p.box is None and not any(p.labels) for p in whole)
    unanswered = [] if corrects else [p for p in whole if p.mask is None]
    try:
        with project.history.step(label):
            project.prompts.remove(object_id, frame)
            if not corrects:
                project.tracks.delete(object_id, frame, frame + 1)
            for prompt in whole:
                if corrects or prompt.mask is not None:
                    project.prompts.add(prompt)
                if prompt.mask is not None:
                    project.write_masks([(frame, object_id, prompt.mask, None)], origin="painted")
        for prompt in unanswered:
            ask(prompt)
    finally:
        project.history.merge(since, label, "prompt")


def _as_understood(prompts: Sequence[Prompt]) -> list[Prompt]:
    """Return the prompts of an object on a frame as the tracker takes them together: the last mask, and what was said after."""
    from napari_sam2s.tracking.prompts import merge

    whole: list[Prompt] = []
    for prompt in prompts:
        if prompt.mask is not None:
            whole = [prompt]
        elif whole and whole[-1].mask is None:
            whole[-1] = merge(whole[-1], prompt)
        else:
            whole.append(prompt)
    return whole

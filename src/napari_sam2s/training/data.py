"""Batches by their number: step ``i`` of a run sees the same clips whenever, and on however many processes, it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
from torch.utils.data import DataLoader, Dataset

from napari_sam2s.errors import Sam2sError, TrainingError
from napari_sam2s.synthetic.clip import Clip
from napari_sam2s.training.augment import augment, augment_as_sam2, cut_away, jitter_labels
from napari_sam2s.training.clip_sampling import Batch, Sample, collate, draw_sample
from napari_sam2s.training.training_config import Stage, TrainingConfig

Family = Callable[[int, int], Clip]  # (seed, frames) -> a clip of at least so many frames, or of its own length
Place = tuple[Stage, int]  # a step's stage, and its number within it
Ordered = tuple[list[Batch], Place]  # what makes a step, and which one it is


class StepDataset(Dataset[Batch]):
    """The batches of a run.

    Parameters
    ----------
    config
        Of the run.
    families
        By the names of ``config.families``; called in worker processes.
    class_names
        Classes that TSL knows, in the order of their text embeddings.
    """

    def __init__(self, config: TrainingConfig, families: Mapping[str, Family], class_names: Sequence[str]) -> None:
        missing = set(config.families) - set(families)
        if missing:
            raise TrainingError(
                f"There is no material for {sorted(missing)}: give it ('recorded' is --data), or remove it from [families]."
            )
        self.config = config
        self.families = families
        self.class_names = list(class_names)
        shares = np.array(list(config.families.values()))
        self._names, self._shares = list(config.families), shares / shares.sum()

    def __len__(self) -> int:
        return self.config.steps

    def __getitem__(self, index: int | tuple[int, ...]) -> Batch:
        """Return a batch of a step.

        The first one, or with ``(step, part)`` another of those that make the step together; with ``(step, part, stage)``
        one of the stage of that number.
        """
        step, part, *number = index if isinstance(index, tuple) else (index, 0)
        rng = np.random.default_rng(entropy(self.config.seed, step, part))
        stage = self.config.stages[number[0]] if number else stage_of(self.config, step)[0]
        # All parts of a step are alike in kind, so that no process waits for another's longer clips.
        kind = rng if not part else np.random.default_rng((self.config.seed, step))
        frames = 1 if kind.random() < stage.images else stage.frames
        divemem = bool(kind.random() < stage.divemem)
        batch = stage.batch * (1 if frames == stage.frames else max(2, stage.frames // 2))
        samples: list[Sample] = []
        videos: list[Clip] = []  # of the samples
        for _ in range(50 * batch):
            if len(samples) >= batch:
                break
            video = self._video(rng, frames, divemem)
            for _ in range(min(self.config.samples, batch - len(samples))):
                sample = self._draw(rng, video, frames, divemem)
                if sample is not None and samples and rng.random() < self.config.cuts:
                    # On frames of its own video its objects would be seen, and taught to be absent.
                    others = (s for s, v in zip(samples, videos, strict=True) if not video.same_video(v))
                    other = next(others, None)
                    sample = sample if other is None else cut_away(rng, sample, other)
                # Clips of one batch go through the network together, so they have the same roles.
                if sample is not None and (not samples or sample.roles == samples[0].roles):
                    samples.append(sample)
                    videos.append(video)
        if not samples:
            raise TrainingError(f"No clip with a visible object was found for step {step}; check the training videos.")
        return collate(samples)

    def _video(self, rng: np.random.Generator, frames: int, divemem: bool) -> Clip:
        name = self._names[rng.choice(len(self._names), p=self._shares)]
        # DiveMem draws from the whole video, so it needs one that is longer than the clip.
        length = frames if not divemem or frames == 1 else 2 * frames
        return self.families[name](int(rng.integers(2**31)), length)

    def _draw(self, rng: np.random.Generator, clip: Clip, frames: int, divemem: bool) -> Sample | None:
        sample = draw_sample(
            rng, clip, frames, divemem=divemem, max_objects=self.config.max_objects, class_index=self._class_index
        )
        if sample is None:
            return None
        sample = augment_as_sam2(rng, sample) if self.config.augmentation == "sam2" else augment(rng, sample)
        return jitter_labels(rng, sample, self.config.label_jitter) if self.config.label_jitter else sample

    def _class_index(self, name: str | None) -> int:
        return self.class_names.index(name) if name in self.class_names else -1


def stage_of(config: TrainingConfig, step: int) -> Place:
    """Return the stage of a step and the step's number within it."""
    for stage in config.stages:
        if step < stage.steps:
            return stage, step
        step -= stage.steps
    raise IndexError(f"step {step} is after the end of the run")


def entropy(*numbers: int) -> tuple[int, ...]:
    """Return seeds of a generator; a last 0 is left out, so that runs without parts draw as they always did."""
    return numbers if numbers[-1] else numbers[:-1]


def batches(dataset: StepDataset, start: int, workers: int, rank: int = 0, processes: int = 1) -> Iterator[Ordered]:
    """Yield from step ``start`` on the batches that make a step on process ``rank``, made ahead, and the step's place."""
    places = [stage_of(dataset.config, step) for step in range(start, len(dataset))]
    counts = [stage.accumulate for stage, _ in places]
    parts = [(start + i, rank + k * processes) for i, count in enumerate(counts) for k in range(count)]
    made = make_ahead(dataset, parts, workers)
    for place, count in zip(places, counts, strict=True):
        yield [next(made) for _ in range(count)], place


def make_ahead(dataset: StepDataset, order: Iterable[tuple[int, ...]], workers: int) -> Iterator[Batch]:
    """Yield batches in this order of the indices of a dataset, made ahead by worker processes."""
    loader: DataLoader[Batch | Sam2sError] = DataLoader(
        _OrError(dataset),
        batch_size=None,
        sampler=order,
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        multiprocessing_context="spawn" if workers else None,
        worker_init_fn=_one_thread,
    )
    for made in loader:
        if isinstance(made, Sam2sError):
            raise made
        yield made


class _OrError(Dataset[Batch | Sam2sError]):
    """Batches, or the error of ours that came instead: raised in a worker process, it would carry a traceback in its words."""

    def __init__(self, dataset: StepDataset) -> None:
        self._dataset = dataset

    def __getitem__(self, index: tuple[int, ...]) -> Batch | Sam2sError:
        try:
            return self._dataset[index]
        except Sam2sError as error:
            return error


def _one_thread(worker: int) -> None:
    """Keep OpenCV to one thread, as torch is in a worker: many workers of many threads stand in each other's way."""
    try:
        import cv2
    except ImportError:  # it is in the extra "train"
        return
    cv2.setNumThreads(1)

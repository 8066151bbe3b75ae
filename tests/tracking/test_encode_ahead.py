"""The next frame is encoded in a second thread: once, without changing a mask, and without swallowing a fault."""

import contextlib
import threading
import time

import numpy as np
import pytest
import torch

from napari_sam2s import Tracker, load_model
from napari_sam2s.tracking.encode_ahead import EncodeAhead, HalfOfTheThreads
from napari_sam2s.tracking.small_frames import AHEAD, SmallFrames
from tests.fakes import SIDE, AttentiveModel, ColourModel, squares


class Watching:
    """Notes which thread encoded which frame, and whether its outlines were wanted."""

    def __init__(self, bad: int | None = None) -> None:
        self.seen: list[tuple[int, str, bool, int]] = []
        self.bad = bad

    def encode_frame(self, pixels, *, outlined=False):
        frame = int(pixels[0, 0, 2])
        self.seen.append((frame, threading.current_thread().name, outlined, torch.get_num_threads()))
        if frame == self.bad:
            raise RuntimeError("frame 5 breaks the network")
        return super().encode_frame(pixels, outlined=outlined)


class Watched(Watching, AttentiveModel): ...


class WatchedColour(Watching, ColourModel): ...


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def numbered(frames: int = 8) -> np.ndarray:
    """Squares that drift, with the frame's number in the blue channel."""
    video = squares(frames)
    video[..., 2] = np.arange(frames)[:, None, None]
    return video


def tracked(model, video, **options) -> list[tuple[int, np.ndarray]]:
    tracker = Tracker(model, video, **options)
    tracker.prompt(1, 0, points=[(14, 10)])
    return [(t, masks[1]) for t, masks in tracker.propagate(0)]


def test_masks_are_those_of_one_thread_and_every_frame_is_encoded_once(threads):
    threads(1)
    alone = Watched()
    expected = tracked(alone, numbered())
    assert {thread for _, thread, *_ in alone.seen} == {"MainThread"}  # one core: nothing is gained
    threads(4)
    model = Watched()
    found = tracked(model, numbered())
    assert [t for t, _ in found] == [t for t, _ in expected] == list(range(8))
    assert all((a == b).all() for (_, a), (_, b) in zip(found, expected, strict=True))
    assert found[-1][1].any()
    assert [t for t, *_ in model.seen] == list(range(8))
    assert ["sam2s-encode" in thread for _, thread, *_ in model.seen] == [False] * 2 + [True] * 6  # 1 comes after the prompt
    assert {n for *_, n in model.seen} == {2}  # half of them each
    assert torch.get_num_threads() == 4


def test_outlines_are_prepared_only_while_something_is_there(threads):
    threads(2)
    video = numbered(9)
    video[4:, ..., :2] = 0  # gone
    model = WatchedColour()
    tracked(model, video)
    wanted = {t: outlined for t, _, outlined, _ in model.seen}
    assert wanted[3]
    assert wanted[5]  # 5 was begun on frame 4, where 3 was known
    assert not wanted[6]
    assert not wanted[8]


def test_a_frame_that_breaks_the_network_is_told_where_it_is_wanted(threads):
    threads(2)
    tracker = Tracker(Watched(bad=5), numbered())
    tracker.prompt(1, 0, points=[(14, 10)])
    done = []
    with pytest.raises(RuntimeError, match="frame 5 breaks"):
        done.extend(t for t, _ in tracker.propagate(0))
    assert done == [] or done[-1] == 4
    assert tracker.reached == 4
    assert torch.get_num_threads() == 2


def test_a_frame_that_cannot_be_read_is_told_where_it_is_wanted(threads):
    class Broken:
        shape = (8, 48, 80, 3)

        def __getitem__(self, t):
            if t == 5:
                raise OSError("frame 5 cannot be read")
            return numbered()[t]

    threads(2)
    tracker = Tracker(Watched(), Broken())
    tracker.prompt(1, 0, points=[(14, 10)])
    with pytest.raises(OSError, match="frame 5"):
        list(tracker.propagate(0))
    assert tracker.reached == 4


def test_nothing_is_encoded_beyond_the_range_and_backward_goes_backward(threads):
    threads(2)
    model = Watched()
    tracker = Tracker(model, numbered())
    tracker.prompt(1, 4, points=[(14, 14)])
    list(tracker.propagate(4, 6))
    assert sorted(t for t, *_ in model.seen) == [4, 5]
    list(tracker.propagate(4, 1, "backward"))
    assert sorted(t for t, *_ in model.seen) == [2, 3, 4, 5]


def test_frames_that_were_changed_are_encoded_anew(threads):
    threads(2)
    video, model = numbered(), Watched()
    tracker = Tracker(model, video)
    tracker.prompt(1, 0, points=[(14, 10)])
    run = tracker.propagate(0)
    next(run), next(run)  # 2 is on its way, or there
    video[2, ..., :2] = 0
    tracker.forget_frames()
    _, masks = next(run)
    expected = Tracker(Watched(), video)
    expected.prompt(1, 0, points=[(14, 10)])
    other = dict(expected.propagate(0, 3))
    assert (masks[1] == other[2][1]).all()


def test_what_was_begun_waits_to_be_taken_and_is_dropped_once():
    begun, go_on = threading.Event(), threading.Event()

    def encode(pixels, outlined):
        begun.set()
        go_on.wait(10)
        return int(pixels.sum())

    ahead = EncodeAhead(encode)
    ahead.start(3, np.ones((2, 2, 3), np.uint8), False)
    assert begun.wait(10)
    assert ahead.has(3)
    assert ahead.take(4) is None
    threading.Timer(0.05, go_on.set).start()
    assert ahead.take(3) == 12
    assert ahead.take(3) is None
    ahead.start(5, np.ones((2, 2, 3), np.uint8), False)
    ahead.forget()
    assert not ahead.has(5)


def test_half_of_the_threads_may_be_entered_twice(threads):
    threads(4)
    half = HalfOfTheThreads()
    with half:
        assert torch.get_num_threads() == 2
        with half:
            assert torch.get_num_threads() == 2
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == 4


def arrive(frames: SmallFrames, t: int) -> None:
    end = time.monotonic() + 10
    while frames._arrived(t) is None and time.monotonic() < end:
        time.sleep(0.001)


def test_reading_ahead_goes_on_where_the_first_frame_was_known_by_a_prompt():
    read: list[tuple[int, str]] = []

    class Video:
        def __getitem__(self, t):
            read.append((t, threading.current_thread().name))
            return np.full((4, 4, 3), t, np.uint8)

    frames = SmallFrames(Video(), SIDE)
    frames(0)
    with frames.ahead(range(6)):
        for t in range(6):
            assert frames(t)[0, 0, 0] == t
            if t < 5:
                arrive(frames, t + 1)
    assert [t for t, _ in read if t] == [1, 2, 3, 4, 5]
    assert all("sam2s-read" in name for t, name in read if t)
    assert AHEAD == 2


def test_an_engine_is_sent_each_frame_once():
    frames = SmallFrames(numbered(6), SIDE)
    sent = []
    with frames.ahead(range(6)):
        for t in range(6):
            if t < 5:
                arrive(frames, t)
                arrive(frames, t + 1)
            with frames.sent_for(t, t + 1 if t < 5 else None, remote=True) as (image, following):
                sent += [t] if image is not None else []
                sent += [following[0]] if following is not None else []
    assert sent == [0, 1, 2, 3, 4, 5]
    with frames.ahead(range(2, 6)):
        frames(2)
        arrive(frames, 3)
        with frames.sent_for(2, 3, remote=True) as (_, following):
            assert following[0] == 3
        with contextlib.suppress(RuntimeError), frames.sent_for(3, None, remote=True) as (image, _):
            assert image is None  # it was sent ahead
            raise RuntimeError("the engine did not hear it")
        with frames.sent_for(3, None, remote=True) as (image, _):
            assert image is not None


@pytest.mark.slow
def test_the_built_in_model_finds_the_same_masks_and_outlines(threads):
    from napari_sam2s.synthetic.samples import demo_case

    case = demo_case(6)
    video = np.stack([case[t] for t in range(6)])
    model = load_model(device="cpu")
    found = []
    for n in (1, 2):
        threads(n)
        tracker = Tracker(model, video)
        tracker.prompt(1, 0, points=[(130, 240)])
        found.append([masks[1] for _, masks in tracker.propagate(0)])
    for one, two in zip(*found, strict=True):
        assert one.any()
        assert (one != two).mean() < 1e-4  # products may be added up in another order

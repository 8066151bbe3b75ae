"""What a camera makes of a composite: the ways around work that is not needed give the same picture."""

from __future__ import annotations

import numpy as np

from research.camera_effects import _add_shifted, develop


def test_noise_is_rolled_over_the_frame():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(12, 12, 3)).astype(np.float32)
    for down, right in ((0, 0), (0, 5), (11, 1), (7, 0)):
        frame = np.ones((12, 12, 3), np.float32)
        _add_shifted(frame, noise, down, right)
        np.testing.assert_array_equal(frame, 1 + np.roll(noise, (down, right), (0, 1)))


def test_every_clip_keeps_its_order_of_light_and_a_seed_its_pixels():
    ramp = np.broadcast_to(np.arange(0, 256, 4, dtype=np.uint8)[:, None, None], (3, 64, 64, 3)).copy()
    plain = 0
    for seed in range(40):
        first, again = (develop(np.random.default_rng(seed), ramp) for _ in range(2))
        np.testing.assert_array_equal(first, again)
        assert (first.shape, first.dtype) == (ramp.shape, np.uint8)
        rising = np.diff(first.astype(int).mean(axis=(2, 3)), axis=1)  # down the ramp
        assert (rising > -6).all()  # noise of 3 % of white, a row of 192 values
        plain += (rising >= 0).all()
    assert 10 < plain < 40  # with and without noise

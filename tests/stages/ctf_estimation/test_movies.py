"""Spectra of groups of frames: rings survive drift that wipes them out of the sum."""

from __future__ import annotations

import numpy as np
import pytest

from tests.stages.ctf_estimation.rings import ringed_noise
from verglas.errors import InputError
from verglas.stages.ctf_estimation import estimate_ctf, frame_groups, thon_spectrum


def test_groups_of_a_drifting_movie_keep_the_rings_that_its_sum_has_lost():
    random = np.random.default_rng(1)
    scene = ringed_noise(18300, 17700, 20, n=512, pixel=1.4, snr=8.0, b_A2=30)
    frames = [
        np.roll(scene, (4 * (i // 2), 3 * (i // 2)), (0, 1)) + random.standard_normal(scene.shape) for i in range(8)
    ]
    grouped = estimate_ctf(frame_groups(iter(frames), 2), 1.4)
    blurred = estimate_ctf(np.sum(frames, axis=0), 1.4)
    assert grouped.values.mean_A == pytest.approx(18000, abs=100)
    assert grouped.score > 1.5 * blurred.score
    assert grouped.failure_probability < 0.001


def test_groups_are_whole_and_one_image_is_what_it_was():
    frames = [np.full((2, 2), i, np.uint8) for i in range(5)]
    assert [int(group[0, 0]) for group in frame_groups(frames, 2)] == [1, 5]
    assert [int(group[0, 0]) for group in frame_groups(frames[:2], 3)] == [1]
    image = np.random.default_rng(2).standard_normal((256, 256)).astype(np.float32)
    np.testing.assert_array_equal(
        thon_spectrum(image, 1.5, box=128).log_power, thon_spectrum([image], 1.5, box=128).log_power
    )


def test_what_makes_no_spectrum_is_refused():
    with pytest.raises(InputError, match="holds none"):
        list(frame_groups([], 0))
    with pytest.raises(InputError, match="no image"):
        thon_spectrum([], 1.0)
    with pytest.raises(InputError, match="do not go into one"):
        thon_spectrum([np.random.default_rng(3).normal(size=(n, 256)) for n in (128, 256)], 1.5, box=128)

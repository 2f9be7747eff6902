"""The scores of trial transfer functions against plain numpy."""

from __future__ import annotations

import numpy as np

from verglas.kernels.ctf_fit import cosine_body, score_trials


def test_cosine_is_the_cosine(rng):
    turns = rng.uniform(-80, 80, 5000).astype(np.float32)
    np.testing.assert_allclose(cosine_body(turns), np.cos(2 * np.pi * turns.astype(np.float64)), atol=5e-6)


def test_scores_are_numpys(rng):
    points = 3000
    per_A, constant, data = rng.uniform(0, 1e-3, points), rng.uniform(0, 1, points), rng.standard_normal(points)
    angle, weight = rng.uniform(0, 7, points), rng.uniform(0, 1, points)
    trials = np.array([[9000, 200, -100, 0.1], [20000, 0, 0, 0.0], [15000, -300, 250, 0.5]])
    arrays = (per_A, per_A * np.cos(angle), per_A * np.sin(angle), constant, data, weight, trials)
    scores = np.zeros(3)
    score_trials(*(np.asarray(a, np.float32) for a in arrays), scores)
    for (mean, cosine, sine, phase), score in zip(trials, scores, strict=True):
        turns = (mean + cosine * np.cos(angle) + sine * np.sin(angle)) * per_A + constant + phase
        rings = -np.cos(2 * np.pi * turns)
        assert abs(score - data @ rings / np.linalg.norm(weight * rings)) < 2e-4 * np.linalg.norm(data)

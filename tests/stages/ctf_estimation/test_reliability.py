"""The stated probability of failure, and the proof's own set of micrographs in small."""

from __future__ import annotations

import numpy as np
from prove.ctf_estimation import calibration, draw_case, errors_of, measure

from verglas.stages.ctf_estimation.reliability import failure_probability


def test_probability_falls_with_the_score_and_does_not_know_the_box():
    chances = [failure_probability(score, 50_000) for score in (-0.1, 0.0, 0.01, 0.02, 0.04, 0.1, 0.6)]
    assert chances == sorted(chances, reverse=True)
    assert chances[0] == 1.0 and chances[2] > 0.9 and chances[5] < 0.01
    assert failure_probability(0.02, 50_000) == failure_probability(0.01, 200_000)


def test_pure_noise_is_said_to_fail():
    from verglas.stages.ctf_estimation import estimate_ctf

    noise = np.random.default_rng(3).standard_normal((768, 768)).astype(np.float32)
    assert estimate_ctf(noise, 1.3).failure_probability > 0.4


def test_the_proof_in_small():
    rows = [measure((number, 1024, 0.0, "")) for number in (0, 1, 10)]
    found = errors_of(rows)
    assert found["gross_failures"] == 0
    assert found["median_error_of_mean_defocus_A"] < 60
    assert any("searched" in row for row in rows), "one of them has a phase plate"
    assert sum(row["fits"] for row in calibration(rows)) == 3
    weak = draw_case(2001, 512, weak=1.0)
    assert weak.dose_e_per_A2 <= draw_case(2001, 512).dose_e_per_A2

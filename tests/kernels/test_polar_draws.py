"""Systematic draws from posteriors over polar grids, against a plain twin that lists every pose."""

from __future__ import annotations

import numpy as np

from verglas.kernels.polar import fold_images, merge_draws, sample_images

ANGLES, SHIFTS, IMAGES, WIDTH, DRAWS = 5, 3, 4, 3, 40


def test_draws_and_evidence_are_those_of_all_poses_listed() -> None:
    random = np.random.Generator(np.random.Philox(2))
    sums = [random.normal(0.0, 1.0, (ANGLES, IMAGES * SHIFTS, WIDTH)).astype(np.float32) for _ in range(4)]
    # Sine sums vanish at angle 0; at a quarter turn even sines and odd cosines do, so that ends come twice alike.
    for sine in sums[2:]:
        sine[0] = 0.0
    sums[1][-1], sums[2][-1] = 0.0, 0.0
    norm = random.uniform(0.0, 2.0, (IMAGES, WIDTH)).astype(np.float32)
    penalty = random.uniform(0.0, 1.0, SHIFTS).astype(np.float32)
    prior = np.log(np.array([0.5, 0.3, 0.2], np.float32))
    gain, best = np.empty((IMAGES, WIDTH), np.float32), np.empty((IMAGES, WIDTH), np.int32)
    fold_images(*sums, norm, penalty, False, gain, best)
    evidence = np.empty((IMAGES, WIDTH))
    reference, code, count = (np.zeros((IMAGES, DRAWS), np.int32) for _ in range(3))
    uniform, factor = random.random(IMAGES), 0.8
    sample_images(*sums, norm, penalty, prior, gain, factor, 60.0, uniform, evidence, reference, code, count)
    turn = 4 * (ANGLES - 1)
    for n in range(IMAGES):
        weights: dict[tuple[int, int], float] = {}
        for s in range(SHIFTS):
            for t in range(WIDTH):
                for angle in range(turn):
                    quarter, sign, half = angle % (turn // 2), 1, angle >= turn // 2
                    if quarter > ANGLES - 1:
                        quarter, sign, half = turn // 2 - quarter, -1, not half
                    a, b, c, d = (float(part[quarter, n * SHIFTS + s, t]) for part in sums)
                    score = a - b + sign * (c - d) if half else a + b + sign * (c + d)
                    value = 2.0 * score - norm[n, t] - penalty[s] + prior[t]
                    weights[t, s * turn + angle] = float(np.exp(factor * value))
        for t in range(WIDTH):
            total = sum(weight for (one, _), weight in weights.items() if one == t)
            np.testing.assert_allclose(evidence[n, t], np.log(total), rtol=1e-4)
        drawn: dict[tuple[int, int], int] = {}
        for t, place, often in zip(reference[n], code[n], count[n], strict=True):
            drawn[int(t), int(place)] = drawn.get((int(t), int(place)), 0) + int(often)
        assert sum(drawn.values()) == DRAWS
        whole = sum(weights.values())
        for key, weight in weights.items():
            # The ends of a quarter turn are two halves on the line of poses, so they may be off by two.
            assert abs(drawn.get(key, 0) - DRAWS * weight / whole) < 2.001, key


def test_draws_near_one_another_are_one_group() -> None:
    reference = np.array([[0, 0, 1, 0, 0]], np.int64)
    psi = np.deg2rad([[10.0, 13.0, 10.0, 100.0, 10.0]])
    moves = np.array([[[0.0, 0.0], [3.0, 0.0], [0.0, 0.0], [0.0, 0.0], [20.0, 0.0]]])
    count = np.array([[5, 9, 4, 2, 0]], np.int64)
    leader, share = np.empty((1, 4), np.int64), np.empty((1, 4))
    merge_draws(reference, psi, moves, count, np.cos(np.deg2rad(5.0)), 4.0, leader, share)
    np.testing.assert_array_equal(leader, [[1, 2, 3, -1]])
    np.testing.assert_array_equal(share, [[14.0, 4.0, 2.0, 0.0]])
    merge_draws(reference, psi, moves, count, np.cos(np.deg2rad(5.0)), 4.0, leader[:, :1], share[:, :1])
    np.testing.assert_array_equal(leader[:, 0], [1])

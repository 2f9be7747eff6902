"""Counter-based random numbers: known answers of Philox, and distributions against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from verglas.kernels.simulation_random import (
    count_electrons,
    fill_normals,
    normal_quantile,
    philox_4x32,
    poisson_quantile,
)
from verglas.stages.simulation.random import generator, kernel_key


@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_gives_the_published_answers(counter, key, answer):
    words = philox_4x32(*(np.uint64(word) for word in (*counter, *key)))
    assert tuple(int(word) for word in words) == answer


def test_normal_quantile_equals_scipy():
    p = np.array([1e-9, 1e-4, 0.02, 0.3, 0.5, 0.77, 0.98, 1 - 1e-6])
    assert np.allclose([normal_quantile(x) for x in p], stats.norm.ppf(p), atol=1e-8)


@pytest.mark.parametrize("mean", [0.01, 0.7, 3.0, 39.0, 41.0, 150.0])
def test_poisson_quantile_equals_scipy(mean):
    u = (np.arange(2000) + 0.5) / 2000
    mine = np.array([poisson_quantile(x, mean) for x in u])
    assert np.mean(mine != stats.poisson.ppf(u, mean)) < (1e-9 if mean < 40 else 2e-3)
    assert np.abs(mine - stats.poisson.ppf(u, mean)).max() <= (0 if mean < 40 else 1)


def test_no_electrons_where_none_are_expected():
    assert poisson_quantile(0.999, 0.0) == 0
    assert poisson_quantile(0.999, float("nan")) == 0


def test_normals_are_normal_and_depend_on_their_stream():
    out = np.empty(100_003, np.float32)
    fill_normals(out, 1, 2, 3)
    assert stats.kstest(out, "norm").pvalue > 1e-3
    again, other = np.empty(1000, np.float32), np.empty(1000, np.float32)
    fill_normals(again, 1, 2, 3)
    fill_normals(other, 1, 2, 4)
    assert np.array_equal(again, out[:1000])
    assert abs(np.corrcoef(other, again)[0, 1]) < 0.15


def test_counts_have_the_variance_of_counting():
    counts = np.empty(200_000, np.uint8)
    count_electrons(np.full(counts.size, 1.7, np.float32), counts, 5, 6, 7)
    assert counts.mean() == pytest.approx(1.7, rel=0.01)
    assert counts.var() == pytest.approx(1.7, rel=0.02)


def test_generators_depend_on_purpose_and_index():
    drawn = {generator(*key).random() for key in [(1, "a", 0), (1, "a", 1), (1, "b", 0), (2, "a", 0)]}
    assert len(drawn) == 4
    assert generator(1, "a", 0).random() == generator(1, "a", 0).random()
    assert kernel_key(1, "ice", 0) != kernel_key(1, "ice", 1)

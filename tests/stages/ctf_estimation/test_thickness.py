"""The thickness of a specimen from the nodes of its Thon rings."""

from __future__ import annotations

import pytest

from tests.stages.ctf_estimation.rings import ringed_noise
from verglas.stages.ctf_estimation import estimate_ctf
from verglas.stages.ctf_estimation.results import result_values


def spectrum_of(thickness_A: float, seed: int = 1):
    image = ringed_noise(15300, 14700, 25, n=1536, pixel=1.0, snr=0.8, seed=seed, b_A2=40, thickness_A=thickness_A)
    return estimate_ctf(image, 1.0, thickness_finest_A=3.0), image


@pytest.mark.parametrize("thickness_A", [900.0, 1500.0, 2400.0])
def test_nodes_tell_the_thickness(thickness_A):
    found, image = spectrum_of(thickness_A)
    assert found.thickness is not None and found.thickness.is_certain
    assert found.thickness.thickness_A == pytest.approx(thickness_A, rel=0.12)
    assert abs(found.thickness.thickness_A - thickness_A) < 4 * found.thickness.error_A
    assert found.values.mean_A == pytest.approx(15000, abs=60)
    values = result_values(found)
    assert values["thickness_A"] == found.thickness.thickness_A
    plain = estimate_ctf(image, 1.0)
    assert "thickness_A" not in result_values(plain)
    assert found.quality.fit_resolution_A <= plain.quality.fit_resolution_A  # rings are followed beyond the node


def test_a_thin_specimen_has_no_thickness_that_could_be_told():
    for seed in (1, 2, 3):
        found, _ = spectrum_of(0.0, seed)
        assert found.thickness is not None and not found.thickness.is_certain
        assert result_values(found)["thickness_A"] is None

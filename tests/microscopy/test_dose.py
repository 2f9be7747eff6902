"""Dose curve and filters against cisTEM's compiled code and closed forms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import minimize_scalar

from tests.support.oracles import ask_oracle
from verglas.errors import InputError
from verglas.microscopy.dose import critical_dose, dose_filters, frame_doses, optimal_dose, voltage_factor

ASK = """
from pycistem.core import ElectronDose
critical = np.zeros((len(voltages), len(frequencies)))
weights = np.zeros((len(voltages), len(doses), len(frequencies)))
averages = np.zeros((len(voltages), len(doses) - 1, len(frequencies)))
for v, voltage in enumerate(voltages):
    dose = ElectronDose(float(voltage), 1.0)
    for f, frequency in enumerate(frequencies):
        # cisTEM's argument is the squared spatial frequency.
        critical[v, f] = dose.ReturnCriticalDose(float(frequency) ** 2)
        for d, end in enumerate(doses):
            weights[v, d, f] = dose.ReturnDoseFilter(float(end), float(critical[v, f]))
            if d:
                start = float(doses[d - 1])
                found = dose.ReturnCummulativeDoseFilter(start, float(end), float(critical[v, f]))
                # cisTEM divides the integral by the dose at the end, not by the dose of the frame.
                averages[v, d - 1, f] = found * end / (end - start)
answer.update(critical=critical, weights=weights, averages=averages)
"""


def test_critical_dose_and_filters_are_those_of_cistem(tmp_path: Path) -> None:
    voltages = np.array([100.0, 200.0, 300.0])
    frequencies = np.array([0.002, 0.01, 0.03, 0.1, 0.2, 0.25, 1 / 3, 0.5, 0.7])
    doses = np.array([3.0, 4.5, 10.0, 22.0, 60.0])
    theirs = ask_oracle(ASK, tmp_path, voltages=voltages, frequencies=frequencies, doses=doses)
    for v, voltage in enumerate(voltages):
        np.testing.assert_allclose(critical_dose(frequencies, voltage), theirs["critical"][v], rtol=2e-6)
        np.testing.assert_allclose(dose_filters(frequencies, doses, voltage), theirs["weights"][v, 1:], rtol=5e-5)
        mine = dose_filters(frequencies, doses, voltage, average_within_frame=True)
        np.testing.assert_allclose(mine, theirs["averages"][v], rtol=2e-4)


def test_average_within_a_frame_is_the_integral() -> None:
    frequency, edges = 0.31, frame_doses(7.5, 3, pre_exposure_e_per_A2=2.0)
    critical = float(critical_dose(frequency))
    mine = dose_filters(frequency, edges, average_within_frame=True)
    for i in range(3):
        integral, _ = quad(lambda dose: np.exp(-dose / (2 * critical)), edges[i], edges[i + 1])
        assert mine[i] == pytest.approx(integral / 7.5, rel=1e-10)
    # Thinner frames tend to the filter at one dose.
    thin = np.array([20.0, 20.0 + 1e-10])
    end = dose_filters(0.2, thin)[0]
    assert dose_filters(0.2, thin, average_within_frame=True)[0] == pytest.approx(end, rel=1e-8)


def test_restored_noise_power_is_flat_even_where_all_has_faded() -> None:
    frequency = np.linspace(0.0, 0.6, 61).reshape(1, 61)
    weights = dose_filters(frequency, frame_doses(1.5, 40), restore_noise_power=True)
    assert weights.shape == (40, 1, 61)
    np.testing.assert_allclose(np.sum(weights**2, axis=0), 1.0, rtol=1e-12)
    late = dose_filters(np.array([0.5]), frame_doses(50.0, 5, pre_exposure_e_per_A2=2000.0), restore_noise_power=True)
    np.testing.assert_allclose(np.sum(late**2, axis=0), 1.0, rtol=1e-6)


def test_the_constant_term_is_kept_and_nan_free() -> None:
    weights = dose_filters(np.array([0.0, 0.1]), frame_doses(2.0, 10))
    np.testing.assert_array_equal(weights[:, 0], 1.0)
    assert np.all(np.isfinite(weights))
    assert np.all(np.diff(weights[:, 1]) < 0.0)


def test_optimal_dose_maximises_signal_over_noise() -> None:
    critical = float(critical_dose(0.2))
    best = minimize_scalar(
        lambda dose: -((1 - np.exp(-dose / (2 * critical))) ** 2) / dose, bounds=(1.0, 200.0), method="bounded",
        options={"xatol": 1e-9},
    )  # fmt: skip
    assert optimal_dose(0.2) == pytest.approx(best.x, rel=1e-4)


def test_voltages_between_the_measured_ones_are_interpolated_and_others_refused() -> None:
    assert voltage_factor(300.0) == 1.0
    assert voltage_factor(199.0) == 0.8
    assert 0.532 < voltage_factor(120.0) < voltage_factor(180.0) < 0.8 < voltage_factor(250.0) < 1.0
    for bad in (80.0, 400.0, float("nan")):
        with pytest.raises(InputError, match="critical dose"):
            voltage_factor(bad)


@pytest.mark.parametrize("doses", [[1.0], [3.0, 2.0], [-1.0, 2.0], [[0.0, 1.0]]])
def test_doses_that_make_no_sense_are_refused(doses: object) -> None:
    with pytest.raises(InputError, match="accumulated doses"):
        dose_filters(0.1, doses)


def test_frames_that_make_no_sense_are_refused() -> None:
    with pytest.raises(InputError, match="make no exposure"):
        frame_doses(1.0, 0)

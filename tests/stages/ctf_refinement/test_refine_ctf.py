"""Defocus and aberrations of particles whose truth is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.stages.ctf_refinement.scene import RADIUS_A, TILT_MRAD, Scene, make_scene
from verglas.engine import MaskSettings, band
from verglas.engine.particle_stack import higher_aberrations
from verglas.errors import InputError
from verglas.formats import ParticleTable
from verglas.microscopy import Optics, odd_aberration_phase
from verglas.microscopy.ctf import ctf
from verglas.stages.ctf_refinement import (
    CtfRefinementSettings,
    GroupSums,
    MagnificationFit,
    estimate_defocus,
    fit_even,
    fit_magnification,
    fit_odd,
    refine_ctf,
)
from verglas.stages.ctf_refinement.aberrations import changed_optics
from verglas.stages.ctf_refinement.magnification import magnified_optics
from verglas.stages.ctf_refinement.refine import set_optics

LIMIT_A = 3.4
SPHERE = MaskSettings(automatic=False)


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[Scene, Path]:
    folder = tmp_path_factory.mktemp("ctf")
    return make_scene(folder, 400, 3.0), folder


def test_beam_tilt_and_defocus_are_found(scene: tuple[Scene, Path]) -> None:
    made, folder = scene
    found = refine_ctf([made.given], folder, [made.half_maps], CtfRefinementSettings(RADIUS_A, LIMIT_A, mask=SPHERE))
    fit = found.groups[0]
    assert fit.odd is not None and fit.odd.accepted
    for name, true in zip(("beam_tilt_x_mrad", "beam_tilt_y_mrad"), TILT_MRAD, strict=True):
        value, deviation = fit.odd.as_dict()[name]
        assert abs(value - true) < min(0.05, 4.0 * deviation)
        assert found.tables[0][name][0] == pytest.approx(value)
    estimate = found.estimate
    assert estimate is not None
    shrunk = rms(estimate.change_A - made.lacking_A)
    assert shrunk < 0.4 * rms(made.lacking_A)
    assert shrunk < rms(estimate.plane_A - made.lacking_A), "worse than the plane"
    assert shrunk < 1.02 * rms(estimate.alone_A - made.lacking_A), "worse than with nothing known of the others"
    assert shrunk < 1.2 * rms(estimate.deviation_A), "errors are larger than stated"
    assert 40.0 < estimate.spread_A < 80.0  # 60 A
    moved = found.tables[0]["defocus_u_A"] - made.given["defocus_u_A"]
    assert np.allclose(moved, estimate.change_A, atol=1e-6)


def test_where_nothing_is_wrong_nothing_is_changed(tmp_path: Path) -> None:
    made = make_scene(tmp_path, 200, 4.0, scatter_A=0.0, tilt=False)
    settings = CtfRefinementSettings(RADIUS_A, LIMIT_A, trefoil=True, tetrafoil=True, magnification=True, mask=SPHERE)
    found = refine_ctf([made.given], tmp_path, [made.half_maps], settings)
    fit = found.groups[0]
    assert fit.odd is not None and fit.even is not None and fit.magnification is not None
    assert fit.odd.significance < 10.0 and not fit.odd.accepted
    assert not fit.magnification.accepted
    assert found.estimate is not None
    # Without scatter particles follow their planes: less is left than what noise alone would make of each.
    left = rms(found.estimate.change_A - made.lacking_A)
    assert left < 0.8 * rms(found.estimate.alone_A - made.lacking_A)


def test_particles_that_say_nothing_stay_in_their_plane() -> None:
    random = np.random.Generator(np.random.Philox(2))
    changes = np.arange(-500.0, 501.0, 20.0)
    micrograph = np.repeat(np.arange(8), 50)
    at = random.uniform(0.0, 6000.0, (400, 2))
    true = 120.0 + 0.03 * at[:, 0] - 0.02 * at[:, 1] + 30.0 * random.standard_normal(400)
    true -= true.mean()
    deviation = np.where(np.arange(400) % 5 == 0, 1e6, 80.0)
    seen = true + np.minimum(deviation, 1000.0) * random.standard_normal(400)
    profile = (-0.5 * ((changes - seen[:, None]) / deviation[:, None]) ** 2).astype(np.float32)
    found = estimate_defocus(profile, changes, micrograph, at)
    blind = deviation > 1e5
    assert np.allclose(found.change_A[blind], found.plane_A[blind], atol=3.0)
    assert rms((found.change_A - true)[blind]) < 45.0
    assert rms((found.change_A - true)[~blind]) < 40.0  # 80 alone, 30 about the planes: 28 is the least
    assert 15.0 < found.spread_A < 50.0


def test_all_coefficients_of_made_sums() -> None:
    optics = Optics(300.0, 2.7, 0.07, 1.2)
    tilted = replace(
        optics, beam_tilt_x_mrad=0.6, beam_tilt_y_mrad=-0.4, trefoil_A=900.0, trefoil_angle=0.3, tetrafoil_A=1e6,
        tetrafoil_angle=-0.2,
    )  # fmt: skip
    points = band(128, 1.2, 2.8, 30.0)
    kx, ky = points.kx_per_A, points.ky_per_A
    sums = GroupSums(len(points))
    power = 400.0 * np.exp(-60.0 * (kx**2 + ky**2))
    sums.odd_power += power
    sums.odd += power * np.exp(1j * odd_aberration_phase(kx, ky, tilted)) * np.exp(-2j * np.pi * 0.3 * kx)
    odd = fit_odd(sums, points, optics, 2.8, trefoil=True)
    found = {name: value for name, (value, _) in odd.as_dict().items()}
    expected = {
        "beam_tilt_x_mrad": 0.6, "beam_tilt_y_mrad": -0.4, "trefoil_cos_A": 900.0 * np.cos(0.9),
        "trefoil_sin_A": 900.0 * np.sin(0.9),
    }  # fmt: skip
    assert found == pytest.approx(expected, rel=2e-3)
    assert odd.displacement_A == pytest.approx((0.3, 0.0), abs=1e-3)
    given = (12000.0, 11500.0, 0.4, 0.0)
    true = ctf(kx, ky, tilted, *given, dtype=np.float64)
    c = ctf(kx, ky, optics, *given, dtype=np.float64)
    s = ctf(kx, ky, optics, *given[:3], 0.5 * np.pi, dtype=np.float64)
    sums.even.values += power * np.stack([true * c, true * s, c * c, c * s, s * s])
    even = fit_even(sums, points, optics, 2.8)
    assert even.accepted
    assert even.values == pytest.approx([1e6 * np.cos(-0.8), 1e6 * np.sin(-0.8)], rel=0.03)
    after = changed_optics(optics, odd, even)
    assert np.allclose(odd_aberration_phase(kx, ky, after), odd_aberration_phase(kx, ky, tilted), atol=0.01)
    assert np.allclose(ctf(kx, ky, after, *given), ctf(kx, ky, tilted, *given), atol=0.02)
    table = ParticleTable.empty(1)
    set_optics(table, 0, magnified_optics(after, MagnificationFit(np.array([0.0, 0.01, 0.0]), np.ones(3), 99.0, True)))
    (group,) = table.optics
    read = higher_aberrations(group)
    assert read["odd_zernike"] == pytest.approx(after.odd_zernike, rel=1e-6)
    assert read["even_zernike"] == pytest.approx(after.even_zernike, rel=1e-6)
    assert np.allclose(read["magnification"], [[1.01, 0.0], [0.0, 0.99]])
    sums.normal += np.diag([50.0, 40.0, 40.0, 50.0]) * 1e6
    sums.slope += sums.normal @ [0.01, 0.004, 0.004, -0.006]
    magnification = fit_magnification(sums)
    assert magnification.parts == pytest.approx([0.002, 0.008, 0.004], rel=1e-6)


def test_settings_that_make_no_sense() -> None:
    with pytest.raises(InputError, match="nothing is to be refined"):
        CtfRefinementSettings(40.0, 3.0, defocus=False, beam_tilt=False)
    with pytest.raises(InputError, match="finer"):
        CtfRefinementSettings(40.0, 35.0)

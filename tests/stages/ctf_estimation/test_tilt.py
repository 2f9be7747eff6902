"""The tilt of a specimen from the defocus of a micrograph's tiles, and the particles' own defocus from it."""

from __future__ import annotations

import numpy as np
import pytest

from tests.stages.ctf_estimation.rings import ringed_noise, tilted_noise
from verglas.errors import InputError
from verglas.formats.ctffind import read_ctffind, write_ctffind
from verglas.stages.ctf_estimation import estimate_ctf
from verglas.stages.ctf_estimation.results import result_values
from verglas.stages.extraction import MicrographFacts, local_defocus

SIZE, PIXEL_A = 1280, 1.4


@pytest.mark.parametrize(("mean_A", "axis_deg", "angle_deg"), [(20000, 30, 30), (15000, -110, 45)])
def test_axis_and_angle_are_found_and_particles_get_the_defocus_of_their_place(mean_A, axis_deg, angle_deg, tmp_path):
    image = tilted_noise(
        mean_A, axis_deg, angle_deg, n=SIZE, pixel=PIXEL_A, step_A=200, astigmatism_A=300, astigmatism_deg=25,
        snr=0.5, seed=3,
    )  # fmt: skip
    found = estimate_ctf(image, PIXEL_A, box=256, largest_tilt_deg=60)
    tilt = found.tilt
    assert tilt is not None and tilt.is_certain
    assert abs((tilt.axis_deg - axis_deg + 180) % 360 - 180) < min(10, 3.5 * tilt.axis_error_deg)
    assert abs(tilt.angle_deg - angle_deg) < min(6, 3.5 * tilt.angle_error_deg)
    assert found.values.mean_A == pytest.approx(mean_A, abs=80)
    flat = estimate_ctf(image, PIXEL_A, box=256)
    assert found.quality.fit_resolution_A <= flat.quality.fit_resolution_A, "stretched tiles keep their rings"

    values = result_values(found)
    facts = MicrographFacts(
        1, "m", PIXEL_A, image.shape, 300, 2.7, 0.07, found.defocus_u_A, found.defocus_v_A, found.defocus_angle_deg,
        0.0, values["tilt_axis_deg"], values["tilt_angle_deg"],
    )  # fmt: skip
    places = np.array([[100, 100], [1180, 100], [100, 1180], [1180, 1180]])
    off = (places - SIZE // 2) * PIXEL_A
    axis = np.deg2rad(axis_deg)
    true = np.tan(np.deg2rad(angle_deg)) * (-off[:, 0] * np.sin(axis) + off[:, 1] * np.cos(axis))
    np.testing.assert_allclose(local_defocus(facts, *places.T), true, atol=150)

    write_ctffind(found.as_ctffind(), tmp_path / "fit.txt")
    written = read_ctffind(tmp_path / "fit.txt").fits[0]
    assert written.tilt_axis_deg == pytest.approx(tilt.axis_deg, abs=1e-3)
    assert written.tilt_angle_deg == pytest.approx(tilt.angle_deg, abs=1e-3)


def test_a_flat_specimen_is_left_flat():
    image = ringed_noise(25150, 24850, 25, n=1024, pixel=PIXEL_A, snr=0.5, seed=4)
    found, plain = (estimate_ctf(image, PIXEL_A, box=256, largest_tilt_deg=angle) for angle in (60, None))
    assert found.tilt is not None and not found.tilt.is_certain
    values = result_values(found)
    assert values["tilt_angle_deg"] is None and values["tilt_axis_deg"] is None
    assert found.values.mean_A == pytest.approx(plain.values.mean_A, abs=20)
    assert "tilt_angle_deg" not in result_values(plain)


def test_too_few_tiles_are_refused():
    with pytest.raises(InputError, match="smaller box"):
        estimate_ctf(np.random.default_rng(1).normal(size=(300, 300)), PIXEL_A, box=256, largest_tilt_deg=60)

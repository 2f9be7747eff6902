"""The simulator's microscope against cisTEM's CTF, verglas' own, and the limits of thick specimens."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft

from tests.support.oracles import ask_oracle
from verglas.microscopy.ctf import odd_aberration_factor, rfft_frequencies
from verglas.microscopy.dose import critical_dose
from verglas.microscopy.optics import Optics
from verglas.stages.simulation.atoms import Atoms
from verglas.stages.simulation.optics import Defocus, Microscope, critical_dose_e_A2, damage
from verglas.stages.simulation.parameters import OpticsParameters
from verglas.stages.simulation.poses import rotation_matrix
from verglas.stages.simulation.projection import Projector


@pytest.mark.parametrize(
    ("u", "v", "angle", "phase"), [(15000, 12000, 30, 0), (8000, 8000, 0, 90), (21000, 20000, -70, 35)]
)
def test_ctf_equals_cistem(tmp_path, u, v, angle, phase):
    optics = OpticsParameters(pixel_size_A=1.3, cs_mm=2.7, amplitude_contrast=0.07, envelope_b_A2=0)
    mine = Microscope(optics, (64, 64)).transfer(Defocus(u, v, angle, phase))
    answer = ask_oracle(
        """
        from pycistem.core import CTF
        u, v, angle, phase = setting.tolist()
        ctf = CTF(kV=300.0, cs=2.7, ac=0.07, defocus1=u, defocus2=v, astig_angle=angle, pixel_size=1.3,
                  phase_shift=np.deg2rad(phase))
        answer["ctf"] = [
            [ctf.Evaluate(x * x + y * y, np.arctan2(y, x)) for x in np.fft.rfftfreq(64)] for y in np.fft.fftfreq(64)
        ]
        """,
        tmp_path, setting=np.array([u, v, angle, phase], dtype=float),
    )  # fmt: skip
    # cisTEM's wavelength is 3e-5 short: up to 0.01 where the phase is some hundred radians
    assert np.abs(mine - answer["ctf"]).max() < 0.01
    assert mine[0, 3] < 0 or phase


def test_beam_tilt_turns_phases_as_the_engine_believes():
    optics = OpticsParameters(pixel_size_A=1.0, cs_mm=2.7, beam_tilt_x_mrad=0.7, beam_tilt_y_mrad=-0.4)
    own = Optics(
        voltage_kV=300.0, spherical_aberration_mm=2.7, amplitude_contrast=0.07, pixel_size_A=1.0, beam_tilt_x_mrad=0.7,
        beam_tilt_y_mrad=-0.4,
    )  # fmt: skip
    kx, ky = rfft_frequencies((64, 64), 1.0)
    theirs = odd_aberration_factor(kx, ky, own)
    mine = Microscope(optics, (64, 64)).tilt
    assert mine is not None
    assert np.abs(mine - theirs).max() < 1e-3


@pytest.mark.parametrize("voltage", [100.0, 200.0, 300.0])
def test_damage_follows_the_published_curve(voltage):
    k = np.linspace(0.02, 0.5, 20)
    assert np.allclose(critical_dose_e_A2(k, voltage), critical_dose(k, voltage), rtol=0.02)
    fine = np.mean([np.exp(-d / (2 * critical_dose_e_A2(k, voltage))) for d in np.linspace(10, 14, 2001)], axis=0)
    assert np.allclose(damage(k, 10, 14, voltage), fine, rtol=1e-4)


def thick(rng: np.random.Generator, weakness: float) -> Atoms:
    n = 400
    return Atoms(
        positions_A=rng.uniform(-1, 1, (n, 3)) * [25, 25, 120],
        elements=np.full(n, "C"),
        hydrogens=np.zeros(n, dtype=np.int64),
        b_A2=np.full(n, 30.0),
        occupancy=np.full(n, weakness),
    )


def image(atoms: Atoms, how: str) -> np.ndarray:
    optics = OpticsParameters(scattering=how, slab_thickness_A=4.0, envelope_b_A2=0, voltage_kV=100.0, cs_mm=1.0)
    projector = Projector(atoms, 96, 1.0, solvent_density=0.0)
    microscope = Microscope(optics, (96, 96))
    spectrum = microscope.contrast(projector, rotation_matrix(20, 0, 0), (0.0, 0.0), Defocus(6000, 5000, 40))
    return scipy.fft.irfft2(spectrum, (96, 96))


def same(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def test_multislice_of_a_weak_object_is_the_ewald_sphere(rng):
    atoms = thick(rng, 0.01)
    waves, sphere, flat = (image(atoms, how) for how in ("multislice", "ewald", "weak_phase"))
    assert same(waves, sphere) > 0.9999
    assert waves.std() == pytest.approx(sphere.std(), rel=0.005)
    assert same(waves, flat) < 0.98  # a specimen of 240 A at 100 kV is not flat
    # the other hand of the sphere is a different image
    mirrored = atoms.moved(atoms.positions_A * [1, 1, -1])
    assert same(waves, image(mirrored, "ewald")) < 0.98


def test_multislice_of_a_strong_object_is_not_linear(rng):
    atoms = thick(rng, 1.0)
    assert same(image(atoms, "multislice"), image(atoms, "ewald")) < 0.9999


def test_thin_objects_are_flat(rng):
    atoms = thick(rng, 0.01)
    atoms = atoms.moved(atoms.positions_A * [1, 1, 0.001])
    assert same(image(atoms, "multislice"), image(atoms, "weak_phase")) > 0.9999

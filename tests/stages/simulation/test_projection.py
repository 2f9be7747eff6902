"""Projections and maps of atoms against the plain sum over atoms, cryojax, and physical constants."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft

from tests.support.oracles import ask_oracle
from verglas.stages.simulation.atoms import Atoms
from verglas.stages.simulation.optics import Defocus, Microscope
from verglas.stages.simulation.parameters import OpticsParameters
from verglas.stages.simulation.poses import rotation_matrix
from verglas.stages.simulation.projection import Projector, make_density
from verglas.stages.simulation.scattering import (
    POTENTIAL_PER_AMPLITUDE,
    atom_factor,
    coefficients,
    ice_potential_V,
    interaction_per_VA,
    wavelength_A,
)

ANGLES = (37.0, 68.0, -25.0)
OFFSET_YX = (-5.0, 3.0)


@pytest.fixture
def atoms(rng: np.random.Generator) -> Atoms:
    n = 60
    return Atoms(
        positions_A=rng.normal(0, 9, (n, 3)),
        elements=rng.choice(["C", "N", "O", "S"], n),
        hydrogens=np.zeros(n, dtype=np.int64),
        b_A2=rng.uniform(40, 80, n),
        occupancy=np.ones(n),
    )


def test_constants_of_electrons():
    assert wavelength_A(300) == pytest.approx(0.0196875, rel=1e-4)
    assert wavelength_A(100) == pytest.approx(0.0370144, rel=1e-4)
    assert interaction_per_VA(300) == pytest.approx(6.526e-4, rel=1e-3)
    assert pytest.approx(47.878, rel=1e-4) == POTENTIAL_PER_AMPLITUDE
    assert 4.3 < ice_potential_V() < 4.9


@pytest.mark.parametrize("solvent_density", [0.0, 1.0, 1.2])
def test_projection_equals_the_plain_sum_over_atoms(atoms, solvent_density):
    box, pixel = 48, 1.5
    rotation = rotation_matrix(*ANGLES)
    mine = Projector(atoms, box, pixel, solvent_density=solvent_density).potential(rotation, OFFSET_YX)
    ky, kx = scipy.fft.fftfreq(box, pixel)[:, None], scipy.fft.rfftfreq(box, pixel)[None, :]
    radius = np.hypot(ky, kx)
    slow = np.zeros(radius.shape, complex)
    for i in range(len(atoms)):
        x, y, _ = rotation @ atoms.positions_A[i]
        x, y = x + OFFSET_YX[1] + box // 2 * pixel, y + OFFSET_YX[0] + box // 2 * pixel
        factor = atom_factor(
            str(atoms.elements[i]), 0, atoms.b_A2[i], radius.ravel(), solvent_density=solvent_density, smoothing_A=1.0
        )
        slow += factor.reshape(radius.shape) * np.exp(-2j * np.pi * (kx * x + ky * y))
    slow /= pixel**2
    inner = np.ones(radius.shape, bool)
    inner[box // 2, :] = inner[:, box // 2] = False
    assert np.abs(mine - slow)[inner].max() < 1e-3 * np.abs(slow).max()


def test_map_projects_to_the_image(atoms):
    box, pixel = 48, 1.5
    volume = make_density(atoms, box, pixel)
    radius = np.hypot(scipy.fft.fftfreq(box)[:, None], scipy.fft.rfftfreq(box)[None, :])

    def seen(rotation: np.ndarray) -> np.ndarray:
        # a map ends at the Nyquist sphere, an image at a square
        return scipy.fft.irfft2(Projector(atoms, box, pixel).potential(rotation) * (radius < 0.5), (box, box))

    image = seen(np.eye(3))
    line = volume.sum(axis=0, dtype=np.float64) * pixel
    assert np.corrcoef(line.ravel(), image.ravel())[0, 1] > 0.999
    assert line.std() == pytest.approx(image.std(), rel=5e-3)
    # along x as well: the map's axes are z, y, x
    turned = np.array([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]])  # z comes to -x, x to z
    image = seen(turned)
    side = volume.sum(axis=2, dtype=np.float64).T * pixel
    assert np.corrcoef(image[:, 1:].ravel(), side[:, :0:-1].ravel())[0, 1] > 0.999


def test_noise_free_images_equal_cryojax(atoms, tmp_path):
    box, pixel = 96, 1.0
    optics = OpticsParameters(pixel_size_A=pixel, cs_mm=2.1, amplitude_contrast=0.08, envelope_b_A2=50)
    defocus = Defocus(9000, 6500, 33, 20)
    a = np.array([coefficients(str(e))[0] for e in atoms.elements])
    b = np.array([coefficients(str(e))[1] for e in atoms.elements]) + atoms.b_A2[:, None]
    answer = ask_oracle(
        """
        import cryojax.simulator as cs
        from cryojax.ndimage import FourierGaussian
        config = cs.BasicImageConfig((96, 96), 1.0, 300.0)
        pose = cs.EulerAnglePose(3.0, -5.0, *(-float(angle) for angle in angles))
        ctf = cs.AstigmaticCTF(7750.0, 2500.0, 90.0 - 33.0, 2.1)  # its azimuth runs from y to x
        transfer = cs.ContrastTransferTheory(ctf, FourierGaussian(amplitude=1.0, b_factor=50.0), 0.08, 20.0)
        volume = cs.GaussianMixtureVolume(positions, a, b / (8 * np.pi**2))
        project = cs.GaussianMixtureProjection(sampling_mode="point")
        answer["potential"] = cs.make_image_model(volume, config, pose, None, project).simulate()
        answer["image"] = cs.make_image_model(volume, config, pose, transfer, project).simulate()
        """,
        tmp_path, positions=atoms.positions_A, a=a, b=b, angles=np.array(ANGLES),
    )  # fmt: skip
    projector = Projector(atoms, box, pixel, solvent_density=0.0)
    rotation = rotation_matrix(*ANGLES)
    potential = scipy.fft.irfft2(projector.potential(rotation, OFFSET_YX), (box, box))
    image = scipy.fft.irfft2(
        Microscope(optics, (box, box)).contrast(projector, rotation, OFFSET_YX, defocus), (box, box)
    )
    assert np.corrcoef(potential.ravel(), answer["potential"].ravel())[0, 1] > 0.9995
    scale = (potential * answer["potential"]).sum() / (answer["potential"] ** 2).sum()
    assert scale == pytest.approx(POTENTIAL_PER_AMPLITUDE, rel=2e-3)
    assert np.corrcoef(image.ravel(), answer["image"].ravel())[0, 1] > 0.9999

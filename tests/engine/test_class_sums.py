"""Class averages against a slow twin, the true projections, RELION, and themselves in other tilings."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engine.atoms import blobs
from tests.support.oracles import program
from verglas.engine.class_sums import Assignments, ClassSums
from verglas.engine.image_search import search_images
from verglas.engine.images import ParticleImages, prepare_images
from verglas.engine.reference import prepare_image_reference
from verglas.errors import InputError
from verglas.formats import MrcStackWriter, OpticsGroup, ParticleTable, read_image, write_particles
from verglas.geometry import euler_to_matrix, random_rotations
from verglas.microscopy import Optics, ctf
from verglas.signal import fourier_shell_correlation, sphere_mask

BOX, PIXEL_A, CLASSES = 40, 3.0, 3
OPTICS = Optics(300.0, 2.7, 0.07, PIXEL_A)
VIEWS = random_rotations(CLASSES, 4)
TO_90 = slice(1, int(0.9 * BOX / 2) + 1)


def seen(rotations: np.ndarray, displacements_A: np.ndarray, transfer: Any = 1.0) -> np.ndarray:
    """Return images of a molecule in closed form."""
    ky, kx = np.broadcast_arrays(np.fft.fftfreq(BOX, PIXEL_A)[:, None], np.fft.rfftfreq(BOX, PIXEL_A)[None])
    images = []
    for R, d, t in zip(rotations, displacements_A, np.broadcast_to(transfer, (len(rotations), *kx.shape))):
        transform = blobs().transform(R, kx, ky) * np.exp(-2j * np.pi * (kx * d[0] + ky * d[1])) * t
        images.append(np.fft.fftshift(np.fft.irfft2(transform * (np.hypot(kx, ky) < 0.5 / PIXEL_A), (BOX, BOX))))
    return np.array(images)


def particles(count: int, noise: float, seed: int = 1) -> tuple[np.ndarray, np.ndarray, Assignments]:
    """Return images with CTF and noise (in units of the signal's deviation), their defocus, and where they belong."""
    random = np.random.Generator(np.random.Philox(seed))
    number, psi = random.integers(0, CLASSES, count), random.uniform(-np.pi, np.pi, count)
    displacements_A = random.normal(0.0, 4.0, (count, 2))
    mean = random.uniform(8000, 14000, count)
    defocus = np.stack([mean + 150, mean - 150, random.uniform(-1.5, 1.5, count), np.zeros(count)], axis=1)
    ky, kx = np.broadcast_arrays(np.fft.fftfreq(BOX, PIXEL_A)[:, None], np.fft.rfftfreq(BOX, PIXEL_A)[None])
    transfer = ctf(kx, ky, OPTICS, *defocus.T, dtype=np.float64)
    images = seen(euler_to_matrix(0.0, 0.0, psi) @ VIEWS[number], displacements_A, transfer)
    images = images + noise * images.std() * random.standard_normal(images.shape)
    return (
        images.astype(np.float32),
        defocus,
        Assignments(np.arange(count), number, psi, displacements_A, np.ones(count)),
    )


def prepared(images: np.ndarray, defocus: np.ndarray) -> ParticleImages:
    return prepare_images(images, OPTICS, defocus, np.full(BOX // 2 + 1, 2.5), 2.0 * PIXEL_A)


def some_rows(poses: Assignments, rows: Any, first_image: int = 0) -> Assignments:
    return Assignments(
        poses.image[rows] - first_image, poses.number[rows], poses.psi[rows], poses.displacements_A[rows],
        poses.weights[rows],
    )  # fmt: skip


def several(count: int, seed: int) -> Assignments:
    """Return random rows, some of one image, class and angle."""
    random = np.random.Generator(np.random.Philox(seed))
    rows = 4 * count
    return Assignments(
        random.integers(0, count, rows), random.integers(0, CLASSES, rows), 0.7 * random.integers(0, 3, rows),
        random.normal(0.0, 5.0, (rows, 2)), random.uniform(0.0, 1.0, rows),
    )  # fmt: skip


def test_sums_are_those_of_the_slow_twin() -> None:
    images, defocus, _ = particles(3, 1.0)
    ready, poses, half = prepared(images, defocus), several(3, 8), np.array([0, 1, 0])
    sums = ClassSums(BOX, PIXEL_A, CLASSES, oversampling=1, threads=2)
    sums.insert(ready, half, poses)
    centre = sums.centre
    wanted = np.zeros((2 * CLASSES, 2 * centre + 1, 2 * centre + 3, 3))
    k = np.stack([ready.band.column, ready.band.row], axis=-1).astype(float)
    for i, c, psi, d, w in zip(poses.image, poses.number, poses.psi, poses.displacements_A, poses.weights):
        value = w * ready.transfer[i] * ready.data[i] * np.exp(2j * np.pi * k @ d / (BOX * PIXEL_A))
        weight = w * ready.transfer[i].astype(float) ** 2
        for sign in (1, -1):
            at = sign * k @ euler_to_matrix(0.0, 0.0, psi)[:2, :2] + centre
            low = np.floor(at).astype(int)
            for corner in np.ndindex(2, 2):
                share = np.prod(np.where(corner, at - low, 1 - (at - low)), axis=1)
                x, y = (low + corner).T
                triple = np.stack([value.real, sign * value.imag, weight], axis=-1)
                np.add.at(wanted[half[i] * CLASSES + c], (y, x), share[:, None] * triple)
    found = sums.planes.copy()
    found[:, :, 0] += found[:, ::-1, 0] * [1, -1, 1]
    np.testing.assert_allclose(found, wanted[:, :, centre : centre + found.shape[2]], atol=1e-4 * wanted[..., 2].max())
    total = np.zeros((2, CLASSES))
    np.add.at(total, (half[poses.image], poses.number), poses.weights)
    np.testing.assert_allclose(sums.occupancy, total)


def test_averages_are_the_true_projections() -> None:
    truth = seen(VIEWS, np.zeros((CLASSES, 2)))
    for noise, least in ((0.0, 0.99), (2.0, 0.9)):
        images, defocus, poses = particles(300, noise)
        sums = ClassSums(BOX, PIXEL_A, CLASSES)
        sums.insert(prepared(images, defocus), np.arange(300) % 2, poses)
        found = sums.finish()
        assert found.occupancy.sum() == 300
        for mine, true, frc in zip(found.images, truth, found.frc):
            curve = fourier_shell_correlation(mine, true, PIXEL_A).fsc
            assert curve[1:12].min() > least - 0.01  # a weak ring next to the mean, which averages lack
            assert curve[3:12].min() > least
            assert frc[1:10].min() > 0.9
            # Grey values too: the Wiener filter lowers them with noise.
            scale = np.vdot(mine, true - true.mean()) / np.vdot(true, true - true.mean())
            assert scale == pytest.approx(1.0, abs=0.03 if noise == 0.0 else 0.1)


def test_average_is_that_of_relion(tmp_path: Path) -> None:
    images, defocus, poses = particles(150, 1.0)
    poses = Assignments(poses.image, 0 * poses.number, poses.psi, poses.displacements_A, poses.weights)
    sums = ClassSums(BOX, PIXEL_A, 1)
    sums.insert(prepared(images, defocus), 0, poses)
    table = ParticleTable.empty(150)
    with MrcStackWriter(tmp_path / "particles.mrcs", BOX, BOX, PIXEL_A) as writer:
        for image in images:
            writer.append(image)
    table["psi_deg"] = np.rad2deg(poses.psi)
    table["origin_x_A"], table["origin_y_A"] = -poses.displacements_A.T
    table["defocus_u_A"], table["defocus_v_A"] = defocus[:, 0], defocus[:, 1]
    table["defocus_angle_deg"] = np.rad2deg(defocus[:, 2])
    table["pixel_size_A"], table["voltage_kV"] = PIXEL_A, OPTICS.voltage_kV
    table["spherical_aberration_mm"] = OPTICS.spherical_aberration_mm
    table["amplitude_contrast"] = OPTICS.amplitude_contrast
    table["image_section"] = table["position"] = np.arange(1, 151)
    table.set_names("image_name", ["particles.mrcs"] * 150)
    table.set_names("micrograph", ["one.mrc"] * 150)
    table.optics = [OpticsGroup(image_size_px=BOX, contrast_inverted=False)]
    write_particles(table, tmp_path / "in.star")
    subprocess.run(
        [program("relion_reconstruct", "relion"), "--i", "in.star", "--o", "out.mrc", "--ctf", "--refdim", "2"],
        cwd=tmp_path, check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    theirs = -np.asarray(read_image(tmp_path / "out.mrc")[0])
    # Within the particle: the two programs cut off the noise around it at different radii.
    mask = sphere_mask((BOX, BOX), 0.3 * BOX, 1.0, edge_A=4.0)
    curve = fourier_shell_correlation(sums.finish().images[0], np.squeeze(theirs), PIXEL_A, mask=mask).fsc
    assert curve[TO_90].min() > 0.99


def test_threads_calls_and_parts_change_nothing() -> None:
    images, defocus, _ = particles(20, 1.0)
    ready, poses, half = prepared(images, defocus), several(20, 3), np.arange(20) % 2
    whole, threaded, called, added = (ClassSums(BOX, PIXEL_A, CLASSES, threads=n) for n in (1, 8, 1, 1))
    whole.insert(ready, half, poses)
    threaded.insert(ready, half, poses)
    np.testing.assert_array_equal(whole.planes, threaded.planes)
    for rows in (slice(0, 7), slice(7, 20)):
        chosen = (poses.image >= rows.start) & (poses.image < rows.stop)
        part = some_rows(poses, chosen, rows.start)
        called.insert(ready.select(rows), half[rows], part)
        other = ClassSums(BOX, PIXEL_A, CLASSES)
        other.insert(ready.select(rows), half[rows], part)
        added.add(other.arrays())
    np.testing.assert_array_equal(whole.planes, called.planes)
    np.testing.assert_allclose(whole.planes, added.planes, atol=1e-12 * whole.planes.max())
    with pytest.raises(InputError, match="other classes"):
        added.add(ClassSums(BOX, PIXEL_A, 2).arrays())


def test_a_search_against_averages_feeds_the_next_sums() -> None:
    images, defocus, poses = particles(60, 1.0)
    ready, half = prepared(images, defocus), np.arange(60) % 2
    first, second = ClassSums(BOX, PIXEL_A, CLASSES), ClassSums(BOX, PIXEL_A, CLASSES)
    first.insert(ready, half, poses)
    references = [prepare_image_reference(image, PIXEL_A) for image in first.finish().images]
    found = search_images(references, ready)
    assert (found.reference[:, 0] == poses.number).mean() > 0.9
    second.insert(ready, half, Assignments.of_images(found.reference, found.psi, found.displacements_A, found.weights))
    assert second.occupancy.sum() == pytest.approx(60.0)
    np.testing.assert_allclose(second.occupancy, first.occupancy, atol=5.0)


def test_empty_classes_and_halves_are_said_and_wrong_rows_refused() -> None:
    images, defocus, poses = particles(10, 0.0)
    ready = prepared(images, defocus)
    sums = ClassSums(BOX, PIXEL_A, 4)
    sums.insert(ready, 0, some_rows(poses, poses.number == 1))
    found = sums.finish()
    assert (found.occupancy[:, [0, 2, 3]] == 0).all()
    assert not found.images[[0, 2, 3]].any() and not found.half_images[1].any()
    assert found.images[1].any() and not found.ssnr.any()
    for wrong, words in (
        (Assignments(poses.image + 1, poses.number, poses.psi, poses.displacements_A, poses.weights), "image"),
        (Assignments(poses.image, poses.number + 2, poses.psi, poses.displacements_A, poses.weights), "class"),
        (Assignments(poses.image, poses.number, poses.psi, poses.displacements_A, -poses.weights), "negative"),
        (Assignments(poses.image, poses.number, poses.psi[1:], poses.displacements_A, poses.weights), "shape"),
    ):
        with pytest.raises(InputError, match=words):
            ClassSums(BOX, PIXEL_A, CLASSES).insert(ready, 0, wrong)
    with pytest.raises(InputError, match="do not fit"):
        ClassSums(BOX + 2, PIXEL_A, 4).insert(ready, 0, poses)
    with pytest.raises(InputError, match="GB"):
        ClassSums(512, 1.0, 200, memory_bytes=10**9)

"""Images of one view added up: as likely with a reference as all of them were, and as noisy as one."""

from __future__ import annotations

import numpy as np

from tests.engine.atoms import blobs
from tests.engine.test_class_sums import BOX, CLASSES, OPTICS, PIXEL_A, VIEWS, particles, prepared
from verglas.engine.class_sums import Assignments, ClassSums
from verglas.engine.images import ParticleImages
from verglas.engine.summed_images import summed_images
from verglas.geometry import euler_to_matrix


def gain(images: ParticleImages, rotations: np.ndarray, displacements_A: np.ndarray) -> np.ndarray:
    """Return what the molecule adds to the log-likelihood of each image at its pose."""
    kx, ky = images.band.kx_per_A, images.band.ky_per_A
    slices = np.array([blobs().transform(R, kx, ky) for R in rotations])
    model = images.transfer * slices * np.exp(-2j * np.pi * (displacements_A @ np.stack([kx, ky])))
    return np.asarray((2.0 * (model.conj() * images.data).real - np.abs(model) ** 2).sum(axis=1))


def test_the_likelihood_of_a_sum_is_that_of_its_images() -> None:
    images, defocus, poses = particles(60, 1.0)
    ready = prepared(images, defocus)
    sums = ClassSums(BOX, PIXEL_A, CLASSES + 1)
    sums.insert(ready, np.arange(60) % 2, poses)
    found = summed_images(sums, ready.band, OPTICS)
    each = gain(ready, euler_to_matrix(0.0, 0.0, poses.psi) @ VIEWS[poses.number], poses.displacements_A)
    together = np.bincount(poses.number, each)
    np.testing.assert_allclose(
        gain(found.select(slice(0, CLASSES)), VIEWS, np.zeros((CLASSES, 2))), together, rtol=0.03
    )
    # A wrong view is as unlikely too.
    wrong = VIEWS[(poses.number + 1) % CLASSES]
    each = gain(ready, euler_to_matrix(0.0, 0.0, poses.psi) @ wrong, poses.displacements_A)
    np.testing.assert_allclose(
        gain(found.select(slice(0, CLASSES)), np.roll(VIEWS, -1, axis=0), np.zeros((CLASSES, 2))),
        np.bincount(poses.number, each), atol=0.03 * np.abs(together).max(),
    )  # fmt: skip
    assert not found.data[CLASSES].any() and not found.transfer[CLASSES].any()


def test_noise_alone_stays_noise() -> None:
    random = np.random.Generator(np.random.Philox(3))
    noise = np.sqrt(2.5) * random.standard_normal((400, BOX, BOX)).astype(np.float32)
    _, defocus, _ = particles(400, 0.0)
    ready = prepared(noise, defocus)
    number, psi = np.arange(400) // 8, random.uniform(-np.pi, np.pi, 400)
    sums = ClassSums(BOX, PIXEL_A, 50)
    sums.insert(ready, 0, Assignments(np.arange(400), number, psi, random.normal(0, 4, (400, 2)), np.ones(400)))
    found = summed_images(sums, ready.band, OPTICS)
    # What a compact model would make of it: noise beyond the circle that fits the box is gone, and none of the rest.
    model = found.transfer * blobs().transform(VIEWS[0], ready.band.kx_per_A, ready.band.ky_per_A)
    likeness = (model.conj() * found.data).real.sum(axis=1) / np.sqrt(0.5 * (np.abs(model) ** 2).sum(axis=1))
    assert 0.75 < likeness.std() < 1.25 and abs(likeness.mean()) < 0.5
    assert 0.6 < (np.abs(found.data) ** 2).mean() < 1.0

"""The hand of a map: what an atomic model, a tilt pair or the curvature of the Ewald sphere says; else undetermined.

Projections of a molecule and of its mirror image are alike, so that half maps, resolution and poses say nothing of the
hand. What can: a model of known hand; images of the same particles before and after the specimen was tilted in a known
direction; and, at high resolution, that the Ewald sphere is bent to one side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verglas.engine import ParticleStack, background_noise, background_radius_A, normalise, prepare_images
from verglas.engine.half_maps import HalfMapCurves
from verglas.engine.reconstruct_particles import half_sets
from verglas.engine.reconstructed_map import signal_to_noise
from verglas.engine.reference import Reference, prepare_reference
from verglas.errors import InputError
from verglas.geometry import euler_to_matrix, point_group
from verglas.microscopy import wavelength_A
from verglas.signal import apply_filter

RIGHT, MIRRORED, UNDETERMINED = "right", "mirrored", "undetermined"
SIGNIFICANT = 4.0
"""Standard deviations from which a test decides: chance does so once in 16,000 times."""
NEAR = 0.5
"""Pairs count whose turn is nearer to one of the two expected ones than this part of the tilt."""
LEAST_PARTICLES = 50
AT_ONCE = 128
MARGIN = 0.95
"""References reach so much further than images, for bent slices leave the sphere that flat ones lie in."""


@dataclass(frozen=True)
class HandEvidence:
    """What one test says of the hand.

    Attributes
    ----------
    by
        ``"model"``, ``"tilt pairs"`` or ``"Ewald sphere"``.
    says
        ``"right"``, ``"mirrored"`` or ``"undetermined"``.
    strength
        Of a model, by how much the better hand correlates more; of the others, standard deviations, positive where the
        hand is right.
    words
        The same in a sentence.
    """

    by: str
    says: str
    strength: float
    words: str


def hand_of(evidence: Sequence[HandEvidence]) -> str:
    """Return the hand that the evidence agrees on: undetermined where there is none, or where it contradicts itself."""
    said = {one.says for one in evidence} - {UNDETERMINED}
    return said.pop() if len(said) == 1 else UNDETERMINED


def contradiction(evidence: Sequence[HandEvidence]) -> str | None:
    """Return a warning where tests decide for different hands."""
    if len({one.says for one in evidence} - {UNDETERMINED}) < 2:
        return None
    said = ", ".join(f"{one.by}: {one.says}" for one in evidence)
    return (
        f"tests of the hand contradict each other ({said}): look for images that were mirrored on their way from the "
        "camera, and whether the direction of the tilt is given as it was."
    )


def hand_from_tilt_pairs(
    untilted: NDArray[np.float64], tilted: NDArray[np.float64], symmetry: str, tilt_deg: float, axis_deg: float
) -> HandEvidence:
    """Tell the hand from poses of the same particles before and after the specimen was tilted.

    Parameters
    ----------
    untilted, tilted
        Rotations of the same particles in the same order, found with the same map; shape (n, 3, 3).
    symmetry
        Point group of the map.
    tilt_deg
        By how much the specimen was turned between the two, by the right-hand rule about the axis.
    axis_deg
        Direction of the axis in the image, from +x towards +y.

    Raises
    ------
    InputError
        There are not as many of one as of the other, or no tilt.

    References
    ----------
    P. B. Rosenthal, R. Henderson, "Optimal determination of particle orientation, absolute hand, and contrast loss in
    single-particle electron cryomicroscopy", J. Mol. Biol. 333 (2003) 721.

    Notes
    -----
    Poses found with the mirror image are turned by as much the other way: about the same axis by minus the tilt. A
    pair votes for the tilt that it is nearer to, over all equivalent poses.
    """
    first, second = np.asarray(untilted, np.float64), np.asarray(tilted, np.float64)
    if first.shape != second.shape:
        raise InputError(f"a tilt pair needs the same particles twice, not {len(first)} and {len(second)}.")
    if not 1.0 <= abs(tilt_deg) < 90.0:
        raise InputError(f"a tilt of {tilt_deg:g} degrees says nothing of the hand: give one between 1 and 90.")
    turns = second[:, None] @ point_group(symmetry).operators @ first[:, None].swapaxes(-1, -2)
    away = np.stack([_angle(turns, _turn(sign * tilt_deg, axis_deg)).min(axis=1) for sign in (1, -1)])
    counted = away.min(axis=0) < NEAR * math.radians(abs(tilt_deg))
    right = int((counted & (away[0] < away[1])).sum())
    mirrored = int(counted.sum()) - right
    strength = (right - mirrored) / math.sqrt(max(right + mirrored, 1))
    return _by_strength(
        "tilt pairs", strength,
        f"{right} pairs are turned as the specimen was, {mirrored} the other way, of {len(first)}",
    )  # fmt: skip


def hand_from_ewald_sphere(
    stack: ParticleStack, halves: tuple[NDArray[np.float32], NDArray[np.float32]], mask: NDArray[np.float32],
    curves: HalfMapCurves, radius_A: float, *, threads: int = 1,
) -> HandEvidence | None:  # fmt: skip
    """Tell the hand from the curvature of the Ewald sphere.

    Do images fit slices that are bent one way better than slices that are bent the other way? Every particle is
    compared with the half map that it is not in. Under the wrong hand the difference of the two likelihoods has the
    other sign; where curvature shows nothing, it has none.

    Parameters
    ----------
    stack
        Particles at their poses.
    halves
        Half maps, not filtered, at the particles' box.
    mask
        Around the particle.
    curves
        Correlations of the halves.
    radius_A
        Of the particle.
    threads
        Threads.

    Returns
    -------
    HandEvidence or None
        None where there are too few particles, or no resolution.

    Notes
    -----
    The beam runs towards +z of the turned particle, as in the simulator and in a reconstruction with
    ``ewald_sphere=1``: images must not have been mirrored on their way from the camera.

    References
    ----------
    D. J. DeRosier, Ultramicroscopy 81 (2000) 83; C. J. Russo, R. Henderson, Ultramicroscopy 187 (2018) 26.
    """
    if curves.resolution_A is None or len(stack) < LEAST_PARTICLES or len(halves[0]) != stack.box:
        return None
    limit_A = max(curves.resolution_A, 2.0 * stack.pixel_size_A / MARGIN)
    references = _references(halves, mask, curves, stack.pixel_size_A, limit_A, threads)
    noise = background_noise(stack, radius_A, threads=threads)
    half = half_sets(stack.table)[stack.rows]
    # Of each particle: its product with the models of both hands, and their power.
    product, power = np.zeros((2, len(stack))), np.zeros((2, len(stack)))
    for group, places in stack.by_group(np.arange(len(stack))):
        for number in (0, 1):
            mine = places[half[places] == number]
            for start in range(0, len(mine), AT_ONCE):
                some = mine[start : start + AT_ONCE]
                product[:, some], power[:, some] = _compared(
                    stack, some, group, noise[group], references[1 - number], limit_A, radius_A, threads
                )
    scale = product.sum() / max(power.sum(), 1e-30)
    lead = 2.0 * scale * (product[0] - product[1]) - scale**2 * (power[0] - power[1])
    error = float(lead.std(ddof=1)) / math.sqrt(len(lead))
    strength = float(lead.mean()) / error if error > 0.0 and scale > 0.0 else 0.0
    return _by_strength(
        "Ewald sphere", strength, f"{len(lead)} particles fit a sphere bent the one way rather than the other to "
        f"{limit_A:.2f} A",
    )  # fmt: skip


def _compared(
    stack: ParticleStack, places: NDArray[np.int64], group: int, noise: NDArray[np.float64], reference: Reference,
    limit_A: float, radius_A: float, threads: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:  # fmt: skip
    """Return products of images with models of this hand and of the other, and the models' power; shape (2, n) each."""
    table, rows = stack.table, stack.rows[places]
    pixels = normalise(
        stack.read(places), background_radius_A(radius_A, stack.box, stack.pixel_size_A), stack.pixel_size_A
    )
    images = prepare_images(
        pixels, stack.optics(group), stack.defocus(places), noise, limit_A,
        contrast_inverted=stack.is_inverted(group), threads=threads,
    )  # fmt: skip
    rotations = euler_to_matrix(*(np.deg2rad(table[name][rows]) for name in ("rot_deg", "tilt_deg", "psi_deg")))
    origin = np.stack([table["origin_x_A"][rows], table["origin_y_A"][rows]], axis=-1)
    phase = origin @ np.stack([images.band.kx_per_A, images.band.ky_per_A])
    data = images.data * np.exp((-2j * np.pi * phase).astype(np.complex64))
    kx, ky = images.true_k_per_A
    height = 0.5 * wavelength_A(images.optics.voltage_kV) * (kx**2 + ky**2)
    below, above = (
        reference.bent_slices(rotations, kx, ky, side * height, threads=threads) for side in (-1.0, 1.0)
    )  # fmt: skip
    transfer = images.transfer
    quadrature = images.with_defocus(images.defocus + [0.0, 0.0, 0.0, 0.5 * np.pi], threads).transfer
    seen = 0.5 * (transfer - 1j * quadrature)
    product, power = np.zeros((2, len(places))), np.zeros((2, len(places)))
    for number, (one, other) in enumerate(((below, above), (above, below))):
        model = seen * one + np.conj(seen) * other
        product[number] = (data * np.conj(model)).real.sum(axis=1, dtype=np.float64)
        power[number] = (model.real**2 + model.imag**2).sum(axis=1, dtype=np.float64)
    return product, power


def _references(
    halves: tuple[NDArray[np.float32], NDArray[np.float32]], mask: NDArray[np.float32], curves: HalfMapCurves,
    pixel_size_A: float, limit_A: float, threads: int,
) -> list[Reference]:  # fmt: skip
    """Return both half maps, filtered by what they agree on, masked and ready to be sliced."""
    ratio = signal_to_noise(curves.corrected, of_average=False)
    weight = ratio / (1.0 + ratio)
    made = []
    for half in halves:
        filtered = apply_filter(
            half, pixel_size_A, lambda k: np.interp(k, curves.frequency_per_A, weight, right=0.0), workers=threads
        )
        made.append(prepare_reference(filtered * mask, pixel_size_A, limit_A=MARGIN * limit_A, threads=threads))
    return made


def _by_strength(by: str, strength: float, what: str) -> HandEvidence:
    says = UNDETERMINED if abs(strength) < SIGNIFICANT else RIGHT if strength > 0.0 else MIRRORED
    return HandEvidence(by, says, strength, f"{what} ({strength:+.1f} standard deviations): {says}")


def _turn(angle_deg: float, axis_deg: float) -> NDArray[np.float64]:
    """Return the turn by the right-hand rule about an axis in the image."""
    a, b = math.radians(axis_deg), math.radians(angle_deg)
    axis = np.array([math.cos(a), math.sin(a), 0.0])
    across = np.array([[0.0, 0.0, axis[1]], [0.0, 0.0, -axis[0]], [-axis[1], axis[0], 0.0]])
    turn: NDArray[np.float64] = np.eye(3) + math.sin(b) * across + (1.0 - math.cos(b)) * across @ across
    return turn


def _angle(turns: NDArray[np.float64], expected: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the angle between rotations, in radians."""
    cosine = 0.5 * (np.einsum("...ij,ij->...", turns, expected) - 1.0)
    angle: NDArray[np.float64] = np.arccos(np.clip(cosine, -1.0, 1.0))
    return angle

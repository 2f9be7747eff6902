"""Of one micrograph: its astigmatism, and how likely each defocus is for each of its particles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from verglas.engine import Band, ParticleStack
from verglas.microscopy import Optics
from verglas.microscopy.ctf import true_frequencies
from verglas.stages.ctf_refinement.even_phase import EvenSums, even_terms, maximise, ring_sums
from verglas.stages.ctf_refinement.images import CtfImages

STAGES = (2.0, 1.4, 1.0)
"""Phases are fitted to the limit times these first: no more than a turn is left for the next one to find."""
MOST_ASTIGMATISM_A = 3000.0


@dataclass(frozen=True)
class DefocusMeasures:
    """What the particles of some micrographs say of their defocus.

    Attributes
    ----------
    places
        Of the stack, shape (n,).
    defocus
        Where changes are counted from: the table's with the astigmatism that was found; u, v (A), angle, phase (rad);
        shape (n, 4).
    profile
        Log-likelihood of each change of the defocus, float32, shape (n, changes).
    astigmatism
        Change of its two parts ``(u - v) / 2 (cos 2a, sin 2a)`` in A, and the gain of log-likelihood that decided about
        it, shape (n, 3): the same for all of a micrograph.
    """

    places: NDArray[np.int64]
    defocus: NDArray[np.float64]
    profile: NDArray[np.float32]
    astigmatism: NDArray[np.float64]

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return it as arrays by name."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    @staticmethod
    def concatenate(parts: list[DefocusMeasures]) -> DefocusMeasures:
        """Return all particles of several parts, by their places."""
        joined = {one.name: np.concatenate([getattr(part, one.name) for part in parts]) for one in fields(parts[0])}
        order = np.argsort(joined["places"])
        return DefocusMeasures(**{name: values[order] for name, values in joined.items()})


def changes_A(range_A: float, step_A: float) -> NDArray[np.float64]:
    """Return the changes of defocus that are looked at, in A, about 0."""
    half = int(np.ceil(range_A / step_A))
    return np.asarray(step_A * np.arange(-half, half + 1), np.float64)


def micrographs_of(stack: ParticleStack, places: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yield the places of each micrograph and optics group; particles of no known micrograph are one each group."""
    name = np.asarray(stack.table["micrograph"])[stack.rows[places]].astype(np.int64)
    kind = name * (1 + int(stack.group.max(initial=0))) + stack.group[places]
    for key in np.unique(kind):
        yield places[kind == key]


def measure_defocus(
    work: CtfImages, places: NDArray[np.int64], check: Callable[[], None] | None = None
) -> DefocusMeasures:
    """Measure the astigmatism of whole micrographs and the defocus of their particles.

    Parameters
    ----------
    work
        The particles.
    places
        All particles of some micrographs.
    check
        Called between micrographs; raises where the work shall stop.
    """
    settings, found = work.settings, []
    changes = changes_A(settings.defocus_range_A, settings.defocus_step_A)
    for mine in micrographs_of(work.stack, places):
        if check is not None:
            check()
        defocus = work.stack.defocus(mine)
        turned = np.zeros(3)
        if settings.astigmatism:
            turned = _astigmatism(work, mine, defocus)
            defocus = moved_defocus(defocus, 0.0, turned[0], turned[1])
        profile = np.empty((len(mine), len(changes)), np.float32)
        at = np.searchsorted(mine, mine)  # places of a micrograph are in order
        for products in work.products(mine, defocus):
            rings = products.images.band.rings
            sums = ring_sums(even_terms(products), rings)
            profile[at[np.searchsorted(mine, products.places)]] = _profiles(
                sums, np.unique(rings), products.images.band, products.images.optics, changes
            )
        found.append(DefocusMeasures(mine, defocus, profile, np.broadcast_to(turned, (len(mine), 3)).copy()))
    return DefocusMeasures.concatenate(found)


def moved_defocus(
    defocus: NDArray[np.float64], mean_A: NDArray[np.float64] | float, cosine_A: float, sine_A: float
) -> NDArray[np.float64]:
    """Return defocus (u, v, angle, phase; shape (n, 4)) after a change of its mean and of its astigmatism's parts."""
    u, v, angle, phase = defocus.T
    half = 0.5 * (u - v)
    cosine, sine = half * np.cos(2.0 * angle) + cosine_A, half * np.sin(2.0 * angle) + sine_A
    mean, length = 0.5 * (u + v) + mean_A, np.hypot(cosine, sine)
    turned = np.where(length > 0.0, 0.5 * np.arctan2(sine, cosine), angle)
    return np.stack([mean + length, mean - length, turned, phase], axis=-1)


def defocus_basis(band: Band, optics: Optics) -> NDArray[np.float64]:
    """Return the phases of 1 A of mean defocus and of both parts of astigmatism at a band's components, (3, points)."""
    kx, ky = true_frequencies(band.kx_per_A, band.ky_per_A, optics)
    return np.pi * optics.wavelength_A * np.stack([kx * kx + ky * ky, kx * kx - ky * ky, 2.0 * kx * ky])


def fit_stages(
    sums: EvenSums, basis: NDArray[np.float64], band: Band, limit_A: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fit coefficients of an even phase, from coarse to fine; returns them and their information."""
    at: NDArray[np.float64] = np.zeros(len(basis))
    information: NDArray[np.float64] = np.zeros((len(basis), len(basis)))
    for stage in STAGES:
        points = max(band.count_to(stage * limit_A), 1)
        part = EvenSums(sums.values[:, :points])
        at, information = maximise(part.gain, part.slope, basis[:, :points], at)
    return at, information


def _astigmatism(work: CtfImages, places: NDArray[np.int64], defocus: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the change of both parts of a micrograph's astigmatism, 0 where it is not significant, and the gain."""
    sums, band, optics = None, None, None
    for products in work.products(places, defocus):
        terms = even_terms(products)
        if sums is None:
            band, optics = products.images.band, products.images.optics
            sums = EvenSums.empty(len(band))
        sums.add(terms, scale_of(terms))
    assert sums is not None and band is not None and optics is not None
    basis = defocus_basis(band, optics)
    found, _ = fit_stages(sums, basis, band, work.settings.limit_A)
    plain, _ = fit_stages(sums, basis[:1], band, work.settings.limit_A)
    gain = sums.gain(found @ basis) - sums.gain(plain @ basis[:1])
    good = gain > work.settings.least_significance and np.hypot(*found[1:]) < MOST_ASTIGMATISM_A
    return np.array([*(found[1:] if good else (0.0, 0.0)), gain])


def scale_of(terms: NDArray[np.float32]) -> float:
    """Return the one scale that fits the models of some particles, from their terms at the present phase."""
    product, power = terms[0].sum(dtype=np.float64), terms[2].sum(dtype=np.float64)
    return max(float(product / max(power, 1e-30)), 0.0)


def _profiles(
    sums: NDArray[np.float64], rings: NDArray[np.int64], band: Band, optics: Optics, changes: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return the log-likelihood of each change of defocus at its best scale, shape (n, changes).

    Within a ring the change of phase is taken to be one; its width is half a ring, so the error is small beside 1.
    """
    k = rings / (band.box * band.pixel_size_A)
    phase = np.pi * optics.wavelength_A * np.outer(k * k, changes)
    c, s = np.cos(phase), np.sin(phase)
    x, y, cc, cs, ss = sums
    product = x @ c + y @ s
    power = cc @ (c * c) + 2.0 * cs @ (c * s) + ss @ (s * s)
    gain = np.where(product > 0.0, product**2 / np.maximum(power, 1e-30), 0.0)
    return np.asarray(gain, np.float32)

"""In what ways particles depart from one map, at poses that are held: the leading components of their residuals.

What a map leaves of each image is added up with a coefficient of the particle's own, and how much of the map so made
each residual holds is the particle's next coefficient. That is a linear operator on coefficients, whose leading
eigenvectors are those by which particles vary most: wherever it begins it ends there, unlike classes begun at random,
which may stay as they are or run empty.

References
----------
H. D. Tagare, A. Kucukelbir, F. J. Sigworth, H. Wang, M. Rao, "Directly reconstructing principal components of
heterogeneous particles from cryo-EM images", J. Struct. Biol. 191 (2015) 245.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.engine import ParticleImages, Reference, prepare_reference
from verglas.engine.band_sums import BandSums
from verglas.engine.images import Band

AT_ONCE = 256
COARSEST_A = 60.0
"""Nothing coarser says how particles differ: ice and background vary most there."""
ITERATIONS = 16
VARYING = 0.05
"""Power of what varies, over that of the map."""
RARELY_SEEN = 1.0
"""Weights are taken for larger by this part of their shell's mean: what few particles show would else be a component of
these few, made of their noise."""
OVERSAMPLED = 8.0
"""Voxels of the sums for each component of the box."""


@dataclass(frozen=True)
class Views:
    """Images of one optics group at their poses, without what a map explains of them.

    Attributes
    ----------
    band
        Their components.
    kx_per_A, ky_per_A
        Where slices are taken, shape (points,).
    rotations
        Shape (n, 3, 3).
    residual
        Whitened, moved to the origin, at right angles to the map's model of each image; complex64, shape (n, points).
    transfer
        CTF, contrast and whitening; float32, shape (n, points).
    signal
        Power of the map's slices on each ring, shape (rings,).
    """

    band: Band
    kx_per_A: NDArray[np.float64]
    ky_per_A: NDArray[np.float64]
    rotations: NDArray[np.float64]
    residual: NDArray[np.complex64]
    transfer: NDArray[np.float32]
    signal: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.rotations)


def views_of(
    reference: Reference, images: ParticleImages, rotations: NDArray[np.float64], displacements_A: NDArray[np.float64],
    threads: int = 1,
) -> Views:  # fmt: skip
    """Return images less a map, which is fitted to each by its scale."""
    whole = images.band
    first = int(np.searchsorted(whole.rings, whole.box * whole.pixel_size_A / COARSEST_A))
    first = first if first < len(whole) else 0
    band = replace(whole, column=whole.column[first:], row=whole.row[first:])
    kx, ky = (one[first:] for one in images.true_k_per_A)
    phase = 2.0 * np.pi * (displacements_A[:, :1] * band.kx_per_A + displacements_A[:, 1:] * band.ky_per_A)
    residual = images.data[:, first:] * np.exp(1j * phase).astype(np.complex64)
    transfer = np.ascontiguousarray(images.transfer[:, first:])
    model = reference.slices(rotations, kx, ky, threads=threads)
    power = (np.abs(model) ** 2).mean(axis=0, dtype=np.float64)
    signal = np.bincount(band.rings, power) / np.maximum(np.bincount(band.rings), 1)
    model *= transfer
    scale = np.einsum("np,np->n", model.conj(), residual).real
    scale /= np.maximum(np.einsum("np,np->n", model.conj(), model).real, 1e-30)
    residual -= scale[:, None].astype(np.float32) * model
    return Views(band, kx, ky, rotations, residual, transfer, signal)


@dataclass(frozen=True)
class Residuals:
    """All images of some particles without what one map explains of them, and how maps are made of that.

    Attributes
    ----------
    views
        Of each optics group or batch, of one band; particles are counted through all of them.
    limit_A
        Finest resolution.
    mask
        Where maps may differ, 0 to 1, at the box of :class:`~verglas.engine.band_sums.BandSums`; shape (b, b, b).
    symmetry
        Point group.
    threads
        Threads.
    """

    views: Sequence[Views]
    limit_A: float
    mask: NDArray[np.float32]
    symmetry: str = "C1"
    threads: int = 1

    def __len__(self) -> int:
        return sum(map(len, self.views))

    @property
    def pixel_size_A(self) -> float:
        """Of the maps."""
        band = self.views[0].band
        return band.box * band.pixel_size_A / len(self.mask)

    def map(self, coefficients: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return the map that residuals make, times coefficients of deviation 1, shape (n,); shape (b, b, b)."""
        sums = BandSums(self.views[0].band, self.limit_A, self.symmetry)
        own, first = coefficients.astype(np.float32)[:, None], 0
        for view in self.views:
            for start in range(0, len(view), AT_ONCE):
                some = slice(start, min(start + AT_ONCE, len(view)))
                at = slice(first + some.start, first + some.stop)
                transfer = view.transfer[some, : sums.points]
                sums.insert_slices(
                    own[at] * transfer * view.residual[some, : sums.points], transfer * transfer, view.rotations[some],
                    threads=self.threads,
                )  # fmt: skip
            first += len(view)
        # What varies has a part of the map's power, and that within the mask, where all noise outside is left out.
        signal = np.mean([view.signal for view in self.views], axis=0)
        filled = float(self.mask.mean(dtype=np.float64))
        power = np.interp(np.arange(len(self.mask) // 2 + 1), np.arange(len(signal)), signal)
        added = filled / (OVERSAMPLED * VARYING * np.maximum(power, 1e-6 * power.max()))
        return sums.regularised_map(added, RARELY_SEEN, threads=self.threads) * self.mask

    def compared(self, volumes: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the products of residuals with maps, shape (n, maps), and of the maps as images show them.

        The latter, shape (n, maps, maps), are such that the log-likelihood of coefficients c is
        ``product . c - c . power . c / 2``.
        """
        references = [
            prepare_reference(one, self.pixel_size_A, limit_A=0.98 * self.limit_A, threads=self.threads)
            for one in volumes
        ]
        products, powers = [], []
        for view in self.views:
            points = view.band.count_to(self.limit_A)
            kx, ky = view.kx_per_A[:points], view.ky_per_A[:points]
            for start in range(0, len(view), AT_ONCE):
                some = slice(start, start + AT_ONCE)
                slices = [one.slices(view.rotations[some], kx, ky, threads=self.threads) for one in references]
                models = np.stack(slices, axis=1) * view.transfer[some, None, :points]
                pairs = models.view(np.float32)
                residual = np.ascontiguousarray(view.residual[some, :points]).view(np.float32)
                products.append(2.0 * np.einsum("ncp,np->nc", pairs, residual).astype(np.float64))
                powers.append(2.0 * np.einsum("ncp,ndp->ncd", pairs, pairs).astype(np.float64))
        return np.concatenate(products), np.concatenate(powers)


@dataclass(frozen=True)
class Variation:
    """The leading components.

    Attributes
    ----------
    volumes
        The map of each component, shape (components, b, b, b).
    product
        Of each residual with each map, shape (n, components).
    power
        Of the maps as each image shows them, shape (n, components, components): see :meth:`Residuals.compared`.
    """

    volumes: NDArray[np.float32]
    product: NDArray[np.float64]
    power: NDArray[np.float64]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return it as arrays by name."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    def along(self, directions: NDArray[np.float64]) -> Variation:
        """Return what varies along some directions, shape (components, directions), in the space of the components."""
        return Variation(
            np.tensordot(directions.T.astype(np.float32), self.volumes, 1), self.product @ directions,
            directions.T @ self.power @ directions,
        )  # fmt: skip


def in_common(first: Variation, second: Variation, components: int) -> tuple[Variation, Variation]:
    """Return the components that two half sets have in common: those whose maps are most alike, the same in both.

    Noise has its own components in each half set, and where signal is weak they are among the leading ones. So the
    spaces that the maps of each half set span are compared, by the angles between them (A. Bjorck, G. H. Golub, Math.
    Comput. 27 (1973) 579). Maps of one component are equally strong in both, or its coefficients could not be compared.
    """
    spaces, ratios = zip(*(np.linalg.qr(one.volumes.reshape(len(one.volumes), -1).T.astype(np.float64))
                           for one in (first, second)), strict=True)  # fmt: skip
    left, _, right = np.linalg.svd(spaces[0].T @ spaces[1])
    directions = [
        # Components that depend on each other have no one solution; the least is taken.
        np.linalg.lstsq(ratio, turned[:, :components])[0]
        for ratio, turned in zip(ratios, (left, right.T), strict=True)
    ]
    # Directions now make maps of norm 1; those of coefficients of norm 1 are as strong as their half sets have them.
    strength = np.mean([1.0 / np.maximum(np.linalg.norm(one, axis=0), 1e-30) for one in directions], axis=0)
    return first.along(directions[0] * strength), second.along(directions[1] * strength)


def find_variation(
    residuals: Residuals, components: int, seed: Sequence[int], check: Callable[[], None] | None = None
) -> Variation:
    """Find the components by which residuals vary most.

    Parameters
    ----------
    residuals
        Of all particles.
    components
        How many.
    seed
        Key of the random vector that it begins with.
    check
        Called now and then; raises where the work shall stop.

    Notes
    -----
    Arnoldi's method: each product of the operator and a vector takes the next dimension into the space in which
    eigenvectors are looked for; powers of the operator alone would take many times as long.
    """
    count = len(residuals)
    random = np.random.Generator(np.random.Philox(list(seed)))
    vector = random.standard_normal(count)
    basis = turned = np.zeros((count, 0))
    for _ in range(min(ITERATIONS + 2 * components, count - 1)):
        if check is not None:
            check()
        vector = vector - vector.mean()
        for _again in range(2):
            vector = vector - basis @ (basis.T @ vector)
        vector /= np.linalg.norm(vector)
        basis = np.concatenate([basis, vector[:, None]], axis=1)
        following = residuals.compared(residuals.map(vector * np.sqrt(count))[None])[0][:, 0]
        vector = following - following.mean()
        turned = np.concatenate([turned, vector[:, None]], axis=1)
    small = basis.T @ turned
    # The operator is that of a covariance, but for the mask, which does not quite commute with the filter.
    vectors = np.linalg.eigh(0.5 * (small + small.T))[1][:, ::-1][:, :components]
    found = basis @ vectors
    volumes = np.stack([residuals.map(one * np.sqrt(count)) for one in found.T])
    product, power = residuals.compared(volumes)
    return Variation(volumes, product, power)

"""Images of particles times their models at fixed poses, with the transfer function left out of the model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verglas.engine import (
    ParticleImages,
    ParticleStack,
    Reference,
    apply_reference_mask,
    background_noise,
    background_radius_A,
    noise_ratio,
    normalise,
    prepare_images,
    prepare_reference,
    reference_mask,
)
from verglas.engine.reconstruct_particles import half_sets
from verglas.engine.reconstructed_map import signal_to_noise
from verglas.errors import InputError
from verglas.formats import ParticleTable
from verglas.geometry import euler_to_matrix
from verglas.signal import apply_filter, fourier_shell_correlation
from verglas.stages.ctf_refinement.settings import CtfRefinementSettings

AT_ONCE = 128
NOISE_IMAGES = 256
"""Of each optics group, from which the noise that the models leave is measured."""
REFERENCE_MARGIN = 0.97
Map = NDArray[np.float32]


@dataclass(frozen=True)
class Products:
    """Some images and their models, whitened; the model is ``scale * ctf * model``.

    Attributes
    ----------
    places
        Of the stack, shape (n,).
    images
        The images.
    product
        Image times the model's conjugate, without the transfer function; complex64, shape (n, points).
    power
        The model's squared modulus, likewise; float32, shape (n, points).
    gradient
        Slopes of the model along true kx and ky, in A, times the image's phase; complex64, shape (n, 2, points).
        None where they were not asked for.
    model
        The model itself, where slopes were asked for.
    """

    places: NDArray[np.int64]
    images: ParticleImages
    product: NDArray[np.complex64]
    power: NDArray[np.float32]
    gradient: NDArray[np.complex64] | None = None
    model: NDArray[np.complex64] | None = None


class CtfImages:
    """The particles of a refinement with the references that they are compared to: those of the other half set.

    Parameters
    ----------
    stack
        Images, with the CTF parameters to begin with.
    tables
        Poses and occupancies of each class, in the order of the stack's table.
    half_maps
        Of each class, not filtered, protein positive, at the stack's box: ``(first, second)``.
    settings
        Of the refinement.
    noise
        Power of the noise of each optics group, shape (groups, shells); measured when None.
    threads
        Threads.

    Attributes
    ----------
    noise
        As used.
    best
        The class with the largest occupancy of each place, shape (n,).

    Raises
    ------
    InputError
        Maps or tables do not fit the stack.
    """

    def __init__(
        self,
        stack: ParticleStack,
        tables: Sequence[ParticleTable],
        half_maps: Sequence[tuple[Map, Map]],
        settings: CtfRefinementSettings,
        *,
        noise: NDArray[np.float64] | None = None,
        threads: int = 1,
    ) -> None:
        if len(tables) != len(half_maps) or not tables:
            raise InputError(f"{len(tables)} classes need two half maps each, but there are {len(half_maps)} pairs.")
        for table in tables:
            if len(table) != len(stack.table):
                raise InputError(f"a class has {len(table)} particles, but the package {len(stack.table)}.")
        self.stack, self.settings, self.threads = stack, settings, threads
        self.halves = half_sets(stack.table)[stack.rows]
        occupancy = np.stack([np.asarray(table["occupancy"])[stack.rows] for table in tables])
        self.best: NDArray[np.int64] = occupancy.argmax(axis=0)
        self._rotations = np.empty((len(stack), 3, 3))
        self._moved = np.empty((len(stack), 2))
        for number, table in enumerate(tables):
            mine = np.flatnonzero(self.best == number)
            rows = stack.rows[mine]
            angles = (np.deg2rad(table[name][rows]) for name in ("rot_deg", "tilt_deg", "psi_deg"))
            self._rotations[mine] = euler_to_matrix(*angles)
            self._moved[mine] = -np.stack([table["origin_x_A"][rows], table["origin_y_A"][rows]], axis=-1)
        self._references = [_references(pair, stack, settings, threads) for pair in half_maps]
        self.noise = self._measured_noise() if noise is None else np.asarray(noise, np.float64)

    def __len__(self) -> int:
        return len(self.stack)

    def products(
        self,
        places: NDArray[np.int64],
        defocus: NDArray[np.float64] | None = None,
        *,
        gradient: bool = False,
    ) -> Iterator[Products]:
        """Yield some particles in batches, each of one optics group, half set and class, always in the same order.

        Parameters
        ----------
        places
            Of the stack.
        defocus
            Theirs, shape (n, 4), where it is not the table's.
        gradient
            Slopes of the models too.
        """
        of = self.stack.group[places]
        kind = (of * 2 + self.halves[places]) * len(self._references) + self.best[places]
        for key in np.unique(kind):
            mine = np.flatnonzero(kind == key)
            for first in range(0, len(mine), AT_ONCE):
                some = mine[first : first + AT_ONCE]
                given = None if defocus is None else defocus[some]
                yield self._batch(places[some], given, gradient)

    def _batch(self, places: NDArray[np.int64], defocus: NDArray[np.float64] | None, gradient: bool) -> Products:
        images = self._images(places, self.noise[int(self.stack.group[places[0]])], defocus)
        reference = self._reference(places)
        kx, ky = images.true_k_per_A
        slopes = None
        if gradient:
            model, slopes = reference.slices_and_gradients(self._rotations[places], kx, ky, threads=self.threads)
            slopes = slopes[:, :2] * np.float32(reference.voxels_A)
        else:
            model = reference.slices(self._rotations[places], kx, ky, threads=self.threads)
        factor = self._displaced(places, images) * images.whitening[images.group]
        model *= factor
        if slopes is not None:
            slopes *= factor[:, None]
        product = images.data * np.conj(model)
        power = model.real**2 + model.imag**2
        return Products(places, images, product, power, slopes, model if gradient else None)

    def _images(
        self, places: NDArray[np.int64], noise: NDArray[np.float64], defocus: NDArray[np.float64] | None = None
    ) -> ParticleImages:
        stack, settings = self.stack, self.settings
        group = int(stack.group[places[0]])
        radius = background_radius_A(settings.mask_radius_A, stack.box, stack.pixel_size_A)
        pixels = normalise(stack.read(places), radius, stack.pixel_size_A)
        return prepare_images(
            pixels, stack.optics(group), stack.defocus(places) if defocus is None else defocus, noise,
            settings.limit_A, low_A=settings.low_A, contrast_inverted=stack.is_inverted(group), threads=self.threads,
        )  # fmt: skip

    def _reference(self, places: NDArray[np.int64]) -> Reference:
        """Return the other half's map: a particle's own noise is in that of its half, with the CTF it was put there
        with, and would hold back any change.
        """
        return self._references[int(self.best[places[0]])][1 - int(self.halves[places[0]])]

    def _displaced(self, places: NDArray[np.int64], images: ParticleImages) -> NDArray[np.complex64]:
        """Return the phases of the particles' displacements, shape (n, points)."""
        band, moved = images.band, self._moved[places]
        phase = moved[:, :1] * band.kx_per_A + moved[:, 1:] * band.ky_per_A
        turned: NDArray[np.complex64] = np.exp((-2j * np.pi * phase).astype(np.complex64))
        return turned

    def _measured_noise(self) -> NDArray[np.float64]:
        """Return the noise around the particles, times what the models leave of it up to the limit."""
        stack = self.stack
        noise: NDArray[np.float64] = background_noise(stack, self.settings.mask_radius_A, threads=self.threads)
        for group, places in stack.by_group(np.arange(len(stack))):
            chosen = places[np.unique(np.linspace(0, len(places) - 1, min(len(places), NOISE_IMAGES)).astype(int))]
            total: NDArray[np.float64] = np.zeros(noise.shape[1])
            count: NDArray[np.float64] = np.zeros(noise.shape[1])
            kind = 2 * self.best[chosen] + self.halves[chosen]
            for key in np.unique(kind):
                mine = chosen[kind == key]
                images = self._images(mine, noise[group])
                transfer, reference = images.transfer, self._reference(mine)
                model = reference.slices(self._rotations[mine], *images.true_k_per_A, threads=self.threads)
                model *= transfer * self._displaced(mine, images)
                scale = _scale((images.data * np.conj(model)).real, np.abs(model) ** 2)
                ratio = noise_ratio(
                    reference, images, self._rotations[mine], self._moved[mine], scale, threads=self.threads
                )[0]  # fmt: skip
                number = len(mine) * np.bincount(images.band.rings, minlength=ratio.size)
                total[: ratio.size] += ratio * number
                count[: ratio.size] += number
            known = np.flatnonzero(count > 0)
            noise[group] *= np.interp(np.arange(noise.shape[1]), known, total[known] / count[known])
        return noise


def _scale(product: NDArray[np.float32], power: NDArray[np.float32]) -> float:
    """Return the one factor that fits all models to their images."""
    return max(float(product.sum(dtype=np.float64) / max(power.sum(dtype=np.float64), 1e-30)), 0.0)


def _references(
    pair: tuple[Map, Map], stack: ParticleStack, settings: CtfRefinementSettings, threads: int
) -> list[Reference]:
    """Return the reference of each half set: its own half map, filtered by what the halves agree on, and masked."""
    box, pixel_A = stack.box, stack.pixel_size_A
    for half in pair:
        if np.shape(half) != (box,) * 3:
            raise InputError(f"half maps must have {box} voxels a side as the particles, not {np.shape(half)}.")
    first, second = (np.asarray(half, np.float32) for half in pair)
    mask = reference_mask(0.5 * (first + second), pixel_A, settings.mask_radius_A, settings.mask, threads)
    correlation = fourier_shell_correlation(first, second, pixel_A, mask=mask, workers=threads)
    ratio = signal_to_noise(correlation.fsc, of_average=False)
    weight = 1.0 - 1.0 / (1.0 + ratio)
    shells = np.arange(len(weight)) / (box * pixel_A)
    made = []
    for half in (first, second):
        own = reference_mask(half, pixel_A, settings.mask_radius_A, settings.mask, threads)
        filtered = np.asarray(
            apply_filter(half, pixel_A, lambda k: np.interp(k, shells, weight, right=0.0), workers=threads), np.float32
        )
        made.append(
            prepare_reference(
                apply_reference_mask(filtered, own, pixel_A, settings.mask, threads), pixel_A,
                limit_A=REFERENCE_MARGIN * settings.limit_A, radius_A=settings.mask_radius_A,
                edge_A=settings.mask.edge_A, threads=threads,
            )
        )  # fmt: skip
    return made

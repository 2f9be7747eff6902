"""Signal subtraction: what a reference says that an image holds outside a region is taken off the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.engine import (
    ParticleStack,
    Reference,
    RefinementSettings,
    background_radius_A,
    normalise,
    prepare_images,
    prepare_reference,
    refine_poses,
)
from verglas.engine.reconstruct_particles import half_sets
from verglas.formats import ParticleTable
from verglas.signal import irfft
from verglas.stages.refinement.rows import rows_of_table

NYQUIST_PART = 0.95


class Subtraction:
    """Takes the signal outside a region off images, with each half set's own map.

    Parameters
    ----------
    stack
        The particles, whose table says their poses.
    maps
        Of each half set, protein positive, at the stack's box: a pair.
    kept
        The region that stays, 0 to 1, shape (box, box, box).
    mask_radius_A
        Radius of the particle.
    limit_A
        Resolution of the maps: nothing finer is subtracted.
    threads
        Threads.
    """

    def __init__(
        self, stack: ParticleStack, maps: Sequence[Any], kept: NDArray[np.float32], mask_radius_A: float,
        limit_A: float, *, threads: int = 1,
    ) -> None:  # fmt: skip
        self.stack, self.threads, self.radius_A = stack, threads, mask_radius_A
        self.limit_A = max(limit_A, 2.0 * stack.pixel_size_A / NYQUIST_PART)
        self.halves = half_sets(stack.table)[stack.rows]

        def prepared(volume: Any) -> Reference:
            return prepare_reference(
                volume, stack.pixel_size_A, limit_A=0.98 * self.limit_A, radius_A=mask_radius_A, threads=threads
            )

        self._whole = [prepared(one) for one in maps]
        self._outside = [prepared(np.asarray(one, np.float32) * (1.0 - kept)) for one in maps]

    def images(self, places: Any) -> NDArray[np.float32]:
        """Return images, normalised, without the signal outside the region; shape (n, box, box)."""
        stack, wanted = self.stack, np.asarray(places, np.int64)
        pixel_A, box = stack.pixel_size_A, stack.box
        pixels = normalise(stack.read(wanted), background_radius_A(self.radius_A, box, pixel_A), pixel_A)
        rows = rows_of_table(stack.table, stack.rows[wanted])
        flat = np.ones(box // 2 + 1)
        for group, inside in stack.by_group(wanted):
            optics = replace(stack.optics(group), pixel_size_A=pixel_A)
            prepared = prepare_images(
                pixels[inside], optics, stack.defocus(wanted[inside]), flat, self.limit_A,
                contrast_inverted=stack.is_inverted(group), threads=self.threads,
            )  # fmt: skip
            for half in (0, 1):
                part = np.flatnonzero(self.halves[wanted[inside]] == half)
                if not part.size:
                    continue
                at, some = inside[part], prepared.select(part)
                R, moved = rows.rotations[0, at], rows.displacements_A[0, at]
                held = RefinementSettings(phi=False, theta=False, psi=False, x=False, y=False)
                scale = refine_poses(self._whole[half], some, R, moved, held, threads=self.threads).scale
                band = some.band
                model = some.transfer * self._outside[half].slices(R, *some.true_k_per_A, threads=self.threads)
                phase = moved[:, :1] * band.kx_per_A + moved[:, 1:] * band.ky_per_A
                model *= (np.maximum(scale, 0.0)[:, None] * np.exp(-2j * np.pi * phase)).astype(np.complex64)
                if optics.has_odd_aberrations:
                    from verglas.microscopy import odd_aberration_factor

                    model *= odd_aberration_factor(band.kx_per_A, band.ky_per_A, optics)
                transform = np.zeros((len(part), box, box // 2 + 1), np.complex64)
                # Whitened transforms are those of the images over their box.
                transform[:, band.row % box, band.column] = model * np.float32(box)
                edge = band.column == 0
                transform[:, -band.row[edge] % box, 0] = np.conj(model[:, edge]) * np.float32(box)
                pixels[at] -= np.fft.fftshift(irfft(transform, (box, box)), axes=(-2, -1))
        found: NDArray[np.float32] = pixels
        return found


def recentre(
    table: ParticleTable, centre_A: NDArray[np.float64], box: int
) -> tuple[NDArray[np.int64], ParticleTable]:  # fmt: skip
    """Return the whole pixel of each image that shows a point of the map, and the table of boxes cut around it.

    Parameters
    ----------
    table
        The particles at their poses.
    centre_A
        The point (x, y, z) from the map's origin.
    box
        Pixels a side of the images.

    Returns
    -------
    centres_px : ndarray, shape (n, 2)
        x and y from the first pixel.
    table : ParticleTable
        Origins are what whole pixels have left over; the map's origin is now the point.
    """
    rows = rows_of_table(table, np.arange(len(table)))
    pixel_A = float(table["pixel_size_A"][0])
    seen = rows.displacements_A[0] + (rows.rotations[0] @ centre_A)[:, :2]
    whole = np.rint(seen / pixel_A).astype(np.int64)
    made = table.copy()
    left = whole * pixel_A - seen
    made["origin_x_A"], made["origin_y_A"] = left[:, 0], left[:, 1]
    return whole + box // 2, made

"""Masks of references: a sphere, the particle as found in the map, or a volume of the user's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.engine.half_maps import spherical_shell_mask
from verglas.errors import InputError
from verglas.signal import apply_filter, automatic_mask, cosine_lowpass, resize, soft_edge

Map = NDArray[np.float32]
FOUND_AT_A = 15.0
"""The particle is looked for in the map low-passed here."""
EXTENDED_A = 6.0


@dataclass(frozen=True)
class MaskSettings:
    """What of a reference is left.

    Attributes
    ----------
    automatic
        Find the particle in each map.
    volume
        The user's mask, above zero inside, at the package's box; it goes before ``automatic``. None: there is none.
    edge_A
        Width of the soft edge.
    outside_weight
        What is outside counts by this factor, 0 to 1.
    outside_lowpass_A
        What is outside is low-passed here; 0: it is not.
    inner_radius_A
        What is within this sphere counts as outside, as in a shell; a mask of the user's stays as it is.
    """

    automatic: bool = True
    volume: Map | None = None
    edge_A: float = 10.0
    outside_weight: float = 0.0
    outside_lowpass_A: float = 0.0
    inner_radius_A: float = 0.0

    def __post_init__(self) -> None:
        if not (self.edge_A >= 0.0 and 0.0 <= self.outside_weight <= 1.0 and self.outside_lowpass_A >= 0.0):
            raise InputError("a mask's edge must not be negative, and the weight outside must be 0 to 1.")
        if self.inner_radius_A < 0.0:
            raise InputError(f"an inner radius of {self.inner_radius_A:g} A: it must not be negative.")
        if self.volume is not None and not (np.asarray(self.volume) > 0).any():
            raise InputError("the mask volume is nowhere above zero; choose another mask.")

    def check_radius(self, radius_A: float) -> None:
        """Check that the inner radius leaves something of a particle.

        Raises
        ------
        InputError
            It does not.
        """
        if self.inner_radius_A >= radius_A:
            raise InputError(
                f"an inner radius of {self.inner_radius_A:g} A leaves nothing of a particle of radius {radius_A:g} A; "
                "choose a smaller one."
            )


def reference_mask(volume: Map, pixel_size_A: float, radius_A: float, settings: MaskSettings, threads: int = 1) -> Map:
    """Return the soft mask of a map, 0 to 1.

    Parameters
    ----------
    volume
        The map, which an automatic mask is found in; shape (n, n, n).
    pixel_size_A
        Its pixel size.
    radius_A
        Radius of the particle: nothing outside counts.
    settings
        Which mask.
    threads
        Threads.
    """
    shape, edge = volume.shape, settings.edge_A / pixel_size_A
    sphere = spherical_shell_mask(
        len(volume), radius_A, pixel_size_A, inner_radius_A=settings.inner_radius_A, edge_A=settings.edge_A
    )
    if settings.volume is not None:
        inside = (np.asarray(settings.volume) > 0).astype(np.float32)
        if inside.shape != shape:
            inside = resize(inside, shape, workers=threads)
        return np.asarray(soft_edge(inside > 0.5, edge), np.float32)
    if not settings.automatic:
        return sphere
    found: Map = automatic_mask(
        volume, pixel_size_A, radius_A, lowpass_A=max(FOUND_AT_A, 2.5 * pixel_size_A), edge_pixels=edge,
        extend_pixels=EXTENDED_A / pixel_size_A, workers=threads,
    )  # fmt: skip
    return np.minimum(found, sphere) if found.any() else sphere


def apply_reference_mask(volume: Map, mask: Map, pixel_size_A: float, settings: MaskSettings, threads: int = 1) -> Map:
    """Return a map without solvent: its mean outside the mask taken off, what is outside weighted and low-passed."""
    outside = 1.0 - mask
    total = float(outside.sum(dtype=np.float64))
    level = float((volume * outside).sum(dtype=np.float64)) / total if total > 0.0 else 0.0
    levelled = volume - np.float32(level)
    masked: Map = levelled * mask
    if settings.outside_weight > 0.0:
        beyond = levelled
        if settings.outside_lowpass_A > 0.0:
            shell = 2.0 / (len(volume) * pixel_size_A)
            beyond = apply_filter(levelled, pixel_size_A, cosine_lowpass(settings.outside_lowpass_A, shell),
                                  workers=threads)  # fmt: skip
        masked += np.float32(settings.outside_weight) * beyond * outside
    return masked


def low_passed(volume: Any, pixel_size_A: float, limit_A: float, threads: int = 1) -> Map:
    """Return a map that holds nothing beyond a resolution; its filter falls over the two shells before."""
    values = np.asarray(volume, np.float32)
    shell = 1.0 / (len(values) * pixel_size_A)
    middle = 1.0 / max(1.0 / limit_A - shell, shell)
    filtered: Map = apply_filter(values, pixel_size_A, cosine_lowpass(middle, 2.0 * shell), workers=threads)
    return filtered

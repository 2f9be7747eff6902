"""Sums over the particles of each optics group, from which its aberrations and magnification are fitted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.engine import Band, band
from verglas.stages.ctf_refinement.defocus import scale_of
from verglas.stages.ctf_refinement.even_phase import EvenSums, even_terms
from verglas.stages.ctf_refinement.images import CtfImages, Products


class GroupSums:
    """Sums of one optics group; those of parts of its particles add up.

    Parameters
    ----------
    points
        Components of its band.

    Attributes
    ----------
    particles
        How many went in.
    odd
        Sum of ``scale * ctf * image * conj(model)`` at each component: its phase is the odd phase that is left.
    odd_power
        Sum of ``(scale * ctf)^2 |model|^2``.
    even
        For the even phase.
    normal, slope
        Normal matrix and right side of a linear change of frequencies, ``k + D k`` with D's ``xx, xy, yx, yy``; shapes
        (4, 4) and (4,).
    """

    def __init__(self, points: int) -> None:
        self.particles = np.zeros(1)
        self.odd = np.zeros(points, np.complex128)
        self.odd_power = np.zeros(points)
        self.even = EvenSums.empty(points)
        self.normal, self.slope = np.zeros((4, 4)), np.zeros(4)

    def add(self, products: Products) -> None:
        """Add some particles."""
        images = products.images
        terms = even_terms(products)
        scale = scale_of(terms)
        self.even.add(terms, scale)
        # The transfer function without whitening and contrast: those are in the model already.
        transfer = images.transfer / images.whitening[images.group]
        self.odd += scale * (transfer * products.product).sum(axis=0, dtype=np.complex128)
        self.odd_power += scale**2 * (transfer**2 * products.power).sum(axis=0, dtype=np.float64)
        self.particles += len(products.places)
        if products.gradient is not None and products.model is not None:
            self._add_magnification(products, transfer, scale)

    def _add_magnification(self, products: Products, transfer: NDArray[np.float32], scale: float) -> None:
        images, gradient, model = products.images, products.gradient, products.model
        assert gradient is not None and model is not None
        kx, ky = images.true_k_per_A
        left = images.data - scale * transfer * model
        slopes = np.stack([gradient[:, 0] * kx, gradient[:, 0] * ky, gradient[:, 1] * kx, gradient[:, 1] * ky])
        slopes *= scale * transfer
        flat = slopes.reshape(4, -1)
        self.slope += np.einsum("ij,j->i", np.conj(flat), left.ravel(), dtype=np.complex128).real
        self.normal += (flat.astype(np.complex128) @ np.conj(flat.T)).real

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return all sums by name."""
        return {
            "particles": self.particles, "odd": self.odd, "odd_power": self.odd_power, "even": self.even.values,
            "normal": self.normal, "slope": self.slope,
        }  # fmt: skip

    def add_arrays(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Add the sums of other particles."""
        for name, mine in self.arrays().items():
            mine += arrays[name]


def group_band(work: CtfImages, group: int) -> Band:
    """Return the components that the sums of an optics group have."""
    return band(work.stack.box, work.stack.optics(group).pixel_size_A, work.settings.limit_A, work.settings.low_A)


def measure_aberrations(
    work: CtfImages, places: NDArray[np.int64], defocus: NDArray[np.float64],
    check: Callable[[], None] | None = None,
) -> dict[int, GroupSums]:  # fmt: skip
    """Sum over some particles what the aberrations of their optics groups are fitted from.

    Parameters
    ----------
    work
        The particles.
    places
        Which, of the stack.
    defocus
        Theirs, shape (n, 4).
    check
        Called between batches; raises where the work shall stop.

    Returns
    -------
    dict
        By optics group.
    """
    found: dict[int, GroupSums] = {}
    for products in work.products(places, defocus, gradient=work.settings.magnification):
        if check is not None:
            check()
        group = int(work.stack.group[products.places[0]])
        found.setdefault(group, GroupSums(len(products.images.band))).add(products)
    return found

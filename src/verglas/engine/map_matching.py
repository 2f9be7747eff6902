"""What bringing maps onto each other and onto their axes share: shells of a map, turning it, climbing to the best."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.engine.reference import Reference, prepare_reference
from verglas.engine.threads import kernel_threads
from verglas.errors import InputError, NumericalError
from verglas.geometry import geodesic_distance, rotvec_to_matrix
from verglas.signal import centred_irfft

COARSE_SHELLS, MIDDLE_SHELLS, FINE_SHELLS = 8, 14, 40
CANDIDATES, FINALISTS = 6, 2
RESTARTS, GAIN = 5, 1e-5
LEAST_BOX = 24


class Shells:
    """The components up to a shell of a box: their points, weights, and places in a small FFT."""

    def __init__(self, prepared: Reference, shells: int) -> None:
        axis = np.arange(-shells, shells + 1)
        z, y, x = (part.ravel() for part in np.meshgrid(axis, axis, np.arange(shells + 1), indexing="ij"))
        radius = np.sqrt(x * x + y * y + z * z)
        inside = (radius <= shells) & (radius > 0.0)
        self.index = np.stack([x, y, z], axis=-1)[inside]
        self.shell = np.rint(radius[inside]).astype(np.int64)
        self.mates = np.where(self.index[:, 0] == 0, 1.0, 2.0)
        # Voxels of the padded transform: one Fourier pixel of the box is padded / box of them.
        self.voxels = prepared.padded_box / prepared.box
        self.points = (self.voxels * self.index).astype(np.float32)

    def whitening(self, values: Any) -> NDArray[np.float64]:
        """Return what makes the mean square of each shell 1, at every point."""
        power = np.bincount(self.shell, np.abs(values) ** 2 * self.mates)
        count = np.bincount(self.shell, self.mates)
        mean = power / np.maximum(count, 1.0)
        if not np.isfinite(mean).all():
            raise NumericalError("a map holds values that are not numbers; look at it before it is aligned.")
        inverse = np.divide(1.0, np.sqrt(mean), out=np.zeros_like(mean), where=mean > 1e-12 * mean.max())
        weight: NDArray[np.float64] = inverse[self.shell]
        return weight

    def own_whitening(self, prepared: Reference) -> NDArray[np.float64]:
        """Return the whitening of the prepared map itself."""
        from verglas.kernels.map_points import sample_points

        own = np.empty((1, len(self.points)), np.complex64)
        sample_points(prepared.values, prepared.centre, np.eye(3, dtype=np.float32)[None], self.points, own)
        return self.whitening(own[0])

    def symmetry_weight(self, prepared: Reference) -> NDArray[np.float32]:
        """Return the weights of products that whiten the prepared map."""
        weight: NDArray[np.float32] = (self.own_whitening(prepared) ** 2 * self.mates).astype(np.float32)
        return weight


def transform_map(
    volume: Any, rotation: Any, shift_A: Any, pixel_size_A: float, *, mirrored: bool = False, threads: int = 1
) -> NDArray[np.float32]:
    """Return a map turned and moved: a feature at p comes to lie at ``rotation @ p + shift``.

    Parameters
    ----------
    volume
        Cubic map [z, y, x].
    rotation
        Shape (3, 3).
    shift_A
        x, y, z in A.
    pixel_size_A
        Pixel size in A.
    mirrored
        Invert the map through its origin first.
    threads
        Threads.

    Returns
    -------
    ndarray
        float32; band-limited to just below the Nyquist frequency.

    Notes
    -----
    By trilinear interpolation of the transform of the padded map: about 2 % of error, alike at all resolutions.
    """
    from verglas.kernels.map_points import sample_points

    density = checked_map(volume, pixel_size_A)
    box = len(density)
    prepared = prepare_reference(density, pixel_size_A, threads=threads)
    scale = prepared.padded_box / box
    full, half = np.fft.fftfreq(box, 1.0 / box), np.fft.rfftfreq(box, 1.0 / box)
    move = -2j * np.pi / (box * pixel_size_A) * np.asarray(shift_A, np.float64)
    turned = np.asarray(rotation, np.float32)[None]
    transform = np.zeros((box, box, half.size), np.complex64)
    y, x = np.meshgrid(full, half, indexing="ij")
    limit = min(0.5 * box, (prepared.centre - 1.5) / scale)
    with kernel_threads(threads):
        for row, z in enumerate(full):
            inside = x * x + y * y + z * z < limit * limit
            k = np.stack([x[inside], y[inside], np.full(int(inside.sum()), z)], axis=-1)
            values = np.empty((1, len(k)), np.complex64)
            sample_points(prepared.values, prepared.centre, turned, (scale * k).astype(np.float32), values)
            transform[row][inside] = (np.conj(values[0]) if mirrored else values[0]) * np.exp(k @ move)
    result: NDArray[np.float32] = centred_irfft(transform, density.shape, workers=threads)
    return result


def checked_map(volume: Any, pixel_size_A: float) -> NDArray[np.float32]:
    """Return a map as float32.

    Raises
    ------
    InputError
        It is no cube, too small, or has no pixel size.
    """
    density = np.asarray(volume, np.float32)
    if density.ndim != 3 or len(set(density.shape)) != 1 or len(density) < LEAST_BOX or not pixel_size_A > 0.0:
        raise InputError(
            f"a map must be a cube of at least {LEAST_BOX} voxels a side with a pixel size, not {density.shape} at "
            f"{pixel_size_A:g} A."
        )
    return density


def finest_shell(box: int, pixel_size_A: float, limit_A: float | None) -> int:
    """Return the last shell that is compared."""
    most = int(0.4 * box)
    if limit_A is None:
        return min(FINE_SHELLS, most)
    shells = math.floor(box * pixel_size_A / limit_A)
    if not COARSE_SHELLS <= shells <= box // 2 - 2:
        raise InputError(
            f"a limit of {limit_A:g} A is shell {shells} of this box; choose one from "
            f"{box * pixel_size_A / (box // 2 - 2):.2f} to {box * pixel_size_A / COARSE_SHELLS:.1f} A."
        )
    return shells


def climb(
    score: Any, rotation: Any, moved: Any, shells: int, *, to_the_top: bool
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """Climb a score over rotation and shift (in pixels) from a start; steps suit the finest shell."""
    from scipy.optimize import minimize

    # A quarter of the finest shell's wave, for a particle a third of the box in radius.
    angle = 0.5 / shells
    pixels = 0.1 * COARSE_SHELLS / shells * 10.0

    def cost(v: Any) -> float:
        return -float(score(rotvec_to_matrix(angle * v[:3]) @ rotation, moved + pixels * v[3:]))

    # A simplex may collapse short of the top: it is set up afresh, smaller and turned over, until that gains nothing.
    best, value, size = np.zeros(6), math.inf, 1.0
    for _ in range(1 + (RESTARTS if to_the_top else 0)):
        start = best + np.vstack([np.zeros(6), size * np.eye(6)])
        options: Any = {"initial_simplex": start, "xatol": 0.003, "fatol": 1e-6, "maxfev": 400}
        done = minimize(cost, best, method="Nelder-Mead", options=options)
        gain, best, value = value - float(done.fun), done.x, float(done.fun)
        if gain < GAIN:
            break
        size *= -0.5
    return -value, rotvec_to_matrix(angle * best[:3]) @ rotation, moved + pixels * best[3:]


def distinct(scores: Any, rotations: Any, count: int, apart: float) -> list[int]:
    """Return the best-scoring rotations that lie some angle apart from each other."""
    left = np.array(scores, np.float64)
    chosen: list[int] = []
    while len(chosen) < count and np.isfinite(left.max()):
        best = int(left.argmax())
        chosen.append(best)
        left[geodesic_distance(rotations, rotations[best]) < apart] = -np.inf
    return chosen

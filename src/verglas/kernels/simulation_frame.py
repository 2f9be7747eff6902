"""Inner loops of one simulated frame: assemble its spectrum, warp it by local motion, apply the detector's response."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from verglas.kernels.compile import cpu_kernel
from verglas.kernels.simulation_random import HALF, MASK, TO_UNIT, philox_4x32

WARP_TAPS = 8


@cpu_kernel()
def advance_ice(
    ice: NDArray[np.complex64],
    keep: NDArray[np.float32],
    radius_step: float,
    frequency_y: NDArray[np.float64],
    frequency_x: NDArray[np.float64],
    key0: int,
    key1: int,
    stream: int,
) -> None:
    """Let the water molecules wander: a first-order autoregressive step of each Fourier coefficient, in place.

    Parameters
    ----------
    ice
        (ny, nx // 2 + 1) coefficients of unit mean square.
    keep
        Correlation with the state before, by spatial frequency ``i * radius_step`` (0: draw everything anew).
    radius_step
        1/A.
    frequency_y, frequency_x
        (ny,) and (nx // 2 + 1,), 1/A.
    key0, key1, stream
        Coefficient ``i`` of the step depends on these and ``i`` alone.
    """
    ny, nx = ice.shape
    k0, k1, s = np.uint64(key0), np.uint64(key1), np.uint64(stream)
    for iy in range(ny):
        for ix in range(nx):
            radius = math.sqrt(frequency_y[iy] ** 2 + frequency_x[ix] ** 2) / radius_step
            j = int(radius)
            rho = keep[j] + (keep[j + 1] - keep[j]) * (radius - j)
            index = np.uint64(iy * nx + ix)
            words = philox_4x32(index & MASK, index >> HALF, s & MASK, s >> HALF, k0, k1)
            # unit mean square of the complex coefficient: exp(1) distributed power, uniform phase
            size = math.sqrt(-math.log((float(words[0]) + 0.5) * TO_UNIT) * max(0.0, 1.0 - rho * rho))
            angle = 2.0 * math.pi * (float(words[1]) + 0.5) * TO_UNIT
            old = ice[iy, ix]
            ice[iy, ix] = complex(rho * old.real + size * math.cos(angle), rho * old.imag + size * math.sin(angle))


@cpu_kernel()
def assemble_spectrum(
    particles: NDArray[np.complex64],
    steady: NDArray[np.complex64],
    ice: NDArray[np.complex64],
    ice_amplitude: NDArray[np.float32],
    damage: NDArray[np.float32],
    response: NDArray[np.float32],
    radius_step: float,
    frequency_y: NDArray[np.float64],
    frequency_x: NDArray[np.float64],
    shift_A: NDArray[np.float64],
    blur_A: NDArray[np.float64],
    out: NDArray[np.complex64],
) -> None:
    """Write the Fourier transform of one frame's expected contrast.

    Parameters
    ----------
    particles, steady, ice, ice_amplitude
        (ny, nx // 2 + 1): particles, what does not suffer from the beam, ice of unit mean square and its amplitude.
    damage, response
        Factors of the particles and of everything, by spatial frequency ``i * radius_step``.
    radius_step
        1/A.
    frequency_y, frequency_x
        (ny,) and (nx // 2 + 1,), 1/A.
    shift_A
        (y, x): displacement of the specimen.
    blur_A
        (y, x): its movement while the frame was exposed.
    out
        (ny, nx // 2 + 1), overwritten.
    """
    ny, nx = out.shape
    for iy in range(ny):
        fy = frequency_y[iy]
        for ix in range(nx):
            fx = frequency_x[ix]
            radius = math.sqrt(fy * fy + fx * fx) / radius_step
            j = int(radius)
            rest = radius - j
            d = damage[j] + (damage[j + 1] - damage[j]) * rest
            m = response[j] + (response[j + 1] - response[j]) * rest
            u = math.pi * (fy * blur_A[0] + fx * blur_A[1])
            if abs(u) > 1e-3:
                m *= math.sin(u) / u
            phase = -2.0 * math.pi * (fy * shift_A[0] + fx * shift_A[1])
            ramp = complex(m * math.cos(phase), m * math.sin(phase))
            out[iy, ix] = ramp * (particles[iy, ix] * d + steady[iy, ix] + ice[iy, ix] * ice_amplitude[iy, ix])


@cpu_kernel(fastmath=True)
def local_displacement(coefficients: NDArray[np.float64], y: float, x: float) -> tuple[float, float]:
    """Return the displacement (y, x) of a polynomial in position, of terms x, y, x^2, xy, y^2."""
    dy = coefficients[0, 0] * x + coefficients[0, 1] * y
    dy += coefficients[0, 2] * x * x + coefficients[0, 3] * x * y + coefficients[0, 4] * y * y
    dx = coefficients[1, 0] * x + coefficients[1, 1] * y
    dx += coefficients[1, 2] * x * x + coefficients[1, 3] * x * y + coefficients[1, 4] * y * y
    return dy, dx


@cpu_kernel(fastmath=True)
def warp_crop(
    canvas: NDArray[np.float32],
    coefficients: NDArray[np.float64],
    taps: NDArray[np.float32],
    margin: int,
    between: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Cut the image out of its canvas, moved by the local motion, in one pass along rows and one along columns.

    Parameters
    ----------
    canvas
        (ny + 2 margin, nx + 2 margin) or larger.
    coefficients
        (2, 5) of :func:`local_displacement`, in pixels; position (-1..1, -1..1) runs over the image.
    taps
        (phases + 1, WARP_TAPS): interpolation weights at offsets ``phase / phases``.
    margin
        Canvas pixels before the first of the image, on both axes.
    between
        (canvas rows, nx), overwritten.
    out
        (ny, nx), overwritten.
    """
    ny, nx = out.shape
    phases = taps.shape[0] - 1
    before = WARP_TAPS // 2 - 1
    last_y, last_x = canvas.shape[0] - WARP_TAPS, canvas.shape[1] - WARP_TAPS
    to_y, to_x = 2.0 / ny, 2.0 / nx
    middle_y, middle_x = ny // 2, nx // 2
    for row in range(between.shape[0]):
        y = (row - margin - middle_y) * to_y
        for ix in range(nx):
            # where on this row of the specimen that comes from which is seen in this column
            d = 0.0
            for _ in range(2):
                d = local_displacement(coefficients, y, (ix - d - middle_x) * to_x)[1]
            source = ix - d + margin
            first = math.floor(source)
            phase = int((source - first) * phases + 0.5)
            x0 = min(max(int(first) - before, 0), last_x)
            total = np.float32(0.0)
            for b in range(WARP_TAPS):
                total += canvas[row, x0 + b] * taps[phase, b]
            between[row, ix] = total
    for iy in range(ny):
        for ix in range(nx):
            dy, dx = 0.0, 0.0
            for _ in range(2):
                dy, dx = local_displacement(coefficients, (iy - dy - middle_y) * to_y, (ix - dx - middle_x) * to_x)
            source = iy - dy + margin
            first = math.floor(source)
            phase = int((source - first) * phases + 0.5)
            y0 = min(max(int(first) - before, 0), last_y)
            total = np.float32(0.0)
            for b in range(WARP_TAPS):
                total += between[y0 + b, ix] * taps[phase, b]
            out[iy, ix] = total


@cpu_kernel(fastmath=True)
def expose(
    contrast: NDArray[np.float32],
    transmission: NDArray[np.float32],
    sensitivity: NDArray[np.float32],
    background: NDArray[np.float32],
    electrons_per_pixel: float,
    out: NDArray[np.float32],
) -> None:
    """Write expected counts: electrons x transmission x (1 + contrast) x sensitivity + background (all flat)."""
    for i in range(out.size):
        intensity = max(np.float32(0.0), np.float32(1.0) + contrast[i])
        out[i] = electrons_per_pixel * transmission[i] * intensity * sensitivity[i] + background[i]


def warm() -> None:
    """Compile the kernels of this module."""
    half = np.zeros((4, 3), np.complex64)
    table, flat = np.ones(16, np.float32), np.ones(16, np.float32)
    fy, fx, two = np.zeros(4), np.zeros(3), np.zeros(2)
    advance_ice(half, table, 1.0, fy, fx, 1, 2, 3)
    amplitude = np.ones((4, 3), np.float32)
    assemble_spectrum(half, half, half, amplitude, table, table, 1.0, fy, fx, two, two, half.copy())
    canvas = np.zeros((16, 16), np.float32)
    warp_crop(canvas, np.zeros((2, 5)), np.ones((3, 8), np.float32), 4, canvas[:, :8].copy(), canvas[:8, :8].copy())
    expose(flat, flat, flat, flat, 1.0, np.zeros(16, np.float32))

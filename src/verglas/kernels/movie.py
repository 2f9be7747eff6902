"""Fused loops over movie frames: correction, half-precision transforms, shifted sums, terms of the alignment."""

from __future__ import annotations

from typing import Any

import numpy as np

from verglas.kernels.compile import cpu_kernel

# A float16 has its exponent offset by 15 where a float32 has 127; the difference, shifted to a float32's exponent.
REBIAS = np.uint32(112 << 23)
SMALLEST_NORMAL = np.uint32(113 << 23)
TOO_LARGE = np.uint32(143 << 23)
LARGEST_HALF = np.uint32(0x7BFF)
SIGN = np.uint32(0x8000)
MAGNITUDE = np.uint32(0x7FFF)
SIXTEEN = np.uint32(16)
THIRTEEN = np.uint32(13)
ONE = np.uint32(1)
ROUND = np.uint32(0xFFF)
ALL_BUT_SIGN = np.uint32(0x7FFFFFFF)


@cpu_kernel(inline=True)
def half_from_float(value: Any) -> Any:
    """Round a float32 to the 16 bits of a float16: ties to even, subnormals to zero, too large ones to the largest."""
    bits = np.float32(value).view(np.uint32)
    rest = bits & ALL_BUT_SIGN
    rest = rest + ROUND + ((rest >> THIRTEEN) & ONE)
    half = (rest - REBIAS) >> THIRTEEN
    half = half if rest >= SMALLEST_NORMAL else np.uint32(0)
    half = half if rest < TOO_LARGE else LARGEST_HALF
    return np.uint16(half | ((bits >> SIXTEEN) & SIGN))


@cpu_kernel(inline=True)
def float_from_half(half: Any) -> Any:
    """Return the float32 of a float16's bits; zero comes back as 6e-5, below its neighbours' rounding."""
    bits = np.uint32(half)
    rest = ((bits & MAGNITUDE) << THIRTEEN) + REBIAS
    return np.uint32(rest | ((bits & SIGN) << SIXTEEN)).view(np.float32)


@cpu_kernel(fastmath=True)
def frame_moments(raw: Any, dark: Any, gain: Any) -> Any:
    """Return mean and standard deviation of ``(raw - dark) * gain`` over the pixels that work.

    A pixel whose gain is 0 is a defect of the detector and does not count.

    Parameters
    ----------
    raw
        Frame ``[y, x]`` as it was decoded.
    dark, gain
        float32 references of the same shape, or of shape (0, 0) where there is none.
    """
    ny, nx = raw.shape
    has_dark = dark.shape[0] > 0
    has_gain = gain.shape[0] > 0
    pivot = np.float32(raw[ny // 2, nx // 2])
    total = 0.0
    squares = 0.0
    defects = 0
    for y in range(ny):
        row_total: Any = np.float32(0)
        row_squares: Any = np.float32(0)
        if has_gain and has_dark:
            for x in range(nx):
                works = gain[y, x] != 0
                v = (np.float32(raw[y, x]) - dark[y, x]) * gain[y, x] - pivot if works else np.float32(0)
                defects += 0 if works else 1
                row_total += v
                row_squares += v * v
        elif has_gain:
            for x in range(nx):
                works = gain[y, x] != 0
                v = np.float32(raw[y, x]) * gain[y, x] - pivot if works else np.float32(0)
                defects += 0 if works else 1
                row_total += v
                row_squares += v * v
        elif has_dark:
            for x in range(nx):
                v = np.float32(raw[y, x]) - dark[y, x] - pivot
                row_total += v
                row_squares += v * v
        else:
            for x in range(nx):
                v = np.float32(raw[y, x]) - pivot
                row_total += v
                row_squares += v * v
        total += row_total
        squares += row_squares
    count = max(float(ny) * float(nx) - defects, 1.0)
    mean = total / count
    variance = squares / count - mean * mean
    return mean + pivot, np.sqrt(max(variance, 0.0))


@cpu_kernel()
def correct_rows(raw: Any, dark: Any, gain: Any, mean: Any, limit: Any, source_y: Any, source_x: Any, out: Any) -> Any:
    """Fill a block of rows of the padded frame with ``(raw - dark) * gain - mean``; return how many outliers it held.

    A value further than ``limit`` from the mean (or not a number) becomes the mean, here zero, and so does a defect: a
    pixel whose gain is 0. Defects do not count as outliers.

    Parameters
    ----------
    raw, dark, gain
        As for `frame_moments`.
    mean, limit
        float32 mean of the corrected frame, and the largest deviation that is believed.
    source_y
        Row of the frame for each row of the block.
    source_x
        Column of the frame for each column of the block; the first ``raw.shape[1]`` are 0, 1, 2 ...
    out
        float32 block ``[len(source_y), len(source_x)]``.
    """
    nx = raw.shape[1]
    has_dark = dark.shape[0] > 0
    has_gain = gain.shape[0] > 0
    outliers = 0
    for block_y in range(source_y.shape[0]):
        y = source_y[block_y]
        if has_gain and has_dark:
            for x in range(nx):
                value = (np.float32(raw[y, x]) - dark[y, x]) * gain[y, x] - mean
                out[block_y, x] = value if gain[y, x] != 0 else np.float32(0)
        elif has_gain:
            for x in range(nx):
                value = np.float32(raw[y, x]) * gain[y, x] - mean
                out[block_y, x] = value if gain[y, x] != 0 else np.float32(0)
        elif has_dark:
            for x in range(nx):
                out[block_y, x] = np.float32(raw[y, x]) - dark[y, x] - mean
        else:
            for x in range(nx):
                out[block_y, x] = np.float32(raw[y, x]) - mean
        for x in range(nx):
            good = abs(out[block_y, x]) <= limit
            outliers += 0 if good else 1
            out[block_y, x] = out[block_y, x] if good else np.float32(0)
        for x in range(nx, source_x.shape[0]):
            out[block_y, x] = out[block_y, source_x[x]]
    return outliers


@cpu_kernel()
def store_transform(transform: Any, source_rows: Any, scale: Any, real: Any, imaginary: Any) -> None:
    """Store a frame's transform, scaled, as planar float16 bits.

    Parameters
    ----------
    transform
        complex64 ``[ky, kx]``.
    source_rows
        Row of ``transform`` for each stored row (a Fourier crop leaves some out); -1 stores zeros.
    scale
        float32 factor that brings values to order one.
    real, imaginary
        uint16 ``[stored ky, stored kx]``; columns beyond the stored ones are left out.
    """
    for y in range(source_rows.shape[0]):
        row = source_rows[y]
        if row < 0:
            for x in range(real.shape[1]):
                real[y, x] = np.uint16(0)
                imaginary[y, x] = np.uint16(0)
        else:
            for x in range(real.shape[1]):
                value = transform[row, x]
                real[y, x] = half_from_float(value.real * scale)
                imaginary[y, x] = half_from_float(value.imag * scale)


@cpu_kernel()
def add_shifted_rows(
    real: Any,
    imaginary: Any,
    ramp_x: Any,
    ramp_y: Any,
    first_weight: Any,
    step_weight: Any,
    table_scale: Any,
    frequency_y: Any,
    frequency_x: Any,
    first_row: Any,
    total: Any,
) -> None:
    """Add frames, each shifted and weighted for its dose, to rows of the sum's transform.

    Frame ``i`` of the block gets the weight ``first * step**i``, both read from tables over spatial frequency.

    Parameters
    ----------
    real, imaginary
        uint16 ``[frame, ky, kx]``: stored transforms, float16 bits.
    ramp_x, ramp_y
        float32 ``[frame, 2, kx]`` and ``[frame, 2, ky]``: cosine and sine of the shift's phase; the frame's scale is
        contained in ``ramp_y``, zero for a frame that is left out.
    first_weight, step_weight
        float32 tables over frequency: weight of the block's first frame, and the factor from frame to frame.
    table_scale
        Table entries per unit of frequency.
    frequency_y, frequency_x
        float32 frequency of each row and column, in the table's unit.
    first_row
        First row of ``total`` to work on; ``total`` is the block of rows itself.
    total
        complex64 ``[rows, kx]``, added to.
    """
    frames, _, columns = real.shape
    weight = np.empty(columns, np.float32)
    step = np.empty(columns, np.float32)
    sum_re = np.empty(columns, np.float32)
    sum_im = np.empty(columns, np.float32)
    last = first_weight.shape[0] - 2
    for block_y in range(total.shape[0]):
        y = first_row + block_y
        for x in range(columns):
            place = np.sqrt(frequency_y[y] * frequency_y[y] + frequency_x[x] * frequency_x[x]) * table_scale
            entry = min(np.int32(place), last)
            part = place - np.float32(entry)
            weight[x] = first_weight[entry] + part * (first_weight[entry + 1] - first_weight[entry])
            step[x] = step_weight[entry] + part * (step_weight[entry + 1] - step_weight[entry])
            sum_re[x] = total[block_y, x].real
            sum_im[x] = total[block_y, x].imag
        for i in range(frames):
            row_re = ramp_y[i, 0, y]
            row_im = ramp_y[i, 1, y]
            if row_re == 0 and row_im == 0:
                for x in range(columns):
                    weight[x] *= step[x]
                continue
            for x in range(columns):
                phase_re = ramp_x[i, 0, x] * row_re - ramp_x[i, 1, x] * row_im
                phase_im = ramp_x[i, 0, x] * row_im + ramp_x[i, 1, x] * row_re
                value_re = float_from_half(real[i, y, x])
                value_im = float_from_half(imaginary[i, y, x])
                sum_re[x] += weight[x] * (value_re * phase_re - value_im * phase_im)
                sum_im[x] += weight[x] * (value_re * phase_im + value_im * phase_re)
                weight[x] *= step[x]
        for x in range(columns):
            total[block_y, x] = complex(sum_re[x], sum_im[x])


@cpu_kernel()
def shifted_total_rows(
    real: Any, imaginary: Any, ramp_x: Any, ramp_y: Any, first_row: Any, last_row: Any, total_re: Any, total_im: Any
) -> None:
    """Sum the shifted low-frequency transforms over frames, for some rows.

    Parameters
    ----------
    real, imaginary
        float32 ``[frame, ky, kx]``.
    ramp_x, ramp_y
        As for `add_shifted_rows`.
    first_row, last_row
        The rows to fill.
    total_re, total_im
        float32 ``[ky, kx]``, filled.
    """
    frames, _, columns = real.shape
    for y in range(first_row, last_row):
        for x in range(columns):
            total_re[y, x] = np.float32(0)
            total_im[y, x] = np.float32(0)
        for i in range(frames):
            row_re = ramp_y[i, 0, y]
            row_im = ramp_y[i, 1, y]
            for x in range(columns):
                phase_re = ramp_x[i, 0, x] * row_re - ramp_x[i, 1, x] * row_im
                phase_im = ramp_x[i, 0, x] * row_im + ramp_x[i, 1, x] * row_re
                total_re[y, x] += real[i, y, x] * phase_re - imaginary[i, y, x] * phase_im
                total_im[y, x] += real[i, y, x] * phase_im + imaginary[i, y, x] * phase_re


@cpu_kernel(inline=True)
def fill_window_row(
    real: Any, imaginary: Any, ramp_x: Any, ramp_y: Any, first: Any, last: Any, y: Any, moved_re: Any, moved_im: Any
) -> None:
    """Sum one row of the shifted transforms of frames ``first`` to ``last - 1``."""
    columns = real.shape[2]
    for x in range(columns):
        moved_re[x] = np.float32(0)
        moved_im[x] = np.float32(0)
    for i in range(first, last):
        row_re = ramp_y[i, 0, y]
        row_im = ramp_y[i, 1, y]
        for x in range(columns):
            phase_re = ramp_x[i, 0, x] * row_re - ramp_x[i, 1, x] * row_im
            phase_im = ramp_x[i, 0, x] * row_im + ramp_x[i, 1, x] * row_re
            moved_re[x] += real[i, y, x] * phase_re - imaginary[i, y, x] * phase_im
            moved_im[x] += real[i, y, x] * phase_im + imaginary[i, y, x] * phase_re


@cpu_kernel()
def cross_power(
    real: Any,
    imaginary: Any,
    ramp_x: Any,
    ramp_y: Any,
    first: Any,
    last: Any,
    total_re: Any,
    total_im: Any,
    weight: Any,
    grid_rows: Any,
    out: Any,
) -> None:
    """Fill ``out`` with weight * (window of frames) * conj(all other frames), ready for an inverse transform.

    Parameters
    ----------
    real, imaginary, ramp_x, ramp_y, total_re, total_im
        As for `shifted_total_rows`.
    first, last
        The window: frames ``first`` to ``last - 1``.
    weight
        float32 ``[ky, kx]``.
    grid_rows
        Row of ``out`` for each row of the transforms.
    out
        complex64 ``[grid ky, grid kx]``, zero where nothing is written.
    """
    columns = real.shape[2]
    moved_re = np.empty(columns, np.float32)
    moved_im = np.empty(columns, np.float32)
    for y in range(real.shape[1]):
        fill_window_row(real, imaginary, ramp_x, ramp_y, first, last, y, moved_re, moved_im)
        row = grid_rows[y]
        for x in range(columns):
            rest_re = total_re[y, x] - moved_re[x]
            rest_im = total_im[y, x] - moved_im[x]
            out[row, x] = complex(
                weight[y, x] * (moved_re[x] * rest_re + moved_im[x] * rest_im),
                weight[y, x] * (moved_im[x] * rest_re - moved_re[x] * rest_im),
            )


@cpu_kernel(fastmath=True)
def newton_terms(
    real: Any,
    imaginary: Any,
    ramp_x: Any,
    ramp_y: Any,
    first: Any,
    last: Any,
    total_re: Any,
    total_im: Any,
    weight: Any,
    angular_y: Any,
    angular_x: Any,
    terms: Any,
) -> None:
    """Sum the correlation of a window of frames with all others, its derivatives by a further shift, and their noise.

    Parameters
    ----------
    real, imaginary, ramp_x, ramp_y, first, last, total_re, total_im
        As for `cross_power`.
    weight
        float32 ``[ky, kx]``, zero for the redundant half of column 0.
    angular_y, angular_x
        float32 angular frequencies of rows and columns, radians per Angstrom.
    terms
        float64 ``[10]``, filled: correlation, its gradient (x, y), minus its second derivatives (xx, xy, yy), the
        variance of the correlation by noise, and the covariance of the gradient by noise (xx, xy, yy).
    """
    columns = real.shape[2]
    moved_re = np.empty(columns, np.float32)
    moved_im = np.empty(columns, np.float32)
    terms[:] = 0.0
    for y in range(real.shape[1]):
        fill_window_row(real, imaginary, ramp_x, ramp_y, first, last, y, moved_re, moved_im)
        qy = angular_y[y]
        score = np.float32(0)
        slope = np.float32(0)
        slope_x = np.float32(0)
        bend_x = np.float32(0)
        bend_xx = np.float32(0)
        noise = np.float32(0)
        noise_x = np.float32(0)
        noise_xx = np.float32(0)
        for x in range(columns):
            w = weight[y, x]
            qx = angular_x[x]
            rest_re = total_re[y, x] - moved_re[x]
            rest_im = total_im[y, x] - moved_im[x]
            even = w * (moved_re[x] * rest_re + moved_im[x] * rest_im)
            odd = w * (moved_im[x] * rest_re - moved_re[x] * rest_im)
            power = (moved_re[x] * moved_re[x] + moved_im[x] * moved_im[x]) * w * w * np.float32(0.5)
            power *= rest_re * rest_re + rest_im * rest_im
            score += even
            slope += odd
            slope_x += odd * qx
            bend_x += even * qx
            bend_xx += even * qx * qx
            noise += power
            noise_x += power * qx
            noise_xx += power * qx * qx
        terms[0] += score
        terms[1] += slope_x
        terms[2] += slope * qy
        terms[3] += bend_xx
        terms[4] += bend_x * qy
        terms[5] += score * qy * qy
        terms[6] += noise
        terms[7] += noise_xx
        terms[8] += noise_x * qy
        terms[9] += noise * qy * qy


@cpu_kernel()
def spectrum_rows(
    transform: Any, nx: Any, bins_y: Any, bins_x: Any, first_row: Any, last_row: Any, amplitudes: Any, counts: Any
) -> None:
    """Add the amplitudes of rows of a half transform to a full, centred picture of it.

    Parameters
    ----------
    transform
        complex64 ``[ky, kx]`` of a real image with ``nx`` columns.
    bins_y, bins_x
        Row of the picture for each ky; column for each kx and, in a second row, for -kx.
    first_row, last_row
        Rows of ``transform`` to add.
    amplitudes, counts
        float64 ``[size, size]``, added to.
    """
    for y in range(first_row, last_row):
        opposite = (transform.shape[0] - y) % transform.shape[0]
        for x in range(transform.shape[1]):
            value = transform[y, x]
            size = np.sqrt(value.real * value.real + value.imag * value.imag)
            amplitudes[bins_y[y], bins_x[0, x]] += size
            counts[bins_y[y], bins_x[0, x]] += 1.0
            if x > 0 and 2 * x != nx:
                amplitudes[bins_y[opposite], bins_x[1, x]] += size
                counts[bins_y[opposite], bins_x[1, x]] += 1.0


def warm() -> None:
    """Compile every kernel of this module for the types that movies come in."""
    none = np.zeros((0, 0), np.float32)
    plane = np.ones((4, 4), np.float32)
    index = np.arange(4)
    block = np.zeros((4, 4), np.float32)
    for kind in (np.uint8, np.int16, np.uint16, np.float32):
        raw = np.ones((4, 4), kind)
        frame_moments(raw[::2], none[::2], plane[::2])
        frame_moments(raw, none, plane)
        correct_rows(raw, none, plane, np.float32(0), np.float32(1), index, index, block)
    spectrum = np.ones((4, 3), np.complex64)
    half = np.zeros((1, 4, 3), np.uint16)
    store_transform(spectrum, index, np.float32(1), half[0], half[0].copy())
    ramp_x, ramp_y = np.ones((1, 2, 3), np.float32), np.ones((1, 2, 4), np.float32)
    table = np.ones(4, np.float32)
    column, row = np.zeros(3, np.float32), np.zeros(4, np.float32)
    add_shifted_rows(half, half, ramp_x, ramp_y, table, table, np.float32(1), row, column, 0, spectrum)
    frames = np.ones((1, 4, 3), np.float32)
    total = np.zeros((4, 3), np.float32)
    shifted_total_rows(frames, frames, ramp_x, ramp_y, 0, 4, total, total.copy())
    cross_power(frames, frames, ramp_x, ramp_y, 0, 1, total, total, total, index, spectrum)
    newton_terms(frames, frames, ramp_x, ramp_y, 0, 1, total, total, total, row, column, np.zeros(10))
    picture = np.zeros((4, 4))
    spectrum_rows(spectrum, 4, index, np.zeros((2, 3), np.int64), 0, 4, picture, picture.copy())

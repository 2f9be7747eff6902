"""Fused loops over movie frames: correction, decimation, shifted sums of low frequencies, terms of the alignment."""

from __future__ import annotations

from typing import Any

import numpy as np

from verglas.kernels.compile import cpu_kernel


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


@cpu_kernel(inline=True)
def correct_span(
    raw: Any, dark: Any, gain: Any, mean: Any, limit: Any, y: Any, first: Any, count: Any, out: Any, place: Any
) -> Any:
    """Fill ``out[place : place + count]`` with ``(raw - dark) * gain - mean`` of a row's pixels from ``first`` on.

    A value further than ``limit`` from the mean (or not a number) becomes the mean, here zero, and so does a defect: a
    pixel whose gain is 0. Defects do not count as outliers, whose number is returned.
    """
    has_dark = dark.shape[0] > 0
    has_gain = gain.shape[0] > 0
    values = raw[y, first : first + count]
    o = out[place : place + count]
    if has_gain and has_dark:
        d, g = dark[y, first : first + count], gain[y, first : first + count]
        for i in range(count):
            value = (np.float32(values[i]) - d[i]) * g[i] - mean
            o[i] = value if g[i] != 0 else np.float32(0)
    elif has_gain:
        g = gain[y, first : first + count]
        for i in range(count):
            value = np.float32(values[i]) * g[i] - mean
            o[i] = value if g[i] != 0 else np.float32(0)
    elif has_dark:
        d = dark[y, first : first + count]
        for i in range(count):
            o[i] = np.float32(values[i]) - d[i] - mean
    else:
        for i in range(count):
            o[i] = np.float32(values[i]) - mean
    outliers = np.int32(0)
    for i in range(count):
        good = abs(o[i]) <= limit
        outliers += np.int32(0) if good else np.int32(1)
        o[i] = o[i] if good else np.float32(0)
    return outliers


@cpu_kernel()
def correct_line(raw: Any, dark: Any, gain: Any, mean: Any, limit: Any, y: Any, line: Any) -> Any:
    """Fill ``line`` with a whole corrected row; return how many outliers it held."""
    return correct_span(raw, dark, gain, mean, limit, y, 0, raw.shape[1], line, 0)


@cpu_kernel()
def add_scaled(line: Any, factor: Any, total: Any) -> None:
    """Add ``factor * line`` to ``total``."""
    for x in range(total.shape[0]):
        total[x] += factor * line[x]


@cpu_kernel()
def add_decimated(line: Any, factor: Any, out: Any) -> None:
    """Add a line, filtered by a triangle and taken at every ``factor``-th pixel, to ``out``; the line is periodic."""
    size = out.shape[0] * factor
    for x in range(out.shape[0]):
        value = np.float32(0)
        for j in range(1 - factor, factor):
            place = x * factor + j
            value += np.float32(factor - abs(j)) * line[place if place >= 0 else place + size]
        out[x] += value / np.float32(factor)


@cpu_kernel()
def decimate_frame(
    raw: Any, dark: Any, gain: Any, mean: Any, limit: Any, source_y: Any, source_x: Any, factor: Any, out: Any
) -> Any:
    """Correct a frame, filter it by a triangle along both axes and keep every ``factor``-th pixel.

    Parameters
    ----------
    raw, dark, gain
        As for `frame_moments`.
    mean, limit
        float32 mean of the corrected frame, taken off, and the largest deviation that is believed.
    source_y, source_x
        Row and column of the frame for each one of the padded frame; its first ``raw.shape`` ones are the frame's own.
    factor
        Of the decimation; the padded frame is a whole multiple of it.
    out
        float32 ``[y, x]``, filled; its pixels are sums, so its transform has the frame's scale. Pixel (0, 0) lies on
        the frame's, and the padded frame is taken as periodic.

    Returns
    -------
    int
        Number of outliers, pixels further than ``limit`` from the mean, which became the mean.
    """
    ny, nx = raw.shape
    line = np.empty(source_x.shape[0], np.float32)
    here = np.zeros(source_x.shape[0], np.float32)
    below = np.zeros(source_x.shape[0], np.float32)
    out[:] = np.float32(0)
    outliers = 0
    for row in range(source_y.shape[0]):
        found = correct_line(raw, dark, gain, mean, limit, source_y[row], line)
        outliers += found if row < ny else 0
        for x in range(nx, source_x.shape[0]):
            line[x] = line[source_x[x]]
        j = row % factor
        add_scaled(line, np.float32(factor - j) / np.float32(factor), here)
        if j:
            add_scaled(line, np.float32(j) / np.float32(factor), below)
        if j == factor - 1:
            add_decimated(here, factor, out[row // factor])
            here, below = below, here
            below[:] = np.float32(0)
    add_decimated(here, factor, out[0])
    return outliers


@cpu_kernel()
def take_off_pixels(
    raw: Any, dark: Any, gain: Any, mean: Any, limit: Any, sources: Any, places: Any, factor: Any, out: Any
) -> None:
    """Take off what single pixels have put into a decimated frame.

    Parameters
    ----------
    raw, dark, gain, mean, limit, factor, out
        As for `decimate_frame`.
    sources, places
        int64 ``[n, 2]``: (y, x) of pixels of the frame, and where each lies in the padded frame (a pixel near an edge
        lies in its margin too, and is listed again for it).
    """
    value = np.empty(1, np.float32)
    size = np.float32(factor)
    for n in range(sources.shape[0]):
        correct_span(raw, dark, gain, mean, limit, sources[n, 0], sources[n, 1], 1, value, 0)
        y, x = places[n, 0], places[n, 1]
        below, right = np.float32(y % factor) / size, np.float32(x % factor) / size
        y0, x0 = y // factor, x // factor
        y1, x1 = (y0 + 1) % out.shape[0], (x0 + 1) % out.shape[1]
        one = np.float32(1)
        out[y0, x0] -= (one - below) * (one - right) * value[0]
        out[y0, x1] -= (one - below) * right * value[0]
        out[y1, x0] -= below * (one - right) * value[0]
        out[y1, x1] -= below * right * value[0]


@cpu_kernel()
def add_frame_rows(frames: Any, first_row: Any, last_row: Any, total: Any) -> None:
    """Add rows ``first_row`` to ``last_row`` (not included) of frames ``[frame, y, x]`` to ``total`` (float32)."""
    for y in range(first_row, last_row):
        row = total[y]
        for frame in range(frames.shape[0]):
            line = frames[frame, y]
            for x in range(row.shape[0]):
                row[x] += np.float32(line[x])


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
        float32 ``[frame, 2, kx]`` and ``[frame, 2, ky]``: cosine and sine of the shift's phase; a factor for each
        frame is contained in ``ramp_y``, zero for a frame that is left out.
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
    block = np.zeros((2, 2), np.float32)
    for kind in (np.uint8, np.int16, np.uint16, np.float32):
        raw = np.ones((4, 4), kind)
        frame_moments(raw[::2], none[::2], plane[::2])
        frame_moments(raw, none, plane)
        decimate_frame(raw, none, plane, np.float32(0), np.float32(1), index, index, 2, block)
        take_off_pixels(
            raw, none, plane, np.float32(0), np.float32(1), np.zeros((1, 2), np.int64), np.zeros((1, 2), np.int64), 2,
            block,
        )  # fmt: skip
        add_frame_rows(raw[None], 0, 4, plane.copy())
    spectrum = np.ones((4, 3), np.complex64)
    ramp_x, ramp_y = np.ones((1, 2, 3), np.float32), np.ones((1, 2, 4), np.float32)
    column, row = np.zeros(3, np.float32), np.zeros(4, np.float32)
    frames = np.ones((1, 4, 3), np.float32)
    total = np.zeros((4, 3), np.float32)
    shifted_total_rows(frames, frames, ramp_x, ramp_y, 0, 4, total, total.copy())
    cross_power(frames, frames, ramp_x, ramp_y, 0, 1, total, total, total, index, spectrum)
    newton_terms(frames, frames, ramp_x, ramp_y, 0, 1, total, total, total, row, column, np.zeros(10))
    picture = np.zeros((4, 4))
    spectrum_rows(spectrum, 4, index, np.zeros((2, 3), np.int64), 0, 4, picture, picture.copy())

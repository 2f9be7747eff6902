"""Inner loops of the search over polar Fourier grids: shifting samples, and folding scores over in-plane angles."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from verglas.kernels.compile import cpu_kernel

Array = np.ndarray[Any, Any]


@cpu_kernel(fastmath=True)
def shift_samples(polar: Array, ramps: Array, out: Array) -> None:
    """Multiply polar samples by the phase ramps of all shifts.

    Parameters
    ----------
    polar : float32 array, shape (2, samples)
        Real and imaginary parts of one image.
    ramps : float32 array, shape (shifts, 2, samples)
        Cosines and sines.
    out : float32 array, shape (2, shifts, samples)
        Real parts and imaginary parts.
    """
    real, imaginary = polar[0], polar[1]
    for s in range(ramps.shape[0]):
        cosine, sine, first, second = ramps[s, 0], ramps[s, 1], out[0, s], out[1, s]
        for i in range(real.size):
            first[i] = real[i] * cosine[i] - imaginary[i] * sine[i]
            second[i] = real[i] * sine[i] + imaginary[i] * cosine[i]


@cpu_kernel(fastmath=True)
def fold_maximum(
    even_cos: Array, odd_cos: Array, even_sin: Array, odd_sin: Array, norm: Array, penalty: Array, gain: Array,
    code: Array,
) -> None:  # fmt: skip
    """Find the best shift and in-plane angle of every image with every template and its mirror image.

    Sums over even and odd angular orders at an angle psi of the first quarter turn give the scores at psi, -psi and
    both plus half a turn; of each two that differ by the sign of the sine terms only the larger counts.

    Parameters
    ----------
    even_cos, odd_cos : float32 arrays, shape (angles, 2, rows, templates)
        Cosine sums of real times real (0) and imaginary times imaginary (1); a row is one shift of one image.
    even_sin, odd_sin : float32 arrays, likewise
        Sine sums of real template times imaginary image (0) and imaginary template times real image (1).
    norm : float32 array, shape (images, templates)
        Power of each template in each image; a positive score gains ``score^2 / norm``.
    penalty : float32 array, shape (shifts,)
        Minus the logarithm of the prior of each shift.
    gain : float32 array, shape (images, 2, templates)
        Best gains less their penalties, of templates (0) and of their mirror images (1).
    code : int32 array, likewise
        ``shift * angles + angle``.
    """
    angles, templates, shifts = even_cos.shape[0], even_cos.shape[3], penalty.size
    top, place = np.empty(templates, np.float32), np.empty(templates, np.int32)
    gain[:, :, :] = np.float32(-3e38)
    for n in range(gain.shape[0]):
        for h in range(2):
            best, found = gain[n, h], code[n, h]
            sign = np.float32(1 - 2 * h)
            for s in range(shifts):
                row = n * shifts + s
                top[:] = np.float32(0.0)
                place[:] = np.int32(0)
                for j in range(angles):
                    a, b = even_cos[j, 0, row], even_cos[j, 1, row]
                    c, d = odd_cos[j, 0, row], odd_cos[j, 1, row]
                    e, f = even_sin[j, 0, row], even_sin[j, 1, row]
                    g, k = odd_sin[j, 0, row], odd_sin[j, 1, row]
                    number = np.int32(j)
                    for t in range(templates):
                        p, q = a[t] + sign * b[t], c[t] + sign * d[t]
                        r, w = e[t] - sign * f[t], g[t] - sign * k[t]
                        value = max(p + q + abs(r + w), p - q + abs(r - w))
                        better = value > top[t]
                        top[t] = value if better else top[t]
                        place[t] = number if better else place[t]
                first = np.int32(s * angles)
                for t in range(templates):
                    value = top[t] * top[t] / max(norm[n, t], np.float32(1e-30)) - penalty[s]
                    better = value > best[t]
                    best[t] = value if better else best[t]
                    found[t] = first + place[t] if better else found[t]


@cpu_kernel(fastmath=True)
def fold_images(
    even_cos: Array, odd_cos: Array, even_sin: Array, odd_sin: Array, norm: Array, penalty: Array, fit_scale: bool,
    gain: Array, code: Array,
) -> None:  # fmt: skip
    """Find the best shift and in-plane angle of every image with every reference image.

    Sums over even and odd angular orders at an angle psi of the first quarter turn give the scores at psi, -psi and
    both plus half a turn.

    Parameters
    ----------
    even_cos, odd_cos, even_sin, odd_sin : float32 arrays, shape (angles, rows, references)
        Sums of cosine and of sine terms; a row is one shift of one image.
    norm : float32 array, shape (images, references)
        Power of each reference in each image.
    penalty : float32 array, shape (shifts,)
        Minus the logarithm of the prior of each shift.
    fit_scale : bool
        The gain of a score is ``score^2 / norm`` where it is positive; else ``2 score - norm``.
    gain : float32 array, shape (images, references)
        Best gain less its penalty.
    code : int32 array, likewise
        ``shift * 4 (angles - 1) + angle`` with the angle in steps of a whole turn.
    """
    angles, width, shifts = even_cos.shape[0], even_cos.shape[2], penalty.size
    turn = 4 * (angles - 1)
    best, place = np.empty(width, np.float32), np.empty(width, np.int32)
    for n in range(gain.shape[0]):
        gain[n, :] = np.float32(-3e38)
        for s in range(shifts):
            row = n * shifts + s
            best[:] = np.float32(-3e38)
            for j in range(angles):
                a, b, c, d = even_cos[j, row], odd_cos[j, row], even_sin[j, row], odd_sin[j, row]
                number = np.int32(j)
                for t in range(width):
                    value = max(a[t] + b[t] + abs(c[t] + d[t]), a[t] - b[t] + abs(c[t] - d[t]))
                    better = value > best[t]
                    best[t] = value if better else best[t]
                    place[t] = number if better else place[t]
            for t in range(width):
                score = best[t]
                if fit_scale:
                    score = max(score, np.float32(0.0))
                    value = score * score / max(norm[n, t], np.float32(1e-30)) - penalty[s]
                else:
                    value = np.float32(2.0) * score - norm[n, t] - penalty[s]
                if value > gain[n, t]:
                    # Which of the four angles with these sums it was.
                    j = place[t]
                    one = even_cos[j, row, t] + odd_cos[j, row, t]
                    two = even_cos[j, row, t] - odd_cos[j, row, t]
                    three = even_sin[j, row, t] + odd_sin[j, row, t]
                    four = even_sin[j, row, t] - odd_sin[j, row, t]
                    half = 0
                    if two + abs(four) > one + abs(three):
                        half, three = turn // 2, four
                    angle = half + (j if three >= 0 else -j)
                    gain[n, t] = value
                    code[n, t] = s * turn + angle % turn


@cpu_kernel()
def order_products(template: Array, image: Array, mirrored: bool, orders: Array, out: Array) -> None:
    """Fill ``out[m] = sum over rings of conj(template) * image``, float64 real and imaginary parts.

    Parameters
    ----------
    template, image : float32 arrays, shape (2, orders, rings)
        Real and imaginary parts of angular orders.
    mirrored : bool
        Take the template's mirror image.
    orders : int64 array, shape (orders,)
        Numbers of the orders.
    out : float64 array, shape (2, orders)
    """
    for m in range(orders.size):
        real, imaginary = 0.0, 0.0
        for r in range(template.shape[2]):
            a, b = template[0, m, r], template[1, m, r]
            if mirrored:
                b = -b
            c, d = image[0, m, r], image[1, m, r]
            real += a * c + b * d
            imaginary += a * d - b * c
        sign = -1.0 if mirrored and orders[m] % 2 else 1.0
        out[0, m], out[1, m] = sign * real, sign * imaginary


@cpu_kernel()
def score_at(products: Array, orders: Array, psi: float) -> float:
    """Return ``sum over m of Re(products_m exp(-i m psi))``."""
    total = 0.0
    for m in range(orders.size):
        total += products[0, m] * math.cos(orders[m] * psi) + products[1, m] * math.sin(orders[m] * psi)
    return total


def warm() -> None:
    """Compile the kernels."""
    one = np.zeros((1, 2, 1, 1), np.float32)
    shift_samples(one[0, :, 0], one[:, :, 0], np.zeros((2, 1, 1), np.float32))
    fold_maximum(
        one, one, one, one, one[0, 0], one[0, 0, 0], np.zeros((1, 2, 1), np.float32), np.zeros((1, 2, 1), np.int32)
    )
    fold_images(
        one[0], one[0], one[0], one[0], one[0, 0], one[0, 0, 0], True, np.zeros((1, 1), np.float32),
        np.zeros((1, 1), np.int32),
    )  # fmt: skip
    orders, products = np.zeros(1, np.int64), np.zeros((2, 1))
    order_products(one[0], one[0], True, orders, products)
    score_at(products, orders, 0.0)

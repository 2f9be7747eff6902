"""Inner loops of the search over polar Fourier grids: shifting samples, and folding scores over in-plane angles."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from verglas.kernels.compile import cpu_kernel

Array = np.ndarray[Any, Any]


def turn_body(real: float, imaginary: float, cosine: float, sine: float) -> tuple[float, float]:
    """Return a complex number times ``cosine + i sine``."""
    return real * cosine - imaginary * sine, real * sine + imaginary * cosine


def fold_body(
    a: float, b: float, c: float, d: float, e: float, f: float, g: float, k: float, sign: Any
) -> Any:  # fmt: skip
    """Return the larger score of an angle of the first quarter turn, its negative, and both plus half a turn.

    Parameters
    ----------
    a, b
        Cosine sums over even orders, of real times real and of imaginary times imaginary parts.
    c, d
        Likewise over odd orders.
    e, f
        Sine sums over even orders, of real template times imaginary image and imaginary template times real image.
    g, k
        Likewise over odd orders.
    sign
        1 for a template, -1 for its mirror image.
    """
    p, q, r, w = a + sign * b, c + sign * d, e - sign * f, g - sign * k
    return max(p + q + abs(r + w), p - q + abs(r - w))


def gain_body(score: Any, norm: Any, penalty: Any) -> Any:
    """Return what a pose adds to the log-likelihood at its best scale, less the penalty of its displacement."""
    return score * score / max(norm, np.float32(1e-30)) - penalty


_turn = cpu_kernel(inline=True)(turn_body)
_fold = cpu_kernel(inline=True)(fold_body)
_gain = cpu_kernel(inline=True)(gain_body)


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
            first[i], second[i] = _turn(real[i], imaginary[i], cosine[i], sine[i])


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
                        value = _fold(a[t], b[t], c[t], d[t], e[t], f[t], g[t], k[t], sign)
                        better = value > top[t]
                        top[t] = value if better else top[t]
                        place[t] = number if better else place[t]
                first = np.int32(s * angles)
                for t in range(templates):
                    value = _gain(top[t], norm[n, t], penalty[s])
                    better = value > best[t]
                    best[t] = value if better else best[t]
                    found[t] = first + place[t] if better else found[t]


@cpu_kernel(fastmath=True)
def fold_posterior(
    even_cos: Array, odd_cos: Array, even_sin: Array, odd_sin: Array, norm: Array, penalty: Array, factor: float,
    gain: Array, total: Array,
) -> None:  # fmt: skip
    """Sum the likelihoods of all displacements and in-plane angles of every image with every template and its mirror.

    Parameters
    ----------
    even_cos, odd_cos, even_sin, odd_sin, norm, penalty
        As :func:`fold_maximum`.
    factor : float
        Log-likelihoods are multiplied by it.
    gain : float32 array, shape (images, 2, templates)
        Largest ``2 score - norm - penalty``, what a pose adds to the log-likelihood at the template's own scale.
    total : float32 array, likewise
        Sum of ``exp(factor (2 score - norm - penalty - gain))`` over displacements and angles of a whole turn.

    Notes
    -----
    ``exp(x)`` is ``(1 + x / 1024)^1024``, 0 from -1024 on: within 5 % where it is above ``exp(-10)``.
    """
    angles, templates, shifts = even_cos.shape[0], even_cos.shape[3], penalty.size
    two, part, one = np.float32(2.0), np.float32(factor / 1024.0), np.float32(1.0)
    for n in range(gain.shape[0]):
        for h in range(2):
            best, added = gain[n, h], total[n, h]
            sign = np.float32(1 - 2 * h)
            best[:] = np.float32(-3e38)
            added[:] = np.float32(0.0)
            for s in range(shifts):
                row = n * shifts + s
                for j in range(angles):
                    for t in range(templates):
                        value = two * _fold(
                            even_cos[j, 0, row, t], even_cos[j, 1, row, t], odd_cos[j, 0, row, t],
                            odd_cos[j, 1, row, t], even_sin[j, 0, row, t], even_sin[j, 1, row, t],
                            odd_sin[j, 0, row, t], odd_sin[j, 1, row, t], sign,
                        ) - norm[n, t] - penalty[s]  # fmt: skip
                        best[t] = max(best[t], value)
            for s in range(shifts):
                row = n * shifts + s
                for j in range(angles):
                    # The first and the last angle of a quarter turn are met twice.
                    share = np.float32(0.5) if j == 0 or j == angles - 1 else one
                    for t in range(templates):
                        p = even_cos[j, 0, row, t] + sign * even_cos[j, 1, row, t]
                        q = odd_cos[j, 0, row, t] + sign * odd_cos[j, 1, row, t]
                        r = even_sin[j, 0, row, t] - sign * even_sin[j, 1, row, t]
                        w = odd_sin[j, 0, row, t] - sign * odd_sin[j, 1, row, t]
                        least = norm[n, t] + penalty[s] + best[t]
                        for value in (p + q + r + w, p + q - r - w, p - q + r - w, p - q - r + w):
                            x = max(one + part * (two * value - least), np.float32(0.0))
                            for _ in range(10):
                                x *= x
                            added[t] += share * x


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
                    value = _gain(score, norm[n, t], penalty[s])
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


@cpu_kernel(fastmath=True)
def sample_images(
    even_cos: Array, odd_cos: Array, even_sin: Array, odd_sin: Array, norm: Array, penalty: Array, prior: Array,
    gain: Array, factor: float, span: float, uniform: Array, evidence: Array, reference: Array, code: Array,
    count: Array,
) -> None:  # fmt: skip
    """Draw poses of every image from its posterior over all references, displacements and angles of the grid.

    The draws are systematic: the poses lie end to end on a line, each as long as its probability, and every image
    takes those at equal steps from a random beginning: a pose of weight w ``w x draws`` times, give or take one.

    Parameters
    ----------
    even_cos, odd_cos, even_sin, odd_sin, norm, penalty
        As in :func:`fold_images`, for references at their own scale.
    prior : float32 array, shape (references,)
        Logarithm of each reference's share.
    gain : float32 array, shape (images, references)
        Best gains, of :func:`fold_images`.
    factor : float
        Of the log-likelihood.
    span : float
        Poses whose log-likelihood is so much below the best one's count for nothing.
    uniform : float64 array, shape (images,)
        Random numbers, 0 to 1.
    evidence : float64 array, shape (images, references)
        Logarithm of the sum of each reference's probabilities.
    reference, code, count : int32 arrays, shape (images, draws)
        Distinct poses drawn, and how often; a count of 0 ends the list. ``code`` as in :func:`fold_images`.
    """
    angles, width, shifts, draws = even_cos.shape[0], even_cos.shape[2], penalty.size, code.shape[1]
    turn = 4 * (angles - 1)
    threshold, offset, sums = np.empty(width, np.float32), np.empty(width, np.float32), np.empty(width)
    four = np.empty(4, np.float32)
    for n in range(gain.shape[0]):
        top = np.float32(-3e38)
        for t in range(width):
            top = max(top, gain[n, t] + prior[t])
        least = top - np.float32(span)
        sums[:] = 0.0
        total, step, following, place, taken = 0.0, 0.0, 0.0, -1, 0
        for drawing in range(2):
            if drawing:
                step = total / draws
                following = uniform[n] * step
                count[n, :] = 0
            reached = 0.0
            for s in range(shifts):
                row = n * shifts + s
                for t in range(width):
                    offset[t] = prior[t] - norm[n, t] - penalty[s]
                    threshold[t] = np.float32(0.5) * (least - offset[t])
                for j in range(angles):
                    a, b, c, d = even_cos[j, row], odd_cos[j, row], even_sin[j, row], odd_sin[j, row]
                    found = False
                    for t in range(width):
                        value = max(a[t] + b[t] + abs(c[t] + d[t]), a[t] - b[t] + abs(c[t] - d[t]))
                        found |= value > threshold[t]
                    if not found:
                        continue
                    # The ends of a quarter turn come twice.
                    share = 0.5 if j == 0 or j == angles - 1 else 1.0
                    for t in range(width):
                        four[0], four[1] = a[t] + b[t] + c[t] + d[t], a[t] + b[t] - c[t] - d[t]
                        four[2], four[3] = a[t] - b[t] + c[t] - d[t], a[t] - b[t] - c[t] + d[t]
                        for q in range(4):
                            if four[q] <= threshold[t]:
                                continue
                            value = np.float32(2.0) * four[q] + offset[t] - top
                            weight = share * math.exp(factor * value)
                            if not drawing:
                                sums[t] += weight
                                total += weight
                                continue
                            reached += weight
                            if reached <= following or taken == draws:
                                continue
                            place += 1
                            reference[n, place] = t
                            angle = (turn // 2 if q > 1 else 0) + (j if q % 2 == 0 else -j)
                            code[n, place] = s * turn + angle % turn
                            while following < reached and taken < draws:
                                count[n, place] += 1
                                taken += 1
                                following += step
        for t in range(width):
            evidence[n, t] = factor * top + math.log(max(sums[t], 1e-300))


@cpu_kernel()
def merge_draws(
    reference: Array, psi: Array, moves: Array, count: Array, least_cosine: float, reach: float, leader: Array,
    share: Array,
) -> None:  # fmt: skip
    """Gather poses drawn for each image into groups around those drawn most often, the largest group first.

    Parameters
    ----------
    reference, count : int arrays, shape (images, draws)
        Of :func:`sample_images`.
    psi : float64 array, shape (images, draws)
    moves : float64 array, shape (images, draws, 2)
    least_cosine : float
        Poses of one group differ in angle by no more than this cosine says.
    reach : float
        And in displacement by no more than this.
    leader : int64 array, shape (images, groups)
        Draw that stands for each group; -1 past the last.
    share : float64 array, shape (images, groups)
        Draws in each group.
    """
    draws, groups = reference.shape[1], leader.shape[1]
    for n in range(reference.shape[0]):
        order = np.argsort(-count[n], kind="mergesort")
        leader[n, :] = -1
        share[n, :] = 0.0
        made = 0
        for place in range(draws):
            i = order[place]
            if count[n, i] == 0:
                break
            joined = False
            for g in range(made):
                k = leader[n, g]
                dx, dy = moves[n, i, 0] - moves[n, k, 0], moves[n, i, 1] - moves[n, k, 1]
                near = reference[n, i] == reference[n, k] and dx * dx + dy * dy <= reach * reach
                if near and math.cos(psi[n, i] - psi[n, k]) >= least_cosine:
                    share[n, g] += count[n, i]
                    joined = True
                    break
            if not joined and made < groups:
                leader[n, made] = i
                share[n, made] = count[n, i]
                made += 1


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
    fold_posterior(
        one, one, one, one, one[0, 0], one[0, 0, 0], 1.0, np.zeros((1, 2, 1), np.float32),
        np.zeros((1, 2, 1), np.float32),
    )  # fmt: skip
    fold_images(
        one[0], one[0], one[0], one[0], one[0, 0], one[0, 0, 0], True, np.zeros((1, 1), np.float32),
        np.zeros((1, 1), np.int32),
    )  # fmt: skip
    drawn, first = np.zeros((1, 1), np.int32), np.zeros((1, 1), np.int64)
    sample_images(
        one[0], one[0], one[0], one[0], one[0, 0], one[0, 0, 0], one[0, 0, 0], np.zeros((1, 1), np.float32), 1.0, 1.0,
        np.zeros(1), np.zeros((1, 1)), drawn, drawn, drawn,
    )  # fmt: skip
    merge_draws(first, np.zeros((1, 1)), np.zeros((1, 1, 2)), first, 0.0, 0.0, first.copy(), np.zeros((1, 1)))
    orders, products = np.zeros(1, np.int64), np.zeros((2, 1))
    order_products(one[0], one[0], True, orders, products)
    score_at(products, orders, 0.0)

"""Decimal text to float64 and back, exactly, at millions of numbers a second."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.kernels.compile import cpu_kernel

Bytes = NDArray[np.uint8]

POWER_LIMIT = 250
"""Numbers between 10**-250 and 10**250 are converted here; others are left to Python."""

NUMBER_WIDTH = 32
"""No number is written with more characters than this."""


def _powers_of_ten() -> NDArray[np.float64]:
    """Return 10**k for |k| <= POWER_LIMIT + 20 as sums of two float64, shape (n, 2)."""
    table = np.empty((2 * POWER_LIMIT + 41, 2))
    for row, k in enumerate(range(-POWER_LIMIT - 20, POWER_LIMIT + 21)):
        exact = Fraction(10) ** k
        table[row] = float(exact), float(exact - Fraction(float(exact)))
    return table


POWERS = _powers_of_ten()
EXACT_POWERS = np.array([10.0**k for k in range(23)])
INTEGER_POWERS = np.array([10**k for k in range(19)], dtype=np.int64)


@cpu_kernel(inline=True)
def scale_by_power(high: float, low: float, power: Any, powers: NDArray[np.float64]) -> tuple[float, float]:
    """Return (high + low) * 10**power as a sum of two float64 (relative error about 2**-102)."""
    row = power + 270
    factor, correction = powers[row, 0], powers[row, 1]
    product = high * factor
    # Veltkamp's splitting and Dekker's product: the rounding error of high * factor, exactly.
    t = 134217729.0 * high
    h1 = t - (t - high)
    h2 = high - h1
    t = 134217729.0 * factor
    f1 = t - (t - factor)
    f2 = factor - f1
    error = ((h1 * f1 - product) + h1 * f2 + h2 * f1) + h2 * f2
    error += high * correction + low * factor
    total = product + error
    return total, error - (total - product)


@cpu_kernel()
def parse_number(buffer: Bytes, start: Any, end: Any, powers: Any, exact: Any) -> Any:
    """Read one number from ``buffer[start:end]``, or up to the first blank.

    Returns
    -------
    value, kind, after
        Kind 0: an integer of at most 15 digits; 1: a real number; 2: ask Python; 3: no number. The place after it is
        given for kinds 0 and 1.
    """
    i = start
    negative = False
    if i < end and (buffer[i] == 45 or buffer[i] == 43):
        negative = buffer[i] == 45
        i += 1
    mantissa = np.int64(0)
    digits = 0
    seen = 0
    exponent: Any = 0
    is_real = False
    while i < end:
        digit = np.int64(buffer[i]) - 48
        if 0 <= digit <= 9:
            if digits == 18:
                return 0.0, 2, i
            seen += 1
            mantissa = mantissa * 10 + digit
            if mantissa:
                digits += 1
            if is_real:
                exponent -= 1
        elif digit == -2 and not is_real:
            is_real = True
        else:
            break
        i += 1
    if seen == 0:
        may_be_nan_or_infinity = i < end and (buffer[i] | 32 == 110 or buffer[i] | 32 == 105)
        return 0.0, 2 if may_be_nan_or_infinity else 3, i
    if i < end and buffer[i] > 32:
        if buffer[i] != 101 and buffer[i] != 69:
            return 0.0, 3, i
        is_real = True
        i += 1
        minus = False
        if i < end and (buffer[i] == 45 or buffer[i] == 43):
            minus = buffer[i] == 45
            i += 1
        first = i
        written: Any = 0
        while i < end and buffer[i] > 32:
            digit = np.int64(buffer[i]) - 48
            if digit < 0 or digit > 9:
                return 0.0, 3, i
            if i - first == 4:
                return 0.0, 2, i
            written = written * 10 + digit
            i += 1
        if i == first:
            return 0.0, 2, i
        exponent += -written if minus else written
    if mantissa == 0:
        value = 0.0
    elif mantissa < 9007199254740992 and -22 <= exponent <= 22:
        value = mantissa / exact[-exponent] if exponent < 0 else mantissa * exact[exponent]
    elif -250 <= exponent <= 230:
        high = np.float64(mantissa)
        low = np.float64(mantissa - np.int64(high))
        value, rest = scale_by_power(high, low, exponent, powers)
        # value is the nearest float64 unless the rest lies too close to half the distance to the next one.
        if value + rest * 1.000000001 != value:
            return 0.0, 2, i
    else:
        return 0.0, 2, i
    if not is_real and digits > 15:
        return 0.0, 2, i
    return (-value if negative else value), (1 if is_real else 0), i


@cpu_kernel(inline=True)
def put_integer(out: Bytes, position: int, value: Any, width: Any) -> Any:
    """Write a non-negative integer with at least ``width`` digits; return the position after it."""
    length = 1
    rest = value
    while rest >= 10:
        rest //= 10
        length += 1
    length = max(length, width)
    rest = value
    for k in range(length):
        out[position + length - 1 - k] = 48 + rest % 10
        rest //= 10
    return position + length


@cpu_kernel()
def put_number(out: Bytes, position: int, value: float, powers: Any, exact: Any) -> Any:
    """Write ``value`` so that reading it gives the same float64; return the position after it, or -1 (ask Python).

    As few decimals as possible are tried first, then 17 significant digits.
    """
    if not np.isfinite(value):
        return -1
    if value < 0 or (value == 0 and 1 / value < 0):
        out[position] = 45
        position += 1
        value = -value
    if value < 9e15:
        for decimals in range(16):
            scaled = np.rint(value * exact[decimals])
            if scaled >= 9e15:
                break
            if scaled / exact[decimals] == value:
                whole = np.int64(scaled)
                unit = np.int64(exact[decimals])
                position = put_integer(out, position, whole // unit, 1)
                out[position] = 46
                return put_integer(out, position + 1, whole % unit, max(decimals, 1))
    power = np.int64(np.floor(np.log10(value)))
    if power < -230 or power > 250:
        return -1
    high, low = scale_by_power(value, 0.0, 16 - power, powers)
    if high + low < 1e16:
        power -= 1
        high, low = scale_by_power(value, 0.0, 16 - power, powers)
    elif high >= 1e17:
        power += 1
        high, low = scale_by_power(value, 0.0, 16 - power, powers)
    whole = np.int64(high) + np.int64(np.rint(low))
    if whole >= 100000000000000000:
        return -1
    if -1 <= power < 16:
        if power >= 0:
            unit = np.int64(1)
            for _ in range(16 - power):
                unit *= 10
            position = put_integer(out, position, whole // unit, 1)
            out[position] = 46
            return put_integer(out, position + 1, whole % unit, 16 - power)
        out[position] = 48
        out[position + 1] = 46
        return put_integer(out, position + 2, whole, 17)
    position = put_integer(out, position, whole // 10000000000000000, 1)
    out[position] = 46
    position = put_integer(out, position + 1, whole % 10000000000000000, 16)
    out[position] = 101
    out[position + 1] = 45 if power < 0 else 43
    return put_integer(out, position + 2, abs(power), 2)


@cpu_kernel()
def parse_column(
    buffer: Bytes, starts: Any, ends: Any, powers: Any, exact: Any, values: NDArray[np.float64], kinds: Bytes
) -> None:
    """Read the numbers at ``starts`` to ``ends`` into ``values`` and ``kinds`` (see :func:`parse_number`)."""
    for row in range(starts.shape[0]):
        value, kind, _ = parse_number(buffer, starts[row], ends[row], powers, exact)
        values[row] = value
        kinds[row] = kind


def warm() -> None:
    """Compile the kernels of this module."""
    text = np.frombuffer(b"1.5 -0.12345678901234567", dtype=np.uint8).copy()
    starts, ends = np.array([0, 4]), np.array([3, 24])
    parse_column(text, starts, ends, POWERS, EXACT_POWERS, np.empty(2), np.empty(2, np.uint8))
    put_number(np.empty(NUMBER_WIDTH, np.uint8), 0, 0.1, POWERS, EXACT_POWERS)

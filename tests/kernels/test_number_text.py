"""Numbers in text against Python's own conversion, which is exact."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from verglas.kernels.number_text import EXACT_POWERS, NUMBER_WIDTH, POWERS, parse_number, put_number


def written(value: float) -> str | None:
    out = np.zeros(2 * NUMBER_WIDTH, np.uint8)
    length = put_number(out, 0, value, POWERS, EXACT_POWERS)
    assert length <= NUMBER_WIDTH
    return None if length < 0 else out[:length].tobytes().decode()


def parsed(text: str) -> tuple[float, int]:
    raw = np.frombuffer(text.encode(), np.uint8)
    value, kind, after = parse_number(raw, 0, len(raw), POWERS, EXACT_POWERS)
    assert kind >= 2 or after == len(raw.tobytes().split()[0])
    return float(value), int(kind)


@given(st.floats(allow_nan=False, allow_infinity=False))
@settings(max_examples=700, deadline=None)
def test_what_is_written_reads_back_to_the_same_bits(value: float) -> None:
    text = written(value)
    if text is None:
        assert abs(value) < 1e-229 or abs(value) > 1e249
        return
    assert np.float64(float(text)).view(np.int64) == np.float64(value).view(np.int64)


@given(st.from_regex(r"\A[+-]?([0-9]{1,20}\.?[0-9]{0,20}|\.[0-9]{1,20})([eE][+-]?[0-9]{1,3})?\Z"))
@settings(max_examples=700, deadline=None)
def test_what_is_read_is_what_python_reads(text: str) -> None:
    value, kind = parsed(text)
    assert kind != 3
    if kind < 2:
        assert np.float64(float(text)).view(np.int64) == np.float64(value).view(np.int64)
        assert (kind == 0) == text.lstrip("+-").isdigit()


@given(st.text(alphabet="0123456789.eE+-xnaif_", max_size=9))
@settings(max_examples=700, deadline=None)
def test_what_is_no_number_is_never_taken_for_one(text: str) -> None:
    value, kind = parsed(text)
    if kind < 2:
        assert float(text) == value


def test_short_decimals_are_written_short() -> None:
    cases = {0.1: "0.1", -34.41: "-34.41", 100.0: "100.0", 0.0: "0.0", 12.8305: "12.8305", 1e-5: "0.00001"}
    assert {value: written(value) for value in cases} == cases
    assert written(-0.0) == "-0.0"


def test_hard_cases_of_rounding() -> None:
    for text in (
        "9007199254740993",
        "2.2250738585072014e-300",
        "1.00000000000000011102230246251565",
        "123456789012345678",
    ):
        value, kind = parsed(text)
        assert kind == 2 or value == float(text)
    for value in (np.nextafter(1.0, 2.0), 5e-324, 1.7976931348623157e308, np.pi * 1e200, 2.0**-1074, 9.5e15, 1e22):
        text = written(float(value))
        assert text is None or float(text) == value

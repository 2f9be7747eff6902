"""Modulation transfer functions: star and text give the same, and what is none is refused."""

from __future__ import annotations

import numpy as np
import pytest

from verglas.errors import FormatError
from verglas.formats import read_mtf


def test_star_and_text_are_read_alike(tmp_path):
    rows = "0.0 1.0\n0.25 0.8\n0.5 0.4\n"
    (tmp_path / "mtf.txt").write_text(rows)
    (tmp_path / "mtf.star").write_text(
        f"\ndata_\n\nloop_\n_rlnResolutionInversePixel #1\n_rlnMtfValue #2\n{rows}\n"
    )  # fmt: skip
    for name in ("mtf.txt", "mtf.star"):
        frequency, values = read_mtf(tmp_path / name)
        assert np.array_equal(frequency, [0.0, 0.25, 0.5])
        assert np.array_equal(values, [1.0, 0.8, 0.4])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.txt", "0.0 1.0\n0.0 0.5\n"),
        ("b.txt", "0.0 1.0\n0.5 -0.1\n"),
        ("c.txt", "words and words\n"),
        ("d.txt", "0.0 1.0 2.0\n0.5 1.0 2.0\n"),
        ("e.star", "\ndata_\n\nloop_\n_rlnImageName #1\nx\n"),
    ],
)
def test_what_is_none_is_refused(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(FormatError):
        read_mtf(tmp_path / name)
    with pytest.raises(FormatError, match="not there"):
        read_mtf(tmp_path / "nothing.star")

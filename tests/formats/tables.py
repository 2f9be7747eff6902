"""Tables that the tests of this folder share."""

from __future__ import annotations

import numpy as np

from verglas.formats import COLUMNS, ParticleTable

# The first lines of a parameter file as cisTEM's authors print them.
PAR_LINES = """\
C           PSI   THETA     PHI       SHX       SHY     MAG  FILM      DF1      DF2  ANGAST  PSHIFT     OCC      LogP      SIGMA   SCORE  CHANGE
      1  193.24  110.62  136.55     -8.22     -2.80       0    -1   4999.6   4890.8  -34.41    0.60  100.00      -210    12.8305   39.40    0.00
      2  147.89   94.08  128.93      2.33     -1.88       0    -1   4999.6   4890.8  -34.41    0.60  100.00      -177    16.8191   33.91    0.00
      3  261.75  224.60  316.39     -2.89      5.92       0    -1   4999.6   4890.8  -34.41    0.60  100.00      -251    14.0160   37.30    0.00
      4  180.99   74.08  179.94      8.70     -2.83       0    -1   4999.6   4890.8  -34.41    0.60  100.00      -373    24.3739   29.53    0.00
      5  196.89   33.78   43.99     -4.74      7.15       0    -1   4999.6   4890.8  -34.41    0.60  100.00      -259    13.1877   39.52    0.00
      6  240.10  306.33  194.91     -4.37      7.50       0    -1   4999.6   4890.8  -34.41    0.60  100.00      -119    11.1007   52.38    0.00
      7   70.12   35.30  -14.79      0.02     10.70       0    -1   4999.6   4890.8  -34.41    0.60  100.00      -403    14.9790   20.93    0.00
      8   45.42  124.52  290.82     -1.55      2.82       0    -1   4999.6   4890.8  -34.41    0.60  100.00      -152    16.1655   42.96    0.00
      9   91.11   93.68    1.03     11.12     -0.53       0    -1   4999.6   4890.8  -34.41    0.60  100.00      -345    30.6854   23.24    0.00
     10  344.02    0.07   16.02    -21.78      3.83       0    -1   4999.6   4890.8  -34.41    0.60  100.00      -342    17.9498   29.62    0.00
"""  # noqa: E501


def full_table(count: int, seed: int = 1) -> ParticleTable:
    """Return a table with something in every column, angles beyond 360 degrees and two optics groups."""
    rng = np.random.Generator(np.random.Philox(seed))
    table = ParticleTable.empty(count)
    for name, column in COLUMNS.items():
        if column.dtype == "f8":
            table[name] = np.round(rng.uniform(-500, 500, count), 4)
    for name in ("pixel_size_A", "voltage_kV", "spherical_aberration_mm", "amplitude_contrast"):
        table[name] = np.round(rng.uniform(1, 3, 2), 3)[np.arange(count) % 2]
    table["position"] = np.arange(1, count + 1)
    table["image_section"] = table["position"]
    table["optics_group"] = np.arange(count) % 2 + 1
    table["half_set"] = rng.integers(1, 3, count)
    table["class_number"] = rng.integers(1, 5, count)
    table["particle_group"] = rng.integers(0, 9, count)
    table["active"] = rng.integers(-1, 2, count)
    table.set_names("image_name", ["stack a.mrcs" if k % 3 else "b.mrcs" for k in range(count)])
    table.set_names("micrograph", [f"m{k // 4}.mrc" for k in range(count)])
    table.set_names("reference_name", ["map.mrc" if k % 2 else "" for k in range(count)])
    return table


def differing(a: ParticleTable, b: ParticleTable, *, rtol: float = 0.0) -> list[str]:
    """Return the columns of ``a`` that ``b`` does not hold with equal values."""
    assert len(a) == len(b)
    return [name for name in a.columns if name not in b or not same(a, b, name, rtol)]


def same(a: ParticleTable, b: ParticleTable, name: str, rtol: float) -> bool:
    if a.is_text(name):
        return a.names_of(name) == b.names_of(name)
    return bool(np.allclose(a[name], b[name], rtol=rtol, atol=0, equal_nan=True))

"""What the fit of a tilt must show: axis and angle of simulated tilted micrographs, and the defocus of particles."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from tests.stages.ctf_estimation.rings import ringed_noise, tilted_noise
from tools.measured import record

from verglas.stages.ctf_estimation import estimate_ctf
from verglas.stages.ctf_estimation.results import result_values
from verglas.stages.extraction import MicrographFacts, local_defocus

SEED = 20261129
SIZE, PIXEL_A, BOX, LARGEST_DEG = 1536, 1.4, 256, 60.0
ANGLES_DEG = (0.0, 0.0, 0.0, 0.0, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0, 40.0, 45.0, 50.0, 55.0)


def measure(number: int) -> dict[str, Any]:
    """Make and fit one micrograph."""
    random = np.random.Generator(np.random.Philox(key=SEED, counter=[0, 0, 0, number]))
    mean, axis, angle = random.uniform(12000, 30000), random.uniform(-180, 180), ANGLES_DEG[number]
    astigmatism, direction = random.uniform(0, 500), random.uniform(-90, 90)
    if angle:
        image = tilted_noise(
            mean, axis, angle, n=SIZE, pixel=PIXEL_A, astigmatism_A=astigmatism, astigmatism_deg=direction, snr=0.4,
            b_A2=80, seed=number,
        )  # fmt: skip
    else:
        u, v = mean + astigmatism / 2, mean - astigmatism / 2
        image = ringed_noise(u, v, direction, n=SIZE, pixel=PIXEL_A, snr=0.4, b_A2=80, seed=number)
    found = estimate_ctf(image, PIXEL_A, box=BOX, largest_tilt_deg=LARGEST_DEG)
    assert found.tilt is not None
    values = result_values(found)
    facts = MicrographFacts(
        1, "m", PIXEL_A, image.shape, 300.0, 2.7, 0.07, found.defocus_u_A, found.defocus_v_A, found.defocus_angle_deg,
        0.0, float(values["tilt_axis_deg"] or 0.0), float(values["tilt_angle_deg"] or 0.0),  # type: ignore[arg-type]
    )  # fmt: skip
    x, y = random.uniform(0, SIZE, (2, 200))
    turned = np.deg2rad(axis)
    across = (-(x - SIZE // 2) * np.sin(turned) + (y - SIZE // 2) * np.cos(turned)) * PIXEL_A
    true = mean + np.tan(np.deg2rad(angle)) * across
    local = found.values.mean_A + local_defocus(facts, x, y)
    return {
        "angle_deg": angle, "axis_deg": round(axis, 1), "certain": found.tilt.is_certain,
        "gain": round(found.tilt.gain, 1), "found_angle_deg": round(found.tilt.angle_deg, 2),
        "stated_error_deg": round(found.tilt.angle_error_deg, 2), "found_axis_deg": round(found.tilt.axis_deg, 1),
        "stated_axis_error_deg": round(found.tilt.axis_error_deg, 1),
        "defocus_error_in_the_middle_A": round(found.values.mean_A - mean, 1),
        "rms_defocus_error_at_200_places_A": round(float(np.sqrt(np.mean((local - true) ** 2))), 1),
        "without_tilt_rms_A": round(float(np.std(true)), 1),
    }  # fmt: skip


def main() -> None:
    rows = [measure(number) for number in range(len(ANGLES_DEG))]
    certain = [row for row in rows if row["certain"]]
    angle_errors = [abs(row["found_angle_deg"] - row["angle_deg"]) for row in certain]
    axis_errors = [abs((row["found_axis_deg"] - row["axis_deg"] + 180) % 360 - 180) for row in certain]
    figures = {
        "micrographs": f"{SIZE} x {SIZE} pixels of {PIXEL_A} A, noise with rings (signal to noise 0.4, B 80 A^2) whose "
        "defocus is a plane, astigmatism to 500 A; the first four are flat",
        "box": BOX,
        "flat_ones_said_to_be_tilted": sum(row["certain"] for row in rows if not row["angle_deg"]),
        "tilted_ones_found": f"{sum(row['certain'] for row in rows if row['angle_deg'])} of {len(rows) - 4}",
        "median_error_of_angle_deg": round(float(np.median(angle_errors)), 2),
        "largest_error_of_angle_deg": round(float(np.max(angle_errors)), 2),
        "median_error_of_axis_deg": round(float(np.median(axis_errors)), 1),
        "largest_error_of_axis_deg": round(float(np.max(axis_errors)), 1),
        "rows": rows,
    }
    sys.stdout.write(f"written to {record('ctf_tilt', figures)}\n")


if __name__ == "__main__":
    main()

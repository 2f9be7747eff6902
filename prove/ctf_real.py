"""What CTF estimation must show on real micrographs: apoferritin's beside what CTFFIND5 found in the same sums."""

from __future__ import annotations

import csv
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from tools.measured import REPOSITORY, record

from verglas.formats import read_image
from verglas.stages.ctf_estimation import CtfEstimate, SearchSettings, estimate_ctf
from verglas.stages.ctf_estimation.pictures import write_picture

REAL = Path(os.environ.get("VERGLAS_REAL_DATA", REPOSITORY.parent / "shared" / "data")) / "apoferritin"
PICTURE = REPOSITORY / "docs" / "images" / "ctf_apoferritin.png"
PIXEL_SIZE_A, CS_MM = 1.5, 0.001
WANTED_A = 150.0


def fit(micrograph: str, finest_A: float) -> CtfEstimate:
    """Fit one of the micrographs as ``find-ctf`` does by default, but for the resolution it goes to."""
    date, numbers = micrograph.split("_", 1)
    image, _ = read_image(REAL / "micrographs" / f"{date}_{numbers.replace('_', '.')}.bin_avg.png")
    return estimate_ctf(image, PIXEL_SIZE_A, spherical_aberration_mm=CS_MM, settings=SearchSettings(finest_A=finest_A))


def compare(finest_A: float) -> dict[str, Any]:
    """Compare all micrographs at one highest resolution of the fit."""
    rows = []
    with (REAL / "ctf_ctffind5.tsv").open() as stream:
        for other in csv.DictReader(stream, delimiter="\t"):
            found = fit(other["micrograph"], finest_A)
            u, v = float(other["defocusU_A"]), float(other["defocusV_A"])
            rows.append({
                "micrograph": other["micrograph"],
                "difference_of_mean_defocus_A": round(found.values.mean_A - (u + v) / 2, 1),
                "difference_of_astigmatism_A": round(2 * found.values.half_astigmatism_A - (u - v), 1),
                "fit_resolution_A": round(found.quality.fit_resolution_A, 2),
                "ctffind5_fit_resolution_A": float(other["fit_to_A"]),
            })  # fmt: skip
    differences = [abs(row["difference_of_mean_defocus_A"]) for row in rows]
    ours, theirs = ([row[f"{who}fit_resolution_A"] for row in rows] for who in ("", "ctffind5_"))
    return {
        "fitted_to_A": finest_A,
        "median_difference_of_mean_defocus_A": float(np.median(differences)),
        "largest_difference_of_mean_defocus_A": max(differences),
        "median_fit_resolution_A": float(np.median(ours)),
        "ctffind5_median_fit_resolution_A": float(np.median(theirs)),
        "as_good_or_better_within_0.1_A": sum(a <= b + 0.1 for a, b in zip(ours, theirs, strict=True)),
        "micrographs": rows,
    }


def main() -> None:
    if not REAL.is_dir():
        raise FileNotFoundError(f"{REAL} is not there: set VERGLAS_REAL_DATA to the folder of real data.")
    ranges = [compare(finest_A) for finest_A in (4.0, 5.0)]
    name = ranges[0]["micrographs"][0]["micrograph"]
    write_picture(PICTURE, fit(name, 4.0), name)
    figures = {
        "data": "12 sums of EMPIAR-10146, not motion-corrected, 1240 x 1200 pixels of 1.5 A; CTFFIND 5.0.2: box 1024, "
        "30-5 A; verglas: box 512, from 30 A",
        "wanted_median_difference_A": WANTED_A,
        "reached": all(
            one["median_difference_of_mean_defocus_A"] <= WANTED_A
            and one["median_fit_resolution_A"] <= one["ctffind5_median_fit_resolution_A"]
            for one in ranges
        ),
        "ranges": ranges,
    }  # fmt: skip
    sys.stdout.write(f"written to {record('ctf_real', figures)}\n")


if __name__ == "__main__":
    main()

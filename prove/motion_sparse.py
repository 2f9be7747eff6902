"""What the alignment of sparse movies must show: few particles in few frames, where no frame says much by itself."""

from __future__ import annotations

import sys

from tools.measured import record

from prove.motion import Case, measure_case

FRAMES, SIZE = 12, 1024
CASES = (
    Case("9 particles, 1 e/A^2 a frame", {"drift_A": 12.0}, (41, 42, 43)),
    Case("9 particles, 0.7 e/A^2 a frame", {"drift_A": 12.0, "dose_per_frame_e_A2": 0.7}, (44, 45, 46)),
    Case("2 particles, 1 e/A^2 a frame", {"drift_A": 12.0, "particles": 2}, (47, 48, 49)),
    Case("ice alone, 1 e/A^2 a frame", {"drift_A": 12.0, "particles": 0}, (50, 51, 52), must_hold=False),
)


def main() -> None:
    cases = [measure_case(case, SIZE, frames=FRAMES) for case in CASES]
    figures = {
        "movies": f"{FRAMES} frames of {SIZE} x {SIZE} pixels of 1 A, drift of 12 A, nothing of it local",
        "error": "at the particles, or in the middle where there are none; per axis, less the mean",
        "cases": cases,
    }
    sys.stdout.write(f"written to {record('motion_sparse', figures)}\n")


if __name__ == "__main__":
    main()

"""The whole demo, from simulated movies to a sharpened map: minutes, and how far each stage is from the truth.

``python -m prove.demo [REPORT]``: the demo is run, unless the ``report.json`` of a run is given.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tools.measured import record

WANTED_MINUTES, WANTED_WITHIN_PERCENT = 12.0, 10.0
KEPT = (
    "minutes", "minutes_simulating", "minutes_processing", "movies", "size_px", "frames", "picks", "shift_rms_A",
    "defocus_error_A", "precision", "recall", "classes_selected", "particles_selected", "true_part_selected",
    "startup_resolution_A", "resolution_A", "resolution_at_true_poses_A", "resolution_of_halves_A",
    "angular_error_deg", "within_5_deg", "refinement_rounds",
)  # fmt: skip


def main(report: Path | None = None) -> None:
    with tempfile.TemporaryDirectory() as name:
        if report is None:
            subprocess.run([sys.executable, "-m", "verglas", "demo", "--output", f"{name}/demo"], check=True)
            report = Path(name) / "demo" / "report.json"
        said: dict[str, Any] = json.loads(report.read_text())
    off = 100.0 * (said["resolution_A"] / said["resolution_at_true_poses_A"] - 1.0)
    figures = {
        "wanted": {"minutes": WANTED_MINUTES, "percent_off_true_poses": WANTED_WITHIN_PERCENT},
        "reached": said["minutes"] <= WANTED_MINUTES and off <= WANTED_WITHIN_PERCENT,
        "percent_off_true_poses": round(off, 1), "run_at_commit": said["commit"], **{one: said[one] for one in KEPT},
    }  # fmt: skip
    sys.stdout.write(f"written to {record('demo', figures)}\n")


if __name__ == "__main__":
    main(*(Path(word) for word in sys.argv[1:]))

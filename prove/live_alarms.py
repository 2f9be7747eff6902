"""What the alarms of live processing must show: each raised by movies with that fault, none by movies without."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from tools.measured import record

from verglas.actions.live_alarms import DEFAULTS
from verglas.formats import open_movie, write_mrc
from verglas.project import Project
from verglas.project.curation import Condition, figures_of_one
from verglas.stages.simulation import MovieParameters, simulate_movies

SIZE, FRAMES, PIXEL_A, DOSE = 1280, 16, 1.0, 2.5
USUAL: dict[str, Any] = {
    "width": SIZE, "height": SIZE, "frames": FRAMES, "pixel_size_A": PIXEL_A, "dose_per_frame_e_A2": DOSE,
    "particles": 40, "drift_A": 8.0, "local_motion_A": 1.0, "defocus_mean_A": 15000.0, "defocus_spread_A": 3000.0,
    "gain_variation": 0.0, "hot_pixels": 0, "dead_columns": 0,
}  # fmt: skip
FAULTS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "sound 1": ({"astigmatism_A": 300.0}, set()),
    "sound 2": ({"astigmatism_A": 500.0}, set()),
    "sound 3": ({"defocus_mean_A": 25000.0, "carbon": 1.0}, set()),
    "drift of 150 A": ({"drift_A": 150.0}, {"drift"}),
    "crystalline ice": ({}, {"ice"}),
    "astigmatism beyond 1000 A": ({"astigmatism_A": 4000.0}, {"astigmatism"}),
    "blurred (B 700 A^2)": ({"envelope_b_A2": 700.0}, {"resolution"}),
    "noise alone": ({}, {"frames without common signal", "resolution", "doubtful CTF"}),
}
FIGURES = {Condition.parse(text).name for text in DEFAULTS}
MAY_COME_TOO: dict[str, set[str]] = {
    "drift of 150 A": {"resolution", "doubtful CTF"},
    "blurred (B 700 A^2)": {"doubtful CTF"},
}
"""What follows from a fault beside the alarm that names it."""


def make(name: str, number: int, differs: dict[str, Any], folder: Path) -> float:
    """Write one movie as counts and return its true astigmatism."""
    options = USUAL | {"astigmatism_A": 200.0} | differs
    seed = 900 + number
    with tempfile.TemporaryDirectory() as made_in:
        made = simulate_movies(MovieParameters(**options, seed=seed), Path(made_in))
        movie = open_movie(made.images[0])
        frames = np.stack([movie.read_frame(i) for i in range(movie.n_frames)])
        defocus = made.truth[0].defocus
    random = np.random.Generator(np.random.Philox(seed))
    if name == "noise alone":
        frames = random.poisson(float(frames.mean()), frames.shape).astype(np.uint8)
    if name == "crystalline ice":
        frames = frames + ice_ring(random, frames.shape) * float(frames.std())
    path = folder / f"{number:02d}.mrcs"
    write_mrc(path, frames if frames.dtype != np.uint8 else frames.astype(np.int16), PIXEL_A)
    return float(abs(defocus.u_A - defocus.v_A))


def ice_ring(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Return noise of the ring of crystalline ice at 3.67 A, thirty times white noise's power there."""
    k = np.hypot(np.fft.fftfreq(shape[1], PIXEL_A)[:, None], np.fft.rfftfreq(shape[2], PIXEL_A)[None])
    ring = np.sqrt(30.0 * np.exp(-(((k - 1 / 3.67) / 0.006) ** 2)))
    made = [np.fft.irfft2(np.fft.rfft2(random.standard_normal(shape[1:])) * ring, shape[1:]) for _ in range(shape[0])]
    return np.asarray(made, np.float32)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        source, project = Path(name) / "session", Path(name) / "project"
        source.mkdir()
        truth = [make(fault, number, differs, source) for number, (fault, (differs, _)) in enumerate(FAULTS.items())]
        verglas = [sys.executable, "-m", "verglas"]
        subprocess.run([*verglas, "new", str(project)], check=True, capture_output=True)
        command = [
            *verglas, "watch", str(source), "--project", str(project), "--pixel-size", str(PIXEL_A), "--voltage", "300",
            "--cs", "2.7", "--dose-per-frame", str(DOSE), "--settle", "0.5", "--until-idle", "--last-step", "find-ctf",
            "--workers", "1", "--threads", "1", "--every", "0.5",
        ]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True)
        rows = []
        with Project.open(project) as opened:
            images = {image["name"].split("_")[0]: image for image in opened.assets("image")}
            notes = opened.notes()
            for number, (fault, (_, wanted)) in enumerate(FAULTS.items()):
                image = images[f"{number:02d}"]
                texts = [n["text"].removeprefix("alarm: ") for n in notes if n["about_id"] == image["id"]]
                raised = {text.split(":")[0] for text in texts}
                beyond = raised - wanted - MAY_COME_TOO.get(fault, set())
                rows.append({
                    "movie": fault, "true_astigmatism_A": round(truth[number], 1),
                    "figures": {
                        name: None if value is None else round(value, 3)
                        for name, value in figures_of_one(opened, image).items() if name in FIGURES
                    },
                    "alarms": sorted(texts),
                    "missing": sorted(wanted - raised), "false": sorted(beyond),
                    "right": wanted <= raised and not beyond,
                })  # fmt: skip
    figures = {
        "movies": f"{SIZE} x {SIZE} pixels of {PIXEL_A} A, {FRAMES} frames of {DOSE} e/A^2, through `verglas watch "
        "--until-idle` with its default alarms",
        "all_right": all(row["right"] for row in rows),
        "rows": rows,
    }
    sys.stdout.write(f"written to {record('live_alarms', figures)}\n")


if __name__ == "__main__":
    main()

"""The demo's chapter about the CTF: fitted defocus beside the defocus that the movies were simulated with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from verglas.cli.demo_report import Section
    from verglas.stages.simulation import MoviesResult


def ctf_section(movies: MoviesResult, run: Any, project: Any) -> tuple[Section, dict[str, Any]]:
    """Compare the found defocus with the true one; return a chapter of the report and its figures."""
    import numpy as np

    from verglas.cli.demo_report import Section, png

    truth = {Path(movie.name).stem: movie.defocus for movie in movies.truth}
    images = sorted((one for one in project.assets("image") if one["ctf_estimation"]), key=lambda one: one["id"])
    true = [truth[project.asset("movie", image["parent_movie"])["name"]] for image in images]
    found_u, found_v = (np.array([image[f"defocus_{axis}_A"] for image in images]) for axis in "uv")
    true_u, true_v = (np.array([getattr(one, f"{axis}_A") for one in true]) for axis in "uv")
    mean_error = (found_u + found_v - true_u - true_v) / 2
    astigmatism_error = (found_u - found_v) - (true_u - true_v)
    reached = np.array([image["ctf_fit_resolution_A"] or np.inf for image in images])

    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(6, 3.6))
    axis.axhline(0, color="0.7", lw=1)
    axis.plot((true_u + true_v) / 2, mean_error, "o")
    axis.set_xlabel("true mean defocus (A)")
    axis.set_ylabel("found - true (A)")
    pictures = [(png(figure), "Error of the mean defocus of each micrograph.")]
    shown = [one["files"]["picture"] for one in project.results("image") if one["kind"] == "ctf_estimation"]
    if shown:
        pictures.insert(0, ((project.folder / shown[0]).read_bytes(), "The first micrograph: spectrum and fit."))
    error_A = float(np.median(np.abs(mean_error)))
    section = Section(
        "Find CTF",
        "Defocus and astigmatism were fitted to the Thon rings of each aligned sum.",
        [
            ("micrographs", str(len(images))),
            ("median error of the mean defocus", f"{error_A:.0f} A"),
            ("largest", f"{float(np.abs(mean_error).max()):.0f} A"),
            ("median error of the astigmatism", f"{float(np.median(np.abs(astigmatism_error))):.0f} A"),
            ("rings followed to (median)", f"{float(np.median(reached)):.1f} A"),
        ],
        pictures,
    )
    return section, {
        "defocus_error_A": round(error_A, 1),
        "defocus_error_largest_A": round(float(np.abs(mean_error).max()), 1),
        "ctf_fitted": len(images),
        "ctf_failed": len(run.failures),
    }

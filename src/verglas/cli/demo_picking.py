"""The demo's chapter about picking: picks beside the places where the simulator put particles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from verglas.cli.demo_report import Section
    from verglas.stages.simulation import MovieParameters, MoviesResult

TOLERANCE_A = 20.0


def picking_options(parameters: MovieParameters) -> dict[str, Any]:
    """Return what one who knows the particle would ask for: its size, and that ferritin is hollow."""
    from verglas.stages.simulation import read_atoms

    radius_A = round(read_atoms(parameters).radius_A)
    options = {"radius_A": 0.9 * radius_A, "max_radius_A": radius_A, "highest_resolution_A": 20.0}
    if parameters.model == "apoferritin":
        options |= {"picker": "ring", "radius_A": 62.0, "inner_radius_A": 36.0}
    return options


def matched(picks_A: NDArray[np.float64], places_A: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance of each place's own pick, for the places that have one within the tolerance."""
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    if not len(picks_A) or not len(places_A):
        return np.zeros(0)
    distance = np.hypot(*(picks_A[:, None] - places_A[None]).transpose(2, 0, 1))
    rows, columns = linear_sum_assignment(np.minimum(distance, 2 * TOLERANCE_A))
    found: NDArray[np.float64] = distance[rows, columns]
    return found[found <= TOLERANCE_A]


def picking_section(
    movies: MoviesResult, parameters: MovieParameters, edge_A: float, run: Any, project: Any
) -> tuple[Section, dict[str, Any]]:
    """Compare the picks with the true places; return a chapter of the report and its figures."""
    import numpy as np

    from verglas.cli.demo_report import Section
    from verglas.formats.npy import read_npy

    table = movies.particles
    of_movie = np.array([Path(name).stem for name in table.names_of("micrograph")])
    truth_A = np.stack([table["coordinate_x_px"], table["coordinate_y_px"]], 1) * parameters.pixel_size_A
    size_A = np.array([parameters.width, parameters.height]) * parameters.pixel_size_A
    count = places = 0
    errors: list[NDArray[np.float64]] = []
    for positions in project.assets("positions"):
        image = project.asset("image", positions["image"])
        name = project.asset("movie", image["parent_movie"])["name"]
        picks = read_npy(project.folder / positions["path"])
        picks_A = np.stack([picks["x_A"], picks["y_A"]], 1).astype(np.float64)
        true_A = truth_A[of_movie == name]
        inside = np.all((true_A >= edge_A) & (true_A <= size_A - edge_A), axis=1)
        hits = matched(picks_A, true_A)
        errors.append(hits)
        count += len(picks_A)
        places += int(inside.sum()) + len(hits) - len(matched(picks_A, true_A[inside]))
    distances = np.concatenate(errors) if errors else np.zeros(0)
    precision, recall = len(distances) / max(count, 1), len(distances) / max(places, 1)
    shown = [one["files"].get("diagnostic") for one in project.results("image") if one["kind"] == "particle_positions"]
    pictures = []
    if shown and shown[0]:
        pictures = [((project.folder / shown[0]).read_bytes(), "The first micrograph with its picks.")]
    section = Section(
        "Find Particles",
        "Particles were picked by a matched filter. A pick is right where a particle of its own lies within "
        f"{TOLERANCE_A:.0f} A; particles nearer to the edge than picks may lie are not counted as missed.",
        [
            ("picks", str(count)),
            ("precision", f"{precision:.3f}"),
            ("recall", f"{recall:.3f}"),
            ("median distance to the particle", f"{float(np.median(distances)) if len(distances) else 0:.1f} A"),
        ],
        pictures,
    )
    return section, {
        "precision": round(precision, 4),
        "recall": round(recall, 4),
        "picks": count,
        "pick_distance_A": round(float(np.median(distances)), 2) if len(distances) else None,
        "picking_failed": len(run.failures),
    }


def package_section(run: Any, project: Any) -> tuple[Section, dict[str, Any]]:
    """Show the stack that was cut; return a chapter of the report and its figures."""
    from verglas.cli.demo_report import Section

    package = project.assets("package")[-1]
    (result,) = project.results("package", package["id"])
    section = Section(
        "Create Package",
        "The picks were cut from the aligned sums into a stack, from which refinement will start.",
        [
            ("particles", str(package["count"])),
            ("box", f"{package['box_px']} pixels of {package['pixel_size_A']:.3g} A"),
        ],
        [((project.folder / result["files"]["picture"]).read_bytes(), "Particles from all over the stack.")],
    )
    return section, {
        "particles_in_stack": package["count"],
        "box_px": package["box_px"],
        "micrographs_not_cut": len(run.failures),
    }

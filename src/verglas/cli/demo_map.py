"""The demo's chapter about maps: what the stack gives at the poses that the simulator drew, beside the true density."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from verglas.cli.demo_report import Section
    from verglas.formats import ParticleTable
    from verglas.stages.simulation import MovieParameters, MoviesResult

TOLERANCE_A = 20.0
EDGE_A = 12.0
THRESHOLD = 0.5


@dataclass(frozen=True)
class Truth:
    """The true density on a package's grid, and the sphere within which maps are compared with it.

    Attributes
    ----------
    map, mask
        Shape (box, box, box).
    pixel_size_A
        Of the package.
    symmetry
        Of the molecule, in its standard setting.
    """

    map: NDArray[np.float32]
    mask: NDArray[np.float32]
    pixel_size_A: float
    symmetry: str


def true_map(parameters: MovieParameters, package: dict[str, Any], symmetry: str) -> Truth:
    """Return the density that the simulator projected, on the grid of a package."""
    from verglas.signal import sphere_mask
    from verglas.stages.simulation import make_density, read_atoms

    atoms, box, pixel_size_A = read_atoms(parameters), package["box_px"], package["pixel_size_A"]
    density = make_density(atoms, box, pixel_size_A, solvent_density=parameters.solvent_density)
    mask = sphere_mask((box,) * 3, atoms.radius_A, pixel_size_A, edge_A=EDGE_A)
    return Truth(density, mask, pixel_size_A, symmetry)


def sum_offsets_A(movies: MoviesResult, project: Any) -> dict[str, NDArray[np.float64]]:
    """Return how far each aligned sum lies from the simulator's reference frame, (x, y) in A, by the movie's stem.

    Alignment is free to move a whole micrograph; the true coordinates hold in the reference frame.
    """
    import numpy as np

    from verglas.cli.demo import true_shifts_A

    by_name = {Path(truth.name).stem: truth for truth in movies.truth}
    offsets = {}
    for record in project.results("movie"):
        name = project.asset("movie", record["of"]["id"])["name"]
        found = np.column_stack([record["values"]["shifts_x_A"], record["values"]["shifts_y_A"]])
        offsets[name] = (found - true_shifts_A(by_name[name])).mean(axis=0)
    return offsets


def at_true_poses(
    table: ParticleTable, stems: list[str], movies: MoviesResult, pixel_size_A: float,
    offsets_A: dict[str, NDArray[np.float64]],
) -> tuple[ParticleTable, NDArray[np.bool_]]:  # fmt: skip
    """Return a package's particles with the poses and displacements that the simulator drew, where a pick has a truth.

    Parameters
    ----------
    table
        The package's particles; what they know of the CTF stays.
    stems
        Stem of the movie that each comes from.
    movies
        The simulated movies.
    pixel_size_A
        Of the micrographs.
    offsets_A
        From :func:`sum_offsets_A`.

    Returns
    -------
    table : ParticleTable
        Particles without a truth within 20 A are not active.
    known : ndarray of bool
        Which have one.
    """
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    truth, found = movies.particles, table.copy()
    of_movie = np.array([Path(name).stem for name in truth.names_of("micrograph")])
    own_stem = np.array(stems)
    places_A = np.stack([truth["coordinate_x_px"], truth["coordinate_y_px"]], 1).astype(np.float64) * pixel_size_A
    centres_A = np.stack([table["coordinate_x_px"], table["coordinate_y_px"]], 1).astype(np.float64) * pixel_size_A
    known = np.zeros(len(table), bool)
    for stem in np.unique(own_stem):
        own, true = np.flatnonzero(own_stem == stem), np.flatnonzero(of_movie == stem)
        away = places_A[true][None] + offsets_A[stem] - centres_A[own][:, None]
        distance = np.hypot(away[..., 0], away[..., 1])
        rows, columns = linear_sum_assignment(np.minimum(distance, 2 * TOLERANCE_A))
        close = distance[rows, columns] <= TOLERANCE_A
        rows, columns = rows[close], columns[close]
        known[own[rows]] = True
        for name in ("rot_deg", "tilt_deg", "psi_deg"):
            found[name][own[rows]] = truth[name][true[columns]]
        # The origin is the shift to apply: minus the displacement of the particle from the middle of its box.
        for name, axis in (("origin_x_A", 0), ("origin_y_A", 1)):
            found[name][own[rows]] = -away[rows, columns, axis]
    found["active"] = np.where(known, found["active"], 0)
    return found, known


def resolution_to_truth_A(volume: NDArray[np.float32], truth: Truth) -> tuple[float, NDArray[np.float64]]:
    """Return where the FSC of a map with the true density, in one frame, falls below 0.5, and the curve itself."""
    from verglas.signal import fourier_shell_correlation, resolution_at

    correlation = fourier_shell_correlation(volume, truth.map, truth.pixel_size_A, mask=truth.mask)
    found = resolution_at(correlation.frequency_per_A, correlation.fsc, THRESHOLD)
    return float(found.resolution_A), correlation.fsc


def true_poses_section(
    movies: MoviesResult, parameters: MovieParameters, symmetry: str, project: Any, threads: int
) -> tuple[Section, dict[str, Any]]:
    """Reconstruct and sharpen the stack at true poses; return a chapter of the report and its figures."""
    import numpy as np

    from verglas.cli.demo_report import Section
    from verglas.engine.half_maps import particle_mask
    from verglas.engine.reconstruct_particles import reconstruct_particles
    from verglas.formats import ParticleTable
    from verglas.stages.sharpening import sharpen_halves, write_sharpened

    package = project.assets("package")[-1]
    table = ParticleTable.load(project.folder / package["particles_path"])
    truth = true_map(parameters, package, symmetry)
    stems = [movie_of(name, project) for name in table.names_of("micrograph")]
    posed, known = at_true_poses(table, stems, movies, parameters.pixel_size_A, sum_offsets_A(movies, project))
    found = reconstruct_particles(posed, project.folder, symmetry, threads=threads).finish(mask=truth.mask)
    reached_A, curve = resolution_to_truth_A(found.map, truth)
    rows = [("particles at true poses", f"{int(known.sum())} of {len(table)}")]
    pictures = []
    if found.half_maps is not None:
        first, second = found.half_maps
        mean = np.float32(0.5) * (first + second)
        mask = particle_mask(mean, truth.pixel_size_A, threads=threads)
        sharpened = sharpen_halves(first, second, mask, truth.pixel_size_A, threads=threads)
        folder = project.folder.parent / "true-poses"
        folder.mkdir(exist_ok=True)
        files = write_sharpened(sharpened, mean, folder, "true_poses", truth.pixel_size_A)
        halves_A = sharpened.curves.resolution_A if sharpened.curves is not None else None
        rows += [
            ("resolution of its halves (0.143)", "none" if halves_A is None else f"{halves_A:.2f} A"),
            ("B-factor of its Guinier plot", f"{sharpened.b_factor_A2:.0f} A^2"),
        ]
        pictures.append((files["picture"].read_bytes(), "The map at true poses, before and after sharpening."))
    rows.append(("FSC with the true density falls to 0.5 at", f"{reached_A:.2f} A"))
    section = Section(
        "At true poses",
        "What the stack gives when every particle has the pose and place that the simulator drew, and the CTF "
        "that was found: the best that any refinement of poses could reach here.",
        rows,
        pictures,
    )
    return section, {
        "resolution_at_true_poses_A": round(reached_A, 3) if np.isfinite(reached_A) else None,
        "fsc_at_true_poses": [round(float(value), 4) for value in curve],
        "particles_at_true_poses": int(known.sum()),
    }


def movie_of(micrograph: str, project: Any) -> str:
    """Return the name of the movie that a micrograph of the project, known by its name or path, was made from."""
    for image in project.assets("image"):
        if micrograph in (image["name"], image["path"], Path(image["path"]).name):
            name: str = project.asset("movie", image["parent_movie"])["name"]
            return name
    return Path(micrograph).stem

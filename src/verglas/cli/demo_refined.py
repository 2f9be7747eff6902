"""The demo's chapters about maps that nobody gave: ab-initio, Auto Refine and Sharpen 3D, beside the true density."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from verglas.cli.demo_map import at_true_poses, movie_of, resolution_to_truth_A, sum_offsets_A, true_map

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from verglas.cli.demo_map import Truth
    from verglas.cli.demo_report import Section
    from verglas.engine import MapAlignment
    from verglas.stages.simulation import MovieParameters, MoviesResult

MASS_KDA = {"apoferritin": 480.0, "beta-galactosidase": 465.0}


def find_map(project: Any, symmetry: str, threads: int, seed: int) -> None:
    """Go from the demo's last package to a sharpened map, nothing given but size, mass and symmetry."""
    from verglas.actions import project_run

    package = str(project.assets("package")[-1]["id"])
    options: dict[str, Any] = {"threads": 1, "workers": threads, "seed": seed}
    project_run(project, "ab-initio", package=package, symmetry=symmetry, **options)
    start = newest(project, "volume", "Volume From Startup")
    # Halves at the full box take memory: threads share one set of sums, workers would have one each.
    project_run(
        project, "auto-refine", package=package, reference=str(start["id"]), symmetry=symmetry, threads=threads,
        workers=1, seed=seed,
    )  # fmt: skip
    refined = newest(project, "volume", "Auto #")
    project_run(project, "sharpen-3d", volumes=str(refined["id"]), **options)


def newest(project: Any, kind: str, beginning: str) -> dict[str, Any]:
    """Return the last asset of a kind whose name begins so and that was not made from another of its kind."""
    found: dict[str, Any] = [
        one for one in project.assets(kind) if one["name"].startswith(beginning) and "Sharpened" not in one["name"]
    ][-1]
    return found


def aligned_to_truth(volume: NDArray[np.float32], truth: Truth, threads: int) -> MapAlignment:
    """Bring a map onto the true density, either hand."""
    from verglas.engine import align_maps

    return align_maps(volume, truth.map * truth.mask, truth.pixel_size_A, threads=threads)


def errors_deg(
    rotations: NDArray[np.float64], true: NDArray[np.float64], found: MapAlignment, symmetry: str
) -> NDArray[np.float64]:
    """Return the angle between poses, brought to the true map's frame, and true poses.

    Parameters
    ----------
    rotations, true
        Shape (n, 3, 3).
    found
        How the map lies in the true one.
    symmetry
        Point group, by which the nearest of equal poses counts.
    """
    import numpy as np

    from verglas.geometry import point_group

    turned = rotations @ found.rotation.T
    if found.mirrored:
        # A mirrored molecule looks from one side as the other hand does from behind.
        turned = np.diag([1.0, 1.0, -1.0]) @ -turned
    away: NDArray[np.float64] = np.rad2deg(point_group(symmetry).distance(turned, true))
    return away


def refined_sections(
    movies: MoviesResult, parameters: MovieParameters, symmetry: str, project: Any, threads: int
) -> tuple[list[Section], dict[str, Any]]:
    """Compare the maps and poses with the truth; return chapters of the report and their figures."""
    import numpy as np

    from verglas.cli.demo_report import Section
    from verglas.formats import ParticleTable
    from verglas.formats.mrc import read_mrc_volume
    from verglas.geometry import euler_to_matrix

    package = project.assets("package")[-1]
    truth = true_map(parameters, package, symmetry)
    start, refined = newest(project, "volume", "Volume From Startup"), newest(project, "volume", "Auto #")
    sharpened = [one for one in project.assets("volume") if one["name"].endswith("Sharpened")][-1]
    first, last = (read_mrc_volume(project.folder / one["path"])[0].astype(np.float32) for one in (start, refined))
    startup = aligned_to_truth(first, truth, threads)
    startup_A, _ = resolution_to_truth_A(startup.map, truth)
    found = aligned_to_truth(last, truth, threads)
    reached_A, curve = resolution_to_truth_A(found.map, truth)
    refinement = project.assets("refinement")[-1]
    table = ParticleTable.load(project.folder / refinement["details"][0]["particles_path"])
    stems = [movie_of(name, project) for name in table.names_of("micrograph")]
    posed, known = at_true_poses(table, stems, movies, parameters.pixel_size_A, sum_offsets_A(movies, project))
    own, true = (
        euler_to_matrix(*(np.deg2rad(one[name][known]) for name in ("rot_deg", "tilt_deg", "psi_deg")))
        for one in (table, posed)
    )
    away = errors_deg(own, true, found, symmetry)
    hand = "the other" if found.mirrored else "the true"
    figures = {
        "startup_resolution_A": rounded(startup_A), "resolution_A": rounded(reached_A),
        "resolution_of_halves_A": rounded(refined["resolution_A"]), "fsc": [round(float(one), 4) for one in curve],
        "fsc_frequency_step_per_A": 1.0 / (len(last) * truth.pixel_size_A),
        "angular_error_deg": round(float(np.median(away)), 3) if len(away) else None,
        "within_5_deg": round(float(np.mean(away < 5.0)), 4) if len(away) else None,
        "other_hand": bool(found.mirrored), "refinement_rounds": int(refinement["round"]),
    }  # fmt: skip
    reported = "none" if refined["resolution_A"] is None else f"{refined['resolution_A']:.2f} A"
    sections = [
        Section(
            "Ab-Initio 3D",
            "Nothing was given but the size of the particle, its mass and its symmetry. Either hand "
            "fits projections alike, so the map was compared in both.",
            [("FSC with the true density falls to 0.5 at", f"{startup_A:.2f} A")],
            [(picture_of(project, start), "The map that Auto Refine starts from.")],
        ),
        Section(
            "Auto Refine, Sharpen 3D",
            "Two independent halves were refined from that map, and what they agree on was sharpened.",
            [
                ("rounds", str(refinement["round"])),
                ("resolution of the halves (0.143)", reported),
                ("FSC with the true density falls to 0.5 at", f"{reached_A:.2f} A"),
                ("median error of the poses", f"{figures['angular_error_deg']} deg"),
                ("poses within 5 degrees", f"{figures['within_5_deg']}"),
                ("hand", f"{hand} one; projections cannot tell"),
            ],
            [
                (picture_of(project, refined), "The refined map and what its halves agree on."),
                (picture_of(project, sharpened), "The map before and after sharpening."),
            ],
        ),
    ]
    return sections, figures


def picture_of(project: Any, volume: dict[str, Any]) -> bytes:
    """Return the picture that a volume's job made of it."""
    (result,) = [one for one in project.results("volume", volume["id"]) if "picture" in one["files"]]
    picture: bytes = (project.folder / result["files"]["picture"]).read_bytes()
    return picture


def rounded(value: float | None) -> float | None:
    """Return a resolution as it is kept: None where there is none."""
    import math

    return None if value is None or not math.isfinite(value) else round(float(value), 3)

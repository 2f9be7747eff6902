"""The demo's chapter about classes: averages, those that were selected by themselves, and who is in them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from verglas.cli.demo_picking import TOLERANCE_A

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from verglas.cli.demo_report import Section
    from verglas.stages.simulation import MovieParameters, MoviesResult

CLASSES = 5
ROUNDS = 12


def classify_and_select(project: Any, threads: int, seed: int) -> None:
    """Classify the demo's package, select classes by their quality, and make a package of their particles."""
    from verglas.actions import project_run
    from verglas.project.class_selections import select_classes, suggest_classes

    project_run(project, "classify-2d", threads=threads, workers=1, seed=seed, classes=CLASSES, rounds=ROUNDS)
    chosen = suggest_classes(project, "last")
    if not chosen:
        return
    select_classes(project, "last", chosen, name="suggested", note="by their quality")
    project_run(project, "package-from-classes", threads=1, workers=threads, seed=seed, remove_duplicates_A=60.0)


def true_rows(project: Any, package: dict[str, Any], movies: MoviesResult, pixel_size_A: float) -> NDArray[np.bool_]:
    """Tell which particles of a package lie within the tolerance of a true one."""
    import numpy as np

    from verglas.formats import ParticleTable
    from verglas.stages.extraction.combining import places_A

    table = ParticleTable.load(project.folder / package["particles_path"])
    truth = movies.particles
    true_A = np.stack([truth["coordinate_x_px"], truth["coordinate_y_px"]], 1) * pixel_size_A
    of_movie = np.array([Path(name).stem for name in truth.names_of("micrograph")])
    movie_of = {
        image["path"]: project.asset("movie", image["parent_movie"])["name"] for image in project.assets("image")
    }
    mine = np.array([movie_of[name] for name in table.names_of("micrograph")])
    found = np.zeros(len(table), bool)
    for row, (place, movie) in enumerate(zip(places_A(table), mine, strict=True)):
        near = np.hypot(*(true_A[of_movie == movie] - place).T)
        found[row] = near.size > 0 and near.min() <= TOLERANCE_A
    return found


def classes_section(project: Any, movies: MoviesResult, parameters: MovieParameters) -> tuple[Section, dict[str, Any]]:
    """Show the classes and compare the selected particles with the truth; return a chapter and its figures."""
    from verglas.cli.demo_report import Section
    from verglas.project.class_selections import classes_of

    last = project.assets("classification")[-1]
    classes = classes_of(project, last["id"])
    selected = project.assets("selection")
    chosen = selected[-1]["members"] if selected else []
    first, *_, final = project.assets("package") if chosen else [project.assets("package")[0]] * 2
    before = true_rows(project, first, movies, parameters.pixel_size_A)
    after = true_rows(project, final, movies, parameters.pixel_size_A) if chosen else before[:0]
    resolved = [one["resolution_A"] for one in classes if one["number"] in chosen and one["resolution_A"]]
    figures = {
        "classes": len(classes), "class_rounds": last["rounds"], "classes_selected": len(chosen),
        "class_resolution_A": min(resolved, default=None), "particles_classified": len(before),
        "particles_selected": len(after),
        "true_part_before": round(float(before.mean()), 4),
        "true_part_selected": round(float(after.mean()), 4) if len(after) else None,
        "true_particles_kept": round(float(after.sum() / max(before.sum(), 1)), 4),
    }  # fmt: skip
    best = f"{figures['class_resolution_A']:.1f} A" if resolved else "-"
    section = Section(
        "Classify 2D, select",
        "The particles were sorted into classes by maximum likelihood. Classes whose halves agree were selected by "
        "their quality, with nobody looking, and their particles cut anew around the middles of their classes.",
        [
            ("classes", str(len(classes))),
            ("selected", ", ".join(map(str, chosen)) or "none"),
            ("best resolution of a class", best),
            ("particles in selected classes", f"{len(after)} of {len(before)}"),
            ("of these true", f"{figures['true_part_selected'] or 0.0:.3f} (before: {before.mean():.3f})"),
        ],
        [((project.folder / last["picture_path"]).read_bytes(), "Class averages: number, particles, resolution.")],
    )
    return section, figures

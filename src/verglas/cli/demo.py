"""``verglas demo``: simulated movies go through every stage there is, and the report holds each beside the truth."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from verglas.cli.common import console, json_option, print_json
from verglas.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from verglas.cli.demo_report import Section
    from verglas.stages.simulation import MoviesResult, MovieTruth

MARK = ".verglas-demo"
SYMMETRIES = {"apoferritin": "O", "beta-galactosidase": "D2"}
"""Of the shipped models, which lie in the standard setting."""
OF_SET = {"normal": ("movies", "size", "frames", "model"), "hard": ("start", "pixel_size_A")}
"""Options that say something of one set only."""


def clear(folder: Path) -> None:
    """Make the demo's folder anew; one that holds anything but an earlier demo is left alone."""
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MARK).exists():
            raise InputError(f"{folder} is not empty and not an earlier demo: choose another with --output.")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).touch()


def check_options(context: click.Context, which: str, particles: int | None) -> None:
    """Refuse options that say nothing of the chosen set, and a hard set of no particles."""
    for other, names in OF_SET.items():
        given = [
            option.opts[0] for option in context.command.params
            if option.name in names and context.get_parameter_source(option.name) is not ParameterSource.DEFAULT
        ]  # fmt: skip
        if given and other != which:
            raise click.UsageError(
                f"--set {which} takes no {' or '.join(given)}: leave that out, or choose --set {other}.", context
            )
    if which == "hard" and particles == 0:
        raise click.UsageError("--set hard is made of particles: give --particles 1 or more.", context)


def commit() -> str | None:
    """Return the commit of the source, where verglas runs from a repository."""
    here = Path(__file__).parent
    if shutil.which("git") is None:
        return None
    asked = subprocess.run(
        ["git", "-C", str(here), "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=False
    )
    return asked.stdout.strip() or None


def true_shifts_A(truth: MovieTruth) -> NDArray[np.float64]:
    """Return the shift to apply to each frame that best undoes a movie's motion as a whole.

    Returns
    -------
    ndarray
        (frames, 2), x and y in A: minus the displacement averaged over the image, relative to the middle frame. The
        mean of the quadratic terms over an image whose coordinates run from -1 to 1 is 1/3, that of the others 0.
    """
    motion = truth.motion
    mean = motion.global_A + (motion.local_A[:, :, 2] + motion.local_A[:, :, 4]) / 3
    mean = mean - mean[len(mean) // 2]
    shifts: NDArray[np.float64] = -mean[:, ::-1]
    return shifts


def alignment_section(movies: MoviesResult, run: Any, project: Any) -> tuple[Section, dict[str, Any]]:
    """Compare the found shifts with the true ones; return a chapter of the report and its figures."""
    import numpy as np

    from verglas.cli.demo_report import Section, image_row, shift_curves
    from verglas.formats import open_movie, read_image

    by_name = {Path(truth.name).stem: truth for truth in movies.truth}
    found, true, names = [], [], []
    for record in sorted(project.results("movie"), key=lambda one: one["of"]["id"]):
        name = project.asset("movie", record["of"]["id"])["name"]
        values = record["values"]
        shifts = np.column_stack([values["shifts_x_A"], values["shifts_y_A"]])
        true.append(true_shifts_A(by_name[name]))
        found.append(shifts - (shifts - true[-1]).mean(axis=0))
        names.append(name)
    rms_A = float(np.sqrt(np.mean([np.mean(np.sum((f - t) ** 2, axis=1)) for f, t in zip(found, true, strict=True)])))
    first = project.results("movie")[0]
    with open_movie(movies.images[0]) as movie:
        frame = movie.read_frame(0).astype(np.float32)
    folder = project.folder
    total, _ = read_image(folder / first["files"]["sum"])
    spectrum, _ = read_image(folder / first["files"]["spectrum"])
    size = min(512, *total.shape)
    middle_y, middle_x = total.shape[0] // 2, total.shape[1] // 2
    detail = total[middle_y - size // 2 :, middle_x - size // 2 :][:size, :size]
    section = Section(
        "Align Movies",
        "Whole frames are aligned, weighted by dose and summed. The specimen also bends locally; the truth is "
        "the motion averaged over the image. The error leaves out the mean of each track, which only moves the "
        "micrograph.",
        [
            ("movies", str(len(found))),
            ("frames of each", str(len(found[0]))),
            ("rms error of the shifts", f"{rms_A:.3f} A"),
            (
                "rms of the true shifts",
                f"{float(np.sqrt(np.mean([np.mean(np.sum(t**2, axis=1)) for t in true]))):.2f} A",
            ),
        ],
        [
            (
                image_row([("one frame (counts)", frame), ("aligned sum, centre", detail), ("spectrum", spectrum)]),
                "The first movie: a frame as the detector counted it; the centre of the aligned, dose-weighted sum; "
                "its amplitude spectrum.",
            ),
            (shift_curves(found, true, names), "Shifts that were found, beside the true ones."),
        ],
    )
    return section, {"shift_rms_A": rms_A, "movies_aligned": len(found), "movies_failed": len(run.failures)}


@click.command()
@click.option(
    "--output", type=click.Path(file_okay=False, path_type=Path), default=Path("demo"), show_default=True,
    help="Folder for the movies, the project and the report.",
)  # fmt: skip
@click.option(
    "--set", "which", type=click.Choice(["normal", "hard"]), default="normal", show_default=True,
    help="Movies of a symmetric protein, or a stack of one without symmetry of which a domain turns.",
)  # fmt: skip
@click.option(
    "--movies", default=6, show_default=True, type=click.IntRange(1, 1000), help="Of the normal set: number of movies."
)
@click.option(
    "--size", default=2048, show_default=True, type=click.IntRange(256, 8192),
    help="Of the normal set: width and height in pixels.",
)  # fmt: skip
@click.option(
    "--frames", default=20, show_default=True, type=click.IntRange(5, 200),
    help="Of the normal set: frames of each movie.",
)  # fmt: skip
@click.option(
    "--particles",
    default=None,
    type=click.IntRange(0, 100_000),
    help="Particles in each movie [default: 60]; of the hard set, in all [default: 5000].",
)
@click.option(
    "--model", default="apoferritin", show_default=True,
    help="Of the normal set: shipped model, or a PDB or mmCIF file.",
)  # fmt: skip
@click.option(
    "--start", type=click.Choice(["low-passed", "ab-initio"]), default="low-passed", show_default=True,
    help="Of the hard set: refine from the true map, low-passed to 30 A, or from one that is found.",
)  # fmt: skip
@click.option(
    "--pixel-size", "pixel_size_A", default=1.2, show_default=True, type=click.FloatRange(0.5, 6.0),
    help="Of the hard set, in A; larger pixels take less time.",
)  # fmt: skip
@click.option("--threads", default=None, type=click.IntRange(1), help="Cores to use [default: all].")
@click.option("--seed", default=1, show_default=True, help="Seed of all random numbers.")
@json_option
@click.pass_context
def demo(
    context: click.Context, output: Path, which: str, movies: int, size: int, frames: int, particles: int | None,
    model: str, start: str, pixel_size_A: float, threads: int | None, seed: int, as_json: bool,
) -> None:  # fmt: skip
    """Simulate movies, process them, and report how far each stage is from the truth."""
    from verglas.actions import project_run
    from verglas.cli.demo_classes import classes_section, classify_and_select
    from verglas.cli.demo_ctf import ctf_section
    from verglas.cli.demo_hard import PARTICLES, HardSet, hard_demo, report_hard
    from verglas.cli.demo_map import true_poses_section
    from verglas.cli.demo_picking import package_section, picking_options, picking_section
    from verglas.cli.demo_refined import MASS_KDA, find_map, refined_sections
    from verglas.cli.demo_report import Section, write_report
    from verglas.execution.resources import this_machine
    from verglas.project import Project
    from verglas.project.import_movies import MovieFields, import_movies
    from verglas.stages.simulation import MovieParameters, simulate_movies

    check_options(context, which, particles)
    started = time.perf_counter()
    cores = threads or this_machine().cores
    clear(output)
    screen = console()

    def say(text: str) -> None:
        if not as_json:
            screen.print(f"{(time.perf_counter() - started) / 60:5.1f} min  {text}")

    if which == "hard":
        hard = HardSet(particles=PARTICLES if particles is None else particles, pixel_size_A=pixel_size_A, seed=seed)
        report_hard(hard_demo(output, hard, start, cores, say), output, say, as_json)
        return
    parameters = MovieParameters(
        movies=movies, width=size, height=size, frames=frames, particles=60 if particles is None else particles,
        model=model, seed=seed,
    )  # fmt: skip
    say(f"simulating {movies} movies of {size} x {size} x {frames}")
    made = simulate_movies(parameters, output / "movies", threads=cores)
    simulated = time.perf_counter()

    with Project.create(output / "project", name="demo") as project:
        say("importing them into a new project")
        import_movies(
            project,
            [str(path) for path in made.images],
            MovieFields(
                pixel_size_A=parameters.pixel_size_A, voltage_kV=parameters.voltage_kV, cs_mm=parameters.cs_mm,
                dose_per_frame_e_A2=parameters.dose_per_frame_e_A2, gain=str(made.gain),
            ),
        )  # fmt: skip
        say("aligning them")
        run = project_run(project, "align-movies", threads=1, workers=cores, seed=seed)
        aligned, figures = alignment_section(made, run, project)
        say("finding their CTFs")
        run = project_run(project, "find-ctf", threads=1, workers=cores, seed=seed)
        fitted, found = ctf_section(made, run, project)
        figures |= found
        say("picking particles")
        options = picking_options(parameters)
        run = project_run(project, "find-particles", threads=1, workers=cores, seed=seed, **options)
        picked, found = picking_section(made, parameters, options["max_radius_A"], run, project)
        figures |= found
        say("cutting them into a stack")
        run = project_run(
            project, "create-package", threads=1, workers=cores, seed=seed,
            largest_dimension_A=2 * options["max_radius_A"], symmetry=SYMMETRIES.get(model, "C1"),
            molecular_weight_kDa=MASS_KDA.get(model),
        )  # fmt: skip
        cut, found = package_section(run, project)
        figures |= found
        say("classifying them and selecting classes")
        classify_and_select(project, cores, seed)
        classed, found = classes_section(project, made, parameters)
        figures |= found
        say("finding a map from nothing, refining and sharpening it")
        symmetry = SYMMETRIES.get(model, "C1")
        find_map(project, symmetry, cores, seed)
        worked = time.perf_counter()
        say("reconstructing at true poses, for comparison")
        refined, found = refined_sections(made, parameters, symmetry, project, cores)
        figures |= found
        posed, found = true_poses_section(made, parameters, symmetry, project, cores)
        figures |= found
    finished = time.perf_counter()

    figures = {
        **figures,
        "minutes": round((finished - started) / 60, 2),
        "minutes_simulating": round((simulated - started) / 60, 2),
        "minutes_processing": round((worked - simulated) / 60, 2),
        "movies": movies,
        "size_px": size,
        "frames": frames,
        "dose_per_frame_e_A2": parameters.dose_per_frame_e_A2,
        "pixel_size_A": parameters.pixel_size_A,
        "commit": commit(),
    }
    overview = Section(
        "What was done",
        f"{movies} movies of {model} were simulated from its atoms and processed by the commands of this package, "
        "each as a job of a project. Nothing was told to a stage but what a microscope's operator knows.",
        [
            ("minutes in all", f"{figures['minutes']:.1f}"),
            ("of which simulating", f"{figures['minutes_simulating']:.1f}"),
            ("of which from movies to the sharpened map", f"{figures['minutes_processing']:.1f}"),
            ("commit", figures["commit"] or "not from a repository"),
        ],
    )
    write_report(output, "verglas demo", [overview, aligned, fitted, picked, cut, classed, *refined, posed], figures)
    if as_json:
        print_json({**figures, "report": str(output / "report.html")})
    else:
        say(f"rms error of the shifts: {figures['shift_rms_A']:.3f} A")
        say(f"median error of the defocus: {figures['defocus_error_A']:.0f} A")
        say(f"map: {figures['resolution_A']} A (FSC 0.5 with the truth), poses {figures['angular_error_deg']} deg off")
        say(f"map at true poses: {figures['resolution_at_true_poses_A']} A (FSC 0.5 with the truth)")
        say(f"picking: precision {figures['precision']:.3f}, recall {figures['recall']:.3f}")
        say(f"classes: {figures['classes_selected']} of {figures['classes']} selected, {figures['particles_selected']} "
            f"particles")  # fmt: skip
        say(f"report: {output / 'report.html'}")

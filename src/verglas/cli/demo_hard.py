"""``verglas demo --set hard``: a particle without symmetry, part of which turns, seen from some sides more often."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from verglas.stages.simulation import StackParameters, StackResult

PARTICLES = 5000
START_A = 30.0
MASK_ROOM_A = 6.0


@dataclass(frozen=True)
class HardSet:
    """What is simulated, and how it is classified.

    Attributes
    ----------
    particles, box, pixel_size_A, dose_e_A2
        Of the stack.
    turned_deg, turned_part
        How far a domain of 25 kDa is turned, and in which part of the particles.
    rounds
        The most rounds of each refinement.
    seed
        Of all random numbers.
    """

    particles: int = PARTICLES
    box: int = 192
    pixel_size_A: float = 1.2
    dose_e_A2: float = 50.0
    turned_deg: float = 20.0
    turned_part: float = 0.4
    rounds: int = 25
    seed: int = 1

    def parameters(self, folder: Path) -> StackParameters:
        """Return what the simulator is asked for; the model is written to a folder."""
        from verglas.stages.simulation import Conformation, StackParameters
        from verglas.stages.simulation.models import DOMAIN, write_asymmetric_model

        turned = Conformation(
            name="turned", weight=self.turned_part, selection=DOMAIN, axis=(1.0, 0.0, 0.0),
            angle_degrees=self.turned_deg,
        )  # fmt: skip
        return StackParameters(
            model=str(write_asymmetric_model(folder / "asymmetric.pdb")),
            conformations=[Conformation(name="straight", weight=1.0 - self.turned_part), turned], orientations="views",
            particles=self.particles, box=self.box, pixel_size_A=self.pixel_size_A, dose_e_A2=self.dose_e_A2,
            padding=1.5, seed=self.seed,
        )  # fmt: skip


def hard_demo(output: Path, asked: HardSet, start: str, threads: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Simulate the set, refine and classify it, and write the report.

    Parameters
    ----------
    output
        An empty folder.
    asked
        What the set is.
    start
        ``low-passed``: Auto Refine begins with the true map, low-passed to 30 A; ``ab-initio``: with one that is found.
    threads
        Cores.
    say
        Called with a line of text as each step begins.

    Returns
    -------
    dict
        The figures of the report.
    """
    from verglas.cli.demo import commit
    from verglas.cli.demo_hard_sections import overview, truths_of, what_was_found
    from verglas.cli.demo_report import write_report
    from verglas.project import Project
    from verglas.stages.simulation import simulate_stack

    began = time.perf_counter()
    say(f"simulating {asked.particles} particles of {asked.box} pixels")
    parameters = asked.parameters(output)
    made = simulate_stack(parameters, output / "particles", threads=threads)
    simulated = time.perf_counter()
    truths = truths_of(parameters)
    with Project.create(output / "project", name="hard") as project:
        say("refining them as one class")
        package = take_in(project, made, output / "blind.star", parameters, known_poses=False)
        given = low_passed_truth(project, truths[0].map, output / "start.mrc", asked, threads)
        refined = refine(project, package, given if start == "low-passed" else None, asked, threads)
        say("refining them as two classes")
        classify(project, package, refined, asked, threads)
        worked = time.perf_counter()
        say("refining two classes from true poses, for comparison")
        known = take_in(project, made, output / "known.star", parameters, known_poses=True)
        classify(project, known, given, asked, threads)
        sections, figures = what_was_found(project, made, parameters, truths, asked, threads)
    figures |= {
        "set": "hard", "start": start, "start_low_passed_A": START_A if start == "low-passed" else None,
        "minutes": round((time.perf_counter() - began) / 60, 2),
        "minutes_simulating": round((simulated - began) / 60, 2),
        "minutes_processing": round((worked - simulated) / 60, 2), "commit": commit(),
    }  # fmt: skip
    write_report(output, "verglas demo: the hard set", [overview(asked, figures), *sections], figures)
    return figures


def take_in(
    project: Any, made: StackResult, star: Path, parameters: StackParameters, *, known_poses: bool
) -> dict[str, Any]:
    """Import the stack as a package, with its true poses or none; return its record."""
    from verglas.formats import write_particles
    from verglas.project.import_particles import ParticleFields, import_particles
    from verglas.stages.extraction import assign_half_sets
    from verglas.stages.simulation.models import MASS_KDA

    table = made.truth.copy()
    # Which class each is of is for the comparison alone.
    for name in ("class_number",) if known_poses else (
        "class_number", "rot_deg", "tilt_deg", "psi_deg", "origin_x_A", "origin_y_A"
    ):  # fmt: skip
        table[name] = 0
    table.set_names("image_name", [str(made.stack.resolve())] * len(table))
    write_particles(table, star)
    fields = ParticleFields(
        mass_kDa=MASS_KDA, largest_dimension_A=2.0 * made.radius_A, name="At true poses" if known_poses else "Hard set"
    )
    report = import_particles(project, star, fields, half_sets=assign_half_sets)
    found: dict[str, Any] = project.asset("package", report.imported[0]["id"])
    return found


def low_passed_truth(project: Any, truth: NDArray[np.float32], path: Path, asked: HardSet, threads: int) -> int:
    """Import the true map of a conformation, low-passed to 30 A; return the number of that volume."""
    from verglas.engine.reference_masks import low_passed
    from verglas.formats.mrc import write_mrc
    from verglas.project.import_others import import_volumes

    write_mrc(path, low_passed(truth, asked.pixel_size_A, START_A, threads), asked.pixel_size_A, is_volume=True)
    return int(import_volumes(project, [str(path)]).imported[0]["id"])


def refine(project: Any, package: dict[str, Any], given: int | None, asked: HardSet, threads: int) -> int:
    """Refine a package as one class from a volume, or from one that is found; return the number of the refined map."""
    from verglas.actions import project_run
    from verglas.cli.demo_refined import newest

    options: dict[str, Any] = {"package": str(package["id"]), "workers": 1, "threads": threads, "seed": asked.seed}
    if given is None:
        project_run(project, "ab-initio", symmetry="C1", **options)
        given = int(newest(project, "volume", "Volume From Startup")["id"])
    project_run(
        project, "auto-refine", reference=str(given), symmetry="C1", classes=1, rounds=asked.rounds,
        initial_resolution_A=START_A, mask_radius_A=mask_radius_A(package), **options,
    )  # fmt: skip
    return int(newest(project, "volume", "Auto #")["id"])


def classify(project: Any, package: dict[str, Any], reference: int, asked: HardSet, threads: int) -> None:
    """Refine a package in two classes from the poses that are known, its particles shared out at random at first."""
    from verglas.actions import project_run

    last = [one for one in project.assets("refinement") if one["package"] == package["id"]]
    source: dict[str, Any] = {"refinement": str(last[-1]["id"])} if last else {}
    project_run(
        project, "auto-refine", package=str(package["id"]), reference=str(reference), symmetry="C1", classes=2,
        search_first=False, initial_resolution_A=START_A, mask_radius_A=mask_radius_A(package), rounds=asked.rounds,
        workers=1, threads=threads, seed=asked.seed, **source,
    )  # fmt: skip


def mask_radius_A(package: dict[str, Any]) -> float:
    """Return the radius of a package's particle, with some room."""
    return 0.5 * float(package["largest_dimension_A"]) + MASK_ROOM_A


def report_hard(figures: dict[str, Any], output: Path, say: Callable[[str], None], as_json: bool) -> None:
    """Say what was found, in words or as JSON."""
    from verglas.cli.common import print_json

    if as_json:
        print_json({**figures, "report": str(output / "report.html")})
        return
    say(f"poses: {figures['angular_error_deg']} deg off (median)")
    say(
        f"particles in their class: {figures['class_accuracy']:.3f}; at true poses "
        f"{figures['class_accuracy_at_true_poses']:.3f}"
    )
    say(f"maps: {figures['resolution_A']} A (FSC 0.5 with the truth)")
    say(f"maps at true poses: {figures['resolution_at_true_poses_A']} A")
    say(f"report: {output / 'report.html'}")

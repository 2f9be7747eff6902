"""``verglas demo --set hard``: a particle without symmetry, part of which turns, seen from some sides more often."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verglas.errors import JobError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from verglas.stages.simulation import StackParameters, StackResult

PARTICLES, PIXEL_A, WIDTH_A = 5000, 1.2, 230.4
START_A = 30.0
MASK_ROOM_A = 6.0


@dataclass(frozen=True)
class HardSet:
    """What is simulated, and how it is classified.

    Attributes
    ----------
    particles, pixel_size_A, dose_e_A2
        Of the stack.
    turned_deg, turned_part
        How far a domain of 25 kDa is turned, and in which part of the particles.
    rounds
        The most rounds of Auto Refine.
    seed
        Of all random numbers.
    """

    particles: int = PARTICLES
    pixel_size_A: float = PIXEL_A
    dose_e_A2: float = 50.0
    turned_deg: float = 20.0
    turned_part: float = 0.4
    rounds: int = 25
    seed: int = 1

    @property
    def box(self) -> int:
        """Pixels a side, of whatever size."""
        from verglas.signal import smooth_size

        return int(smooth_size(round(WIDTH_A / self.pixel_size_A)))

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
    from verglas.stages.refinement.maps import CLASS_RAN_EMPTY
    from verglas.stages.simulation import simulate_stack

    began = time.perf_counter()
    say(f"simulating {asked.particles} particles of {asked.box} pixels")
    parameters = asked.parameters(output)
    made = simulate_stack(parameters, output / "particles", threads=threads)
    simulated = time.perf_counter()
    truths = truths_of(parameters)
    with Project.create(output / "project", name="hard") as project:
        package = take_in(project, made, output / "particles.star")
        say("finding a map from nothing" if start == "ab-initio" else "beginning with the low-passed truth")
        reference = (
            found_map(project, package, asked, threads)
            if start == "ab-initio"
            else low_passed_truth(project, truths[0].map, output / "start.mrc", asked, threads)
        )
        say("refining them as two classes")
        why = ""
        try:
            refine(project, package, reference, 2, asked, threads)
        except JobError as error:
            if CLASS_RAN_EMPTY not in str(error):
                raise
            why = str(error)
            say("they did not come apart; refining them as one class")
            refine(project, package, reference, 1, asked, threads)
        worked = time.perf_counter()
        say("classifying and reconstructing at true poses, for comparison")
        sections, figures = what_was_found(project, made, parameters, truths, asked, why, threads)
    figures |= {
        "set": "hard", "start": start, "start_low_passed_A": START_A, "particles": asked.particles, "box": asked.box,
        "pixel_size_A": asked.pixel_size_A, "dose_e_A2": asked.dose_e_A2, "turned_deg": asked.turned_deg,
        "turned_part": asked.turned_part, "minutes": round((time.perf_counter() - began) / 60, 2),
        "minutes_simulating": round((simulated - began) / 60, 2),
        "minutes_processing": round((worked - simulated) / 60, 2), "commit": commit(),
    }  # fmt: skip
    write_report(output, "verglas demo: the hard set", [overview(asked, figures), *sections], figures)
    return figures


def take_in(project: Any, made: StackResult, star: Path) -> dict[str, Any]:
    """Import the stack as a package that knows nothing of poses and classes; return its record."""
    from verglas.formats import write_particles
    from verglas.project.import_particles import ParticleFields, import_particles
    from verglas.stages.extraction import assign_half_sets
    from verglas.stages.simulation.models import MASS_KDA

    table = made.truth.copy()
    for name in ("class_number", "rot_deg", "tilt_deg", "psi_deg", "origin_x_A", "origin_y_A"):
        table[name] = 0
    table.set_names("image_name", [str(made.stack.resolve())] * len(table))
    write_particles(table, star)
    fields = ParticleFields(mass_kDa=MASS_KDA, largest_dimension_A=2.0 * made.radius_A, name="Hard set")
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


def found_map(project: Any, package: dict[str, Any], asked: HardSet, threads: int) -> int:
    """Find a map of a package from nothing; return the number of that volume."""
    from verglas.actions import project_run
    from verglas.cli.demo_refined import newest

    project_run(
        project, "ab-initio", package=str(package["id"]), symmetry="C1", threads=1, workers=threads, seed=asked.seed
    )
    return int(newest(project, "volume", "Volume From Startup")["id"])


def refine(project: Any, package: dict[str, Any], reference: int, classes: int, asked: HardSet, threads: int) -> None:
    """Refine a package from one volume; of several classes, from what the particles show beyond one map."""
    from verglas.actions import project_run

    project_run(
        project, "auto-refine", package=str(package["id"]), reference=str(reference), symmetry="C1", classes=classes,
        initial_resolution_A=START_A, mask_radius_A=0.5 * float(package["largest_dimension_A"]) + MASK_ROOM_A,
        rounds=asked.rounds, workers=1, threads=threads, seed=asked.seed,
    )  # fmt: skip


def report_hard(figures: dict[str, Any], output: Path, say: Callable[[str], None], as_json: bool) -> None:
    """Say what was found, in words or as JSON."""
    from verglas.cli.common import print_json

    if as_json:
        print_json({**figures, "report": str(output / "report.html")})
        return
    if not figures["classes_came_apart"]:
        say(f"two classes did not come apart: {figures['why_not']}")
    say(f"poses: {figures['angular_error_deg']} deg off (median)")
    say(
        f"particles in their class: {figures['class_accuracy']:.3f}; at true poses "
        f"{figures['class_accuracy_at_true_poses']:.3f}, by the true maps "
        f"{figures['class_accuracy_of_true_maps_at_true_poses']:.3f}"
    )
    say(f"maps: {figures['resolution_A']} A (FSC 0.5 with the truth)")
    say(f"maps at true poses: {figures['resolution_at_true_poses_A']} A")
    say(f"report: {output / 'report.html'}")

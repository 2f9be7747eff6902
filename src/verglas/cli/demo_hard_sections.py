"""The hard set's report: maps, poses and classes that were found, beside what true poses give."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING, Any

from verglas.cli.demo_map import EDGE_A, Truth, resolution_to_truth_A
from verglas.cli.demo_refined import aligned_to_truth, errors_deg, picture_of, rounded

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from verglas.cli.demo_hard import HardSet
    from verglas.cli.demo_report import Section
    from verglas.formats import ParticleTable
    from verglas.stages.simulation import StackParameters, StackResult

ANGLES = ("rot_deg", "tilt_deg", "psi_deg")
WRONG_DEG = 10.0


def truths_of(parameters: StackParameters) -> list[Truth]:
    """Return the true map of each conformation and the sphere within which maps are compared with it."""
    from verglas.signal import sphere_mask
    from verglas.stages.simulation import projected_map, read_atoms

    box, pixel_A = parameters.box, parameters.pixel_size_A
    radius_A = max(read_atoms(parameters, shape).radius_A for shape in parameters.conformations)
    mask = sphere_mask((box,) * 3, radius_A, pixel_A, edge_A=EDGE_A)
    return [Truth(projected_map(parameters, shape, 1.0), mask, pixel_A, "C1") for shape in parameters.conformations]


def class_order(occupancy: NDArray[np.float64], label: NDArray[np.int64]) -> tuple[tuple[int, ...], float]:
    """Return which class is which conformation, and the part of the particles that is in its own.

    Parameters
    ----------
    occupancy
        Shape (classes, n).
    label
        Conformation of each particle, from 0; shape (n,).

    Returns
    -------
    order : tuple
        Of each conformation the class that is it.
    right : float
        Part of the particles whose most occupied class is that of their conformation.
    """
    import numpy as np

    found = occupancy.argmax(axis=0)
    right = {order: float(np.mean(np.array(order)[label] == found)) for order in permutations(range(len(occupancy)))}
    best = max(right, key=lambda one: right[one])
    return best, right[best]


def tables_of(project: Any, refinement: dict[str, Any]) -> list[ParticleTable]:
    """Return the particles of each class of a refinement."""
    from verglas.formats import ParticleTable

    return [ParticleTable.load(project.folder / one["particles_path"]) for one in refinement["details"]]


def volume_at(project: Any, path: str) -> tuple[NDArray[np.float32], bytes]:
    """Return a volume of the project and the picture of it."""
    import numpy as np

    from verglas.formats.mrc import read_mrc_volume

    (record,) = [one for one in project.assets("volume") if one["path"] == path]
    return read_mrc_volume(project.folder / path)[0].astype(np.float32), picture_of(project, record)


def what_was_found(
    project: Any,
    made: StackResult,
    parameters: StackParameters,
    truths: list[Truth],
    asked: HardSet,
    why: str,
    threads: int,
) -> tuple[list[Section], dict[str, Any]]:
    """Compare all with the truth; return the report's chapters and its figures.

    Where two classes did not come apart, ``why`` says why, and all particles are in the one class that was refined.
    """
    import numpy as np

    from verglas.cli.demo_hard_truth import assignable, at_true_classes, found_at_true_poses
    from verglas.cli.demo_report import Section
    from verglas.engine import transform_map
    from verglas.geometry import euler_to_matrix

    label = np.asarray(made.truth["class_number"], np.int64) - 1
    refinement = project.assets("refinement")[-1]
    tables = tables_of(project, refinement)
    occupancy = np.stack([np.asarray(table["occupancy"], np.float64) for table in tables])
    larger = float(np.bincount(label).max() / len(label))
    order, right = ((0,) * len(truths), larger) if why else class_order(occupancy, label)
    volumes, pictures = zip(*(volume_at(project, refinement["details"][k]["volume_path"]) for k in order), strict=True)
    # Both classes lie as their common start did: one alignment, of the class with most particles, serves all.
    most = int(np.argmax([occupancy[k].sum() for k in order]))
    alignment = aligned_to_truth(volumes[most], truths[most], threads)
    reached_A = [
        resolution_to_truth_A(
            transform_map(volume, alignment.rotation, alignment.shift_A, truth.pixel_size_A,
                          mirrored=alignment.mirrored, threads=threads),
            truth,
        )[0]
        for volume, truth in zip(volumes, truths, strict=True)
    ]  # fmt: skip
    angles = [
        np.choose(occupancy.argmax(axis=0), [np.asarray(table[name], np.float64) for table in tables])
        for name in ANGLES
    ]
    own, true = (euler_to_matrix(*np.deg2rad(one)) for one in (angles, [made.truth[name] for name in ANGLES]))
    away = errors_deg(own, true, alignment, "C1")
    by_truth, table = assignable(made, parameters, threads)
    held, held_why = found_at_true_poses(made, table, parameters, asked, threads)
    found_there = larger if held_why else class_order(held, label)[1]
    best_A = at_true_classes(made, truths, table, threads)
    names = [shape.name for shape in parameters.conformations]
    (result,) = project.results("refinement", refinement["id"])
    figures = {
        "class_accuracy": round(right, 4), "class_accuracy_at_true_poses": round(found_there, 4),
        "class_accuracy_of_true_maps_at_true_poses": round(by_truth, 4),
        "largest_class": round(larger, 4), "classes_came_apart": not why, "why_not": why or None,
        "class_agreement": None if why else result["values"]["class_agreement"],
        "refinement_rounds": int(refinement["round"]),
        "angular_error_deg": round(float(np.median(away)), 3),
        "beyond_10_deg": round(float(np.mean(away > WRONG_DEG)), 4), "other_hand": bool(alignment.mirrored),
        "resolution_A": [rounded(value) for value in reached_A],
        "resolution_at_true_poses_A": [rounded(value) for value in best_A],
        "resolution_of_halves_A": [rounded(refinement["details"][k]["resolution_A"]) for k in order],
    }  # fmt: skip
    section = Section(
        "Two classes",
        "All particles were refined from the start as one class, put into two by how their images depart from its map, "
        "and refined on, in two independent halves. For comparison the same was done with poses held at the true ones; "
        "and the true maps told there which particle is which: nobody can do more. Maps at true poses hold the "
        "particles that are truly of their class."
        + (f" Here two classes did not come apart, and all particles were refined as one. {why}" if why else ""),
        [
            ("particles in their class", f"{100 * right:.1f} %"),
            ("the same where all is done alike at true poses", f"{100 * found_there:.1f} %"),
            ("the same at true poses, by the true maps", f"{100 * by_truth:.1f} %"),
            ("the same if all were in the larger class", f"{100 * larger:.1f} %"),
            ("agreement of the two half sets about classes", f"{figures['class_agreement']}"),
            ("median error of the poses", f"{figures['angular_error_deg']} deg"),
            ("poses off by more than 10 degrees", f"{figures['beyond_10_deg']}"),
            *(
                (f"{name}: FSC with its density falls to 0.5 at (at true poses)", f"{a:.2f} A ({b:.2f} A)")
                for name, a, b in zip(names, reached_A, best_A, strict=True)
            ),
        ],
        [(pictures[0], "The map of all particles.")]
        if why
        else [(picture, f"The class of {name} particles.") for name, picture in zip(names, pictures, strict=True)],
    )
    return [section], figures


def overview(asked: HardSet, figures: dict[str, Any]) -> Section:
    """Return the chapter that says what was made and how it was begun."""
    from verglas.cli.demo_hard import START_A
    from verglas.cli.demo_report import Section

    begun = (
        "Auto Refine began with a map that Ab-Initio 3D found from the particles."
        if figures["start"] == "ab-initio"
        else f"Auto Refine began with the true map of the straight particle, low-passed to {START_A:g} A: this demo "
        "does not show that such a map can be found from the particles alone."
    )
    return Section(
        "What was done",
        f"{asked.particles} particles of 150 kDa without symmetry were simulated, at {asked.dose_e_A2:g} electrons "
        f"per A^2; in {100 * asked.turned_part:g} % of them a domain of 25 kDa is turned by {asked.turned_deg:g} "
        f"degrees. They are seen from each side as often as the particles of EMPIAR-10076 were. {begun}",
        [
            ("minutes in all", f"{figures['minutes']:.1f}"),
            ("of which simulating", f"{figures['minutes_simulating']:.1f}"),
            ("of which refining and classifying", f"{figures['minutes_processing']:.1f}"),
            ("commit", figures["commit"] or "not from a repository"),
        ],
    )

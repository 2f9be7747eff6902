"""Validate 3D: a report on what speaks for a map and against it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from verglas.actions.declaration import Action, ActionParameters, Input, field
from verglas.actions.volume_masks import (
    check_grids,
    half_map_paths,
    mask_for,
    outer_radius_A,
    shared_start,
    with_shared_limits,
)
from verglas.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from verglas.engine.half_maps import HalfMapCurves
    from verglas.execution.context import JobContext
    from verglas.execution.resources import Estimate
    from verglas.formats import ParticleTable
    from verglas.project import Project
    from verglas.stages.validation import HandEvidence, ModelComparison, NoiseSubstitution, ResLog

INTERPRETER_BYTES = 300 * 2**20
BYTES_PER_VOXEL = 110
SECONDS_PER_VOXEL = 6e-6
SECONDS_PER_BOX_PIXEL = 1.6e-7


class Validate3D(Action):
    """A validation report on one volume."""

    name = "validate-3d"
    title = "Validate 3D"
    summary = "Report what speaks for a map and against it."

    class Parameters(ActionParameters):
        """What is measured."""

        class_number: int = field(1, help="Class of the refinement that the volume was made from.", ge=1)
        reslog: bool = field(True, help="Reconstruct parts of the particles and read a B-factor from their resolution.")
        automask: bool = field(
            True, help="Mask of the volume, or one found in it; otherwise a sphere. A mask volume goes first."
        )
        outer_radius_A: float | None = field(
            None, help="Outer radius of the mask; none: 0.6 of the largest dimension, or the box.", unit="A", gt=0
        )
        ewald: bool = field(True, help="Ask the curvature of the Ewald sphere for the hand, where particles are known.")
        tilt_deg: float | None = field(
            None,
            help="Of a tilt pair: how far the specimen was turned, by the right-hand rule about the axis.",
            unit="deg", gt=-90, lt=90,
        )  # fmt: skip
        tilt_axis_deg: float = field(
            0.0, help="Of a tilt pair: direction of the axis in the image, from +x towards +y.", unit="deg"
        )

    inputs = (
        Input("volume", "volume", "The volume to judge, with half maps: one."),
        Input("mask", "volume", "Mask, 0 to 1, on the same grid.", required=False),
        Input("package", "package", "Its package, for views and ResLog, at the package's own poses.", required=False),
        Input("refinement", "refinement", "Its refinement, for views and ResLog instead.", required=False),
        Input(
            "substituted",
            "volume",
            "Volume of the same refinement of a package by substitute-noise, to tell overfitting.",
            required=False,
        ),
        Input(
            "tilted",
            "refinement",
            "The same particles, in the same order, with the specimen tilted: to tell the hand.",
            required=False,
        ),
        Input("model", "model", "Atomic model to compare with, and to tell the hand.", required=False),
    )
    outputs = ("validation",)

    @classmethod
    def fill_in(cls, project: Project, inputs: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
        """Look up where the noise of a volume's images begins, and what the halves were once aligned to."""
        chosen = [{**one, "noise_beyond_A": noise_beyond_A(project, one)} for one in inputs["substituted"]]
        return {**inputs, "substituted": chosen, "volume": with_shared_limits(project, inputs["volume"])}

    def estimate(self, parameters: Any, inputs: dict[str, list[dict[str, Any]]]) -> Estimate:
        """Say what the measures will take, from the records alone."""
        from verglas.execution.resources import Estimate

        if len(inputs["volume"]) != 1:
            raise InputError("a validation judges one volume: choose it with --volume.")
        for name in ("mask", "package", "refinement", "model", "substituted", "tilted"):
            if len(inputs.get(name) or []) > 1:
                raise InputError(f"give one {name} at most.")
        volume = inputs["volume"][0]
        if inputs.get("tilted"):
            if not (inputs.get("package") or inputs.get("refinement")):
                raise InputError("a tilt pair has two sides: choose the untilted particles with --refinement.")
            if not parameters.tilt_deg:
                raise InputError("say by how much the specimen was tilted, and about which axis: --tilt, --tilt-axis.")
        if len(half_map_paths(volume, [])) != 2:
            raise InputError(f"{volume['name']} has no half maps, without which little can be said: choose another.")
        check_grids([volume], inputs.get("mask") or [])
        for other in inputs.get("substituted") or []:
            check_grids([volume], [other])
            if len(half_map_paths(other, [])) != 2 or not other.get("noise_beyond_A"):
                raise InputError(
                    f"{other['name']} is no refined volume, with half maps, of a package that substitute-noise made: "
                    "refine that package with the settings of the volume that is judged, and choose what comes of it."
                )
        for refinement in inputs.get("refinement") or []:
            if parameters.class_number > len(refinement["details"]):
                raise InputError(f"{refinement['name']} has no class {parameters.class_number}.")
        voxels = (volume["n_x"] or 0) ** 3
        posed = [one["count"] for one in inputs.get("package") or []]
        posed += [one["particles_used"] or 0 for one in inputs.get("refinement") or []]
        seconds = 5.0 + voxels * SECONDS_PER_VOXEL + 3 * sum(posed) * (volume["n_x"] or 0) ** 2 * SECONDS_PER_BOX_PIXEL
        return Estimate(
            memory_bytes=INTERPRETER_BYTES + BYTES_PER_VOXEL * voxels,
            disk_bytes=2 * 2**20,
            core_seconds=seconds,
            tasks=1,
        )

    def run(self, context: JobContext) -> None:
        """Measure and write the report."""
        volume = context.inputs["volume"][0]
        if context.pending([volume], key=lambda one: str(one["id"])):
            validate(context, volume)


def validate(context: JobContext, volume: dict[str, Any]) -> None:
    """Measure one volume and record its report."""
    import numpy as np

    from verglas.engine.angular_distribution import views_of
    from verglas.formats import read_volume
    from verglas.stages.validation import figures_of, validate_halves, write_validation

    parameters, threads, pixel_size_A = context.parameters, context.threads, volume["pixel_size_A"]
    first, second = (read_volume(context.project / path)[0] for path in half_map_paths(volume, []))
    mean = np.float32(0.5) * (first + second)
    given = (context.inputs.get("mask") or [None])[0]  # type: ignore[list-item]
    radius_A = outer_radius_A(volume, parameters.outer_radius_A)
    mask = mask_for(
        volume, mean, context.project, given=given, automask=parameters.automask, radius_A=radius_A,
        inner_radius_A=0.0, mass_kDa=volume.get("mass_kDa"), threads=threads,
    )  # fmt: skip
    symmetry = str(volume.get("symmetry") or "C1")
    table, seen = particles_of(context), None
    if table is not None:
        seen = views_of(table, symmetry)
    views, view_weights = seen or (None, None)
    context.progress(1, 4, "halves and directions")
    found = validate_halves(
        first, second, mask, pixel_size_A, views=views, weights=view_weights, molecular_mass_kDa=volume.get("mass_kDa"),
        outer_radius_A=radius_A, shared=shared_start(volume, radius_A), threads=threads,
    )  # fmt: skip
    context.check()
    context.progress(2, 4, "atomic model")
    model = beside_model(context, mean, mask, pixel_size_A)
    context.check()
    context.progress(3, 4, "parts of the particles")
    reslog = None
    if table is not None and parameters.reslog:
        reslog = resolution_of_parts(context, table, symmetry, mask, pixel_size_A)
    hand = evidence_of_hand(context, volume, table, symmetry, (first, second), mask, found.curves, radius_A)
    for one in hand:
        context.message(f"{volume['name']}: the hand, by the {one.by}: {one.words}.")
    noise = beside_noise(context, (first, second), mask, pixel_size_A)
    if noise is not None:
        context.message(f"{volume['name']}: {noise.sentence()}", level="warning" if noise.overfitted else "info")
    files = write_validation(
        found, mean, context.results, f"validation_{context.job.number}_{volume['id']}",
        f"Validation of {volume['name']}",
        model=model, reslog=reslog, noise=noise, hand=hand, views_seen=seen,
    )  # fmt: skip
    figures = figures_of(found, model, reslog, noise, hand)
    for text in found.warnings:
        context.message(f"{volume['name']}: {text}", level="warning")
    context.result(str(volume["id"]), "validation", files, figures, of=("volume", volume["id"]))
    context.progress(4, 4, "done", now=True)


def particles_of(context: JobContext) -> ParticleTable | None:
    """Return the particles at the poses that were chosen, or None."""
    from verglas.formats import ParticleTable

    path: str | None = None
    for package in context.inputs.get("package") or []:
        path = package["particles_path"]
    for refinement in context.inputs.get("refinement") or []:
        path = refinement["details"][context.parameters.class_number - 1]["particles_path"]
    return None if path is None else ParticleTable.load(context.project / path)


def evidence_of_hand(
    context: JobContext, volume: dict[str, Any], table: ParticleTable | None, symmetry: str,
    halves: tuple[NDArray[np.float32], NDArray[np.float32]], mask: NDArray[np.float32], curves: HalfMapCurves,
    radius_A: float | None,
) -> list[HandEvidence]:  # fmt: skip
    """Return what the particles say of the hand: the curvature of the Ewald sphere, and a tilt pair."""
    import numpy as np

    from verglas.engine import ParticleStack
    from verglas.engine.half_maps import RADIUS_PART
    from verglas.engine.reconstruct_particles import particle_weights
    from verglas.formats import ParticleTable
    from verglas.geometry import euler_to_matrix
    from verglas.stages.validation import hand_from_ewald_sphere, hand_from_tilt_pairs

    found: list[HandEvidence] = []
    if table is None:
        return found
    parameters = context.parameters
    if parameters.ewald:
        radius = radius_A or RADIUS_PART * volume["n_x"] * volume["pixel_size_A"]
        with ParticleStack(table, context.project, np.flatnonzero(particle_weights(table) > 0.0)) as stack:
            by_sphere = hand_from_ewald_sphere(stack, halves, mask, curves, radius, threads=context.threads)
        found += [] if by_sphere is None else [by_sphere]
    for tilted in context.inputs.get("tilted") or []:
        other = ParticleTable.load(context.project / tilted["details"][0]["particles_path"])
        untilted, turned = (
            euler_to_matrix(*(np.deg2rad(one[name].astype(np.float64)) for name in ("rot_deg", "tilt_deg", "psi_deg")))
            for one in (table, other)
        )
        found.append(hand_from_tilt_pairs(untilted, turned, symmetry, parameters.tilt_deg, parameters.tilt_axis_deg))
    return found


def beside_model(
    context: JobContext, volume: NDArray[np.float32], mask: NDArray[np.float32], pixel_size_A: float
) -> ModelComparison | None:
    """Return the map beside the density of the chosen model, or None."""
    from verglas.stages.simulation import StackParameters, make_density, read_atoms
    from verglas.stages.validation import compare_with_model

    for model in context.inputs.get("model") or []:
        path: Path = context.project / model["path"]
        atoms = read_atoms(StackParameters(model=str(path)))
        density = make_density(atoms, len(volume), pixel_size_A)
        return compare_with_model(volume, density, mask, pixel_size_A, threads=context.threads)
    return None


def noise_beyond_A(project: Project, volume: dict[str, Any]) -> float | None:
    """Return where the noise begins in the images that a refined volume was made from; None where it has none."""
    for refinement in project.assets("refinement"):
        if any(one["volume_path"] == volume["path"] for one in refinement["details"]):
            for result in project.results("package", refinement["package"]):
                found = result["values"].get("noise_beyond_A")
                return None if found is None else float(found)
    return None


def beside_noise(
    context: JobContext, halves: tuple[NDArray[np.float32], NDArray[np.float32]], mask: NDArray[np.float32],
    pixel_size_A: float,
) -> NoiseSubstitution | None:  # fmt: skip
    """Return the halves beside those of images with substituted noise, or None."""
    from verglas.formats import read_volume
    from verglas.stages.validation import compare_with_noise

    for other in context.inputs.get("substituted") or []:
        first, second = (read_volume(context.project / path)[0] for path in half_map_paths(other, []))
        return compare_with_noise(
            halves, (first, second), mask, pixel_size_A, other["noise_beyond_A"], threads=context.threads
        )
    return None


def resolution_of_parts(
    context: JobContext, table: ParticleTable, symmetry: str, mask: NDArray[np.float32], pixel_size_A: float
) -> ResLog:
    """Reconstruct all particles, half of them, a quarter ... and return the resolution of each.

    Where pixels limit it, it says nothing of the particles and is not a number.
    """
    import numpy as np

    from verglas.engine.half_maps import judge_halves
    from verglas.engine.reconstruct_particles import particle_weights, reconstruct_particles
    from verglas.stages.validation import fit_reslog, subset_sizes

    used = np.flatnonzero(particle_weights(table) > 0.0)
    mixed = np.random.Generator(np.random.Philox(context.seed)).permutation(used)
    sizes, reached = subset_sizes(len(used)), []
    for size in sizes:
        context.check()
        work = reconstruct_particles(
            table, context.project, symmetry, threads=context.threads, rows=np.sort(mixed[:size])
        )
        maps = work.finish().half_maps
        curves = None if maps is None else judge_halves(*maps, mask, pixel_size_A, threads=context.threads)
        limited = curves is not None and curves.resolution.kind == "never below"
        reached.append(math.nan if limited else None if curves is None else curves.resolution_A)
    return fit_reslog(sizes, reached)

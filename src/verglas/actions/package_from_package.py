"""Package From Package: a package's particles and classes carried over into other classes or another symmetry."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from verglas.actions.declaration import Action, ActionParameters, Input, field
from verglas.actions.package_parts import (
    INTERPRETER_BYTES,
    SECONDS_PER_PIXEL,
    bring_rows,
    chunks_of,
    name_stack,
    record_package,
    target_like,
)
from verglas.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from verglas.execution.context import JobContext
    from verglas.execution.resources import Estimate
    from verglas.formats import ParticleTable
    from verglas.project import Project


class PackageFromPackage(Action):
    """A refinement package from another one and a refinement of it."""

    name = "package-from-package"
    title = "Package From Package"
    summary = "Carry the particles and classes of a package over into a new one."

    class Parameters(ActionParameters):
        """Which classes go where, and what else changes."""

        classes: int | None = field(None, help="Number of classes; none: as before, or as the map says.", ge=1, le=1000)
        class_map: str | None = field(
            None, help="Which old class goes into which new one: 1:1,2:1,4:2. Not named: left out."
        )
        carry: Literal["all", "mapped"] = field(
            "all", help="all particles; mapped: those whose best class goes into a new one."
        )
        parameters_of: Literal["best", "random"] = field(
            "best", help="Of classes that become one: parameters of the most occupied one, or of one at random."
        )
        occupancies: Literal["keep", "randomise"] = field(
            "keep", help="Keep occupancies, or put each particle into one class at random."
        )
        symmetry: str | None = field(None, help="Point group of the molecule; none: as before.")
        molecular_weight_kDa: float | None = field(None, help="Its mass; none: as before.", unit="kDa", gt=0)
        largest_dimension_A: float | None = field(None, help="Its largest dimension; none: as before.", unit="A", gt=0)
        remove_duplicates_A: float | None = field(
            None, help="Of particles nearer than this only one stays: the best score; none: keep all.", unit="A", gt=0
        )
        output_pixel_size_A: float | None = field(
            None, help="Pixel size of the images; none: as before.", unit="A", gt=0
        )
        box_size: int | None = field(
            None, help="Box of the images; none: the same field of view.", unit="pixels", ge=8, le=4096
        )
        half_precision: bool = field(False, help="Store float16, half the size.")
        package_name: str | None = field(None, help="Name of the package; none: Refinement Package and its number.")

    inputs = (
        Input("package", "package", "The package to start from: one."),
        Input("refinement", "refinement", "One of its refinements; none: what it started with.", required=False),
    )
    outputs = ("refinement_package", "refinement")

    @classmethod
    def fill_in(cls, project: Project, inputs: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
        """Choose the classes that a package started with, where it started with some."""
        if len(inputs["package"]) != 1 or inputs["refinement"]:
            return inputs
        number = inputs["package"][0]["id"]
        own = [one for one in project.assets("refinement") if (one["package"], one["method"]) == (number, "start")]
        return {**inputs, "refinement": own[:1]}

    def estimate(self, parameters: Any, inputs: dict[str, list[dict[str, Any]]]) -> Estimate:
        """Say what the images will take, from the records alone."""
        from verglas.execution.resources import Estimate
        from verglas.geometry import point_group

        package, refinement = one_of_each(inputs)
        sources_of(parameters, refinement)
        if parameters.symmetry is not None:
            point_group(parameters.symmetry)
        target = target_of(parameters, package)
        count, largest = package["count"], max(target.box, package["box_px"])
        return Estimate(
            memory_bytes=INTERPRETER_BYTES + 64 * 16 * largest**2 + count * 600 * (2 + refinement["classes"]),
            disk_bytes=2 * count * target.box**2 * (2 if parameters.half_precision else 4),
            core_seconds=count * largest**2 * SECONDS_PER_PIXEL,
            tasks=len(chunks_of([count])),
        )

    def run(self, context: JobContext) -> None:
        """Carry classes over, bring the images, and record the package and what it starts with."""
        from verglas.formats import ParticleTable
        from verglas.stages.extraction.class_transfer import transfer_classes
        from verglas.stages.extraction.combining import without_duplicates

        parameters = context.parameters
        package, refinement = one_of_each(context.inputs)
        sources = sources_of(parameters, refinement)
        old = [ParticleTable.load(context.project / one["particles_path"]) for one in refinement["details"]]
        moved = transfer_classes(
            old, sources, carry=parameters.carry, parameters_of=parameters.parameters_of,
            occupancies=parameters.occupancies, seed=context.seed,
        )  # fmt: skip
        rows, classes, best = moved.rows, moved.classes, moved.best
        if parameters.remove_duplicates_A is not None:
            (kept,) = without_duplicates([best], parameters.remove_duplicates_A, prefer=best["score"])
            rows, best, classes = rows[kept], best.select(kept), [one.select(kept) for one in classes]
        target = target_of(parameters, package)
        # Images are of the package's table, in whatever order a refinement has them: that is the same one.
        for table in (best, *classes):
            name_stack(table, context, target.box, target.pixel_size_A)
        start = "Random Parameters" if parameters.occupancies == "randomise" else "Starting Parameters"
        symmetry = parameters.symmetry or refinement["symmetry"] or package["symmetry"]
        if context.pending(["package"], key=str):
            parts = bring_rows(context, [package], [rows], target, half_precision=parameters.half_precision)
            record_package(
                context, parts, best, box=target.box, pixel_size_A=target.pixel_size_A,
                half_precision=parameters.half_precision,
                values={
                    "name": parameters.package_name, "symmetry": symmetry,
                    "mass_kDa": parameters.molecular_weight_kDa or package["mass_kDa"],
                    "largest_dimension_A": parameters.largest_dimension_A or package["largest_dimension_A"],
                    "classes": len(sources), "contrast_inverted": target.contrast_inverted, "start": start,
                    "packages": [package["id"]], "refinement": refinement["id"],
                    "class_map": [[one + 1 for one in source] for source in sources],
                },
            )  # fmt: skip
        if context.pending(["start"], key=str):
            record_start(context, classes, start, symmetry)


def one_of_each(inputs: dict[str, list[dict[str, Any]]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the package and the refinement to carry over.

    Raises
    ------
    InputError
        There are several, or they do not belong together.
    """
    from verglas.project.result_kinds.refinement import start_parameters

    packages, refinements = inputs["package"], inputs.get("refinement", [])
    if len(packages) != 1 or len(refinements) > 1:
        raise InputError("one package, and one refinement at most, are carried over: use --package and --refinement.")
    package = packages[0]
    if not refinements:
        return package, start_parameters(package)
    if refinements[0]["package"] != package["id"]:
        raise InputError(f"{refinements[0]['name']} is a refinement of package {refinements[0]['package']}; choose it.")
    return package, refinements[0]


def sources_of(parameters: Any, refinement: dict[str, Any]) -> tuple[tuple[int, ...], ...]:
    """Return which old classes each new one takes over."""
    from verglas.stages.extraction.class_transfer import class_sources

    return class_sources(parameters.class_map, refinement["classes"], parameters.classes)


def target_of(parameters: Any, package: dict[str, Any]) -> Any:
    """Return what images become."""
    known = {**package, "largest_dimension_A": parameters.largest_dimension_A or package["largest_dimension_A"]}
    return target_like(known, output_pixel_size_A=parameters.output_pixel_size_A, box_size=parameters.box_size)


def record_start(context: JobContext, classes: Sequence[ParticleTable], name: str, symmetry: str) -> None:
    """Record what the new package starts with: a refinement of it without maps."""
    files: dict[str, Path] = {}
    details = []
    for number, table in enumerate(classes, start=1):
        files[f"particles_{number}"] = context.results / f"start_{context.job.number}_par_{number}.npy"
        table.save(files[f"particles_{number}"])
        active = table["active"] > 0
        occupancy: np.ndarray = table["occupancy"][active if active.any() else slice(None)]
        details.append({
            "volume_path": None, "half_map_1_path": None, "half_map_2_path": None, "statistics_path": None,
            "volume_key": None, "resolution_A": None, "average_occupancy": float(occupancy.mean()),
        })  # fmt: skip
    context.result("start", "refinement", files, {
        "name": f"{name} #{context.job.number}", "package_key": "package", "method": "start", "symmetry": symmetry,
        "classes": len(classes), "round": 0, "rounds": 0, "particles_used": len(classes[0]), "limit_A": None,
        "resolution_A": None, "details": details,
    })  # fmt: skip

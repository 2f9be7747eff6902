"""Combine Packages: join refinement packages into one of one box and pixel size; also resamples one alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from verglas.actions.declaration import Action, ActionParameters, Input, field
from verglas.actions.package_parts import (
    INTERPRETER_BYTES,
    SECONDS_PER_PIXEL,
    bring_rows,
    chunks_of,
    record_package,
    stack_name,
    target_like,
)
from verglas.errors import InputError

if TYPE_CHECKING:
    from verglas.execution.context import JobContext
    from verglas.execution.resources import Estimate
    from verglas.stages.extraction.combining import Target


class CombinePackages(Action):
    """One refinement package from several, or from one at another pixel size."""

    name = "combine-packages"
    title = "Combine Packages"
    summary = "Join refinement packages, or resample one."

    class Parameters(ActionParameters):
        """What the joint images shall be; the first package decides what is not said."""

        output_pixel_size_A: float | None = field(
            None, help="Pixel size of all images; none: the first package's.", unit="A", gt=0
        )
        box_size: int | None = field(
            None, help="Box of all images; none: the first package's field of view.", unit="pixels", ge=8, le=4096
        )
        remove_duplicates_A: float | None = field(
            None, help="Leave out particles nearer than this to an earlier one; none: keep all.", unit="A", gt=0
        )
        half_precision: bool = field(False, help="Store float16, half the size.")
        package_name: str | None = field(None, help="Name of the package; none: Refinement Package and its number.")

    inputs = (Input("packages", "package", "Refinement packages."),)
    outputs = ("refinement_package",)

    def estimate(self, parameters: Any, inputs: dict[str, list[dict[str, Any]]]) -> Estimate:
        """Say what the images will take, from the packages' records alone."""
        from verglas.execution.resources import Estimate

        packages = inputs["packages"]
        target = target_of(parameters, packages)
        count = sum(package["count"] for package in packages)
        largest = max(target.box, *(package["box_px"] for package in packages))
        return Estimate(
            memory_bytes=INTERPRETER_BYTES + 64 * 16 * largest**2 + count * 600,
            disk_bytes=2 * count * target.box**2 * (2 if parameters.half_precision else 4),
            core_seconds=count * largest**2 * SECONDS_PER_PIXEL,
            tasks=len(chunks_of([package["count"] for package in packages])),
        )

    def run(self, context: JobContext) -> None:
        """Bring all images to one size, join them, and write the table."""
        from verglas.formats import ParticleTable
        from verglas.stages.extraction.combining import join_tables

        if not context.pending(["package"], key=str):
            return
        parameters, packages = context.parameters, context.inputs["packages"]
        target = target_of(parameters, packages)
        tables = [ParticleTable.load(context.project / package["particles_path"]) for package in packages]
        joined, kept = join_tables(tables, target, stack_name(context), least_distance_A=parameters.remove_duplicates_A)
        parts = bring_rows(context, packages, kept, target, half_precision=parameters.half_precision)
        first = packages[0]
        kept_facts = ("symmetry", "mass_kDa", "largest_dimension_A", "classes", "start")
        record_package(
            context, parts, joined, box=target.box, pixel_size_A=target.pixel_size_A,
            half_precision=parameters.half_precision,
            values={name: first[name] for name in kept_facts} | {
                "name": parameters.package_name, "contrast_inverted": target.contrast_inverted,
                "packages": [package["id"] for package in packages],
                "duplicates": sum(map(len, tables)) - len(joined),
            },
        )  # fmt: skip


def target_of(parameters: Any, packages: list[dict[str, Any]]) -> Target:
    """Return what all images become.

    Raises
    ------
    InputError
        Packages of different sizes are to be joined and no common size was given.
    """
    from verglas.stages.extraction.combining import SAME_PIXEL

    first = packages[0]
    for other in packages[1:]:
        same = abs(other["pixel_size_A"] / first["pixel_size_A"] - 1) < SAME_PIXEL
        if not same and parameters.output_pixel_size_A is None:
            raise InputError(
                f"{first['name']} has pixels of {first['pixel_size_A']:g} A and {other['name']} of "
                f"{other['pixel_size_A']:g} A; say to which all shall come: --output-pixel-size."
            )
        if other["symmetry"] != first["symmetry"]:
            raise InputError(f"{first['name']} and {other['name']} differ in symmetry; they do not belong together.")
    return target_like(
        first, output_pixel_size_A=parameters.output_pixel_size_A, box_size=parameters.box_size
    )  # fmt: skip

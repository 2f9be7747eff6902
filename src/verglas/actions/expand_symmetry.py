"""Expand Symmetry: a package in which each particle stands once for each of its symmetric views, without symmetry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from verglas.actions.declaration import Action, ActionParameters, Input, field
from verglas.actions.package_from_package import one_of_each, record_start
from verglas.errors import InputError

if TYPE_CHECKING:
    from verglas.execution.context import JobContext
    from verglas.execution.resources import Estimate

INTERPRETER_BYTES = 230 * 2**20
BYTES_A_PARTICLE = 300


class ExpandSymmetry(Action):
    """A package of symmetric copies; the images are those of the old one and are not copied."""

    name = "expand-symmetry"
    title = "Expand Symmetry"
    summary = "Make a package with each particle once for each of its symmetric views."

    class Parameters(ActionParameters):
        """Which symmetry."""

        symmetry: str | None = field(None, help="Point group; none: that of the refinement or package.")
        package_name: str | None = field(None, help="Name of the package; none: that of the old one and its symmetry.")

    inputs = (
        Input("package", "package", "The package to start from: one."),
        Input("refinement", "refinement", "Whose poses are expanded; none: the package's own.", required=False),
    )
    outputs = ("refinement_package", "refinement")

    def estimate(self, parameters: Any, inputs: dict[str, list[dict[str, Any]]]) -> Estimate:
        """Say what the tables will take, from the records alone."""
        from verglas.execution.resources import Estimate
        from verglas.geometry import point_group

        package, refinement = one_of_each(inputs)
        order = point_group(symmetry_of(parameters, package, refinement)).order
        if order < 2:
            raise InputError("without symmetry there is nothing to expand; name a point group with --symmetry.")
        size = package["count"] * order * BYTES_A_PARTICLE * (1 + refinement["classes"])
        return Estimate(memory_bytes=INTERPRETER_BYTES + 3 * size, disk_bytes=3 * size, core_seconds=5.0, tasks=1)

    def run(self, context: JobContext) -> None:
        """Write the tables and record the package and what it starts with."""
        from verglas.formats import ParticleTable, write_particles
        from verglas.stages.extraction.symmetry_expansion import expand_symmetry

        package, refinement = one_of_each(context.inputs)
        symmetry = symmetry_of(context.parameters, package, refinement)
        classes = [
            expand_symmetry(ParticleTable.load(context.project / one["particles_path"]).copy(), symmetry)
            for one in refinement["details"]
        ]
        first = classes[0]
        if context.pending(["package"], key=str):
            stem = f"particle_stack_{context.job.number}"
            files = {"particles": context.results / f"{stem}.npy", "star": context.results / f"{stem}.star"}
            first.save(files["particles"])
            write_particles(first, files["star"])
            context.result("package", "refinement_package", files, {
                "name": context.parameters.package_name or f"{package['name']} - Views of {symmetry}",
                "stack_path": package["path"], "count": len(first),
                "micrographs": package["micrographs"], "box_px": package["box_px"],
                "pixel_size_A": package["pixel_size_A"], "file_bytes": 0, "symmetry": "C1",
                "mass_kDa": package["mass_kDa"], "largest_dimension_A": package["largest_dimension_A"],
                "classes": len(classes), "contrast_inverted": bool(package["contrast_inverted"]),
                "start": "Starting Parameters", "packages": [package["id"]], "refinement": refinement["id"],
                "expanded_from": symmetry,
                "half_set_1": int((first["half_set"] == 1).sum()), "half_set_2": int((first["half_set"] == 2).sum()),
            })  # fmt: skip
        if context.pending(["start"], key=str):
            record_start(context, classes, "Starting Parameters", "C1")


def symmetry_of(parameters: Any, package: dict[str, Any], refinement: dict[str, Any]) -> str:
    """Return the point group that is expanded."""
    return str(parameters.symmetry or refinement["symmetry"] or package["symmetry"] or "C1")

"""A refinement package: a stack of particles with their table, and what is known of the molecule."""

from __future__ import annotations

from verglas.project.result_kinds.kind import Record, ResultKind

COLUMNS = (
    "file_bytes", "count", "micrographs", "box_px", "pixel_size_A", "symmetry", "mass_kDa", "largest_dimension_A",
    "classes", "contrast_inverted", "start",
)  # fmt: skip


def stack_stem(job: int | None, key: str) -> str:
    """Return the name of a package's files: after its job or import, which know it before the package has a number."""
    return f"imported_stack_{key}" if job is None else f"particle_stack_{job}"


def _columns(_of: Record, result: Record) -> Record:
    values, files = result["values"], result["files"]
    columns = {name: values.get(name) for name in COLUMNS}
    columns["contrast_inverted"] = int(bool(values.get("contrast_inverted")))
    return {
        "path": files.get("stack") or values["stack_path"],
        "particles_path": files["particles"],
        "star_path": files.get("star"),
        **columns,
    }


REFINEMENT_PACKAGE = ResultKind(
    name="refinement_package",
    of_kind="package",
    product_kind="package",
    product_name=lambda number: f"Refinement Package #{number}",
    file_stem=lambda package, _: stack_stem(package["job"], package["key"]),
    folders={
        "stack": "Assets/ParticleStacks",
        "particles": "Assets/ParticleStacks",
        "star": "Assets/ParticleStacks",
        "picture": "Assets/ParticleStacks",
    },
    product_columns=_columns,
    parent_column="id",
    active_column="creation",
    makes_asset=True,
)

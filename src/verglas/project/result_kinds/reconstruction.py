"""A reconstruction: the map of a package's particles, a volume of the project with its half maps."""

from __future__ import annotations

from verglas.project.result_kinds.kind import Record, ResultKind

COLUMNS = (
    "file_bytes", "n_x", "n_y", "n_z", "pixel_size_A", "package", "symmetry", "mass_kDa", "largest_dimension_A",
    "resolution_A",
)  # fmt: skip


def volume_stem(job: int | None, key: str) -> str:
    """Return the name of a reconstruction's files, which its job knows before the volume has a number.

    A job that wants another name gives it as ``stem`` among the result's values.
    """
    return f"generate3d_volume_{job}_{key}"


def _columns(_of: Record, result: Record) -> Record:
    values, files = result["values"], result["files"]
    return {
        "path": files["map"],
        "half_map_1_path": files.get("half_map_1"),
        "half_map_2_path": files.get("half_map_2"),
        **{name: values.get(name) for name in COLUMNS},
    }


RECONSTRUCTION = ResultKind(
    name="reconstruction",
    of_kind="volume",
    product_kind="volume",
    product_name=lambda number: f"Reconstruction #{number}",
    file_stem=lambda volume, _: volume["stem"] or volume_stem(volume["job"], volume["key"]),
    folders={
        "map": "Assets/Volumes",
        "half_map_1": "Assets/Volumes",
        "half_map_2": "Assets/Volumes",
        "statistics": "Assets/Volumes",
        "fsc_table": "Assets/Volumes",
        "views": "Assets/Volumes/OrthViews",
        "picture": "Assets/Volumes/OrthViews",
    },
    endings={"half_map_1": "_map1", "half_map_2": "_map2", "fsc_table": "_statistics"},
    product_columns=_columns,
    parent_column="id",
    active_column="reconstruction",
    makes_asset=True,
)

"""One round of a 2D classification: class averages, the particles' classes, a picture."""

from __future__ import annotations

from verglas.project.result_kinds.kind import Record, ResultKind

COLUMNS = ("package", "round", "rounds", "classes", "particles_used", "limit_A", "pixel_size_A", "mask_radius_A")
FOLDER = "Assets/ClassAverages"


def _columns(_of: Record, result: Record) -> Record:
    values, files = result["values"], result["files"]
    return {
        "path": files["averages"],
        "particles_path": files["particles"],
        "picture_path": files.get("picture"),
        "star_path": files.get("star"),
        **{name: values.get(name) for name in COLUMNS},
    }


CLASSIFICATION = ResultKind(
    name="classification",
    of_kind="classification",
    product_kind="classification",
    product_name=lambda number: f"Classification #{number}",
    file_stem=lambda made, _: f"class_averages_{made['id']:04d}",
    folders={"averages": FOLDER, "particles": FOLDER, "picture": FOLDER, "curves": FOLDER, "star": FOLDER},
    endings={"curves": "_curves"},
    product_columns=_columns,
    parent_column="id",
    active_column="creation",
    makes_asset=True,
)

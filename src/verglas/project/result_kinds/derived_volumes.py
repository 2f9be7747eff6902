"""Volumes made from a volume: sharpened, its local resolution, locally filtered; each knows where it comes from."""

from __future__ import annotations

from verglas.project.result_kinds.kind import Record, ResultKind

FOLDER = "Assets/Volumes"
VIEWS = "Assets/Volumes/OrthViews"
COLUMNS = (
    "file_bytes", "n_x", "n_y", "n_z", "pixel_size_A", "package", "parent_volume", "symmetry", "mass_kDa",
    "largest_dimension_A", "resolution_A", "half_map_1_path", "half_map_2_path", "mask_path",
)  # fmt: skip
HALVES = ("half_map_1", "half_map_2")
ENDINGS = {
    "half_map_1": "_map1", "half_map_2": "_map2", "masked": "_masked", "mask": "_mask", "fsc_xml": "_fsc",
}  # fmt: skip


def derived_stem(kind: str, job: int | None, key: str) -> str:
    """Return the name of a derived volume's files, which its job knows before the volume has a number."""
    return f"{kind}_{job}_{key.removeprefix(f'{kind}-')}"


def _columns(_of: Record, result: Record) -> Record:
    values, files = result["values"], result["files"]
    # A changed hand has halves of its own; otherwise they are those of the volume it was made from.
    own = {f"{role}_path": files[role] for role in (*HALVES, "mask") if role in files}
    return {"path": files["map"], **{name: values.get(name) for name in COLUMNS}, **own}


def _derived(name: str, title: str) -> ResultKind:
    volumes = ("map", *HALVES, "masked", "mask", "statistics", "fsc_xml")
    return ResultKind(
        name=name,
        of_kind="volume",
        product_kind="volume",
        product_name=lambda number: f"{title} #{number}",
        file_stem=lambda volume, _: derived_stem(name, volume["job"], volume["key"]),
        folders={**dict.fromkeys(volumes, FOLDER), **dict.fromkeys(("views", "picture"), VIEWS)},
        endings=ENDINGS,
        product_columns=_columns,
        parent_column="id",
        active_column="creation",
        makes_asset=True,
    )


SHARPENED_VOLUME = _derived("sharpened_volume", "Sharpened")
LOCAL_RESOLUTION = _derived("local_resolution", "Local Resolution")
LOCALLY_FILTERED = _derived("locally_filtered", "Locally Filtered")
DERIVED_VOLUMES = (SHARPENED_VOLUME, LOCAL_RESOLUTION, LOCALLY_FILTERED)

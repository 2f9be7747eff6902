"""A validation: a report on a volume, with its figures and a picture."""

from __future__ import annotations

from verglas.project.result_kinds.kind import ResultKind

FOLDER = "Assets/Volumes"

VALIDATION = ResultKind(
    name="validation",
    of_kind="volume",
    product_kind="volume",
    product_name=lambda volume: volume,
    file_stem=lambda volume, earlier: f"validation_{volume['id']}_{earlier}",
    folders={"report": FOLDER, "figures": FOLDER, "picture": "Assets/Volumes/OrthViews"},
    product_columns=lambda _volume, _result: {},
    parent_column="id",
    active_column="validation",
)

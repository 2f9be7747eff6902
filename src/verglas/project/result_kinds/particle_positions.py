"""The particles picked in one image: a table of positions in a file of its own, never rows of the database."""

from __future__ import annotations

from verglas.project.result_kinds.kind import Record, ResultKind


def _positions(image: Record, result: Record) -> Record:
    return {
        "path": result["files"]["positions"],
        "file_bytes": result["values"].get("file_bytes"),
        "count": result["values"]["count"],
    }


PARTICLE_POSITIONS = ResultKind(
    name="particle_positions",
    of_kind="image",
    product_kind="positions",
    product_name=lambda image: f"{image}_positions",
    file_stem=lambda image, earlier: f"{image['name']}_COOS_{image['id']}_{earlier}",
    folders={
        "positions": "Assets/ParticlePosition",
        "diagnostic": "Assets/ParticlePosition",
        "candidates": "Assets/ParticlePosition",
    },
    product_columns=_positions,
    parent_column="image",
    active_column="picking",
    endings={"candidates": "_candidates"},
)

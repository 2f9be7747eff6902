"""What came from what: which job's results went into which job."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from verglas.errors import NotFoundError
from verglas.execution.job_folder import JobFolder
from verglas.project.assets import Record
from verglas.project.project import Project
from verglas.project.result_kinds import RESULT_KINDS


def job_edges(project: Project) -> list[tuple[int, int]]:
    """Return pairs of job numbers: the first made a result that the second worked on, as it was active then.

    Parameters
    ----------
    project
        An open project, with all results taken in.
    """
    columns: dict[str, set[str]] = {}
    for kind in RESULT_KINDS.values():
        columns.setdefault(kind.product_kind, set()).add(kind.active_column)
    maker: dict[int, int | None] = {row["id"]: row["job"] for row in project.results()}
    edges: set[tuple[int, int]] = set()
    for job in JobFolder.all_in(project.layout.jobs):
        for record in (one for records in job.request().inputs.values() for each in records for one in _chain(each)):
            for column in columns.get(str(record.get("kind")), ()):
                number = record.get(column)
                if number is None:
                    continue
                if number not in maker:  # its result lies in the trash, or is gone
                    maker[number] = None
                    with suppress(NotFoundError):
                        maker[number] = project.result(number)["job"]
                made_by = maker[number]
                if made_by is not None:
                    edges.add((made_by, job.number))
    return sorted(edges)


def _chain(record: Record) -> Iterator[Record]:
    """Yield a record and those of what it was made from, as far as the request holds them."""
    yield record
    if isinstance(record.get("parent"), dict):
        yield from _chain(record["parent"])

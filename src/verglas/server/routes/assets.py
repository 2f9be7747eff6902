"""Assets: pages of rows, one asset with its results, groups, and choosing by figures."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response

from verglas.errors import InputError
from verglas.project.assets import FLAGS, JSON_COLUMNS
from verglas.project.curation import Condition, choose
from verglas.server.answers import answer
from verglas.server.workspace import OpenProject, Workspace

MOST_ROWS = 2000


def add_routes(router: APIRouter, workspace: Workspace) -> None:
    """Add the routes."""

    @router.get("/projects/{key}/assets/{kind}")
    def rows(
        key: str, kind: str, group: str = "0", name: str | None = None, sort: str | None = None,
        descending: bool = False, offset: Annotated[int, Query(ge=0, le=2**40)] = 0,
        limit: Annotated[int, Query(ge=0, le=MOST_ROWS)] = 200,
        where: Annotated[list[str] | None, Query(max_length=20)] = None,
    ) -> Response:  # fmt: skip
        """Return a page of rows, and how many there are."""
        opened = workspace.get(key)
        project = opened.project
        if where or (sort and "." in sort):
            found = chosen(opened, kind, group, name, where or [], sort, descending=descending)
            return answer({"total": len(found), "rows": found[offset : offset + limit]})
        number = project.group(kind, group)[0]
        chosen_rows = project.assets(
            kind, group=number, name=name, limit=limit, offset=offset, sort=sort, descending=descending
        )
        return answer({"total": project.count(kind, group=number, name=name), "rows": chosen_rows})

    @router.get("/projects/{key}/assets/{kind}/numbers")
    def numbers(
        key: str, kind: str, group: str = "0", name: str | None = None,
        where: Annotated[list[str] | None, Query(max_length=20)] = None,
    ) -> Response:  # fmt: skip
        """Return the numbers of all assets that are chosen."""
        opened = workspace.get(key)
        if where:
            rows = chosen(opened, kind, group, name, where, None, descending=False)
        else:
            rows = opened.project.assets(kind, group=opened.project.group(kind, group)[0], name=name)
        return answer({"numbers": [row["id"] for row in rows]})

    @router.get("/projects/{key}/assets/{kind}/figures")
    def figures(key: str, kind: str, group: str = "0", name: str | None = None) -> Response:
        """Return the names of all figures, or the values of one with the assets' numbers."""
        known = workspace.get(key).figures(kind, group)
        names = list(known[0][1]) if known else []
        if name is None:
            return answer({"names": names})
        if name not in names:
            raise InputError(f"no figure is called {name!r}.")
        return answer({"numbers": [asset["id"] for asset, _ in known], "values": [one[name] for _, one in known]})

    @router.get("/projects/{key}/assets/{kind}/{number}")
    def one(key: str, kind: str, number: int) -> Response:
        """Return one asset with all its results and notes."""
        project = workspace.get(key).project
        asset = project.asset(kind, number)
        results = project.results(kind, number)
        if kind == "image" and asset["parent_movie"] is not None:
            results = [*project.results("movie", asset["parent_movie"]), *results]
        notes = [note for note in project.notes() if (note["about_kind"], note["about_id"]) == (kind, number)]
        return answer({"asset": asset, "results": results, "notes": notes})

    @router.get("/projects/{key}/groups/{kind}")
    def groups(key: str, kind: str) -> Response:
        """Return the groups of a kind."""
        return answer({"groups": workspace.get(key).project.groups(kind)})

    @router.get("/projects/{key}/results/{number}")
    def result(key: str, number: int) -> Response:
        """Return one result."""
        return answer(workspace.get(key).project.result(number))


def chosen(
    opened: OpenProject,
    kind: str,
    group: str,
    name: str | None,
    where: list[str],
    sort: str | None,
    *,
    descending: bool,
) -> list[dict[str, Any]]:
    """Return the assets that fulfil all conditions, sorted by a column or by a figure of their results."""
    project = opened.project
    known = opened.figures(kind, group)
    names = set(known[0][1]) if known else set()
    by_figure = sort if sort in names else None
    taken, _ = choose(known, [Condition.parse(text) for text in where], by_figure, descending=descending)
    rows = [asset for asset, _ in taken]
    if name is not None:
        fitting = {row["id"] for row in project.assets(kind, group=group, name=name)}
        rows = [row for row in rows if row["id"] in fitting]
    if sort and by_figure is None and rows:
        if sort not in rows[0] or sort in JSON_COLUMNS | FLAGS:
            raise InputError(f"a {kind} has no figure {sort!r} to sort by.")
        known_rows = sorted(
            (row for row in rows if row[sort] is not None), key=lambda row: row[sort], reverse=descending
        )
        rows = known_rows + [row for row in rows if row[sort] is None]
    return rows

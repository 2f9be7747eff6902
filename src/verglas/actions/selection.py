"""Choose the assets that an action works on: all, a group or one asset by its name, or assets by their numbers."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from verglas.errors import InputError, NotFoundError
from verglas.project.assets import PARENTS

if TYPE_CHECKING:
    from verglas.actions.declaration import Action
    from verglas.actions.launch import Assets
    from verglas.project import Project

Choice = str | Iterable[int] | None
"""Numbers and names of groups or assets (as text ``"3"``, ``"good"`` or ``"1,5,good"``), or None for all."""


def select_inputs(project: Project, action: type[Action], choices: dict[str, Choice]) -> Assets:
    """Return the records of the chosen assets by input; where none are chosen, all or none as the input declares.

    Raises
    ------
    NotFoundError
        There is no such group or asset.
    """
    found: Assets = {}
    for declared in action.inputs:
        choice = choices.get(declared.name)
        if choice is None:
            found[declared.name] = project.assets(declared.kind) if declared.takes_all else []
        elif isinstance(choice, str):
            found[declared.name] = _named(project, declared.kind, choice)
        else:
            found[declared.name] = [project.asset(declared.kind, int(number)) for number in choice]
        if declared.with_parents:
            found[declared.name] = [_with_parents(project, record) for record in found[declared.name]]
    return action.fill_in(project, found)


def _named(project: Project, kind: str, text: str) -> list[dict[str, Any]]:
    """Return the assets that a text names: by a number, a group's or an asset's name, or several with commas."""
    if text.isdigit():
        return [project.asset(kind, int(text))]
    with suppress(NotFoundError):
        return project.assets(kind, group=text)
    with suppress(NotFoundError):
        return [project.asset(kind, text)]
    parts = [part.strip() for part in text.split(",")]
    if len(parts) > 1:
        found = {one["id"]: one for part in parts if part for one in _named(project, kind, part)}
        return list(found.values())
    raise NotFoundError(
        f"there is neither a group of kind {kind} nor a {kind} called {text!r}. `verglas groups list` and "
        "`verglas list` show those there are."
    )


def _with_parents(project: Project, record: dict[str, Any]) -> dict[str, Any]:
    """Return a record with that of what it was made from, and so on."""
    kind, column = PARENTS.get(record["kind"], (None, ""))
    if kind is None or record[column] is None:
        return record
    return {**record, "parent": _with_parents(project, project.asset(kind, record[column]))}


def only(name: str, records: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the one record of an input that takes one.

    Raises
    ------
    InputError
        There are several, or none.
    """
    if not records:
        raise InputError(f"there is no {name}; name one with --{name}.")
    if len(records) > 1:
        numbers = ", ".join(f"{one['id']} ({one['name']})" for one in records)
        raise InputError(f"this works on one {name}; choose one of {numbers} with --{name}.")
    return records[0]

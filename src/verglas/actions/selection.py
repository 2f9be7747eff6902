"""Choose the assets that an action works on: all, a group by its name, or assets by their numbers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from verglas.actions.declaration import Action
    from verglas.actions.launch import Assets
    from verglas.project import Project

Choice = str | Iterable[int] | None
"""A group's name, numbers (``"3"`` or ``"1,5,9"`` as text), or None for all."""


def select_inputs(project: Project, action: type[Action], choices: dict[str, Choice]) -> Assets:
    """Return the records of the chosen assets by input; of an input that is not required, none unless chosen.

    Raises
    ------
    NotFoundError
        There is no such group or asset.
    """
    found: Assets = {}
    for declared in action.inputs:
        choice = choices.get(declared.name)
        if choice is None:
            found[declared.name] = project.assets(declared.kind) if declared.required else []
        elif isinstance(choice, str) and not choice.replace(",", "").isdigit():
            found[declared.name] = project.assets(declared.kind, group=choice)
        else:
            numbers = choice.split(",") if isinstance(choice, str) else choice
            found[declared.name] = [project.asset(declared.kind, int(number)) for number in numbers]
    return found

"""Choose assets by figures: their own columns and what their active results found."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from verglas.errors import InputError
from verglas.project.assets import Record
from verglas.project.project import Project

COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le, ">=": operator.ge, "!=": operator.ne, "<": operator.lt, ">": operator.gt, "=": operator.eq,
}  # fmt: skip
_CONDITION = re.compile(r"\s*([\w.]+)\s*(<=|>=|!=|<|>|=)\s*(\S+)\s*")
Figures = dict[str, float | None]


@dataclass(frozen=True)
class Condition:
    """What a figure must be: its name, a comparison (``<``, ``<=``, ``>``, ``>=``, ``=``, ``!=``) and a number."""

    name: str
    comparison: str
    number: float

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Read a condition such as ``ctf_fit_resolution_A < 5``.

        Raises
        ------
        InputError
            It is no condition.
        """
        found = _CONDITION.fullmatch(text)
        try:
            if found:
                return cls(found[1], found[2], float(found[3]))
        except ValueError:
            pass
        raise InputError(
            f"{text!r} is no condition; write a name, one of {' '.join(COMPARISONS)} and a number, "
            "for example 'ctf_fit_resolution_A < 5'."
        )

    def holds(self, figures: Figures) -> bool:
        """Say whether figures fulfil the condition; one that is not known fulfils none."""
        value = figures[self.name]
        return value is not None and COMPARISONS[self.comparison](value, self.number)


def figures_of(project: Project, kind: str, group: int | str = 0) -> list[tuple[Record, Figures]]:
    """Return assets with all numbers known about each.

    Parameters
    ----------
    project
        An open project.
    kind, group
        Of the assets.

    Returns
    -------
    list of (asset, figures)
        Figures have the names of the asset's columns, and ``kind_of_result.name`` for those of its active results: what
        was found about it and what it was made by. Every asset has all names; None stands for what is not known.
    """
    assets = project.assets(kind, group=group)
    numbers: dict[int, Figures] = {asset["id"]: _numbers(asset) for asset in assets}
    for result in project.results():
        for place in (result["of"], result["product"]):
            if result["active"] and place["kind"] == kind and place["id"] in numbers:
                found = _numbers(result["values"])
                numbers[place["id"]] |= {f"{result['kind']}.{name}": value for name, value in found.items()}
    names = sorted({name for one in numbers.values() for name in one})
    return [(asset, {name: numbers[asset["id"]].get(name) for name in names}) for asset in assets]


def listed(project: Project, kind: str, text: str) -> set[int]:
    """Return the numbers of assets named one by one.

    Parameters
    ----------
    project
        An open project.
    kind
        Of the assets.
    text
        Numbers with commas, or a text file with a number or name a line (``#`` begins a comment).

    Raises
    ------
    InputError, NotFoundError
        Something named is not there, or the name is not unique.
    """
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdigit() for word in words):
        try:
            lines = Path(text).read_text().splitlines()
        except OSError as error:
            raise InputError(f"{text!r} is neither numbers with commas nor a readable file ({error}).") from None
        words = [line.split("#")[0].strip() for line in lines]
    found = (project.asset(kind, int(word) if word.isdigit() else word) for word in words if word)
    return {int(asset["id"]) for asset in found}


def keep_as_group(project: Project, kind: str, name: str, members: Sequence[int]) -> None:
    """Make a group of assets, or bring the group of that name up to date."""
    known = {group["name"]: group["id"] for group in project.groups(kind)}
    if name not in known:
        project.edit({"edit": "group.add", "kind": kind, "name": name, "members": list(members)})
        return
    before = {asset["id"] for asset in project.assets(kind, group=known[name])}
    for edit, changed in (("group.join", set(members) - before), ("group.leave", before - set(members))):
        if changed:
            project.edit({"edit": edit, "kind": kind, "group": known[name], "members": sorted(changed)})


def figures_of_one(project: Project, asset: Record) -> Figures:
    """Return all numbers known about one asset, by the names that `figures_of` gives them; other names are not there.

    Parameters
    ----------
    project
        An open project.
    asset
        Its record. Of an image, what its movie's alignment found counts too.
    """
    found = _numbers(asset)
    results = project.results(asset["kind"], asset["id"])
    if asset.get("parent_movie") is not None:
        results += [one for one in project.results("movie", asset["parent_movie"]) if one["product"]["kind"] == "image"]
    for result in results:
        if result["active"]:
            found |= {f"{result['kind']}.{name}": value for name, value in _numbers(result["values"]).items()}
    return found


def _numbers(values: Record) -> Figures:
    return {
        name: None if value is None else float(value)
        for name, value in values.items()
        if name not in {"id", "trash"} and (value is None or isinstance(value, (bool, int, float)))
    }


def choose(
    known: Sequence[tuple[Record, Figures]], conditions: Sequence[Condition], sort: str | None, *, descending: bool
) -> tuple[list[tuple[Record, Figures]], list[tuple[Record, Figures]]]:
    """Return the assets that fulfil all conditions, sorted, and those that do not.

    Parameters
    ----------
    known
        From `figures_of`.
    conditions
        All must hold.
    sort
        Name of the figure to sort by; None keeps the order. What is not known comes last.
    descending
        Largest first.

    Raises
    ------
    InputError
        There is no figure of that name.
    """
    names = set(known[0][1]) if known else set()
    for name in [condition.name for condition in conditions] + ([sort] if sort else []):
        if known and name not in names:
            raise InputError(f"no figure is called {name!r}; there are {', '.join(sorted(names))}.")
    taken = [one for one in known if all(condition.holds(one[1]) for condition in conditions)]
    left = [one for one in known if not all(condition.holds(one[1]) for condition in conditions)]
    if sort:

        def key(one: tuple[Record, Figures]) -> float:
            value = one[1][sort]
            return math.inf if value is None else -value if descending else value

        taken.sort(key=key)
    return taken, left

"""2D classes of a classification with their figures, and the selections that a person or a score makes of them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from verglas.errors import InputError, NotFoundError
from verglas.project.assets import Record
from verglas.project.project import Project

SUGGESTED = 0.4
"""Classes with at least this score are suggested."""


def find_classification(project: Project, which: int | str) -> Record:
    """Return a classification by number, name, or ``last``.

    Raises
    ------
    NotFoundError
        There is none.
    """
    if which == "last":
        found = project.assets("classification")
        if not found:
            raise NotFoundError("the project has no classification; run `verglas classify-2d`.")
        return found[-1]
    return project.asset("classification", int(which) if str(which).isdigit() else which)


def classes_of(project: Project, which: int | str) -> list[Record]:
    """Return the classes of a classification.

    Parameters
    ----------
    project
        An open project.
    which
        Number or name of the classification, or ``last``.

    Returns
    -------
    list of dict
        ``number`` (from 1), ``particles`` (sum of weights), ``resolution_A`` (None: not resolved), ``quality`` (0 to 1)
        and ``reasons``.
    """
    classification = find_classification(project, which)
    values = project.result(classification["creation"])["values"]
    columns = (values[name] for name in ("occupancy", "resolution_A", "quality", "reasons"))
    return [
        {"number": number, "particles": held, "resolution_A": resolution, "quality": quality, "reasons": reasons}
        for number, (held, resolution, quality, reasons) in enumerate(zip(*columns, strict=True), start=1)
    ]


def parse_classes(text: str) -> list[int]:
    """Read class numbers such as ``1,4,7-9``.

    Raises
    ------
    InputError
        It is no list of numbers.
    """
    found: list[int] = []
    for part in filter(None, text.replace(" ", "").split(",")):
        ends = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
        if ends is None or int(ends[2] or ends[1]) < int(ends[1]):
            raise InputError(f"{part!r} is no class; write numbers and ranges such as 1,4,7-9.")
        found += range(int(ends[1]), int(ends[2] or ends[1]) + 1)
    return found


def select_classes(
    project: Project, which: int | str, classes: Iterable[int], *, name: str | None = None, note: str | None = None
) -> Record:
    """Make a selection of classes and return it.

    Parameters
    ----------
    project
        A project opened for writing.
    which
        Number or name of the classification, or ``last``.
    classes
        Numbers from 1.
    name
        Of the selection; none: Selection and its number.
    note
        Why, for people.
    """
    classification = find_classification(project, which)
    line = project.edit({
        "edit": "selection.add", "classification": classification["id"], "members": list(classes), "name": name,
        "note": note,
    })  # fmt: skip
    return project.asset("selection", line["selection"])


def suggest_classes(project: Project, which: int | str, least: float = SUGGESTED) -> list[int]:
    """Return the numbers of the classes whose quality is at least ``least``; nothing is changed."""
    return [one["number"] for one in classes_of(project, which) if (one["quality"] or 0.0) >= least]


def change_selection(project: Project, selection: int | str, **change: Any) -> Record:
    """Change a selection and return it.

    Parameters
    ----------
    project
        A project opened for writing.
    selection
        Its number or name.
    **change
        ``include`` and ``exclude`` (class numbers), ``invert=True``, ``clear=True``.
    """
    number = project.asset("selection", selection)["id"]
    project.edit({"edit": "selection.change", "selection": number, **change})
    return project.asset("selection", number)


def copy_selection(
    project: Project, selection: int | str, *, name: str | None = None, to: int | str | None = None
) -> Record:
    """Copy a selection, also to another round of as many classes, and return the copy."""
    request: Record = {"edit": "selection.add", "copy_of": project.asset("selection", selection)["id"], "name": name}
    if to is not None:
        request["classification"] = find_classification(project, to)["id"]
    return project.asset("selection", project.edit(request)["selection"])

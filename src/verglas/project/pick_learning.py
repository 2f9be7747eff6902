"""Pick and learn: drop picks whose particles fell into classes that were not kept, and learn a threshold from them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from verglas.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from verglas.project.project import Project

SAME_PICK_A = 20.0
"""A particle belongs to a pick no farther away than this: packages may have been recentred since."""
LEAST_OF_EACH = 10
"""Picks kept and dropped without which no threshold is learned."""
TOLD_APART = 0.7
"""Part of both on a threshold's right side without which it is of no use."""


def learn_picks(
    project: Project, selection: int | str, *, keep_unclassified: bool = True, distance_A: float = SAME_PICK_A
) -> dict[str, Any]:
    """Drop the picks whose particles are not in the classes of a selection, as one edit that can be undone.

    Parameters
    ----------
    project
        A project opened for writing.
    selection
        Number or name of a selection of 2D classes.
    keep_unclassified
        Keep picks that no particle of the classification belongs to.
    distance_A
        How far from a pick its particle may lie.

    Returns
    -------
    dict
        ``images`` (number of each image that lost picks -> picks left), ``kept``, ``dropped``, ``unclassified`` (picks
        of each kind), ``threshold`` (the least score that tells kept and dropped picks apart best; None where there
        are too few or scores do not tell them apart) and ``told_apart`` (part of both kinds, taken alike, on the right
        side of the best one; None where there are too few).

    Raises
    ------
    InputError
        No class is selected, no pick belongs to a particle, or nothing would be left.
    """
    import numpy as np

    from verglas.project.pick_edits import distances, picks_of, record_states, state_of

    record = project.asset("selection", selection)
    if not record["members"]:
        raise InputError(f"{record['name']} has no class; select some before picks are dropped for not being in them.")
    found = particles_by_image(project, record)
    states, values = {}, {}
    scores: dict[str, list[NDArray[np.float64]]] = {"kept": [], "dropped": [], "unclassified": []}
    for image, (places, chosen) in found.items():
        before = state_of(project, image)
        picks = picks_of(project, before)
        far = distances(picks, [tuple(one) for one in places])
        nearest = far.argmin(axis=1)
        known = far[np.arange(len(picks)), nearest] <= distance_A if len(picks) else np.zeros(0, bool)
        verdict = {"kept": known & chosen[nearest], "dropped": known & ~chosen[nearest], "unclassified": ~known}
        for kind, which in verdict.items():
            scores[kind].append(np.asarray(picks["peak_height"][which], np.float64))
        going = verdict["dropped"] | (verdict["unclassified"] & (not keep_unclassified))
        if going.any():
            gone = tuple((float(one["x_A"]), float(one["y_A"])) for one in picks[going])
            added = tuple(one for one in before.added if one not in gone)
            states[image] = (before, replace(before, added=added, removed=(*before.removed, *gone)))
            values[image] = {"learned_from": record["id"]}
    pooled = {kind: np.concatenate(parts) if parts else np.zeros(0) for kind, parts in scores.items()}
    if not pooled["kept"].size:
        raise InputError(
            f"no pick belongs to a particle in the classes of {record['name']}, so all would go; are the picks those "
            "that its package was made from?"
        )
    threshold, right = best_threshold(pooled["kept"], pooled["dropped"])
    return {
        "selection": record["id"], "images": record_states(project, states, values) if states else {},
        **{kind: int(one.size) for kind, one in pooled.items()}, "threshold": threshold, "told_apart": right,
    }  # fmt: skip


def particles_by_image(
    project: Project, selection: dict[str, Any]
) -> dict[int, tuple[NDArray[np.float64], NDArray[np.bool_]]]:
    """Return, for each image with picks, where the classified particles lie in A and whether their class is selected.

    Raises
    ------
    InputError
        None of the particles lies in an image of the project that has picks.
    """
    import numpy as np

    from verglas.formats import ParticleTable
    from verglas.stages.extraction.combining import coordinate_pixel_A
    from verglas.stages.extraction.recentring import by_micrograph

    classification = project.asset("classification", selection["classification"])
    table = ParticleTable.load(project.folder / classification["particles_path"])
    classified = np.flatnonzero(table["class_number"] > 0)
    table = table.select(classified)
    picked = {one["image"] for one in project.assets("positions")}
    images = [one for one in project.assets("image") if one["id"] in picked]
    rows_of, _ = by_micrograph(table, [image["path"] for image in images])
    if not rows_of:
        raise InputError(f"the particles of {classification['name']} are of no image of this project that has picks.")
    # Where images were cut, not where classes lie in them: that is where picks are.
    size = coordinate_pixel_A(table)
    places = np.stack([table[f"coordinate_{axis}_px"] * size for axis in ("x", "y")], axis=1)
    chosen = np.isin(table["class_number"], selection["members"])
    return {images[place]["id"]: (places[rows], chosen[rows]) for place, rows in rows_of}


def best_threshold(kept: NDArray[np.float64], dropped: NDArray[np.float64]) -> tuple[float | None, float | None]:
    """Return the least score that tells two kinds of picks apart best, and the mean part of each on its right side.

    No score where even the best one has less than :data:`TOLD_APART` there.
    """
    import numpy as np

    if min(len(kept), len(dropped)) < LEAST_OF_EACH:
        return None, None
    at = np.unique(np.concatenate([kept, dropped]))
    above = 1.0 - np.searchsorted(np.sort(kept), at, side="left") / len(kept)
    below = np.searchsorted(np.sort(dropped), at, side="left") / len(dropped)
    right = 0.5 * (above + below)
    best = int(right.argmax())
    told_apart = round(float(right[best]), 4)
    return float(at[best]) if told_apart >= TOLD_APART else None, told_apart

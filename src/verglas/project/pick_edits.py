"""Change picks by hand: add, remove, move the threshold, undo and redo; each change is one line of the journal.

The picks of an image are what its *root* result offers (the candidates of Find Particles, or imported positions) above
a threshold, without those removed, with those added. An edit makes a new result that holds this state and its picks;
nothing is overwritten, and undo makes the result before it the active one again.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verglas.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from verglas.project.project import Project

Point = tuple[float, float]
SAME_A = 0.01
REACH_A = 60.0


@dataclass(frozen=True)
class PickState:
    """What the picks of an image follow from.

    Attributes
    ----------
    result
        Number of the active result.
    root
        Result whose candidates (or positions) are chosen from.
    threshold
        Least score; none: all.
    added, removed
        Places in A that were added and removed by hand.
    """

    result: int
    root: int
    threshold: float | None
    added: tuple[Point, ...] = ()
    removed: tuple[Point, ...] = ()


def state_of(project: Project, image: int) -> PickState:
    """Return the state of an image's picks.

    Raises
    ------
    InputError
        The image has no picks.
    """
    for result in project.results("image", image):
        if result["kind"] == "particle_positions" and result["active"]:
            values = result["values"]
            root = values.get("root", result["id"])
            added, removed = (tuple((x, y) for x, y in values.get(key, ())) for key in ("added", "removed"))
            return PickState(result["id"], root, values.get("threshold"), added, removed)
    raise InputError(f"image {image} has no picks to change; run find-particles or import coordinates.")


def picks_of(project: Project, state: PickState) -> NDArray[Any]:
    """Return the picks of a state, structured with at least ``x_A``, ``y_A`` and ``peak_height``, in A.

    Raises
    ------
    InputError
        A threshold is asked of positions that have no scores.
    """
    import numpy as np

    from verglas.formats.npy import read_npy
    from verglas.stages.picking import chosen

    root = project.result(state.root)
    values, files = root["values"], root["files"]
    picks = read_npy(project.folder / files.get("candidates", files["positions"]))
    if state.threshold is not None:
        if "candidates" not in files:
            raise InputError("these positions were imported and have no scores to set a threshold on.")
        limits = {
            name: values.get(name) for name in ("background_factor", "max_background", "score_factor", "max_score")
        }
        picks = picks[chosen(picks, state.threshold, **limits)]
    if state.removed:
        picks = picks[distances(picks, state.removed).min(axis=1) > SAME_A]
    added = np.zeros(len(state.added), picks.dtype)
    if state.added:
        added["x_A"], added["y_A"] = np.array(state.added).T
    return np.concatenate([picks, added])


def distances(picks: NDArray[Any], points: Sequence[Point]) -> NDArray[np.float64]:
    """Return distances in A, shape (picks, points)."""
    import numpy as np

    x, y = np.array(points, np.float64).reshape(-1, 2).T
    along_x, along_y = picks["x_A"][:, None] - x, picks["y_A"][:, None] - y
    found: NDArray[np.float64] = np.hypot(along_x.astype(np.float64), along_y)
    return found


def changed(
    project: Project, state: PickState, add: Sequence[Point] = (), remove: Sequence[Point] = (),
    threshold: float | None = None,
) -> PickState:  # fmt: skip
    """Return the state after a change.

    Parameters
    ----------
    project
        An open project.
    state
        The state now.
    add
        Places in A.
    remove
        Places in A: each removes the nearest pick, at most 60 A away.
    threshold
        A new least score; none: as it is.

    Raises
    ------
    InputError
        There is no pick at a place, or no score to set a threshold on.
    """
    import numpy as np

    if threshold is not None:
        state = replace(state, threshold=float(threshold))
    added, removed = list(state.added), list(state.removed)
    picks = picks_of(project, state)
    for point in remove:
        far = distances(picks, [point])[:, 0] if len(picks) else np.array([np.inf])
        if far.min() > REACH_A:
            raise InputError(f"there is no pick within {REACH_A:g} A of x = {point[0]:g}, y = {point[1]:g} A.")
        number = int(far.argmin())
        place = (float(picks["x_A"][number]), float(picks["y_A"][number]))
        by_hand = [one for one in added if np.hypot(one[0] - place[0], one[1] - place[1]) <= SAME_A]
        if by_hand:
            added.remove(by_hand[0])
        else:
            removed.append(place)
        picks = np.delete(picks, number)
    added += [(float(np.float32(x)), float(np.float32(y))) for x, y in add]
    return replace(state, added=tuple(added), removed=tuple(removed))


def edit_picks(
    project: Project, images: Sequence[int], *, add: Sequence[Point] = (), remove: Sequence[Point] = (),
    threshold: float | None = None,
) -> dict[int, int]:  # fmt: skip
    """Change the picks of images as one edit and return their new numbers of picks.

    Parameters
    ----------
    project
        A project opened for writing.
    images
        Numbers of images; places can be added to or removed from one alone.
    add, remove, threshold
        See :func:`changed`.

    Raises
    ------
    InputError
        A change makes no sense; then nothing was changed.
    """
    if (add or remove) and len(images) != 1:
        raise InputError("places are added to and removed from one image at a time.")
    states = {}
    for image in images:
        before = state_of(project, image)
        check_places(project, image, add)
        states[image] = (before, changed(project, before, add, remove, threshold))
    return record_states(project, states)


def record_states(
    project: Project, states: dict[int, tuple[PickState, PickState]], values_of: dict[int, dict[str, Any]] | None = None
) -> dict[int, int]:
    """Record new states of the picks of images as one edit and return their numbers of picks.

    Parameters
    ----------
    project
        A project opened for writing.
    states
        State of each image before and after.
    values_of
        What else is to be kept of each image's picks.
    """
    import numpy as np

    scratch = project.layout.scratch / f"picks-{uuid.uuid4().hex}"
    scratch.mkdir(parents=True)
    try:
        results = []
        counts = {}
        for image, (before, state) in states.items():
            picks = picks_of(project, state)
            path = scratch / f"{image}.npy"
            np.save(path, picks)
            counts[image] = len(picks)
            values = {
                "count": len(picks), "file_bytes": path.stat().st_size, "edited_from": before.result,
                "root": state.root, "threshold": state.threshold, "added": [list(one) for one in state.added],
                "removed": [list(one) for one in state.removed], **(values_of or {}).get(image, {}),
            }  # fmt: skip
            results.append({
                "job": None, "key": f"{scratch.name}-{image}", "kind": "particle_positions",
                "of": {"kind": "image", "id": image}, "files": {"positions": project.layout.stored(Path(path))},
                "values": values,
            })  # fmt: skip
        project.edit({"edit": "result.take-in", "results": results})
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return counts


def check_places(project: Project, image: int, places: Sequence[Point]) -> None:
    """Refuse places outside an image."""
    record = project.asset("image", image)
    width, height = record["n_x"] * record["pixel_size_A"], record["n_y"] * record["pixel_size_A"]
    for x, y in places:
        if not (0 <= x < width and 0 <= y < height):
            raise InputError(f"x = {x:g}, y = {y:g} A lies outside {record['name']} ({width:g} x {height:g} A).")


def undo_picks(project: Project, image: int) -> int:
    """Make the result before the last change the active one again; return the number of picks.

    Raises
    ------
    InputError
        The picks were not changed.
    """
    active = project.result(state_of(project, image).result)
    before = active["values"].get("edited_from")
    if before is None:
        raise InputError(f"the picks of image {image} were not changed by hand; there is nothing to undo.")
    project.edit({"edit": "result.activate", "result": before})
    return int(project.result(before)["values"]["count"])


def redo_picks(project: Project, image: int) -> int:
    """Make the last change that was undone the active one again; return the number of picks.

    Raises
    ------
    InputError
        Nothing was undone.
    """
    now = state_of(project, image).result
    after = [one for one in project.results("image", image) if one["values"].get("edited_from") == now]
    if not after:
        raise InputError(f"no change of the picks of image {image} was undone.")
    project.edit({"edit": "result.activate", "result": after[-1]["id"]})
    return int(after[-1]["values"]["count"])

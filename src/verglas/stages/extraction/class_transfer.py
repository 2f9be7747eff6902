"""Classes of a refinement carried over into the classes of a new package: merged, split, dropped, occupancies kept."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from verglas.errors import InputError
from verglas.formats.particle_table import ParticleTable

Sources = tuple[tuple[int, ...], ...]
"""Of each new class the old ones, from 0, that it takes over."""


@dataclass(frozen=True)
class Transferred:
    """Particles in their new classes.

    Attributes
    ----------
    rows
        Which particles of the old package stay, ascending.
    classes
        One table a new class, all with these particles: poses, and occupancies in percent that sum to 100.
    best
        Each particle with the parameters of its most occupied new class, whose number is ``class_number``.
    """

    rows: NDArray[np.int64]
    classes: list[ParticleTable]
    best: ParticleTable


def class_sources(text: str | None, old: int, new: int | None) -> Sources:
    """Read which old classes each new one takes over.

    Parameters
    ----------
    text
        Pairs old:new such as ``1:1,2:1,4:2``; an old class may go into several new ones. None: each into that of its
        number, one into all, or all into one.
    old, new
        Numbers of classes; ``new`` None: as many as there are, or as the pairs say.

    Raises
    ------
    InputError
        A class does not exist, or a new one gets nothing.
    """
    if text is None:
        count = new or old
        if count == old:
            return tuple((number,) for number in range(old))
        if 1 in (old, count):
            return ((0,),) * count if old == 1 else (tuple(range(old)),)
        raise InputError(
            f"{old} classes do not go into {count} by themselves; say which goes where, as in --class-map 1:1,2:1."
        )
    pairs = []
    for part in filter(None, text.replace(" ", "").split(",")):
        found = re.fullmatch(r"(\d+):(\d+)", part)
        if found is None:
            raise InputError(f"{part!r} is no pair of classes; write old:new pairs such as 1:1,2:1,4:2.")
        pairs.append((int(found[1]), int(found[2])))
    count = new or max((to for _, to in pairs), default=0)
    for came, to in pairs:
        if not 1 <= came <= old or not 1 <= to <= count:
            raise InputError(f"{came}:{to} names a class that is not there: {old} old ones, {count} new ones.")
    sources = tuple(tuple(sorted({came - 1 for came, goes in pairs if goes == to})) for to in range(1, count + 1))
    empty = [number for number, one in enumerate(sources, start=1) if not one]
    if empty or not sources:
        raise InputError(f"new class {empty[0] if empty else 1} gets no old class; name one in --class-map.")
    return sources


def transfer_classes(
    tables: Sequence[ParticleTable], sources: Sources, *, carry: Literal["all", "mapped"] = "all",
    parameters_of: Literal["best", "random"] = "best", occupancies: Literal["keep", "randomise"] = "keep",
    seed: int = 1,
) -> Transferred:  # fmt: skip
    """Carry classes over.

    Parameters
    ----------
    tables
        One an old class, all with the same particles in the same order.
    sources
        See :func:`class_sources`.
    carry
        All particles, or only those whose most occupied old class is taken over by a new one.
    parameters_of
        Where a new class takes over several, a particle gets the parameters of the most occupied of them, or of one
        at random.
    occupancies
        ``keep``: sums of the old ones, an old class that goes into several new ones being divided evenly, brought to
        100 % a particle; ``randomise``: each particle is wholly in one new class at random.
    seed
        Key of what is random.

    Raises
    ------
    InputError
        Tables differ in length, or no particle stays.
    """
    if len({len(table) for table in tables}) != 1:
        raise InputError("the classes of this refinement have different particles; choose another refinement.")
    old = np.stack([np.asarray(table["occupancy"], np.float64) for table in tables], axis=1)
    if len(tables) == 1:
        old = np.full_like(old, 100.0)
    mapped = sorted({number for source in sources for number in source})
    rows = np.arange(len(old))
    if carry == "mapped":
        rows = np.flatnonzero(np.isin(old.argmax(axis=1), mapped))
    if not rows.size:
        raise InputError("no particle stays: none has its highest occupancy in the classes that are carried over.")
    count, random = len(rows), np.random.Generator(np.random.Philox([seed, 11]))
    shares = np.array([sum(number in source for source in sources) for number in range(len(tables))])
    new = np.stack([(old[rows][:, list(one)] / shares[list(one)]).sum(axis=1) for one in sources], axis=1)
    total = new.sum(axis=1, keepdims=True)
    new = np.where(total > 0.0, 100.0 * new / np.maximum(total, 1e-12), 100.0 / len(sources))
    if occupancies == "randomise":
        new = np.zeros_like(new)
        new[np.arange(count), random.integers(0, len(sources), count)] = 100.0
    winners = new.argmax(axis=1)
    made = []
    for number, source in enumerate(sources):
        among = old[rows][:, list(source)]
        choice = random.integers(0, len(source), count) if parameters_of == "random" else among.argmax(axis=1)
        table = _mixed([tables[one] for one in source], rows, choice)
        table["occupancy"], table["class_number"] = new[:, number], winners + 1
        made.append(table)
    return Transferred(rows, made, _mixed(made, np.arange(count), winners))


def _mixed(tables: Sequence[ParticleTable], rows: NDArray[np.int64], choice: Any) -> ParticleTable:
    """Return some rows, each from the table that is chosen for it."""
    made = tables[0].select(rows)
    for number, table in enumerate(tables[1:], start=1):
        here = np.flatnonzero(choice == number)
        for column in made.columns:
            if column in table and not made.is_text(column):
                made[column][here] = table[column][rows[here]]
    return made

"""Which differences between classes are stable: several classifications of the same particles, matched to the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from verglas.errors import InputError


@dataclass(frozen=True)
class ClassStability:
    """How far classifications agree.

    Attributes
    ----------
    order
        Class of each classification that goes with each class of the first, shape (runs, classes).
    agreed
        Part of the particles of each class of the first that every run puts into the class that goes with it; shape
        (classes,).
    chance
        The same, had the runs nothing to do with each other; shape (classes,).
    rand
        Adjusted Rand index of each run with the first, shape (runs,): 1 the same, 0 as by chance.
    core
        Class of each particle that all runs agree on, from 0; -1 for the others; shape (n,).
    """

    order: NDArray[np.int64]
    agreed: NDArray[np.float64]
    chance: NDArray[np.float64]
    rand: NDArray[np.float64]
    core: NDArray[np.int64]


def class_stability(occupancies: Sequence[Any]) -> ClassStability:
    """Compare classifications of the same particles.

    Parameters
    ----------
    occupancies
        Of each run, shape (classes, n); all with as many classes.

    Raises
    ------
    InputError
        There are fewer than two, or they differ in classes or particles.

    References
    ----------
    L. Hubert, P. Arabie, "Comparing partitions", J. Classif. 2 (1985) 193.
    """
    runs = [np.asarray(one, np.float64) for one in occupancies]
    if len(runs) < 2 or len({one.shape for one in runs}) != 1 or len(runs[0]) < 2:
        raise InputError(
            "compare two or more refinements of one package with the same number of classes, two or more; not "
            f"{[one.shape for one in runs]} classes and particles."
        )
    best = [one.argmax(axis=0) for one in runs]
    classes, count = runs[0].shape
    order, rand, renamed = [], [], []
    for one in best:
        table = np.zeros((classes, classes))
        np.add.at(table, (best[0], one), 1.0)
        _, matched = linear_sum_assignment(table, maximize=True)
        order.append(matched)
        rand.append(_adjusted_rand(table))
        name = np.empty(classes, np.int64)
        name[matched] = np.arange(classes)
        renamed.append(name[one])
    same = np.all([one == renamed[0] for one in renamed], axis=0)
    size = np.maximum(np.bincount(renamed[0], minlength=classes), 1)
    part = np.stack([np.bincount(one, minlength=classes) / count for one in renamed[1:]])
    return ClassStability(
        order=np.stack(order), agreed=np.bincount(renamed[0][same], minlength=classes) / size,
        chance=np.prod(part, axis=0), rand=np.array(rand), core=np.where(same, renamed[0], -1),
    )  # fmt: skip


def _adjusted_rand(table: NDArray[np.float64]) -> float:
    """Return the adjusted Rand index of a contingency table."""

    def pairs(counts: Any) -> float:
        values = np.asarray(counts, np.float64)
        return float((values * (values - 1.0) / 2.0).sum())

    both, rows, columns, every = pairs(table), pairs(table.sum(axis=1)), pairs(table.sum(axis=0)), pairs(table.sum())
    expected, most = rows * columns / every, 0.5 * (rows + columns)
    return 1.0 if most == expected else (both - expected) / (most - expected)

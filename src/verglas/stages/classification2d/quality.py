"""How good classes are: a score from 0 to 1 with its reasons, to suggest which to go on with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.stages.classification2d.rounds import DENSE, JOIN_A, centre_of_mass

SIGNIFICANT = 4.0
"""Halves of a class agree where their mean correlation is so many standard errors above zero."""
DECIDED = 4.0
"""Where a class as good as the best would show so many with its number of particles, showing none tells against it."""
RINGS_OFF = 2
"""Rings next to those that halves share are left out: correlations are means over three rings."""
FEW = 0.2
STRONG = 6.0
AT_EDGE = 0.25
OFF_CENTRE = 0.2


@dataclass(frozen=True)
class ClassQuality:
    """What is to be said of one class.

    Attributes
    ----------
    score
        0 (junk) to 1 (as good as the best).
    reasons
        Why, for people.
    """

    score: float
    reasons: tuple[str, ...]


def class_quality(
    averages: Any, frc: Any, resolution_A: Any, occupancy: Any, log_likelihood: Any, *, pixel_size_A: float,
    mask_radius_A: float, limit_A: float,
) -> list[ClassQuality]:  # fmt: skip
    """Score the classes of a round.

    Halves are aligned to the same references up to 25 A and apart beyond, so noise, ice and carbon agree up to there
    only. A class whose halves agree beyond, by more than four standard errors, gets half of the score; the other half
    is for its resolution beside the best class's. One whose halves do not agree gets next to nothing, unless it has so
    few particles that the best class would not show more with as few: then nothing is known, and it gets 0.45. What few
    particles, ice-like strength, density at the mask's edge and density off the middle say is taken off.

    Parameters
    ----------
    averages
        Shape (classes, box, box), protein positive.
    frc
        Correlation of halves, shape (classes, rings), a ring being 1 / (box x pixel size).
    resolution_A, occupancy, log_likelihood
        Of each class; the last is the mean of its particles.
    pixel_size_A
        Of averages and rings.
    mask_radius_A
        Of the particle.
    limit_A
        Finest resolution of the round.

    Returns
    -------
    list of ClassQuality
        One a class.
    """
    averages, curves = np.asarray(averages, np.float64), np.asarray(frc, np.float64)
    resolution, held = np.asarray(resolution_A, np.float64), np.asarray(occupancy, np.float64)
    gain = np.asarray(log_likelihood, np.float64)
    box = averages.shape[-1]
    width_A = box * pixel_size_A
    evidence = np.array([_evidence(curve, width_A, limit_A) for curve in curves])
    apart = limit_A < JOIN_A / 1.3
    agree = evidence > SIGNIFICANT if apart else np.isfinite(resolution)
    leader = int(np.argmax(evidence))
    expected = [_expected(curves[leader], one / max(held[leader], 1e-9), width_A, limit_A) for one in held]
    best = float(resolution[agree].min()) if agree.any() else np.inf
    usual = float(np.median(gain[agree])) if agree.any() else 0.0
    fair = held.sum() / max(1, len(held))
    found = []
    for number in range(len(averages)):
        if held[number] < 1.0:
            found.append(ClassQuality(0.0, ("nobody is in it",)))
            continue
        score, said = 0.0, []
        if agree[number]:
            fine = np.log(JOIN_A / resolution[number]) / np.log(JOIN_A / best) if best < JOIN_A / 1.05 else 1.0
            score = 0.5 + 0.5 * float(np.clip(fine, 0.0, 1.0))
            said.append(f"resolved to {resolution[number]:.1f} A")
        elif apart and (not agree.any() or expected[number] < DECIDED):
            score = 0.45
            said.append("too few particles to tell")
        else:
            score = 0.1 + 0.25 * float(np.clip(evidence[number] / SIGNIFICANT, 0.0, 1.0))
            said.append(f"its halves do not agree beyond {JOIN_A:g} A" if apart else "its halves do not agree")
        if held[number] < FEW * fair:
            score *= 0.7
            said.append("few particles")
        if not agree[number] and usual > 0.0 and gain[number] > STRONG * usual:
            score *= 0.5
            said.append("much stronger than other classes: ice or dirt?")
        centre, edge = _spread(averages[number], pixel_size_A, mask_radius_A)
        if edge > AT_EDGE:
            score *= 0.8
            said.append("density at the mask's edge")
        if centre > OFF_CENTRE * mask_radius_A:
            score *= 0.8
            said.append("off the middle")
        found.append(ClassQuality(round(score, 3), tuple(said)))
    return found


def _evidence(curve: NDArray[np.float64], width_A: float, limit_A: float) -> float:
    """Return by how many standard errors halves agree between the rings that they share and the round's limit."""
    first = int(np.ceil(width_A / JOIN_A)) + RINGS_OFF
    last = min(len(curve) - 1, int(width_A / limit_A))
    if last < first:
        return 0.0
    rings = np.arange(first, last + 1)
    # Best over all upper ends: a class may be resolved to 20 A and hold noise beyond.
    components = np.pi * rings
    total = np.cumsum(components * curve[first : last + 1])
    # Sums of neighbouring rings, three at a time, are three times as variable as independent ones.
    return float(np.max(total / np.sqrt(3.0 * np.cumsum(components))))


def _expected(curve: NDArray[np.float64], part: float, width_A: float, limit_A: float) -> float:
    """Return the evidence that a part of a class's particles would give, from the correlation of its halves."""
    known = np.clip(curve, 0.0, 0.999)
    ratio = part * known / (1.0 - known)
    return _evidence(ratio / (1.0 + ratio), width_A, limit_A)


def _spread(average: NDArray[np.float64], pixel_size_A: float, radius_A: float) -> tuple[float, float]:
    """Return how far the dense part lies off the middle, in A, and which part of it lies at the mask's edge."""
    place = (np.arange(len(average)) - len(average) // 2) * pixel_size_A
    distance = np.hypot(place[:, None], place)
    dense = np.where((distance < radius_A) & (average > DENSE * average.max(initial=0.0)), average, 0.0)
    off = pixel_size_A * float(np.hypot(*centre_of_mass(average, radius_A / pixel_size_A)))
    return off, float(dense[distance > 0.85 * radius_A].sum() / max(dense.sum(), 1e-12))

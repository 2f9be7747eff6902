"""From particles to maps with nothing given: several starts, the best of them finished."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verglas.engine import ParticleImages, ParticleStack
from verglas.errors import InputError
from verglas.stages.abinitio.finish import FinishedMaps, finish_round
from verglas.stages.abinitio.rounds import judge, start_round
from verglas.stages.abinitio.settings import LEAST_LEARNED, AbInitioSettings
from verglas.stages.abinitio.state import AbInitioState, first_state
from verglas.stages.abinitio.working import cut, prepared


@dataclass(frozen=True)
class AbInitioMaps:
    """What an ab-initio search found.

    Attributes
    ----------
    maps
        Of the best start, finished.
    state
        Its poses and the references of a next round.
    gains
        By how much each start's maps raise the log-likelihood of an image that it has not seen.
    best
        Number of the start that was gone on with, from 0.
    """

    maps: FinishedMaps
    state: AbInitioState
    gains: NDArray[np.float64]
    best: int


def split_images(count: int, settings: AbInitioSettings) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the images that starts learn from, and those that they are judged by, both in order.

    Raises
    ------
    InputError
        There are too few.
    """
    if count < LEAST_LEARNED:
        raise InputError(f"{count} images are too few to find a map from; give {LEAST_LEARNED} or more.")
    random = np.random.Generator(np.random.Philox([settings.seed, 2]))
    apart = np.sort(random.choice(count, settings.judged(count), replace=False))
    learned = np.setdiff1d(np.arange(count), apart)
    return learned, apart if apart.size else learned


def run_start(
    images: ParticleImages, settings: AbInitioSettings, start: int, *, threads: int = 1
) -> tuple[AbInitioState, float]:
    """Run all rounds of a start; return its state and what it gains on images that it has not seen."""
    learned, judged = split_images(len(images), settings)
    state = first_state(len(images), settings, start)
    for _ in range(settings.rounds):
        start_round(state, images, learned, settings, start, threads=threads)
    return state, judge(state, images, judged, settings, threads=threads)


def find_maps(
    stack: ParticleStack,
    settings: AbInitioSettings,
    *,
    places: NDArray[np.int64] | None = None,
    threads: int = 1,
    progress: Callable[[str, AbInitioState], None] | None = None,
) -> AbInitioMaps:
    """Find maps of the particles of a stack, with nothing given but the particle's size and symmetry.

    Parameters
    ----------
    stack
        The particles.
    settings
        How.
    places
        Which of them to use; all when None.
    threads
        Threads.
    progress
        Called after each start and each round of the finish.

    Returns
    -------
    AbInitioMaps

    References
    ----------
    A. Punjani, J. L. Rubinstein, D. J. Fleet, M. A. Brubaker, "cryoSPARC", Nat. Methods 14 (2017) 290, for stochastic
    steps; T. Grant, A. Rohou, N. Grigorieff, "cisTEM", eLife 7 (2018) e35383, for poses drawn among the good ones and
    resolution that anneals; O. Cappe, E. Moulines, "On-line expectation-maximization", J. R. Stat. Soc. B 71 (2009)
    593, for sums that fade.
    """
    chosen = np.arange(len(stack)) if places is None else places
    images = prepared(stack, chosen, settings, settings.finish_A, threads=threads)
    return maps_of_images(images, settings, threads=threads, progress=progress)


def maps_of_images(
    images: ParticleImages,
    settings: AbInitioSettings,
    *,
    threads: int = 1,
    progress: Callable[[str, AbInitioState], None] | None = None,
) -> AbInitioMaps:
    """Find maps of images that were prepared to the finish's resolution; see :func:`find_maps`."""
    coarse = cut(images, settings.middle_A)
    states, gains = [], []
    for start in range(settings.starts):
        state, gain = run_start(coarse, settings, start, threads=threads)
        states.append(state)
        gains.append(gain)
        if progress is not None:
            progress(f"start {start + 1}", state)
    best = int(np.argmax(gains))
    state = states[best]
    for _ in range(settings.finish_rounds):
        maps = finish_round(state, images, settings, threads=threads)
        if progress is not None:
            progress(f"finish {state.finished}", state)
    return AbInitioMaps(maps, state, np.array(gains), best)

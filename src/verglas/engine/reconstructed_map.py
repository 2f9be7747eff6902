"""What a reconstruction gives: maps of both halves and of all images, and what is known of them shell by shell."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.signal import Resolution, ShellCorrelation, ssnr


@dataclass(frozen=True)
class ReconstructedMap:
    """What :meth:`Reconstruction.finish` returns; maps have shape (box, box, box), float32.

    Attributes
    ----------
    half_maps
        The two independent halves, not filtered; None where all images are in one half.
    map
        Of all images: Wiener-filtered by its spectral signal-to-noise ratio, or as the halves where there is but one.
    correlation
        FSC of the halves within the mask; None with one half.
    corrected
        The same, corrected: for what the mask correlates by itself, told by random phases, or for the solvent in the
        mask, or not at all where nothing is known of either.
    ssnr
        Signal-to-noise ratio of the map in each shell, from ``corrected``; 0 from the first shell that does not
        correlate.
    resolution
        Where ``corrected`` falls below 0.143.
    mean_weight
        Mean sum of weight x CTF^2 in each shell, both halves.
    images
        Images in each half.
    part_fsc
        The correlation corrected for the solvent in the mask; None where the molecular mass is not known.
    """

    half_maps: tuple[NDArray[np.float32], NDArray[np.float32]] | None
    map: NDArray[np.float32]
    correlation: ShellCorrelation | None
    corrected: NDArray[np.float64] | None
    ssnr: NDArray[np.float64] | None
    resolution: Resolution | None
    mean_weight: NDArray[np.float64]
    images: tuple[int, int]
    part_fsc: NDArray[np.float64] | None = None


def signal_to_noise(fsc: Any, *, of_average: bool = True) -> NDArray[np.float64]:
    """Return the SSNR of both halves together, or of one, 0 from the first shell whose correlation is not positive."""
    ratio: NDArray[np.float64] = ssnr(fsc, of_average=of_average)
    ratio[0] = ratio[1] if math.isclose(ratio[0], 0.0) else ratio[0]
    lost = np.flatnonzero(fsc[1:] <= 0.0) + 1
    if lost.size:
        ratio[lost[0] :] = 0.0
    return ratio

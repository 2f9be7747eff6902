"""From the sums of a round to its maps: what halves agree on, the next references, and the next limit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.engine.reconstructed_map import ReconstructedMap, signal_to_noise
from verglas.engine.reconstruction import Reconstruction
from verglas.engine.reference_masks import Map, apply_reference_mask, reference_mask
from verglas.engine.shared_start import SharedStart
from verglas.errors import NumericalError
from verglas.signal import (
    CorrectedCorrelation,
    Resolution,
    ShellCorrelation,
    corrected_fsc,
    fourier_shell_correlation,
    resize,
    resolution_at,
)
from verglas.stages.refinement.regularisation import choose_filters
from verglas.stages.refinement.round_settings import RoundSettings
from verglas.stages.refinement.settings import AutoRefineSettings

RANDOMISE_BELOW = 0.8
CLASS_RAN_EMPTY = "all particles of a class are in one half set"
HalfMap = tuple[Map, NDArray[np.float64]]
"""An unfiltered half map, and its mean weight in each shell."""


@dataclass(frozen=True)
class ClassMaps:
    """The maps of one class after a round.

    Attributes
    ----------
    found
        Unfiltered halves, the filtered map of both, and the correlation corrected for the mask, at the round's box.
    references
        What each half set is aligned to next, masked; shape (2, box, box, box).
    agreed_A
        Where the corrected correlation falls below 0.143, whatever halves began with: independent halves may be aligned
        so far, for what is not there makes them no more alike.
    """

    found: ReconstructedMap
    references: NDArray[np.float32]
    agreed_A: float

    @property
    def resolution_A(self) -> float:
        """What is reported: ``agreed_A``, or the start's where halves show nothing more; infinite: there is none."""
        resolution = self.found.resolution
        return math.inf if resolution is None else float(resolution.resolution_A)


def class_maps(
    work: Reconstruction, halves: tuple[HalfMap, HalfMap], settings: RoundSettings, threads: int = 1, *,
    local_filters: bool = False, sources: Sequence[Map] | None = None, masks: Sequence[Map] | None = None,
) -> ClassMaps:  # fmt: skip
    """Make the maps of one class from its sums and the unfiltered half maps made of them.

    With independent halves each reference is made of its own half alone and masked by a mask found in that half. The
    mask of the correlation is found in both, and what it correlates by itself is taken off by random phases. With local
    filters, references of independent halves are filtered at each place by what the other half confirms there, as soon
    as halves agree beyond the start. With several classes what references are made of, and their masks, may be given.

    Raises
    ------
    NumericalError
        All particles are in one half.
    """
    check_filled(work)
    box, pixel_A = work.box, work.pixel_size_A
    (first, weight), (second, other) = halves
    mask = reference_mask(0.5 * (first + second), pixel_A, settings.mask_radius_A, settings.mask, threads)
    judged = judge(first, second, mask, pixel_A, settings.seed, threads)
    correlation = ShellCorrelation(
        judged.frequency_per_A, judged.masked, fourier_shell_correlation(first, second, pixel_A).components
    )
    ratio = signal_to_noise(judged.corrected)
    agreed = resolution_at(judged.frequency_per_A, judged.corrected)
    resolution = SharedStart(settings.start_A, settings.mask_radius_A, settings.symmetry).judge(
        agreed, judged.frequency_per_A, correlation.components, judged.corrected, mask
    )
    both = work.filtered_map(ratio)
    if settings.independent_halves:
        of_half = signal_to_noise(judged.corrected, of_average=False)
        if sources is None:
            sources = [work.filtered_map(of_half, number) for number in (0, 1)]
        if local_filters and resolution.resolution_A < settings.start_A:
            choice = choose_filters(
                sources, (first, second), of_half, mask, pixel_A, resolution.resolution_A, threads
            )  # fmt: skip
            sources = [choice.apply(source, pixel_A, threads) for source in sources]
        if masks is None:
            # Searches may see more of the references than refinement does.
            reach_A = max(settings.mask_radius_A, settings.search_radius_A)
            masks = [reference_mask(half, pixel_A, reach_A, settings.mask, threads) for half in (first, second)]
    elif sources is None or masks is None:
        sources, masks = [both, both], [mask, mask]
    references = np.stack([
        apply_reference_mask(source, own, pixel_A, settings.mask, threads)
        for source, own in zip(sources, masks, strict=True)
    ])  # fmt: skip
    found = ReconstructedMap(
        (first, second), both, correlation, judged.corrected, ratio,
        resolution, weight + other,
        (int(work.images[0]), int(work.images[1])),
    )  # fmt: skip
    assert references.shape[1:] == (box,) * 3
    return ClassMaps(found, references, float(agreed.resolution_A))


def check_filled(work: Reconstruction) -> None:
    """Raise where a class has lost all particles of a half set."""
    if not work.images.all():
        raise NumericalError(f"{CLASS_RAN_EMPTY}, so nothing says what its map holds; use fewer classes.")


def judge(first: Map, second: Map, mask: Map, pixel_size_A: float, seed: int, threads: int = 1) -> CorrectedCorrelation:
    """Return the correlation of half maps within a mask, corrected for the mask's own.

    Where halves agree up to the last shells there is nothing to randomise, and the masked curve is the corrected one.
    """
    unmasked = fourier_shell_correlation(first, second, pixel_size_A, workers=threads)
    below = np.flatnonzero(unmasked.fsc[1:] < RANDOMISE_BELOW) + 1
    if below.size and below[0] < len(unmasked.fsc) - 2:
        return corrected_fsc(first, second, mask, pixel_size_A, seed=seed, workers=threads)
    masked = fourier_shell_correlation(first, second, pixel_size_A, mask=mask, workers=threads)
    return CorrectedCorrelation(
        unmasked.frequency_per_A, unmasked.fsc, masked.fsc, np.zeros_like(masked.fsc), masked.fsc, 2.0 * pixel_size_A
    )


def limit_of(
    maps: list[ClassMaps], box_A: float, settings: AutoRefineSettings, current_A: float, finest_A: float
) -> float:
    """Return the limit that the next round may have.

    With independent halves it is as far as those of the best class agree: filters leave nothing of what is not there,
    and what is aligned beyond cannot make independent halves agree. With one reference it stays below: at most a
    fifteenth of the box's shells further than now, and below where halves agree to 0.5, less what a mask spreads.

    Parameters
    ----------
    maps
        Of all classes.
    box_A
        Width of the box.
    settings
        Of the refinement.
    current_A
        Of the round that made the maps.
    finest_A
        The finest there may be.
    """
    if settings.independent_halves:
        wanted = min(one.agreed_A for one in maps)
        return min(max(wanted, finest_A), settings.start_A)
    shells = []
    for one in maps:
        correlation, corrected = one.found.correlation, one.found.corrected
        assert correlation is not None and corrected is not None
        half = [resolution_at(correlation.frequency_per_A, curve, 0.5).resolution_A
                for curve in (correlation.fsc, corrected)]  # fmt: skip
        bleed = math.ceil(box_A / (2.0 * settings.mask_radius_A))
        agreed = np.mean([box_A / value if math.isfinite(value) else 0.0 for value in half])
        box = len(one.found.map)
        shells.append(min(box_A / current_A + box / 15.0, agreed - (bleed + 1)))
    wanted = box_A / max([*shells, 1.0])
    return float(min(max(wanted, finest_A), current_A))


def at_box(found: ReconstructedMap, box: int, pixel_size_A: float, threads: int = 1) -> ReconstructedMap:
    """Return maps Fourier-padded to a larger box over the same field of view, curves with it; projections stay."""
    small = len(found.map)
    if small == box:
        return found
    factor, shells = np.float32(small / box), box // 2 + 1

    def larger(volume: Map) -> Map:
        return np.asarray(resize(volume, (box,) * 3, workers=threads) * factor, np.float32)

    def longer(curve: Any) -> NDArray[np.float64]:
        padded = np.zeros(shells)
        padded[: small // 2] = np.asarray(curve)[: small // 2]
        return padded

    correlation, halves = found.correlation, found.half_maps
    assert correlation is not None and halves is not None
    frequency = np.arange(shells) / (box * pixel_size_A)
    resolution: Resolution | None = found.resolution
    return ReconstructedMap(
        (larger(halves[0]), larger(halves[1])), larger(found.map),
        ShellCorrelation(frequency, longer(correlation.fsc), longer(correlation.components)),
        longer(found.corrected), longer(found.ssnr), resolution, longer(found.mean_weight), found.images,
    )  # fmt: skip

"""A round of refinement on some particles: poses against their own half's references, then sums for the next ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from verglas.engine import (
    ParticleImages,
    ParticleStack,
    Reference,
    Templates,
    background_radius_A,
    noise_ratio,
    normalise,
    prepare_images,
    prepare_reference,
)
from verglas.engine.reconstruct_particles import half_sets
from verglas.engine.reconstruction import Reconstruction
from verglas.engine.threads import kernel_threads
from verglas.microscopy import ctf, odd_aberration_factor
from verglas.signal import resize
from verglas.stages.refinement.align import AlignmentPlan, align_batch
from verglas.stages.refinement.blurring import blurred_poses
from verglas.stages.refinement.focus import ProjectedFocus, focused_maps
from verglas.stages.refinement.round_settings import RoundSettings
from verglas.stages.refinement.rows import PoseRows
from verglas.stages.refinement.state import RefinementState

AT_ONCE = 256
NOISE_IMAGES = 64
"""Of each batch, from which the noise that models leave is measured."""


def used_in_round(state: RefinementState, particles: int, settings: RoundSettings) -> NDArray[np.int64]:
    """Return which particles the next round uses, in order: drawn anew every round.

    As long as poses and classes are sought, rounds use one half of the particles (of both half sets) and the other in
    turn. A map that a particle is in already holds its noise, at its pose and in its class, and would keep it there.
    """
    wanted = min(particles, max(1, round(state.part * particles)))
    among = np.arange(particles)
    if state.halved and not state.final:
        shuffled = np.random.Generator(np.random.Philox([settings.seed, 4])).permutation(particles)
        among = np.sort(shuffled[state.number % 2 :: 2])
    if state.final or wanted >= len(among):
        return among
    random = np.random.Generator(np.random.Philox([settings.seed, state.number + 1]))
    return np.sort(random.choice(among, wanted, replace=False))


S = TypeVar("S", bound=RoundSettings)


class RoundWork(Generic[S]):
    """The work of one round: add particles, then take the sums and their rows.

    Parameters
    ----------
    state
        Of the round before.
    rows
        Of all particles.
    stack
        Their images.
    settings
        Of the refinement.
    threads
        Threads.

    Attributes
    ----------
    box, pixel_size_A
        Of the cropped images and of the maps.
    sums
        One reconstruction for each class.
    noise_sum, noise_count
        Of the residuals' power over the assumed one, for each optics group and ring, and how many went in.
    """

    def __init__(
        self, state: RefinementState, rows: PoseRows, stack: ParticleStack, settings: S, *,
        threads: int = 1,
    ) -> None:  # fmt: skip
        self.state, self.rows, self.stack, self.settings, self.threads = state, rows, stack, settings, threads
        limit_A, full, pixel_A = state.limit_A, stack.box, stack.pixel_size_A
        self.box = full if state.final else settings.working_box(full, pixel_A, limit_A)
        self.pixel_size_A = pixel_A * full / self.box
        self.noise = state.noise[:, : self.box // 2 + 1] * (self.box / full) ** 2
        self.halves = half_sets(stack.table)[stack.rows]
        self.searched = settings.searched(state, rows)
        self.plan = AlignmentPlan(
            local=settings.local(limit_A, state.before_A, state.shift_sigma_A),
            search=settings.search(limit_A, state.shift_sigma_A),
            log_share=np.log(np.maximum(state.share, 1e-30)),
            limit_A=limit_A,
            classification_limit_A=settings.classification_limit_A(state.classification_round, limit_A),
            known_scale=state.number > 0,
            switches=settings.switches,
            one_pose=state.classes_round > 0,
        )
        self._references: dict[tuple[int, float], list[Reference]] = {}
        self._templates: dict[int, Templates] = {}
        self._weighed: dict[int, list[Reference]] = {}
        focus = settings.switches.focus
        self._circle, self._in_focus = None, 1.0
        if focus is not None:
            filled = state.references[0, 0] != 0.0
            self._in_focus = focus.part_of(filled, full, pixel_A, threads)
        if focus is not None and focus.by == "circle":
            self._circle = ProjectedFocus.of(focus, full, pixel_A, threads)
        # Where classes were found but have no reference yet, poses are refined against the one of all.
        self.splits = state.references.shape[1] < rows.classes
        self.sums = [
            Reconstruction(
                self.box, self.pixel_size_A, settings.symmetry, oversampling=settings.oversampling, threads=threads
            )
            for _ in range(rows.classes)
        ]
        groups = len(stack.table.optics)
        self.noise_sum = np.zeros((groups, self.box // 2 + 1))
        self.noise_count = np.zeros((groups, self.box // 2 + 1))

    def add(self, places: Any, check: Callable[[], None] | None = None) -> PoseRows:
        """Align some particles, add them to the sums and return their rows, in the order of the places."""
        found = []
        for some, pixels in self._batches(places, check):
            found.append(self._align_batch(some, pixels))
            self._insert_batch(some, pixels, found[-1])
        return PoseRows.concatenate(found)

    def align(self, places: Any, check: Callable[[], None] | None = None) -> PoseRows:
        """Align some particles and return their rows; they are left out of the sums until :meth:`insert`."""
        return PoseRows.concatenate([self._align_batch(*batch) for batch in self._batches(places, check)])

    def insert(
        self, places: Any, rows: PoseRows, weights: Any = 1.0, b_factors_A2: Any = 0.0,
        check: Callable[[], None] | None = None,
    ) -> None:  # fmt: skip
        """Add aligned particles to the sums.

        Parameters
        ----------
        places
            Of the particles, shape (n,).
        rows
            Theirs.
        weights
            Beside their occupancies, shape () or (classes, n).
        b_factors_A2
            Their weights fall as ``exp(-B k^2 / 4)``, shape () or (classes, n).
        check
            Called before each batch.
        """
        shape = rows.occupancy.shape
        weight, decay = np.broadcast_to(weights, shape), np.broadcast_to(b_factors_A2, shape)
        first = 0
        for some, pixels in self._batches(places, check):
            part = slice(first, first + len(some))
            self._insert_batch(some, pixels, rows.select(part), weight[:, part], decay[:, part])
            first += len(some)

    def _batches(
        self, places: Any, check: Callable[[], None] | None
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Yield places and their normalised images in the working box, a batch at a time."""
        wanted, stack = np.asarray(places, np.int64), self.stack
        radius = background_radius_A(self.settings.mask_radius_A, stack.box, stack.pixel_size_A)
        for first in range(0, len(wanted), AT_ONCE):
            if check is not None:
                check()
            some = wanted[first : first + AT_ONCE]
            pixels = normalise(stack.read(some), radius, stack.pixel_size_A)
            if self.box != stack.box:
                pixels = np.asarray(resize(pixels, (self.box, self.box), workers=self.threads), np.float32)
            yield some, pixels

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return all sums by name; sums of parts of the particles add up."""
        named: dict[str, NDArray[Any]] = {"noise_sum": self.noise_sum, "noise_count": self.noise_count}
        for k, one in enumerate(self.sums):
            named |= {f"class{k}_{name}": array for name, array in one.arrays().items()}
        return named

    def add_arrays(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Add the sums of other particles."""
        self.noise_sum += arrays["noise_sum"]
        self.noise_count += arrays["noise_count"]
        for k, one in enumerate(self.sums):
            one.add({name: arrays[f"class{k}_{name}"] for name in one.arrays()})

    def weighed(self, half: int) -> list[Reference] | None:
        """Return the references that classes are weighed by; None: those that images are aligned to."""
        focus = self.settings.switches.focus
        if focus is None or focus.by == "circle":
            return None
        if half not in self._weighed:
            volumes = self.state.references[half]
            mask = focus.mask(volumes.shape[-1], self.stack.box, self.stack.pixel_size_A, self.threads)
            self._weighed[half] = self._prepared(
                focused_maps(volumes, self.state.share, mask), self.settings.mask_radius_A
            )
        return self._weighed[half]

    def own_part(self, half: int) -> NDArray[np.float64] | None:
        """Return what one particle has put into the references of a half set, as far as classes are told by it."""
        own = self.state.own_part
        return own[half] * self._in_focus if own.shape[1] == self.rows.classes else None

    def references(self, half: int, radius_A: float | None = None) -> list[Reference]:
        """Return the references of a half set, prepared to the round's limit, on the scale of the cropped images."""
        radius = self.settings.mask_radius_A if radius_A is None else radius_A
        if (half, radius) in self._references:
            return self._references[half, radius]
        return self._references.setdefault((half, radius), self._prepared(self.state.references[half], radius))

    def _prepared(self, volumes: NDArray[np.float32], radius_A: float) -> list[Reference]:
        made = []
        # Uneven magnification takes components beyond the limit.
        stretch = max(1.0, self.stack.largest_magnification)
        for volume in volumes:
            pixel_A = self.stack.pixel_size_A * self.stack.box / len(volume)
            scaled = volume * np.float32((self.box / len(volume)) ** 2)
            made.append(
                prepare_reference(
                    scaled, pixel_A, limit_A=0.98 * self.state.limit_A / stretch, radius_A=radius_A,
                    edge_A=self.settings.mask.edge_A, threads=self.threads,
                )
            )  # fmt: skip
        return made

    def prepared(
        self, places: Any, check: Callable[[], None] | None = None
    ) -> Iterator[tuple[NDArray[np.int64], ParticleImages]]:
        """Yield places and their images, ready for alignment, a batch of one optics group at a time."""
        for some, pixels in self._batches(places, check):
            for group, inside in self.stack.by_group(some):
                at = some[inside]
                yield at, self._images(group, at, pixels[inside], self.rows.select(at))

    def _align_batch(self, places: NDArray[np.int64], pixels: NDArray[np.float32]) -> PoseRows:
        stack = self.stack
        result = self.rows.select(places)
        for group, inside in stack.by_group(places):
            prepared = self._images(group, places[inside], pixels[inside], result.select(inside))
            for half in (0, 1):
                part = np.flatnonzero(self.halves[places[inside]] == half)
                if part.size:
                    at = inside[part]
                    result.put(at, self._align(half, prepared.select(part), places[at], group))
        return result

    def _images(
        self, group: int, places: NDArray[np.int64], pixels: NDArray[np.float32], rows: PoseRows
    ) -> ParticleImages:
        """Return images of one optics group, ready for alignment."""
        optics = replace(self.stack.optics(group), pixel_size_A=self.pixel_size_A)
        return prepare_images(
            pixels, optics, self._defocus(places, rows), self.noise[group], self.state.limit_A,
            low_A=self.settings.low_A, contrast_inverted=self.stack.is_inverted(group), threads=self.threads,
        )  # fmt: skip

    def _defocus(self, places: NDArray[np.int64], rows: PoseRows) -> NDArray[np.float64]:
        """Return the defocus of some particles as it is now, shape (n, 4)."""
        defocus: NDArray[np.float64] = self.stack.defocus(places)
        defocus[:, :2] += rows.defocus_change_A[:, None]
        return defocus

    def _align(self, half: int, images: ParticleImages, places: NDArray[np.int64], group: int) -> PoseRows:
        searched = self.searched[places]
        references = self.references(half)
        if searched.any() and half not in self._templates:
            self._templates[half] = Templates(
                self.references(half, self.settings.search_radius_A), images.band, self.plan.search,
                log_share=self.plan.log_share, threads=self.threads,
            )  # fmt: skip
        before = self.rows.select(places)
        found = align_batch(
            references, self._templates.get(half), images, before.as_one() if self.splits else before, searched,
            self.plan,
            weighed=self.weighed(half), circle=self._circle, own=self.own_part(half), threads=self.threads,
        )  # fmt: skip
        self._measure_noise(references, images, found.rows, found.scale, group)
        return found.rows.split(before.occupancy) if self.splits else found.rows

    def _measure_noise(
        self, references: list[Reference], images: ParticleImages, rows: PoseRows, scale: Any, group: int
    ) -> None:
        """Add what the first images' best models leave to the noise of their group."""
        some = np.arange(min(NOISE_IMAGES, len(images)))
        best = rows.occupancy[:, some].argmax(axis=0)
        for k, reference in enumerate(references):
            chosen = some[best == k]
            if chosen.size:
                ratio = noise_ratio(
                    reference, images.select(chosen), rows.rotations[k, chosen], rows.displacements_A[k, chosen],
                    scale[k, chosen], threads=self.threads,
                )[0]  # fmt: skip
                count = len(chosen) * np.bincount(images.band.rings, minlength=ratio.size)
                self.noise_sum[group, : ratio.size] += ratio * count
                self.noise_count[group, : ratio.size] += count

    def _insert_batch(
        self, places: NDArray[np.int64], pixels: NDArray[np.float32], rows: PoseRows, weights: Any = None,
        b_factors_A2: Any = None,
    ) -> None:  # fmt: skip
        kx, ky = self.sums[0].frequencies_per_A
        for group, inside in self.stack.by_group(places):
            optics = replace(self.stack.optics(group), pixel_size_A=self.pixel_size_A)
            some = rows.select(inside)
            with kernel_threads(self.threads):
                transfer = ctf(kx, ky, optics, *self._defocus(places[inside], some).T)
            if self.stack.is_inverted(group):
                transfer = -transfer
            aberration = odd_aberration_factor(kx, ky, optics) if optics.has_odd_aberrations else None
            for k, work in enumerate(self.sums):
                weight = some.occupancy[k] * (1.0 if weights is None else weights[k, inside])
                half, counted = self.halves[places[inside]], work.images.copy()
                for rotations, part in self._spread(k, group, places[inside], pixels[inside], some):
                    work.insert(
                        pixels[inside], rotations, -some.displacements_A[k], half,
                        ctf=transfer, weights=weight * part, noise_power=self.noise[group], aberration=aberration,
                        magnification=optics.magnification,
                        b_factors_A2=0.0 if b_factors_A2 is None else b_factors_A2[k, inside],
                    )  # fmt: skip
                # An image counts once, at however many angles it went in.
                work.images[:] = counted + np.bincount(half[weight > 0.0], minlength=2)

    def _spread(
        self, k: int, group: int, places: NDArray[np.int64], pixels: NDArray[np.float32], rows: PoseRows
    ) -> Iterator[tuple[NDArray[np.float64], Any]]:
        """Yield the orientations at which images go into the map of a class, and the part of each image there."""
        smoothing = self.settings.switches.blurring
        if smoothing <= 0.0:
            yield rows.rotations[k], 1.0
            return
        images, halves = self._images(group, places, pixels, rows), self.halves[places]
        turned = part = np.zeros(0)
        for half in (0, 1):
            at = np.flatnonzero(halves == half)
            if at.size:
                found, weights = blurred_poses(
                    self.references(half)[k], images.select(at), rows.rotations[k, at], rows.displacements_A[k, at],
                    self.state.limit_A, smoothing, threads=self.threads,
                )  # fmt: skip
                if not turned.size:
                    turned, part = np.zeros((len(found), len(places), 3, 3)), np.zeros((len(found), len(places)))
                turned[:, at], part[:, at] = found, weights
        yield from zip(turned, part, strict=True)

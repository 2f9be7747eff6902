"""From a micrograph to its particles in one call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from verglas.errors import InputError
from verglas.microscopy import Optics, ctf_2d
from verglas.stages.picking import templates as shapes
from verglas.stages.picking.areas import Areas, AreaSettings, find_areas
from verglas.stages.picking.candidates import BACKGROUND_FACTOR, CANDIDATES, SCORE_FACTOR, chosen, find_peaks
from verglas.stages.picking.coarse import CoarseMicrograph, make_coarse
from verglas.stages.picking.matched_filter import Scores, flatten, match
from verglas.stages.picking.noise import LEAST_BOX, measure_noise, quiet_boxes
from verglas.stages.picking.templates import TemplateImages

Array = np.ndarray[Any, Any]
Shape = Literal["disc", "ring", "log", "templates"]
FLATTEN_RADII = 2.0
KEPT_PART = 0.5  # candidates are kept down to this part of the threshold


@dataclass(frozen=True)
class PickingSettings:
    """What is picked; lengths in A.

    Attributes
    ----------
    shape
        ``disc``: a soft disc; ``ring``: the projection of a hollow sphere; ``log``: a Laplacian of Gaussian, without
        CTF; ``templates``: images given to :func:`pick_particles`.
    radius_A
        Characteristic radius of the particle.
    inner_radius_A
        Radius of its cavity, for the ring.
    max_radius_A
        Largest radius of the particle: sizes the windows of local statistics; picks lie no nearer than twice this.
    min_distance_A
        Least distance of two picks, if not twice the largest radius.
    threshold
        Least score in standard deviations of the noise.
    highest_resolution_A
        Finest detail used.
    background_boxes
        Number of quiet boxes in which the noise is measured.
    background_factor
        Most unexplained background of a pick, in medians of all picks of the micrograph; none: any.
    max_background
        Most unexplained background of a pick, in standard deviations of the noise; none: any.
    score_factor
        Largest score of a pick, in medians of its micrograph's picks; None: any.
    max_score
        Highest score of a pick; none: any.
    areas
        What areas to avoid.
    """

    shape: Shape = "disc"
    radius_A: float = 80.0
    inner_radius_A: float = 0.0
    max_radius_A: float = 120.0
    min_distance_A: float | None = None
    threshold: float = 6.0
    highest_resolution_A: float = 30.0
    background_boxes: int = 50
    background_factor: float | None = BACKGROUND_FACTOR
    max_background: float | None = None
    score_factor: float | None = SCORE_FACTOR
    max_score: float | None = None
    areas: AreaSettings = field(default_factory=AreaSettings)

    def __post_init__(self) -> None:
        if not min(self.radius_A, self.max_radius_A) > 0:
            raise InputError(f"radii must be above zero: {self.radius_A:g} and {self.max_radius_A:g} A.")
        if self.threshold <= 0 or self.background_boxes < 1 or self.highest_resolution_A <= 0:
            raise InputError("the threshold, the resolution and the number of background boxes must be above zero.")
        if self.shape not in {"disc", "ring", "log", "templates"}:
            raise InputError(f"there is no picker called {self.shape!r}; use disc, ring, log or templates.")

    @property
    def distance_A(self) -> float:
        """Least distance of two picks."""
        return 2.0 * self.max_radius_A if self.min_distance_A is None else self.min_distance_A


@dataclass(frozen=True)
class Picks:
    """What was found in a micrograph.

    Attributes
    ----------
    candidates
        Of type `CANDIDATES`, from the best downwards, to below the threshold.
    chosen
        Which of them are picks, bool.
    scores, areas
        Maps at the small micrograph's pixels.
    coarse
        The small micrograph.
    settings
        What was asked.
    """

    candidates: Array
    chosen: Array
    scores: Scores
    areas: Areas
    coarse: CoarseMicrograph
    settings: PickingSettings

    @property
    def positions_A(self) -> Array:
        """Shape (n, 2): x and y of the picks in A from the centre of the first pixel."""
        picks = self.candidates[self.chosen]
        return np.stack([picks["x_A"], picks["y_A"]], 1).astype(np.float64)


def pick_particles(
    micrograph: Array, pixel_size_A: float, optics: Optics | None = None,
    defocus: tuple[float, float, float, float] | None = None, *, settings: PickingSettings | None = None,
    make_templates: Callable[[float], TemplateImages] | None = None, protein_is_white: bool = False,
    threads: int = 1, progress: Callable[[], None] | None = None,
) -> Picks:  # fmt: skip
    """Find particles.

    Parameters
    ----------
    micrograph
        Shape (ny, nx).
    pixel_size_A
        Its pixel size.
    optics
        Voltage, Cs, amplitude contrast; none: templates are matched without CTF.
    defocus
        u and v in A, angle of u and phase shift in radians.
    settings
        What to pick; defaults when None.
    make_templates
        For the shape ``templates``: gives the templates at a pixel size (see :func:`template_images` and
        :func:`map_projections`).
    protein_is_white
        Protein is brighter than ice in the micrograph.
    threads
        Threads.
    progress
        Called now and then; it may raise to stop.

    Raises
    ------
    InputError
        The micrograph or a setting cannot be used.
    """
    settings = PickingSettings() if settings is None else settings
    coarse = make_coarse(micrograph, pixel_size_A, settings.highest_resolution_A, threads=threads)
    size_A = coarse.pixel_size_A
    radius_px, flatten_px = settings.max_radius_A / size_A, FLATTEN_RADII * settings.max_radius_A / size_A
    flat = flatten(coarse.image, flatten_px)
    edges = (settings.areas.edge_distance_A / size_A,) * 2
    areas = find_areas(coarse.image, flat, radius_px, edges, settings.areas)
    flat = flatten(coarse.image, flatten_px, areas.bad)
    box = min(max(LEAST_BOX, 2 * round(radius_px)), min(flat.shape) // 2 * 2)
    noise = measure_noise(flat, quiet_boxes(areas.deviation, areas.allowed, box, settings.background_boxes), box)
    sought = _templates(settings, size_A, make_templates)
    sign = 1.0 if protein_is_white else -1.0
    transfer = None
    if optics is not None and defocus is not None:
        known, values = optics, defocus

        def transfer(shape: tuple[int, int]) -> Array:
            return np.asarray(-sign * ctf_2d(shape, known, *values, pixel_size_A=size_A))

    scores = match(
        flat, sought, noise, radius_px=radius_px, flatten_px=flatten_px, finest=size_A / settings.highest_resolution_A,
        transfer=transfer, sign=sign, threads=threads, progress=progress,
    )  # fmt: skip
    pixels, places, heights = find_peaks(
        scores.score, areas.allowed, KEPT_PART * settings.threshold, settings.distance_A / size_A
    )
    candidates = np.zeros(len(pixels), CANDIDATES)
    candidates["x_A"], candidates["y_A"] = coarse.to_A(places[:, 0], places[:, 1], pixel_size_A)
    candidates["peak_height"] = heights
    candidates["background"] = scores.background[pixels[:, 0], pixels[:, 1]]
    best = scores.template[pixels[:, 0], pixels[:, 1]]
    candidates["template"], candidates["psi"] = sought.source[best], sought.psi[best]
    picked = chosen(
        candidates, settings.threshold, background_factor=settings.background_factor,
        max_background=settings.max_background, score_factor=settings.score_factor, max_score=settings.max_score,
    )  # fmt: skip
    return Picks(candidates, picked, scores, areas, coarse, settings)


def _templates(
    settings: PickingSettings, pixel_size_A: float, make_templates: Callable[[float], TemplateImages] | None
) -> TemplateImages:
    if settings.shape == "templates":
        if make_templates is None:
            raise InputError("the template picker needs templates: give images or a map.")
        return make_templates(pixel_size_A)
    if settings.shape == "ring":
        return shapes.shell(settings.radius_A, settings.inner_radius_A, pixel_size_A)
    if settings.shape == "log":
        return shapes.log(settings.radius_A, pixel_size_A)
    return shapes.disc(settings.radius_A, pixel_size_A)

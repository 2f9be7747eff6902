"""What can be asked of the simulator: pydantic models whose fields carry unit, default, limits and one line of help."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

# Density of the solvent around particles relative to pure ice. Salts and bound water raise it, and isolated atoms (as
# all tables have them) scatter more at low angles than bonded ones; one figure for both, from the power that real
# apoferritin has between 150 and 30 A (docs/simulator.md).
SOLVENT_DENSITY = 1.2


def field(default: Any, help: str, unit: str = "", **limits: Any) -> Any:
    """Return a pydantic field whose help names its unit."""
    text = f"{help} [{unit}]" if unit else help
    extra: Any = {"unit": unit} if unit else None
    return Field(default, description=text, json_schema_extra=extra, **limits)


Fraction = Annotated[float, Field(ge=0, le=1)]


class Conformation(BaseModel):
    """One of the shapes that particles take: the model with a domain rotated or moved, or with a part left out."""

    model_config = ConfigDict(extra="forbid")
    name: str = field("", "name in the report")
    weight: float = field(1.0, "relative number of particles", ge=0)
    selection: str = field(
        "", "gemmi selection of the atoms that move, such as /1/A/10-80 (copies are named A-2, A-3 ...)"
    )
    axis: tuple[float, float, float] = field((0.0, 0.0, 1.0), "axis of the rotation, through the selection's centre")
    angle_degrees: float = field(0.0, "rotation of the selection", "degrees", ge=-360, le=360)
    translation_A: tuple[float, float, float] = field((0.0, 0.0, 0.0), "movement of the selection along x, y, z", "A")
    remove: str = field("", "gemmi selection of the atoms that are left out")


class SpecimenParameters(BaseModel):
    """The molecule and its surroundings."""

    model_config = ConfigDict(extra="forbid")
    model: str = field("apoferritin", "apoferritin, beta-galactosidase, or the path of a PDB or mmCIF file")
    conformations: list[Conformation] = Field(
        default_factory=lambda: [Conformation()], description="shapes that are mixed, with their weights", min_length=1
    )
    hydrogens: Literal["riding", "file", "none"] = field(
        "riding", "riding: with the atoms they are bound to; file: as in the file; none: left out"
    )
    b_factor_A2: float | None = field(None, "one B-factor for all atoms instead of the file's", "A^2", ge=0, le=1000)
    extra_b_factor_A2: float = field(20.0, "added to every atom's B-factor", "A^2", ge=0, le=1000)
    solvent_density: float = field(
        SOLVENT_DENSITY, "density of the solvent that atoms displace, relative to pure ice; 0: vacuum", ge=0, le=3
    )
    solvent_smoothing_A: float = field(1.0, "width of the solvent's border at an atom", "A", ge=0, le=10)
    orientations: Literal["uniform", "preferred", "views", "table"] = field(
        "uniform", "how orientations are distributed"
    )
    preferred_views: list[tuple[float, float]] = Field(
        default_factory=lambda: [(0.0, 0.0)], description="favoured views as rot, tilt [degrees]"
    )
    preferred_fraction: Fraction = Field(0.7, description="part of the particles that lie near a favoured view")
    preferred_spread_degrees: float = field(15.0, "spread about a favoured view", "degrees", gt=0, le=90)
    view_table: str = field(
        "empiar-10076", "how often each view is seen: empiar-10076, or a text file with rot, tilt [degrees], weight"
    )
    orientation_table: str = field(
        "", "table of orientations: .npz with rotation matrices `rot` (n, 3, 3), or .txt with rot, tilt, psi"
    )


class OpticsParameters(BaseModel):
    """The microscope."""

    model_config = ConfigDict(extra="forbid")
    pixel_size_A: float = field(1.0, "pixel size", "A", gt=0, le=20)
    voltage_kV: float = field(300.0, "acceleration voltage", "kV", ge=20, le=1500)
    cs_mm: float = field(2.7, "spherical aberration", "mm", ge=-20, le=20)
    amplitude_contrast: Fraction = Field(0.07, description="amplitude contrast")
    defocus_mean_A: float = field(15000.0, "mean underfocus", "A", ge=-100000, le=100000)
    defocus_spread_A: float = field(4000.0, "half width of the range of mean defocus", "A", ge=0, le=50000)
    astigmatism_A: float = field(300.0, "largest difference of the two defoci", "A", ge=0, le=20000)
    phase_shift_degrees: float = field(0.0, "phase shift of a phase plate", "degrees", ge=-180, le=360)
    beam_tilt_x_mrad: float = field(0.0, "beam tilt along x", "mrad", ge=-20, le=20)
    beam_tilt_y_mrad: float = field(0.0, "beam tilt along y", "mrad", ge=-20, le=20)
    envelope_b_A2: float = field(
        60.0, "B-factor of the microscope's envelope: amplitude exp(-B k^2 / 4)", "A^2", ge=0, le=2000
    )
    scattering: Literal["weak_phase", "ewald", "multislice"] = field(
        "weak_phase", "flat weak-phase projection, curved Ewald sphere, or multislice"
    )
    slab_thickness_A: float = field(10.0, "thickness of a slab for ewald and multislice", "A", gt=0, le=200)


class IceParameters(OpticsParameters):
    """The ice that particles lie in, seen by a microscope. A stack has it where its electrons are counted."""

    ice_thickness_A: float = field(400.0, "ice thickness", "A", ge=0, le=5000)
    ice_strength: float = field(1.0, "amplitude of the ice's structure noise", ge=0, le=10)
    water_diffusion_A2: float = field(
        1.0, "mean square movement of a water molecule per electron/A^2", "A^2", ge=0, le=100
    )


class StackParameters(SpecimenParameters, IceParameters):
    """A stack of boxed particles with known poses."""

    particles: int = field(1000, "number of particles", ge=1, le=10_000_000)
    box: int = field(128, "box size", "pixels", ge=16, le=2048)
    snr: float | None = field(
        0.1, "signal variance within the particle's radius / noise variance; none: no noise", gt=0
    )
    dose_e_A2: float | None = field(
        None, "electrons that are counted: damage and noise (theirs and the ice's) follow from them, not from snr",
        "e/A^2", gt=0, le=1000,
    )  # fmt: skip
    coloured_noise: Fraction = Field(
        0.3, description="part of the noise variance that is coloured, where snr gives the noise"
    )
    shift_sigma_A: float = field(3.0, "standard deviation of each coordinate's error of centring", "A", ge=0, le=200)
    padding: float = field(2.0, "box in which the CTF is applied, relative to the final box", ge=1, le=4)
    apply_ctf: bool = field(True, "apply the CTF; without it images are projections (white protein)")
    particles_per_micrograph: int = field(100, "particles that share a micrograph's mean defocus", ge=1)
    height_spread_A: float = field(150.0, "half width of the range of particle heights", "A", ge=0, le=5000)
    contrast_inverted: bool = field(False, "write white protein on black")
    seed: int = field(1, "seed of all random numbers", ge=0, le=2**32 - 1)


class MovieParameters(SpecimenParameters, IceParameters):
    """Movies (or summed micrographs) of many particles in ice, counted by a detector."""

    movies: int = field(1, "number of movies or micrographs", ge=1, le=100_000)
    width: int = field(2048, "image width", "pixels", ge=64, le=16384)
    height: int = field(2048, "image height", "pixels", ge=64, le=16384)
    frames: int = field(20, "frames of a movie", ge=1, le=2000)
    dose_per_frame_e_A2: float = field(2.0, "dose of one frame", "e/A^2", gt=0, le=1000)
    pre_exposure_e_A2: float = field(0.0, "dose before the first frame", "e/A^2", ge=0, le=1000)
    particles: int = field(60, "particles whose centre lies in an image", ge=0, le=100_000)
    minimum_distance: float = field(1.0, "smallest distance of two particles, in particle diameters", ge=0, le=10)
    edge_particles: bool = field(True, "also place particles that the image's edge cuts off")
    thickness_variation: Fraction = Field(0.06, description="relative sd of smooth variations of the ice thickness")
    mean_free_path_A: float = field(3200.0, "inelastic mean free path in ice", "A", gt=100, le=100_000)
    height_fraction: Fraction = Field(0.6, description="part of the ice thickness over which particles are spread")
    contamination: float = field(0.0, "mean number of ice blobs in an image", ge=0, le=1000)
    aggregates: float = field(0.0, "mean number of clumps of particles in an image", ge=0, le=100)
    carbon: Fraction = Field(0.0, description="probability that the carbon edge is in view")
    carbon_thickness_A: float = field(150.0, "thickness of the carbon film", "A", gt=0, le=2000)
    drift_A: float = field(8.0, "typical global drift over the movie", "A", ge=0, le=500)
    local_motion_A: float = field(2.0, "typical local motion over the movie (rms)", "A", ge=0, le=100)
    reference_frame: Literal["first", "middle"] = field("middle", "frame in which truth coordinates hold")
    radiation_damage: bool = field(True, "fade each frame's particle signal by the dose it has seen")
    mtf_at_nyquist: float = field(0.6, "detector's MTF at the Nyquist frequency", gt=0.01, le=1)
    quantum_efficiency: float = field(0.9, "part of the electrons that are counted", gt=0.01, le=1)
    gain_variation: Fraction = Field(0.06, description="relative sd of the pixels' sensitivity")
    gain_reference_noise: Fraction = Field(0.003, description="relative error of the gain reference")
    hot_pixels: int = field(20, "pixels that count too much", ge=0, le=1_000_000)
    dead_columns: int = field(1, "columns that count nothing", ge=0, le=1000)
    format: Literal["tif", "mrc"] = field("tif", "LZW TIFF or MRC")
    seed: int = field(1, "seed of all random numbers", ge=0, le=2**32 - 1)


class MicrographParameters(MovieParameters):
    """Summed micrographs: movies whose motion was corrected to perfection unless a drift is asked for."""

    frames: int = field(10, "steps in which dose, damage and ice movement are followed", ge=1, le=2000)
    dose_per_frame_e_A2: float = field(4.0, "dose of one step", "e/A^2", gt=0, le=1000)
    drift_A: float = field(0.0, "drift that was left uncorrected", "A", ge=0, le=500)
    local_motion_A: float = field(0.0, "local motion that was left uncorrected (rms)", "A", ge=0, le=100)

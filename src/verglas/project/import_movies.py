"""Import movies: the fields of cisTEM's import dialog, checked against each file's header and its references."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from verglas.errors import InputError
from verglas.project.assets import Record
from verglas.project.importing import ImportReport, choose, find_files, gather, read_header_checked, send
from verglas.project.project import Project


@dataclass(frozen=True)
class MovieFields:
    """What is said about movies at import; a value that is None comes from the file, or from the last import.

    Attributes
    ----------
    pixel_size_A, voltage_kV, cs_mm, dose_per_frame_e_A2
        Pixel size of the file, acceleration voltage, spherical aberration, dose that each frame received.
    gain, dark
        Reference files for movies that are not yet corrected.
    output_pixel_size_A
        Resample to this pixel size when aligning.
    mag_distortion_angle_deg, mag_distortion_major, mag_distortion_minor
        Anisotropic magnification: direction and scale factors along and across.
    protein_is_white
        Whether particles are brighter than ice.
    eer_super_resolution
        1, 2 or 4: how finely electrons of EER files are placed.
    eer_frames_per_image
        How many EER frames make one image.
    """

    pixel_size_A: float | None = None
    voltage_kV: float | None = None
    cs_mm: float | None = None
    dose_per_frame_e_A2: float | None = None
    gain: str | None = None
    dark: str | None = None
    output_pixel_size_A: float | None = None
    mag_distortion_angle_deg: float | None = None
    mag_distortion_major: float | None = None
    mag_distortion_minor: float | None = None
    protein_is_white: bool = False
    eer_super_resolution: int = 1
    eer_frames_per_image: int | None = None


def read_metadata(path: Path) -> dict[str, str]:
    """Return what SerialEM's ``<movie>.mdoc`` says of a movie: its global entries and those of its frame set."""
    from verglas.formats.mdoc import read_mdoc

    beside = path.with_name(f"{path.name}.mdoc")
    if not beside.is_file():
        return {}
    mdoc = read_mdoc(beside)
    return mdoc.entries | (mdoc.sections[0].entries if mdoc.sections else {})


def values_of_metadata(metadata: dict[str, str], n_frames: int) -> dict[str, float]:
    """Return the values that SerialEM's entries give: pixel size in A, voltage in kV, dose per frame in e/A^2.

    A dose of zero means that SerialEM was not calibrated, so it is no value.
    """
    values: dict[str, float] = {}
    for key, name in (("PixelSpacing", "pixel_size_A"), ("Voltage", "voltage_kV")):
        if key in metadata:
            values[name] = _number(metadata, key)
    dose_e_A2 = _number(metadata, "ExposureDose") if "ExposureDose" in metadata else 0.0
    if dose_e_A2 > 0:
        values["dose_per_frame_e_A2"] = dose_e_A2 / n_frames
    return values


def _number(metadata: dict[str, str], key: str) -> float:
    try:
        return float(metadata[key])
    except ValueError:
        raise InputError(f"the .mdoc file says {key} = {metadata[key]!r}, which is no number: correct it.") from None


def import_movies(project: Project, patterns: Iterable[str], fields: MovieFields) -> ImportReport:
    """Import movies into a project.

    Files that are already there are skipped; damaged ones, and ones whose size differs from that of their references,
    are reported one by one while the good ones are imported.

    Parameters
    ----------
    project
        An open project.
    patterns
        Names, patterns or folders.
    fields
        What is said about all of them.

    Raises
    ------
    InputError
        A pattern matches nothing, or a field makes no sense.
    FormatError
        A reference cannot be read.
    """
    if fields.eer_super_resolution not in {1, 2, 4}:
        raise InputError(f"EER super-resolution is {fields.eer_super_resolution}; it can be 1, 2 or 4.")
    distortion = (fields.mag_distortion_angle_deg, fields.mag_distortion_major, fields.mag_distortion_minor)
    if any(value is not None for value in distortion) and any(value is None for value in distortion):
        raise InputError("magnification distortion needs all three: angle, major and minor scale.")
    remembered = project.remembered("movie")
    report = ImportReport("movie")
    references = {
        role: Path(os.path.abspath(name)) for role, name in (("gain", fields.gain), ("dark", fields.dark)) if name
    }
    sizes = {role: read_header_checked(path) for role, path in references.items()}

    def describe(path: Path) -> Record:
        header = read_header_checked(path)
        is_eer = header.kind == "eer"
        for role, reference in sizes.items():
            scale = fields.eer_super_resolution if is_eer else 1
            size, wanted = (reference.n_x, reference.n_y), (header.n_x, header.n_y)
            if size not in {wanted, (wanted[0] * scale, wanted[1] * scale)}:
                raise InputError(
                    f"{path}: the movie is {wanted[0]} x {wanted[1]}, its {role} reference {references[role]} is "
                    f"{size[0]} x {size[1]}. Give the reference that belongs to these movies."
                )
        if is_eer and fields.eer_frames_per_image is None:
            raise InputError(
                f"{path}: an EER movie. Say how many of its frames make one image: --eer-frames-per-image."
            )
        n_frames = header.n_sections // (fields.eer_frames_per_image or 1) if is_eer else header.n_sections
        if n_frames < 1:
            raise InputError(f"{path}: {header.n_sections} EER frames do not make one image. Average fewer of them.")
        values: Record = {}
        sources: dict[str, str] = {}
        metadata = read_metadata(path)
        in_header = {"pixel_size_A": header.pixel_size_A}
        in_mdoc = values_of_metadata(metadata, n_frames)
        for name, words, option in (
            ("pixel_size_A", "pixel size (A)", "--pixel-size"),
            ("voltage_kV", "voltage (kV)", "--voltage"),
            ("cs_mm", "spherical aberration (mm)", "--cs"),
            ("dose_per_frame_e_A2", "dose per frame (e/A^2)", "--dose-per-frame"),
        ):
            candidates = (
                ("user", getattr(fields, name)), ("header", in_header.get(name)),
                ("mdoc", in_mdoc.get(name)), ("remembered", remembered.get(name)),
            )  # fmt: skip
            values[name], sources[name] = choose(words, candidates, path=path, option=option, warnings=report.warnings)
        binning = 1.0
        if fields.output_pixel_size_A is not None:
            frame_pixel_A = values["pixel_size_A"] / (fields.eer_super_resolution if is_eer else 1)
            binning = fields.output_pixel_size_A / frame_pixel_A
            if binning < 1:
                raise InputError(
                    f"{path}: the wanted pixel size of {fields.output_pixel_size_A} A is below "
                    f"the {frame_pixel_A} A of its frames. Ask for a larger one: images are only made coarser."
                )
        return {
            "n_x": header.n_x, "n_y": header.n_y, "n_frames": n_frames, **values, "sources": sources,
            **{f"{role}_path": project.layout.stored(place) for role, place in references.items()},
            "output_binning": binning, "mag_distortion_angle_deg": fields.mag_distortion_angle_deg,
            "mag_distortion_major": fields.mag_distortion_major, "mag_distortion_minor": fields.mag_distortion_minor,
            "protein_is_white": int(fields.protein_is_white), "metadata": metadata,
            "eer_super_resolution": fields.eer_super_resolution if is_eer else None,
            "eer_frames_per_image": fields.eer_frames_per_image if is_eer else None,
        }  # fmt: skip

    files = find_files("movie", patterns)
    for role, place in references.items():
        if place in files:
            files.remove(place)
            report.warnings.append(f"{place.name} is the {role} reference of these movies: it was not imported as one.")
    records = gather(project, "movie", files, describe, report)
    said = {key: value for key, value in asdict(fields).items() if value is not None}
    send(project, "movie", records, remembered | said, report)
    return report

"""Commands that import movies, micrographs, volumes and atomic models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from verglas.cli.common import console, json_option, open_project, print_json, project_option

if TYPE_CHECKING:
    from verglas.project.importing import ImportReport

files_argument = click.argument("files", nargs=-1, required=True, metavar="FILES...")
pixel_option = click.option("--pixel-size", "pixel_size_A", type=float, help="Pixel size of the files in A.")
voltage_option = click.option("--voltage", "voltage_kV", type=float, help="Acceleration voltage in kV.")
cs_option = click.option("--cs", "cs_mm", type=float, help="Spherical aberration in mm.")
white_option = click.option("--protein-is-white", is_flag=True, help="Particles are brighter than ice.")


def report_import(report: ImportReport, as_json: bool) -> None:
    """Say what an import did; the exit status is 3 when some files were left out."""
    if as_json:
        print_json({
            "kind": report.kind, "imported": len(report.imported), "ids": [asset["id"] for asset in report.imported],
            "skipped": report.skipped, "problems": report.problems, "warnings": report.warnings,
        })  # fmt: skip
    else:
        say = console().print
        say(f"{len(report.imported)} imported, {len(report.skipped)} were in the project already.")
        for warning in report.warnings[:20]:
            say(warning, style="yellow")
        for problem in report.problems.values():
            say(problem, style="red")
        if report.problems:
            say(f"{len(report.problems)} files were left out.")
    if report.problems:
        click.get_current_context().exit(3)


@click.group(name="import")
def import_group() -> None:
    """Import data: FILES are names, patterns in quotes, or folders. Values are remembered for the next import."""


@import_group.command()
@files_argument
@pixel_option
@voltage_option
@cs_option
@click.option("--dose-per-frame", "dose_per_frame_e_A2", type=float, help="Dose per frame in e/A^2.")
@click.option("--gain", type=click.Path(exists=True, dir_okay=False), help="Gain reference (movies not yet corrected).")
@click.option("--dark", type=click.Path(exists=True, dir_okay=False), help="Dark reference.")
@click.option("--output-pixel-size", "output_pixel_size_A", type=float, help="Resample to this pixel size, in A.")
@click.option("--distortion-angle", "mag_distortion_angle_deg", type=float, help="Anisotropic magnification: degrees.")
@click.option("--distortion-major", "mag_distortion_major", type=float, help="Its major scale factor.")
@click.option("--distortion-minor", "mag_distortion_minor", type=float, help="Its minor scale factor.")
@white_option
@click.option("--eer-super-resolution", type=int, default=1, show_default=True, help="EER: 1, 2 or 4.")
@click.option("--eer-frames-per-image", type=click.IntRange(1), help="EER: frames averaged into one image.")
@project_option
@json_option
def movies(files: tuple[str, ...], project_folder: Path | None, as_json: bool, **fields: Any) -> None:
    """Import movies (mrc, mrcs, tif, tiff, eer)."""
    from verglas.project.import_movies import MovieFields, import_movies

    with open_project(project_folder, write=True) as project:
        report_import(import_movies(project, files, MovieFields(**fields)), as_json)


@import_group.command()
@files_argument
@pixel_option
@voltage_option
@cs_option
@white_option
@click.option("--scaled-copies", is_flag=True, help="Keep copies of 1200 pixels for quick display and picking.")
@project_option
@json_option
def micrographs(files: tuple[str, ...], project_folder: Path | None, as_json: bool, **fields: Any) -> None:
    """Import micrographs that are sums of frames already."""
    from verglas.project.import_others import import_micrographs

    with open_project(project_folder, write=True) as project:
        report_import(import_micrographs(project, files, **fields), as_json)


@import_group.command()
@files_argument
@pixel_option
@project_option
@json_option
def volumes(files: tuple[str, ...], pixel_size_A: float | None, project_folder: Path | None, as_json: bool) -> None:
    """Import maps."""
    from verglas.project.import_others import import_volumes

    with open_project(project_folder, write=True) as project:
        report_import(import_volumes(project, files, pixel_size_A=pixel_size_A), as_json)


@import_group.command()
@files_argument
@project_option
@json_option
def models(files: tuple[str, ...], project_folder: Path | None, as_json: bool) -> None:
    """Import atomic models (PDB, mmCIF)."""
    from verglas.project.import_others import import_models

    with open_project(project_folder, write=True) as project:
        report_import(import_models(project, files), as_json)


@import_group.command()
@files_argument
@project_option
@json_option
def coordinates(files: tuple[str, ...], project_folder: Path | None, as_json: bool) -> None:
    """Import particle positions: .txt lines `image x y` in A, or one star, box, coord, csv, plt file an image."""
    from verglas.project.import_coordinates import import_coordinates

    with open_project(project_folder, write=True) as project:
        report_import(import_coordinates(project, files), as_json)


@import_group.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--stack", help="The stack, where the file does not name it.")
@click.option("--folder", help="Where the names of stacks in the file start from.")
@pixel_option
@voltage_option
@cs_option
@click.option("--amplitude-contrast", type=float, help="Amplitude contrast, 0 to 1.")
@click.option("--white-protein/--dark-protein", default=None, help="Contrast of the images [default: as in the file].")
@click.option("--symmetry", default="C1", show_default=True, help="Point group of the molecule.")
@click.option("--molecular-weight", "mass_kDa", type=float, help="Its mass in kDa.")
@click.option("--largest-dimension", "largest_dimension_A", type=float, help="Its largest dimension in A.")
@click.option("--classes", default=1, show_default=True, type=click.IntRange(1), help="Number of classes to refine.")
@click.option("--name", help="Name of the package [default: that of the file].")
@project_option
@json_option
def particles(file: Path, project_folder: Path | None, as_json: bool, **fields: Any) -> None:
    """Import a stack with its star, par, cistem or cs FILE as a refinement package."""
    from verglas.actions.import_package import import_package
    from verglas.project.import_particles import ParticleFields

    with open_project(project_folder, write=True) as project:
        report_import(import_package(project, file, ParticleFields(**fields)), as_json)

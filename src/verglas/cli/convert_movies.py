"""``verglas convert-movies``: movies between MRC, TIFF and EER, compressed on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from verglas.cli.common import console, json_option, print_json, table
from verglas.errors import VerglasError


@click.command("convert-movies")
@click.argument("movies", nargs=-1, required=True, metavar="MOVIE...", type=click.Path(path_type=Path))
@click.option("--to", type=click.Choice(["tif", "mrc"]), default="tif", show_default=True, help="Format to write.")
@click.option("--output", type=click.Path(file_okay=False, path_type=Path), default=Path(), metavar="DIR",
              help="Folder to write into [default: the one you stand in].")  # fmt: skip
@click.option("--compression", type=click.Choice(["lzw", "deflate", "zstd", "none"]), default="lzw", show_default=True,
              help="How TIFF is compressed; cisTEM and RELION read LZW.")  # fmt: skip
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Frames decoded at once.")
@click.option("--eer-frames", type=click.IntRange(1), default=None, metavar="N",
              help="EER: raw frames summed into one frame (needed for EER).")  # fmt: skip
@click.option("--eer-super-resolution", type=click.Choice(["1", "2", "4"]), default="1", show_default=True,
              help="EER: pixels per detector pixel along each axis.")  # fmt: skip
@click.option("--pixel-size", "pixel_size_A", type=click.FloatRange(0, min_open=True), default=None, metavar="A",
              help="Pixel size in Angstrom to write instead of the file's own.")  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace files that are there already.")
@json_option
def convert_movies(
    movies: tuple[Path, ...], to: Any, output: Path, compression: Any, threads: int, eer_frames: int | None,
    eer_super_resolution: str, pixel_size_A: float | None, overwrite: bool, as_json: bool,
) -> None:  # fmt: skip
    """Convert MOVIEs to TIFF or MRC, one frame at a time, every value kept.

    Movies of few electrons per pixel that were not yet gain-corrected shrink most: often to a tenth with LZW.
    A movie that cannot be converted is reported and the others go on; the exit status is then 3.
    """
    from verglas.formats import convert_movie

    output.mkdir(parents=True, exist_ok=True)
    done: list[dict[str, Any]] = []
    failed: list[dict[str, str]] = []
    for path in movies:
        target = output / f"{path.stem}.{'tif' if to == 'tif' else 'mrc'}"
        try:
            made = convert_movie(
                path, target, to=to, compression=None if compression == "none" else compression,
                threads=threads, eer_frames_per_image=eer_frames, eer_super_resolution=int(eer_super_resolution),
                pixel_size_A=pixel_size_A, overwrite=overwrite,
            )  # fmt: skip
        except VerglasError as error:
            failed.append({"movie": str(path), "error": str(error)})
            continue
        done.append({
            "movie": str(path), "target": str(made.target), "frames": made.n_frames, "dtype": made.dtype,
            "bytes_before": made.source_bytes, "bytes_after": made.target_bytes,
        })  # fmt: skip
    if as_json:
        print_json({"converted": done, "failed": failed})
    else:
        show(done, failed)
    if failed:
        raise SystemExit(3)


def show(done: list[dict[str, Any]], failed: list[dict[str, str]]) -> None:
    """Print what became of each movie."""
    if done:
        lines = table("Movie", ">frames", "type", ">MB before", ">MB after")
        for row in done:
            sizes = (f"{row[key] / 1e6:.1f}" for key in ("bytes_before", "bytes_after"))
            lines.add_row(row["target"], str(row["frames"]), row["dtype"], *sizes)
        console().print(lines)
    for row in failed:
        click.echo(f"Error: {row['error']}", err=True)

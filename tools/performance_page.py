"""The text of ``docs/performance.md``, filled from ``docs/measured/*.json`` so that it says what was measured last."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tools.measured import MEASURED, REPOSITORY

PATH = REPOSITORY / "docs" / "performance.md"

OPENING = """# Performance

What each stage costs, beside another program that does the same and beside the *floor*: the work that cannot be
avoided (decoding the file, one Fourier transform, the matrix products), timed in the same run.
`python -m tools.make_docs` writes this page from `docs/measured/`; `make bench` measures again. Timings are medians of
interleaved rounds. CPU-seconds are summed over threads, so they say what a job costs wherever it runs; the clock's
seconds depend on the machine named under each table.
"""


@dataclass(frozen=True)
class Row:
    """One line of a table; each text is a format string that is filled from the figures of the measurement."""

    what: str
    ours: str
    beside: str = ""


@dataclass(frozen=True)
class Section:
    """One table of the page: heading, measurement, what it was measured on, rows."""

    title: str
    measurement: str
    setting: str
    rows: tuple[Row, ...]


def stored_as(kind: str) -> Row:
    """Return the line of one way to store a movie."""
    figure = "{stored[" + kind + "]"
    times = f"{figure}[cpu_s]:.1f}} CPU-s, {figure}[wall_s_warm_cache]:.1f}} s"
    return Row(kind, f"{times} ({figure}[wall_s_cold_cache]:.1f}} s when not yet in memory)", f"{figure}[MB]:.0f}} MB")


SECTIONS = (
    Section(
        "Align Movies",
        "motion_benchmark",
        "One movie of {movie[frames]} frames of {movie[size]} x {movie[size]}, LZW TIFF with gain, {threads} threads.",
        (
            Row(
                "align, weight by dose, write sum, spectrum and thumbnail",
                "{align_cpu_s:.1f} CPU-s ({align_wall_s:.1f} s)",
                "floor (decode and one FFT a frame) {floor_cpu_s:.1f} CPU-s: ratio {ratio_to_decode_and_one_fft:.2f}, "
                "wanted {ratio_wanted}; RELION {relion[cpu_s]:.1f} CPU-s",
            ),
            Row("error against the true motion, rms", "{rms_error_A:.3f} A", "RELION {relion[rms_error_A]:.3f} A"),
            Row("memory", "{memory[used_GiB]:.2f} GiB", "stated before the start: {memory[stated_GiB]:.2f} GiB"),
        ),
    ),
    Section(
        "Align Movies with local motion",
        "motion_benchmark",
        "The same size, {local[patches]} patches, local motion of 4 A.",
        (
            Row(
                "align, weight by dose, write",
                "{local[align_cpu_s]:.1f} CPU-s ({local[align_wall_s]:.1f} s)",
                "floor {local[floor_cpu_s]:.1f} CPU-s: ratio {local[ratio_to_decode_and_one_fft]:.2f}, "
                "wanted {local[ratio_wanted]}; RELION, same patches and threads, {local[relion][cpu_s]:.1f} CPU-s",
            ),
            Row(
                "error at the particles, rms",
                "{local[rms_error_at_particles_A]:.3f} A",
                "RELION {local[relion][rms_error_A]:.3f} A",
            ),
        ),
    ),
    Section(
        "Compressed movies or not",
        "motion_benchmark",
        "The same movie stored three ways and aligned. Counts compress well, most pixels of a frame having met no "
        "electron or one: LZW saves three quarters of the disk for a third more computing.",
        (
            stored_as("LZW TIFF, counts"),
            stored_as("MRC, counts (8 bits)"),
            stored_as("MRC, gain-corrected (32 bits)"),
        ),
    ),
    Section(
        "Find CTF",
        "ctf_benchmark",
        "A sum of {micrograph} x {micrograph}, fitted from {fitted_from_to_A[0]:g} to {fitted_from_to_A[1]:g} A; one "
        "thread.",
        (
            Row(
                "spectrum, search, quality",
                "{all_cpu_s:.2f} CPU-s",
                "floor (FFTs of the tiles) {ffts_of_tiles_cpu_s:.2f} CPU-s; wanted {wanted_cpu_s} CPU-s",
            ),
            Row("the same with the phase searched", "{all_with_phase_search_cpu_s:.2f} CPU-s"),
        ),
    ),
    Section(
        "Find Particles",
        "picking_benchmark",
        "A micrograph of {micrograph[size_px]} x {micrograph[size_px]}; one thread. Wanted: 1 CPU-s.",
        (
            Row(
                "disc, to 30 A",
                "{cpu_seconds_median[disc_30_A]:.2f} CPU-s",
                "floor (one FFT) {cpu_seconds_median[one_fft]:.2f} CPU-s",
            ),
            Row("disc, to 20 A", "{cpu_seconds_median[disc_20_A]:.2f} CPU-s"),
            Row("72 rotations of an image", "{cpu_seconds_median[72_rotations_of_an_image_30_A]:.2f} CPU-s"),
        ),
    ),
    Section(
        "2D classes: search of one round",
        "engine_classes",
        "Box {box}, pixels of {pixel_size_A} A, shifts to {shift_range_A:g} A, all in-plane angles of all classes, the "
        "best refined to {refined_to_A:g} A; one thread. Time a particle, and the part that came to the right class.",
        tuple(
            Row(
                f"{classes} classes, noise {noise}, grid to {limit} A",
                f"{{{classes}_classes_noise_{noise}[to_{limit}_A][cpu_ms]:.2f}} CPU-ms",
                f"{{{classes}_classes_noise_{noise}[to_{limit}_A][right_class]:.3f}} right",
            )
            for classes in (20, 50)
            for noise in (4, 8)
            for limit in (20, 15)
        ),
    ),
    Section(
        "Tables of particles",
        "formats_tables",
        "A STAR file of {rows:,} rows and {columns} columns ({star_size_MB} MB); the comparison has "
        "{rows_of_small_star:,} rows.",
        (
            Row(
                "read",
                "{star_read[wall_s_median]:.1f} s, {star_read_peak_memory_MiB} MiB",
                "wanted {targets[star_read_s]} s",
            ),
            Row("write", "{star_write[wall_s_median]:.1f} s", "wanted {targets[star_write_s]} s"),
            Row(
                "read {rows_of_small_star:,} rows",
                "{small_star_read[cpu_s_median]:.2f} CPU-s",
                "starfile {starfile[read_cpu_s_median]:.2f} CPU-s",
            ),
            Row(
                "write {rows_of_small_star:,} rows",
                "{small_star_write[cpu_s_median]:.2f} CPU-s",
                "starfile {starfile[write_cpu_s_median]:.2f} CPU-s",
            ),
        ),
    ),
    Section(
        "Image files",
        "formats_images",
        "{frame}; one thread, files in memory.",
        (
            Row("LZW TIFF", "{read_ms[tiff_lzw]:.0f} ms", "tifffile {read_ms[tiff_lzw_by_tifffile]:.0f} ms"),
            Row("MRC, 8 bits", "{read_ms[mrc_int8]:.1f} ms", "mrcfile {read_ms[mrc_int8_by_mrcfile]:.1f} ms"),
            Row("MRC, 32 bits", "{read_ms[mrc_float32]:.1f} ms", "mrcfile {read_ms[mrc_float32_by_mrcfile]:.1f} ms"),
        ),
    ),
    Section(
        "Spectra and FSC",
        "signal_benchmark",
        "{workers} threads, medians of {repeats}.",
        (
            Row(
                "spectrum of a {tiles[micrograph]} x {tiles[micrograph]} micrograph in tiles of {tiles[tile]}",
                "{tiles[tiled_spectrum_s]:.2f} s",
                "floor (the tiles' FFTs) {tiles[ffts_s]:.2f} s",
            ),
            Row("Fourier crop {crop[from]} to {crop[to]}", "{crop[crop_s]:.2f} s", "floor (FFTs) {crop[ffts_s]:.2f} s"),
            Row("FSC, box {fsc[0][box]}", "{fsc[0][fsc_s]:.2f} s", "floor (two FFTs) {fsc[0][two_ffts_s]:.2f} s"),
            Row("FSC, box {fsc[1][box]}", "{fsc[1][fsc_s]:.2f} s", "floor (two FFTs) {fsc[1][two_ffts_s]:.2f} s"),
        ),
    ),
    Section(
        "Projects and jobs",
        "project_benchmark",
        "{assets:,} movies in one project; wanted: each under {limit_seconds} s.",
        (
            Row("list a page of 200", "{seconds[list_a_page_of_200]:.3f} s"),
            Row("filter by name", "{seconds[filter_by_name]:.3f} s"),
            Row("make a group of 50,000", "{seconds[make_a_group_of_50000]:.3f} s"),
            Row("invert it", "{seconds[invert_that_group]:.3f} s"),
            Row("rebuild the database from the journal", "{without_limit[seconds][rebuild]:.1f} s"),
        ),
    ),
    Section(
        "Starting up",
        "execution",
        "Medians of {rounds} rounds, caches warm.",
        (
            Row("`verglas --help`", "{help_seconds:.2f} s", "wanted 0.4 s"),
            Row("a worker is ready", "{worker_ready_seconds:.2f} s", "wanted 2 s"),
            Row("from the start of a job to its first result", "{start_to_first_result_seconds:.1f} s"),
            Row("an empty task", "{empty_task_milliseconds:.0f} ms"),
        ),
    ),
    Section(
        "Simulator",
        "simulator_benchmark",
        "{movies} movies of {size_px} x {size_px} x {frames} frames with {particles_each} particles each, "
        "{threads} threads.",
        (
            Row("a movie", "{seconds_per_movie:.1f} s"),
            Row("memory of the whole run", "{peak_memory_GiB_of_the_whole_run:.2f} GiB"),
        ),
    ),
)


def measured(name: str) -> dict[str, Any]:
    """Return a measurement as ``tools.measured.record`` wrote it."""
    content: dict[str, Any] = json.loads((MEASURED / f"{name}.json").read_text())
    return content


def section_text(section: Section) -> str:
    """Return a section of the page with its figures filled in.

    Raises
    ------
    KeyError
        A row asks for a figure that the measurement does not hold.
    """
    content = measured(section.measurement)
    figures, machine = content["figures"], content["machine"]
    lines = [f"## {section.title}", "", section.setting.format(**figures), ""]
    lines += ["| what | verglas | beside |", "|---|---|---|"]
    lines += [
        f"| {row.what.format(**figures)} | {row.ours.format(**figures)} | {row.beside.format(**figures)} |"
        for row in section.rows
    ]
    lines += [
        "",
        f"[{section.measurement}.json](measured/{section.measurement}.json): commit {content['commit']}, "
        f"{content['date'][:10]}, {machine['cores']} cores of {machine['processor']}, load {machine['load_1min']}.",
    ]
    return "\n".join(lines)


def page() -> str:
    """Return the whole page."""
    return "\n\n".join([OPENING.rstrip(), *(section_text(section) for section in SECTIONS)]) + "\n"

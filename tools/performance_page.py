"""The text of ``docs/performance.md``, filled from ``docs/measured/*.json`` so that it says what was measured last."""

from __future__ import annotations

import json
from typing import Any

from tools.measured import MEASURED, REPOSITORY
from tools.page_sections import Row, Section
from tools.refinement_sections import REFINEMENT

PATH = REPOSITORY / "docs" / "performance.md"

OPENING = """# Performance

What each stage costs, and here and there how right it is, beside another program that does the same and beside the
*floor*: the work that cannot be avoided (decoding the file, one Fourier transform, the matrix products), timed in the
same run.
`python -m tools.make_docs` writes this page from `docs/measured/`; `make bench` measures again. Timings are medians of
interleaved rounds. CPU-seconds are summed over threads, so they say what a job costs wherever it runs; the clock's
seconds depend on the machine named under each table.
"""


def stored_as(kind: str) -> Row:
    """Return the line of one way to store a movie."""
    figure = "{stored[" + kind + "]"
    times = f"{figure}[cpu_s]:.1f}} CPU-s, {figure}[wall_s_warm_cache]:.1f}} s"
    return Row(kind, f"{times} ({figure}[wall_s_cold_cache]:.1f}} s when not yet in memory)", f"{figure}[MB]:.0f}} MB")


SECTIONS = (
    Section(
        "The whole demo",
        "demo",
        "{movies} simulated movies of {size_px} x {size_px} x {frames} frames to a sharpened map; nothing is given but "
        "what a microscope's operator knows.",
        (
            Row("minutes in all", "{minutes:.1f}", "wanted {wanted[minutes]:g}"),
            Row("of which from movies to the sharpened map", "{minutes_processing:.1f}"),
            Row("shifts of frames off by (rms)", "{shift_rms_A:.2f} A"),
            Row("defocus off by (median)", "{defocus_error_A:.0f} A"),
            Row("picks: precision, recall", "{precision:.3f}, {recall:.3f}"),
            Row("poses off by (median)", "{angular_error_deg:.2f} degrees"),
            Row(
                "resolution: FSC with the truth at 0.5",
                "{resolution_A:.2f} A",
                "at true poses {resolution_at_true_poses_A:.2f} A",
            ),
        ),
    ),
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
        "Find CTF: how right",
        "ctf_estimation",
        "{micrographs}.",
        (
            Row(
                "{all[micrographs]} micrographs, phase shift known: median error of the mean defocus",
                "{all[median_error_of_mean_defocus_A]:.0f} A; 90 % below {all[90_percent_below_A]:.0f} A",
                "wanted {wanted[median_error_of_mean_defocus_A]:.0f} A",
            ),
            Row(
                "of these off by more than {gross_failure_is_an_error_beyond_A:.0f} A",
                "{all[gross_failures]} (largest error {all[largest_A]:.0f} A)",
                "wanted: under {wanted[gross_failures_percent]:.0f} %",
            ),
            Row("median error of the astigmatism", "{all[median_error_of_astigmatism_A]:.0f} A"),
            Row(
                "median error over the stated standard error",
                "{all[median_error_over_stated]:.2f}",
                "a normal one's: 0.67",
            ),
            Row(
                "{phase_shift_searched_from_0_to_180_degrees[micrographs]} with a phase plate, its shift searched",
                "{phase_shift_searched_from_0_to_180_degrees[median_error_of_mean_defocus_A]:.0f} A and "
                "{phase_shift_searched_from_0_to_180_degrees[median_error_of_phase_shift_deg]:.1f} degrees",
                "{phase_shift_searched_from_0_to_180_degrees[gross_failures]} off by more than "
                "{gross_failure_is_an_error_beyond_A:.0f} A",
            ),
            Row(
                "stated and true failures, with worse micrographs, agree in each bin of the score within two standard "
                "deviations",
                "{stated_probability_of_failure[calibrated]}",
            ),
        ),
    ),
    Section(
        "Find CTF: tilt",
        "ctf_tilt",
        "{micrographs}.",
        (
            Row("tilted ones found", "{tilted_ones_found}"),
            Row("flat ones said to be tilted", "{flat_ones_said_to_be_tilted}"),
            Row(
                "error of the angle",
                "median {median_error_of_angle_deg:.1f}, largest {largest_error_of_angle_deg:.1f} degrees",
            ),
            Row(
                "error of the axis",
                "median {median_error_of_axis_deg:.1f}, largest {largest_error_of_axis_deg:.1f} degrees",
            ),
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
        "Classify 2D",
        "classify_2d_benchmark",
        "A particle and round, box {box}, shifts to {shifts_A:g} A, {threads} thread; medians of {repeats}, RELION "
        "once ({relion}). Wanted: 15 times less.",
        tuple(
            Row(
                f"{classes} classes, to {limit} A",
                f"{{{classes}_classes[verglas_cpu_ms][to_{limit}_A]:.2f}} CPU-ms",
                f"RELION {{{classes}_classes[relion_cpu_ms]:.1f}} CPU-ms: "
                f"{{{classes}_classes[relion_over_verglas][to_{limit}_A]:.0f}} times",
            )
            for classes in (10, 50)
            for limit in (20, 12, 8)
        ),
    ),
    Section(
        "2D classes beside RELION's",
        "classification2d_relion",
        "The same {particles} particles of box {box} at a signal to noise of {snr}, {classes} classes, {rounds} "
        "rounds, the same step of angles and shifts.",
        (
            Row("all rounds, all particles in each", "{cpu_s[verglas]:.0f} CPU-s", "RELION {cpu_s[relion]:.0f} CPU-s"),
            Row("with our own schedule", "{cpu_s[its_own_schedule]:.0f} CPU-s"),
            Row(
                "the four views told apart",
                "{verglas_all_particles_each_round[purity_of_views]:.3f}",
                "RELION {relion_3_1_3[purity_of_views]:.3f}",
            ),
            Row(
                "resolution of the views against the truth",
                "{verglas_all_particles_each_round[resolution_against_truth_A]} A",
                "RELION {relion_3_1_3[resolution_against_truth_A]} A",
            ),
        ),
    ),
    Section(
        "Many particles in 2D",
        "classification2d_many",
        "Box {box}, {workers} workers.",
        (
            Row(
                "{many[particles]:,} particles: CPU time a particle and round",
                "{many[cpu_ms_a_particle_and_round]:.2f} CPU-ms",
                "{few[particles]:,} particles: {few[cpu_ms_a_particle_and_round]:.2f} CPU-ms",
            ),
            Row("memory, in parts of that of the few", "{memory_grows_by:.2f}"),
        ),
    ),
    *(
        Section(
            f"2D classes: how right, at a signal to noise of {snr}",
            f"classification2d_snr_{snr}",
            "{particles} particles of {box} pixels of {pixel_size_A:g} A, four views of two proteins and, one in five, "
            "junk ({junk}); {classes} classes, ten seeds.",
            (
                Row("purity of classes", "{median[purity]:.3f}", "worst seed {worst[purity]:.3f}"),
                Row("the four views told apart", "{median[purity_of_views]:.3f}", "worst {worst[purity_of_views]:.3f}"),
                Row("junk outside suggested classes", "{median[junk_found]:.3f}", "worst {worst[junk_found]:.3f}"),
                Row(
                    "particles in suggested classes",
                    "{median[particles_kept]:.3f}",
                    "worst {worst[particles_kept]:.3f}",
                ),
            ),
        )
        for snr in ("0.1", "0.05")
    ),
    *REFINEMENT,
    Section(
        "The browser page",
        "page_benchmark",
        "A project of {micrographs:,} micrographs and {particles:,} particles; medians of {repeats}; {renderer}.",
        tuple(
            Row(what, f"{{median_seconds[{figure}]:.2f}} s", f"wanted {{wanted_seconds[{limit}]:g}} s")
            for what, figure, limit in (
                ("overview", "first_paint_overview", "first_paint"),
                ("images", "first_paint_images", "first_paint"),
                ("picks", "first_paint_picks", "first_paint"),
                ("a click to a micrograph", "click_to_micrograph", "click_to_micrograph"),
                ("a map of {map_voxels_a_side} voxels a side on screen", "map_on_screen", "map_on_screen"),
            )
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
    """Return the whole page: a section for each measurement that was made."""
    made = [section for section in SECTIONS if (MEASURED / f"{section.measurement}.json").exists()]
    return "\n\n".join([OPENING.rstrip(), *(section_text(section) for section in made)]) + "\n"

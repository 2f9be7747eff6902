"""Sections of the performance page: files, projects, jobs, the browser page and the simulator."""

from __future__ import annotations

from tools.performance.rows import Row, Section

SECTIONS = (
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

"""Sections of the performance page: the demo, and from movies to picks."""

from __future__ import annotations

from tools.performance.rows import Row, Section


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
)

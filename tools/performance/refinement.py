"""Sections of the performance page: 3D refinement, classification and CTF refinement."""

from __future__ import annotations

from tools.performance.rows import Row, Section


def mode(what: str, name: str) -> Row:
    """Return the line of one mode of refinement."""
    figure = f"{{cost[modes][{name}]"
    parts = f"aligning {figure}[alignment_cpu_ms]:.2f}}, maps {figure}[maps_cpu_ms]:.2f}}"
    return Row(what, f"{figure}[cpu_ms]:.2f}} CPU-ms ({parts})")


def limit(what: str, name: str) -> Row:
    """Return the line of one limit and policy."""
    figure = f"{{{name}"
    return Row(
        what,
        f"halves to {figure}[resolution_A]}} A, {figure}[resolution_without_noise_A]}} A without the noise; called "
        f"overfitted: {figure}[overfitted]}}",
        f"mean FSC of the noise from 8 to 4 A: {figure}[mean_fsc_of_noise_8_to_4_A]:.2f}}; truth at 0.5: "
        f"{figure}[resolution_to_truth_A]}} A",
    )


def way(what: str, name: str) -> Row:
    """Return the line of one way to classify."""
    figure = f"{{{name}"
    return Row(
        what,
        f"{figure}[right]:.3f}} right, {figure}[of_assignable]:.3f}} of what is assignable",
        f"{figure}[same_as_sphere]:.3f}} as by the sphere; {figure}[cpu_ms_per_particle_and_round]:.2f}} CPU-ms a "
        "particle and round",
    )


SECTIONS = (
    Section(
        "Auto Refine beside RELION",
        "auto_refine",
        "{stack[particles]:,} simulated particles of {stack[molecule]}, box {stack[box]}, pixels of "
        "{stack[pixel_size_A]} A, signal to noise {stack[snr]}, {stack[symmetry]}; both begin with the true map "
        "low-passed to {stack[start_low_passed_A]:g} A. RELION's CPU time is that of its two workers.",
        (
            Row(
                "CPU time",
                "{verglas[cpu_s]} s, {verglas[rounds]} rounds",
                "{relion[program]}: {relion[cpu_s_of_workers]} s, {relion[iterations]} iterations",
            ),
            Row("RELION's CPU time over ours", "{relion_cpu_over_verglas}", "{ratio_is}"),
            Row("resolution against the truth (0.5)", "{verglas[truth_0.5_A]} A", "{relion[truth_0.5_A]} A"),
            Row("error of poses, median", "{verglas[median_error_deg]} degrees", "{relion[median_error_deg]} degrees"),
            Row(
                "poses more than 8 degrees off", "{verglas[beyond_8_deg_percent]} %", "{relion[beyond_8_deg_percent]} %"
            ),
        ),
    ),
    Section(
        "Real apoferritin, from micrographs to a map",
        "apoferritin",
        "{micrographs} micrographs of EMPIAR-10146, {particles:,} of {picked:,} picked particles, box {box}, pixels of "
        "{pixel_size_A} A, {symmetry}. Measured in the protein's shell, the spherical average taken off.",
        (
            Row("CTF, picks, stack", "{cpu_s[ctf]}, {cpu_s[picks]}, {cpu_s[stack]} CPU-s"),
            Row("2D classes, particles of those selected", "{cpu_s[classes]}, {cpu_s[selected]} CPU-s"),
            Row(
                "Ab-Initio 3D",
                "{cpu_s[ab initio]} CPU-s; mean FSC with the model from 20 to 7 A {ab_initio[mean_fsc_20_to_7_A]}",
            ),
            Row(
                "Auto Refine from ab initio",
                "{auto_refine_from_ab_initio[cpu_s]} CPU-s; it reports {auto_refine_from_ab_initio[resolution_A]} A; "
                "mean FSC with the model {auto_refine_from_ab_initio[mean_fsc_20_to_7_A]}",
            ),
            Row(
                "Auto Refine from the model at {auto_refine_from_the_model[start_A]:g} A",
                "{auto_refine_from_the_model[cpu_s_without_the_job]} CPU-s, "
                "{auto_refine_from_the_model[cpu_s]} as a job; halves {auto_refine_from_the_model[halves_0.143_A]} A",
                "RELION likewise: {relion_from_the_model[cpu_s_of_workers]} CPU-s, "
                "{relion_from_the_model[iterations]} iterations, came to its end: "
                "{relion_from_the_model[came_to_its_end]}",
            ),
            Row(
                "its map and the model (FSC 0.5)",
                "{auto_refine_from_the_model[model_0.5_A]} A",
                "RELION's {relion_from_the_model[model_0.5_A]} A",
            ),
            Row(
                "mean FSC with the model, 20 to 7 A",
                "{auto_refine_from_the_model[mean_fsc_20_to_7_A]}",
                "RELION's {relion_from_the_model[mean_fsc_20_to_7_A]}",
            ),
            Row(
                "RELION's CPU time over Auto Refine's",
                "{relion_cpu_over_verglas[refinement_alone]}, over its job's {relion_cpu_over_verglas[whole_job]}",
                "{relion_cpu_over_verglas[is]}",
            ),
        ),
    ),
    Section(
        "Refinement, mode by mode",
        "manual_refine",
        "A particle and round, {cost[particles]} particles of box {cost[box_px]}, pixels of {cost[pixel_A]} A, "
        "{cost[symmetry]}, to {cost[limit_A]:g} A; one thread, medians of {cost[repeats]}. What is done once a round, "
        "however many particles there are, is left out.",
        (
            mode("Manual Refine, local", "manual_local"),
            mode("Manual Refine, local and defocus", "manual_local_and_defocus"),
            mode("Manual Refine, local, likelihood blurring", "manual_local_likelihood_blurring"),
            mode("Manual Refine, global search", "manual_global_search"),
            mode("two classes without alignment", "two_classes_without_alignment"),
            mode("two classes that differ in a focus", "two_classes_in_a_focus"),
            mode("two classes by residuals in a circle", "two_classes_in_a_circle"),
            mode("Auto Refine, first round: search to 20 A", "auto_refine_search_round"),
            mode("Auto Refine, a later round without searches", "auto_refine_local_round"),
            Row(
                "Refine CTF, defocus and beam tilt",
                "{cost[modes][refine_ctf][cpu_ms]:.2f} CPU-ms (defocus {cost[modes][refine_ctf][defocus_cpu_ms]:.2f}, "
                "beam tilt {cost[modes][refine_ctf][beam_tilt_cpu_ms]:.2f})",
            ),
        ),
    ),
    Section(
        "Manual Refine: limits told apart by noise",
        "manual_refine",
        "{particles} particles of box {box_px}, pixels of {pixel_A} A, signal to noise {snr}, one global search; "
        "noise takes the place of all that is finer than {noise_from_A:g} A. Told apart: {told_apart}.",
        (
            limit("one reference, to 8 A", "one_reference_limit_8_A"),
            limit("one reference, to 4 A", "one_reference_limit_4_A"),
            limit("a reference for each half set, to 4 A", "half_sets_limit_4_A"),
        ),
    ),
    Section(
        "Focused classification",
        "focus",
        "A domain of {domain_kDa} kDa in half of {particles:,} particles of beta-galactosidase, signal to noise {snr}, "
        "from random classes without alignment, {rounds} rounds to {limit_A:g} A. Assignable at true poses against "
        "true maps: {assignable:.3f}.",
        (
            way("sphere by coordinates", "sphere"),
            way("sphere found by hand, as in cisTEM's FAQ", "sphere_by_hand"),
            way("the same as a mask volume", "mask_volume"),
            way("without a focus", "no_focus"),
        ),
    ),
    Section(
        "Refine CTF",
        "ctf_refinement",
        "{particles:,} particles of beta-galactosidase, box {box_px}, pixels of {pixel_A} A, signal to noise {snr}; "
        "beam tilt {beam_tilt_true_mrad[0]}, {beam_tilt_true_mrad[1]} mrad that the table does not know, and one "
        "defocus a micrograph.",
        (
            Row(
                "beam tilt found",
                "{beam_tilt_found_mrad[0]}, {beam_tilt_found_mrad[1]} mrad",
                "stated deviation {beam_tilt_deviation_mrad[0]} mrad, significance {beam_tilt_significance:.0f}; "
                "wanted within 0.05",
            ),
            Row(
                "error of a particle's defocus, rms",
                "{defocus_rms_error_A[drawn_to_the_plane]:.0f} A (stated {defocus_rms_error_A[stated]:.0f})",
                "as given {defocus_rms_error_A[as_given]:.0f} A, the plane alone {defocus_rms_error_A[plane]:.0f} A",
            ),
            Row(
                "the same from each particle by itself",
                "{defocus_rms_error_A[alone_without_outliers]:.0f} A but for {defocus_outliers_over_300_A} outliers "
                "over 300 A",
                "bound of Cramer and Rao {bound_rms_A[references_used]:.0f} A, "
                "{bound_rms_A[true_map_as_reference]:.0f} A with the true map as reference",
            ),
            Row(
                "resolution of the halves",
                "{resolution_A[after_and_poses_again][halves]:.2f} A with poses refined again, "
                "{resolution_A[after][halves]:.2f} A before that",
                "{resolution_A[before][halves]:.2f} A before, {resolution_A[at_the_true_ctf][halves]:.2f} A at the "
                "true CTF",
            ),
            Row(
                "resolution against the truth (0.5)",
                "{resolution_A[after_and_poses_again][to_truth]:.2f} A",
                "{resolution_A[before][to_truth]:.2f} A before, {resolution_A[at_the_true_ctf][to_truth]:.2f} A at the "
                "true CTF",
            ),
            Row("a particle", "{cpu_ms_a_particle[ctf]:.2f} CPU-ms"),
        ),
    ),
)

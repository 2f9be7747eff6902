"""Sections of the performance page: 2D classes."""

from __future__ import annotations

from tools.performance.rows import Row, Section

SECTIONS = (
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
    *(
        Section(
            f"2D classes beside RELION's: {classes} classes",
            f"classification2d_relion_{classes}",
            "The same {particles} particles of box {box} at a signal to noise of {snr}, all of them in each round; "
            "angles in steps of {psi_step_deg:g} degrees, shifts to {shift_range_px:g} pixels; one thread. RELION came "
            "to round {relion[rounds]} of {rounds}.",
            (
                Row(
                    "the rounds that RELION came to, of ours the first and coarsest",
                    "{verglas_at_the_same_round[cpu_s]:.0f} CPU-s",
                    "RELION {relion[cpu_s]:.0f} CPU-s: {relion_over_verglas_in_these_rounds:.1f} times",
                ),
                Row(
                    "all our rounds, beside what RELION had used",
                    "{verglas[cpu_s]:.0f} CPU-s",
                    "{relion_over_all_rounds_of_verglas:.1f} times",
                ),
                Row(
                    "a particle and round, all rounds",
                    "{verglas[cpu_ms_a_particle_and_round]:.2f} CPU-ms",
                    "RELION {relion[cpu_ms_a_particle_and_round]:.1f} CPU-ms",
                ),
                Row(
                    "the four views told apart, ours after all rounds",
                    "{verglas[purity_of_views]:.3f}",
                    "RELION {relion[purity_of_views]:.3f}",
                ),
                Row("purity, junk being one kind", "{verglas[purity]:.3f}", "RELION {relion[purity]:.3f}"),
                Row(
                    "resolution of the views against the truth",
                    "{verglas[resolution_against_truth_A]} A",
                    "RELION {relion[resolution_against_truth_A]} A",
                ),
            ),
        )
        for classes in (10, 50)
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
)

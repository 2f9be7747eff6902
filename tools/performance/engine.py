"""Sections of the performance page: the engine's search, refinement and reconstruction."""

from __future__ import annotations

from tools.performance.rows import Row, Section

# Place among the settings of the engine's benchmarks, and what it is.
SETTINGS = ((0, "box 128, 2 A"), (1, "box 128, 1.5 A"), (2, "box 256, 2 A"), (3, "box 256, 1.5 A"))


def searched(place: int, where: str, way: str, snr: float, what: str, wanted: str = "") -> Row:
    """Return the line of one way to search at one signal-to-noise ratio."""
    figure = f"settings[{place}][snr_{snr}][{way}]"
    found = f"{{{figure}[within_5_deg]:.2f}} within 5 degrees"
    return Row(
        f"{where}, SNR {snr}: {what}",
        f"{{{figure}[cpu_ms]:.1f}} CPU-ms; {found}",
        f"floor {{{figure}[floor_ms]:.1f}} CPU-ms ({{{figure}[times_the_floor]:.1f}} times)"
        + (f"; wanted {{wanted_cpu_ms_at_box_128[{wanted}]:g}}" if wanted else ""),
    )


def refined(place: int, where: str, limit: str, wanted: bool = False) -> Row:
    """Return the line of local refinement to one resolution."""
    figure = f"settings[{place}][to_{limit}_A]"
    return Row(
        f"{where}, to {limit} A",
        f"{{{figure}[cpu_ms]:.2f}} CPU-ms; median {{{figure}[median_deg]:.2f}} degrees, {{{figure}[median_A]:.2f}} A",
        f"floor {{{figure}[floor_ms]:.2f}} CPU-ms ({{{figure}[times_the_floor]:.1f}} times)"
        + (f"; wanted {{wanted_cpu_ms_at_box_128_and_2_A[to_{limit}_A]:g}}" if wanted else ""),
    )


def reconstructed(place: int, where: str, relion: bool = True) -> Row:
    """Return the line of a reconstruction."""
    figure = f"settings[{place}]"
    floor = f"{{{figure}[floor_cpu_ms_a_particle_reading_and_fft_measured]:.2f}}"
    return Row(
        where,
        f"{{{figure}[cpu_ms_a_particle]:.2f}} CPU-ms",
        f"wanted {{{figure}[wanted_cpu_ms_a_particle]:g}}; reading and FFT alone {floor}"
        + (f"; `relion_reconstruct` {{{figure}[relion_reconstruct_cpu_ms_a_particle]:.1f}}" if relion else ""),
    )


def scaled(task: str, title: str) -> Section:
    """Return the section of many particles of one task."""
    return Section(
        title,
        f"engine_scale_{task}",
        "Up to 100,000 particles of box {box} from disk, one thread.",
        (
            *(
                Row(
                    f"{{by_count[{place}][particles]:,}} particles",
                    f"{{by_count[{place}][cpu_ms_a_particle]:.2f}} CPU-ms a particle",
                    f"memory above the start {{by_count[{place}][memory_above_the_start_MB]:.0f}} MB",
                )
                for place in range(3)
            ),
            Row("two processes for one, by the clock", "{speed_of_two_processes:.2f} times as fast"),
        ),
    )


SECTIONS = (
    Section(
        "Poses: global search",
        "engine_search",
        "A particle, all in-plane angles, displacements to 16 A, one thread, without reading; floor: operations of the "
        "matrix products (and of refinement) over the rate of `sgemm`, {sgemm_GFLOP_per_s:.0f} GFLOP/s here. "
        "Slicing for every pose, as other programs do, takes "
        "{settings[0][snr_0.04][slice_each_7.5_deg_12_A][cpu_ms]:.0f} CPU-ms at 7.5 degrees.",
        (
            *(
                searched(
                    0,
                    "box 128, 2 A",
                    f"exhaustive_{step}_deg_12_A",
                    0.04,
                    f"every pose at {step} degrees, 12 A",
                    f"exhaustive_{step}_deg_12_A",
                )
                for step in ("5", "7.5")
            ),
            searched(
                0, "box 128, 2 A", "finished_20_A_10_deg_K8", 0.04, "coarse to fine, finished", "finished_snr_0.04"
            ),
            searched(
                0, "box 128, 2 A", "finished_15_A_9_deg_K8", 0.015, "coarse to fine, finished", "finished_snr_0.015"
            ),
            *(
                searched(place, where, way, snr, "coarse to fine, finished")
                for place, where in SETTINGS[1:]
                for way, snr in (("finished_20_A_10_deg_K8", 0.04), ("finished_15_A_9_deg_K8", 0.015))
            ),
        ),
    ),
    Section(
        "Poses: local refinement",
        "engine_refine",
        "A particle at a signal to noise of {snr}, begun {start_off} off, one thread.",
        (
            *(refined(0, "box 128, 2 A", limit, wanted=True) for limit in ("8", "4.5")),
            *(refined(1, "box 128, 1.5 A", limit) for limit in ("8", "6", "3.05")),
            *(refined(2, "box 256, 2 A", limit) for limit in ("8", "4.5")),
            *(refined(3, "box 256, 1.5 A", limit) for limit in ("8", "6", "3.05")),
        ),
    ),
    Section(
        "Reconstruction",
        "engine_reconstruction",
        "A particle: reading, FFT, CTF and sums of both halves, oversampling 2, one thread.",
        tuple(reconstructed(place, where, relion=place < 3) for place, where in SETTINGS),
    ),
    Section(
        "Reconstruction at box 512",
        "engine_large_box",
        "{particles} particles of symmetry {symmetry}, oversampling {oversampling}, {threads} threads.",
        (
            Row("memory", "{peak_GB:.1f} GB", "stated before the start: {stated_GB:.1f} GB"),
            Row("adding a particle", "{insertion_cpu_ms_a_particle:.0f} CPU-ms"),
            Row("both half maps and the filtered map", "{both_half_maps_and_the_filtered_map_cpu_s:.0f} CPU-s"),
        ),
    ),
    scaled("search", "Many particles: search and refinement"),
    scaled("reconstruction", "Many particles: reconstruction"),
)

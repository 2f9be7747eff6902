"""Manual Refine: a limit of 8 A beside one of 4 A, told apart by noise substitution; and what each mode costs.

Simulated particles of beta-galactosidase with little signal are searched as cisTEM does, both half sets against one
reference: the protein's own density, as a database might give it. The limit is 8 A or 4 A, and the same images with
noise in place of all that is finer than 8 A are searched alike. Where the noise agrees, alignment made it agree. The
same is asked at 4 A of a reference for each half set, made of its own particles.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tools.measured import record

from verglas.engine import MaskSettings, ParticleStack
from verglas.engine.reconstruct_particles import reconstruct_particles
from verglas.formats import MrcStackWriter, ParticleTable
from verglas.signal import apply_filter, b_factor, fourier_shell_correlation, resolution_at, soft_edge
from verglas.stages.ctf_refinement import CtfImages, CtfRefinementSettings, measure_aberrations, measure_defocus
from verglas.stages.refinement import (
    AlignmentSwitches,
    AutoRefineSettings,
    Focus,
    ManualSettings,
    RefinementState,
    RoundWork,
    first_state,
    manual_state,
    refine_manually,
    rows_in_classes,
    rows_of_table,
    rows_of_tables,
)
from verglas.stages.simulation import StackParameters, make_density, read_atoms, simulate_stack
from verglas.stages.validation import NoiseSubstitution, compare_with_noise, substitute_noise

PARTICLES, BOX, PIXEL_A, SNR, ENVELOPE_B_A2 = 1000, 112, 1.8, 0.002, 20.0
RADIUS_A, SYMMETRY, ROUNDS, RANGE_A = 92.0, "D2", 1, 6.0
LIMITS_A, NOISE_FROM_A = (8.0, 4.0), 8.0
TIMED, TIMED_BOX, TIMED_PIXEL_A, TIMED_SNR, TIMED_LIMIT_A, REPEATS = 200, 128, 1.6, 0.03, 6.0, 3
WARM = 32
Timed = Callable[[], dict[str, float]]


def say(text: str) -> None:
    """Say how far it is, and after how many CPU-seconds."""
    sys.stdout.write(f"   {time.process_time():7.0f} s: {text}\n")
    sys.stdout.flush()


def main() -> None:
    figures = {**overfitting(), "cost": costs()}
    record("manual_refine", figures)


def scene(folder: Path, particles: int, box: int, pixel_A: float, snr: float) -> tuple[ParticleTable, np.ndarray]:
    """Simulate a stack; return its true table and the map that a perfect reconstruction would be."""
    parameters = StackParameters(
        model="beta-galactosidase", particles=particles, box=box, pixel_size_A=pixel_A, snr=snr, seed=31, padding=1.0,
        envelope_b_A2=ENVELOPE_B_A2, shift_sigma_A=2.0,
    )  # fmt: skip
    made = simulate_stack(parameters, folder)
    density = make_density(read_atoms(parameters, parameters.conformations[0]), box, pixel_A)
    return made.truth, np.asarray(apply_filter(density, pixel_A, b_factor(parameters.envelope_b_A2)), np.float32)


def with_noise(table: ParticleTable, source: Path, folder: Path) -> None:
    """Write the stack of a table once more, with noise beyond a resolution."""
    folder.mkdir()
    with (
        ParticleStack(table, source) as stack,
        MrcStackWriter(folder / "particles.mrcs", stack.box, stack.box, stack.pixel_size_A) as writer,
    ):
        for place in range(len(stack)):
            image = stack.read(np.array([place]))
            writer.append(substitute_noise(image, stack.pixel_size_A, NOISE_FROM_A, [(5, place)])[0])


def overfitting() -> dict[str, Any]:
    """Refine with each limit and policy, with and without noise, and compare the half maps."""
    with tempfile.TemporaryDirectory() as name:
        given, noise = Path(name) / "given", Path(name) / "noise"
        table, truth = scene(given, PARTICLES, BOX, PIXEL_A, SNR)
        with_noise(table, given, noise)
        low = apply_filter(truth, PIXEL_A, b_factor(800.0))
        mask = np.asarray(soft_edge(low > 0.1 * low.max(), 6.0, extend_pixels=2.0), np.float32)
        found = {
            f"{policy}_limit_{limit_A:g}_A": beside_noise(table, truth, mask, given, noise, limit_A, policy)
            for policy, limit_A in (
                ("one_reference", LIMITS_A[0]), ("one_reference", LIMITS_A[1]), ("half_sets", LIMITS_A[1]),
            )
        }  # fmt: skip
    return {
        "particles": PARTICLES, "box_px": BOX, "pixel_A": PIXEL_A, "snr": SNR, "symmetry": SYMMETRY, "rounds": ROUNDS,
        "noise_from_A": NOISE_FROM_A, "told_apart": told_apart(found), **found,
    }  # fmt: skip


def told_apart(found: dict[str, dict[str, Any]]) -> bool:
    """Tell whether the test calls the refinement to 4 A overfitted, and that to 8 A and the half sets not."""
    names = ("one_reference_limit_8_A", "one_reference_limit_4_A", "half_sets_limit_4_A")
    return [found[name]["overfitted"] for name in names] == [False, True, False]


def beside_noise(
    table: ParticleTable, truth: np.ndarray, mask: np.ndarray, given: Path, noise: Path, limit_A: float, policy: str
) -> dict[str, Any]:  # fmt: skip
    """Refine both stacks alike; return what the halves say of the noise, and what the truth says."""
    settings = ManualSettings(
        mask_radius_A=RADIUS_A, search_radius_A=RADIUS_A, limit_A=limit_A, rounds=ROUNDS, symmetry=SYMMETRY,
        independent_halves=policy == "half_sets", mask=MaskSettings(automatic=False), mode="global",
        search_range_x_A=RANGE_A, search_range_y_A=RANGE_A,
    )  # fmt: skip
    halves: list[Any] = []
    for folder in (given, noise):
        start: Any = truth
        if policy == "half_sets":
            start = reconstruct_particles(table, folder, SYMMETRY).finish().half_maps
        made = refine_manually([table], folder, [start], settings)
        halves.append(made.maps[0].half_maps)
    compared: NoiseSubstitution = compare_with_noise(halves[0], halves[1], mask, PIXEL_A, NOISE_FROM_A)
    mean = 0.5 * (halves[0][0] + halves[0][1])
    curve = fourier_shell_correlation(mean, truth, PIXEL_A, mask=mask)
    beyond = (compared.frequency_per_A > 1.0 / LIMITS_A[0]) & (compared.frequency_per_A < 1.0 / LIMITS_A[1])
    agrees_A = compared.noise_agrees_to_A
    figures = {
        "resolution_A": rounded(compared.resolution_A),
        "resolution_without_noise_A": rounded(compared.true_resolution_A),
        "resolution_to_truth_A": rounded(resolution_at(curve.frequency_per_A, curve.fsc, 0.5).resolution_A),
        "noise": "does not agree" if agrees_A is None else f"agrees to {agrees_A:.1f} A",
        "overfitted": compared.overfitted,
        "mean_fsc_of_noise_8_to_4_A": round(float(compared.substituted[beyond].mean()), 4),
    }  # fmt: skip
    say(f"{policy}, {limit_A:g} A: {figures}")
    return figures


def rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 2)


def costs() -> dict[str, Any]:
    """Return CPU-ms a particle of each mode, medians of rounds that take turns."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as opened:
        folder = Path(name)
        table, truth = scene(folder, TIMED, TIMED_BOX, TIMED_PIXEL_A, TIMED_SNR)
        stack = opened.enter_context(ParticleStack(table, folder))
        timed = modes(table, stack, truth)
        say("references of all modes are ready")
        spent: dict[str, list[dict[str, float]]] = {mode: [] for mode in timed}
        for number in range(REPEATS):
            for mode, measure in timed.items():
                spent[mode].append(measure())
            say(f"modes timed, turn {number + 1} of {REPEATS}")
    median = {
        mode: {part: round(statistics.median(one[part] for one in all_of), 2) for part in all_of[0]}
        for mode, all_of in spent.items()
    }
    return {
        "particles": TIMED, "snr": TIMED_SNR, "box_px": TIMED_BOX, "pixel_A": TIMED_PIXEL_A, "limit_A": TIMED_LIMIT_A,
        "symmetry": SYMMETRY, "repeats": REPEATS, "modes": median,
    }  # fmt: skip


def modes(table: ParticleTable, stack: ParticleStack, truth: np.ndarray) -> dict[str, Timed]:
    """Return what times each mode once; references and templates are made before."""
    focus = Focus((110.0, 80.0, 90.0), 35.0)
    common: dict[str, Any] = {
        "mask_radius_A": RADIUS_A, "search_radius_A": RADIUS_A, "limit_A": TIMED_LIMIT_A,
        "class_limit_A": TIMED_LIMIT_A, "symmetry": SYMMETRY, "mask": MaskSettings(automatic=False),
    }  # fmt: skip
    classes: dict[str, Any] = {**common, "moves": (), "classes": 2}
    circle = replace(focus, by="circle")
    manual: dict[str, ManualSettings] = {
        "manual_local": ManualSettings(**common),
        "manual_global_search": ManualSettings(**common, mode="global"),
        "manual_local_and_defocus": ManualSettings(**common, switches=AlignmentSwitches(defocus_range_A=500.0)),
        "manual_local_likelihood_blurring": ManualSettings(**common, switches=AlignmentSwitches(blurring=1.0)),
        "two_classes_without_alignment": ManualSettings(**classes),
        "two_classes_in_a_focus": ManualSettings(**classes, switches=AlignmentSwitches(focus=focus)),
        "two_classes_in_a_circle": ManualSettings(**classes, switches=AlignmentSwitches(focus=circle)),
    }
    made = {mode: manual_round(table, stack, truth, settings) for mode, settings in manual.items()}
    made["auto_refine_search_round"] = auto_round(table, stack, truth, search=True)
    made["auto_refine_local_round"] = auto_round(table, stack, truth, search=False)
    made["refine_ctf"] = ctf_round(table, stack, truth)
    return made


def manual_round(table: ParticleTable, stack: ParticleStack, truth: np.ndarray, settings: ManualSettings) -> Timed:
    """Return what times a round of Manual Refine."""
    tables = [table.copy() for _ in range(settings.classes)]
    for one in tables:
        one["occupancy"] = 100.0 / settings.classes
    rows = rows_of_tables(tables, stack.rows)
    state = manual_state([(truth, truth)] * settings.classes, stack, rows, settings)
    return timed_round(RoundWork(state, rows, stack, settings))


def auto_round(table: ParticleTable, stack: ParticleStack, truth: np.ndarray, *, search: bool) -> Timed:
    """Return what times a round of Auto Refine: the first one, or a later one that searches nothing."""
    settings = AutoRefineSettings(
        mask_radius_A=RADIUS_A, symmetry=SYMMETRY, search_first=search, mask=MaskSettings(automatic=False)
    )
    state: RefinementState = first_state(truth, stack, settings)
    rows = rows_in_classes(rows_of_table(table, stack.rows), 1)
    if not search:
        state = replace(state, limit_A=TIMED_LIMIT_A, before_A=TIMED_LIMIT_A, number=4)
        rows.searched_A[:] = TIMED_LIMIT_A
    return timed_round(RoundWork(state, rows, stack, settings))


def timed_round(work: RoundWork[Any]) -> Timed:
    """Return what times alignment and insertion of all particles."""
    places, few = np.arange(len(work.stack)), np.arange(WARM)
    work.insert(few, work.align(few))

    def measure() -> dict[str, float]:
        start = time.process_time()
        found = work.align(places)
        aligned = time.process_time()
        work.insert(places, found)
        inserted = time.process_time()
        return {
            "alignment_cpu_ms": 1e3 * (aligned - start) / len(places),
            "maps_cpu_ms": 1e3 * (inserted - aligned) / len(places),
            "cpu_ms": 1e3 * (inserted - start) / len(places),
        }

    return measure


def ctf_round(table: ParticleTable, stack: ParticleStack, truth: np.ndarray) -> Timed:
    """Return what times the refinement of defocus, and the sums that beam tilt is fitted from."""
    settings = CtfRefinementSettings(RADIUS_A, 2.0 * TIMED_PIXEL_A / 0.95)
    work, places = CtfImages(stack, [table], [(truth, truth)], settings), np.arange(len(stack))
    given = stack.defocus(places)
    measure_aberrations(work, places[:WARM], given[:WARM])

    def measure() -> dict[str, float]:
        start = time.process_time()
        measure_defocus(work, places)
        defocus = time.process_time()
        measure_aberrations(work, places, given)
        end = time.process_time()
        return {
            "defocus_cpu_ms": 1e3 * (defocus - start) / len(places),
            "beam_tilt_cpu_ms": 1e3 * (end - defocus) / len(places),
            "cpu_ms": 1e3 * (end - start) / len(places),
        }

    return measure


if __name__ == "__main__":
    main()

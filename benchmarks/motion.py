"""Time the alignment of 40 frames of 4096 x 4096, whole and with patches, beside its floor and RELION's own code.

Simulating the two movies takes minutes; with VERGLAS_BENCHMARK_MOVIES they are kept in that folder for the next time.
"""

from __future__ import annotations

import os
import pickle
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import scipy.fft
from tools.measured import REPOSITORY, record

from verglas.formats import FrameMotion, open_movie, read_image, read_motion_star, write_mrc
from verglas.stages.motion import AlignmentSettings, align_movie, estimate
from verglas.stages.motion.frames import run_frames
from verglas.stages.motion.relion_motion import relion_motion
from verglas.stages.simulation import MovieParameters, MoviesResult, MovieTruth, simulate_movies

ROUNDS = 5
PATCHES = 6
PIXEL_SIZE_A = 1.0
DOSE_E_A2 = 1.0


def main(size: int = 4096, frames: int = 40, rounds: int = ROUNDS, threads: int = 2) -> None:
    with tempfile.TemporaryDirectory(dir=os.environ.get("VERGLAS_BENCHMARK_FOLDER")) as name:
        folder = Path(name)
        figures = measure(folder, size, frames, rounds, threads)
        sys.stdout.write(f"written to {record('motion_benchmark', figures)}\n")


def measure(folder: Path, size: int, frames: int, rounds: int, threads: int) -> dict[str, Any]:
    parameters = MovieParameters(
        width=size, height=size, frames=frames, dose_per_frame_e_A2=DOSE_E_A2, pixel_size_A=PIXEL_SIZE_A,
        particles=round(150 * (size / 4096) ** 2), drift_A=12.0, local_motion_A=0.0, seed=5,
    )  # fmt: skip
    made = simulated(folder, "movie", parameters, threads)
    motion = made.truth[0].motion.global_A[:, ::-1]
    true = -(motion - motion[frames // 2])
    assert made.gain is not None
    gain, _ = read_image(made.gain)
    path = made.images[0]
    whole = AlignmentSettings(patches=1)
    memory = estimate(path, pixel_size_A=PIXEL_SIZE_A, alignment=whole, references=1, threads=threads)
    found = align(path, gain, threads)
    floors, totals, walls = [], [], []
    for _ in range(rounds):
        floors.append(cpu_seconds(lambda: decode_and_transform(path, threads))[0])
        cpu, wall = cpu_seconds(lambda: align(path, gain, threads))
        totals.append(cpu)
        walls.append(wall)
    ratio = statistics.median(total / floor for total, floor in zip(totals, floors))
    peak = peak_memory(path, made.gain, threads)
    figures = {
        "movie": {"frames": frames, "size": size, "pixel_size_A": PIXEL_SIZE_A, "dose_per_frame_e_per_A2": DOSE_E_A2},
        "threads": threads,
        "rounds": rounds,
        "floor_cpu_s": round(statistics.median(floors), 2),
        "align_cpu_s": round(statistics.median(totals), 2),
        "align_wall_s": round(statistics.median(walls), 2),
        "ratio_to_decode_and_one_fft": round(ratio, 3),
        "ratio_wanted": 1.5,
        "rms_error_A": round(rms_A(found.shifts_A, true), 4),
        "memory": {
            "stated_GiB": round(memory.memory_bytes / 2**30, 2),
            "used_GiB": round(peak / 2**30, 2),
            "kept": bool(peak <= memory.memory_bytes),
        },
        "stored": compressed_or_not(folder, path, gain, threads, rounds),
        "relion": relion(folder, path, made.gain, made.truth[0], threads, patches=1),
        "local": local_motion(folder, size, frames, rounds, threads),
    }
    return figures


def simulated(folder: Path, name: str, parameters: MovieParameters, threads: int) -> MoviesResult:
    """Return a simulated movie, linked into the folder from where it is kept or made there."""
    kept = Path(os.environ.get("VERGLAS_BENCHMARK_MOVIES") or folder / "made") / name
    described = kept / "made.pickle"
    if described.exists():
        before, made = pickle.loads(described.read_bytes())
        if before == parameters:
            return linked(made, folder / name)
    made = simulate_movies(parameters, kept, threads=threads)
    described.write_bytes(pickle.dumps((parameters, made)))
    return linked(made, folder / name)


def linked(made: MoviesResult, folder: Path) -> MoviesResult:
    """Return the same movies in another folder of the benchmark, where RELION finds them beside its star file."""
    folder.mkdir(exist_ok=True)
    images = [folder / image.name for image in made.images]
    for image, link in zip(made.images, images, strict=True):
        link.symlink_to(image.resolve())
    assert made.gain is not None
    (folder / made.gain.name).symlink_to(made.gain.resolve())
    return replace(made, images=images, gain=folder / made.gain.name)


def local_motion(folder: Path, size: int, frames: int, rounds: int, threads: int) -> dict[str, Any]:
    """Time a movie with local motion, aligned with 6 x 6 patches by verglas and by RELION."""
    parameters = MovieParameters(
        width=size, height=size, frames=frames, dose_per_frame_e_A2=DOSE_E_A2, pixel_size_A=PIXEL_SIZE_A,
        particles=round(150 * (size / 4096) ** 2), drift_A=12.0, local_motion_A=4.0, seed=6,
    )  # fmt: skip
    made = simulated(folder, "local", parameters, threads)
    assert made.gain is not None
    gain, _ = read_image(made.gain)
    path, truth = made.images[0], made.truth[0]
    found = align(path, gain, threads, PATCHES)
    floors, totals, walls = [], [], []
    for _ in range(rounds):
        floors.append(cpu_seconds(lambda: decode_and_transform(path, threads))[0])
        cpu, wall = cpu_seconds(lambda: align(path, gain, threads, PATCHES))
        totals.append(cpu)
        walls.append(wall)
    motion = relion_motion(found)
    beside = relion(folder, path, made.gain, truth, threads, patches=PATCHES)
    theirs = read_motion_star(next((folder / "relion").rglob(f"{path.stem}.star"))) if "rms_error_A" in beside else None
    curves = draw(motion, theirs, truth, size, frames)
    return {
        "patches": f"{PATCHES} x {PATCHES}",
        "floor_cpu_s": round(statistics.median(floors), 2),
        "align_cpu_s": round(statistics.median(totals), 2),
        "align_wall_s": round(statistics.median(walls), 2),
        "ratio_to_decode_and_one_fft": round(statistics.median(t / f for t, f in zip(totals, floors)), 3),
        "ratio_wanted": 2.5,
        "rms_error_at_particles_A": round(error_at_particles_A(motion, truth, size), 4),
        "rms_error_at_particles_of_whole_frames_alone_A": curves["whole frames alone"],
        "picture": "docs/images/local_motion.png is of this movie",
        "relion": beside,
    }


def draw(
    ours: FrameMotion, theirs: FrameMotion | None, truth: MovieTruth, size: int, frames: int
) -> dict[str, float]:  # fmt: skip
    """Draw the local motion and its errors into the docs; return the rms errors in the picture."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    x, y, true = places_and_truth(truth, size, frames)
    drift = -truth.motion.global_A[:, None, ::-1].transpose(0, 2, 1)
    ways = {"whole frames alone": np.repeat(ours.shift_px[:, :, None], len(x), axis=2)}
    if theirs is not None:
        ways[f"RELION, {PATCHES} x {PATCHES} patches"] = theirs.shifts_at(x, y)
    ways[f"verglas, {PATCHES} x {PATCHES} patches"] = ours.shifts_at(x, y)
    figure = Figure(figsize=(12.0, 5.0), dpi=90, layout="constrained")
    picture, curves = figure.subplots(1, 2)
    paths = {"true (grey)": (true, "0.55", 3.0), "found (red)": (ours.shifts_at(x, y) * PIXEL_SIZE_A, "C3", 1.0)}
    for shifts, colour, width in paths.values():
        local = shifts - drift
        local = local - local[frames // 2]
        for place in range(len(x)):
            at_x, at_y = ((v[place] + 0.5) * size * PIXEL_SIZE_A / 10 for v in (x, y))
            picture.plot(at_x - 10 * local[:, 0, place], at_y - 10 * local[:, 1, place], color=colour, linewidth=width)
    picture.set(
        title="where particles go beyond the true drift, x 100:\n" + ", ".join(paths), xlabel="nm", ylabel="nm",
        xlim=(0, size * PIXEL_SIZE_A / 10), ylim=(0, size * PIXEL_SIZE_A / 10), aspect="equal",
    )  # fmt: skip
    errors = {}
    for name, shifts in ways.items():
        error = shifts * PIXEL_SIZE_A - true
        error = error - error.mean(axis=0)
        errors[name] = round(float(np.sqrt(np.mean(error**2))), 4)
        curve = np.sqrt(np.mean(error**2, axis=(1, 2)))
        curves.plot(DOSE_E_A2 * np.arange(1, frames + 1), curve, label=f"{name}: {errors[name]:.2f} A")
    curves.set(title="rms error at the particles, per axis", xlabel="dose, e/A$^2$", ylabel="A")
    curves.set_ylim(bottom=0)
    curves.legend()
    FigureCanvasAgg(figure).print_figure(REPOSITORY / "docs" / "images" / "local_motion.png", format="png")
    return errors


def places_and_truth(truth: MovieTruth, size: int, frames: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return x and y of the particles inside, -0.5 to 0.5 over the image, and their true shifts (frames, 2, n) in A."""
    y = np.array([particle.y_px / size for particle in truth.particles])
    x = np.array([particle.x_px / size for particle in truth.particles])
    inside = (np.abs(x - 0.5) < 0.5) & (np.abs(y - 0.5) < 0.5)
    x, y = x[inside] - 0.5, y[inside] - 0.5
    true = np.array([-truth.motion.displacement_A(frame, 2 * y, 2 * x)[:, ::-1].T for frame in range(frames)])
    return x, y, true


def error_at_particles_A(motion: FrameMotion, truth: MovieTruth, size: int) -> float:
    """Return the rms error per axis of the shifts at the particles, less each particle's mean error."""
    x, y, true = places_and_truth(truth, size, len(motion.shift_px))
    return rms_A(motion.shifts_at(x, y) * PIXEL_SIZE_A, true)


def align(path: Path, gain: np.ndarray | None, threads: int, patches: int = 1) -> Any:
    return align_movie(
        path, pixel_size_A=PIXEL_SIZE_A, dose_per_frame_e_per_A2=DOSE_E_A2, gain=gain, threads=threads,
        alignment=AlignmentSettings(patches=patches),
    )  # fmt: skip


def decode_and_transform(path: Path, threads: int) -> None:
    """Do the least that any alignment must: decode every frame, and transform it forwards once."""
    movie = open_movie(path)

    def one(frame: int) -> None:
        scipy.fft.rfft2(movie.read_frame(frame).astype(np.float32), workers=1)

    run_frames(threads, one, range(movie.n_frames))


def cpu_seconds(work: Callable[[], Any]) -> tuple[float, float]:
    """Return CPU seconds of all threads, and wall seconds."""
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - cpu, time.perf_counter() - wall


def rms_A(found: np.ndarray, true: np.ndarray) -> float:
    """Return the rms error per axis, less the mean error, which only moves the whole image."""
    error = found - true
    return float(np.sqrt(np.mean((error - error.mean(axis=0)) ** 2)))


def peak_memory(path: Path, gain: Path, threads: int) -> int:
    """Return the peak memory in bytes of a process of its own that aligns the movie."""
    script = (
        "import sys\nfrom verglas.formats import read_image\nfrom benchmarks.motion import align\n"
        "gain, _ = read_image(sys.argv[2])\nalign(sys.argv[1], gain, int(sys.argv[3]))\n"
        "lines = dict(line.split(':', 1) for line in open('/proc/self/status'))\n"
        "print(int(lines['VmHWM'].split()[0]) * 1024)\n"
    )
    command = [sys.executable, "-c", script, str(path), str(gain), str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
    return int(done.stdout)


def drop_from_cache(path: Path) -> None:
    """Let the operating system forget a file's content, so that it is read from the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def compressed_or_not(folder: Path, path: Path, gain: np.ndarray, threads: int, rounds: int) -> dict[str, Any]:
    """Store the same movie three ways; measure size, and time from a cold and from a warm file cache."""
    movie = open_movie(path)
    whole = np.stack([movie.read_frame(i) for i in range(movie.n_frames)])
    counts, corrected = folder / "counts.mrcs", folder / "corrected.mrcs"
    write_mrc(counts, whole.astype(np.int8), PIXEL_SIZE_A)
    write_mrc(corrected, whole * gain, PIXEL_SIZE_A, dtype="float32")
    del whole
    kinds: dict[str, tuple[Path, np.ndarray | None]] = {
        "LZW TIFF, counts": (path, gain),
        "MRC, counts (8 bits)": (counts, gain),
        "MRC, gain-corrected (32 bits)": (corrected, None),
    }
    times: dict[str, list[tuple[float, float, float]]] = {kind: [] for kind in kinds}
    for _ in range(max(1, min(rounds, 3))):
        for kind, (file, reference) in kinds.items():
            drop_from_cache(file)
            cold = cpu_seconds(lambda file=file, reference=reference: align(file, reference, threads))  # type: ignore[misc]
            warm = cpu_seconds(lambda file=file, reference=reference: align(file, reference, threads))  # type: ignore[misc]
            times[kind].append((cold[1], warm[1], warm[0]))
    report = {}
    for kind, (file, _) in kinds.items():
        cold_wall, warm_wall, warm_cpu = (statistics.median(column) for column in zip(*times[kind]))
        report[kind] = {
            "MB": round(file.stat().st_size / 1e6, 1), "wall_s_cold_cache": round(cold_wall, 2),
            "wall_s_warm_cache": round(warm_wall, 2), "cpu_s": round(warm_cpu, 2),
        }  # fmt: skip
    corrected.unlink()
    return report


def relion(folder: Path, path: Path, gain: Path, truth: MovieTruth, threads: int, *, patches: int) -> dict[str, Any]:
    """Align the same movie with RELION's own code: the same patches and threads, dose weighting."""
    program = shutil.which("relion_run_motioncorr")
    if program is None:
        return {"missing": "relion_run_motioncorr is not installed (Debian package relion)"}
    shutil.rmtree(folder / "relion", ignore_errors=True)
    (folder / "relion").mkdir()
    (folder / "movies.star").write_text(
        "data_optics\n\nloop_\n_rlnOpticsGroupName #1\n_rlnOpticsGroup #2\n_rlnMicrographOriginalPixelSize #3\n"
        "_rlnVoltage #4\n_rlnSphericalAberration #5\n_rlnAmplitudeContrast #6\n"
        f"one 1 {PIXEL_SIZE_A} 300 2.7 0.07\n\n\ndata_movies\n\nloop_\n_rlnMicrographMovieName #1\n_rlnOpticsGroup #2\n"
        f"{path.relative_to(folder)} 1\n"
    )
    command = [
        program, "--i", "movies.star", "--o", "relion/", "--use_own", "--j", str(threads), "--gainref",
        str(gain.relative_to(folder)), "--dose_weighting", "--dose_per_frame", str(DOSE_E_A2),
        "--patch_x", str(patches),
        "--patch_y", str(patches), "--bfactor", "150", "--first_frame_sum", "1", "--last_frame_sum", "-1",
        "--bin_factor", "1",
    ]  # fmt: skip
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        return {"failed": done.stderr[-500:]}
    motion = read_motion_star(next((folder / "relion").rglob(f"{path.stem}.star")))
    size = int(motion.items["rlnImageSizeX"])
    return {
        "program": f"relion_run_motioncorr --use_own, {patches} x {patches} patches, B-factor 150",
        "cpu_s": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
        "wall_s": round(wall, 1),
        "rms_error_A": round(error_at_particles_A(motion, truth, size), 4),
    }


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:]))

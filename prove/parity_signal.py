"""Tables of verglas' signal functions beside cisTEM and RELION over grids, and the pictures of docs/signal.md."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
from tests.support.half_maps import cistem_fsc, noisy_halves, read_map, relion_postprocess
from tests.support.oracles import program
from tools.measured import REPOSITORY, record

from verglas import signal

REAL_DATA = Path(os.environ.get("VERGLAS_REAL_DATA", REPOSITORY.parent / "shared" / "data"))
MAPS = {"haemoglobin EMD-3488": "maps/EMD-3488_haemoglobin.mrc"}
IMAGES = REPOSITORY / "docs" / "images"


def correlation_table() -> list[dict[str, Any]]:
    rows = []
    for name, path in MAPS.items():
        truth, pixel_size = read_map(REAL_DATA / path)
        for noise_sd in (0.3, 0.7, 1.5, 3.0):
            first, second = noisy_halves(truth, noise_sd)
            for lowpass_A, threshold in ((10.0, 0.025), (15.0, 0.01)):
                mask = signal.threshold_mask(truth, pixel_size, threshold, lowpass_A=lowpass_A)
                rows.append(compare(name, noise_sd, lowpass_A, first, second, mask, pixel_size))
    return rows


def compare(
    name: str,
    noise_sd: float,
    lowpass_A: float,
    first: np.ndarray,
    second: np.ndarray,
    mask: np.ndarray,
    pixel_size: float,
) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        ours = signal.corrected_fsc(first, second, mask, pixel_size, workers=2)
        cistem = cistem_fsc(first, second, Path(folder))
        options = ("--auto_bfac", "--autob_lowres", "6", "--autob_highres", "3")
        relion = relion_postprocess(first, second, mask, pixel_size, Path(folder), *options)
    plot = signal.guinier_plot((first + second) / 2, pixel_size, fsc=ours.corrected)
    fit = signal.fit_b_factor(plot, 6.0, 3.0)
    limit = signal.resolution_at(ours.frequency_per_A, ours.corrected)

    def largest(values: np.ndarray, column: str) -> float:
        return round(float(np.abs(values - relion[column])[1:].max()), 5)

    return {
        "map": name,
        "noise_sd_over_map_sd": noise_sd,
        "mask_lowpass_A": lowpass_A,
        "mask_fraction_of_box": round(float(mask.mean()), 4),
        "unmasked_largest_difference_to_cistem": round(float(np.abs(ours.unmasked - cistem)[3:].max()), 5),
        "unmasked_correlation_with_cistem": round(float(np.corrcoef(ours.unmasked, cistem)[0, 1]), 6),
        "unmasked_largest_difference_to_relion": largest(ours.unmasked, "FourierShellCorrelationUnmaskedMaps"),
        "masked_largest_difference_to_relion": largest(ours.masked, "FourierShellCorrelationMaskedMaps"),
        "randomised_largest_difference_to_relion": largest(
            ours.randomised, "CorrectedFourierShellCorrelationPhaseRandomizedMaskedMaps"
        ),
        "corrected_largest_difference_to_relion": largest(ours.corrected, "FourierShellCorrelationCorrected"),
        "randomised_from_A": round(ours.randomised_from_A, 3),
        "randomised_from_A_relion": round(float(relion["RandomiseFrom"]), 3),
        "resolution_A": round(limit.resolution_A, 3),
        "resolution_A_relion": float(relion["FinalResolution"]),
        "b_factor_A2": round(fit.b_factor_A2, 2),
        "b_factor_A2_relion": round(float(relion["BfactorUsedForSharpening"]), 2),
    }


def resampling_table() -> list[dict[str, Any]]:
    rows = []
    for ratio in (0.75, 1.0 / 1.2, 1.111, 1.37, 1.5, 2.0, 2.718):
        for n in (96, 97):
            image = two_gaussians(n, 1.0)
            new_n = 2 * int(n / ratio / 2)
            expected = two_gaussians(new_n, ratio)
            ours = signal.resample(image, 1.0, ratio, (new_n, new_n))
            row: dict[str, Any] = {
                "size": n,
                "new_size": new_n,
                "new_over_old_pixel_size": round(ratio, 5),
                "largest_error_over_peak": float(f"{np.abs(ours - expected).max() / expected.max():.2e}"),
            }
            if n % 2 == 0:
                theirs = relion_rescaled(image, ratio, new_n)
                row["largest_error_over_peak_relion"] = float(f"{np.abs(theirs - expected).max() / expected.max():.2e}")
            rows.append(row)
    return rows


def two_gaussians(n: int, pixel_size_A: float) -> np.ndarray:
    along = (np.arange(n) - n // 2) * pixel_size_A
    centres = ((3.0, -11.0, 4.5), (-9.0, 6.0, 5.0))
    image = sum(np.exp(-0.5 * ((along[:, None] - y) ** 2 + (along - x) ** 2) / width**2) for y, x, width in centres)
    return np.asarray(image, dtype=np.float32)


def relion_rescaled(image: np.ndarray, pixel_size_A: float, new_n: int) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        with mrcfile.new(Path(folder) / "in.mrc", image) as file:
            file.voxel_size = 1.0
        command = [program("relion_image_handler", "relion"), "--i", "in.mrc", "--o", "out.mrc", "--angpix", "1"]
        command += ["--rescale_angpix", str(pixel_size_A), "--new_box", str(new_n)]
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=60)
        return np.array(mrcfile.read(Path(folder) / "out.mrc"))


def pictures() -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    IMAGES.mkdir(parents=True, exist_ok=True)
    truth, pixel_size = read_map(REAL_DATA / MAPS["haemoglobin EMD-3488"])
    first, second = noisy_halves(truth, 1.5)
    mask = signal.threshold_mask(truth, pixel_size, 0.025, lowpass_A=10.0)
    curves = signal.corrected_fsc(first, second, mask, pixel_size)
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for label in ("unmasked", "masked", "randomised", "corrected"):
        left.plot(curves.frequency_per_A, getattr(curves, label), label=label)
    left.axhline(0.143, color="grey", linewidth=0.8)
    left.set(xlabel="frequency (1/Å)", ylabel="FSC", title="Noisy halves of EMD-3488")
    left.legend()
    plot = signal.guinier_plot((first + second) / 2, pixel_size, fsc=curves.corrected)
    fit = signal.fit_b_factor(plot, 6.0, 3.0)
    right.plot(plot.squared_frequency_per_A2, plot.log_amplitude, ".-", label="amplitude, FSC-weighted")
    span = np.array([1 / 36, 1 / 9])
    right.plot(span, fit.intercept + fit.b_factor_A2 / 4 * span, label=f"B = {fit.b_factor_A2:.0f} Å²")
    right.set(xlabel="squared frequency (1/Å²)", ylabel="ln amplitude", title="Guinier plot", ylim=(-14, None))
    right.legend()
    figure.savefig(IMAGES / "signal_fsc.png", dpi=80)

    automatic = signal.automatic_mask(truth, pixel_size, 50.0, lowpass_A=15.0)
    half = truth.shape[0] // 2
    micrograph = read_png(REAL_DATA / "apoferritin")
    spectrum = signal.full_spectrum(signal.tiled_spectrum(micrograph, 256, workers=2), (256, 256))
    figure, axes = plt.subplots(1, 4, figsize=(13, 3.6), layout="constrained")
    for axis, (title, image) in zip(
        axes,
        (
            ("map, central section", truth[half]),
            ("threshold mask", mask[half]),
            ("automatic mask", automatic[half]),
            ("tiled spectrum, log", np.log(spectrum[48:208, 48:208] + 1e-9)),
        ),
        strict=True,
    ):
        axis.imshow(image, cmap="gray", vmin=np.percentile(image, 0.5), vmax=np.percentile(image, 99.7))
        axis.set(title=title, xticks=[], yticks=[])
    figure.savefig(IMAGES / "signal_masks_spectrum.png", dpi=60)


def read_png(folder: Path) -> np.ndarray:
    import matplotlib.image

    path = min(path for path in folder.rglob("*.png") if "first_frames" not in path.parts)
    image = np.asarray(matplotlib.image.imread(path), dtype=np.float32)
    return image if image.ndim == 2 else image[..., 0]


def main() -> None:
    correlation, resampling = correlation_table(), resampling_table()
    record(
        "parity_signal",
        {
            "correlation": correlation,
            "resampling": resampling,
            "notes": [
                "cisTEM's curve follows from its shell powers of both halves, their sum and their difference; its "
                "shells share each component linearly between neighbours.",
                "RELION counts stored Fourier components only, verglas their Hermitian mates too.",
                "Where the unmasked curve lies at 0.8 within that difference in one of the first shells, the two begin "
                "to randomise at different shells.",
                "Randomised phases differ between programs by chance; RELION's resolution is that of a shell, "
                "verglas interpolates.",
            ],
        },
    )
    pictures()


if __name__ == "__main__":
    main()

"""What picking must show: people's picks of real micrographs found at one setting, ice left alone, simulated truth."""

from __future__ import annotations

import csv
import math
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment
from tools.measured import REPOSITORY, record

from verglas.formats import read_coordinates, read_image
from verglas.microscopy import Optics
from verglas.stages.picking import AreaSettings, PickingSettings, Picks, pick_particles
from verglas.stages.picking.pictures import write_picture
from verglas.stages.simulation import MicrographParameters, read_atoms, simulate_micrographs

REAL = Path(os.environ.get("VERGLAS_REAL_DATA", REPOSITORY.parent / "shared" / "data"))
PIXEL_A = 1.5
FERRITIN = {"radius_A": 62.0, "inner_radius_A": 36.0, "max_radius_A": 65.0, "min_distance_A": 90.0,
            "highest_resolution_A": 20.0}  # fmt: skip
RING = PickingSettings(shape="ring", areas=AreaSettings(edge_distance_A=0.0), **FERRITIN)
ICE_PIXEL_A = 4.0  # not known; a K2 camera's pixels binned four times
CRYSTAL_PX, CRYSTAL_RADIUS_PX, ICE_TOLERANCE_PX = (740.0, 120.0), 260.0, 11.0
SIMULATED: tuple[tuple[str, dict[str, Any]], ...] = (
    ("apoferritin, 40 a micrograph", {}),
    ("apoferritin, crowded", {"particles": 180}),
    ("apoferritin near focus", {"defocus_mean_A": 6000.0, "defocus_spread_A": 1000.0}),
    ("apoferritin, thick ice", {"ice_thickness_A": 900.0}),
    ("apoferritin with ice blobs, clumps and carbon", {"contamination": 3.0, "aggregates": 2.0, "carbon": 1.0}),
    ("beta-galactosidase", {"model": "beta-galactosidase"}),
)


def main() -> None:
    figures: dict[str, Any] = {}
    if (REAL / "apoferritin").is_dir():
        figures["real"] = {**real(), **ice()}
    figures["simulated"] = [simulated(name, options) for name, options in SIMULATED]
    sys.stdout.write(f"written to {record('picking', figures)}\n")


def pairs(found: np.ndarray, true: np.ndarray, tolerance: float) -> np.ndarray:
    """Return (found, true) indices of pairs within a tolerance, each used once."""
    if not len(found) or not len(true):
        return np.zeros((0, 2), int)
    distance = np.hypot(*(found[:, None] - true[None]).transpose(2, 0, 1))
    rows, columns = linear_sum_assignment(np.where(distance <= tolerance, distance, 1e3 * tolerance))
    near = distance[rows, columns] <= tolerance
    return np.stack([rows[near], columns[near]], 1)


def f1(hits: int, found: int, true: int) -> float:
    return round(2 * hits / max(found + true, 1), 4)


def real() -> dict[str, Any]:
    """Pick the twelve micrographs at one setting and compare with people's picks, as made and recentred."""
    folder = REAL / "apoferritin"
    rows = []
    sums = np.zeros(3, int)
    for row in csv.DictReader((folder / "ctf_ctffind5.tsv").open(), delimiter="\t"):
        day, *time = row["micrograph"].split("_")
        stem = f"{day}_{'.'.join(time)}"
        image = read_image(folder / "micrographs" / f"{stem}.bin_avg.png")[0]
        defocus = float(row["defocusU_A"]), float(row["defocusV_A"]), math.radians(float(row["azimuth_deg"])), 0.0
        found = pick_particles(image, PIXEL_A, Optics(300.0, 0.001, 0.07, PIXEL_A), defocus, settings=RING)
        picks = found.positions_A / PIXEL_A
        people = read_coordinates(folder / "picks" / f"{stem}.star")
        centred = read_coordinates(folder / "picks_recentred" / f"{stem}.star")
        hits = len(pairs(picks, people, 15.0))
        sums += hits, len(picks), len(people)
        rows.append({
            "micrograph": stem, "people": len(people), "picks": len(picks), "f1": f1(hits, len(picks), len(people)),
            "recentred_found_within_3_px": round(len(pairs(picks, centred, 3.0)) / len(centred), 4),
        })  # fmt: skip
        if stem.endswith(("03.15.02", "06.30.43")):
            draw(found, stem, f"picking_{stem[-8:].replace('.', '')}")
    hits, picked, people_all = (int(value) for value in sums)
    return {
        "apoferritin": {
            "setting": {"picker": "ring", "threshold": RING.threshold, "edge_distance_A": 0.0, **FERRITIN},
            "tolerance_px": 15, "pixel_size_A": PIXEL_A, "precision": round(hits / picked, 4),
            "recall": round(hits / people_all, 4), "f1": f1(hits, picked, people_all),
            "lowest_f1_of_a_micrograph": min(row["f1"] for row in rows), "micrographs": rows,
        }
    }  # fmt: skip


def ice() -> dict[str, Any]:
    """Count picks on the crystalline ice, which other program's mask shows."""
    import gzip

    folder = REAL / "ice_micrograph"
    image = read_image(folder / "Ucsf_stack_1142_DW.mrc")[0]
    with tempfile.TemporaryDirectory() as name:
        unpacked = Path(name) / "mask.mrc"
        unpacked.write_bytes(gzip.decompress((folder / "mask_predicted.mrc.gz").read_bytes()))
        mask = read_image(unpacked)[0] > 0.5
    settings = PickingSettings(radius_A=60, max_radius_A=80, areas=AreaSettings(edge_distance_A=80.0))
    found = pick_particles(image, ICE_PIXEL_A, settings=settings)
    draw(found, "crystalline ice", "picking_ice")
    picks = found.positions_A / ICE_PIXEL_A
    other = read_coordinates(folder / "Ucsf_stack_1142_DW_autopick.star")
    candidates = found.candidates
    strong = found.candidates["peak_height"] >= settings.threshold
    strong &= ~found.chosen
    blobs = np.stack([candidates["x_A"][strong], candidates["y_A"][strong]], 1) / ICE_PIXEL_A

    def marked(points: np.ndarray) -> np.ndarray:
        x, y = np.clip(np.rint(points).astype(int).T, 0, np.array(mask.shape[::-1])[:, None] - 1)
        return np.asarray(mask[y, x])

    def on_the_crystal(points: np.ndarray) -> int:
        return int(np.sum(marked(points) & (np.hypot(*(points - CRYSTAL_PX).T) < CRYSTAL_RADIUS_PX)))

    return {
        "ice_micrograph": {
            "what": "K2 micrograph of unknown pixel size (4 A assumed) with a crystal of ice; the mask of dirt is "
            "another program's, which also marks three grains; another program's picker found the particles",
            "picks": len(picks), "on_the_crystal": on_the_crystal(picks),
            "anywhere_in_the_mask": int(marked(picks).sum()),
            "also_picked_by_the_other_program": len(pairs(picks, other, ICE_TOLERANCE_PX)),
            "left_out_as_grains_or_background": len(blobs),
            "other_program": {
                "picks": len(other), "on_the_crystal": on_the_crystal(other),
                "anywhere_in_the_mask": int(marked(other).sum()),
            },
            "avoided_part": round(found.areas.avoided, 3),
        }
    }  # fmt: skip


def draw(found: Picks, title: str, name: str) -> None:
    write_picture(REPOSITORY / "docs" / "images" / f"{name}.png", found, title)


def on_obstacle(
    points_px: np.ndarray, obstacles: dict[str, Any], parameters: MicrographParameters, reach_A: float
) -> np.ndarray:
    """Tell which points lie on an ice blob or the carbon film, or within a distance of one."""
    x, y = points_px.T
    size_A = parameters.pixel_size_A
    on = np.zeros(len(x), bool)
    for blob in obstacles["blobs"]:
        on |= np.hypot(x - blob["x_px"], y - blob["y_px"]) * size_A < blob["radius_A"] + reach_A
    carbon = obstacles["carbon"]
    if carbon:
        angle, radius = math.radians(carbon["angle_degrees"]), carbon["hole_radius_A"] / size_A
        dx, dy = x - parameters.width / 2, y - parameters.height / 2
        across, along = dx * math.cos(angle) + dy * math.sin(angle), dy * math.cos(angle) - dx * math.sin(angle)
        on |= np.hypot(across - carbon["distance_from_middle_px"] + radius, along) > radius - reach_A / size_A
    return on


def simulated(name: str, options: dict[str, Any], micrographs: int = 3, size: int = 2048) -> dict[str, Any]:
    """Pick simulated micrographs whose particles are known, with the true CTF, at one setting a molecule."""
    parameters = MicrographParameters(
        movies=micrographs, width=size, height=size, seed=77, **{"particles": 40, **options}
    )
    radius_A = round(read_atoms(parameters).radius_A)
    settings = RING if parameters.model == "apoferritin" else PickingSettings(
        radius_A=0.55 * radius_A, max_radius_A=0.9 * radius_A, threshold=5.0
    )  # fmt: skip
    settings = PickingSettings(
        **{**{key: getattr(settings, key) for key in settings.__dataclass_fields__},
           "areas": AreaSettings(edge_distance_A=radius_A)},
    )  # fmt: skip
    size_A = parameters.pixel_size_A
    sums = np.zeros(4, int)
    distances: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        made = simulate_micrographs(parameters, Path(folder) / "made", threads=2)
        names = made.particles.names_of("micrograph")
        places = np.stack([made.particles["coordinate_x_px"], made.particles["coordinate_y_px"]], 1) * size_A
        optics = Optics(parameters.voltage_kV, parameters.cs_mm, parameters.amplitude_contrast, size_A)
        for path, truth in zip(made.images, made.truth, strict=True):
            lens = truth.defocus
            defocus = lens.u_A, lens.v_A, math.radians(lens.angle_degrees), math.radians(lens.phase_shift_degrees)
            found = pick_particles(read_image(path)[0], size_A, optics, defocus, settings=settings).positions_A
            true = places[[Path(one).stem == Path(truth.name).stem for one in names]]
            clear = ~on_obstacle(true / size_A, truth.obstacles, parameters, radius_A)
            sums[3] += int(on_obstacle(found / size_A, truth.obstacles, parameters, 0.0).sum())
            inside = clear & np.all((true >= radius_A) & (true <= size * size_A - radius_A), axis=1)
            hit = pairs(found, true, 20.0)
            sums[:3] += len(hit), len(found), int(inside.sum()) + int(np.sum(~inside[hit[:, 1]]))
            distances += np.hypot(*(found[hit[:, 0]] - true[hit[:, 1]]).T).tolist()
    hits, found_all, true_all, on_bad = (int(value) for value in sums)
    return {
        "case": name, "micrographs": micrographs, "particles": true_all, "picks": found_all,
        "precision": round(hits / max(found_all, 1), 4), "recall": round(hits / max(true_all, 1), 4),
        "f1": f1(hits, found_all, true_all), "picks_on_ice_or_carbon": on_bad,
        "median_distance_A": round(float(np.median(distances)), 2) if distances else None,
    }  # fmt: skip


if __name__ == "__main__":
    main()

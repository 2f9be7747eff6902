"""The images that Ab-Initio 3D works on, made once and kept in Scratch: particles, or averages of 2D classes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verglas.actions.ab_initio_settings import most_images
from verglas.actions.selection import only

if TYPE_CHECKING:
    from verglas.engine import ParticleImages
    from verglas.execution.context import JobContext
    from verglas.stages.abinitio import AbInitioSettings


def keep_images(context: JobContext, settings: AbInitioSettings) -> None:
    """Prepare the images once and keep them in Scratch, where all workers map them into memory."""
    import numpy as np

    from verglas.engine import ParticleStack
    from verglas.formats import ParticleTable
    from verglas.stages.abinitio import averaged, chosen_places, members_of_classes, prepared, split_images

    if context.kept("images") is not None:
        return
    parameters, selections = context.parameters, context.inputs.get("selection", [])
    context.progress(0, settings.starts * settings.rounds, "preparing images")
    source = only("selection", selections)["parent"] if selections else only("package", context.inputs["package"])
    table = ParticleTable.load(context.project / source["particles_path"])
    defocus = (
        -math.inf if parameters.least_defocus_A is None else parameters.least_defocus_A,
        math.inf if parameters.most_defocus_A is None else parameters.most_defocus_A,
    )
    most = most_images(parameters, settings)
    with ParticleStack(table, context.project) as stack:
        if selections:
            places = chosen_places(stack, most * parameters.average_size, context.seed, defocus)
            members = members_of_classes(
                stack, places, selections[0]["members"], parameters.average_size, context.seed
            )  # fmt: skip
            split_images(len(np.unique(members.average)), settings)
            images = averaged(stack, members, settings, settings.finish_A, threads=context.threads)
            context.message(
                f"{len(images)} averages of {len(members.places)} particles in {len(selections[0]['members'])} "
                "classes are used."
            )
        else:
            places = chosen_places(stack, most, context.seed, defocus)
            split_images(len(places), settings)
            images = prepared(stack, places, settings, settings.finish_A, threads=context.threads)
            context.message(f"{len(places)} of {len(stack)} particles are used.")
    for name in ("data", "transfer"):
        with_name = context.scratch / f"images-{name}.npy"
        np.save(with_name.with_suffix(".part.npy"), getattr(images, name))
        with_name.with_suffix(".part.npy").replace(with_name)
    context.keep("images", {
        "group": images.group, "defocus": images.defocus, "whitening": images.whitening,
        "optics_group": np.array(stack.group[places[0]]), "magnification": np.array(images.optics.magnification),
    })  # fmt: skip


def images_of(
    project: Path, scratch: Path, package: dict[str, Any], settings: AbInitioSettings, limit_A: float
) -> ParticleImages:
    """Return the images that were kept, to a resolution."""
    from dataclasses import replace

    import numpy as np

    from verglas.engine import ParticleImages, ParticleStack
    from verglas.engine.band_sums import working_box
    from verglas.engine.images import band
    from verglas.execution.reduction import load_arrays
    from verglas.formats import ParticleTable

    kept = load_arrays(scratch / "images.npz")
    table = ParticleTable.load(project / package["particles_path"])
    with ParticleStack(table, project) as stack:
        width, optics, full = stack.box * stack.pixel_size_A, stack.optics(int(kept["optics_group"])), stack.box
    box = min(full, working_box(width, settings.finish_A))
    whole = band(box, width / box, settings.finish_A, settings.low_A)
    part = whole.up_to(limit_A)
    points = len(part)
    data, transfer = (
        np.load(scratch / f"images-{name}.npy", mmap_mode="r")[:, :points] for name in ("data", "transfer")
    )
    (a, b), (c, d) = kept["magnification"].tolist()
    return ParticleImages(
        part, np.ascontiguousarray(data), np.ascontiguousarray(transfer), kept["whitening"][:, :points], kept["group"],
        replace(optics, pixel_size_A=width / box, magnification=((a, b), (c, d))), kept["defocus"],
    )  # fmt: skip

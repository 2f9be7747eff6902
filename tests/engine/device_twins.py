"""Run the engine's functions on arrays of a GPU and of the CPU and compare; started by ``test_devices``.

With the simulator no CuPy is at hand: a stand-in of its name keeps NumPy arrays of a class of their own, which the
simulator's kernels take. It shows that the same functions run on either kind and agree, not how CuPy itself behaves;
without the simulator, on a GPU, CuPy itself is used.
"""

from __future__ import annotations

import importlib
import os
import sys
import types
from typing import Any

import numpy as np


class Array(np.ndarray):
    """An array of the stand-in."""

    def get(self) -> np.ndarray:
        return np.array(self.view(np.ndarray))


def stand_in() -> types.ModuleType:
    """Return a module that makes arrays as CuPy would, refusing to mix them up with NumPy's where they are made."""
    module: Any = types.ModuleType("cupy")
    module.ndarray = Array

    def made(name: str) -> Any:
        return lambda *arguments, **options: getattr(np, name)(*arguments, **options).view(Array)

    for name in ("asarray", "empty", "zeros", "stack", "exp", "ascontiguousarray", "moveaxis", "concatenate"):
        setattr(module, name, made(name))
    for name in ("float32", "float64", "complex64", "int32", "int64"):
        setattr(module, name, getattr(np, name))
    module.matmul = lambda a, b, out: np.matmul(a, b, out=out)
    # Enough for one image at a time.
    module.cuda = types.SimpleNamespace(runtime=types.SimpleNamespace(memGetInfo=lambda: (8000, 9000)))
    module.get_default_memory_pool = lambda: types.SimpleNamespace(free_bytes=lambda: 500)
    transforms: Any = types.ModuleType("cupyx.scipy.fft")
    transforms.rfftn = lambda image, **options: np.fft.rfftn(image, **options).astype(np.complex64).view(Array)
    sys.modules["cupyx.scipy.fft"] = transforms
    return module


if os.environ.get("NUMBA_ENABLE_CUDASIM") == "1":
    sys.modules["cupy"] = stand_in()
cupy: Any = importlib.import_module("cupy")

from tests.engine.scenes import scene  # noqa: E402
from verglas.engine import (  # noqa: E402
    ParticleImages,
    Reference,
    RefinementSettings,
    SearchSettings,
    Templates,
    coarse_search,
    log_likelihoods,
    prepare_images,
    prepare_reference,
    refine_poses,
    search_poses,
    to_device,
)
from verglas.engine.devices import batches  # noqa: E402
from verglas.engine.reconstruction import Reconstruction  # noqa: E402
from verglas.errors import InputError, ResourceError  # noqa: E402
from verglas.geometry import random_rotations  # noqa: E402
from verglas.kernels.arrays import to_numpy  # noqa: E402
from verglas.microscopy import ctf  # noqa: E402


def passed(name: str) -> None:
    sys.stdout.write(f"{name}\n")
    sys.stdout.flush()


def main() -> None:
    s = scene(2, box=16, pixel_size_A=8.0, noise=0.5, shift_A=6.0)
    images = prepare_images(s.images, s.optics, s.defocus, s.noise_power, 32.0)
    reference = prepare_reference(s.molecule.volume(16, 8.0), 8.0, limit_A=28.0)
    there, seen = to_device(reference, "cuda"), to_device(images, "cuda")
    assert isinstance(there.values, cupy.ndarray) and isinstance(seen.data, cupy.ndarray)
    kx, ky = images.true_k_per_A
    slices = there.slices(s.rotations, kx, ky)
    assert isinstance(slices, cupy.ndarray)
    np.testing.assert_allclose(to_numpy(slices), reference.slices(s.rotations, kx, ky), rtol=1e-4, atol=1e-3)
    passed("slices")
    poses = random_rotations(6, 3).reshape(2, 3, 3, 3)
    moved = np.zeros((2, 3, 2))
    found = log_likelihoods(there, seen, poses, moved)
    np.testing.assert_allclose(found, log_likelihoods(reference, images, poses, moved), rtol=1e-4, atol=1e-3)
    try:
        log_likelihoods(reference, seen, poses, moved)
    except InputError as error:
        assert "different devices" in str(error)
    else:
        raise AssertionError
    passed("likelihoods")
    settings = SearchSettings(40.0, float(np.deg2rad(60.0)), 12.0, 12.0, keep=2)
    library = Templates([reference], images.band, settings)
    ours, theirs = coarse_search(library, images, settings), coarse_search(library, seen, settings)
    assert isinstance(library.tiles_on(cupy)[0], cupy.ndarray)
    np.testing.assert_allclose(theirs.gain, ours.gain, rtol=1e-4)
    np.testing.assert_allclose(theirs.rotations, ours.rotations, atol=1e-6)
    np.testing.assert_allclose(theirs.displacements_A, ours.displacements_A)
    passed("search")
    maps = []
    for device in ("cpu", "cuda"):
        work = Reconstruction(16, 8.0, oversampling=1, device=device)
        transfer = ctf(*work.frequencies_per_A, s.optics, *s.defocus.T)
        quarter = ctf(*work.frequencies_per_A, s.optics, *s.defocus[:, :3].T, 0.5 * np.pi)
        work.insert(
            s.images, s.rotations, -s.displacements_A, [0, 1], ctf=transfer, weights=[1.0, 0.5], b_factors_A2=30.0,
            magnification=((1.02, 0.01), (0.0, 0.99)),
        )  # fmt: skip
        work.insert(
            s.images, s.rotations, -s.displacements_A, [1, 0], ctf=transfer, ctf_quadrature=quarter,
            ewald_wavelength_A=0.5,
        )  # fmt: skip
        assert isinstance(work.halves[0].volume, cupy.ndarray) == (device == "cuda")
        other = Reconstruction(16, 8.0, oversampling=1, device=device)
        other.add(work.arrays())
        maps.append(other.half_map(0)[0])
    assert np.abs(maps[0]).max() > 0.0
    np.testing.assert_allclose(maps[1], maps[0], atol=1e-4 * float(np.abs(maps[0]).max()))
    passed("reconstruction")
    refined(reference, images, poses[:, 0])


def refined(reference: Reference, images: ParticleImages, poses: np.ndarray) -> None:
    """Refine on either device, with images brought to it at once or one by one, and search and refine."""
    there, seen = to_device(reference, "cuda"), to_device(images, "cuda")
    settings = RefinementSettings(limit_A=40.0, most_steps=4)
    which, moved = np.array([1, 0, 1]), np.array([[1.0, -2.0], [0.0, 3.0], [2.0, 2.0]])
    options: dict[str, Any] = {"image": which, "scale": [1.0, 0.9, 1.1], "centre_A": moved}
    ours = refine_poses(reference, images, poses[which], moved, settings, **options)
    one_by_one = images.whitening.nbytes + 12 * len(images.band) + 3 * 1024
    for given, memory_bytes in ((seen, None), (images, None), (images, 10 * one_by_one), (images, one_by_one)):
        theirs = refine_poses(there, given, poses[which], moved, settings, memory_bytes=memory_bytes, **options)
        assert type(theirs.rotations) is np.ndarray
        np.testing.assert_allclose(theirs.rotations, ours.rotations, atol=1e-4)
        np.testing.assert_allclose(theirs.displacements_A, ours.displacements_A, atol=1e-2)
        np.testing.assert_allclose(theirs.log_likelihood, ours.log_likelihood, rtol=1e-4)
        np.testing.assert_allclose(theirs.covariance, ours.covariance, rtol=1e-2, atol=1e-3)
    assert list(batches(images, 3, one_by_one)) == [slice(0, 1), slice(1, 2)]
    for attempt, error_type, words in (
        (lambda: refine_poses(reference, seen, poses, moved[:2]), InputError, "different devices"),
        (lambda: refine_poses(there, images, poses, moved[:2], memory_bytes=900), ResourceError, "may take 0.0 MB"),
    ):
        try:
            attempt()
        except error_type as error:
            assert words in str(error)
        else:
            raise AssertionError
    passed("refinement")
    # With little noise both end in the same maximum.
    wide = SearchSettings(
        40.0, float(np.deg2rad(60.0)), 12.0, 12.0, keep=1, middle_limit_A=40.0, middle_steps=2, final_limit_A=40.0
    )  # fmt: skip
    ended, done = search_poses(there, seen, wide), search_poses(reference, images, wide)
    np.testing.assert_allclose(ended.best_rotations, done.best_rotations, atol=1e-2)
    np.testing.assert_allclose(ended.best_log_likelihood, done.best_log_likelihood, rtol=1e-3)
    passed("search-and-refinement")


if __name__ == "__main__":
    main()

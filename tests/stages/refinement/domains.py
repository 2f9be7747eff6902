"""A molecule that has a domain in half of its particles."""

from __future__ import annotations

import numpy as np

from tests.engine.particles import molecule


def with_and_without(box: int, pixel_size_A: float, centre_A: tuple[float, float, float], radius_A: float,
                     atoms: int = 16) -> list[np.ndarray]:  # fmt: skip
    """Return points of the molecule with the domain, a ball of points about a centre (x, y, z), and without it."""
    body = molecule(box, pixel_size_A)
    body = body[np.linalg.norm(body - centre_A, axis=1) > radius_A + 2.0 * pixel_size_A]
    random = np.random.Generator(np.random.Philox(11))
    direction = random.standard_normal((atoms, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    ball = np.asarray(centre_A) + radius_A * direction * random.uniform(0.1, 1.0, (atoms, 1)) ** (1 / 3)
    return [np.concatenate([body, ball]), body]

"""Call independent programs (pycistem, cryojax, RELION ...) from tests without importing them."""

from __future__ import annotations

import os
import shutil
import subprocess
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

REPOSITORY = Path(__file__).parents[2]
MUST_RUN = bool(os.environ.get("VERGLAS_TESTS_MUST_RUN"))


def missing(what: str, remedy: str) -> None:
    """Skip a test for want of an outside program; on a test server that is a failure."""
    if MUST_RUN:
        pytest.fail(f"{what} is missing: {remedy}")
    pytest.skip(f"{what} is missing: {remedy}")


def oracle_python() -> Path:
    """Return the interpreter of the environment that holds pycistem, cryojax and starfile."""
    python = REPOSITORY / ".venv-oracles" / "bin" / "python"
    if not python.exists():
        missing("the oracle environment", "run `make oracles`")
    return python


def ask_oracle(script: str, folder: Path, *, timeout: float = 110, **arrays: Any) -> dict[str, np.ndarray]:
    """Run ``script`` in the oracle environment and return the arrays it leaves in ``answer``.

    The script sees every keyword as a numpy array of that name and fills the dictionary ``answer``.
    """
    question, answer = folder / "question.npz", folder / "answer.npz"
    np.savez(question, **arrays)
    code = (
        "import sys, numpy as np\n"
        "globals().update(dict(np.load(sys.argv[1])))\n"
        "answer = {}\n" + textwrap.dedent(script) + "\nnp.savez(sys.argv[2], **answer)\n"
    )
    done = subprocess.run(
        [oracle_python(), "-c", code, question, answer],
        capture_output=True, text=True, timeout=timeout, check=False, cwd=folder,
        env={**os.environ, "JAX_PLATFORMS": "cpu", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    if done.returncode:
        raise AssertionError(f"the oracle failed:\n{done.stderr[-4000:]}")
    with np.load(answer) as found:
        return dict(found)


def program(name: str, package: str) -> str:
    """Return the path of an outside program (``relion_project`` of Debian's ``relion``, say)."""
    path = shutil.which(name)
    if path is None:
        missing(name, f"apt-get install {package}")
    assert path is not None
    return path

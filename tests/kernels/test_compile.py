"""Kernels run from the cache, in the first process of a machine as in all later ones."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_the_first_process_too_runs_what_lies_in_the_cache(tmp_path: Path) -> None:
    code = (
        "import numpy as np; from tests.kernels.toy_kernel import mean; "
        "assert mean(np.arange(5.0, dtype=np.float32)) == 2.0; "
        "print(sum(mean.stats.cache_hits.values()), sum(mean.stats.cache_misses.values()))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False,
            env={**environment, "XDG_CACHE_HOME": str(tmp_path)},
        )  # fmt: skip
        assert done.stdout.split() == ["1", "0"], done.stderr


def test_where_arrays_lie_does_not_decide_how_a_loop_is_compiled(tmp_path: Path) -> None:
    """An index that numba cannot know to be positive makes LLVM compare addresses at run time, but for our option."""
    code = (
        "import numpy as np, sys\n"
        "if 'ours' in sys.argv: import verglas.kernels.compile\n"
        "import numba\n"
        "@numba.njit(fastmath=True)\n"
        "def blocks(a, b, out):\n"
        "    work = np.empty(64, np.float32)\n"
        "    for first in range(0, a.size, 64):\n"
        "        length = min(64, a.size - first)\n"
        "        for j in range(length): work[j] = a[first + j] * b[first + j] + a[first + j]\n"
        "        out[0] += work[3]\n"
        "blocks(*(np.ones(130, np.float32) for _ in range(3)))\n"
        "print(blocks.inspect_llvm(blocks.signatures[0]).count('vector.memcheck'))\n"
    )
    counts = [
        int(subprocess.run([sys.executable, "-c", code, *which], capture_output=True, text=True, check=True).stdout)
        for which in ((), ("ours",))
    ]
    assert counts[0] > 0, "newer versions of LLVM no longer need the option"
    assert counts[1] == 0

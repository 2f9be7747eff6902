"""The memory that is stated before the work starts is kept."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys
import numpy as np
from verglas.stages.motion import align_movie, estimate
from verglas.formats import open_movie

path, limit, threads = sys.argv[1], int(sys.argv[2]) or None, int(sys.argv[3])
said = estimate(path, pixel_size_A=1.0, threads=threads, memory_bytes=limit)
found = align_movie(path, pixel_size_A=1.0, dose_per_frame_e_per_A2=1.0, threads=threads, memory_bytes=limit)
assert found.estimate == said
status = dict(line.split(":", 1) for line in open("/proc/self/status"))  # rusage would count the parent's memory too
print(said.memory_bytes, int(status["VmHWM"].split()[0]) * 1024, said.passes)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
@pytest.mark.parametrize("limited", [False, True])
def test_stated_memory_is_kept(limited, tmp_path: Path, rng):
    from verglas.formats import write_tiff_movie
    from verglas.stages.motion import estimate

    frames = rng.poisson(1.0, (60, 640, 640)).astype("uint8")
    path = tmp_path / "movie.tif"
    write_tiff_movie(path, iter(frames))
    whole = estimate(path, pixel_size_A=1.0, threads=2).memory_bytes
    limit = whole - 8_000_000 if limited else 0
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(path), str(limit), "2"], capture_output=True, text=True, check=True
    )
    stated, used, passes = (int(word) for word in done.stdout.split())
    assert passes == (2 if limited else 1)
    assert used <= stated <= (limit or stated)
    assert used > 0.5 * stated  # an estimate far too large would refuse work that fits

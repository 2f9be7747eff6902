"""Small answers that need computing: made in one process beside the server, one at a time, so that pages stay quick."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from verglas.errors import JobError

Answer = TypeVar("Answer")
PATIENCE_SECONDS = 120.0


class Previews:
    """Runs functions in a process of its own, which is started when first needed.

    What is asked for while another is computed waits; so does whoever asks.
    """

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None
        self._lock = threading.Lock()

    def run(self, function: Callable[..., Answer], *values: object) -> Answer:
        """Return what a function, importable by name, makes of plain values.

        Raises
        ------
        JobError
            The process ended, or took too long.
        """
        with self._lock:
            if self._pool is None:
                self._pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
            pool = self._pool
        try:
            return pool.submit(function, *values).result(PATIENCE_SECONDS)
        except BrokenProcessPool as error:
            self._forget(pool)
            raise JobError("the preview's process ended, perhaps for lack of memory. Jobs are not touched.") from error
        except TimeoutError as error:
            self._forget(pool)
            raise JobError(f"the preview took more than {PATIENCE_SECONDS:.0f} s; start a job instead.") from error

    def close(self) -> None:
        """End the process."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            self._end(pool)

    def _forget(self, pool: ProcessPoolExecutor) -> None:
        with self._lock:
            if self._pool is pool:
                self._pool = None
        self._end(pool)

    @staticmethod
    def _end(pool: ProcessPoolExecutor) -> None:
        # The executor has no way of its own to end a process that computes.
        processes = list((pool._processes or {}).values())
        pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.kill()  # it holds nothing, and a stopped one would not hear a gentler word

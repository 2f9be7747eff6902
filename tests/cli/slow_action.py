"""An action whose results become assets, slow enough to be watched; run as a command of its own in a terminal."""

from __future__ import annotations

import fcntl
import sys
import termios
import time
from typing import Any

from verglas.actions import Action, ActionParameters, Input, field
from verglas.execution import Estimate, JobContext, Task
from verglas.execution.durable import write_whole


def slow(movie: dict[str, Any], task: Task) -> str:
    end = time.monotonic() + 0.4
    while time.monotonic() < end:
        task.check()
        time.sleep(0.02)
    path = task.results / f"{movie['id']}.mrc"
    write_whole(path, movie["name"].encode())
    return str(path)


class SlowAction(Action):
    name = "slow"
    title = "Slow"
    summary = "Write the names of movies, slowly."

    class Parameters(ActionParameters):
        fancy: bool = field(False, help="Fancy.")

    inputs = (Input("movies", "movie", "Movies to work on."),)
    outputs = ("movie_alignment",)

    def estimate(self, parameters: Any, inputs: dict[str, list[dict[str, Any]]]) -> Estimate:
        return Estimate(memory_bytes=1000, disk_bytes=1000, core_seconds=1.0, tasks=len(inputs["movies"]))

    def run(self, context: JobContext) -> None:
        movies = context.inputs["movies"]
        todo = context.pending(movies, key=lambda movie: str(movie["id"]))
        done = len(movies) - len(todo)
        for movie, path in context.map(
            slow, todo, key=lambda movie: str(movie["id"]), phase="working slowly", total=len(movies), finished=done
        ):
            values = {"n_x": 1, "n_y": 1, "pixel_size_A": 1.0}
            context.result(
                str(movie["id"]), "movie_alignment", {"sum": context.results / path}, values, of=("movie", movie["id"])
            )


if __name__ == "__main__":
    from tests.cli.slow_action import SlowAction as Imported
    from verglas.cli.actions import command_of

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # Ctrl-C and hang-ups of this terminal come here
    command_of(Imported)(sys.argv[1:])

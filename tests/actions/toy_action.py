"""An action for tests: counts the letters of movies' names."""

from __future__ import annotations

import time
from typing import Any, Literal

from verglas.actions import Action, ActionParameters, Input, field
from verglas.execution import Estimate, JobContext, Task


def measure(movie: dict[str, Any], task: Task) -> int:
    task.check()
    time.sleep(0.05)
    if movie["name"] == "bad":
        raise ValueError("it is bad")
    return len(movie["name"])


class ToyAction(Action):
    name = "toy"
    title = "Toy"
    summary = "Count the letters of names."

    class Parameters(ActionParameters):
        dose: float = field(1.5, help="Dose.", unit="e/A^2", gt=0)
        max_shift_A: float | None = field(None, help="Largest shift.", unit="A", ge=0)
        mode: Literal["slow", "fast"] = field("slow", help="How.", expert=True)
        fancy: bool = field(False, help="Fancy.")
        window: tuple[int, int] = field((1, 2), help="First and last.")

    inputs = (Input("movies", "movie", "Movies to work on."),)
    outputs = ("count",)

    def estimate(self, parameters: Any, inputs: dict[str, list[dict[str, Any]]]) -> Estimate:
        return Estimate(memory_bytes=10_000_000, disk_bytes=1000, core_seconds=1.0, tasks=len(inputs["movies"]))

    def run(self, context: JobContext) -> None:
        movies = context.pending(context.inputs["movies"], key=lambda movie: str(movie["id"]))
        for movie, count in context.map(measure, movies, key=lambda movie: str(movie["id"])):
            context.result(str(movie["id"]), "count", values={"count": count, "dose": context.parameters.dose})

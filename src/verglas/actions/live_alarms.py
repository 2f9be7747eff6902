"""Alarms of live processing: drift, ice, astigmatism or resolution that a person should know of at once."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

from verglas.errors import InputError
from verglas.project import Project
from verglas.project.assets import Record
from verglas.project.curation import Condition, figures_of_one

DEFAULTS = (
    "movie_alignment.total_motion_A > 60",
    "movie_alignment.found_signal < 1",
    "ctf_estimation.iciness > 1.5",
    "ctf_estimation.astigmatism_A > 1000",
    "ctf_estimation.fit_resolution_A > 8",
    "ctf_estimation.failure_probability > 0.1",
)
WORDS = {
    "movie_alignment.total_motion_A": "drift",
    "movie_alignment.found_signal": "frames without common signal",
    "ctf_estimation.iciness": "ice",
    "ctf_estimation.astigmatism_A": "astigmatism",
    "ctf_estimation.fit_resolution_A": "resolution",
    "ctf_estimation.failure_probability": "doubtful CTF",
}
RESOLUTION, ASTIGMATISM = "ctf_estimation.fit_resolution_A", "ctf_estimation.astigmatism_A"
DOUBTS = {RESOLUTION, "ctf_estimation.failure_probability"}
"""Figures whose alarms say that the astigmatism means nothing."""
MARK = "alarm: "
LAST = 10
OFTEN = 5


def conditions_of(texts: tuple[str, ...]) -> list[Condition]:
    """Return the defaults, each replaced by what was given for the same figure, and what else was given.

    Raises
    ------
    InputError
        One is no condition, or is about a figure that alignment, CTF and picks do not have.
    """
    conditions = {one.name: one for one in map(Condition.parse, DEFAULTS)}
    for one in map(Condition.parse, texts):
        kind = one.name.partition(".")[0]
        if kind not in {"movie_alignment", "ctf_estimation", "particle_positions"} or "." not in one.name:
            raise InputError(
                f"{one.name!r}: alarms are about figures such as ctf_estimation.iciness, "
                "movie_alignment.total_motion_A or particle_positions.count; `verglas curate images` lists them."
            )
        conditions[one.name] = one
    return list(conditions.values())


@dataclass
class Alarms:
    """Judges micrographs, each figure once, and remembers how often each alarm was raised of late.

    Attributes
    ----------
    project
        The project; alarms become notes about its images, so that they are never raised twice.
    conditions
        What raises an alarm.
    """

    project: Project
    conditions: list[Condition]
    _late: dict[str, deque[bool]] = field(default_factory=dict)
    _judged: dict[int, set[str]] = field(default_factory=dict)
    _noted: set[tuple[int, str]] | None = None

    def judge(self, images: list[Record]) -> list[str]:
        """Return the new alarms about some images, in words, and note each at its image."""
        if self._noted is None:
            self._noted = {(note["about_id"], note["text"]) for note in self.project.notes()
                           if note["about_kind"] == "image"}  # fmt: skip
        said = []
        for image in images:
            judged = self._judged.setdefault(image["id"], set())
            open_ones = [one for one in self.conditions if one.name not in judged]
            if not open_ones:
                continue
            figures = figures_of_one(self.project, image)
            if figures.get(RESOLUTION, 0.0) is None and "ctf_estimation.score" in figures:
                figures[RESOLUTION] = (
                    math.inf
                )  # no ring follows the fit: the worst there is, and no figure stands for it
            doubtful = any(one.name in DOUBTS and one.name in figures and one.holds(figures) for one in self.conditions)
            for condition in open_ones:
                value = figures.get(condition.name)
                if value is None:
                    continue
                judged.add(condition.name)
                if not (doubtful and condition.name == ASTIGMATISM):
                    said += self._judge_one(image, condition, value)
        return said

    def _judge_one(self, image: Record, condition: Condition, value: float) -> list[str]:
        raised = condition.holds({condition.name: value})
        late = self._late.setdefault(condition.name, deque(maxlen=LAST))
        often_before = sum(late) >= OFTEN
        late.append(raised)
        if not raised:
            return []
        words = WORDS.get(condition.name, condition.name)
        text = f"{MARK}{words}: {condition.name} = {value:.4g} ({condition.comparison} {condition.number:g})"
        assert self._noted is not None
        if (image["id"], text) in self._noted:
            return []
        about = {"kind": "image", "id": image["id"]}
        self.project.edit({"edit": "note.add", "about": about, "text": text})
        self._noted.add((image["id"], text))
        said = [f"{image['name']}: {text.removeprefix(MARK)}"]
        if sum(late) >= OFTEN and not often_before:
            said.append(f"{words}: {sum(late)} of the last {len(late)} micrographs; look at the microscope.")
        return said

"""Live processing: movies that arrive in a folder are imported, aligned, CTF-fitted and picked as they come.

What is to be done follows from the project and its job folders alone, at every look: nothing that matters is kept in
this process. So it may be stopped or killed at any moment; whoever looks next goes on; nothing is lost or done twice.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from verglas.actions.launch import prepare
from verglas.actions.live_alarms import Alarms, conditions_of
from verglas.actions.live_jobs import ORIGIN, JobReader
from verglas.actions.registry import load_action
from verglas.errors import DeviceError, InputError, ProjectLockedError, ResourceError
from verglas.execution.controller import start_detached
from verglas.execution.durable import write_json
from verglas.execution.job_folder import JobFolder, ProjectReference
from verglas.execution.run_profile import DEFAULT_PROFILE
from verglas.project import Project
from verglas.project.arrivals import PATIENCE_SECONDS, SETTLE_SECONDS, Arrivals
from verglas.project.assets import Record
from verglas.project.import_movies import MovieFields, import_movies
from verglas.project.moved_source import find_moved, follow_move, moved_into
from verglas.project.owner import Ownership, current_owner

WAIT_SECONDS = 60.0
"""After a job could not be started or failed: until the next try."""


class Step(NamedTuple):
    """One step of live processing: its action, the name of its input, the kind of its results."""

    action: str
    input: str
    result: str


STEPS = (
    Step("align-movies", "movies", "movie_alignment"),
    Step("find-ctf", "images", "ctf_estimation"),
    Step("find-particles", "images", "particle_positions"),
)

Say = Callable[[str, str], None]
"""Called with a level (``info``, ``alarm``, ``error``) and a sentence."""


@dataclass
class WatchOptions:
    """What steers live processing; kept in ``.verglas/watch/options.json`` so that a restart needs no options.

    Attributes
    ----------
    folder
        Where movies arrive, absolute.
    fields
        What is said about the movies at import, fields of `MovieFields`.
    parameters
        Action -> its parameters; defaults for the rest.
    alarms
        Conditions that raise alarms, beside the defaults or in place of the one for the same figure.
    last_step
        The last action that is run.
    recursive, settle_seconds, patience_seconds
        As for `Arrivals`.
    batch
        Movies of one job at most: few, so that results come soon.
    threads, workers, profile
        What jobs run on.
    """

    folder: str
    fields: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, dict[str, Any]] = field(default_factory=dict)
    alarms: tuple[str, ...] = ()
    last_step: str = STEPS[-1].action
    recursive: bool = True
    settle_seconds: float = SETTLE_SECONDS
    patience_seconds: float = PATIENCE_SECONDS
    batch: int = 20
    threads: int | None = None
    workers: int | None = None
    profile: str = DEFAULT_PROFILE

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps up to the last one wanted."""
        return STEPS[: [step.action for step in STEPS].index(self.last_step) + 1]

    def check(self) -> None:
        """Raise `InputError` where an option makes no sense."""
        names = [step.action for step in STEPS]
        if self.last_step not in names:
            raise InputError(f"the last step is {self.last_step!r}; it can be {', '.join(names)}.")
        for action, values in self.parameters.items():
            if action not in names:
                raise InputError(f"{action} is no step of live processing; the steps are {', '.join(names)}.")
            load_action(action).check_parameters(values)
        conditions_of(tuple(self.alarms))
        if self.batch < 1:
            raise InputError(f"a job takes 1 movie or more, not {self.batch}.")


def remembered_options(project_folder: Path) -> WatchOptions | None:
    """Return the options of the last watch of a project, or None where there was none."""
    path = project_folder / ".verglas" / "watch" / "options.json"
    if not path.is_file():
        return None
    content = json.loads(path.read_text())["options"]
    known = {name: content[name] for name in WatchOptions.__dataclass_fields__ if name in content}
    return WatchOptions(**known | {"alarms": tuple(known.get("alarms", ()))})


class Watcher:
    """Watches one folder for one project; use it as a context manager and call `look` again and again.

    Parameters
    ----------
    project
        Open for writing.
    options
        What to do.
    say
        Gets what a person should know.

    Raises
    ------
    InputError
        An option makes no sense.
    ProjectLockedError
        Another process watches for this project.
    """

    def __init__(self, project: Project, options: WatchOptions, say: Say) -> None:
        options.check()
        self.project, self.options, self.say = project, options, say
        self.folder = Path(options.folder).resolve()
        self.own_folder = project.layout.hidden / "watch"
        self.own_folder.mkdir(parents=True, exist_ok=True)
        try:
            self._lock = Ownership.take(self.own_folder, "verglas watch")
        except ProjectLockedError as error:
            owner = current_owner(self.own_folder)
            raise ProjectLockedError(
                f"{project.folder} is watched for already, by {owner.words if owner else 'another process'}. "
                "Stop that first: two would do everything twice."
            ) from error
        state = self._read_state()
        self.identity: tuple[int, int] | None = None
        if state.get("options", {}).get("folder") == str(self.folder) and state.get("identity"):
            self.identity = (state["identity"][0], state["identity"][1])
        self.forgiven_before: float = state.get("forgiven_before", 0.0)
        references = [Path(options.fields[role]) for role in ("gain", "dark") if options.fields.get(role)]
        self.arrivals = Arrivals(
            self.folder, recursive=options.recursive, settle_seconds=options.settle_seconds,
            patience_seconds=options.patience_seconds, left_out=references,
        )  # fmt: skip
        self.jobs = JobReader(project.layout.jobs, [step.action for step in STEPS])
        self.alarms = Alarms(project, conditions_of(tuple(options.alarms)))
        self._said: set[str] = set()
        self._not_before = 0.0
        self._is_gone = False
        self._search_again = 0.0
        self._started: dict[int, Any] = {}
        self._write_state()

    def __enter__(self) -> Watcher:
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def look(self) -> bool:
        """Do all that can be done now without waiting; return whether anything is still to come of what is there.

        Jobs go on by themselves between two looks.
        """
        for problem in self.project.take_in()["problems"]:
            self._say_once("error", problem)
        if self._find_folder():
            self._import_new()
        movies = self._movies()
        images = self._images({movie["id"] for movie in movies})
        for text in self.alarms.judge(images):
            self.say("alarm", text)
        return self._work(movies, images) or bool(self.arrivals.undecided)

    # The folder

    def _find_folder(self) -> bool:
        """Tell whether the folder is there, after having looked for it where it may have been moved to."""
        if self.folder.is_dir():
            status = self.folder.stat()
            if self.identity is None:
                self._recognise()
            if self.identity != (status.st_dev, status.st_ino):
                self.identity = (status.st_dev, status.st_ino)
                self._write_state()
            if self._is_gone:
                self.say("info", f"{self.folder} is back.")
            self._is_gone = False
            return True
        place = None
        if time.monotonic() >= self._search_again:
            self._search_again = time.monotonic() + WAIT_SECONDS
            place = find_moved(self.project, self.folder, self.identity)
        if place is None:
            if not self._is_gone:
                self.say("error", f"{self.folder} is gone, and was found nowhere near; is its disk there? Waiting.")
            self._is_gone = True
            return False
        self._follow(str(self.folder), str(place))
        self.folder = self.arrivals.folder = place
        self._is_gone, self._search_again = False, 0.0
        self._write_state()
        return True

    def _recognise(self) -> None:
        """Find movies of the project in a folder watched for the first time: somebody may have moved them there."""
        for old, new in moved_into(self.project, self.folder).items():
            self._follow(old, new)

    def _follow(self, old: str, new: str) -> None:
        report = follow_move(self.project, old, new)
        self.forgiven_before = time.time()
        self.jobs.forgive()
        self._write_state()
        self.say("info", f"{old} was moved to {new}: {len(report.changed)} files were found again there.")
        for path, problem in report.different.items():
            self.say("error", f"{path} is not the file that was imported: {problem}.")

    def _import_new(self) -> None:
        known = {str(self.project.layout.absolute(path)) for path in self.project.paths("movie")}
        arrived = self.arrivals.look(known)
        for seen in self.arrivals.waiting.values():
            if seen.reason:
                self._say_once("info", seen.reason)
        for arrival in arrived:
            if arrival.warning:
                self.say("alarm", arrival.warning)
        if not arrived:
            return
        fields = MovieFields(**self.options.fields)
        report = import_movies(self.project, [str(one.path) for one in arrived], fields)
        for warning in report.warnings:
            self._say_once("info", warning)
        for stored, problem in report.problems.items():
            self.say("error", problem)
            self.arrivals.forget(self.project.layout.absolute(stored), problem)
        if report.imported:
            names = ", ".join(movie["name"] for movie in report.imported[:5])
            self.say("info", f"{len(report.imported)} new: {names}{' ...' if len(report.imported) > 5 else ''}")

    # The work

    def _movies(self) -> list[Record]:
        return [movie for movie in self.project.assets("movie")
                if self.project.layout.absolute(movie["path"]).is_relative_to(self.folder)]  # fmt: skip

    def _images(self, movies: set[int]) -> list[Record]:
        return [image for image in self.project.assets("image") if image["parent_movie"] in movies]

    def _work(self, movies: list[Record], images: list[Record]) -> bool:
        """Start or resume what is next, unless something runs; return whether there is anything to wait for."""
        for number in [number for number, process in self._started.items() if process.poll() is not None]:
            del self._started[number]
        ledger = self.jobs.read(self.forgiven_before)
        for job in ledger.given_up:
            self._say_once(
                "error",
                f"job {job.number} stopped {len(job.controllers())} times ({job.state().message}) and is left; "
                f"`verglas jobs resume {job.number}` tries again.",
            )
        if ledger.running or self._started:
            return True
        if time.monotonic() < self._not_before:
            return True
        for job in ledger.stopped:
            self._say_once("info", f"job {job.number} goes on after: {job.state().message or 'it had not begun'}")
            self._not_before = time.monotonic() + (WAIT_SECONDS if job.state().name == "failed" else 0.0)
            self._started[job.number] = start_detached(job)
            return True
        for step in reversed(self.options.steps):  # finish what was begun before beginning anew
            due = [one for one in self._due(step, movies, images) if one["id"] not in ledger.handled[step.action]]
            if due:
                self._start(step, due[: self.options.batch])
                return True
        return False

    def _due(self, step: Step, movies: list[Record], images: list[Record]) -> list[Record]:
        """Return the assets that a step has no result of, and that are ready for it."""
        if step.action == "align-movies":
            aligned = {one["of"]["id"] for one in self.project.results("movie") if one["kind"] == step.result}
            return [movie for movie in movies if movie["id"] not in aligned] if not self._is_gone else []
        if step.action == "find-ctf":
            return [image for image in images if image["ctf_estimation"] is None]
        picked = {positions["image"] for positions in self.project.assets("positions")}
        return [image for image in images if image["ctf_estimation"] is not None and image["id"] not in picked]

    def _start(self, step: Step, assets: list[Record]) -> None:
        options = self.options
        try:
            prepared = prepare(
                load_action(step.action), options.parameters.get(step.action, {}), {step.input: assets},
                project_folder=self.project.folder,
                project=ProjectReference(name=self.project.name, id=self.project.id), threads=options.threads,
                workers=options.workers, profile=options.profile, origin=ORIGIN,
            )  # fmt: skip
        except (ResourceError, DeviceError) as error:
            self._say_once("error", f"{error} Waiting.")
            self._not_before = time.monotonic() + WAIT_SECONDS
            return
        job, process = prepared.start()
        self._started[job.number] = process
        self.say("info", f"job {job.number}: {step.action} of {len(assets)}")

    def running(self) -> list[JobFolder]:
        """Return the jobs of live processing that are at work."""
        return self.jobs.read(self.forgiven_before).running

    def _say_once(self, level: str, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self.say(level, text)

    # What is remembered

    def _read_state(self) -> dict[str, Any]:
        path = self.own_folder / "options.json"
        found: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
        return found

    def _write_state(self) -> None:
        options = asdict(self.options) | {"folder": str(self.folder)}
        state = {"options": options, "identity": self.identity, "forgiven_before": self.forgiven_before}
        write_json(self.own_folder / "options.json", state)

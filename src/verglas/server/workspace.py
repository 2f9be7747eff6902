"""The projects that the server has open: owned where nobody else owns them, jobs watched, results taken in."""

from __future__ import annotations

import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from verglas.errors import NotFoundError, VerglasError
from verglas.project import Project
from verglas.project.curation import Figures, figures_of
from verglas.project.recent import remember
from verglas.server.job_watch import JobWatch
from verglas.server.news import News
from verglas.server.previews import Previews

TAKE_IN_SECONDS = 1.5
Known = list[tuple[dict[str, Any], Figures]]


class OpenProject:
    """One open project.

    Attributes
    ----------
    key
        By which addresses name it: the beginning of its identity.
    project
        The project.
    jobs
        Watches its jobs.
    """

    def __init__(self, project: Project, news: News) -> None:
        self.project, self.key = project, project.id[:12]
        self._news = news
        self._journal_bytes = self._journal_size()
        self._waiting, self._next_intake = True, 0.0
        self._problems: list[str] = []
        self._processes: list[subprocess.Popen[bytes]] = []
        self._figures: dict[tuple[str, str], tuple[int, Known]] = {}
        self._figures_lock, self._taking = threading.Lock(), threading.Lock()
        self.jobs = JobWatch(project.layout.jobs, self._tell_job, self._after_look)
        self.jobs.start()

    @property
    def problems(self) -> list[str]:
        """What could not be taken in, and why."""
        return self._problems

    def started(self, process: subprocess.Popen[bytes]) -> None:
        """Keep a controller's process until it ends, and look at its job at once."""
        self._processes.append(process)
        self._waiting = self.jobs.look() or self._waiting

    def settle(self) -> None:
        """Take in all results that there are, so that what is asked next sees them."""
        self._waiting = self.jobs.look() or self._waiting
        if self._waiting:
            self._take_in()

    def figures(self, kind: str, group: str) -> Known:
        """Return assets with all numbers known about each, kept until the project changes."""
        size = self._journal_size()
        with self._figures_lock:
            kept = self._figures.get((kind, group))
            if kept is None or kept[0] != size:
                kept = (size, figures_of(self.project, kind, group))
                self._figures = {key: one for key, one in self._figures.items() if one[0] == size}
                self._figures[kind, group] = kept
            return kept[1]

    def close(self) -> None:
        """Close the project; its jobs go on."""
        self.jobs.stop()
        self.project.close()

    def _journal_size(self) -> int:
        journal = self.project.layout.journal
        return journal.stat().st_size if journal.exists() else 0

    def _tell_job(self, summary: dict[str, Any]) -> None:
        self._news.publish({"kind": "job", "project": self.key, "job": summary})

    def _take_in(self) -> None:
        with self._taking:
            self._waiting = False
            try:
                self._problems = self.project.take_in()["problems"]
            except VerglasError as error:
                self._problems, self._waiting = [str(error)], True
        self._tell_changes()

    def _tell_changes(self) -> None:
        """Publish that the project has changed, once all that belongs to a change is written."""
        size = self._journal_size()
        if size != self._journal_bytes:
            self._journal_bytes = size
            self._news.publish({"kind": "project", "project": self.key})

    def _after_look(self, news: bool) -> None:
        self._processes = [process for process in self._processes if process.poll() is None]
        self._waiting = self._waiting or news
        if self._waiting and time.monotonic() >= self._next_intake:
            began = time.monotonic()
            self._take_in()
            taken = time.monotonic() - began
            self._next_intake = time.monotonic() + max(TAKE_IN_SECONDS, 5 * taken)
        if not self._taking.locked():
            self._tell_changes()


class Workspace:
    """All open projects.

    Parameters
    ----------
    browse
        Folders below which the page may look for files.
    """

    def __init__(self, browse: tuple[Path, ...] = (Path("/"),)) -> None:
        self.news, self.previews = News(), Previews()
        self.browse = tuple(folder.resolve() for folder in browse)
        self._open: dict[str, OpenProject] = {}
        self._lock = threading.Lock()

    def open(self, folder: Path) -> OpenProject:
        """Open a project, or return it where it is open already.

        Raises
        ------
        NotFoundError, ProjectError
            The folder is no project, or it is damaged.
        """
        with self._lock:
            for found in self._open.values():
                if found.project.folder == folder.resolve():
                    return found
            return self._keep(Project.open(folder, "rw"))

    def create(self, folder: Path, name: str | None) -> OpenProject:
        """Make a new project and open it.

        Raises
        ------
        ProjectError
            The folder is not empty.
        """
        with self._lock:
            return self._keep(Project.create(folder, name))

    def _keep(self, project: Project) -> OpenProject:
        found = OpenProject(project, self.news)
        if found.key in self._open:  # a copy made by other means than `verglas copy`
            found.close()
            raise VerglasError(
                f"{project.folder} has the identity of {self._open[found.key].project.folder}, which is open. "
                "Copy projects with `verglas copy`, which gives each its own."
            )
        self._open[found.key] = found
        remember(project.folder)
        return found

    def get(self, key: str) -> OpenProject:
        """Return an open project.

        Raises
        ------
        NotFoundError
            It is not open.
        """
        found = self._open.get(key)
        if found is None:
            raise NotFoundError("this project is not open in this server; open it from the list of projects.")
        return found

    def all_open(self) -> list[OpenProject]:
        """Return the open projects."""
        return list(self._open.values())

    def close(self, key: str) -> None:
        """Close one project."""
        with self._lock:
            self.get(key).close()
            del self._open[key]

    def close_all(self) -> None:
        """Close all projects, and end the process of previews."""
        self.previews.close()
        with self._lock:
            for found in self._open.values():
                found.close()
            self._open.clear()

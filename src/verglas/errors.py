"""All errors that verglas raises on purpose.

::

    VerglasError
      InputError               a parameter, option or combination of inputs makes no sense
      FormatError              a file is damaged, cut short or not what its name says
      ProjectError             a project folder is missing, inconsistent or from a newer verglas
        ProjectLockedError     another process owns the project
        NotFoundError          no such asset, group, job or result
      JobError                 a job could not be started, or failed
        CancelledError         the job was asked to stop
        ResourceError          memory, disk or time do not suffice
        DeviceError            the asked-for device is not there
      NumericalError           a computation did not converge or met NaN

Every message says what happened, names the file, particle or job, and says what to do.
"""

from __future__ import annotations

from os import PathLike


class VerglasError(Exception):
    """Base of every error that verglas raises on purpose."""


class InputError(VerglasError):
    """A parameter, option or combination of inputs makes no sense."""


class FormatError(VerglasError):
    """A file is damaged, cut short or not what its name says.

    Parameters
    ----------
    path
        The file at fault.
    problem
        What is wrong with it.
    remedy
        What the user can do about it.
    """

    def __init__(self, path: str | PathLike[str], problem: str, remedy: str = "") -> None:
        self.path = str(path)
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{self.path}: {problem}" + (f" {remedy}" if remedy else ""))

    def __reduce__(self) -> tuple[type[FormatError], tuple[str, str, str]]:
        return type(self), (self.path, self.problem, self.remedy)


class ProjectError(VerglasError):
    """A project folder is missing, inconsistent or from a newer verglas."""


class ProjectLockedError(ProjectError):
    """Another process owns the project."""


class NotFoundError(ProjectError):
    """No such asset, group, job or result."""


class JobError(VerglasError):
    """A job could not be started, or failed."""


class CancelledError(JobError):
    """The job was asked to stop."""


class ResourceError(JobError):
    """Memory, disk or time do not suffice for what was asked."""


class DeviceError(JobError):
    """The asked-for device is not there."""


class NumericalError(VerglasError):
    """A computation did not converge or met NaN."""

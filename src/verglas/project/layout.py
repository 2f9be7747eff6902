"""Where things lie in a project folder, the file that makes a folder a project, and paths inside and outside it."""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from verglas import __version__
from verglas.errors import InputError, NotFoundError, ProjectError
from verglas.execution.durable import write_json

FORMAT = 1

# cisTEM's tree; raw movies stay where they are.
ASSET_FOLDERS = (
    "Assets/Movies",
    "Assets/Images/Spectra",
    "Assets/Images/Scaled",
    "Assets/Volumes/OrthViews",
    "Assets/TemplateMatching",
    "Assets/PhaseDifferenceImages",
    "Assets/CTF",
    "Assets/ParticlePosition",
    "Assets/ParticleStacks",
    "Assets/ClassAverages",
    "Assets/Parameters",
)
OWN_FOLDERS = ("Jobs", "Scratch", "Trash", ".verglas/mailbox")
PROJECT_FILE = ".verglas/project.json"


@dataclass(frozen=True)
class ProjectFile:
    """What ``.verglas/project.json`` says: name, identity, and where the database is kept.

    Attributes
    ----------
    name
        Name of the project; the database is called after it.
    id
        Unique to this project; a copy gets another one.
    database
        Absolute path of a database kept elsewhere, or None for ``<name>.db`` in the project folder.
    """

    name: str
    id: str
    database: str | None = None
    created_by: str = f"verglas {__version__}"
    format: int = FORMAT

    def with_new_id(self, name: str, database: Path | None) -> ProjectFile:
        """Return what a copy of this project says."""
        place = None if database is None else str(database.resolve())
        return replace(self, name=name, id=uuid.uuid4().hex, database=place)


class Layout:
    """The places of one project.

    Parameters
    ----------
    folder
        The project folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.jobs = self.folder / "Jobs"
        self.scratch = self.folder / "Scratch"
        self.trash = self.folder / "Trash"
        self.hidden = self.folder / ".verglas"
        self.mailbox = self.hidden / "mailbox"
        self.backups = self.hidden / "backups"
        self.journal = self.folder / "journal.jsonl"
        self.project_file = self.folder / PROJECT_FILE

    def read(self) -> ProjectFile:
        """Read the project file.

        Raises
        ------
        NotFoundError
            The folder is no project.
        ProjectError
            The file is damaged, or a newer verglas wrote it.
        """
        try:
            content = json.loads(self.project_file.read_text())
        except FileNotFoundError:
            raise NotFoundError(
                f"{self.folder} is not a verglas project: it has no {PROJECT_FILE}. "
                "Go to a project folder, name one with --project, or make one with `verglas new`."
            ) from None
        except (OSError, ValueError) as error:
            raise ProjectError(
                f"{self.project_file} cannot be read ({error}). Restore it from a backup; it holds name and id."
            ) from error
        if content.get("format", 0) > FORMAT:
            raise ProjectError(
                f"{self.folder} was made by a newer verglas ({content.get('created_by')}). "
                "Upgrade this verglas to open it; nothing was changed."
            )
        known = {key: content[key] for key in ProjectFile.__dataclass_fields__ if key in content}
        return ProjectFile(**known)

    def write(self, content: ProjectFile) -> None:
        """Write the project file whole."""
        write_json(self.project_file, asdict(content))

    def make_folders(self) -> None:
        """Create whatever folder of the tree is missing."""
        for name in (*ASSET_FOLDERS, *OWN_FOLDERS):
            (self.folder / name).mkdir(parents=True, exist_ok=True)

    def database(self, content: ProjectFile) -> Path:
        """Return where the database is."""
        return Path(content.database) if content.database else self.folder / f"{content.name}.db"

    def stored(self, path: Path) -> str:
        """Return a path as the project remembers it: relative inside the project folder, absolute outside."""
        whole = path if path.is_absolute() else self.folder / path
        whole = whole.parent.resolve() / whole.name
        return str(whole.relative_to(self.folder)) if whole.is_relative_to(self.folder) else str(whole)

    def absolute(self, stored: str) -> Path:
        """Return the absolute path of a remembered one."""
        return self.folder / stored


def find_project(start: Path) -> Path:
    """Return the project folder that ``start`` is in.

    Raises
    ------
    NotFoundError
        Neither the folder nor one above it is a project.
    """
    for folder in (start.resolve(), *start.resolve().parents):
        if (folder / PROJECT_FILE).is_file():
            return folder
    raise NotFoundError(
        f"{start} is not in a verglas project. Go to a project folder, name one with --project, "
        "or make one with `verglas new`."
    )


def check_name(name: str) -> str:
    """Return a project's name, or say why it cannot be one.

    Raises
    ------
    InputError
        The name is empty, starts with a dot or contains a slash.
    """
    if not name or name.startswith(".") or any(letter in name for letter in "/\\\0\n"):
        raise InputError(f"{name!r} cannot name a project: use letters, digits, blanks, dots and dashes.")
    return name

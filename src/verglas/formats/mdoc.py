"""SerialEM's ``.mdoc`` files: global entries, titles and one section an image."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from verglas.errors import FormatError
from verglas.formats.atomic_write import write_whole

SECTION = re.compile(r"\[\s*(\w+)\s*=\s*(.*?)\s*\]\Z")


@dataclass
class MdocSection:
    """One section: its kind (``ZValue``, ``FrameSet`` ...), its value and its entries in order."""

    kind: str
    value: str
    entries: dict[str, str] = field(default_factory=dict)

    def numbers(self, key: str) -> list[float]:
        """Return an entry as numbers (``StagePosition`` has two); KeyError where there is none, ValueError for text."""
        return [float(word) for word in self.entries[key].split()]


@dataclass
class Mdoc:
    """A whole file: entries before the first section, titles (lines ``[T = ...]``) and sections."""

    entries: dict[str, str] = field(default_factory=dict)
    titles: list[str] = field(default_factory=list)
    sections: list[MdocSection] = field(default_factory=list)


def read_mdoc(path: str | os.PathLike[str]) -> Mdoc:
    """Read an ``.mdoc`` file.

    Raises
    ------
    FormatError
        The file is empty, no text, or a line is neither ``key = value`` nor ``[kind = value]``.
    """
    name = str(path)
    try:
        lines = Path(path).read_bytes().decode("utf-8", errors="strict").splitlines()
    except UnicodeDecodeError:
        lines = Path(path).read_bytes().decode("latin-1").splitlines()
    mdoc = Mdoc()
    entries = mdoc.entries
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if "\0" in text:
            raise FormatError(name, f"line {number}: this is no text file.", "Choose an .mdoc file.")
        if not text:
            continue
        section = SECTION.match(text)
        key, equals, value = text.partition("=")
        if section and section[1] == "T":
            mdoc.titles.append(section[2])
        elif section:
            mdoc.sections.append(MdocSection(section[1], section[2]))
            entries = mdoc.sections[-1].entries
        elif equals and re.fullmatch(r"[\w./-]+", key.strip()):
            entries[key.strip()] = value.strip()
        else:
            raise FormatError(name, f"line {number}: {text[:60]!r} is neither an entry nor a section.")
    if not mdoc.sections and not mdoc.entries:
        raise FormatError(name, "the file is empty.", "Copy it again.")
    return mdoc


def write_mdoc(mdoc: Mdoc, path: str | os.PathLike[str]) -> None:
    """Write an ``.mdoc`` file."""
    lines = [f"{key} = {value}" for key, value in mdoc.entries.items()] + [""]
    for title in mdoc.titles:
        lines += [f"[T = {title}]", ""]
    for section in mdoc.sections:
        lines += [f"[{section.kind} = {section.value}]"]
        lines += [f"{key} = {value}" for key, value in section.entries.items()] + [""]
    with write_whole(path) as temporary:
        temporary.write_text("\n".join(lines), "utf-8")

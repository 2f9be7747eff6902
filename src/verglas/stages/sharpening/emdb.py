"""A folder that holds what the Electron Microscopy Data Bank asks for when a map is deposited."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from verglas.formats import write_whole

NAMES = {
    "map": "primary_map.mrc",
    "half_map_1": "half_map_1.mrc",
    "half_map_2": "half_map_2.mrc",
    "mask": "mask.mrc",
    "fsc_xml": "fsc.xml",
    "picture": "picture.png",
}


def fsc_xml(frequency_per_A: Any, fsc: Any, title: str) -> str:
    """Return a correlation in the XML that EMDB's deposition takes.

    Parameters
    ----------
    frequency_per_A, fsc
        Shape (shells,); shell 0 is written too.
    title
        Which curve this is.
    """
    root = ElementTree.Element("fsc", {"title": title, "xaxis": "Resolution (A-1)", "yaxis": "Correlation Coefficient"})
    for x, y in zip(frequency_per_A, fsc, strict=True):
        point = ElementTree.SubElement(root, "coordinate")
        ElementTree.SubElement(point, "x").text = f"{float(x):.6f}"
        ElementTree.SubElement(point, "y").text = f"{float(y):.6f}"
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def write_emdb_folder(folder: Path, files: dict[str, Path], values: dict[str, Any]) -> dict[str, Path]:
    """Copy a sharpened map and what belongs to it into a folder, under names that say what each is.

    Parameters
    ----------
    folder
        Made where it is not there.
    files
        ``map``, ``half_map_1``, ``half_map_2``, ``mask``, ``fsc_xml`` and ``picture``, those that there are.
    values
        Figures for ``about.json``.

    Returns
    -------
    dict
        Path of each copy; ``about`` is the list of figures.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made: dict[str, Path] = {}
    for role, name in NAMES.items():
        if role in files:
            made[role] = folder / name
            with write_whole(made[role]) as temporary:
                shutil.copyfile(files[role], temporary)
    made["about"] = folder / "about.json"
    with write_whole(made["about"]) as temporary:
        temporary.write_text(json.dumps(values, indent=1) + "\n")
    return made

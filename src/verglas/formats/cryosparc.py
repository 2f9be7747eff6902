"""cryoSPARC's ``.cs`` tables, with their passthrough tables, to and from the particle table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.errors import FormatError
from verglas.formats.atomic_write import write_whole
from verglas.formats.npy import read_npy
from verglas.formats.particle_table import COLUMNS, OpticsGroup, ParticleTable
from verglas.formats.rotation_vectors import eulers_from_rotation_vectors, rotation_vectors_from_eulers
from verglas.formats.star import PathLike
from verglas.formats.units import to_degrees, to_radians

# Fields that are one column of the table as they are.
PLAIN = {
    "blob/psize_A": "pixel_size_A",
    "ctf/accel_kv": "voltage_kV",
    "ctf/cs_mm": "spherical_aberration_mm",
    "ctf/amp_contrast": "amplitude_contrast",
    "ctf/df1_A": "defocus_u_A",
    "ctf/df2_A": "defocus_v_A",
}
RADIANS = {"ctf/df_angle_rad": "defocus_angle_deg", "ctf/phase_shift_rad": "phase_shift_deg"}
# Fields that are written from the table's columns and so are not kept beside them.
REBUILT = {
    *PLAIN,
    *RADIANS,
    "blob/path",
    "blob/idx",
    "ctf/exp_group_id",
    "location/micrograph_path",
    "location/center_x_frac",
    "location/center_y_frac",
}
CARRIED = (
    *("position", "reference_name", "coordinate_x_px", "coordinate_y_px", "rot_deg", "tilt_deg", "psi_deg"),
    *("image_shift_x", "image_shift_y", "particle_group", "active", "occupancy", "log_likelihood", "sigma", "score"),
    *("score_change", "pre_exposure", "total_exposure", "half_set", "class_number", "origin_x_A", "origin_y_A"),
)
PATH_MARKED = "verglas/path_marked"
HANDLED = frozenset(("rot_deg", "tilt_deg", "psi_deg", "half_set", "class_number", "origin_x_A", "origin_y_A"))


def read_cryosparc(path: PathLike, passthrough: Sequence[PathLike] = ()) -> ParticleTable:
    """Read particles from a ``.cs`` file.

    Parameters
    ----------
    path
        The file.
    passthrough
        Further files of the same job whose fields complete it, joined by ``uid``.

    Raises
    ------
    FormatError
        A file is damaged, holds pickled objects, or lacks a particle of the first one.

    Notes
    -----
    Rotation vectors become ZYZ angles, section numbers start at 1, splits 0 and 1 become half sets 1 and 2 (where both
    occur), classes start at 1. Fields without a column of their own are kept under their names.
    """
    name = str(path)
    fields = fields_of(name)
    for other in passthrough:
        for field, values in joined(name, fields["uid"], str(other)).items():
            fields.setdefault(field, values)
    count = len(fields["uid"])
    table = ParticleTable.empty(count)
    for field, column in PLAIN.items():
        if field in fields:
            table[column] = finite(name, field, fields[field])
    for field, column in RADIANS.items():
        if field in fields:
            table[column] = to_degrees(finite(name, field, fields[field]))
    kept = {field: values for field, values in fields.items() if field not in REBUILT}
    if "blob/path" in fields:
        paths = decoded(name, fields["blob/path"])
        table.set_names("image_name", [word.removeprefix(">") for word in paths])
        if any(word.startswith(">") for word in paths):
            kept[PATH_MARKED] = np.array([word.startswith(">") for word in paths], np.int64)
    if "blob/idx" in fields:
        table["image_section"] = whole(name, "blob/idx", fields["blob/idx"]) + 1
    read_location(name, table, fields)
    read_poses(name, table, fields)
    read_groups(name, table, fields)
    if "ctf/tilt_A" in fields and table["spherical_aberration_mm"].all():
        tilt_A = finite(name, "ctf/tilt_A", fields["ctf/tilt_A"], (2,))
        sine = np.clip(tilt_A / (table["spherical_aberration_mm"][:, None] * 1e7), -1, 1)
        # Its sign is RELION's, ours cisTEM's.
        table["beam_tilt_x_mrad"], table["beam_tilt_y_mrad"] = 0.0 - 1e3 * np.arcsin(sine.T)
    for field, values in kept.items():
        column = field.removeprefix("verglas/")
        if field == column or column not in COLUMNS:
            continue
        if table.is_text(column):
            table.set_names(column, decoded(name, values))
        else:
            table[column] = finite(name, field, values)
    extra = {own_name(field): values for field, values in kept.items() if own_name(field) not in COLUMNS}
    table.add_columns({column: values for column, values in extra.items() if values.dtype.kind not in "SU"})
    for column, values in extra.items():
        if values.dtype.kind in "SU":
            table.set_names(column, decoded(name, values))
    return table


def own_name(field: str) -> str:
    """Return the name of the additional column that a field becomes."""
    return field if field == PATH_MARKED else field.removeprefix("verglas/")


def fields_of(path: str) -> dict[str, NDArray[Any]]:
    """Return the fields of a ``.cs`` file."""
    array = read_npy(path)
    if array.dtype.names is None or array.ndim != 1 or "uid" not in array.dtype.names:
        raise FormatError(path, "this is no cryoSPARC table: it has no field uid.", "Choose a .cs file of particles.")
    fields = {name: array[name] for name in array.dtype.names}
    for name, values in fields.items():
        if values.dtype.kind not in "fiubSU":
            raise FormatError(path, f"the field {name} has the type {values.dtype}.", "The file is damaged.")
    if fields["uid"].dtype.kind not in "iu" or fields["uid"].ndim != 1:
        raise FormatError(path, "the field uid holds no whole numbers.", "The file is damaged.")
    return fields


def joined(path: str, uid: NDArray[Any], other: str) -> dict[str, NDArray[Any]]:
    """Return the fields of a passthrough file in the order of the particles ``uid``."""
    fields = fields_of(other)
    order = np.argsort(fields["uid"], kind="stable")
    known = fields["uid"][order]
    if len(known) > 1 and (known[1:] == known[:-1]).any():
        raise FormatError(other, "two particles have the same uid.", "Export the passthrough table again.")
    places = np.searchsorted(known, uid)
    present = places < len(known)
    present[present] = known[places[present]] == uid[present]
    if not present.all():
        raise FormatError(other, f"{int((~present).sum())} of the {len(uid)} particles of {path} are not in it.")
    return {name: values[order[places]] for name, values in fields.items()}


def finite(path: str, field: str, values: NDArray[Any], shape: tuple[int, ...] = ()) -> NDArray[np.float64]:
    """Return a field as float64, or say that it is no finite number of that shape."""
    if values.dtype.kind not in "fiub" or values.shape[1:] != shape:
        raise FormatError(path, f"the field {field} has the type {values.dtype} {values.shape[1:]}.")
    real = values.astype(np.float64)
    if not np.isfinite(real).all():
        row = int(np.argmin(np.isfinite(real).reshape(len(real), -1).all(axis=1)))
        raise FormatError(path, f"particle {row + 1}: {field} is {values[row]}.", "Remove that particle.")
    return real


def whole(path: str, field: str, values: NDArray[Any]) -> NDArray[np.int64]:
    """Return a field as whole numbers that fit into the table."""
    if values.dtype.kind not in "iub" or values.ndim != 1 or (len(values) and int(values.max()) >= 2**31 - 1):
        raise FormatError(path, f"the field {field} holds no usable whole numbers.", "The file is damaged.")
    return values.astype(np.int64)


def decoded(path: str, values: NDArray[Any]) -> list[str]:
    """Return a field of text as strings."""
    if values.dtype.kind not in "SU" or values.ndim != 1:
        raise FormatError(path, "a path is not text.", "The file is damaged.")
    try:
        return [word.decode() if isinstance(word, bytes) else word for word in values.tolist()]
    except UnicodeDecodeError:
        raise FormatError(path, "a path is not text in UTF-8.", "The file is damaged.") from None


def read_location(path: str, table: ParticleTable, fields: dict[str, NDArray[Any]]) -> None:
    """Fill micrograph and coordinates: fractions of a shape that is given as (rows, columns)."""
    if "location/micrograph_path" in fields:
        words = decoded(path, fields["location/micrograph_path"])
        table.set_names("micrograph", [word.removeprefix(">") for word in words])
    if "location/micrograph_shape" in fields and "location/center_x_frac" in fields:
        shape = finite(path, "location/micrograph_shape", fields["location/micrograph_shape"], (2,))
        for axis, k in (("x", 1), ("y", 0)):
            field = f"location/center_{axis}_frac"
            if field in fields:
                table[f"coordinate_{axis}_px"] = finite(path, field, fields[field]) * shape[:, k]


def read_poses(path: str, table: ParticleTable, fields: dict[str, NDArray[Any]]) -> None:
    """Fill angles, origins, half sets and classes from 3D alignments, or else 2D."""
    source = next((s for s in ("alignments3D", "alignments2D") if f"{s}/pose" in fields), None)
    if source is None:
        return
    pose = fields[f"{source}/pose"]
    if source == "alignments3D":
        angles = eulers_from_rotation_vectors(finite(path, f"{source}/pose", pose, (3,)))
        table["rot_deg"], table["tilt_deg"], table["psi_deg"] = angles.T
    else:
        table["psi_deg"] = to_degrees(finite(path, f"{source}/pose", pose))
    if f"{source}/shift" in fields:
        shift_px = finite(path, f"{source}/shift", fields[f"{source}/shift"], (2,))
        pixel_A = finite(path, f"{source}/psize_A", fields.get(f"{source}/psize_A", table["pixel_size_A"]))
        if shift_px.any() and not (pixel_A > 0).all() and "verglas/origin_x_A" not in fields:
            raise FormatError(path, "shifts are in pixels, and no pixel size is given.", "Add the passthrough file.")
        table["origin_x_A"], table["origin_y_A"] = (shift_px * pixel_A[:, None]).T
    split = fields.get(f"{source}/split")
    if split is not None and len(split):
        numbers = whole(path, f"{source}/split", split)
        if numbers.min() == 0 and numbers.max() == 1:
            table["half_set"] = numbers + 1
    if f"{source}/class" in fields:
        table["class_number"] = whole(path, f"{source}/class", fields[f"{source}/class"]) + 1


def read_groups(path: str, table: ParticleTable, fields: dict[str, NDArray[Any]]) -> None:
    """Number cryoSPARC's exposure groups from 1 as optics groups."""
    numbers = whole(path, "ctf/exp_group_id", fields.get("ctf/exp_group_id", np.zeros(len(table), np.int64)))
    different, which = np.unique(numbers, return_inverse=True)
    table["optics_group"] = which.reshape(-1) + 1
    shape = fields.get("blob/shape")
    sign = fields.get("blob/sign")
    table.optics = []
    for k, number in enumerate(different.tolist()):
        first = int(np.argmax(which.reshape(-1) == k))
        size = int(shape[first][1]) if shape is not None and shape.ndim == 2 else 0
        inverted = None if sign is None or sign.ndim != 1 else bool(sign[first] > 0)
        extra = {"ctf/exp_group_id": str(number)}
        table.optics.append(OpticsGroup(k + 1, f"opticsGroup{k + 1}", size, 0.0, inverted, extra))
    table.optics = table.optics or [OpticsGroup()]


def write_cryosparc(table: ParticleTable, path: PathLike) -> None:
    """Write a table as ``.cs`` file, with fields that cryoSPARC lacks under ``verglas/``.

    A table that did not come from cryoSPARC gets uids from its row numbers.
    """
    count = len(table)
    fields: dict[str, NDArray[Any]] = {"uid": table["uid"] if "uid" in table else uids(count)}
    groups = {group.number: group for group in table.optics}
    marked = table[PATH_MARKED] if PATH_MARKED in table else np.zeros(count, np.int64)
    if (table["image_name"] >= 0).any():
        words = [(">" if mark else "") + word for mark, word in zip(marked.tolist(), table.names_of("image_name"))]
        fields["blob/path"] = encoded(words)
        fields["blob/idx"] = np.maximum(table["image_section"] - 1, 0).astype(np.uint32)
        size = per_group(table, {n: g.image_size_px for n, g in groups.items()})
        fields["blob/shape"] = np.stack([size, size], axis=1).astype(np.uint32)
        fields["blob/sign"] = per_group(
            table, {n: -1 if g.contrast_inverted is False else 1 for n, g in groups.items()}
        )
        fields["blob/sign"] = fields["blob/sign"].astype(np.float32)
    given = {n: g.extra.get("ctf/exp_group_id", "") for n, g in groups.items()}
    numbers = {n: int(word) if word.isascii() and word.isdigit() and len(word) < 10 else n for n, word in given.items()}
    fields["ctf/exp_group_id"] = per_group(table, numbers).astype(np.uint32)
    fields |= {field: table[column].astype(np.float32) for field, column in PLAIN.items()}
    fields |= {field: to_radians(table[column]).astype(np.float32) for field, column in RADIANS.items()}
    tilt = np.stack([table["beam_tilt_x_mrad"], table["beam_tilt_y_mrad"]], axis=1)
    cs_A = table["spherical_aberration_mm"][:, None] * 1e7
    fields["ctf/tilt_A"] = (0.0 - np.sin(tilt * 1e-3) * cs_A).astype(np.float32)
    for name in table.extra_columns:
        if name in fields and name not in {"blob/shape", "blob/sign"}:
            continue
        is_native = "/" in name
        label = name if is_native else f"verglas/{name}"
        if label != PATH_MARKED:
            fields[label] = encoded(table.names_of(name)) if table.is_text(name) else table[name]
    write_poses(table, fields)
    write_location(table, fields)
    dtype = np.dtype([(name, values.dtype, values.shape[1:]) for name, values in fields.items()])
    array = np.empty(count, dtype)
    for name, values in fields.items():
        array[name] = values
    with write_whole(path) as temporary, temporary.open("wb") as file:
        np.lib.format.write_array(file, array, allow_pickle=False)


def write_poses(table: ParticleTable, fields: dict[str, NDArray[Any]]) -> None:
    """Add the alignment, and exact angles where the rotation vector cannot hold them."""
    source = "alignments2D" if "alignments2D/pose" in table and "alignments3D/pose" not in table else "alignments3D"
    angles = np.stack([table["rot_deg"], table["tilt_deg"], table["psi_deg"]], axis=1)
    pixel_A = table["pixel_size_A"].astype(np.float32)
    if f"{source}/psize_A" in table:
        pixel_A = table[f"{source}/psize_A"].astype(np.float32)
    divisor = np.where(pixel_A > 0, pixel_A, 1).astype(np.float64)
    shift = np.stack([table["origin_x_A"], table["origin_y_A"]], axis=1) / divisor[:, None]
    if source == "alignments3D":
        given = fields.get(f"{source}/pose")
        vectors = rotation_vectors_from_eulers(angles)
        if given is not None:
            unchanged = (eulers_from_rotation_vectors(given.astype(np.float64)) == angles).all(axis=1)
            vectors = np.where(unchanged[:, None], given, vectors)
        fields[f"{source}/pose"] = vectors.astype(np.float32)
        kept = eulers_from_rotation_vectors(fields[f"{source}/pose"].astype(np.float64))
        exact = (kept == angles).all()
    else:
        fields[f"{source}/pose"] = to_radians(table["psi_deg"]).astype(np.float32)
        exact = not table["rot_deg"].any() and not table["tilt_deg"].any()
    if not exact:
        fields |= {f"verglas/{column}": table[column] for column in ("rot_deg", "tilt_deg", "psi_deg")}
    fields[f"{source}/shift"] = shift.astype(np.float32)
    fields[f"{source}/psize_A"] = pixel_A
    if shift.any() and not (pixel_A > 0).all():
        fields |= {f"verglas/{column}": table[column] for column in ("origin_x_A", "origin_y_A")}
    if table["half_set"].any():
        fields[f"{source}/split"] = np.maximum(table["half_set"] - 1, 0).astype(np.uint32)
        fields["verglas/half_set"] = table["half_set"]
    if table["class_number"].any():
        fields[f"{source}/class"] = np.maximum(table["class_number"] - 1, 0).astype(np.uint32)
        fields["verglas/class_number"] = table["class_number"]
    for column in CARRIED:
        if column not in HANDLED and not table.is_default(column):
            values = encoded(table.names_of(column)) if table.is_text(column) else table[column]
            fields[f"verglas/{column}"] = values


def write_location(table: ParticleTable, fields: dict[str, NDArray[Any]]) -> None:
    """Add micrograph and coordinates as fractions of its shape, where the shape is known."""
    if (table["micrograph"] >= 0).any():
        fields["location/micrograph_path"] = encoded(table.names_of("micrograph"))
    if "location/micrograph_shape" in table:
        shape = np.maximum(table["location/micrograph_shape"].astype(np.float64), 1)
        fields["location/center_x_frac"] = (table["coordinate_x_px"] / shape[:, 1]).astype(np.float32)
        fields["location/center_y_frac"] = (table["coordinate_y_px"] / shape[:, 0]).astype(np.float32)


def per_group(table: ParticleTable, values: dict[int, int]) -> NDArray[np.int64]:
    """Return for every particle the value of its optics group."""
    different, which = np.unique(table["optics_group"], return_inverse=True)
    return np.array([values.get(number, number) for number in different.tolist()] or [0], np.int64)[which.reshape(-1)]


def encoded(words: list[str]) -> NDArray[np.bytes_]:
    """Return strings as fixed-length bytes in UTF-8."""
    return np.array([word.encode() for word in words] or [b""], dtype=np.bytes_)[: len(words)]


def uids(count: int) -> NDArray[np.uint64]:
    """Return different 64-bit numbers that look random (SplitMix64 of the row)."""
    state = (np.arange(1, count + 1, dtype=np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(state ^ (state >> np.uint64(31)), np.uint64)

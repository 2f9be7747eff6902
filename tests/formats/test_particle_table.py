"""The particle table: columns, names, joining, saving."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from tests.formats.tables import differing, full_table
from verglas.errors import FormatError, InputError
from verglas.formats import COLUMNS, OpticsGroup, ParticleTable
from verglas.formats.particle_table import DTYPE


def test_an_empty_table_has_all_defaults() -> None:
    table = ParticleTable.empty(3, {"rot_deg": [1, 2, 370]})
    assert table["rot_deg"].tolist() == [1.0, 2.0, 370.0]
    assert all(table.is_default(name) for name in COLUMNS if name != "rot_deg")
    assert len(table) == 3
    with pytest.raises(InputError, match="no column 'rot'"):
        table["rot"]


def test_names_selection_and_own_columns() -> None:
    table = full_table(8)
    table.add_column("b_factor", np.arange(8.0))
    table.set_names("picker", ["x", "", "x", "y"] * 2)
    part = table.select(table["half_set"] == 1)
    assert part.names_of("micrograph") == [f"m{k // 4}.mrc" for k in range(8) if table["half_set"][k] == 1]
    assert part["b_factor"].tolist() == np.flatnonzero(table["half_set"] == 1).tolist()
    part["rot_deg"] = 0
    assert table["rot_deg"].any()
    assert table.names_of("picker")[:4] == ["x", "", "x", "y"]
    with pytest.raises(InputError, match="one number a particle"):
        table.add_column("c", np.zeros(3))


def test_joining_keeps_names_groups_and_columns() -> None:
    a, b = full_table(6, 1), full_table(5, 2)
    a.optics = [OpticsGroup(1, "one"), OpticsGroup(2, "two")]
    b.optics = [OpticsGroup(1, "two"), OpticsGroup(2, "three")]
    a.add_column("weight", np.arange(6.0))
    b.set_names("picker", list("vwxyz"))
    joined = ParticleTable.concatenate([a, b])
    assert [group.name for group in joined.optics] == ["one", "two", "three"]
    names = {group.number: group.name for group in joined.optics}
    expected = ["one", "two"] * 3 + ["two", "three"] * 2 + ["two"]
    assert [names[number] for number in joined["optics_group"].tolist()] == expected
    assert joined.names_of("micrograph") == a.names_of("micrograph") + b.names_of("micrograph")
    assert joined["weight"].tolist() == [0, 1, 2, 3, 4, 5, 0, 0, 0, 0, 0]
    assert joined.names_of("picker") == [""] * 6 + list("vwxyz")
    assert len(ParticleTable.concatenate([])) == 0


def test_saving_and_mapping(tmp_path: Path) -> None:
    table = full_table(20)
    table.optics = [OpticsGroup(1, "a", 256, 1.5, True, {"rlnMtfFileName": "k3.star"}), OpticsGroup(2, "b")]
    table.add_column("vector", np.arange(40.0).reshape(20, 2))
    table.save(tmp_path / "t.npy")
    again = ParticleTable.load(tmp_path / "t.npy")
    assert isinstance(again.particles, np.memmap)
    assert not again.particles.flags.writeable
    assert differing(table, again) == []
    assert again.optics == table.optics
    plain = np.load(tmp_path / "t.npy", allow_pickle=False)
    assert np.array_equal(plain["rot_deg"], table["rot_deg"])
    assert len(ParticleTable.load(tmp_path / "t.npy", memory_map=False).copy()) == 20
    ParticleTable.empty(0).save(tmp_path / "e.npy")
    assert len(ParticleTable.load(tmp_path / "e.npy")) == 0


def test_missing_columns_get_their_defaults(tmp_path: Path) -> None:
    table = full_table(4)
    kept = [name for name in COLUMNS if name not in {"occupancy", "active", "reference_name"}]
    table.particles = np.array(table.particles[kept].tolist(), dtype=[(name, DTYPE[name]) for name in kept])
    table.save(tmp_path / "old.npy")
    again = ParticleTable.load(tmp_path / "old.npy")
    assert again["occupancy"].tolist() == [100.0] * 4
    assert again["active"].tolist() == [1] * 4
    assert again.names_of("reference_name") == [""] * 4
    assert np.array_equal(again["rot_deg"], table["rot_deg"])


def test_bad_files_of_tables(tmp_path: Path, rng: np.random.Generator) -> None:
    full_table(10).save(tmp_path / "t.npy")
    content = (tmp_path / "t.npy").read_bytes()
    bad = tmp_path / "bad.npy"
    for end in (0, 1, 20, 200, len(content) // 2, len(content) - 1):
        bad.write_bytes(content[:end])
        with pytest.raises(FormatError, match=r"bad\.npy"):
            ParticleTable.load(bad)
    bad.write_bytes(content.replace(b'"schema_version": 1', b'"schema_version": 9'))
    with pytest.raises(FormatError, match="newer verglas"):
        ParticleTable.load(bad)
    np.save(bad, np.zeros(3))
    with pytest.raises(FormatError):
        ParticleTable.load(bad)
    header = content[:3000]
    for _ in range(1500):
        raw = bytearray(content)
        raw[int(rng.integers(0, len(header)))] = int(rng.integers(0, 256))
        bad.write_bytes(raw)
        try:
            ParticleTable.load(bad)
        except FormatError as error:
            assert "bad.npy" in str(error)


def test_names_beyond_the_side_table_are_refused(tmp_path: Path) -> None:
    table = full_table(3)
    table["micrograph"] = 99
    table.save(tmp_path / "t.npy")
    with pytest.raises(FormatError, match="beyond"):
        ParticleTable.load(tmp_path / "t.npy")


class Trap:
    """What a pickle could run."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('a pickle ran')",)


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.array([Trap()], dtype=object), allow_pickle=True)
    table = full_table(2)
    table.save(tmp_path / "t.npy")
    trailer = (tmp_path / "t.npy").read_bytes()[-2000:]
    bad = tmp_path / "trap.npy"
    bad.write_bytes(buffer.getvalue() + trailer)
    for memory_map in (True, False):
        with pytest.raises(FormatError):
            ParticleTable.load(bad, memory_map=memory_map)

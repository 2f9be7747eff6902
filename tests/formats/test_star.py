"""STAR files: reading, writing, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.oracles import ask_oracle
from verglas.errors import FormatError, InputError
from verglas.formats import Block, Loop, TextColumn, read_star, write_star


def star(folder: Path, text: str) -> Path:
    path = folder / "t.star"
    path.write_text(text)
    return path


def test_blocks_items_loops_comments_and_quotes(tmp_path: Path) -> None:
    blocks = read_star(
        star(
            tmp_path,
            "# first\ndata_general\r\n_a 1 # note\n_b 'two words'\n\ndata_\nloop_\n_x #1\n_y #2 [what]\n# heading\n"
            "1\t\"it's\"\n 2.5e1   'a''b' # end\n\nloop_\n_z\n_k\ndata_1.mrc nan\n",
        )
    )
    assert [block.name for block in blocks] == ["general", ""]
    assert blocks[0].items == {"a": "1", "b": "two words"}
    first = blocks[1].loops[0]
    assert first.labels == ["x", "y"]
    assert first.floats("x").tolist() == [1.0, 25.0]
    assert first.text("y").tolist() == ["it's", "a''b"]
    assert blocks[1].loops[1].text("z").tolist() == ["data_1.mrc"]


def test_kinds_of_columns(tmp_path: Path) -> None:
    loop = read_star(star(tmp_path, "data_\nloop_\n_i\n_r\n_t\n_n\n_m\n1 1 1 1 9223372036854775807\n2 2.5 b nan -3\n"))[
        0
    ].loops[0]
    assert loop.column("i").dtype == np.int64  # type: ignore[union-attr]
    assert loop.column("r").dtype == np.float64  # type: ignore[union-attr]
    assert isinstance(loop.column("t"), TextColumn)
    assert np.isnan(loop.floats("n")[1])
    assert loop.integers("m").tolist() == [9223372036854775807, -3]
    with pytest.raises(FormatError, match=r"t\.star: line 9: _n is nan"):
        loop.floats("n", finite=True)
    with pytest.raises(FormatError, match=r"line 9: 'b' in column _t is no number"):
        loop.floats("t")
    with pytest.raises(FormatError, match="no whole number"):
        loop.integers("r")


def test_sections_are_split_from_names(tmp_path: Path) -> None:
    loop = read_star(star(tmp_path, "data_\nloop_\n_i\n000001@a.mrcs\n12@a.mrcs\nb@c\n7@d@e\n"))[0].loops[0]
    column = loop.text("i", sections=True)
    assert column.sections is not None
    assert column.sections.tolist() == [1, 12, -1, 7]
    assert [column.names[k] for k in column.indices] == ["a.mrcs", "a.mrcs", "b@c", "d@e"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty"),
        ("\0\1\2", "no text file"),
        ("\n\n", "no data_ block"),
        ("hello\n", "line 1: a STAR file begins with data_"),
        ("data_\nloop_\n", "line 3: a loop without labels|without labels"),
        ("data_\nloop_\n_a\n_b\n1 2\n1 2 3\n", "line 6: 3 values where the loop has 2 labels"),
        ("data_\nloop_\n_a\n_b\n1 2\n1\n", "line 6: 1 values where the loop has 2 labels"),
        ("data_\nloop_\n_a\n'open\n", "line 4: a quoted value is not closed"),
        ("data_\nloop_\n_a\n;text\n;\n", "line 4: text fields"),
        ("data_\nloop_\n_a\n_a\n1 2\n", "line 4: the label _a is given twice"),
        ("data_\n_a 1\n_a 2\n", "line 3: _a is given twice"),
        ("data_\n_a 1 2\n", "line 2: expected"),
        ("data_\n_a\n", "line 2: expected"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(FormatError, match=problem) as caught:
        read_star(star(tmp_path, text))
    assert "t.star" in str(caught.value)


def test_text_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "t.star"
    path.write_bytes(b"data_\nloop_\n_a\n_b\n1 \xff\xfe\n")
    with pytest.raises(FormatError, match="UTF-8"):
        read_star(path)[0].loops[0].text("b")


words = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=0, max_size=12)
plain_words = words.filter(lambda w: not ("'" in w and '"' in w))


@given(
    st.lists(
        st.tuples(st.floats(), st.integers(-(2**62), 2**62), plain_words, st.integers(0, 999_999)),
        min_size=1,
        max_size=20,
    )
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_values_come_back(tmp_path: Path, rows: list[tuple[float, int, str, int]]) -> None:
    reals, numbers, texts, sections = zip(*rows)
    names = TextColumn(np.arange(len(rows), dtype=np.int32), list(texts), np.array(sections))
    loop = Loop({"r": np.array(reals), "i": np.array(numbers), "t": list(texts), "n": names})
    path = tmp_path / "p.star"
    write_star(path, [Block("b c".replace(" ", ""), {"item": texts[0]}, [loop])])
    block = read_star(path)[0]
    again = block.loops[0]
    assert block.items == {"item": texts[0]}
    assert np.array_equal(again.floats("r"), np.array(reals), equal_nan=True)
    assert again.integers("i").tolist() == list(numbers)
    assert again.text("t").tolist() == list(texts)
    if all(texts):
        split = again.text("n", sections=True)
        assert split.sections is not None
        assert split.sections.tolist() == list(sections)
        assert [split.names[k] for k in split.indices] == list(texts)


def test_a_table_that_was_read_is_written_the_same(tmp_path: Path) -> None:
    path = star(tmp_path, "data_x\nloop_\n_a\n_b\n_c\n1 0.5 'q r'\n-2 1.25e-7 s\n")
    write_star(tmp_path / "o.star", read_star(path))
    again = read_star(tmp_path / "o.star")[0].loops[0]
    assert again.integers("a").tolist() == [1, -2]
    assert again.floats("b").tolist() == [0.5, 1.25e-7]
    assert again.text("c").tolist() == ["q r", "s"]


def test_what_cannot_be_written_is_said() -> None:
    with pytest.raises(InputError, match="line break"):
        write_star("unused.star", [Block("a", {"b": "x\ny"})])
    with pytest.raises(InputError, match="one length"):
        Loop({"a": np.zeros(2), "b": np.zeros(3)})
    assert not Path("unused.star").exists()


def test_starfile_reads_what_we_write(tmp_path: Path, rng: np.random.Generator) -> None:
    values = rng.normal(size=200) * 10.0 ** rng.integers(-8, 8, 200)
    loop = Loop({"rlnA": values, "rlnB": np.arange(200), "rlnC": [f"m {k}.mrc" for k in range(200)]})
    write_star(
        tmp_path / "w.star", [Block("optics", {}, [Loop({"rlnOpticsGroup": [1]})]), Block("particles", {}, [loop])]
    )
    found = ask_oracle(
        """
        import starfile
        table = starfile.read('w.star')['particles']
        answer = {'a': table['rlnA'].to_numpy(float), 'b': table['rlnB'].to_numpy(int),
                  'c': np.array([str(w) for w in table['rlnC']])}
        """,
        tmp_path,
    )
    assert np.array_equal(found["a"], values)
    assert np.array_equal(found["b"], np.arange(200))
    assert found["c"].tolist() == loop.text("rlnC").tolist()


def test_we_read_what_starfile_and_gemmi_read(tmp_path: Path, real_data: Path) -> None:
    for name in ("relion31.6opticsgroups", "sample_particles_relion31", "T20S_10025_ctf_params"):
        path = real_data / "formats" / "star" / f"{name}.star"
        blocks = read_star(path)
        found = ask_oracle(
            """
            import gemmi
            for b, block in enumerate(gemmi.cif.read(str(path))):
                for item in block:
                    if item.loop:
                        for k, tag in enumerate(item.loop.tags):
                            words = [gemmi.cif.as_string(item.loop[r, k]) for r in range(item.loop.length())]
                            answer[f'{b} {tag[1:]}'] = np.array(words)
            """,
            tmp_path,
            path=np.array(str(path)),
        )
        count = 0
        for b, block in enumerate(blocks):
            for loop in block.loops:
                for label in loop.labels:
                    count += 1
                    assert loop.text(label).tolist() == found[f"{b} {label}"].tolist()
                    column = loop.column(label)
                    if isinstance(column, np.ndarray):
                        assert np.array_equal(column, found[f"{b} {label}"].astype(float))
        assert count == len(found)


def test_a_loop_read_in_parts_is_the_same(tmp_path, monkeypatch):
    from verglas.formats import star_rows

    rng = np.random.Generator(np.random.Philox(8))
    lines = [f"{rng.uniform(-9, 9):.6f} {k} name_{k % 7}.mrc" for k in range(300)]
    lines[40:40] = ["", "# a comment", "   "]
    path = tmp_path / "t.star"
    path.write_text("data_a\n\nloop_\n_x\n_y\n_z\n" + "\n".join(lines) + "\n\ndata_b\n\nloop_\n_x\n1\n2\n")
    whole = read_star(path)
    for part_bytes in (1, 37, 1000):
        monkeypatch.setattr(star_rows, "PART_BYTES", part_bytes)
        for threads in (1, 3):
            parts = read_star(path, threads=threads)
            assert [block.name for block in parts] == ["a", "b"]
            for label in "xyz":
                one, other = whole[0].loops[0].column(label), parts[0].loops[0].column(label)
                assert (one.tolist() if label == "z" else list(one)) == (
                    other.tolist() if label == "z" else list(other)
                )
            assert list(parts[1].loops[0].integers("x")) == [1, 2]


def test_an_error_in_a_late_part_names_its_line(tmp_path, monkeypatch):
    from verglas.formats import star_rows

    monkeypatch.setattr(star_rows, "PART_BYTES", 50)
    path = tmp_path / "t.star"
    path.write_text("data_\nloop_\n_x\n_y\n" + "1 2\n" * 100 + "1 2 3\n" + "1 2\n" * 100)
    with pytest.raises(FormatError, match="line 105: 3 values where the loop has 2 labels"):
        read_star(path, threads=2)

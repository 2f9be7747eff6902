"""Maps in the browser: surfaces where the density has its level, the hand of a model kept, the focus sphere."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
from PIL import Image

from tests.server.pages import SIZE, shell
from tests.server.running import Running
from tests.support.browser import tab
from verglas.actions.table import ACTIONS
from verglas.formats import write_mrc
from verglas.project import Project
from verglas.project.import_others import import_volumes

CELL_A = 64.0
ATOMS_A = ((14.0, 24.0, 22.0), (44.0, 20.0, 30.0), (26.0, 46.0, 16.0), (30.0, 30.0, 50.0))
"""Four atoms of which no rotation makes the mirror image."""


def chiral_map(path: Path) -> None:
    """Write the density of the atoms as gemmi has it: a file that another program made, in its own order of axes."""
    structure = gemmi.Structure()
    structure.cell = gemmi.UnitCell(CELL_A, CELL_A, CELL_A, 90, 90, 90)
    model, chain = gemmi.Model(1), gemmi.Chain("A")
    for number, place in enumerate(ATOMS_A, start=1):
        residue, atom = gemmi.Residue(), gemmi.Atom()
        residue.name, residue.seqid = "U", gemmi.SeqId(number, " ")
        atom.name, atom.element, atom.pos, atom.b_iso = "U", gemmi.Element("U"), gemmi.Position(*place), 250.0
        residue.add_atom(atom)
        chain.add_residue(residue)
    model.add_chain(chain)
    structure.add_model(model)
    made = gemmi.DensityCalculatorE()
    made.d_min = 3.0
    made.grid.unit_cell, made.grid.spacegroup = structure.cell, gemmi.SpaceGroup("P 1")
    made.put_model_density_on_grid(structure[0])
    written = gemmi.Ccp4Map()
    written.grid = made.grid
    written.update_ccp4_header(2)
    written.write_ccp4_map(str(path))


def test_vertices_lie_on_the_level_and_the_surface_is_closed(browser: Any, server: Running) -> None:
    context = browser.new_context(viewport=SIZE)
    with tab(context, server.token_address()) as page:
        made = page.evaluate(
            """async () => {
              const { surface } = await import("/map/mesh.js");
              const n = 32, data = new Float32Array(n * n * n), size = [9, 6, 4.5], middle = [15, 16, 14];
              const at = (place) => Math.hypot(...place.map((one, k) => (one - middle[k]) / size[k]));
              for (let z = 0; z < n; z++) for (let y = 0; y < n; y++) for (let x = 0; x < n; x++)
                data[(z * n + y) * n + x] = Math.exp(-2 * at([x, y, z]) ** 2);
              const { positions: p, normals: m, triangles: t } = surface(data, [n, n, n], Math.exp(-2));
              let volume = 0, outward = 0, off = 0;
              const edges = new Map();
              for (let i = 0; i < t.length; i += 3) {
                const [a, b, c] = [t[i], t[i+1], t[i+2]].map((j) => middle.map((one, k) => p[3*j+k] - one));
                volume += (a[0]*(b[1]*c[2]-b[2]*c[1]) - a[1]*(b[0]*c[2]-b[2]*c[0]) + a[2]*(b[0]*c[1]-b[1]*c[0])) / 6;
                for (const [u, v] of [[t[i], t[i+1]], [t[i+1], t[i+2]], [t[i+2], t[i]]])
                  edges.set(`${u} ${v}`, (edges.get(`${u} ${v}`) || 0) + 1);
              }
              for (let j = 0; j < p.length; j += 3) {
                const place = [p[j], p[j+1], p[j+2]];
                outward += place.reduce((sum, one, k) => sum + (one - middle[k]) * m[j+k], 0) > 0 ? 1 : 0;
                off = Math.max(off, Math.abs(at(place) - 1) * 4.5);
              }
              const twin = (name) => name.split(" ").reverse().join(" ");
              const closed = [...edges].every(([name, n]) => n === 1 && edges.has(twin(name)));
              return { volume, outward: outward / (p.length / 3), off, closed };
            }"""
        )
    context.close()
    assert made["closed"] and made["outward"] == 1.0
    assert made["off"] < 0.05  # voxels; the mean of the crossings alone is off by 0.2
    assert 0.98 < made["volume"] / (4 / 3 * np.pi * 9 * 6 * 4.5) < 1.0  # flat faces between points of a round surface


def test_the_hand_of_a_model_is_kept_in_space_and_on_the_screen(browser: Any, server: Running, tmp_path: Path) -> None:
    chiral_map(tmp_path / "chiral.mrc")
    with Project.create(tmp_path / "p") as project:
        import_volumes(project, [str(tmp_path / "chiral.mrc")])
    opened = server.workspace.open(tmp_path / "p")
    context = browser.new_context(viewport=SIZE)
    atoms = np.array(ATOMS_A)
    with tab(context, server.token_address()) as page:
        page.evaluate(shell(opened.key, "map"))
        page.get_by_text("triangles").wait_for()
        vertices = np.array(page.evaluate(
            """() => { const scene = document.querySelector(".map-view canvas").verglasScene;
              return Array.from([...scene.layers.values()][0].geometry.attributes.position.array); }"""
        )).reshape(-1, 3)  # fmt: skip
        nearest = np.linalg.norm(vertices[:, None] - atoms, axis=2).argmin(1)
        found = np.array([vertices[nearest == n].mean(0) for n in range(len(atoms))])
        np.testing.assert_allclose(found, atoms, atol=0.4)
        hand = [float(np.linalg.det(places[1:] - places[0])) for places in (found, atoms)]
        assert hand[0] > 0.9 * hand[1] > 0
        for axis in "xyz":  # the view from +x, +y and +z, as the buttons give it
            page.get_by_role("button", name=axis, exact=True).click()
            page.wait_for_timeout(300)
            picture = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB")).astype(int)
            there = page.evaluate(
                """(places) => { const scene = document.querySelector(".map-view canvas").verglasScene;
                  return places.map((one) => scene.onScreen(...one)); }""",
                atoms.tolist(),
            )
            box = page.locator(".map-view").bounding_box()
            middle = box["x"] + box["width"] / 2
            lit = [bright(picture, x, y) for x, y in there]
            mirrored = [bright(picture, 2 * middle - x, y) for x, y in there]
            assert all(lit), (axis, there)
            assert not all(mirrored), axis
    context.close()


def bright(picture: Any, x: float, y: float) -> bool:
    """Tell whether a place on the screen shows a surface; what is behind is dark."""
    return bool(picture[round(y), round(x)].sum() > 240)


def test_the_focus_sphere_is_dragged_kept_and_used(browser: Any, server: Running, tmp_path: Path) -> None:
    z, y, x = np.indices((48, 48, 48)) - 24.0
    volume = np.exp(-(x**2 + y**2 + z**2) / 60).astype(np.float32)
    write_mrc(tmp_path / "v.mrc", volume, 2.0, is_volume=True)
    with Project.create(tmp_path / "p") as project:
        import_volumes(project, [str(tmp_path / "v.mrc")])
    opened = server.workspace.open(tmp_path / "p")
    context = browser.new_context(viewport=SIZE)
    with tab(context, server.token_address()) as page:
        page.evaluate(shell(opened.key, "map"))
        page.get_by_text("triangles").wait_for()
        page.get_by_role("checkbox", name="Show the focus sphere").check()
        x_box = page.get_by_role("textbox", name="Sphere x")
        before = float(x_box.input_value())
        start = page.evaluate(
            """() => { const scene = document.querySelector(".map-view canvas").verglasScene;
              const s = scene.sphereA(); return scene.onScreen(s.x, s.y, s.z); }"""
        )
        for reach in range(30, 120, 6):  # the arrow along x; its length on the screen depends on the view
            page.mouse.move(start[0] + reach, start[1])
            page.mouse.down()
            page.mouse.move(start[0] + reach + 40, start[1], steps=4)
            page.mouse.up()
            if abs(float(x_box.input_value()) - before) > 1:
                break
        dragged = float(x_box.input_value())
        assert dragged > before + 1
        page.get_by_role("button", name="Keep…").click()
        page.get_by_role("dialog").get_by_role("textbox").fill("ligand")
        page.get_by_role("button", name="Save").click()
        page.get_by_role("button", name="Remove ligand").wait_for()
        kept = opened.project.spheres()["ligand"]
        assert kept == {"x_A": dragged, "y_A": 48.0, "z_A": 48.0, "radius_A": 12.0}
        given = page.evaluate(
            """async () => { const { sphereFields, valuesFor } = await import("/map/sphere.js");
              const fields = sphereFields({ properties: { focus: { type: "boolean" }, focus_x_A: {}, focus_y_A: {},
                focus_z_A: {}, focus_radius_A: {}, focus_by: {}, mask_radius_A: {} } });
              return valuesFor(fields, { x: 1, y: 2, z: 3, radius: 4 }); }"""
        )
        assert given == {"focus": True, "focus_x_A": 1, "focus_y_A": 2, "focus_z_A": 3, "focus_radius_A": 4}
        if "manual-refine" in ACTIONS:
            page.get_by_role("button", name="Use in Manual Refine").click()
            page.get_by_role("heading", name="Parameters").wait_for()
            expert = page.get_by_role("button", name="Expert options")
            if page.locator("#field-focus_x_A").count() == 0:
                expert.click()
            assert float(page.locator("#field-focus_x_A").input_value()) == dragged
            assert float(page.locator("#field-focus_radius_A").input_value()) == 12.0
            assert page.locator("#field-focus").is_checked()
            assert page.get_by_label("Focus sphere").input_value() == "ligand"
    context.close()
    opened.project.edit({"edit": "sphere.keep", "name": "other", "x_A": 1.0, "y_A": 2, "z_A": 3, "radius_A": 4})
    opened.project.rebuild()
    assert set(opened.project.spheres()) == {"ligand", "other"}
    opened.project.edit({"edit": "sphere.remove", "name": "other"})
    assert set(opened.project.spheres()) == {"ligand"}

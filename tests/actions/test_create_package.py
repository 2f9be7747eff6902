"""Create Package: stack, table and record agree with the picks; what is not fit is refused; rebuilds give the same."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests.stages.picking.fields import PIXEL_A
from tests.support.picked_projects import picked_project
from verglas.actions import project_run
from verglas.actions.create_package import CreatePackage, facts_of, geometry_of, matched
from verglas.errors import InputError
from verglas.formats import ParticleTable, read_particles, read_stack
from verglas.formats.mrc import MrcStack
from verglas.project.lineage import job_edges


def test_a_package_holds_what_was_picked(tmp_path):
    project, fields = picked_project(tmp_path)
    with project:
        run = project_run(
            project, "create-package", largest_dimension_A=130.0, symmetry="O", molecular_weight_kDa=440.0,
            output_pixel_size_A=5.0, half_precision=True, workers=1, threads=1,
        )  # fmt: skip
        assert not run.failures
        (package,) = project.assets("package")
        assert package["name"] == "Refinement Package #1"
        assert (package["count"], package["micrographs"], package["classes"]) == (24, 2, 1)
        assert package["pixel_size_A"] == pytest.approx(5.0, abs=0.1) and not package["contrast_inverted"]
        assert package["path"] == "Assets/ParticleStacks/particle_stack_1.mrcs"
        with MrcStack(project.folder / package["path"]) as stack:
            assert stack.dtype == np.float16 and stack.shape == (24, package["box_px"], package["box_px"])
            assert stack.pixel_size_A == pytest.approx(package["pixel_size_A"], rel=1e-5)
            images = stack.read()
        table = ParticleTable.load(project.folder / package["particles_path"])
        assert set(table.names_of("image_name")) == {package["path"]}
        assert table["half_set"].tolist() == [1, 2] * 12
        truth = np.concatenate([field.places_A for field in fields])
        middles = np.stack([table["coordinate_x_px"], table["coordinate_y_px"]], 1)
        np.testing.assert_allclose(middles, np.rint(middles), atol=1e-9, err_msg="images lie on whole pixels")
        places = middles * PIXEL_A - np.stack([table["origin_x_A"], table["origin_y_A"]], 1)
        np.testing.assert_allclose(places, truth, atol=1e-3)
        middle = package["box_px"] // 2
        y, x = np.indices(images.shape[1:]) - middle
        inside = np.hypot(y, x) * package["pixel_size_A"] < 50
        ring = np.hypot(y, x) * package["pixel_size_A"] > 78
        assert np.all(images[:, inside].mean(axis=1) < -0.5), "protein is dark, in the middle"
        np.testing.assert_allclose(images[:, ring].std(axis=1), 1, atol=0.05)
        star = read_particles(project.folder / package["star_path"])
        np.testing.assert_allclose(star["psi_deg"], table["psi_deg"], atol=1e-4)
        assert star.names_of("micrograph")[0].endswith("m0.mrc")
        assert not list((project.folder / "Scratch").glob("*/*")), "parts are gone"

        again = project_run(
            project, "create-package", images=[2], largest_dimension_A=130.0, white_protein=True, box_size=64,
            package_name="second", workers=1, threads=1,
        )  # fmt: skip
        assert not again.failures
        other = project.asset("package", "second")
        assert (other["count"], other["box_px"], other["contrast_inverted"]) == (12, 64, True)
        white, _ = read_stack(project.folder / other["path"])
        assert white.dtype == np.float32 and white[:, 24:40, 24:40].mean() > 0.3
        assert job_edges(project) == []  # picks and CTFs were imported
        live = project.dump()
        project.rebuild()
        assert project.dump() == live
        trash = project.edit({"edit": "trash.add", "items": [{"kind": "package", "id": 1}]})["trash"]
        assert not (project.folder / package["path"]).exists()
        project.edit({"edit": "trash.restore", "trash": trash})
        assert project.asset("package", 1) == package and (project.folder / package["path"]).exists()


def test_a_bad_micrograph_is_set_aside(tmp_path):
    project, _ = picked_project(tmp_path)
    with project:
        (tmp_path / "m0.mrc").write_bytes(b"no image")
        run = project_run(project, "create-package", largest_dimension_A=130.0, box_size=64, workers=1, threads=1)
        assert set(run.failures) == {"image-1"}
        (package,) = project.assets("package")
        assert (package["count"], package["micrographs"]) == (12, 1)


def records() -> dict[str, list[dict]]:
    image = {
        "id": 1, "name": "m", "path": "m.mrc", "pixel_size_A": 1.5, "n_x": 4000, "n_y": 3000, "voltage_kV": 300.0,
        "cs_mm": 2.7, "ctf_estimation": 1, "defocus_u_A": 1e4, "defocus_v_A": 1e4, "defocus_angle_deg": 0.0,
        "phase_shift_deg": None, "amplitude_contrast": 0.1,
    }  # fmt: skip
    return {"images": [image], "positions": [{"id": 5, "image": 1, "count": 200, "path": "x.npy"}]}


def test_sizes_follow_from_the_molecule_and_are_stated():
    inputs = records()
    action = CreatePackage()
    parameters = CreatePackage.Parameters(largest_dimension_A=130.0)
    items, without = matched(inputs)
    settings, pixel_A = geometry_of(parameters, items)
    assert (settings.box, settings.output_box, pixel_A, without) == (192, None, 1.5, 0)
    half = parameters.model_copy(update={"output_pixel_size_A": 3.0})
    made, pixel_A = geometry_of(half, items)
    assert (made.box, made.output_box, pixel_A) == (192, 96, 3.0)
    stated = action.estimate(parameters, inputs)
    assert stated.disk_bytes == 2 * 200 * 192**2 * 4
    assert action.estimate(half, inputs).disk_bytes * 4 == stated.disk_bytes
    assert dataclasses.asdict(facts_of(inputs["images"][0]))["amplitude_contrast"] == 0.1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ctf_estimation": None, "defocus_u_A": None}, "no CTF"),
        ({"voltage_kV": None}, "voltage_kV is not known"),
        ({"id": 7}, "no picks"),
    ],
)
def test_what_is_not_fit_is_refused(change, said):
    inputs = records()
    inputs["images"][0] |= change
    with pytest.raises(InputError, match=said):
        CreatePackage().estimate(CreatePackage.Parameters(largest_dimension_A=130.0), inputs)


def test_micrographs_of_different_pixel_size_are_not_mixed():
    inputs = records()
    inputs["images"].append(inputs["images"][0] | {"id": 2, "name": "n", "pixel_size_A": 1.1})
    inputs["positions"].append({"id": 6, "image": 2, "count": 3, "path": "y.npy"})
    with pytest.raises(InputError, match="combine"):
        matched(inputs)
    with pytest.raises(InputError, match="larger box"):
        CreatePackage().estimate(CreatePackage.Parameters(largest_dimension_A=130.0, box_size=64), records())

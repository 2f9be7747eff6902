"""The transfer function of an image: its figures become columns of the image, its texts and pictures files."""

from __future__ import annotations

from verglas.project.result_kinds.kind import Record, ResultKind

# Column of the image -> figure of the result.
COLUMNS = {
    "defocus_u_A": "defocus_u_A",
    "defocus_v_A": "defocus_v_A",
    "defocus_angle_deg": "defocus_angle_deg",
    "phase_shift_deg": "phase_shift_deg",
    "amplitude_contrast": "amplitude_contrast",
    "ctf_score": "score",
    "ctf_fit_resolution_A": "fit_resolution_A",
    "iciness": "iciness",
    "tilt_axis_deg": "tilt_axis_deg",
    "tilt_angle_deg": "tilt_angle_deg",
    "thickness_A": "thickness_A",
}


def _columns(image: Record, result: Record) -> Record:
    return {column: result["values"].get(figure) for column, figure in COLUMNS.items()}


CTF_ESTIMATION = ResultKind(
    name="ctf_estimation",
    of_kind="image",
    product_kind="image",
    product_name=lambda image: image,
    file_stem=lambda image, earlier: f"{image['name']}_CTF_{image['id']}_{earlier}",
    folders={"diagnostic": "Assets/CTF", "fit": "Assets/CTF", "avrot": "Assets/CTF", "picture": "Assets/CTF"},
    product_columns=_columns,
    parent_column="id",
    active_column="ctf_estimation",
    endings={"avrot": "_avrot"},
)

"""An aligned movie: its sum, spectrum, scaled copy, shifts and a picture of them; the sum is an image asset."""

from __future__ import annotations

from verglas.project.result_kinds.kind import Record, ResultKind


def _image(movie: Record, result: Record) -> Record:
    values, files = result["values"], result["files"]
    inherited = {key: movie["sources"].get(key, "user") for key in ("voltage_kV", "cs_mm")}
    return {
        "path": files["sum"],
        "file_bytes": values.get("file_bytes"),
        "n_x": values.get("n_x"),
        "n_y": values.get("n_y"),
        "pixel_size_A": values.get("pixel_size_A", movie["pixel_size_A"]),
        "voltage_kV": movie["voltage_kV"],
        "cs_mm": movie["cs_mm"],
        "protein_is_white": int(movie["protein_is_white"]),
        "spectrum_path": files.get("spectrum"),
        "scaled_path": files.get("thumbnail"),
        "sources": {**inherited, "pixel_size_A": "alignment" if "pixel_size_A" in values else "movie"},
    }


MOVIE_ALIGNMENT = ResultKind(
    name="movie_alignment",
    of_kind="movie",
    product_kind="image",
    product_name=lambda movie: f"{movie}_aligned",
    file_stem=lambda movie, earlier: f"{movie['name']}_{movie['id']}_{earlier}",
    folders={
        "sum": "Assets/Images",
        "spectrum": "Assets/Images/Spectra",
        "thumbnail": "Assets/Images/Scaled",
        "shifts": "Assets/Movies",
        "motion": "Assets/Movies",
        "picture": "Assets/Movies",
        "unweighted": "Assets/Images",
        "even": "Assets/Images",
        "odd": "Assets/Images",
    },
    endings={"unweighted": "_unweighted", "even": "_even", "odd": "_odd"},
    product_columns=_image,
    parent_column="parent_movie",
    active_column="alignment",
)

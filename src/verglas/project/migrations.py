"""The numbered steps that lead an empty database to the present schema."""

from __future__ import annotations

FIRST = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE counters (name TEXT PRIMARY KEY, next INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE history (
    n INTEGER PRIMARY KEY, t REAL NOT NULL, edit TEXT NOT NULL,
    user TEXT, host TEXT, request TEXT, summary TEXT NOT NULL
);
CREATE UNIQUE INDEX history_request ON history (request) WHERE request IS NOT NULL;
CREATE TABLE movies (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, path TEXT NOT NULL, file_bytes INTEGER,
    n_x INTEGER, n_y INTEGER, n_frames INTEGER,
    pixel_size_A REAL, voltage_kV REAL, cs_mm REAL, dose_per_frame_e_A2 REAL,
    gain_path TEXT, dark_path TEXT, output_binning REAL,
    mag_distortion_angle_deg REAL, mag_distortion_major REAL, mag_distortion_minor REAL,
    protein_is_white INTEGER, eer_super_resolution INTEGER, eer_frames_per_image INTEGER,
    metadata TEXT, sources TEXT, created REAL NOT NULL, trash INTEGER
);
CREATE INDEX movies_trash ON movies (trash) WHERE trash IS NOT NULL;
CREATE INDEX movies_path ON movies (path);
CREATE INDEX movies_name ON movies (name);
CREATE TABLE images (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, path TEXT NOT NULL, file_bytes INTEGER,
    n_x INTEGER, n_y INTEGER, pixel_size_A REAL, voltage_kV REAL, cs_mm REAL, protein_is_white INTEGER,
    parent_movie INTEGER, alignment INTEGER, spectrum_path TEXT, scaled_path TEXT,
    sources TEXT, created REAL NOT NULL, trash INTEGER
);
CREATE INDEX images_trash ON images (trash) WHERE trash IS NOT NULL;
CREATE INDEX images_path ON images (path);
CREATE INDEX images_name ON images (name);
CREATE INDEX images_parent ON images (parent_movie);
CREATE TABLE positions (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, path TEXT NOT NULL, file_bytes INTEGER,
    image INTEGER NOT NULL, picking INTEGER, count INTEGER NOT NULL, created REAL NOT NULL, trash INTEGER
);
CREATE INDEX positions_trash ON positions (trash) WHERE trash IS NOT NULL;
CREATE INDEX positions_name ON positions (name);
CREATE INDEX positions_image ON positions (image);
CREATE TABLE volumes (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, path TEXT NOT NULL, file_bytes INTEGER,
    n_x INTEGER, n_y INTEGER, n_z INTEGER, pixel_size_A REAL, half_map_1_path TEXT, half_map_2_path TEXT,
    reconstruction INTEGER, sources TEXT, created REAL NOT NULL, trash INTEGER
);
CREATE INDEX volumes_trash ON volumes (trash) WHERE trash IS NOT NULL;
CREATE INDEX volumes_path ON volumes (path);
CREATE INDEX volumes_name ON volumes (name);
CREATE TABLE models (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, path TEXT NOT NULL, file_bytes INTEGER,
    pdb_id TEXT, n_atoms INTEGER, size_x_A REAL, size_y_A REAL, size_z_A REAL,
    mean_b_factor_A2 REAL, sd_b_factor_A2 REAL, mass_kDa REAL, created REAL NOT NULL, trash INTEGER
);
CREATE INDEX models_trash ON models (trash) WHERE trash IS NOT NULL;
CREATE INDEX models_path ON models (path);
CREATE INDEX models_name ON models (name);
CREATE TABLE groups (
    kind TEXT NOT NULL, id INTEGER NOT NULL, name TEXT NOT NULL, created REAL NOT NULL, PRIMARY KEY (kind, id)
) WITHOUT ROWID;
CREATE TABLE group_members (
    kind TEXT NOT NULL, group_id INTEGER NOT NULL, asset INTEGER NOT NULL, PRIMARY KEY (kind, group_id, asset)
) WITHOUT ROWID;
CREATE TABLE results (
    id INTEGER PRIMARY KEY, kind TEXT NOT NULL, of_kind TEXT, of_id INTEGER, job INTEGER, key TEXT NOT NULL,
    ordinal INTEGER NOT NULL, product_kind TEXT, product_id INTEGER,
    files TEXT NOT NULL, "values" TEXT NOT NULL, created REAL NOT NULL, trash INTEGER
);
CREATE INDEX results_trash ON results (trash) WHERE trash IS NOT NULL;
CREATE UNIQUE INDEX results_key ON results (job, key);
CREATE INDEX results_of ON results (of_kind, of_id, kind);
CREATE TABLE active_results (
    kind TEXT NOT NULL, of_kind TEXT NOT NULL, of_id INTEGER NOT NULL, result INTEGER NOT NULL,
    PRIMARY KEY (kind, of_kind, of_id)
) WITHOUT ROWID;
CREATE TABLE notes (
    id INTEGER PRIMARY KEY, about_kind TEXT, about_id INTEGER, text TEXT NOT NULL, created REAL NOT NULL, changed REAL
);
CREATE TABLE trash (id INTEGER PRIMARY KEY, summary TEXT NOT NULL, moves TEXT NOT NULL, created REAL NOT NULL);
CREATE TABLE remembered (kind TEXT PRIMARY KEY, content TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY, action TEXT NOT NULL, title TEXT NOT NULL, state TEXT NOT NULL,
    created TEXT, ended REAL, cpu_seconds REAL NOT NULL, failures INTEGER NOT NULL, events_bytes INTEGER, trash INTEGER
);
"""

CTF_OF_IMAGES = """
ALTER TABLE images ADD COLUMN ctf_estimation INTEGER;
ALTER TABLE images ADD COLUMN defocus_u_A REAL;
ALTER TABLE images ADD COLUMN defocus_v_A REAL;
ALTER TABLE images ADD COLUMN defocus_angle_deg REAL;
ALTER TABLE images ADD COLUMN phase_shift_deg REAL;
ALTER TABLE images ADD COLUMN amplitude_contrast REAL;
ALTER TABLE images ADD COLUMN ctf_score REAL;
ALTER TABLE images ADD COLUMN ctf_fit_resolution_A REAL;
ALTER TABLE images ADD COLUMN iciness REAL;
ALTER TABLE images ADD COLUMN tilt_axis_deg REAL;
ALTER TABLE images ADD COLUMN tilt_angle_deg REAL;
ALTER TABLE images ADD COLUMN thickness_A REAL;
"""

PACKAGES = """
CREATE TABLE packages (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, path TEXT NOT NULL, file_bytes INTEGER,
    particles_path TEXT, star_path TEXT, count INTEGER NOT NULL, micrographs INTEGER,
    box_px INTEGER, pixel_size_A REAL, symmetry TEXT, mass_kDa REAL, largest_dimension_A REAL, classes INTEGER,
    contrast_inverted INTEGER, start TEXT, creation INTEGER, created REAL NOT NULL, trash INTEGER
);
CREATE INDEX packages_trash ON packages (trash) WHERE trash IS NOT NULL;
CREATE INDEX packages_path ON packages (path);
CREATE INDEX packages_name ON packages (name);
"""

CLASSIFICATIONS = """
CREATE TABLE classifications (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, path TEXT NOT NULL, particles_path TEXT, picture_path TEXT,
    star_path TEXT, package INTEGER, round INTEGER, rounds INTEGER, classes INTEGER, particles_used INTEGER,
    limit_A REAL, pixel_size_A REAL, mask_radius_A REAL, creation INTEGER, created REAL NOT NULL, trash INTEGER
);
CREATE INDEX classifications_trash ON classifications (trash) WHERE trash IS NOT NULL;
CREATE INDEX classifications_path ON classifications (path);
CREATE INDEX classifications_name ON classifications (name);
CREATE INDEX classifications_package ON classifications (package);
"""

REFINEMENTS = """
CREATE TABLE refinements (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, path TEXT NOT NULL, details TEXT NOT NULL,
    package INTEGER, method TEXT, symmetry TEXT, classes INTEGER, round INTEGER, rounds INTEGER,
    particles_used INTEGER, limit_A REAL, resolution_A REAL, creation INTEGER, created REAL NOT NULL, trash INTEGER
);
CREATE INDEX refinements_trash ON refinements (trash) WHERE trash IS NOT NULL;
CREATE INDEX refinements_path ON refinements (path);
CREATE INDEX refinements_name ON refinements (name);
CREATE INDEX refinements_package ON refinements (package);
"""

SELECTIONS = """
CREATE TABLE selections (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, classification INTEGER NOT NULL, members TEXT NOT NULL, note TEXT,
    created REAL NOT NULL, trash INTEGER
);
CREATE INDEX selections_trash ON selections (trash) WHERE trash IS NOT NULL;
CREATE INDEX selections_name ON selections (name);
CREATE INDEX selections_classification ON selections (classification);
"""

MADE_VOLUMES = """
ALTER TABLE volumes ADD COLUMN creation INTEGER;
ALTER TABLE volumes ADD COLUMN package INTEGER;
ALTER TABLE volumes ADD COLUMN parent_volume INTEGER;
ALTER TABLE volumes ADD COLUMN symmetry TEXT;
ALTER TABLE volumes ADD COLUMN mass_kDa REAL;
ALTER TABLE volumes ADD COLUMN largest_dimension_A REAL;
ALTER TABLE volumes ADD COLUMN resolution_A REAL;
ALTER TABLE volumes ADD COLUMN mask_path TEXT;
ALTER TABLE volumes ADD COLUMN validation INTEGER;
"""

MIGRATIONS: tuple[str, ...] = (
    FIRST,
    CTF_OF_IMAGES,
    PACKAGES,
    CLASSIFICATIONS,
    REFINEMENTS,
    SELECTIONS,
    MADE_VOLUMES,
)
SCHEMA_VERSION = len(MIGRATIONS)

// The kinds of asset: their names, and the columns that tables show.
import { html } from "/core/html.js";
import { number } from "/core/words.js";
import { address } from "/core/router.js";
import { here } from "/core/state.js";

const num = (key, title, unit = "", width = 92, digits = 4) => ({ key, title, unit, width, num: true, sorts: true, cell: (row) => number(row[key], digits) });
const pixel = { ...num("pixel_size_A", "Pixel", "Å", 124), cell: (row) => html`${number(row.pixel_size_A)}${mark(row, "pixel_size_A")}`, hint: (row) => from(row, "pixel_size_A") };
const mark = (row, column) => { const source = row.sources?.[column]; return source && source !== "user" ? html`<span class="faint small"> ${source}</span>` : ""; };
const from = (row, column) => (row.sources?.[column] ? `from: ${row.sources[column]}` : undefined);
const base = (path) => String(path ?? "").split("/").pop();
const file = { key: "path", title: "File", width: 180, sorts: true, cell: (row) => html`<span class="soft">${base(row.path)}</span>`, hint: (row) => row.path };

export const KINDS = [
  { kind: "movie", one: "movie", many: "Movies", imports: true, columns: [num("n_x", "X", "px", 76), num("n_y", "Y", "px", 76), num("n_frames", "Frames", "", 78), pixel, num("voltage_kV", "Voltage", "kV"), num("cs_mm", "Cs", "mm", 76), num("dose_per_frame_e_A2", "Dose/frame", "e/Å²", 124), { key: "gain_path", title: "Gain", width: 110, cell: (row) => base(row.gain_path) || html`<span class="faint">–</span>`, hint: (row) => row.gain_path }, file] },
  { kind: "image", one: "image", many: "Images", imports: true, columns: [num("n_x", "X", "px", 76), num("n_y", "Y", "px", 76), pixel, num("defocus_u_A", "Defocus u", "Å", 118, 5), num("defocus_v_A", "Defocus v", "Å", 118, 5), num("ctf_fit_resolution_A", "Fit to", "Å", 86, 3), num("ctf_score", "Score", "", 84, 3), num("iciness", "Iciness", "", 84, 3), { key: "parent_movie", title: "Movie", width: 80, num: true, sorts: true }, file] },
  { kind: "positions", one: "set of positions", many: "Positions", imports: true, columns: [num("count", "Particles", "", 100), { key: "image", title: "Image", width: 90, num: true, sorts: true, cell: (row) => html`<a href=${address(here("results", "picks"), { at: row.image })}>${row.image}</a>` }, num("picking", "Result", "", 90), file] },
  { kind: "volume", one: "map", many: "Maps", imports: true, columns: [num("n_x", "X", "px", 76), num("n_y", "Y", "px", 76), num("n_z", "Z", "px", 76), pixel, { key: "half_map_1_path", title: "Half maps", width: 96, cell: (row) => (row.half_map_1_path ? "yes" : html`<span class="faint">–</span>`) }, file] },
  { kind: "package", one: "refinement package", many: "Packages", imports: true, columns: [num("count", "Particles", "", 104), num("micrographs", "Micrographs", "", 116), num("box_px", "Box", "px", 86), pixel, { key: "symmetry", title: "Symmetry", width: 92, sorts: true }, num("mass_kDa", "Mass", "kDa"), num("largest_dimension_A", "Size", "Å", 84), num("classes", "Classes", "", 84)] },
  { kind: "classification", one: "classification", many: "Classifications", imports: false, columns: [num("package", "Package", "", 90), num("round", "Round", "", 80), num("rounds", "of", "", 64), num("classes", "Classes", "", 84), num("particles_used", "Particles", "", 104), num("limit_A", "To", "Å", 80)] },
  { kind: "selection", one: "class selection", many: "Class selections", imports: false, columns: [num("classification", "Classification", "", 124), { key: "members", title: "Classes", width: 260, cell: (row) => (Array.isArray(row.members) ? row.members.join(", ") : "–") }] },
  { kind: "refinement", one: "refinement", many: "Refinements", imports: false, columns: [num("package", "Package", "", 90), { key: "method", title: "Method", width: 120, sorts: true }, { key: "symmetry", title: "Symmetry", width: 92, sorts: true }, num("round", "Round", "", 80), num("rounds", "of", "", 64), num("classes", "Classes", "", 84), num("particles_used", "Particles", "", 104), num("resolution_A", "Resolution", "Å", 116, 3)] },
  { kind: "model", one: "atomic model", many: "Models", imports: true, columns: [{ key: "pdb_id", title: "PDB", width: 80, sorts: true }, num("n_atoms", "Atoms"), num("mass_kDa", "Mass", "kDa"), num("size_x_A", "Size x", "Å"), num("size_y_A", "Size y", "Å"), num("size_z_A", "Size z", "Å"), num("mean_b_factor_A2", "Mean B", "Å²"), file] },
];

export const kindOf = (name) => KINDS.find((one) => one.kind === name) || { kind: name, one: name, many: name, imports: false, columns: [] };

// Where a double click on an asset leads.
export function openAddress(kind, row) {
  if (kind === "movie") return address(here("results", "alignment"), { at: row.id });
  if (kind === "image") return address(here("results", row.picks ? "picks" : "ctf"), { at: row.id });
  if (kind === "positions") return address(here("results", "picks"), { at: row.image });
  if (kind === "classification") return address(here("results", "classes"), { at: row.id });
  if (kind === "volume") return address(here("results", "maps"), { at: row.id });
  if (kind === "refinement") return address(here("results", "refinements"), { at: row.id });
  if (kind === "selection") return address(here("results", "classes"), { at: row.classification });
  if (kind === "package") return address(here("viewer"), { source: `asset:package:${row.id}` });
  return null;
}

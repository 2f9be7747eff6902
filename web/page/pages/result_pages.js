// The pages of results: their names, the kind of asset that each goes through, and the columns of its list.
import { number } from "/core/words.js";

const figure = (key, title, digits = 3, width = 84) => ({ key, title, width, num: true, sorts: true, cell: (row) => number(row[key], digits) });

export const RESULT_PAGES = [
  { name: "alignment", title: "Alignment", kind: "movie", result: "movie_alignment", columns: [figure("n_frames", "Frames")] },
  { name: "ctf", title: "CTF", kind: "image", result: "ctf_estimation", columns: [figure("ctf_fit_resolution_A", "Fit, Å", 3, 72)] },
  { name: "picks", title: "Picks", kind: "image", result: "particle_positions", columns: [figure("ctf_fit_resolution_A", "Fit, Å", 3, 72)] },
  { name: "classes", title: "2D classes", kind: "classification", result: null, newest: true, columns: [figure("round", "Round", 3, 70)] },
  { name: "refinements", title: "Refinements", kind: "refinement", result: null, newest: true, columns: [figure("round", "Round", 3, 62), figure("resolution_A", "Å", 3, 56)] },
  { name: "maps", title: "Maps", kind: "volume", result: null, newest: true, columns: [figure("resolution_A", "Å", 3, 56)] },
];

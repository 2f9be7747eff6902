// Line icons, drawn on 24 x 24.
import { html } from "/core/html.js";

const PATHS = {
  overview: "M4 13h6V4H4zM14 20h6v-9h-6zM4 20h6v-4H4zM14 8h6V4h-6z",
  assets: "M3 7l9-4 9 4-9 4zM3 12l9 4 9-4M3 17l9 4 9-4",
  actions: "M6 4l14 8-14 8z",
  results: "M4 20V10M10 20V4M16 20v-7M22 20H2",
  jobs: "M8 6h13M8 12h13M8 18h13M3.5 6h.01M3.5 12h.01M3.5 18h.01",
  viewer: "M2 12s4-7 10-7 10 7 10 7-4 7-10 7-10-7-10-7zM12 15a3 3 0 100-6 3 3 0 000 6z",
  map: "M12 2l9 5v10l-9 5-9-5V7zM12 12l9-5M12 12v10M12 12L3 7",
  settings: "M4 6h10M18 6h2M4 12h2M10 12h10M4 18h8M16 18h4M14 4v4M6 10v4M12 16v4",
  folder: "M3 6a1 1 0 011-1h5l2 2h9a1 1 0 011 1v10a1 1 0 01-1 1H4a1 1 0 01-1-1z",
  file: "M6 3h8l5 5v13H6zM14 3v5h5",
  plus: "M12 5v14M5 12h14", close: "M6 6l12 12M18 6L6 18", check: "M5 12l5 5L20 7", back: "M15 5l-7 7 7 7", next: "M9 5l7 7-7 7",
  undo: "M9 7L4 12l5 5M4 12h10a6 6 0 010 12", redo: "M15 7l5 5-5 5M20 12H10a6 6 0 000 12",
  trash: "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13", sun: "M12 17a5 5 0 100-10 5 5 0 000 10zM12 1v2M12 21v2M4.2 4.2l1.4 1.4M18.4 18.4l1.4 1.4M1 12h2M21 12h2M4.2 19.8l1.4-1.4M18.4 5.6l1.4-1.4",
  filter: "M3 5h18l-7 9v5l-4 2v-7z", download: "M12 4v11M7 11l5 5 5-5M4 20h16", up: "M12 19V5M6 11l6-6 6 6", pencil: "M4 20l1-4L16 5l3 3L8 19zM14 7l3 3", import: "M12 3v11M7 9l5 5 5-5M4 15v5h16v-5", grip: "M9 6h.01M15 6h.01M9 12h.01M15 12h.01M9 18h.01M15 18h.01",
  star: "M12 3l2.7 5.7 6.3.8-4.6 4.3 1.2 6.2L12 17l-5.6 3 1.2-6.2L3 9.5l6.3-.8z", pause: "M8 5v14M16 5v14", stop: "M6 6h12v12H6z", copy: "M8 8h12v12H8zM4 16V4h12", more: "M5 12h.01M12 12h.01M19 12h.01",
};

export function Icon({ name }) {
  return html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true"><path d=${PATHS[name] || PATHS.file} /></svg>`;
}

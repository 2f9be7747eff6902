// Class averages as tiles, cut from one strip picture.
import { html, useMemo } from "/core/html.js";
import { query } from "/core/api.js";
import { at } from "/core/state.js";
import { number } from "/core/words.js";

export const stripAddress = (source, values) => `/api${at("/strip")}${query({ source, ...values })}`;

// How one tile of a strip of n is shown as a background.
export function tileStyle(url, index, n) {
  return { backgroundImage: `url("${url}")`, backgroundSize: `100% ${n * 100}%`, backgroundPosition: `0 ${n > 1 ? (100 * index) / (n - 1) : 0}%` };
}

const PART = 100;

export function ClassMontage({ classification, values, picked, at: now, onPick, onOpen, order = "number", edge = 160 }) {
  const n = values.classes;
  const source = `asset:classification:${classification}`;
  const numbers = useMemo(() => {
    const all = Array.from({ length: n }, (_, i) => i + 1);
    if (order === "particles") all.sort((a, b) => (values.occupancy?.[b - 1] ?? 0) - (values.occupancy?.[a - 1] ?? 0));
    if (order === "resolution") all.sort((a, b) => (values.resolution_A?.[a - 1] ?? 1e9) - (values.resolution_A?.[b - 1] ?? 1e9));
    return all;
  }, [n, order, values]);
  return html`<div class="class-grid" role="listbox" aria-label="Classes" aria-multiselectable="true">${numbers.map((number_) => {
    const part = Math.floor((number_ - 1) / PART);
    const size = Math.min(PART, n - part * PART);
    const url = stripAddress(source, { first: part * PART, count: size, edge });
    return html`<button key=${number_} role="option" aria-selected=${picked?.has(number_) ? "true" : "false"} class=${`class-tile ${picked?.has(number_) ? "picked" : ""} ${now === number_ ? "at" : ""}`} title=${`Class ${number_}`} aria-label=${`Class ${number_}`}
      onClick=${(event) => (event.ctrlKey || event.metaKey || !onOpen ? onPick?.(number_) : onOpen(number_))}><span class="tile-image" style=${tileStyle(url, number_ - 1 - part * PART, size)}></span>
      <span class="tile-words"><strong>${number_}</strong><span>${values.occupancy ? Math.round(values.occupancy[number_ - 1]) : ""}</span><span>${values.resolution_A?.[number_ - 1] ? `${number(values.resolution_A[number_ - 1], 3)} Å` : "–"}</span></span></button>`;
  })}</div>`;
}

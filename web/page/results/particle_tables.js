// What a table of particles tells: directions of view, histograms of its columns, and the rows themselves.
import { html, useCallback, useEffect, useRef, useState } from "/core/html.js";
import { get, query } from "/core/api.js";
import { at, useAnswer } from "/core/state.js";
import { count, label, number, plural, prettyUnit } from "/core/words.js";
import { Plot } from "/parts/plot.js";
import { Table } from "/parts/table.js";
import { theme } from "/parts/theme.js";

const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const SCALE = [[0.27, 0.0, 0.33], [0.23, 0.32, 0.55], [0.13, 0.57, 0.55], [0.37, 0.79, 0.38], [0.99, 0.91, 0.14]];

function ink(part) {
  const place = Math.min(0.9999, Math.max(0, part)) * (SCALE.length - 1);
  const [a, b] = [SCALE[Math.floor(place)], SCALE[Math.floor(place) + 1]];
  return `rgb(${a.map((one, i) => Math.round(255 * (one + (place - Math.floor(place)) * (b[i] - one)))).join(" ")})`;
}

// The half sphere of views in equal areas: the pole in the middle, side views at the rim.
export function Directions({ source, size = 260, live = false }) {
  const { last: data, error } = useAnswer(`${at("/particles/directions")}${query({ source })}`, { live });
  const canvas = useRef(null);
  useEffect(() => {
    if (!data || !canvas.current) return;
    const ratio = devicePixelRatio || 1;
    canvas.current.width = canvas.current.height = size * ratio;
    const pen = canvas.current.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    const middle = size / 2; const reach = size / 2 - 20;
    const far = (tilt) => reach * Math.SQRT2 * Math.sin((tilt * Math.PI) / 360);
    const most = Math.max(1, ...data.cells.map((one) => one[4]));
    for (const [low, high, from, to, n] of data.cells) {
      // The canvas turns clockwise; rot is counted the other way, from the right.
      pen.beginPath(); pen.arc(middle, middle, far(high), (-from * Math.PI) / 180, (-to * Math.PI) / 180, true); pen.arc(middle, middle, far(low), (-to * Math.PI) / 180, (-from * Math.PI) / 180, false); pen.closePath();
      pen.fillStyle = n ? ink(n / most) : style("--sunken"); pen.fill(); pen.strokeStyle = pen.fillStyle; pen.lineWidth = 0.6; pen.stroke();
    }
    pen.strokeStyle = style("--line-strong"); pen.fillStyle = style("--soft"); pen.lineWidth = 0.8; pen.font = `11px ${style("--font")}`; pen.textAlign = "center";
    for (const tilt of [30, 60, 90]) { pen.beginPath(); pen.arc(middle, middle, far(tilt), 0, 2 * Math.PI); pen.stroke(); }
    for (const [text, x, y] of [["0°", size - 9, middle + 4], ["90°", middle, 13], ["180°", 12, middle + 4], ["270°", middle, size - 5]]) pen.fillText(text, x, y);
  }, [data, size, theme.value]);
  if (error) return html`<div class="empty small">${error}</div>`;
  const most = data ? Math.max(0, ...data.cells.map((one) => one[4])) : 0;
  const empty = data ? data.cells.filter((one) => !one[4]).length / data.cells.length : 0;
  return html`<div class="col" style=${{ alignItems: "center", gap: "6px" }}><canvas ref=${canvas} role="img" aria-label="Directions of view" style=${{ width: `${size}px`, height: `${size}px`, maxWidth: "100%" }}></canvas>
    ${data ? html`<div class="small soft">${plural(data.count, "particle")}; at most ${count(most)} in a cell of 6°; ${number(100 * empty, 2)} % of cells empty</div><div class="faint small">Middle: along z; rim: from the side. Opposite views are one.</div>` : null}</div>`;
}

export function ColumnHistogram({ source }) {
  const { last } = useAnswer(`${at("/particles/columns")}${query({ source })}`, { live: false });
  const columns = last?.columns || [];
  const [chosen, setChosen] = useState("");
  const name = columns.some((one) => one.name === chosen) ? chosen : (columns.find((one) => one.name === "score") || columns[0])?.name;
  const { last: data } = useAnswer(name ? `${at("/particles/histogram")}${query({ source, column: name })}` : null, { live: false });
  const column = columns.find((one) => one.name === name);
  if (last && !columns.length) return html`<div class="empty small">All particles have the same figures.</div>`;
  return html`<div class="col" style=${{ gap: "6px" }}><div class="row"><select aria-label="Column" value=${name || ""} onChange=${(event) => setChosen(event.target.value)}>${columns.map((one) => html`<option key=${one.name} value=${one.name}>${label(one.name)}</option>`)}</select>
      ${data?.count ? html`<span class="small soft">mean ${number(data.mean, 3)}, deviation ${number(data.deviation, 3)}</span>` : null}</div>
    ${data?.counts.length ? html`<${Plot} x=${data.edges.slice(1).map((edge, i) => (edge + data.edges[i]) / 2)} series=${[{ name: "particles", values: data.counts, bars: true }]} height=${220} legend=${false} xLabel=${column?.unit ? prettyUnit(column.unit === "deg" ? "°" : column.unit) : label(name || "")} name="Histogram" />` : html`<div class="empty small">…</div>`}
    ${column ? html`<div class="faint small">${column.help}</div>` : null}</div>`;
}

const cell = (name, title, digits = 4, width = 88) => ({ key: name, title, width, num: true, sorts: true, cell: (row) => number(row[name], digits) });
const COLUMNS = [
  { key: "id", title: "No.", width: 76, num: true, sorts: true }, { key: "micrograph", title: "Micrograph", width: 150, grow: true, hint: (row) => row.micrograph, cell: (row) => String(row.micrograph ?? "").split("/").pop() || "–" },
  cell("rot_deg", "Phi °"), cell("tilt_deg", "Theta °"), cell("psi_deg", "Psi °"), cell("origin_x_A", "X Å", 3, 74), cell("origin_y_A", "Y Å", 3, 74), cell("defocus_u_A", "Defocus u Å", 5, 104),
  cell("occupancy", "Occ. %", 3, 74), cell("log_likelihood", "LogP", 5, 92), cell("sigma", "Sigma", 3, 78), cell("score", "Score", 4, 84), cell("score_change", "Change", 3, 80), cell("half_set", "Half", 2, 58), cell("active", "Used", 2, 62),
];

export function ParticleRows({ source, height = 420 }) {
  const [sort, setSort] = useState(null);
  const fetchRows = useCallback((offset, limit) => get(`${at("/particles")}${query({ source, offset, limit, sort: sort?.key, descending: sort?.descending || undefined })}`), [source, JSON.stringify(sort)]);
  return html`<div class="card" style=${{ height: `${height}px`, display: "flex", flexDirection: "column", overflow: "hidden" }}><${Table} columns=${COLUMNS} fetchRows=${fetchRows} name=${source} sort=${sort} onSort=${setSort} foot=${(total) => html`<span>${total === null ? "…" : plural(total, "particle")}</span><span class="faint">A click on a heading sorts.</span>`} /></div>`;
}

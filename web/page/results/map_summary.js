// A map in a few pictures: slices and projections along the axes, and its FSC.
import { html, useMemo, useState } from "/core/html.js";
import { query } from "/core/api.js";
import { at, useAnswer } from "/core/state.js";
import { number } from "/core/words.js";
import { Plot } from "/parts/plot.js";

const view = (source, values) => `/api${at("/view")}${query({ source, ...values })}`;

// Slices or projections along the axes; of a second map beside it, at the same places.
export function Orthogonal({ source, size, beside = null, edge = 512 }) {
  const [what, setWhat] = useState("slice");
  const [places, setPlaces] = useState({});
  const row = (from) => ["z", "y", "x"].map((axis) => html`<img key=${axis} class="shown" alt=${`${what} along ${axis}`} src=${view(from, { what, axis, position: what === "slice" ? places[axis] : undefined, edge })} />`);
  return html`<div class="col" style=${{ gap: "8px" }}><div class="segments" style=${{ alignSelf: "flex-start" }}>${[["slice", "Slices"], ["projection", "Projections"]].map(([name, text]) => html`<button key=${name} class=${what === name ? "on" : ""} onClick=${() => setWhat(name)}>${text}</button>`)}</div>
    <div class="three-pictures">${["z", "y", "x"].map((axis) => html`<div key=${axis} class="small soft">along ${axis}${what === "slice" && size ? `, slice ${places[axis] ?? Math.floor(size / 2)}` : ""}</div>`)}
      ${row(source)}${what === "slice" && size ? ["z", "y", "x"].map((axis) => html`<input key=${axis} type="range" aria-label=${`Slice along ${axis}`} style=${{ width: "100%" }} min="0" max=${size - 1} value=${places[axis] ?? Math.floor(size / 2)} onInput=${(event) => setPlaces({ ...places, [axis]: Number(event.target.value) })} />`) : null}
      ${beside ? html`<div class="small strong cut" style=${{ gridColumn: "1 / -1" }}>${beside.name}</div>${row(beside.source)}` : null}</div></div>`;
}

// A resolution in words: where it was not read off a curve, what it is instead.
export function resolutionWords(resolution, kind) {
  return `${number(resolution, 3)} Å${{ "never below": ", the pixels' limit", start: ", that of the start" }[kind] || " at FSC 0.143"}`;
}

// The curves of a table, each with its heading.
export function columnsOf(curves) {
  return [["fsc", curves.isCorrected ? "FSC, corrected" : "FSC"], ["masked", "Masked"], ["unmasked", "Unmasked"], ["randomised", "Random phases"], ["part_fsc", "Part. FSC"], ["ssnr", "SSNR"]].filter(([name]) => curves[name]);
}

// Statistics of a map as curves over frequency, whichever action wrote them; null where there are none.
export function curvesOf(data) {
  if (data?.correlation) { const { corrected, masked, ...others } = data.correlation; return { ...others, fsc: corrected || masked, masked, isCorrected: Boolean(corrected), guinier: data.guinier }; }
  if (!data?.frequency_per_A) return null;
  const { corrected, ...others } = data;
  return corrected ? { ...others, fsc: corrected, masked: data.fsc, isCorrected: true } : data;
}

export function FscPlot({ curves, others = [], height = 270, threshold = 0.143 }) {
  const x = curves.frequency_per_A.slice(1);
  const series = [];
  const grid = (one, name) => one[name].slice(1).map((value) => (Number.isFinite(value) ? value : null));
  if (curves.part_fsc) series.push({ name: "FSC of the particle", values: grid(curves, "part_fsc"), ink: "--accent" });
  if (curves.fsc) series.push({ name: curves.isCorrected ? "FSC, corrected for the mask" : "FSC in the mask", values: grid(curves, "fsc"), ink: curves.part_fsc ? "--soft" : "--accent", width: curves.part_fsc ? 1.3 : 1.8 });
  if (curves.isCorrected) for (const [name, text, ink] of [["masked", "masked", "--good"], ["unmasked", "unmasked", "--soft"], ["randomised", "phases randomised", "--bad"]]) if (curves[name]) series.push({ name: text, values: grid(curves, name), ink, width: 1.2 });
  for (const other of others) if (other.curves?.fsc) series.push({ name: other.name, values: x.map((frequency) => sample(other.curves, frequency)), ink: "--warn", dash: [5, 4] });
  if (!series.length) return html`<div class="empty small">There are no half maps to compare.</div>`;
  return html`<${Plot} x=${x} series=${series} height=${height} xLabel="resolution, Å" xText=${(value) => (value > 0 ? number(1 / value, 3) : "∞")} yRange=${[-0.1, 1.03]} lines=${[{ y: threshold, text: String(threshold) }]} name="Fourier shell correlation" legend=${true} />`;
}

function sample(curves, frequency) {
  const list = curves.frequency_per_A;
  const step = list[1] - list[0];
  const at_ = frequency / step;
  const i = Math.floor(at_);
  const values = curves.part_fsc || curves.fsc;
  if (i < 0 || i + 1 >= list.length || values[i] === null || values[i + 1] === null) return null;
  return values[i] + (at_ - i) * (values[i + 1] - values[i]);
}

export function useCurves(result) {
  const { data } = useAnswer(result?.files?.statistics ? `${at("/curves")}${query({ source: `result:${result.id}:statistics` })}` : null, { live: false });
  return useMemo(() => curvesOf(data), [data]);
}

export function MapSummary({ result, volume }) {
  const curves = useCurves(result);
  return html`<div class="grid two" style=${{ alignItems: "start" }}><${Orthogonal} source=${`asset:volume:${volume}`} size=${result.values.n_z} /><div>${curves ? html`<${FscPlot} curves=${curves} />` : html`<div class="empty small">No FSC.</div>`}</div></div>`;
}

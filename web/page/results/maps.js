// A map: slices, projections, FSC with its table, figures; compared with another map; and the way to the 3D view.
import { html, useMemo, useState } from "/core/html.js";
import { query } from "/core/api.js";
import { address } from "/core/router.js";
import { at, here, useAnswer } from "/core/state.js";
import { label, number, unitOf } from "/core/words.js";
import { Icon } from "/parts/icons.js";
import { Plot } from "/parts/plot.js";
import { FscPlot, Orthogonal, columnsOf, resolutionWords, useCurves } from "/results/map_summary.js";

export function MapResult({ id }) {
  const { data, error } = useAnswer(at(`/assets/volume/${id}`));
  const { data: all } = useAnswer(at("/assets/volume?sort=id&descending=true&limit=300"));
  const [other, setOther] = useState("");
  const [table, setTable] = useState(false);
  const { data: compared } = useAnswer(other ? at(`/assets/volume/${other}`) : null);
  const result = data?.results.find((one) => one.active) || data?.results[0];
  const curves = useCurves(result);
  const otherResult = compared?.results.find((one) => one.active);
  const otherCurves = useCurves(otherResult);
  if (error) return html`<div class="note bad">${error}</div>`;
  if (!data) return html`<div class="empty">…</div>`;
  const { asset } = data;
  const source = `asset:volume:${id}`;
  // What the job reported, not what a curve shows: a refinement reports nothing finer than its start where only that agrees.
  const best = curves ? result.values.resolution_A : null;
  const figures = Object.entries(result?.values || {}).filter(([, value]) => typeof value === "number" || typeof value === "string");
  return html`<div class="card"><header style=${{ flexWrap: "wrap" }}><h2 style=${{ flex: "1 0 100%" }}>${asset.name}</h2>${best ? html`<span class="pill good">${resolutionWords(best, result.values.resolution_kind)}</span>` : null}
      <span class="grow"></span><select aria-label="Compare with" style=${{ maxWidth: "130px" }} value=${other} onChange=${(event) => setOther(event.target.value)}><option value="">compare with…</option>${all?.rows.filter((one) => one.id !== id).map((one) => html`<option key=${one.id} value=${one.id}>${one.id}: ${one.name}</option>`)}</select>
      <a class="button" href=${address(here("map"), { source })}><${Icon} name="map" />3D</a><a class="button" href=${`/api${at("/download")}${query({ source })}`} download><${Icon} name="download" />Map</a>
      ${asset.half_map_1_path ? html`<a class="button" href=${`/api${at("/download")}${query({ source: `${source}:half1` })}`} download>Half 1</a><a class="button" href=${`/api${at("/download")}${query({ source: `${source}:half2` })}`} download>Half 2</a>` : null}</header>
    <div class="body"><${Orthogonal} source=${source} size=${asset.n_z} beside=${compared ? { source: `asset:volume:${other}`, name: compared.asset.name } : null} /></div></div>
    <div class="grid two" style=${{ alignItems: "start" }}>
      ${curves ? html`<div class="card"><header><h2 class="grow">Fourier shell correlation</h2></header><div class="body">
        <${FscPlot} curves=${curves} others=${other && otherCurves ? [{ name: compared.asset.name, curves: otherCurves }] : []} />
        <button class="small" onClick=${() => setTable(!table)}>${table ? "Hide the table" : "Table"}</button>
        ${table ? html`<div style=${{ maxHeight: "300px", overflow: "auto", marginTop: "8px" }}><table class="plain"><thead><tr><th class="num">Shell</th><th class="num">Resolution, Å</th>${columnsOf(curves).map(([name, title]) => html`<th key=${name} class="num">${title}</th>`)}</tr></thead>
          <tbody>${curves.frequency_per_A.slice(1).map((one, i) => html`<tr key=${i}><td class="num">${i + 1}</td><td class="num">${number(1 / one, 4)}</td>${columnsOf(curves).map(([name]) => html`<td key=${name} class="num">${number(curves[name][i + 1], 3)}</td>`)}</tr>`)}</tbody></table></div>` : null}</div></div>` : null}
      ${curves?.guinier ? html`<div class="card"><header><h2>Guinier plot</h2></header><div class="body"><${Plot} x=${curves.guinier.squared_frequency_per_A2} xLabel="1/d², 1/Å²" yLabel="ln F" height=${270} name="Guinier plot" series=${[["before", "before"], ["weighted", "weighted by FSC"], ["sharpened", "sharpened"]].filter(([name]) => curves.guinier[name]).map(([name, text]) => ({ name: text, values: curves.guinier[name] }))} /></div></div>` : null}
      <div class="card"><header><h2>Figures</h2></header><div class="body"><dl class="facts"><dt>Size</dt><dd>${asset.n_x} × ${asset.n_y} × ${asset.n_z}</dd><dt>Pixel size</dt><dd>${number(asset.pixel_size_A)} Å</dd>${figures.filter(([name]) => !["n_x", "n_y", "n_z", "pixel_size_A", "file_bytes", "name", "stem", "resolution_kind"].includes(name) && !name.endsWith("_path")).map(([name, value]) => html`<dt key=${name}>${label(name)}</dt><dd>${number(value)} <span class="faint">${unitOf(name)}</span></dd>`)}${result?.job ? html`<dt>Job</dt><dd><a href=${address(here("job", String(result.job)))}>${result.job}</a></dd>` : null}</dl></div></div>
    </div>`;
}

// Pictures and plots of a job's latest results, whatever their kind.
import { html, useState } from "/core/html.js";
import { query } from "/core/api.js";
import { address } from "/core/router.js";
import { at, here } from "/core/state.js";
import { label, number, plural, unitOf } from "/core/words.js";
import { Histogram, Plot } from "/parts/plot.js";
import { AlignmentPlot } from "/results/alignment.js";
import { CtfCurves } from "/results/ctf.js";
import { ClassMontage } from "/results/class_montage.js";
import { MapSummary } from "/results/map_summary.js";
import { LiveRefinement } from "/results/refinements.js";

const columns = (results, name) => results.map((one) => one.values[name]).filter((value) => typeof value === "number");
const pixels = (result, role) => html`<img class="shown" alt=${`${role} of ${result.key}`} src=${`/api${at("/picture")}${query({ source: `result:${result.id}:${role}`, edge: 700 })}`} />`;

// `whole.results` are events of the job; those that were taken in carry their number in the project.
export function Live({ job, whole, active }) {
  const [chosen, setChosen] = useState(null);
  if (!whole) return html`<div class="card empty small">…</div>`;
  const taken = whole.ids || {};
  const results = whole.results.map((one) => ({ ...one, id: taken[one.key]?.result, product: taken[one.key]?.asset }));
  if (!results.length) return html`<div class="card empty small">${active ? "The first results will be shown here as they come." : "This job has no results."}</div>`;
  // A job may make several kinds of result, such as maps and the rounds that they belong to: the last of these tells most.
  const kind = results.some((one) => one.kind === "refinement") ? "refinement" : results[results.length - 1].kind;
  const of = results.filter((one) => one.kind === kind);
  const known = of.filter((one) => one.id);
  const one = known.find((result) => result.key === chosen) || known[known.length - 1];
  const Shown = { movie_alignment: Alignments, ctf_estimation: Ctfs, particle_positions: Picks, classification: Classes, reconstruction: Maps, sharpened_volume: Maps, local_resolution: Maps, locally_filtered: Maps, refinement: Rounds }[kind] || Others;
  return html`${whole.results_total > results.length ? html`<p class="small soft">The last ${results.length} of ${whole.results_total} results.</p>` : null}
    <${Shown} results=${of} known=${known} one=${one} choose=${setChosen} job=${job} />`;
}

function Pick({ known, one, choose }) {
  if (known.length < 2) return null;
  const index = known.indexOf(one);
  return html`<div class="row"><button class="small" disabled=${index <= 0} onClick=${() => choose(known[index - 1].key)}>Previous</button><select aria-label="Result" value=${one.key} onChange=${(event) => choose(event.target.value)}>${known.map((result) => html`<option key=${result.key} value=${result.key}>${result.product ? `${result.product.kind} ${result.product.id}` : result.key}</option>`)}</select><button class="small" disabled=${index >= known.length - 1} onClick=${() => choose(known[index + 1].key)}>Next</button></div>`;
}

function Alignments({ results, known, one, choose }) {
  return html`<div class="grid two"><div class="card"><header><h2>Total motion</h2></header><div class="body"><${Histogram} values=${columns(results, "total_motion_A")} xLabel="Å" name="Total motion" /></div></div>
    <div class="card"><header><h2 class="grow">${one ? "One movie" : "Shifts"}</h2>${one ? html`<${Pick} known=${known} one=${one} choose=${choose} />` : null}</header><div class="body"><${AlignmentPlot} values=${(one || results[results.length - 1]).values} /></div></div></div>
    ${one ? html`<div class="two-pictures">${one.files.thumbnail ? html`<figure><figcaption>Sum</figcaption>${pixels(one, "thumbnail")}</figure>` : null}${one.files.spectrum ? html`<figure><figcaption>Spectrum</figcaption>${pixels(one, "spectrum")}</figure>` : null}</div>` : null}`;
}

function Ctfs({ results, known, one, choose }) {
  const there = results.filter((result) => typeof result.values.defocus_u_A === "number");
  const order = there.map((result, i) => i + 1);
  return html`<div class="grid two"><div class="card"><header><h2>Defocus</h2></header><div class="body"><${Plot} x=${order} xLabel="image" yLabel="Å" name="Defocus" series=${[{ name: "u", values: there.map((result) => result.values.defocus_u_A), points: 6 }, { name: "v", values: there.map((result) => result.values.defocus_v_A), points: 6 }]} onPoint=${(index) => choose(there[index].key)} /></div></div>
    <div class="card"><header><h2>Fit to</h2></header><div class="body"><${Histogram} values=${columns(results, "fit_resolution_A")} xLabel="Å" height="220" name="Fit resolution" /></div></div></div>
    ${one ? html`<div class="card"><header><h2 class="grow">One image</h2><${Pick} known=${known} one=${one} choose=${choose} /></header><div class="body grid two"><div><${CtfCurves} result=${one} /></div><div style=${{ maxWidth: "420px" }}>${pixels(one, "diagnostic")}</div></div></div>` : null}`;
}

function Picks({ results, known, one, choose }) {
  const total = columns(results, "count").reduce((sum, n) => sum + n, 0);
  return html`<div class="grid two"><div class="card"><header><h2 class="grow">Particles per image</h2><span class="pill">${plural(total, "particle")}</span></header><div class="body"><${Histogram} values=${columns(results, "count")} xLabel="particles" name="Particles per image" /></div></div>
    <div class="card"><header><h2>Median score</h2></header><div class="body"><${Histogram} values=${columns(results, "median_score")} xLabel="σ" name="Median score" /></div></div></div>
    ${one ? html`<div class="card"><header><h2 class="grow">One image</h2><${Pick} known=${known} one=${one} choose=${choose} /><a class="button" href=${address(here("results", "picks"), { at: one.of?.id })}>Edit picks</a></header><div class="body">${one.files.diagnostic ? pixels(one, "diagnostic") : null}</div></div>` : null}`;
}

function Classes({ known, one, choose }) {
  return one?.product ? html`<div class="card"><header><h2 class="grow">Class averages, round ${one.values.round} of ${one.values.rounds}</h2><${Pick} known=${known} one=${one} choose=${choose} /><a class="button" href=${address(here("results", "classes"), { at: one.product.id })}>Open</a></header><div class="body"><${ClassMontage} classification=${one.product.id} values=${one.values} /></div></div>` : null;
}

function Maps({ known, one, choose }) {
  return one?.product ? html`<div class="card"><header><h2 class="grow">Map ${one.product.id}</h2><${Pick} known=${known} one=${one} choose=${choose} /><a class="button" href=${address(here("results", "maps"), { at: one.product.id })}>Open</a></header><div class="body"><${MapSummary} result=${one} volume=${one.product.id} /></div></div>` : null;
}

const Rounds = (props) => html`<${LiveRefinement} ...${props} Pick=${Pick} />`;

function Others({ results, known, one, choose }) {
  const figures = Object.entries((one || results[results.length - 1]).values).filter(([, value]) => typeof value === "number" || typeof value === "string");
  const { hand_by: hand = {}, warnings = [] } = (one || results[results.length - 1]).values;
  return html`<div class="card"><header><h2 class="grow">${label((one || results[results.length - 1]).kind)}</h2>${one ? html`<${Pick} known=${known} one=${one} choose=${choose} />` : null}${one?.files.report ? html`<a class="button" href=${`/api${at("/download")}${query({ source: `result:${one.id}:report` })}`} download>Report</a>` : null}</header>
    <div class="body grid two" style=${{ alignItems: "start" }}><div class="col">${warnings.map((text) => html`<div key=${text} class="note warn">${text}</div>`)}
      <dl class="facts">${figures.map(([name, value]) => html`<dt key=${name}>${label(name)}</dt><dd>${number(value)} <span class="faint">${unitOf(name)}</span></dd>`)}</dl>
      ${Object.entries(hand).map(([by, words]) => html`<p key=${by} class="small soft">Hand, by the ${by}: ${words}.</p>`)}</div>
    ${one?.files.picture ? pixels(one, "picture") : null}</div></div>`;
}

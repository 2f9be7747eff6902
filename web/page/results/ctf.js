// A CTF fit: curves, spectrum beside fit, figures, the micrograph.
import { html } from "/core/html.js";
import { query } from "/core/api.js";
import { address } from "/core/router.js";
import { at, here, useAnswer } from "/core/state.js";
import { number } from "/core/words.js";
import { Plot } from "/parts/plot.js";
import { Picture } from "/parts/picture.js";
import { AlignmentPlot } from "/results/alignment.js";

export function CtfCurves({ result, height = 270 }) {
  const { data, error } = useAnswer(result.files?.avrot ? `${at("/curves")}${query({ source: `result:${result.id}:avrot` })}` : null, { live: false });
  if (!result.files?.avrot) return html`<div class="empty small">This CTF was not fitted here; there are no curves.</div>`;
  if (error) return html`<div class="note bad">${error}</div>`;
  if (!data) return html`<div class="empty small">…</div>`;
  const begin = data.frequency_per_A.findIndex((one) => one > 1 / 40);
  const cut = (values) => values.slice(Math.max(0, begin));
  const spectrum = data.astigmatic_average || data.average;
  const shown = spectrum.filter((value, i) => Number.isFinite(value) && data.frequency_per_A[i] > 1 / 20).sort((a, b) => a - b);
  const [low, high] = [shown[Math.floor(0.02 * shown.length)], shown[Math.floor(0.98 * shown.length)]];
  const scaled = cut(spectrum).map((value) => Math.max(-0.3, Math.min(1.4, (value - low) / (high - low || 1))));
  const lines = [];
  if (result.values.fit_resolution_A) lines.push({ x: 1 / result.values.fit_resolution_A, text: `fit to ${number(result.values.fit_resolution_A, 3)} Å` });
  if (result.values.aliasing_resolution_A) lines.push({ x: 1 / result.values.aliasing_resolution_A, text: "" });
  return html`<${Plot} x=${cut(data.frequency_per_A)} height=${height} xLabel="spatial frequency, 1/Å" yRange=${[-0.35, 1.45]} lines=${lines} name="Spectrum and fit"
    series=${[{ name: "spectrum", values: scaled, ink: "--soft", width: 1.2 }, { name: "CTF", values: cut(data.fit), ink: "--accent", width: 1.4 }, { name: "quality of fit", values: cut(data.quality), ink: "--warn", width: 2 }]} />`;
}

export function Ctf({ result, image, alignment }) {
  const { values } = result;
  return html`<div class="card"><header><h2>Spectrum and fit</h2></header><div class="body"><${CtfCurves} result=${result} /></div></div>
    <div class="grid two" style=${{ alignItems: "start" }}>${result.files?.diagnostic ? html`<figure><figcaption>The fit (left) beside the spectrum (right)</figcaption><${Picture} source=${`result:${result.id}:diagnostic`} height=${420} label="Spectrum beside the fit" scaleBar=${false} /></figure>` : null}
      <div class="col"><div class="card"><header><h2>Figures</h2></header><div class="body"><dl class="facts"><dt>Defocus u</dt><dd>${number(values.defocus_u_A, 5)} Å</dd><dt>Defocus v</dt><dd>${number(values.defocus_v_A, 5)} Å</dd><dt>Angle</dt><dd>${number(values.defocus_angle_deg, 3)}°</dd><dt>Astigmatism</dt><dd>${number(values.astigmatism_A, 3)} Å</dd><dt>Phase shift</dt><dd>${number(values.phase_shift_deg, 3)}°</dd><dt>Score</dt><dd>${number(values.score, 3)}</dd><dt>Fit to</dt><dd>${number(values.fit_resolution_A, 3)} Å</dd><dt>Rings too narrow beyond</dt><dd>${number(values.aliasing_resolution_A, 3)} Å</dd><dt>Iciness</dt><dd>${number(values.iciness, 3)}</dd><dt>Defocus error</dt><dd>${number(values.mean_defocus_error_A, 3)} Å</dd><dt>May be wrong with probability</dt><dd>${values.failure_probability < 0.001 ? "< 0.001" : number(values.failure_probability, 2)}</dd></dl></div></div></div></div>
    ${image ? html`<div class=${alignment ? "two-pictures" : ""}>${alignment ? html`<div class="card"><header><h2 class="grow">Shifts of its movie</h2><a class="small" href=${address(here("results", "alignment"), { at: image.parent_movie })}>Alignment</a></header><div class="body"><${AlignmentPlot} values=${alignment.values} height=${360} /></div></div>` : null}<figure><figcaption>Micrograph</figcaption><${Picture} source=${image.scaled_path ? `asset:image:${image.id}:scaled` : `asset:image:${image.id}`} height=${460} label="Micrograph" /></figure></div>` : null}`;
}

// An aligned movie: shifts, spectrum and sum side by side.
import { html } from "/core/html.js";
import { query } from "/core/api.js";
import { at } from "/core/state.js";
import { number } from "/core/words.js";
import { Plot } from "/parts/plot.js";
import { Picture } from "/parts/picture.js";

export function AlignmentPlot({ values, height = 250 }) {
  if (!values.shifts_x_A) return html`<div class="empty small">This result says nothing of shifts.</div>`;
  const x = values.shifts_x_A.map((_, i) => (values.dose_per_frame_e_per_A2 ? (values.pre_exposure_e_per_A2 || 0) + (i + 1) * values.dose_per_frame_e_per_A2 : i + 1));
  return html`<${Plot} x=${x} xLabel=${values.dose_per_frame_e_per_A2 ? "exposure, e/Å²" : "frame"} yLabel="shift, Å" height=${height} name="Shifts of the frames" series=${[{ name: "x", values: values.shifts_x_A }, { name: "y", values: values.shifts_y_A }]} />`;
}

export function Alignment({ result }) {
  const { values } = result;
  return html`<div class="grid two"><div class="card"><header><h2>Shifts</h2></header><div class="body"><${AlignmentPlot} values=${values} /></div></div>
      <div class="card"><header><h2>Figures</h2></header><div class="body"><dl class="facts"><dt>Total motion</dt><dd>${number(values.total_motion_A, 3)} Å</dd><dt>Largest step</dt><dd>${number(values.largest_step_A, 3)} Å</dd><dt>Frames summed</dt><dd>${values.frames_summed} of ${values.n_frames}</dd>${values.frames_left_out?.length ? html`<dt>Left out</dt><dd>${values.frames_left_out.join(", ")}</dd>` : null}<dt>Dose</dt><dd>${number(values.total_dose_e_per_A2, 3)} e/Å²</dd><dt>Rounds</dt><dd>${values.rounds}${values.converged ? "" : ", not settled"}</dd><dt>Pixel size</dt><dd>${number(values.pixel_size_A)} Å</dd>${values.local_motion ? html`<dt>Local motion, rms</dt><dd>${number(values.local_motion.rms_A, 3)} Å</dd><dt>Local motion, largest</dt><dd>${number(values.local_motion.largest_A, 3)} Å</dd>` : null}<dt>Outlier pixels</dt><dd>${number(values.outlier_pixels)}</dd></dl></div></div></div>
    <div class="two-pictures"><figure><figcaption>Aligned sum</figcaption><${Picture} source=${`result:${result.id}:${result.files.thumbnail ? "thumbnail" : "sum"}`} height=${440} label="Aligned sum" /></figure>
      <figure><figcaption>Amplitude spectrum to ${number(2 * values.pixel_size_A, 3)} Å at the edge</figcaption><${Picture} source=${`result:${result.id}:spectrum`} height=${440} label="Amplitude spectrum" scaleBar=${false} /></figure></div>`;
}

// Picks of a micrograph: circles over the image; click adds or removes, Shift and drag removes an area, the threshold moves live.
import { html, useCallback, useEffect, useRef, useState } from "/core/html.js";
import { get, post, query } from "/core/api.js";
import { at, useAnswer } from "/core/state.js";
import { count, number, plural } from "/core/words.js";
import { Icon } from "/parts/icons.js";
import { Picture } from "/parts/picture.js";
import { Histogram } from "/parts/plot.js";
import { toast } from "/parts/toasts.js";
import { drawCircles } from "/results/pick_circles.js";

export function Picks({ image }) {
  const path = at(`/picks/${image.id}`);
  const { data: kept, error } = useAnswer(path);
  const [found, setFound] = useState(null);
  const [preview, setPreview] = useState(null);
  const [circles, setCircles] = useState(true);
  const [invert, setInvert] = useState(Boolean(image.protein_is_white));
  const [lowPass, setLowPass] = useState(0);
  const [highPass, setHighPass] = useState(0);
  const [area, setArea] = useState(null);
  const [radius, setRadius] = useState(null);
  const [full, setFull] = useState(false);
  const asking = useRef(null);
  useEffect(() => { if (kept) { setFound(kept); setPreview(null); setRadius((old) => old ?? kept.radius_A ?? 60); } }, [kept]);
  const pixel = image.pixel_size_A;
  const shown = preview || found;
  const send = async (content, what = "") => {
    try { setFound(await post(`${path}${what}`, content)); setPreview(null); } catch (failed) { toast(failed.message, { bad: true }); }
  };
  const slide = (value) => {
    asking.current?.abort();
    asking.current = new AbortController();
    get(`${path}${query({ threshold: value })}`, asking.current.signal).then((answer) => setPreview({ ...answer, asked: value }), (failed) => failed.name !== "AbortError" && toast(failed.message, { bad: true }));
  };
  const source = image.scaled_path && !full ? `asset:image:${image.id}:scaled` : `asset:image:${image.id}`;
  const scaledBy = useAnswer(source.endsWith(":scaled") ? `${at("/picture/facts")}${query({ source, edge: 256 })}` : null, { live: false }).data;
  const perPixel = scaledBy ? image.n_x / scaledBy.n_x : 1;
  const toPixels = perPixel * pixel;
  const overlay = useCallback((pen, { toCanvas, scale }) => {
    if (!shown) return;
    if (circles) {
      drawCircles(pen, { toCanvas, scale }, shown, radius || 60, toPixels, preview ? "#ffd166" : "#5ee0a0");
    }
    if (area) { const [x1, y1] = toCanvas(...area.from); const [x2, y2] = toCanvas(...area.to); pen.strokeStyle = "#ff8f86"; pen.setLineDash([5, 4]); pen.strokeRect(Math.min(x1, x2), Math.min(y1, y2), Math.abs(x2 - x1), Math.abs(y2 - y1)); }
  }, [shown, circles, radius, area, toPixels]);
  const click = ({ x, y, reach }) => {
    if (!found) return;
    const [xA, yA] = [(x - 0.5) * toPixels, (y - 0.5) * toPixels];
    let nearest = -1; let least = Infinity;
    for (let i = 0; i < found.x_A.length; i += 1) { const far = Math.hypot(found.x_A[i] - xA, found.y_A[i] - yA); if (far < least) { least = far; nearest = i; } }
    const within = Math.max(reach * toPixels, 0.6 * (radius || 60));
    if (nearest >= 0 && least < within) send({ remove: [[found.x_A[nearest], found.y_A[nearest]]] });
    else if (xA >= 0 && yA >= 0 && xA < image.n_x * pixel && yA < image.n_y * pixel) send({ add: [[xA, yA]] });
  };
  const drag = ({ from, to, ended }) => {
    if (!ended) { setArea({ from, to }); return; }
    setArea(null);
    const [xs, ys] = [[from[0], to[0]].sort((a, b) => a - b), [from[1], to[1]].sort((a, b) => a - b)];
    const remove = [];
    found.x_A.forEach((x, i) => { const [px, py] = [x / toPixels + 0.5, found.y_A[i] / toPixels + 0.5]; if (px >= xs[0] && px <= xs[1] && py >= ys[0] && py <= ys[1]) remove.push([x, found.y_A[i]]); });
    if (remove.length) send({ remove });
  };
  if (error && !found) return html`<div class="note">${error}</div><${Picture} source=${source} height=${520} label="Micrograph" />`;
  const scores = shown?.candidates;
  const threshold = preview?.asked ?? found?.threshold;
  return html`<div class="card"><header style=${{ flexWrap: "wrap" }}><h2>${found ? plural((preview || found).count, "particle") : "…"}</h2>${found?.added || found?.removed ? html`<span class="small soft">${found.added ? `${found.added} added` : ""}${found.added && found.removed ? ", " : ""}${found.removed ? `${found.removed} removed` : ""} by hand</span>` : null}<span class="grow"></span>
      <button disabled=${!found?.can_undo} onClick=${() => send({}, "/undo")}><${Icon} name="undo" />Undo</button><button disabled=${!found?.can_redo} onClick=${() => send({}, "/redo")}><${Icon} name="redo" />Redo</button></header>
    <div class="body col"><${Picture} source=${source} options=${{ invert, edge: 1400, lowPass, highPass }} height="min(62vh, 760px)" overlay=${overlay} onClick=${click} onDrag=${drag} tick=${`${shown?.result}${shown?.count}${circles}${radius}`} label=${`Micrograph ${image.name} with picks`} />
      <div class="tool-row"><label><input type="checkbox" class="switch" checked=${circles} onChange=${(event) => setCircles(event.target.checked)} />Circles</label><label>Radius<input type="range" min="10" max="300" value=${radius || 60} onInput=${(event) => setRadius(Number(event.target.value))} />${radius} Å</label><label><input type="checkbox" class="switch" checked=${invert} onChange=${(event) => setInvert(event.target.checked)} />Invert</label>
        ${image.scaled_path ? html`<label><input type="checkbox" class="switch" checked=${full} onChange=${(event) => setFull(event.target.checked)} />Full resolution</label>` : null}<label>Low pass<select aria-label="Low pass" value=${lowPass} onChange=${(event) => setLowPass(Number(event.target.value))}><option value="0">none</option>${[5, 10, 15, 20, 30, 50].map((one) => html`<option key=${one} value=${one}>${one} Å</option>`)}</select></label><label>High pass<select aria-label="High pass" value=${highPass} onChange=${(event) => setHighPass(Number(event.target.value))}><option value="0">none</option>${[200, 400, 800, 1600].map((one) => html`<option key=${one} value=${one}>${one} Å</option>`)}</select></label><span class="faint">Click adds or removes. Shift and drag removes an area. Wheel zooms, drag moves.</span></div></div></div>
    ${scores ? html`<div class="card"><header><h2 class="grow">Threshold</h2>${preview ? html`<button onClick=${() => setPreview(null)}>Back</button><button class="main-button" onClick=${() => send({ threshold: preview.asked })}>Keep ${number(preview.asked, 3)}: ${count(preview.count)} particles</button>` : null}</header><div class="body col" style=${{ gap: "6px" }}>
      <label class="row"><span class="small soft">Least score</span><input class="grow" type="range" aria-label="Threshold" min=${Math.max(0.1, Math.min(...scores)).toFixed(2)} max=${Math.max(...scores).toFixed(2)} step="0.05" value=${threshold} onInput=${(event) => slide(Number(event.target.value))} /><span class="strong" style=${{ width: "48px" }}>${number(threshold, 3)}</span></label>
      <${Histogram} values=${scores} bins=${60} height=${130} xLabel="score of all candidates, σ" lines=${[{ x: threshold, text: "" }]} name="Scores of all candidates" /></div></div>` : null}`;
}

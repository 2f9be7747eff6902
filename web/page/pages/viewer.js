// A viewer for any image, stack, movie or map: grey scale, sections, Fourier amplitudes, distance, PNG.
import { html, useCallback, useEffect, useState } from "/core/html.js";
import { query } from "/core/api.js";
import { go, route } from "/core/router.js";
import { at, here, useAnswer } from "/core/state.js";
import { number } from "/core/words.js";
import { chooseFile } from "/parts/files.js";
import { Icon } from "/parts/icons.js";
import { Picture } from "/parts/picture.js";
import { Plot } from "/parts/plot.js";
import { Sections } from "/results/sections.js";

export function Viewer() {
  const source = route.value.values.source || "";
  const [section, setSection] = useState(0);
  const [many, setMany] = useState(false);
  const [fft, setFft] = useState(false);
  const [invert, setInvert] = useState(false);
  const [grey, setGrey] = useState(null);
  const [measure, setMeasure] = useState(false);
  const [line, setLine] = useState(null);
  useEffect(() => { setSection(0); setGrey(null); setLine(null); }, [source]);
  const { data: facts, last, error } = useAnswer(source ? `${at("/picture/facts")}${query({ source, section: section || undefined })}` : null, { live: false });
  const known = facts || (last && source ? last : null);
  const overlay = useCallback((pen, { toCanvas }) => {
    if (!line) return;
    const [x1, y1] = toCanvas(...line.from); const [x2, y2] = toCanvas(...line.to);
    pen.strokeStyle = "#ffd166"; pen.lineWidth = 2; pen.beginPath(); pen.moveTo(x1, y1); pen.lineTo(x2, y2); pen.stroke();
    const far = Math.hypot(line.to[0] - line.from[0], line.to[1] - line.from[1]);
    const words = `${far.toFixed(1)} px${known?.pixel_size_A ? `, ${(far * known.pixel_size_A).toFixed(1)} Å` : ""}`;
    pen.font = "600 13px system-ui"; pen.fillStyle = "rgba(4,14,20,.75)"; pen.fillRect(x2 + 8, y2 - 19, pen.measureText(words).width + 12, 22); pen.fillStyle = "#fff"; pen.fillText(words, x2 + 14, y2 - 4);
  }, [line, known]);
  const open = (path) => go(here("viewer"), { source: `file:${path}` });
  const name = source.startsWith("file:") ? source.slice(5).split("/").pop() : known?.path?.split("/").pop();
  const low = grey?.low ?? known?.low; const high = grey?.high ?? known?.high;
  const range = known ? [Math.min(known.least, known.edges[0]), Math.max(known.most, known.edges[known.edges.length - 1])] : [0, 1];
  const step = (range[1] - range[0]) / 500 || 0.001;
  return html`<div class="page fill"><div class="page-head"><div class="grow"><h1>Viewer</h1>${known ? html`<p class="soft small mono cut" title=${known.path}>${known.path}</p>` : null}</div><button class="main-button" onClick=${() => chooseFile({ title: "an image, stack, movie or map", endings: ".mrc,.mrcs,.map,.tif,.tiff,.eer,.dm4,.dm3,.png", go: open })}><${Icon} name="folder" />Open a file</button></div>
    ${error ? html`<div class="note bad">${error}</div>` : null}
    ${!source ? html`<div class="card empty" style=${{ flex: 1 }}><${Icon} name="viewer" /><div class="strong">Look at any image</div><p>MRC, TIFF, EER, DM and PNG: micrographs, movies, stacks and maps.</p></div>` : html`<div class="map-layout">
      ${many && known?.n_sections > 1 ? html`<${Sections} source=${source} n=${known.n_sections} name=${name} grey=${{ low, high }} invert=${invert} onOpen=${(one) => { setSection(one); setMany(false); }} />` : html`<${Picture} source=${source} options=${{ section, fft, invert, low: grey?.low, high: grey?.high, dragTool: measure, edge: 1600 }} height="100%" overlay=${overlay} onDrag=${measure ? (drag) => setLine({ from: drag.from, to: drag.to }) : undefined} tick=${JSON.stringify(line)} label=${`Section ${section} of ${name}`} />`}
      <div class="panel">${known ? html`<div class="card"><div class="body col">
        ${known.n_sections > 1 ? html`<label class="field"><span class="label">Section <span class="faint">${section + 1} of ${known.n_sections}</span></span><input type="range" aria-label="Section" min="0" max=${known.n_sections - 1} value=${section} onInput=${(event) => setSection(Number(event.target.value))} />
          <input inputmode="numeric" aria-label="Go to section" value=${section + 1} onChange=${(event) => { const wanted = Math.round(Number(event.target.value)) - 1; if (wanted >= 0 && wanted < known.n_sections) setSection(wanted); }} /></label>` : null}
        ${known.n_sections > 1 ? html`<div class="segments"><button class=${!many ? "on" : ""} onClick=${() => setMany(false)}>One</button><button class=${many ? "on" : ""} onClick=${() => setMany(true)}>Many at once</button></div>` : null}
        <div class="segments"><button class=${!fft ? "on" : ""} onClick=${() => setFft(false)}>Image</button><button class=${fft ? "on" : ""} onClick=${() => setFft(true)}>Fourier amplitudes</button></div>
        <label class="row"><input type="checkbox" class="switch" checked=${invert} onChange=${(event) => setInvert(event.target.checked)} />Invert</label>
        <label class="row"><input type="checkbox" class="switch" checked=${measure} onChange=${(event) => { setMeasure(event.target.checked); setLine(null); }} />Measure a distance</label></div></div>
      ${fft ? null : html`<div class="card"><header><h2 class="grow">Grey scale</h2>${grey ? html`<button class="small" onClick=${() => setGrey(null)}>Automatic</button>` : html`<span class="faint small">automatic</span>`}</header><div class="body col" style=${{ gap: "8px" }}>
        <${Plot} x=${known.edges.slice(1).map((edge, i) => (edge + known.edges[i]) / 2)} series=${[{ name: "pixels", values: known.histogram, bars: true }]} height=${110} legend=${false} lines=${[{ x: low, text: "" }, { x: high, text: "" }]} name="Histogram" />
        <label class="field"><span class="label">Black <span class="faint">${number(low, 3)}</span></span><input type="range" aria-label="Black" min=${range[0]} max=${range[1]} step=${step} value=${low} onInput=${(event) => setGrey({ low: Math.min(Number(event.target.value), high - step), high })} /></label>
        <label class="field"><span class="label">White <span class="faint">${number(high, 3)}</span></span><input type="range" aria-label="White" min=${range[0]} max=${range[1]} step=${step} value=${high} onInput=${(event) => setGrey({ low, high: Math.max(Number(event.target.value), low + step) })} /></label></div></div>`}
      <div class="card"><header><h2>Facts</h2></header><div class="body"><dl class="facts"><dt>Size</dt><dd>${known.n_x} × ${known.n_y}${known.n_sections > 1 ? ` × ${known.n_sections}` : ""}</dd><dt>Type</dt><dd>${known.type}</dd><dt>Pixel size</dt><dd>${known.pixel_size_A ? `${number(known.pixel_size_A)} Å` : "–"}</dd><dt>Mean</dt><dd>${number(known.mean)}</dd><dt>Deviation</dt><dd>${number(known.deviation)}</dd><dt>Least, most</dt><dd>${number(known.least, 3)}, ${number(known.most, 3)}</dd></dl></div></div>
      <a class="button" download=${`${name}-${section}.png`} href=${`/api${at("/picture")}${query({ source, section: section || undefined, edge: 4096, low: grey?.low, high: grey?.high, fft: fft || undefined, invert: invert || undefined })}`}><${Icon} name="download" />PNG</a>` : null}</div></div>`}</div>`;
}

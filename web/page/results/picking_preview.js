// Picking while its parameters change: one micrograph, the picks that these parameters would give, asked for again after each change.
import { html, useCallback, useEffect, useRef, useState } from "/core/html.js";
import { post, query } from "/core/api.js";
import { at, useAnswer } from "/core/state.js";
import { number, plural } from "/core/words.js";
import { Icon } from "/parts/icons.js";
import { Picture } from "/parts/picture.js";
import { Histogram } from "/parts/plot.js";
import { drawCircles } from "/results/pick_circles.js";

const WAIT_MS = 350;

export function PickingPreview({ values, problems, inputs, defaults }) {
  const choice = inputs.images;
  const group = choice?.group ?? 0;
  const numbers = choice?.numbers;
  const { last: listed } = useAnswer(numbers ? null : `${at("/assets/image")}${query({ group, limit: 200 })}`);
  const ids = numbers || listed?.rows.map((one) => one.id) || [];
  const [place, setPlace] = useState(0);
  const id = ids[Math.min(place, ids.length - 1)];
  const { data: about } = useAnswer(id ? at(`/assets/image/${id}`) : null);
  const image = about?.asset;
  const [found, setFound] = useState(null);
  const [error, setError] = useState("");
  const [busy, setBusy] = useState(false);
  const [open, setOpen] = useState(() => sessionStorage.getItem("verglas-preview") !== "off");
  const wanted = JSON.stringify([id, values, inputs.template_map]);
  const asked = useRef("");
  const latest = useRef(wanted);
  latest.current = wanted;
  const askNow = async () => {
    if (asked.current) return;  // the answer that is on its way asks again if parameters have changed
    while (asked.current !== latest.current) {
      asked.current = latest.current;
      setBusy(true);
      const [one, parameters, map] = JSON.parse(latest.current);
      const now = latest.current;
      try {
        const answer = await post(at(`/picks/${one}/preview`), { parameters, template_map: map?.numbers?.[0] ?? null });
        if (now === latest.current) { setFound(answer.error ? null : { ...answer, id: one }); setError(answer.error || ""); }
      } catch (failed) { if (now === latest.current) setError(failed.message); }
    }
    asked.current = "";
    setBusy(false);
  };
  useEffect(() => {
    if (!open || !id || Object.keys(problems).length) return undefined;
    const timer = setTimeout(askNow, WAIT_MS);
    return () => clearTimeout(timer);
  }, [wanted, open, Object.keys(problems).length]);
  const toggle = () => { sessionStorage.setItem("verglas-preview", open ? "off" : "on"); setOpen(!open); };
  const source = image ? (image.scaled_path ? `asset:image:${id}:scaled` : `asset:image:${id}`) : null;
  const { data: scaled } = useAnswer(image?.scaled_path ? `${at("/picture/facts")}${query({ source, edge: 256 })}` : null, { live: false });
  const pixel = image ? image.pixel_size_A * (scaled ? image.n_x / scaled.n_x : 1) : 1;
  const shown = found?.id === id ? found : null;
  const overlay = useCallback((pen, view) => { if (shown) drawCircles(pen, view, shown, Number(shown.radius_A) || 60, pixel, "#ffd166"); }, [shown, pixel]);
  const step = (by) => setPlace((ids.length + Math.min(place, ids.length - 1) + by) % ids.length);
  const threshold = Number(values.threshold ?? defaults.threshold);
  return html`<div class="card"><header><h2 class="grow">Preview</h2>${open && image ? html`<span class="small soft cut">${image.name}</span><button class="small" aria-label="Micrograph before" onClick=${() => step(-1)}><${Icon} name="back" /></button><button class="small" aria-label="Next micrograph" onClick=${() => step(1)}><${Icon} name="next" /></button>` : null}
      <input type="checkbox" class="switch" aria-label="Preview" checked=${open} onChange=${toggle} /></header>
    ${!open ? null : !id ? html`<div class="empty small">There are no images to pick in.</div>` : html`<div class="body col">
      <${Picture} source=${source} options=${{ edge: 1400, invert: Boolean(image?.protein_is_white) }} height=${380} overlay=${overlay} tick=${`${shown?.count}${shown?.radius_A}`} label=${`Preview of picks in ${image?.name ?? ""}`} />
      <div class="row small" aria-live="polite" style=${{ minHeight: "26px" }}>${error ? html`<span class="bad-words">${error}</span>` : shown ? html`<span class="strong">${plural(shown.count, "particle")} by these values</span><span class="soft">${shown.avoided_part ? `${number(100 * shown.avoided_part, 2)} % avoided` : ""}</span>` : null}<span class="grow"></span>${busy ? html`<span class="pill busy">picking</span>` : null}</div>
      ${shown?.candidates.length > 1 ? html`<${Histogram} values=${shown.candidates} bins=${60} height=${110} xLabel="score of candidates, σ" lines=${[{ x: threshold, text: "threshold" }]} name="Scores of candidates" />` : null}</div>`}</div>`;
}

// The card of the focus sphere beside a map: its numbers, the spheres that are kept, and the actions that take one.
import { html } from "/core/html.js";
import { address, go } from "/core/router.js";
import { actions, at, here, useAnswer } from "/core/state.js";
import { ask } from "/parts/dialog.js";
import { Icon } from "/parts/icons.js";
import { attempt, toast } from "/parts/toasts.js";
import { PARTS, forget, fromKept, inWords, keep, sphereFields, valuesFor } from "/map/sphere.js";

export function SphereCard({ sphere, setSphere, shown, setShown, most }) {
  const { last } = useAnswer(at("/spheres"));
  const kept = Object.entries(last?.spheres || {});
  const taking = actions.value.map((action) => [action, sphereFields(action.parameters)]).filter(([, fields]) => fields);
  const name = () => { for (let n = 1; ; n += 1) if (!kept.some(([one]) => one === `Sphere ${n}`)) return `Sphere ${n}`; };
  const use = async (action, fields) => {
    const known = kept.find(([, one]) => PARTS.every((part) => one[`${part}_A`] === sphere[part]));
    if (known || await attempt(() => keep(name(), sphere))) go(here("action", action.name), valuesFor(fields, sphere));
  };
  return html`<div class="card"><header><h2 class="grow">Focus sphere</h2><input type="checkbox" class="switch" aria-label="Show the focus sphere" checked=${shown} onChange=${(event) => setShown(event.target.checked)} /></header>
    ${shown && sphere ? html`<div class="body col" style=${{ gap: "10px" }}><p class="small soft">Drag its arrows. In Å from the centre of the first voxel.</p>
      <div class="fields tight">${PARTS.map((part) => html`<label key=${part} class="field"><span class="label">${part}</span><div class="with-unit"><input style=${{ width: "100%" }} inputmode="decimal" aria-label=${`Sphere ${part}`} value=${sphere[part]} onChange=${(event) => Number.isFinite(Number(event.target.value)) && setSphere({ ...sphere, [part]: Number(event.target.value) })} /><span>Å</span></div></label>`)}</div>
      <input type="range" aria-label="Radius" min="1" max=${most} step="0.5" value=${sphere.radius} onInput=${(event) => setSphere({ ...sphere, radius: Number(event.target.value) })} />
      ${taking.map(([action, fields]) => html`<button key=${action.name} class="main-button" onClick=${() => use(action, fields)}>Use in ${action.title}</button>`)}
      <div class="row" style=${{ gap: "6px" }}><button class="small grow" onClick=${() => ask({ title: "Keep the focus sphere", label: inWords(sphere), value: name(), go: (text) => attempt(() => keep(text, sphere), "The sphere is kept in the project.") })}>Keep…</button>
        <button class="small" title="Copy x y z radius" aria-label="Copy the sphere" onClick=${() => navigator.clipboard?.writeText(PARTS.map((part) => sphere[part]).join(" ")).then(() => toast("Copied: x y z radius"))}><${Icon} name="copy" /></button></div></div>` : null}
    ${kept.length ? html`<div class="job-lines">${kept.map(([text, one]) => html`<div key=${text} class="job-line" style=${{ padding: "6px 12px" }}><button class="bare grow" style=${{ justifyContent: "flex-start", textAlign: "left", minWidth: 0 }} title=${inWords(fromKept(one))} onClick=${() => { setSphere(fromKept(one)); setShown(true); }}><span class="cut">${text}</span><span class="faint small cut">r ${one.radius_A} Å</span></button>
      <button class="bare small bad" aria-label=${`Remove ${text}`} onClick=${() => attempt(() => forget(text))}><${Icon} name="close" /></button></div>`)}</div>` : null}</div>`;
}

// In a form: fill the fields of a focus sphere from one that is kept.
export function SphereChoice({ fields, values, onChange }) {
  const { last } = useAnswer(at("/spheres"));
  const kept = Object.entries(last?.spheres || {});
  const now = kept.find(([, one]) => PARTS.every((part) => one[`${part}_A`] === values[fields[part]]))?.[0] || "";
  return html`<div class="note row wrap"><span class="grow">A focus sphere is placed by hand on a map.</span>
    ${kept.length ? html`<select aria-label="Focus sphere" value=${now} onChange=${(event) => { const one = kept.find(([text]) => text === event.target.value)?.[1]; const next = { ...values, ...(one ? valuesFor(fields, fromKept(one)) : {}) }; if (!one) for (const name of Object.values(fields)) delete next[name]; onChange(next); }}><option value="">none kept is used</option>${kept.map(([text, one]) => html`<option key=${text} value=${text}>${text}: ${inWords(fromKept(one))}</option>`)}</select>` : null}
    <a class="button" href=${address(here("map"))}><${Icon} name="map" />Place one</a></div>`;
}

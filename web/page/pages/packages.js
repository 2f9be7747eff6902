// Refinement packages: all ways to make a new one, and writing one for another program.
import { html, useState } from "/core/html.js";
import { post } from "/core/api.js";
import { address } from "/core/router.js";
import { actions, at, here, standing, useAnswer } from "/core/state.js";
import { plural } from "/core/words.js";
import { Dialog, close, show } from "/parts/dialog.js";
import { FileBrowser } from "/parts/files.js";
import { Icon } from "/parts/icons.js";

// What it is made from, the action or page that does it, what it needs first, and where that comes from.
const WAYS = [
  { title: "Picked particles", text: "Cut particles from micrographs into a stack.", action: "create-package", needs: "positions", first: ["action", "find-particles"], say: "Pick particles first." },
  { title: "Selected 2D classes", text: "Keep the particles of the good classes, recentred and without duplicates.", action: "package-from-classes", needs: "selection", first: ["results", "classes"], say: "Select classes first." },
  { title: "Another package", text: "Carry particles and a refinement over: other classes, another symmetry, box or pixel size.", action: "package-from-package", needs: "package", first: ["action", "create-package"], say: "There is no package yet." },
  { title: "One region of a particle", text: "Take the rest of the particle off the images, as far as a refinement's map knows it.", action: "subtract-signal", needs: "refinement", first: ["action", "auto-refine"], say: "Refine first." },
  { title: "Symmetric views", text: "Each particle once for each of its symmetric views, so that subunits may differ.", action: "expand-symmetry", needs: "package", first: ["action", "create-package"], say: "There is no package yet." },
  { title: "Noise beyond a resolution", text: "The same particles with noise in place of fine detail: refined alike, they tell overfitting.", action: "substitute-noise", needs: "package", first: ["action", "create-package"], say: "There is no package yet." },
  { title: "Several packages", text: "Join them into one, at one box and pixel size.", action: "combine-packages", needs: "package", first: ["action", "create-package"], say: "There is no package yet." },
  { title: "Another program", text: "Import particles of RELION, cisTEM, Frealign or cryoSPARC with their stacks.", page: ["import", "package"] },
];

export function newPackage() { show(() => html`<${NewPackage} />`); }
export function exportPackage(one) { show(() => html`<${Export} one=${one} />`); }

function NewPackage() {
  const counts = standing.value?.counts || {};
  return html`<${Dialog} title="New refinement package from …" wide="620" foot=${html`<span class="grow"></span><button onClick=${close}>Cancel</button>`}>
    <div class="col" style=${{ gap: "8px" }}>${WAYS.filter((one) => one.page || actions.value.some((action) => action.name === one.action)).map((one) => {
      const lacks = one.needs && !counts[one.needs];
      return html`<a key=${one.title} class="card action-card" style=${{ padding: "11px 16px", gap: "2px" }} href=${address(here(...(lacks ? one.first : one.page || ["action", one.action])))} onClick=${close}><div class="row"><h3 class="grow">${one.title}</h3>${lacks ? html`<span class="pill">${one.say}</span>` : html`<${Icon} name="next" />`}</div><span class="soft small">${one.text}</span></a>`;
    })}</div></${Dialog}>`;
}

const PROGRAMS = [["relion", "RELION (star)"], ["cistem", "cisTEM (star)"], ["frealign", "Frealign (par)"], ["cryosparc", "cryoSPARC (cs)"]];

function Export({ one }) {
  const { data } = useAnswer(at(`/assets/refinement?where=${encodeURIComponent(`package = ${one.id}`)}&sort=id&descending=true&limit=200`), { live: false });
  const [program, setProgram] = useState("relion");
  const [refinement, setRefinement] = useState("");
  const [name, setName] = useState("particles");
  const [link, setLink] = useState(false);
  const [folder, setFolder] = useState(null);
  const [sub, setSub] = useState(`${one.name.replace(/[^A-Za-z0-9_.-]+/g, "-")}`);
  const [error, setError] = useState("");
  const [made, setMade] = useState(null);
  const [busy, setBusy] = useState(false);
  const place = folder ? `${folder.folder === "/" ? "" : folder.folder}${sub.trim() ? `/${sub.trim()}` : ""}` : "";
  const send = async () => {
    setBusy(true); setError("");
    try { setMade(await post(at(`/packages/${one.id}/export`), { folder: place, program, refinement: refinement ? Number(refinement) : null, link, name })); } catch (failed) { setError(failed.message); }
    setBusy(false);
  };
  if (made) return html`<${Dialog} title="Exported" wide="600" foot=${html`<span class="grow"></span><button class="main-button" onClick=${close}>Done</button>`}><p>${plural(made.particles, "particle")}${made.inverted ? ", contrast turned over as the program wants it" : ""}${made.linked ? ", the stack linked" : ""}:</p>${[made.stack, ...made.tables].map((path) => html`<div key=${path} class="mono small">${path}</div>`)}</${Dialog}>`;
  return html`<${Dialog} title=${`Export ${one.name}`} wide="680" foot=${html`<span class="grow small soft cut">${place ? html`Into <span class="mono">${place}</span>` : ""}</span><button onClick=${close}>Cancel</button><button class="main-button" disabled=${!place || !name.trim() || busy} onClick=${send}>${busy ? "Writing…" : "Export"}</button>`}>
    ${error ? html`<div class="note bad">${error}</div>` : null}
    <div class="segments" role="radiogroup" aria-label="Program">${PROGRAMS.map(([key, text]) => html`<button key=${key} role="radio" aria-checked=${program === key} class=${program === key ? "on" : ""} onClick=${() => setProgram(key)}>${text}</button>`)}</div>
    <div class="fields"><label class="field"><span class="label">Parameters of</span><select value=${refinement} onChange=${(event) => setRefinement(event.target.value)}><option value="">the package itself</option>${data?.rows.map((each) => html`<option key=${each.id} value=${each.id}>${each.name}</option>`)}</select></label>
      <label class="field"><span class="label">Name of the files</span><input value=${name} onInput=${(event) => setName(event.target.value)} /></label><label class="field"><span class="label">New folder</span><input value=${sub} onInput=${(event) => setSub(event.target.value)} /></label>
      <label class="row"><input type="checkbox" class="switch" checked=${link} onChange=${(event) => setLink(event.target.checked)} />Link the stack where it can stay as it is</label></div>
    <${FileBrowser} pick="folder" height="180" onChange=${setFolder} /></${Dialog}>`;
}

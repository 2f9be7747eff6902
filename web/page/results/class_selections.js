// Selections of classes: what is chosen now, and those that are kept, which further actions work on.
import { html } from "/core/html.js";
import { post, query } from "/core/api.js";
import { at, useAnswer } from "/core/state.js";
import { count, plural } from "/core/words.js";
import { ask, confirm } from "/parts/dialog.js";
import { attempt } from "/parts/toasts.js";

export function Selections({ classification, picked, setPicked, classes, share }) {
  const all = Array.from({ length: classes }, (_, i) => i + 1);
  const chosen = [...picked].sort((a, b) => a - b);
  const { last } = useAnswer(`${at("/assets/selection")}${query({ where: `classification = ${classification}`, limit: 100 })}`);
  const edit = (content, words) => attempt(() => post(at("/edit"), content), words);
  const keep = () => ask({ title: "Keep the selection", label: `Name of the ${plural(chosen.length, "class", "classes")} selected`, go: (name) => edit({ edit: "selection.add", classification, members: chosen, name }, "The selection is kept.") });
  return html`<div class="tool-row"><span class="strong">${plural(picked.size, "class", "classes")} selected</span>${picked.size ? html`<span class="soft">about ${count(Math.round(share))} particles: ${chosen.join(", ")}</span>` : null}
      <button class="small" onClick=${() => setPicked(new Set(all))}>All</button><button class="small" disabled=${!picked.size} onClick=${() => setPicked(new Set())}>None</button><button class="small" onClick=${() => setPicked(new Set(all.filter((one) => !picked.has(one))))}>Invert</button>
      <button class="small main-button" disabled=${!picked.size} onClick=${keep}>Keep selection…</button></div>
    ${last?.rows.length ? html`<table class="plain"><thead><tr><th>Selection</th><th>Classes</th><th></th></tr></thead><tbody>${last.rows.map((one) => html`<tr key=${one.id}><td class="strong">${one.name}</td><td>${one.members.join(", ") || "none"}</td><td class="num">
      <button class="small" onClick=${() => setPicked(new Set(one.members))}>Show</button> <button class="small" disabled=${!picked.size} onClick=${() => edit({ edit: "selection.change", selection: one.id, clear: true, include: chosen }, "The selection holds these classes now.")}>Put these in</button>
      <button class="small bad" onClick=${() => confirm({ title: `Put ${one.name} into the trash?`, text: "It can be brought back under Settings, Trash.", button: "Into the trash", bad: true, go: () => edit({ edit: "trash.add", items: [{ kind: "selection", id: one.id }] }) })}>Remove</button></td></tr>`)}</tbody></table>` : null}`;
}

// Many sections of a stack at once: choosing some, and keeping their numbers in a file.
import { html, useState } from "/core/html.js";
import { count, plural } from "/core/words.js";
import { Icon } from "/parts/icons.js";
import { stripAddress, tileStyle } from "/results/class_montage.js";

const PAGE = 60;

export function Sections({ source, n, name, grey, invert, onOpen }) {
  const [first, setFirst] = useState(0);
  const [size, setSize] = useState(128);
  const [same, setSame] = useState(false);
  const [picked, setPicked] = useState(new Set());
  const shown = Math.min(PAGE, n - first);
  const url = stripAddress(source, { first, count: shown, edge: size, invert: invert || undefined, low: same ? grey.low : undefined, high: same ? grey.high : undefined });
  const toggle = (one) => setPicked((old) => { const next = new Set(old); if (next.has(one)) next.delete(one); else next.add(one); return next; });
  const save = () => { const link = document.createElement("a"); link.href = URL.createObjectURL(new Blob([`${[...picked].sort((a, b) => a - b).join("\n")}\n`], { type: "text/plain" })); link.download = `${name}-sections.txt`; link.click(); setTimeout(() => URL.revokeObjectURL(link.href), 1000); };
  return html`<div class="card" style=${{ display: "flex", flexDirection: "column", minHeight: 0 }}><header style=${{ flexWrap: "wrap" }}><button class="small" disabled=${!first} onClick=${() => setFirst(Math.max(0, first - PAGE))}>Previous</button><span class="small soft">${count(first + 1)} to ${count(first + shown)} of ${count(n)}</span><button class="small" disabled=${first + PAGE >= n} onClick=${() => setFirst(first + PAGE)}>Next</button>
      <label class="row small soft">Size<input type="range" aria-label="Size of the tiles" min="48" max="256" step="16" value=${size} onInput=${(event) => setSize(Number(event.target.value))} /></label><label class="row small soft"><input type="checkbox" class="switch" checked=${same} onChange=${(event) => setSame(event.target.checked)} />one grey scale for all</label><span class="grow"></span>
      <span class="small strong">${plural(picked.size, "section")} selected</span><button class="small" disabled=${!picked.size} onClick=${() => setPicked(new Set())}>None</button><button class="small" onClick=${() => setPicked(new Set(Array.from({ length: n }, (_, i) => i + 1).filter((one) => !picked.has(one))))}>Invert</button><button class="small" disabled=${!picked.size} onClick=${save}><${Icon} name="download" />Numbers</button></header>
    <div class="body" style=${{ overflowY: "auto" }}><div class="class-grid" role="listbox" aria-label="Sections" aria-multiselectable="true" style=${{ gridTemplateColumns: `repeat(auto-fill, minmax(${size}px, 1fr))` }}>${Array.from({ length: shown }, (_, i) => first + i + 1).map((one, i) => html`<button key=${one} role="option" aria-label=${`Section ${one}`} aria-selected=${picked.has(one) ? "true" : "false"} class=${`class-tile ${picked.has(one) ? "picked" : ""}`} onClick=${() => toggle(one)} onDblClick=${() => onOpen(one - 1)}><span class="tile-image" style=${tileStyle(url, i, shown)}></span><span class="tile-words"><strong>${one}</strong></span></button>`)}</div></div></div>`;
}

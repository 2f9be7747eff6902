// Import: files at the left, what the first header says and what must be said at the right.
import { html, useEffect, useState } from "/core/html.js";
import { post } from "/core/api.js";
import { address, go, route } from "/core/router.js";
import { at, here, useAnswer } from "/core/state.js";
import { bytes, number, plural } from "/core/words.js";
import { FileBrowser } from "/parts/files.js";
import { Form } from "/parts/form.js";
import { Icon } from "/parts/icons.js";
import { attempt } from "/parts/toasts.js";
import { kindOf } from "/pages/kinds.js";

export function Import() {
  const kind = kindOf(route.value.path[3] || "movie");
  return html`<${OneImport} key=${kind.kind} kind=${kind} />`;
}

function OneImport({ kind }) {
  const { data: form, error } = useAnswer(at(`/import/${kind.kind}`), { live: false });
  const [values, setValues] = useState(null);
  const [problems, setProblems] = useState({});
  const [folder, setFolder] = useState(null);
  const [names, setNames] = useState([]);
  const [pattern, setPattern] = useState("");
  const [check, setCheck] = useState(null);
  const [busy, setBusy] = useState(false);
  const [report, setReport] = useState(null);
  const place = folder ? (folder.folder === "/" ? "" : folder.folder) : "";
  const patterns = pattern.trim() ? [pattern.trim().startsWith("/") || pattern.trim().startsWith("~") ? pattern.trim() : `${place}/${pattern.trim()}`] : names.map((name) => `${place}/${name}`);
  useEffect(() => { if (form && values === null) setValues(Object.fromEntries(Object.entries(form.remembered).filter(([name, value]) => value !== null && JSON.stringify(value) !== JSON.stringify(form.parameters.properties[name]?.default)))); }, [form]);
  useEffect(() => {
    setCheck(null);
    if (!patterns.length) return undefined;
    const timer = setTimeout(() => post(at(`/import/${kind.kind}/check`), { patterns }).then(setCheck, (failed) => setCheck({ error: failed.message })), 250);
    return () => clearTimeout(timer);
  }, [JSON.stringify(patterns)]);
  const send = async () => {
    setBusy(true);
    const found = await attempt(() => post(at(`/import/${kind.kind}`), { patterns, fields: values || {} }));
    setBusy(false);
    if (!found) return;
    if (!Object.keys(found.problems).length && !found.warnings.length) go(here("assets", kind.kind)); else setReport(found);
  };
  const header = check?.header;
  const different = header?.pixel_size_A && values?.pixel_size_A && Math.abs(header.pixel_size_A / values.pixel_size_A - 1) > 0.01;
  return html`<div class="page">
    <div class="page-head"><div class="grow"><a class="small" href=${address(here("assets", kind.kind))}>${kind.many}</a><h1>${form?.title ?? "Import"}</h1></div>
      <a class="button" href=${address(here("assets", kind.kind))}>Cancel</a>
      <button class="main-button" disabled=${!check || check.error || busy || Object.keys(problems).length} onClick=${send}><${Icon} name="import" />${busy ? "Importing…" : check?.count ? `Import ${plural(check.count, "file")}` : "Import"}</button></div>
    ${error ? html`<div class="note bad">${error}</div>` : null}
    ${report ? html`<div class=${`note ${Object.keys(report.problems).length ? "warn" : "good"}`}><strong>${plural(report.imported, "file")} imported</strong>${report.skipped ? `, ${report.skipped} were there already` : ""}. <a href=${address(here("assets", kind.kind))}>See them</a>
      ${Object.entries(report.problems).slice(0, 20).map(([name, words]) => html`<div key=${name}>${words}</div>`)}${report.warnings.map((words) => html`<div key=${words}>${words}</div>`)}</div>` : null}
    <div class="grid two" style=${{ alignItems: "start" }}>
      <div class="card"><header><h2 class="grow">Files</h2><span class="faint small">${form?.endings.join(" ")}</span></header><div class="body col">
        ${form ? html`<${FileBrowser} endings=${form.endings.join(",")} height="340" onChange=${(found, picked) => { setFolder(found); setNames(picked); }} />` : null}
        <div class="row"><button disabled=${!folder?.count} onClick=${() => setPattern("*")}>All in this folder</button>
          <input class="grow mono" aria-label="Pattern" placeholder="or a pattern: *_frames.tif, **/*.mrc" value=${pattern} onInput=${(event) => setPattern(event.target.value)} />${pattern ? html`<button class="bare" aria-label="Clear the pattern" onClick=${() => setPattern("")}><${Icon} name="close" /></button>` : null}</div></div></div>
      <div class="col">
        <div class="card"><header><h2 class="grow">The first file</h2>${check?.count ? html`<span class="pill good">${plural(check.count, "file")}</span>` : null}</header><div class="body" aria-live="polite">
          ${!patterns.length ? html`<p class="soft">Choose files, or give a pattern. What the first header says is shown here at once.</p>` : !check ? html`<p class="faint">Reading…</p>` : check.error ? html`<div class="note bad">${check.error}</div>` : html`<div class="col" style=${{ gap: "10px" }}>
            <div class="mono small cut" title=${check.first}>${check.first.split("/").pop()}</div>
            ${header.error ? html`<div class="note bad">${header.error}</div>` : header.n_x ? html`<dl class="facts"><dt>Size</dt><dd>${header.n_x} × ${header.n_y}${header.n_sections > 1 ? ` × ${header.n_sections}` : ""}</dd><dt>Format</dt><dd>${header.format}, ${header.type}</dd><dt>Pixel size</dt><dd>${header.pixel_size_A ? `${number(header.pixel_size_A)} Å` : html`<span class="faint">not in the header</span>`}</dd>
              ${Object.entries(header.mdoc || {}).map(([name, value]) => html`<dt>${name} (mdoc)</dt><dd>${number(value)}</dd>`)}</dl>` : null}
            ${header.particles !== undefined ? html`<dl class="facts"><dt>Particles</dt><dd>${header.particles.toLocaleString("en-US")}</dd><dt>Stacks</dt><dd>${header.stack_count ? `${header.stacks.join(", ")}${header.stack_count > header.stacks.length ? ` and ${header.stack_count - header.stacks.length} more` : ""}` : html`<span class="faint">not named: give the stack</span>`}</dd><dt>Pixel size</dt><dd>${header.pixel_size_A ? `${number(header.pixel_size_A)} Å` : html`<span class="faint">not in the file</span>`}</dd><dt>Half sets</dt><dd>${header.half_sets ? "as in the file" : "assigned by micrograph"}</dd></dl>` : null}
            ${different ? html`<div class="note warn">You say ${values.pixel_size_A} Å, the header says ${number(header.pixel_size_A)} Å. Yours is used.</div>` : null}
            ${check.known ? html`<div class="note">${plural(check.known, "file")} of these ${check.known === 1 ? "is" : "are"} in the project already and will be skipped.</div>` : null}</div>`}</div></div>
        ${form && values !== null && Object.keys(form.parameters.properties || {}).length ? html`<div class="card"><header><h2 class="grow">About them</h2>${Object.keys(form.remembered).length ? html`<span class="faint small">filled in as at the last import</span>` : null}</header><div class="body"><${Form} schema=${form.parameters} values=${values} endings=".mrc,.tif,.tiff,.dm4,.gain" onChange=${(next, wrong) => { setValues(next); setProblems(wrong); }} /></div></div>` : null}
      </div></div></div>`;
}

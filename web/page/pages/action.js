// One action: its form from the declaration, what a job would need, and Start.
import { html, useEffect, useMemo, useState } from "/core/html.js";
import { get, post } from "/core/api.js";
import { address, go, route } from "/core/router.js";
import { actions, at, changes, here, jobList, loadActions, useAnswer } from "/core/state.js";
import { bytes, count, duration, label, plural, when } from "/core/words.js";
import { Form, fieldsOf } from "/parts/form.js";
import { Icon } from "/parts/icons.js";
import { StatePill } from "/parts/progress.js";
import { attempt, toast } from "/parts/toasts.js";
import { sphereFields } from "/map/sphere.js";
import { SphereChoice } from "/map/sphere_card.js";
import { PickingPreview } from "/results/picking_preview.js";
import { kindOf } from "/pages/kinds.js";

const SINGLE = new Set(["package", "volume", "model", "classification", "selection", "refinement"]);

export function Action() {
  useEffect(() => { loadActions().catch(() => {}); }, []);
  const name = route.value.path[3];
  const action = actions.value.find((one) => one.name === name);
  if (!action) return html`<div class="page"><div class="empty">${actions.value.length ? `There is no action ${name}.` : "…"}</div></div>`;
  return html`<${OneAction} key=${`${name}${route.value.values.clone || ""}`} action=${action} clone=${route.value.values.clone} preset=${route.value.values} />`;
}

function OneAction({ action, clone, preset }) {
  const kept = `verglas-form-${action.name}`;
  const [values, setValues] = useState(() => { try { return JSON.parse(sessionStorage.getItem(kept) || "{}"); } catch { return {}; } });
  const [problems, setProblems] = useState({});
  const [inputs, setInputs] = useState({});
  const [running, setRunning] = useState({ profile: "Default Local" });
  const [plan, setPlan] = useState(null);
  const [busy, setBusy] = useState(false);
  const [stamp, setStamp] = useState(0);
  const names = useMemo(() => new Set(fieldsOf(action.parameters).map((field) => field.name)), [action]);
  const defaults = useMemo(() => Object.fromEntries(fieldsOf(action.parameters).map((field) => [field.name, field.default])), [action]);
  const differing = (given) => Object.fromEntries(Object.entries(given).filter(([name, value]) => names.has(name) && JSON.stringify(value) !== JSON.stringify(defaults[name] ?? null)));
  const takeFrom = async (job) => {
    const found = await attempt(() => get(at(`/jobs/${job}`)));
    if (!found) return;
    setValues(differing(found.parameters));
    setInputs(Object.fromEntries(Object.entries(found.inputs).map(([name, numbers]) => [name, { numbers: numbers.map((one) => one.id ?? one) }])));
    setRunning({ profile: found.resources.profile, reconstruction_profile: found.resources.reconstruction_profile ?? undefined, seed: found.seed });
    setStamp((n) => n + 1);
    toast(`Values of job ${job}.`);
  };
  useEffect(() => {
    if (clone) takeFrom(Number(clone));
    else { const given = {}; for (const [name, value] of Object.entries(preset)) if (names.has(name)) given[name] = value === "true" ? true : Number.isFinite(Number(value)) ? Number(value) : value; if (Object.keys(given).length) setValues((old) => ({ ...old, ...given })); }
  }, [clone]);
  useEffect(() => { sessionStorage.setItem(kept, JSON.stringify(values)); }, [values]);
  const missing = fieldsOf(action.parameters).filter((field) => field.required && (values[field.name] === undefined || values[field.name] === ""));
  const ready = action.inputs.every((one) => inputs[one.name] !== undefined || !one.required);
  const wanted = { parameters: values, inputs: Object.fromEntries(Object.entries(inputs).filter(([, choice]) => choice)), running, clone_of: clone ? Number(clone) : null };
  const key = JSON.stringify([wanted, problems, missing.length, ready]);
  useEffect(() => {
    if (!ready || missing.length || Object.keys(problems).length) { setPlan(null); return undefined; }
    let dropped = false;
    const timer = setTimeout(() => post(at(`/actions/${action.name}/estimate`), wanted).then((found) => !dropped && setPlan(found), (error) => !dropped && setPlan({ error: error.message })), 300);
    return () => { dropped = true; clearTimeout(timer); };
  }, [key, changes.value]);
  const start = async () => {
    setBusy(true);
    const found = await attempt(() => post(at(`/actions/${action.name}/start`), wanted));
    setBusy(false);
    if (found) go(here("job", String(found.job)));
  };
  const sphere = sphereFields(action.parameters);
  const earlier = jobList.value.filter((job) => job.action === action.name);
  const changed = Object.keys(values).length;
  return html`<div class="page"><div class="page-head"><div class="grow"><a class="small" href=${address(here("actions"))}>Actions</a><h1>${action.title}</h1><p class="soft">${action.summary}</p></div>
      <button class="bare" disabled=${!changed && !Object.keys(problems).length} onClick=${() => { setValues({}); setProblems({}); setStamp((n) => n + 1); }}><${Icon} name="undo" />Reset all${changed ? ` (${changed})` : ""}</button></div>
    <div class="action-layout">
      <div class="col"><div class="card"><header><h2>Inputs</h2></header><div class="body fields">${action.inputs.map((one) => html`<${InputChoice} key=${`${one.name}${stamp}`} input=${one} choice=${inputs[one.name]} onChange=${(choice) => setInputs((old) => ({ ...old, [one.name]: choice }))} preset=${preset[one.name]} />`)}</div></div>
        ${action.name === "find-particles" ? html`<${PickingPreview} values=${values} problems=${problems} inputs=${inputs} defaults=${defaults} />` : null}
        <div class="card"><header><h2>Parameters</h2></header><div class="body col">${sphere ? html`<${SphereChoice} fields=${sphere} values=${values} onChange=${(next) => { setValues(next); setStamp((n) => n + 1); }} />` : null}<${Form} key=${stamp} schema=${action.parameters} values=${values} endings=".mrc,.mrcs,.tif,.star,.txt" onChange=${(next, wrong) => { setValues(next); setProblems(wrong); }} /></div></div></div>
      <div class="col sticky">
        <div class="card"><header><h2>Run</h2></header><div class="body col"><${Where} running=${running} onChange=${setRunning} two=${action.two_profiles} />
          <div class="plan" aria-live="polite">${missing.length ? html`<div class="note">Still needed: ${missing.map((field) => field.title).join(", ")}.</div>` : Object.keys(problems).length ? html`<div class="note bad">Some values are out of their limits.</div>` : plan?.error ? html`<div class="note bad">${inForm(plan.error, action)}</div>` : plan ? html`<dl class="facts">
            ${Object.entries(plan.inputs).map(([name, n]) => html`<dt key=${name}>${name.replaceAll("_", " ")}</dt><dd>${count(n)}</dd>`)}<dt>Workers</dt><dd>${plan.resources.workers} × ${plural(plan.resources.threads, "thread")}</dd><dt>Memory</dt><dd>${bytes(plan.estimate.memory_bytes)}</dd><dt>Disk</dt><dd>${bytes(plan.estimate.disk_bytes)}</dd><dt>Time</dt><dd>about ${duration(plan.estimate.seconds)}</dd></dl>` : html`<div class="faint small">Reckoning what it needs…</div>`}</div>
          <button class="main-button" style=${{ minHeight: "40px" }} disabled=${!plan || plan.error || busy} onClick=${start}><${Icon} name="actions" />${busy ? "Starting…" : "Start"}</button></div></div>
        ${earlier.length ? html`<div class="card"><header><h2>Earlier</h2></header><div class="job-lines">${earlier.slice(0, 8).map((job) => html`<div key=${job.job} class="job-line"><a class="grow" href=${address(here("job", String(job.job)))}><span class="strong">${job.title}</span><span class="faint small" style=${{ display: "block" }}>${when(job.created)}</span></a><${StatePill} job=${job} /><button class="bare small" title="Take its values into this form" aria-label=${`Take the values of job ${job.job}`} onClick=${() => takeFrom(job.job)}><${Icon} name="copy" /></button></div>`)}</div></div>` : null}
      </div></div></div>`;
}

// Errors name options as the command line has them; here they are fields and inputs.
function inForm(text, action) {
  const names = [...action.inputs.map((one) => one.name), ...fieldsOf(action.parameters).map((field) => field.name)];
  return text.replace(/--(?:no-)?([a-z][a-z0-9-]+)/g, (whole, option) => { const found = names.find((name) => name === option.replaceAll("-", "_") || label(name).toLowerCase() === option.replaceAll("-", " ")); return found ? `“${label(found)}”` : whole; }).replace(/ \(see `[^`]*`\)/g, "");
}

function InputChoice({ input, choice, onChange, preset }) {
  const kind = kindOf(input.kind);
  const single = SINGLE.has(input.kind);
  const { data: groups } = useAnswer(at(`/groups/${input.kind}`));
  const { data: assets } = useAnswer(single ? at(`/assets/${input.kind}?sort=id&descending=true&limit=500`) : null);
  const none = !input.required;
  useEffect(() => {
    if (choice !== undefined) return;
    if (preset) onChange({ numbers: preset.split(",").map(Number) });
    else if (none) onChange(null);
    else if (single) { if (assets?.rows.length) onChange({ numbers: [assets.rows[0].id] }); else if (assets) onChange({ group: 0 }); }
    else if (groups) onChange({ group: 0 });
  }, [groups, assets, choice]);
  const value = !choice ? "none" : choice.group !== undefined && choice.group !== null ? `g${choice.group}` : choice.numbers.length === 1 && single ? `a${choice.numbers[0]}` : "numbers";
  const empty = groups && groups.groups[0].size === 0;
  return html`<div class="field"><label for=${`input-${input.name}`}>${input.name.replaceAll("_", " ").replace(/^./, (c) => c.toUpperCase())}</label>
    <select id=${`input-${input.name}`} value=${value} onChange=${(event) => { const text = event.target.value; if (text === "none") onChange(null); else if (text[0] === "g") onChange({ group: Number(text.slice(1)) }); else if (text[0] === "a") onChange({ numbers: [Number(text.slice(1))] }); }}>
      ${none ? html`<option value="none">none</option>` : null}${value === "numbers" ? html`<option value="numbers">${plural(choice.numbers.length, kind.one)} chosen</option>` : null}
      ${single && assets?.rows.length ? html`<optgroup label=${kind.many}>${assets.rows.map((one) => html`<option key=${one.id} value=${`a${one.id}`}>${one.id}: ${one.name}${one.round ? ` (round ${one.round})` : ""}${one.count ? `, ${count(one.count)} particles` : ""}</option>`)}</optgroup>` : null}
      <optgroup label="Groups">${groups?.groups.map((one) => html`<option key=${one.id} value=${`g${one.id}`}>${one.name} (${count(one.size)})</option>`)}</optgroup></select>
    <div class="help">${input.help}${empty ? html` <span class="bad-words">There are none yet.</span>${kind.imports ? html` <a href=${address(here("import", kind.kind))}>Import some</a>` : null}` : null}</div></div>`;
}

function Where({ running, onChange, two }) {
  const { data } = useAnswer("/profiles", { live: false });
  const [more, setMore] = useState(false);
  const put = (name, text) => { const next = { ...running }; if (text === "") delete next[name]; else next[name] = typeof text === "string" && !["profile", "reconstruction_profile", "device"].includes(name) ? Number(text) : text; onChange(next); };
  const small = (name, title, hint) => html`<label class="field"><span class="label">${title}</span><input inputmode="numeric" placeholder=${hint} value=${running[name] ?? ""} onInput=${(event) => /^\d*$/.test(event.target.value) && put(name, event.target.value)} /></label>`;
  return html`<div class="field"><label for="profile">Run profile</label><select id="profile" value=${running.profile} onChange=${(event) => put("profile", event.target.value)}>${data?.profiles.map((one) => html`<option key=${one.name}>${one.name}</option>`)}</select>
      <div class="help">${data ? `This machine: ${plural(data.cores, "core")}, ${bytes(data.memory_bytes)} free. ` : ""}<a href=${address(here("settings"))}>Run profiles</a></div></div>
    ${two ? html`<div class="field"><label for="reconstruction-profile">Run profile that adds up maps</label><select id="reconstruction-profile" value=${running.reconstruction_profile ?? ""} onChange=${(event) => put("reconstruction_profile", event.target.value)}><option value="">the same</option>${data?.profiles.map((one) => html`<option key=${one.name}>${one.name}</option>`)}</select></div>` : null}
    <button class="bare small" style=${{ alignSelf: "flex-start" }} aria-expanded=${more} onClick=${() => setMore(!more)}><${Icon} name=${more ? "up" : "next"} />Workers, threads, seed</button>
    ${more ? html`<div class="fields tight">${small("workers", "Workers", "chosen")}${small("threads", "Threads each", "chosen")}${small("seed", "Random seed", "1")}
      <label class="field"><span class="label">Device</span><select value=${running.device || "cpu"} onChange=${(event) => put("device", event.target.value)}><option>cpu</option><option>cuda</option></select></label></div>` : null}`;
}

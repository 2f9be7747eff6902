// Settings: run profiles with a test, the trash, the history.
import { html, useState } from "/core/html.js";
import { post } from "/core/api.js";
import { go, route } from "/core/router.js";
import { at, here, useAnswer } from "/core/state.js";
import { bytes, plural, when } from "/core/words.js";
import { Dialog, close, confirm, show } from "/parts/dialog.js";
import { Icon } from "/parts/icons.js";
import { attempt } from "/parts/toasts.js";
import { chosen } from "/parts/theme.js";

const TABS = [["profiles", "Run profiles"], ["trash", "Trash"], ["history", "History"], ["look", "Look"]];

export function Settings() {
  const tab = route.value.path[3] || "profiles";
  return html`<div class="page"><div class="page-head"><h1>Settings</h1></div>
    <div class="tabs" role="tablist">${TABS.map(([name, text]) => html`<button key=${name} role="tab" aria-selected=${tab === name} class=${tab === name ? "on" : ""} onClick=${() => go(here("settings", name))}>${text}</button>`)}</div>
    ${tab === "profiles" ? html`<${Profiles} />` : tab === "trash" ? html`<${Trash} />` : tab === "history" ? html`<${History} />` : html`<${Look} />`}</div>`;
}

function Profiles() {
  const [stamp, setStamp] = useState(0);
  const { data, error } = useAnswer(`/profiles?${stamp}`, { live: false });
  const again = () => setStamp((n) => n + 1);
  const edit = (profile, isNew) => show(() => html`<${ProfileDialog} profile=${profile} isNew=${isNew} done=${again} />`);
  return html`<div class="row"><p class="soft grow">A run profile says by which commands a job's controller and workers are started: here, by ssh, or through Slurm and other batch systems.</p>
      <button onClick=${() => edit({ name: "", manager_command: "$command", commands: [{ command: "$command", copies: 2, threads: 1, delay_ms: 10, total_workers: null, gpus: 0 }], addresses: [], interface: "", ports: null, worker_memory_bytes: null }, true)}><${Icon} name="plus" />New profile</button></div>
    ${error ? html`<div class="note bad">${error}</div>` : null}
    <div class="grid two">${data?.profiles.map((one) => html`<${ProfileCard} key=${one.name} profile=${one} edit=${edit} again=${again} />`)}</div>`;
}

const plainProfile = ({ built_in, local, workers, ...rest }) => rest;

function ProfileCard({ profile, edit, again }) {
  const [trial, setTrial] = useState(null);
  const test = async () => {
    setTrial({ busy: true });
    try { setTrial(await post(at("/profiles/test"), { name: profile.name, workers: Math.min(2, profile.local ? 1 : profile.workers) })); } catch (error) { setTrial({ error: error.message }); }
  };
  return html`<div class="card"><header><h2 class="grow">${profile.name}</h2>${profile.built_in ? html`<span class="pill">built in</span>` : null}</header><div class="body col" style=${{ gap: "10px" }}>
    <dl class="facts"><dt>Manager</dt><dd class="mono">${profile.manager_command}</dd>${profile.commands.map((one, i) => html`<dt key=${`t${i}`}>Workers</dt><dd class="mono">${one.command} <span class="faint">× ${profile.name === "Default Local" ? "as fits" : one.copies}, ${plural(one.threads, "thread")}</span></dd>`)}
      ${profile.interface ? html`<dt>Interface</dt><dd>${profile.interface}</dd>` : null}${profile.ports ? html`<dt>Ports</dt><dd>${profile.ports.join(" to ")}</dd>` : null}${profile.worker_memory_bytes ? html`<dt>Memory of a worker</dt><dd>${bytes(profile.worker_memory_bytes)}</dd>` : null}</dl>
    <div class="row"><button onClick=${test} disabled=${trial?.busy}>${trial?.busy ? "Testing…" : "Test"}</button><span class="grow"></span>
      <button class="bare" onClick=${() => edit({ ...plainProfile(profile), name: `${profile.name} copy` }, true)}>Duplicate</button>${profile.built_in ? null : html`<button class="bare" onClick=${() => edit(plainProfile(profile), false)}>Edit</button>
      <button class="bare bad" onClick=${() => confirm({ title: `Remove ${profile.name}?`, text: "Jobs that run by it go on.", button: "Remove", bad: true, go: async () => { await attempt(() => post("/profiles/remove", { name: profile.name })); again(); } })}>Remove</button>`}</div>
    ${trial?.error ? html`<div class="note bad" role="status">${trial.error}</div>` : trial?.workers ? html`<div class="note good" role="status">${plural(trial.workers.length, "worker")} answered: ${trial.workers.map((one) => `${one.host} with ${plural(one.threads, "thread")} after ${one.ready_seconds} s`).join("; ")}.</div>` : null}</div></div>`;
}

function ProfileDialog({ profile, isNew, done }) {
  const [made, setMade] = useState(profile);
  const [error, setError] = useState("");
  const put = (values) => setMade({ ...made, ...values });
  const command = (i, values) => put({ commands: made.commands.map((one, k) => (k === i ? { ...one, ...values } : one)) });
  const whole = (text) => (/^\d+$/.test(text) ? Number(text) : text);
  const save = async () => { try { await post("/profiles/save", { profile: made, replace: !isNew }); close(); done(); } catch (failed) { setError(failed.message); } };
  const field = (title, value, onInput, help, mono) => html`<label class="field"><span class="label">${title}</span><input class=${mono ? "mono" : ""} value=${value} onInput=${(event) => onInput(event.target.value)} />${help ? html`<span class="help">${help}</span>` : null}</label>`;
  return html`<${Dialog} title=${isNew ? "New run profile" : `Run profile ${profile.name}`} wide="760" foot=${html`<span class="grow"></span><button onClick=${close}>Cancel</button><button class="main-button" disabled=${!made.name.trim()} onClick=${save}>Save</button>`}>
    ${error ? html`<div class="note bad">${error}</div>` : null}
    <div class="fields">${isNew ? field("Name", made.name, (text) => put({ name: text })) : null}${field("Manager command", made.manager_command, (text) => put({ manager_command: text }), "$command starts the job's controller; put sbatch, srun or ssh around it.", true)}</div>
    <h3>Worker commands</h3>
    ${made.commands.map((one, i) => html`<div key=${i} class="fields command">${field("Command", one.command, (text) => command(i, { command: text }), "", true)}${field("Copies", one.copies, (text) => command(i, { copies: whole(text) }))}${field("Threads each", one.threads, (text) => command(i, { threads: whole(text) }))}${field("GPUs each", one.gpus ?? 0, (text) => command(i, { gpus: whole(text) }))}${field("Delay, ms", one.delay_ms, (text) => command(i, { delay_ms: whole(text) }))}
      <button class="bare bad" disabled=${made.commands.length < 2} aria-label="Remove this command" onClick=${() => put({ commands: made.commands.filter((_, k) => k !== i) })}><${Icon} name="close" /></button></div>`)}
    <div><button class="small" onClick=${() => put({ commands: [...made.commands, { command: "$command", copies: 1, threads: 1, delay_ms: 10, total_workers: null, gpus: 0 }] })}><${Icon} name="plus" />Another command</button></div>
    <div class="fields">${field("Network interface", made.interface, (text) => put({ interface: text.trim() }), "Such as ib0; empty: chosen by itself.")}${field("Memory of a worker, GB", made.worker_memory_bytes ? made.worker_memory_bytes / 1e9 : "", (text) => put({ worker_memory_bytes: text === "" ? null : Math.round(Number(text) * 1e9) || text }), "Empty: not checked.")}</div></${Dialog}>`;
}

function Trash() {
  const { data } = useAnswer(at("/trash"));
  return html`<div class="card">${data?.trash.length ? html`<table class="plain"><tbody>${data.trash.map((one) => html`<tr key=${one.id}><td>${one.summary}</td><td class="soft small">${when(one.created)}</td><td class="num"><button class="small" onClick=${() => attempt(() => post(at("/edit"), { edit: "trash.restore", trash: one.id }), "Brought back.")}>Bring back</button>
    <button class="small bad" onClick=${() => confirm({ title: "Delete for good?", text: `${one.summary}: this cannot be undone.`, button: "Delete", bad: true, go: () => attempt(() => post(at("/edit"), { edit: "trash.empty", trash: one.id })) })}>Delete</button></td></tr>`)}</tbody></table>` : html`<div class="empty"><${Icon} name="trash" /><div>The trash is empty.</div></div>`}</div>`;
}

function History() {
  const { data } = useAnswer(at("/history?limit=500"));
  return html`<div class="card"><table class="plain"><thead><tr><th class="num">Line</th><th>What</th><th>By</th><th>When</th></tr></thead><tbody>${data?.history.map((one) => html`<tr key=${one.n}><td class="num faint">${one.n}</td><td>${one.summary}</td><td class="soft">${one.user} on ${one.host}</td><td class="soft">${when(one.t)}</td></tr>`)}</tbody></table></div>`;
}

function Look() {
  return html`<div class="card"><div class="body row"><span class="grow">Colours</span><div class="segments">${[["system", "As the computer"], ["light", "Light"], ["dark", "Dark"]].map(([name, text]) => html`<button key=${name} class=${chosen.value === name ? "on" : ""} onClick=${() => { chosen.value = name; }}>${text}</button>`)}</div></div></div>`;
}

// One job: how far it is, live plots and pictures of its latest results, messages, log, parameters; cancel, pause, resume.
import { html, useEffect, useRef, useState } from "/core/html.js";
import { get, post } from "/core/api.js";
import { address, route } from "/core/router.js";
import { at, changes, here, jobs } from "/core/state.js";
import { bytes, count, duration, label, number, plural, prettyUnit, unitOf, when } from "/core/words.js";
import { confirm } from "/parts/dialog.js";
import { Icon } from "/parts/icons.js";
import { Plot } from "/parts/plot.js";
import { Bar, StatePill, timeLeft } from "/parts/progress.js";
import { attempt } from "/parts/toasts.js";
import { Live } from "/results/live.js";

// Ask again when the job's events have grown or the project has changed (results get their numbers when they are taken
// in, which may be after the job's last event), but not more often than a few times a second.
function useJobAnswer(path, grown) {
  const [data, setData] = useState(null);
  const last = useRef(0);
  useEffect(() => {
    let dropped = false;
    const wait = Math.max(0, 700 - (Date.now() - last.current));
    const timer = setTimeout(() => { last.current = Date.now(); get(path).then((found) => !dropped && setData(found), () => {}); }, data ? wait : 0);
    return () => { dropped = true; clearTimeout(timer); };
  }, [path, grown]);
  return data;
}

export function Job() {
  const found = Number(route.value.path[3]);
  return html`<${OneJob} key=${found} number=${found} />`;
}

function OneJob({ number: job }) {
  const summary = jobs.value.get(job);
  const grown = `${summary?.events_bytes}|${summary?.state}|${changes.value}`;
  const whole = useJobAnswer(at(`/jobs/${job}`), grown);
  const news = useJobAnswer(at(`/jobs/${job}/figures`), grown);
  const [tab, setTab] = useState("live");
  const control = (what, words) => attempt(() => post(at(`/jobs/${job}/${what}`)), words || ((answer) => answer.words));
  if (!summary) return html`<div class="page"><div class="empty">${jobs.value.size ? `There is no job ${job}.` : "…"}</div></div>`;
  const active = ["queued", "starting", "running"].includes(summary.state);
  const again = ["paused", "interrupted", "cancelled", "failed"].includes(summary.state) || (summary.state === "done" && summary.failures > 0);
  const tabs = [["live", "Results"], ["messages", `Messages${summary.warnings ? ` (${summary.warnings})` : ""}`], ["log", "Log"], ["facts", "Parameters"], ...(summary.failures ? [["failures", `Set aside (${summary.failures})`]] : [])];
  return html`<div class="page"><div class="page-head"><div class="grow"><a class="small" href=${address(here("jobs"))}>Jobs</a><div class="row"><h1>${summary.title}</h1><${StatePill} job=${summary} /></div></div>
      ${active && summary.action === "ab-initio" ? html`<button title="End with the maps as they are now" onClick=${() => control("take-current")}>Take current</button><button title="End with the maps of the best start" onClick=${() => control("take-last-start")}>Take last start</button>` : null}
      ${active ? html`<button disabled=${Boolean(summary.asked)} onClick=${() => control("pause")}><${Icon} name="pause" />Pause</button><button class="bad" disabled=${summary.asked === "cancel"} onClick=${() => confirm({ title: `Cancel ${summary.title}?`, text: "What it has finished stays. Pause instead, if you want to go on later.", button: "Cancel the job", bad: true, go: () => control("cancel") })}><${Icon} name="stop" />Cancel</button>` : null}
      ${again ? html`<button class="main-button" onClick=${() => control("resume")}><${Icon} name="actions" />${summary.state === "done" ? "Try those set aside again" : "Resume"}</button>` : null}
      <a class="button" href=${address(here("action", summary.action), { clone: job })}><${Icon} name="copy" />Run again…</a></div>
    <div class="card"><div class="body col" style=${{ gap: "8px" }}><${Bar} done=${summary.state === "done" ? 1 : summary.done} total=${summary.state === "done" ? 1 : active ? summary.total : summary.total || 1} />
      <div class="row wrap small soft" style=${{ gap: "6px 22px" }}><span>${summary.phase && active ? `${summary.phase}: ` : ""}${summary.total ? `${count(summary.done)} of ${count(summary.total)}` : "waiting for the first item"}</span>${active && timeLeft(summary) ? html`<span>${timeLeft(summary)}</span>` : null}
        <span>${plural(summary.results, "result")}</span><span>${duration(summary.cpu_seconds)} of computing</span><span>begun ${when(summary.created)}${!active && summary.changed ? `, ended ${when(summary.changed)}` : ""}</span><span>${summary.profile} on ${summary.host}</span>${whole?.peak_memory_bytes ? html`<span>${bytes(whole.peak_memory_bytes)} of memory at most</span>` : null}</div>
      ${summary.message ? html`<div class=${`note ${summary.state === "failed" ? "bad" : summary.state === "interrupted" ? "warn" : ""}`}>${summary.message}</div>` : null}</div></div>
    <div class="tabs" role="tablist">${tabs.map(([name, text]) => html`<button key=${name} role="tab" aria-selected=${tab === name} class=${tab === name ? "on" : ""} onClick=${() => setTab(name)}>${text}</button>`)}</div>
    ${tab === "live" ? html`<div class="col"><${Live} job=${job} whole=${whole} active=${active} /><${Figures} figures=${news?.figures || []} /></div>` : null}
    ${tab === "messages" ? html`<div class="card">${news?.messages.length ? html`<table class="plain"><tbody>${[...news.messages].reverse().map((one, i) => html`<tr key=${i}><td style=${{ width: "90px" }}><span class=${`pill ${{ warning: "warn", error: "bad" }[one.level] || ""}`}>${one.level}</span></td><td>${one.text}</td><td class="soft small num" style=${{ whiteSpace: "nowrap" }}>${when(one.t)}</td></tr>`)}</tbody></table>` : html`<div class="empty small">No messages.</div>`}</div>` : null}
    ${tab === "log" ? html`<${Log} job=${job} grown=${grown} />` : null}
    ${tab === "facts" && whole ? html`<${Facts} whole=${whole} />` : null}
    ${tab === "failures" && whole ? html`<div class="card"><table class="plain"><thead><tr><th>Item</th><th>What went wrong</th><th class="num">Tries</th></tr></thead><tbody>${whole.failures.map((one) => html`<tr key=${one.key}><td class="mono">${one.key}</td><td>${one.error}</td><td class="num">${one.attempts}</td></tr>`)}</tbody></table></div>` : null}</div>`;
}

const wholeOnly = (value) => (Number.isInteger(value) ? String(value) : "");

const isCurve = ({ values }) => values.filter((value) => value !== null).length > 1;

// Numbers that the job tells as it goes, along its rounds; of several starts, a curve each.
function Figures({ figures }) {
  if (figures.length < 2) return null;
  const names = [...new Set(figures.flatMap((one) => Object.keys(one)))].filter((name) => name !== "t" && figures.some((one) => typeof one[name] === "number"));
  const along = ["round", "cycle", "iteration"].find((name) => names.includes(name));
  const apart = along && names.includes("start") ? "start" : null;
  const places = along ? [...new Set(figures.map((one) => one[along]).filter((place) => typeof place === "number"))].sort((one, other) => one - other) : figures.map((_, i) => i + 1);
  const curve = (name, rows) => { if (!along) return rows.map((one) => (typeof one[name] === "number" ? one[name] : null)); const values = new Map(rows.filter((one) => typeof one[name] === "number").map((one) => [one[along], one[name]])); return places.map((place) => values.get(place) ?? null); };
  const groups = apart ? [...new Set(figures.map((one) => one[apart]))].filter((one) => one !== undefined).sort((one, other) => one - other) : [null];
  const series = (name) => groups.map((group) => ({ name: group === null ? label(name) : `start ${group}`, values: curve(name, group === null ? figures : figures.filter((one) => one[apart] === group)) }));
  return html`<div class="grid three">${names.filter((name) => name !== along && name !== apart && series(name).some(isCurve)).slice(0, 12).map((name) => html`<div key=${name} class="card"><header style=${{ minHeight: 0, padding: "8px 14px" }}><h3>${label(name)} <span class="faint">${prettyUnit(unitOf(name))}</span></h3></header><div class="body" style=${{ padding: "8px" }}>
    <${Plot} name=${label(name)} height="150" x=${places} xLabel=${along || "step"} xText=${wholeOnly} series=${series(name)} legend=${groups.length > 1} /></div></div>`)}</div>`;
}

function Log({ job, grown }) {
  const [text, setText] = useState("");
  const offset = useRef(0);
  const box = useRef(null);
  useEffect(() => {
    let dropped = false;
    get(at(`/jobs/${job}/log?offset=${offset.current}`)).then((found) => {
      if (dropped) return;
      const low = box.current && box.current.scrollHeight - box.current.scrollTop - box.current.clientHeight < 60;
      offset.current = found.offset;
      setText((old) => (found.cut ? `…\n${found.text}` : old + found.text));
      if (low || low === null) requestAnimationFrame(() => { if (box.current) box.current.scrollTop = box.current.scrollHeight; });
    }, () => {});
    return () => { dropped = true; };
  }, [grown]);
  return html`<pre class="log" ref=${box} tabindex="0" aria-label="Log">${text || "The log is empty."}</pre>`;
}

function Facts({ whole }) {
  return html`<div class="grid two" style=${{ alignItems: "start" }}><div class="card"><header><h2>Parameters</h2></header><div class="body"><dl class="facts">${Object.entries(whole.parameters).map(([name, value]) => html`<dt key=${name}>${label(name)}</dt><dd>${Array.isArray(value) ? value.join(" ") : number(value, 6)} <span class="faint">${value === null ? "" : prettyUnit(unitOf(name))}</span></dd>`)}<dt>Seed</dt><dd>${whole.seed}</dd></dl></div></div>
    <div class="col"><div class="card"><header><h2>Inputs and resources</h2></header><div class="body"><dl class="facts">${Object.entries(whole.inputs).map(([name, list]) => html`<dt key=${name}>${label(name)}</dt><dd>${list.length === 1 ? list[0].name || list[0] : count(list.length)}</dd>`)}
      <dt>Workers</dt><dd>${whole.resources.workers} × ${plural(whole.resources.threads, "thread")}</dd><dt>Device</dt><dd>${whole.resources.device}</dd><dt>Memory stated</dt><dd>${bytes(whole.estimate?.memory_bytes)}</dd><dt>Time stated</dt><dd>${duration(whole.estimate?.seconds)}</dd><dt>Folder</dt><dd class="mono small">${whole.folder}</dd></dl></div></div>
      <div class="card"><header><h2>Versions</h2></header><div class="body"><dl class="facts">${Object.entries(whole.versions).map(([name, value]) => html`<dt key=${name}>${name}</dt><dd>${value}</dd>`)}</dl></div></div></div></div>`;
}

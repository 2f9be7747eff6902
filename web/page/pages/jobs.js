// All jobs, and what came from what.
import { html, useState } from "/core/html.js";
import { address, go } from "/core/router.js";
import { at, here, jobList, useAnswer } from "/core/state.js";
import { count, duration, plural, when } from "/core/words.js";
import { Icon } from "/parts/icons.js";
import { Bar, StatePill, timeLeft } from "/parts/progress.js";

export function Jobs() {
  const [view, setView] = useState("list");
  const jobs = jobList.value;
  return html`<div class="page"><div class="page-head"><div class="grow"><h1>Jobs</h1><p class="soft">They run by themselves: closing this page, the terminal or the server stops none.</p></div>
      <div class="segments" role="tablist">${[["list", "List"], ["graph", "What came from what"]].map(([name, text]) => html`<button key=${name} role="tab" aria-selected=${view === name} class=${view === name ? "on" : ""} onClick=${() => setView(name)}>${text}</button>`)}</div></div>
    ${!jobs.length ? html`<div class="card empty"><${Icon} name="jobs" /><div class="strong">No jobs yet</div><a class="button" href=${address(here("actions"))}>Actions</a></div>` : view === "graph" ? html`<${Graph} jobs=${jobs} />` : html`<div class="card"><table class="plain"><thead><tr><th class="num">Job</th><th>Title</th><th>State</th><th style=${{ width: "190px" }}>Progress</th><th class="num">Results</th><th class="num">Computing</th><th>Begun</th><th>By</th></tr></thead>
      <tbody>${jobs.map((job) => html`<tr key=${job.job} class="link" tabindex="0" onClick=${() => go(here("job", String(job.job)))} onKeyDown=${(event) => event.key === "Enter" && go(here("job", String(job.job)))}>
        <td class="num faint">${job.job}</td><td class="strong"><a href=${address(here("job", String(job.job)))} style=${{ color: "inherit" }}>${job.title}</a></td><td><${StatePill} job=${job} /></td>
        <td>${["running", "starting", "paused", "interrupted"].includes(job.state) ? html`<${Bar} done=${job.done} total=${job.total} /><span class="small soft">${count(job.done)} of ${count(job.total)} ${timeLeft(job)}</span>` : html`<span class="small soft">${job.total ? plural(job.total, "item") : ""}</span>`}</td>
        <td class="num">${count(job.results)}</td><td class="num">${duration(job.cpu_seconds)}</td><td class="soft">${when(job.created)}</td><td class="soft">${job.user}</td></tr>`)}</tbody></table></div>`}</div>`;
}

function Graph({ jobs }) {
  const { data, error } = useAnswer(at("/graph"));
  if (error) return html`<div class="note bad">${error}</div>`;
  if (!data) return html`<div class="card empty">…</div>`;
  const byNumber = new Map(jobs.map((job) => [job.job, job]));
  const level = new Map();
  const into = (number) => data.edges.filter(([, to]) => to === number).map(([from]) => from);
  const depth = (number) => { if (!level.has(number)) { level.set(number, 0); level.set(number, Math.max(0, ...into(number).map((from) => depth(from) + 1))); } return level.get(number); };
  const shown = [...new Set([...jobs.map((job) => job.job), ...data.edges.flat()])].sort((a, b) => a - b);
  const rows = new Map();
  const place = new Map(shown.map((number) => { const column = depth(number); const row = rows.get(column) || 0; rows.set(column, row + 1); return [number, [column, row]]; }));
  const [w, h, gx, gy] = [178, 46, 70, 18];
  const at2 = (number) => { const [column, row] = place.get(number); return [14 + column * (w + gx), 14 + row * (h + gy)]; };
  const width = 30 + (Math.max(0, ...[...place.values()].map(([column]) => column)) + 1) * (w + gx) - gx;
  const height = 30 + Math.max(1, ...rows.values()) * (h + gy) - gy;
  return html`<div class="card" style=${{ overflow: "auto" }}><svg width=${width} height=${height} role="img" aria-label="Graph of jobs">
    ${data.edges.map(([from, to]) => { const [x1, y1] = at2(from); const [x2, y2] = at2(to); return html`<path key=${`${from}-${to}`} d=${`M${x1 + w} ${y1 + h / 2} C${x1 + w + gx * 0.6} ${y1 + h / 2} ${x2 - gx * 0.6} ${y2 + h / 2} ${x2} ${y2 + h / 2}`} class="edge" />`; })}
    ${shown.map((number) => { const job = byNumber.get(number); const [x, y] = at2(number); return html`<a key=${number} href=${job ? address(here("job", String(number))) : undefined}><g transform=${`translate(${x} ${y})`} class=${`node ${job?.state || "gone"}`}><rect width=${w} height=${h} rx="9" /><text x="12" y="20" class="name">${(job?.title || `job ${number}`).slice(0, 24)}</text><text x="12" y="36" class="sub">${job ? `${job.state}, ${plural(job.results, "result")}` : "deleted"}</text></g></a>`; })}</svg></div>`;
}

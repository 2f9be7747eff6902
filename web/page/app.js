// The page: its shell, and which page is shown.
import { html, render, signal, useEffect, useErrorBoundary } from "/core/html.js";
import { sessionLost, serverGone } from "/core/api.js";
import { connected, follow } from "/core/news.js";
import { address, route } from "/core/router.js";
import { activeJobs, here, jobs, loadActions, projectKey, refreshProject, standing, standingError } from "/core/state.js";
import { count } from "/core/words.js";
import { Dialogs } from "/parts/dialog.js";
import { Icon } from "/parts/icons.js";
import { Bar, StatePill } from "/parts/progress.js";
import { chosen, theme } from "/parts/theme.js";
import { Toasts } from "/parts/toasts.js";
import { KINDS } from "/pages/kinds.js";
import { RESULT_PAGES } from "/pages/result_pages.js";

// Pages are fetched when they are first shown, and the others once the first has been.
const PAGES = {
  overview: () => import("/pages/overview.js").then((found) => found.Overview), assets: () => import("/pages/assets.js").then((found) => found.Assets), import: () => import("/pages/import.js").then((found) => found.Import),
  actions: () => import("/pages/actions.js").then((found) => found.Actions), action: () => import("/pages/action.js").then((found) => found.Action), jobs: () => import("/pages/jobs.js").then((found) => found.Jobs),
  job: () => import("/pages/job.js").then((found) => found.Job), results: () => import("/pages/results.js").then((found) => found.Results), settings: () => import("/pages/settings.js").then((found) => found.Settings),
  viewer: () => import("/pages/viewer.js").then((found) => found.Viewer), map: () => import("/pages/map.js").then((found) => found.MapPage), start: () => import("/pages/start.js").then((found) => found.Start),
};
const fetched = signal({});
const asked = new Set();

function fetchPage(name) {
  if (asked.has(name)) return;
  asked.add(name);
  PAGES[name]().then((page) => { fetched.value = { ...fetched.value, [name]: page }; }, () => { asked.delete(name); serverGone.value = true; setTimeout(() => fetchPage(name), 3000); });
}

const pageName = () => { const { path } = route.value; return path[0] !== "p" ? "start" : PAGES[path[2]] ? path[2] : "overview"; };
fetchPage(pageName());
setTimeout(() => Object.keys(PAGES).forEach(fetchPage), 2500);

function Link({ to, values, icon, text, tally, sub }) {
  const path = route.value.path;
  const on = to.every((part, i) => path[i] === part) && (to.length > 2 || path.length === 2);
  return html`<a href=${address(to, values)} class=${`${on ? "on" : ""} ${sub ? "sub" : ""}`} aria-current=${on ? "page" : undefined}>${icon ? html`<${Icon} name=${icon} />` : null}<span class="cut">${text}</span>
    ${tally ? html`<span class="count">${tally}</span>` : null}</a>`;
}

function Side() {
  const counts = standing.value?.counts || {};
  const section = route.value.path[2];
  const running = activeJobs.value;
  return html`<aside class="side">
    <a class="brand" href="#/"><img src="/icon.svg" alt="" />verglas</a>
    ${projectKey.value ? html`<a class="project-name" href="#/" title=${standing.value?.folder}><div class="strong cut">${standing.value?.name ?? "…"}</div><div class="faint small cut">${standing.value?.folder ?? ""}</div></a>
    <nav aria-label="Pages">
      <${Link} to=${here()} icon="overview" text="Overview" />
      <${Link} to=${here("assets")} icon="assets" text="Assets" />
      ${section === "assets" || section === "import" ? KINDS.map((kind) => html`<${Link} key=${kind.kind} sub to=${here("assets", kind.kind)} text=${kind.many} tally=${counts[kind.kind] ? count(counts[kind.kind]) : ""} />`) : null}
      <${Link} to=${here("actions")} icon="actions" text="Actions" />
      <${Link} to=${here("results")} icon="results" text="Results" />
      ${section === "results" ? RESULT_PAGES.map((one) => html`<${Link} key=${one.name} sub to=${here("results", one.name)} text=${one.title} />`) : null}
      <${Link} to=${here("jobs")} icon="jobs" text="Jobs" tally=${running.length || ""} />
      <${Link} to=${here("viewer")} icon="viewer" text="Viewer" />
      <${Link} to=${here("map")} icon="map" text="3D map" />
      <${Link} to=${here("settings")} icon="settings" text="Settings" />
    </nav>` : html`<nav><${Link} to=${[]} icon="folder" text="Projects" /></nav>`}
    <div class="foot">
      ${running.slice(0, 3).map((job) => html`<a key=${job.job} href=${address(here("job", String(job.job)))} class="small" style=${{ color: "inherit" }}>
        <div class="row" style=${{ gap: "6px" }}><span class="cut grow">${job.title}</span><span class="faint">${job.total ? `${Math.round((100 * job.done) / job.total)}%` : ""}</span></div><${Bar} done=${job.done} total=${job.total} /></a>`)}
      <div class="row" style=${{ justifyContent: "space-between" }}><span class=${`pill ${connected.value ? "good" : "warn"}`} title=${connected.value ? "News arrive as they happen." : "Trying to reach the server again."}>${connected.value ? "live" : "reconnecting"}</span>
        <button class="bare small" title="Light, dark, or as the computer" aria-label=${`Theme: ${chosen.value}`} onClick=${() => { chosen.value = { system: theme.value === "dark" ? "light" : "dark", light: "dark", dark: "system" }[chosen.value]; }}><${Icon} name="sun" />${chosen.value}</button></div>
    </div></aside>`;
}

// A page that fails says so, and leaves the way to all others open.
function Guarded({ children }) {
  const [error] = useErrorBoundary((failed) => console.error(failed));
  return error ? html`<div class="page"><div class="note bad" role="alert">This page failed: ${error.message}. Go on by the menu; reloading may help.</div></div>` : children;
}

function Page() {
  const key = projectKey.value;
  useEffect(() => { if (key) { standing.value = null; jobs.value = new Map(); refreshProject(); loadActions().catch(() => {}); } }, [key]);
  useEffect(() => { document.title = standing.value && key ? `${standing.value.name} · verglas` : "verglas"; }, [standing.value, key]);
  if (sessionLost.value) return html`<div class="empty" style=${{ minHeight: "100vh" }}><img src="/icon.svg" alt="" width="56" /><h1>A new address is needed</h1>
    <p style=${{ maxWidth: "46ch" }}>This browser is not known to the server, or the server was started again. Jobs go on. Run <code>verglas serve --url</code> in a terminal and open the address that it prints.</p></div>`;
  const name = pageName();
  const Shown = fetched.value[name];
  useEffect(() => { fetchPage(name); }, [name]);
  return html`<div class="shell"><${Side} /><main class="main" id="main">
    ${serverGone.value ? html`<div class="banner" role="alert">The server does not answer. Jobs go on by themselves; start it again with <code>verglas serve</code>.</div>` : null}
    ${key && standingError.value && !standing.value ? html`<div class="page"><div class="note bad">${standingError.value}</div><p><a href="#/">All projects</a></p></div>` : Shown ? html`<${Guarded} key=${route.value.path.join("/")}><${Shown} key=${key} /></${Guarded}>` : html`<div class="page"></div>`}
  </main><${Dialogs} /><${Toasts} /></div>`;
}

render(html`<${Page} />`, document.getElementById("page"));
follow();

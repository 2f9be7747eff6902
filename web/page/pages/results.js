// Results: assets at the left, what was found about the one at hand at the right.
import { html, useCallback, useEffect, useState } from "/core/html.js";
import { get, post, query } from "/core/api.js";
import { address, go, route } from "/core/router.js";
import { at, changes, here, jobs, useAnswer } from "/core/state.js";
import { number, plural, when } from "/core/words.js";
import { confirm, show } from "/parts/dialog.js";
import { FilterDialog } from "/parts/filter_dialog.js";
import { Icon } from "/parts/icons.js";
import { Table } from "/parts/table.js";
import { attempt } from "/parts/toasts.js";
import { kindOf } from "/pages/kinds.js";
import { RESULT_PAGES } from "/pages/result_pages.js";
import { Alignment } from "/results/alignment.js";
import { Ctf } from "/results/ctf.js";
import { Picks } from "/results/picks.js";
import { Classification } from "/results/classes.js";
import { MapResult } from "/results/maps.js";
import { Refinement } from "/results/refinements.js";

export function Results() {
  const page = RESULT_PAGES.find((one) => one.name === route.value.path[3]) || RESULT_PAGES[0];
  return html`<${OnePage} key=${page.name} page=${page} />`;
}

function OnePage({ page }) {
  const now = route.value.values.at ? Number(route.value.values.at) : null;
  const [sort, setSort] = useState(page.newest ? { key: "id", descending: true } : null);
  const [name, setName] = useState("");
  const [conditions, setConditions] = useState([]);
  const pattern = name ? (/[*?[]/.test(name) ? name : `*${name}*`) : "";
  const fetchRows = useCallback((offset, limit) => get(`${at(`/assets/${page.kind}`)}${query({ offset, limit, name: pattern, where: conditions, sort: sort?.key, descending: sort?.descending || undefined })}`), [page.kind, pattern, JSON.stringify([sort, conditions])]);
  const choose = (row) => go(here("results", page.name), { at: row.id }, { replace: true });
  useEffect(() => { if (now === null) fetchRows(0, 1).then((found) => found.rows.length && choose(found.rows[0]), () => {}); }, [now, changes.value]);
  return html`<div class="page fill"><div class="page-head"><h1 class="grow">${page.title}</h1></div>
    <div class="result-layout"><div class="card"><header style=${{ padding: "8px 10px" }}><input class="grow" aria-label="Find by name" placeholder="Find by name" value=${name} onInput=${(event) => setName(event.target.value)} /><button class=${`small ${conditions.length ? "on" : ""}`} aria-label="Filter" title="Filter and sort by figures" onClick=${() => show(() => html`<${FilterDialog} kind=${kindOf(page.kind)} group="0" conditions=${conditions} go=${setConditions} sort=${sort} onSort=${setSort} />`)}><${Icon} name="filter" />${conditions.length || ""}</button></header>
        <${Table} columns=${[{ key: "id", title: "ID", width: 54, num: true, sorts: true }, { key: "name", title: "Name", width: 110, grow: true, sorts: true, hint: (row) => row.name }, ...page.columns]} fetchRows=${fetchRows} name=${`${page.name}|${pattern}|${conditions.join()}`} tick=${changes.value} sort=${sort} onSort=${setSort} onAt=${choose} at=${now} foot=${(total) => html`<span>${total === null ? "…" : total.toLocaleString("en-US")}</span><span class="faint">↑ ↓ go along</span>`} empty=${html`<div class="empty small">Nothing yet.</div>`} /></div>
      <div class="result-detail">${now === null ? html`<div class="empty"><${Icon} name="results" /><div>Results will be shown here.</div><a class="button" href=${address(here("actions"))}>Actions</a></div>` : page.name === "classes" ? html`<${Classification} key=${now} id=${now} />` : page.name === "maps" ? html`<${MapResult} key=${now} id=${now} />` : page.name === "refinements" ? html`<${Refinement} id=${now} />` : html`<${OfAsset} page=${page} id=${now} />`}</div></div></div>`;
}

function OfAsset({ page, id }) {
  const { last, error } = useAnswer(at(`/assets/${page.kind}/${id}`));
  const [shown, setShown] = useState(null);
  useEffect(() => setShown(null), [id]);
  const data = last?.asset?.id === id && last.asset.kind === page.kind ? last : null;
  if (error) return html`<div class="note bad">${error}</div>`;
  if (!data) return html`<div class="empty">…</div>`;
  const results = data.results.filter((one) => one.kind === page.result);
  const result = results.find((one) => one.id === shown) || results.find((one) => one.active) || results[results.length - 1];
  const activate = () => attempt(() => post(at("/edit"), { edit: "result.activate", result: result.id }), "This is the active result now.");
  const activateJob = () => confirm({ title: `Make all results of job ${result.job} active?`, text: `For every ${page.kind} that has a result of ${jobs.value.get(result.job)?.title || `job ${result.job}`}, this one becomes the active one. Nothing is lost; others can be made active again.`, button: "Make active", go: () => attempt(() => post(at("/edit"), { edit: "result.activate", job: result.job, kind: page.result }), "Done.") });
  const edited = results.filter((one) => !one.values.edited_from);
  const choices = page.name === "picks" ? edited.concat(results.filter((one) => one.active && one.values.edited_from)) : results;
  return html`<div class="row wrap"><h2 class="grow cut">${data.asset.name}</h2>
      ${choices.length > 1 ? html`<select aria-label="Result" value=${result.id} onChange=${(event) => setShown(Number(event.target.value))}>${choices.map((one) => html`<option key=${one.id} value=${one.id}>${one.job ? jobs.value.get(one.job)?.title || `Job ${one.job}` : one.values.edited_from ? "edited by hand" : "imported"}${one.active ? " (active)" : ""}</option>`)}</select>` : null}
      ${result && !result.active ? html`<button onClick=${activate}><${Icon} name="check" />Make active</button>` : null}${result?.job && results.length > 1 ? html`<button onClick=${activateJob}>For all of this job…</button>` : null}
      ${result?.job ? html`<a class="button" href=${address(here("job", String(result.job)))}>Job ${result.job}</a>` : null}</div>
    ${page.name === "picks" ? html`<${Picks} key=${id} image=${data.asset} />` : !result ? html`<div class="card empty"><div>No result of this kind yet.</div><a class="button" href=${address(here("actions"))}>Actions</a></div>` : page.name === "alignment" ? html`<${Alignment} key=${result.id} result=${result} />` : html`<${Ctf} key=${result.id} result=${result} image=${data.asset} alignment=${data.results.filter((one) => one.kind === "movie_alignment").findLast((one) => one.active) || null} />`}`;
}

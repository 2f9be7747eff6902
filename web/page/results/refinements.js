// A refinement: its rounds, each class's map, FSC, directions of view, figures of its particles; compared with another one.
import { html, useState } from "/core/html.js";
import { post, query } from "/core/api.js";
import { address, go } from "/core/router.js";
import { at, here, useAnswer } from "/core/state.js";
import { count, label, number, plural, unitOf } from "/core/words.js";
import { Icon } from "/parts/icons.js";
import { Plot } from "/parts/plot.js";
import { attempt } from "/parts/toasts.js";
import { FscPlot, Orthogonal, curvesOf, resolutionWords } from "/results/map_summary.js";
import { ColumnHistogram, Directions, ParticleRows } from "/results/particle_tables.js";

const WHAT = [["map", "Map"], ["particles", "Particles"], ["figures", "Figures"]];
const statistics = (id, one) => (id && one?.statistics_path ? `${at("/curves")}${query({ source: `asset:refinement:${id}:statistics_${one.class}` })}` : null);

export function RoundsPlot({ rounds, height = 200, onRound }) {
  const shown = rounds.filter((one) => one.round !== null && one.round !== undefined);
  if (shown.length < 2) return null;
  return html`<${Plot} x=${shown.map((one) => one.round)} height=${height} xLabel="round" xText=${(value) => (Number.isInteger(value) ? String(value) : "")} yLabel="Å" name="Resolution by round" onPoint=${onRound ? (index) => onRound(shown[index]) : undefined}
    series=${[{ name: "resolution", values: shown.map((one) => one.resolution_A ?? null) }, { name: "aligned to", values: shown.map((one) => one.limit_A ?? null), ink: "--soft", dash: [5, 4] }]} />`;
}

function ChangesPlot({ rounds, changes }) {
  if (rounds.length < 2 || !changes?.some((one) => typeof one === "number")) return null;
  return html`<h3>Particles changing class</h3><${Plot} x=${rounds.map((one) => one.round)} height=${200} xLabel="round" xText=${(value) => (Number.isInteger(value) ? String(value) : "")} yLabel="%" yRange=${[0, Math.max(10, 1.1 * Math.max(...changes.filter((one) => typeof one === "number")))]} legend=${false} name="Particles changing class by round" series=${[{ name: "changing class", values: changes }]} />`;
}

// What each class of the package begins its next refinement with; this refinement's map can be made that.
function References({ data, one }) {
  const active = data.references.find((each) => each.class === one.class);
  if (!active) return null;
  const choose = () => attempt(() => post(at("/edit"), { edit: "references.set", package: data.asset.package, class: one.class, volume: one.volume }), "The next refinement begins with this map.");
  return html`<span>next begins with ${active.volume ? html`<a href=${address(here("results", "maps"), { at: active.volume })}>${active.name}</a>${active.chosen ? " (chosen)" : ""}` : "a map made from the parameters"}</span>
    ${one.volume && active.volume !== one.volume ? html`<button class="small" onClick=${choose}>Begin with this map</button>` : null}`;
}

export function Refinement({ id }) {
  const { last, error } = useAnswer(at(`/refinement/${id}`));
  const [what, setWhat] = useState("map");
  const [chosen, setChosen] = useState(1);
  const [other, setOther] = useState("");
  const { data: all } = useAnswer(at("/assets/refinement?sort=id&descending=true&limit=300"));
  const { data: compared } = useAnswer(other ? at(`/refinement/${other}`) : null);
  const data = last?.asset?.kind === "refinement" ? last : null;
  const one = data?.classes[Math.min(chosen, data.classes.length) - 1];
  const two = compared?.classes[Math.min(chosen, compared.classes.length) - 1];
  const curves = curvesOf(useAnswer(statistics(data?.asset.id, one), { live: false }).data);
  const otherCurves = curvesOf(useAnswer(statistics(compared?.asset.id, two), { live: false }).data);
  if (error) return html`<div class="note bad">${error}</div>`;
  if (!data) return html`<div class="empty">…</div>`;
  const { asset, values } = data;
  const source = `refinement:${asset.id}:particles_${one.class}`;
  const place = data.rounds.findIndex((round) => round.id === asset.id);
  const figures = Object.entries(values).filter(([name, value]) => name !== "name" && (typeof value === "number" || typeof value === "string" || typeof value === "boolean"));
  return html`<div class="card"><header style=${{ flexWrap: "wrap" }}><h2 style=${{ flex: "1 0 100%" }}>${asset.name}</h2>
      ${one.resolution_A ? html`<span class="pill good">${number(one.resolution_A, 3)} Å</span>` : null}
      ${data.rounds.length > 1 ? html`<label class="row small soft" style=${{ gap: "6px" }}>Round<input type="range" aria-label="Round" min="0" max=${data.rounds.length - 1} value=${place} onInput=${(event) => go(here("results", "refinements"), { at: data.rounds[Number(event.target.value)].id }, { replace: true })} /><span>${values.round}</span></label>` : null}
      ${data.classes.length > 1 ? html`<select aria-label="Class" value=${one.class} onChange=${(event) => setChosen(Number(event.target.value))}>${data.classes.map((each) => html`<option key=${each.class} value=${each.class}>Class ${each.class}: ${number(each.average_occupancy, 3)} %${each.resolution_A ? `, ${number(each.resolution_A, 3)} Å` : ""}</option>`)}</select>` : null}
      ${one.volume ? html`<a class="button" href=${address(here("map"), { source: `asset:volume:${one.volume}` })}><${Icon} name="map" />3D</a><a class="button" href=${address(here("results", "maps"), { at: one.volume })}>Map ${one.volume}</a>` : null}
      ${data.job ? html`<a class="button" href=${address(here("job", String(data.job)))}>Job ${data.job}</a>` : null}</header>
    <div class="body row wrap small soft" style=${{ gap: "4px 20px", padding: "8px 16px" }}><span>${plural(values.particles_used ?? asset.particles_used ?? 0, "particle")}</span><span>${asset.symmetry}</span><span>${asset.method}</span>${values.limit_A ? html`<span>aligned to ${number(values.limit_A, 3)} Å</span>` : null}<a href=${address(here("assets", "package"))}>package ${asset.package}</a><${References} data=${data} one=${one} />
      <span class="grow"></span><select aria-label="Compare with" value=${other} onChange=${(event) => setOther(event.target.value)}><option value="">compare with…</option>${all?.rows.filter((each) => each.id !== asset.id).map((each) => html`<option key=${each.id} value=${each.id}>${each.id}: ${each.name}</option>`)}</select></div></div>
    <div class="tabs" role="tablist">${WHAT.map(([name, text]) => html`<button key=${name} role="tab" aria-selected=${what === name} class=${what === name ? "on" : ""} onClick=${() => setWhat(name)}>${text}</button>`)}</div>
    ${what === "map" ? html`
      ${one.volume_path ? html`<div class="card"><div class="body col"><${Orthogonal} source=${`asset:refinement:${asset.id}:volume_${one.class}`} size=${curves ? 2 * (curves.frequency_per_A.length - 1) : null} beside=${two?.volume_path ? { source: `asset:refinement:${compared.asset.id}:volume_${two.class}`, name: compared.asset.name } : null} /></div></div>` : html`<div class="card empty small">This refinement has no map.</div>`}
      <div class="grid two" style=${{ alignItems: "start" }}>
        <div class="card"><header><h2 class="grow">Fourier shell correlation</h2>${one.resolution_A ? html`<span class="small soft">${resolutionWords(one.resolution_A, one.resolution_kind)}</span>` : null}</header><div class="body">${curves ? html`<${FscPlot} curves=${curves} others=${otherCurves ? [{ name: compared.asset.name, curves: otherCurves }] : []} />` : html`<div class="empty small">No FSC.</div>`}</div></div>
        <div class="card"><header><h2>Directions of view</h2></header><div class="body row wrap top" style=${{ justifyContent: "center" }}><${Directions} source=${source} />${two ? html`<${Directions} source=${`refinement:${compared.asset.id}:particles_${two.class}`} />` : null}</div></div>
        ${data.rounds.length > 1 ? html`<div class="card"><header><h2>By round</h2></header><div class="body"><${RoundsPlot} rounds=${data.rounds} onRound=${(round) => go(here("results", "refinements"), { at: round.id }, { replace: true })} /><${ChangesPlot} rounds=${data.rounds} changes=${data.percent_changing_class} /></div></div>` : null}</div>` : null}
    ${what === "particles" ? html`<div class="card"><header><h2>How figures lie</h2></header><div class="body"><${ColumnHistogram} source=${source} /></div></div><${ParticleRows} source=${source} />` : null}
    ${what === "figures" ? html`<div class="card"><table class="plain"><thead><tr><th>Figure</th><th class="num">${asset.name}</th>${compared ? html`<th class="num">${compared.asset.name}</th>` : null}</tr></thead><tbody>
      ${figures.map(([name, value]) => html`<tr key=${name}><td>${label(name)} <span class="faint">${unitOf(name)}</span></td><td class="num">${number(value)}</td>${compared ? html`<td class="num">${number(compared.values[name])}</td>` : null}</tr>`)}
      ${data.classes.map((each) => html`<tr key=${each.class}><td>Class ${each.class}: resolution, occupancy</td><td class="num">${number(each.resolution_A, 3)} Å, ${number(each.average_occupancy, 3)} %</td>${compared ? html`<td class="num">${compared.classes[each.class - 1] ? `${number(compared.classes[each.class - 1].resolution_A, 3)} Å, ${number(compared.classes[each.class - 1].average_occupancy, 3)} %` : "–"}</td>` : null}</tr>`)}</tbody></table></div>` : null}`;
}

// What a running refinement shows: its latest round.
export function LiveRefinement({ results, known, one, Pick, choose }) {
  const rounds = results.map((each) => ({ round: each.values.round, limit_A: each.values.limit_A, resolution_A: each.values.resolution_A }));
  const id = one?.product?.id;
  const detail = one?.values.details?.[0];
  const curves = curvesOf(useAnswer(id && detail?.statistics_path ? `${at("/curves")}${query({ source: `asset:refinement:${id}:statistics_1` })}` : null, { live: false }).last);
  if (!id) return null;
  return html`<div class="card"><header><h2 class="grow">Round ${one.values.round}${one.values.resolution_A ? html` <span class="faint">${number(one.values.resolution_A, 3)} Å</span>` : null}</h2><${Pick} known=${known} one=${one} choose=${choose} /><a class="button" href=${address(here("results", "refinements"), { at: id })}>Open</a></header>
      <div class="body col">${(one.values.details || []).slice(0, 6).map((each, i) => html`<div key=${i}>${one.values.details.length > 1 ? html`<h3>Class ${i + 1}, ${number(each.average_occupancy, 3)} %${each.resolution_A ? `, ${number(each.resolution_A, 3)} Å` : ""}</h3>` : null}<${Orthogonal} source=${`asset:refinement:${id}:volume_${i + 1}`} size=${curves ? 2 * (curves.frequency_per_A.length - 1) : null} edge=${320} /></div>`)}</div></div>
    <div class="grid two" style=${{ alignItems: "start" }}><div class="card"><header><h2>By round</h2></header><div class="body"><${RoundsPlot} rounds=${rounds} height=${230} /></div></div>
      <div class="card"><header><h2>Fourier shell correlation</h2></header><div class="body">${curves ? html`<${FscPlot} curves=${curves} height=${230} />` : html`<div class="empty small">…</div>`}</div></div>
      <div class="card"><header><h2>Directions of view</h2></header><div class="body"><${Directions} source=${`refinement:${id}:particles_1`} /></div></div></div>`;
}

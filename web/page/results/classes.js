// A 2D classification: every round, class averages, and the particles of a class.
import { html, useEffect, useState } from "/core/html.js";
import { query } from "/core/api.js";
import { go, route } from "/core/router.js";
import { at, here, useAnswer } from "/core/state.js";
import { count, number, plural } from "/core/words.js";
import { ClassMontage, stripAddress, tileStyle } from "/results/class_montage.js";
import { Selections } from "/results/class_selections.js";

const PAGE = 60;

export function Classification({ id }) {
  const { data, error } = useAnswer(at(`/classification/${id}`));
  const [now, setNow] = useState(null);
  const [order, setOrder] = useState("particles");
  const [picked, setPicked] = useState(new Set());
  const toggle = (one) => setPicked((old) => { const next = new Set(old); if (next.has(one)) next.delete(one); else next.add(one); return next; });
  if (error) return html`<div class="note bad">${error}</div>`;
  if (!data) return html`<div class="empty">…</div>`;
  const { values } = data;
  const rounds = data.rounds.filter((one) => one.round !== null && one.round !== undefined).sort((a, b) => a.round - b.round);
  const share = values.occupancy ? [...picked].reduce((sum, one) => sum + values.occupancy[one - 1], 0) : 0;
  return html`<div class="card"><header style=${{ flexWrap: "wrap" }}><h2 class="grow">Class averages</h2>
      ${rounds.length > 1 ? html`<label class="row small soft" style=${{ gap: "6px" }}>Round<input type="range" min="0" max=${rounds.length - 1} value=${rounds.findIndex((one) => one.id === id)} onInput=${(event) => go(here("results", "classes"), { at: rounds[Number(event.target.value)].id }, { replace: true })} /><span>${values.round} of ${values.rounds}</span></label>` : null}
      <label class="row small soft" style=${{ gap: "6px" }}>Order<select value=${order} onChange=${(event) => setOrder(event.target.value)}><option value="particles">particles</option><option value="resolution">resolution</option><option value="number">number</option></select></label></header>
    <div class="body col"><div class="small soft">${plural(values.particles_used, "particle")}, ${plural(values.classes, "class", "classes")}, to ${number(values.limit_A, 3)} Å. Below each: its number, particles, and where its halves agree. Click shows the particles; Ctrl and click, or Select, chooses the class.</div>
      <${ClassMontage} classification=${id} values=${values} order=${order} picked=${picked} at=${now} onPick=${toggle} onOpen=${setNow} />
      <${Selections} classification=${id} picked=${picked} setPicked=${setPicked} classes=${values.classes} share=${share} /></div></div>
    ${now ? html`<${Members} key=${`${id}-${now}`} classification=${id} number_=${now} picked=${picked.has(now)} toggle=${() => toggle(now)} />` : null}`;
}

function Members({ classification, number_, picked, toggle }) {
  const [offset, setOffset] = useState(0);
  useEffect(() => setOffset(0), [classification, number_]);
  const { last: data, error } = useAnswer(`${at(`/classification/${classification}/members`)}${query({ class_number: number_, limit: PAGE, offset: offset || undefined })}`, { live: false });
  const url = data?.sections.length ? stripAddress(data.source, { numbers: data.sections.join(","), edge: 96 }) : null;
  return html`<div class="card"><header><h2 class="grow">Class ${number_}${data ? html` <span class="faint">${plural(data.count, "particle")}</span>` : ""}</h2>
      <button class=${picked ? "on" : ""} onClick=${toggle}>${picked ? "Selected" : "Select"}</button>
      <button class="small" disabled=${!offset} onClick=${() => setOffset(Math.max(0, offset - PAGE))}>Previous</button><span class="small soft">${data?.count ? `${count(offset + 1)} to ${count(Math.min(data.count, offset + PAGE))}` : ""}</span><button class="small" disabled=${!data || offset + PAGE >= data.count} onClick=${() => setOffset(offset + PAGE)}>Next</button></header>
    <div class="body">${error ? html`<div class="note bad">${error}</div>` : null}${url ? html`<div class="member-grid">${data.sections.map((section, index) => html`<div key=${section} role="img" aria-label=${`Particle ${data.rows[index] + 1}`} title=${`Particle ${data.rows[index] + 1}`} style=${tileStyle(url, index, data.sections.length)}></div>`)}</div>` : data ? html`<div class="empty small">No particle has this as its best class.</div>` : null}</div></div>`;
}

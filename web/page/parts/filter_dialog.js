// A dialog of conditions on the figures of assets, all of which must hold.
import { html, useState } from "/core/html.js";
import { query } from "/core/api.js";
import { at, useAnswer } from "/core/state.js";
import { Dialog, close } from "/parts/dialog.js";
import { Icon } from "/parts/icons.js";

export function FilterDialog({ kind, group, conditions, go: apply, sort, onSort }) {
  const { data, error } = useAnswer(`${at(`/assets/${kind.kind}/figures`)}${query({ group })}`, { live: false });
  const [list, setList] = useState(conditions.length ? conditions.map((text) => { const found = text.match(/^(\S+) (<=|>=|!=|<|>|=) (\S+)$/); return found ? found.slice(1) : ["", "<", ""]; }) : [["", "<", ""]]);
  const put = (i, j, value) => setList(list.map((one, k) => (k === i ? one.map((part, l) => (l === j ? value : part)) : one)));
  const [order, setOrder] = useState(sort);
  const send = () => { close(); onSort?.(order); apply(list.filter(([name, , value]) => name && value !== "" && Number.isFinite(Number(value))).map((one) => one.join(" "))); };
  return html`<${Dialog} title=${`Filter ${kind.many.toLowerCase()}`} wide="660" foot=${html`<button class="bare" onClick=${() => { close(); apply([]); }}>Show all</button><span class="grow"></span><button onClick=${close}>Cancel</button><button class="main-button" onClick=${send}>Apply</button>`}>
    <p class="small soft">All conditions must hold. Figures are columns of the asset and, with a dot, what its active results found. What is not known fulfils none.</p>
    ${error ? html`<div class="note bad">${error}</div>` : null}
    ${list.map(([name, sign, value], i) => html`<div key=${i} class="row"><select class="grow" aria-label="Figure" value=${name} onChange=${(event) => put(i, 0, event.target.value)}><option value="">choose a figure</option>${data?.names.map((one) => html`<option key=${one} value=${one}>${one.replace(".", ": ")}</option>`)}</select>
      <select aria-label="Comparison" value=${sign} onChange=${(event) => put(i, 1, event.target.value)}>${["<", "<=", ">", ">=", "=", "!="].map((one) => html`<option key=${one}>${one}</option>`)}</select>
      <input aria-label="Value" style=${{ width: "110px" }} inputmode="decimal" value=${value} onInput=${(event) => put(i, 2, event.target.value)} onKeyDown=${(event) => event.key === "Enter" && send()} />
      <button class="bare" aria-label="Remove this condition" onClick=${() => setList(list.length > 1 ? list.filter((_, k) => k !== i) : [["", "<", ""]])}><${Icon} name="close" /></button></div>`)}
    <div><button class="small" onClick=${() => setList([...list, ["", "<", ""]])}><${Icon} name="plus" />Another condition</button></div>
    ${onSort ? html`<div class="row"><span class="small soft">Sort by</span><select class="grow" aria-label="Sort by" value=${order?.key || ""} onChange=${(event) => setOrder(event.target.value ? { key: event.target.value, descending: order?.descending || false } : null)}><option value="">number</option>${data?.names.map((one) => html`<option key=${one} value=${one}>${one.replace(".", ": ")}</option>`)}</select>
      <label class="row small"><input type="checkbox" class="switch" checked=${order?.descending || false} onChange=${(event) => setOrder({ key: order?.key || "id", descending: event.target.checked })} />largest first</label></div>` : null}</${Dialog}>`;
}

// A table of any length: only the rows in sight exist, and they are fetched by pages.
import { html, useEffect, useRef, useState, useCallback } from "/core/html.js";

const ROW = 34;
const PAGE = 200;

// columns: {key, title, unit, width, num, sorts, cell(row)}; fetchRows(offset, limit) -> {total, rows}; name: what the rows are (a change fetches anew).
export function Table({ columns, fetchRows, name, tick, sort, onSort, picked, onPick, onOpen, at, onAt, foot, empty, onKey, draggable, onNumbers }) {
  const [total, setTotal] = useState(null);
  const [error, setError] = useState("");
  const [, redraw] = useState(0);
  const [view, setView] = useState({ top: 0, height: 600 });
  const pages = useRef(new Map());
  const asked = useRef("");
  const scroll = useRef(null);
  const last = useRef(null);

  const load = useCallback((page) => {
    const token = asked.current;
    const kept = pages.current.get(page);
    if (kept && kept.token === token) return;
    pages.current.set(page, { token, rows: kept?.rows });
    fetchRows(page * PAGE, PAGE).then((found) => {
      if (asked.current !== token) return;
      pages.current.set(page, { token, rows: found.rows });
      setTotal(found.total);
      setError("");
      redraw((n) => n + 1);
    }, (failed) => { if (failed.name !== "AbortError") setError(failed.message); });
  }, [fetchRows]);

  useEffect(() => {
    const fresh = `${name}|${JSON.stringify(sort)}`;
    if (!asked.current.startsWith(`${fresh}|`)) { pages.current.clear(); if (scroll.current) scroll.current.scrollTop = 0; }
    asked.current = `${fresh}|${tick}`;
    const first = Math.floor(view.top / ROW / PAGE);
    load(first);
  }, [name, JSON.stringify(sort), tick]);

  useEffect(() => {
    const box = scroll.current;
    const measure = () => setView({ top: box.scrollTop, height: box.clientHeight });
    measure();
    const watch = new ResizeObserver(measure);
    watch.observe(box);
    return () => watch.disconnect();
  }, []);

  const first = Math.max(0, Math.floor(view.top / ROW) - 8);
  const end = Math.min(total ?? 0, Math.ceil((view.top + view.height) / ROW) + 8);
  useEffect(() => { for (let page = Math.floor(first / PAGE); page * PAGE < end; page += 1) load(page); }, [first, end, name, JSON.stringify(sort), tick]);

  const rowAt = (index) => pages.current.get(Math.floor(index / PAGE))?.rows?.[index % PAGE];
  const layout = columns.map((one) => `${one.grow ? `minmax(${one.width || 90}px, 1fr)` : `${one.width || 90}px`}`).join(" ");
  const least = `${columns.reduce((sum, one) => sum + (one.width || 90), 0)}px`;
  const reach = (index) => {
    const box = scroll.current;
    const y = index * ROW;
    if (y < box.scrollTop) box.scrollTop = y;
    else if (y + ROW > box.scrollTop + box.clientHeight - 36) box.scrollTop = y + ROW - box.clientHeight + 36;
  };

  function choose(event, index, row) {
    onAt?.(row, index);
    if (!onPick) return;
    if (event.shiftKey && last.current !== null) {
      const [from, to] = [Math.min(last.current, index), Math.max(last.current, index)];
      const next = new Set(picked);
      const whole = onNumbers && to - from > 2 * PAGE ? onNumbers() : null;
      if (whole) { whole.then((numbers) => { for (let i = from; i <= to; i += 1) next.add(numbers[i]); onPick(next); }); return; }
      for (let i = from; i <= to; i += 1) { const one = rowAt(i); if (one) next.add(one.id); }
      onPick(next);
      return;
    }
    const next = event.ctrlKey || event.metaKey ? new Set(picked) : new Set();
    if ((event.ctrlKey || event.metaKey) && next.has(row.id)) next.delete(row.id); else next.add(row.id);
    last.current = index;
    onPick(next);
  }

  function keys(event) {
    if (onKey?.(event)) return;
    const now = last.current ?? -1;
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 12, PageUp: -12, Home: -1e9, End: 1e9 }[event.key];
    if (step && total) {
      event.preventDefault();
      const index = Math.min(total - 1, Math.max(0, now + step));
      reach(index);
      const row = rowAt(index);
      if (row) { last.current = index; onAt?.(row, index); if (!event.shiftKey) onPick?.(new Set([row.id])); else choose({ ctrlKey: true }, index, row); }
    } else if (event.key === "Enter" && now >= 0) { const row = rowAt(now); if (row) onOpen?.(row); }
    else if ((event.ctrlKey || event.metaKey) && event.key === "a" && onNumbers) { event.preventDefault(); onNumbers().then((numbers) => onPick(new Set(numbers))); }
    else if (event.key === "Escape") onPick?.(new Set());
  }

  const lines = [];
  for (let index = first; index < end; index += 1) {
    const row = rowAt(index);
    lines.push(row ? html`<div key=${row.id ?? index} role="row" aria-rowindex=${index + 1} aria-selected=${picked?.has(row.id) ? "true" : "false"}
        class=${`line ${picked?.has(row.id) ? "picked" : ""} ${at !== undefined && at === row.id ? "at" : ""}`} style=${{ top: `${36 + index * ROW}px`, gridTemplateColumns: layout, minWidth: least }}
        draggable=${draggable ? "true" : undefined} onDragStart=${draggable ? (event) => draggable(event, row) : undefined}
        onMouseDown=${(event) => { if (event.button === 0 && !(draggable && picked?.has(row.id))) choose(event, index, row); }} onDblClick=${() => onOpen?.(row)}>
        ${columns.map((one) => html`<div key=${one.key} class=${one.num ? "num" : ""} role="cell" title=${one.hint?.(row)}>${one.cell ? one.cell(row) : row[one.key] ?? "–"}</div>`)}</div>`
      : html`<div key=${`wait${index}`} class="line" style=${{ top: `${36 + index * ROW}px`, gridTemplateColumns: layout, minWidth: least }}><div class="faint">…</div></div>`);
  }
  return html`<div class="table" tabindex="0" role="grid" aria-rowcount=${total ?? 0} onKeyDown=${keys}>
    <div class="scroll" ref=${scroll} onScroll=${(event) => setView({ top: event.target.scrollTop, height: event.target.clientHeight })}>
      <div class="head" role="row" style=${{ gridTemplateColumns: layout, minWidth: least }}>${columns.map((one) => html`<div key=${one.key} role="columnheader"
        class=${`${one.num ? "num" : ""} ${one.sorts && onSort ? "sorts" : ""}`} onClick=${one.sorts && onSort ? () => onSort(sort?.key === one.key ? { key: one.key, descending: !sort.descending } : { key: one.key, descending: false }) : undefined}>
        ${one.title}${one.unit ? html` <span class="unit">${one.unit}</span>` : null}${sort?.key === one.key ? (sort.descending ? " ↓" : " ↑") : ""}</div>`)}</div>
      ${error ? html`<div class="note bad" style=${{ margin: "12px" }}>${error}</div>` : null}
      ${total === 0 && !error ? empty || html`<div class="empty">Nothing here yet.</div>` : null}
      <div style=${{ height: `${(total ?? 0) * ROW}px` }}></div>${lines}
    </div>
    ${foot ? html`<div class="foot">${typeof foot === "function" ? foot(total) : foot}</div>` : null}</div>`;
}

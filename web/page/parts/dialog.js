// Dialogs above the page, one upon another; Escape closes the upper one, focus goes in and comes back.
import { html, signal, useEffect, useRef } from "/core/html.js";
import { Icon } from "/parts/icons.js";

const open = signal([]);
let next = 1;

export function show(content) { open.value = [...open.value, { id: next++, content }]; }
export function close() { open.value = open.value.slice(0, -1); }

export function Dialogs() {
  return open.value.map((one) => html`<${Fresh} key=${one.id} content=${one.content} />`);
}

addEventListener("hashchange", () => { open.value = []; });
addEventListener("keydown", (event) => { if (event.key === "Escape" && open.value.length) close(); });

function Fresh({ content }) {
  const before = useRef(document.activeElement);
  useEffect(() => () => before.current?.focus?.(), []);
  return content();
}

export function Dialog({ title, wide, children, foot }) {
  const box = useRef(null);
  useEffect(() => { (box.current.querySelector("[autofocus], .body input, .body select, .body button") || box.current).focus(); }, []);
  return html`<div class="veil" onMouseDown=${(event) => event.target === event.currentTarget && close()}>
    <div class="dialog" role="dialog" aria-modal="true" aria-label=${title} tabindex="-1" ref=${box} style=${{ "--wide": `${wide || 640}px` }}>
      <header><h2 class="grow">${title}</h2><button class="bare" onClick=${close} aria-label="Close"><${Icon} name="close" /></button></header>
      <div class="body">${children}</div>${foot ? html`<footer>${foot}</footer>` : null}
    </div></div>`;
}

export function ask({ title, label, value = "", go, button = "Save" }) {
  show(() => {
    const field = { current: null };
    const send = async (event) => { event.preventDefault(); const text = field.current.value.trim(); if (text) { close(); await go(text); } };
    return html`<${Dialog} title=${title} wide="420" foot=${html`<button onClick=${close}>Cancel</button><button class="main-button" onClick=${send}>${button}</button>`}>
      <form onSubmit=${send}><label class="col" style=${{ gap: "5px" }}><span class="small soft">${label}</span>
      <input autofocus defaultValue=${value} ref=${(element) => { field.current = element; if (element && !element.value && value) element.value = value; }} /></label></form></${Dialog}>`;
  });
}

export function confirm({ title, text, button = "Go on", bad = false, go }) {
  show(() => html`<${Dialog} title=${title} wide="440" foot=${html`<button onClick=${close}>Cancel</button>
    <button autofocus class=${bad ? "bad" : "main-button"} onClick=${() => { close(); go(); }}>${button}</button>`}><p class="soft">${text}</p></${Dialog}>`);
}

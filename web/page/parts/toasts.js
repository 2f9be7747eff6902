// Short messages at the edge of the page.
import { html, signal } from "/core/html.js";

const shown = signal([]);
let next = 1;

export function toast(text, { bad = false, seconds = bad ? 9 : 4 } = {}) {
  const one = { id: next++, text, bad };
  shown.value = [...shown.value.slice(-3), one];
  setTimeout(() => { shown.value = shown.value.filter((other) => other !== one); }, seconds * 1000);
}

// Do something and say what became of it.
export async function attempt(work, done) {
  try {
    const found = await work();
    if (done) toast(typeof done === "function" ? done(found) : done);
    return found;
  } catch (error) {
    toast(error.message, { bad: true });
    return undefined;
  }
}

export function Toasts() {
  return html`<div class="toasts" role="status" aria-live="polite">
    ${shown.value.map((one) => html`<div key=${one.id} class=${`toast ${one.bad ? "bad" : ""}`}>${one.text}</div>`)}</div>`;
}

// Where the page is: the part of the address behind #, split into a path and values.
import { signal } from "@preact/signals";

function read() {
  const [path, values] = location.hash.replace(/^#\/?/, "").split("?");
  return { path: path.split("/").filter(Boolean).map(decodeURIComponent), values: Object.fromEntries(new URLSearchParams(values || "")) };
}

export const route = signal(read());
addEventListener("hashchange", () => { route.value = read(); });

export function address(path, values = {}) {
  const kept = Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const text = new URLSearchParams(kept).toString();
  return `#/${path.map((part) => encodeURIComponent(part)).join("/")}${text ? `?${text}` : ""}`;
}

export function go(path, values = {}, { replace = false } = {}) {
  const to = address(path, values);
  if (replace) { history.replaceState(null, "", to); route.value = read(); } else location.hash = to;
}

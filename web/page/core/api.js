// Talk to the server: JSON in, JSON out; errors carry the server's own sentence.
import { signal } from "@preact/signals";

export const sessionLost = signal(false);
export const serverGone = signal(false);

export class ApiError extends Error {
  constructor(message, status) { super(message); this.status = status; }
}

async function ask(path, options) {
  let response;
  try {
    response = await fetch(`/api${path}`, options);
    serverGone.value = false;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    serverGone.value = true;
    throw new ApiError("The server does not answer. Jobs go on; start it again with `verglas serve`.", 0);
  }
  if (response.status === 401) {
    sessionLost.value = true;
    throw new ApiError(await response.text(), 401);
  }
  if (!response.ok) throw new ApiError(await words(response), response.status);
  return response;
}

async function words(response) {
  const text = await response.text();
  try {
    const content = JSON.parse(text);
    if (content.error) return content.error;
    if (Array.isArray(content.detail)) return content.detail.map((one) => `${one.loc.slice(1).join(".")}: ${one.msg}`).join("; ");
    return content.detail || text;
  } catch { return text || `The server answered ${response.status}.`; }
}

export async function get(path, signal) { return (await ask(path, { signal })).json(); }

export async function post(path, content = {}) {
  const options = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(content) };
  return (await ask(path, options)).json();
}

export async function bytes(path, signal) {
  const response = await ask(path, { signal });
  return { headers: response.headers, buffer: await response.arrayBuffer() };
}

export function query(values) {
  const made = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    if (value === null || value === undefined || value === "") continue;
    for (const one of Array.isArray(value) ? value : [value]) made.append(name, one);
  }
  const text = made.toString();
  return text ? `?${text}` : "";
}

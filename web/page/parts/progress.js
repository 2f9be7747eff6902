// How far something is, and in which state.
import { html } from "/core/html.js";
import { duration } from "/core/words.js";

const TONES = { queued: "", starting: "busy", running: "busy", paused: "warn", interrupted: "warn", cancelled: "", failed: "bad", done: "good" };

export function StatePill({ job }) {
  const tone = job.state === "done" && job.failures ? "warn" : TONES[job.state] ?? "";
  const words = job.asked && ["running", "starting"].includes(job.state) ? (job.asked === "cancel" ? "cancelling" : "pausing") : job.state;
  return html`<span class=${`pill ${tone}`}>${words}${job.failures ? ` · ${job.failures} set aside` : ""}</span>`;
}

export function Bar({ done, total }) {
  const part = total ? Math.min(100, (100 * done) / total) : 0;
  return html`<div class=${`bar ${total ? "" : "unknown"}`} role="progressbar" aria-valuemin="0" aria-valuemax="100" aria-valuenow=${Math.round(part)}><i style=${{ width: `${part}%` }}></i></div>`;
}

export function timeLeft(job) {
  return job.seconds_left === null || job.seconds_left === undefined ? "" : `about ${duration(job.seconds_left)} left`;
}

// News from the server: one stream for all tabs of a browser. The tab that holds a lock reads it and tells the others.
import { signal } from "@preact/signals";
import { get } from "/core/api.js";
import { noteChange, noteJob, projectKey, refreshProject } from "/core/state.js";

export const connected = signal(true);
export const isLeader = signal(false);

const channel = new BroadcastChannel(`verglas-${location.host}`);
channel.onmessage = (event) => take(event.data);

function take(message) {
  if (message.kind === "connection") {
    connected.value = message.connected;
  } else if (message.kind === "again") {
    refreshProject();
    noteChange();
  } else if (message.project === projectKey.value) {
    if (message.kind === "job") noteJob(message.job);
    else if (message.kind === "project") noteChange();
  }
}

function tell(message) { take(message); channel.postMessage(message); }

function lead() {
  isLeader.value = true;
  const stream = new EventSource("/api/news");
  stream.onmessage = (event) => tell(JSON.parse(event.data));
  stream.onopen = () => tell({ kind: "connection", connected: true });
  stream.onerror = () => {
    tell({ kind: "connection", connected: false });
    get("/server").catch(() => {});  // says whether the server is gone, or this browser is not known to it any more
    if (stream.readyState === EventSource.CLOSED) setTimeout(() => { stream.close(); lead(); }, 3000);
  };
}

export function follow() {
  navigator.locks.request("verglas-news", () => { lead(); return new Promise(() => {}); });
}

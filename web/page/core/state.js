// What all parts of the page share: the project that is shown, its jobs, and a counter that moves when it changes.
import { signal, computed, batch } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { get } from "/core/api.js";
import { route } from "/core/router.js";

export const projectKey = computed(() => (route.value.path[0] === "p" ? route.value.path[1] : null));
export const standing = signal(null);
export const standingError = signal("");
export const jobs = signal(new Map());
export const changes = signal(0);
export const actions = signal([]);

export const jobList = computed(() => [...jobs.value.values()].sort((a, b) => b.job - a.job));
export const activeJobs = computed(() => jobList.value.filter((one) => ["queued", "starting", "running"].includes(one.state)));

export const at = (rest) => `/projects/${projectKey.value}${rest}`;
export const here = (...parts) => ["p", projectKey.value, ...parts];

export async function refreshProject() {
  const key = projectKey.value;
  if (!key) return;
  try {
    const found = await get(`/projects/${key}`);
    if (projectKey.value !== key) return;
    batch(() => {
      standing.value = found;
      standingError.value = "";
      jobs.value = new Map(found.jobs_list.map((one) => [one.job, one]));
    });
  } catch (error) {
    if (projectKey.value === key) standingError.value = error.message;
  }
}

export async function loadActions() {
  if (!actions.value.length) actions.value = (await get("/actions")).actions;
}

let waiting = null;
export function noteChange() {
  changes.value += 1;
  clearTimeout(waiting);
  waiting = setTimeout(refreshProject, 150);
}

export function noteJob(job) {
  const next = new Map(jobs.value);
  next.set(job.job, job);
  jobs.value = next;
}

// Ask for something, and ask again when the project changes; what was there stays until the answer comes.
export function useAnswer(path, { live = true } = {}) {
  const [found, setFound] = useState({ data: null, error: "", path: null });
  const tick = live ? changes.value : 0;
  useEffect(() => {
    if (!path) { setFound({ data: null, error: "", path: null }); return undefined; }
    const stop = new AbortController();
    get(path, stop.signal).then(
      (data) => setFound({ data, error: "", path }),
      (error) => { if (error.name !== "AbortError") setFound((old) => ({ data: old.path === path ? old.data : null, error: error.message, path })); },
    );
    return () => stop.abort();
  }, [path, tick]);
  const fresh = found.path === path;
  return { data: fresh ? found.data : null, last: found.data, error: fresh ? found.error : "", loading: !fresh };
}

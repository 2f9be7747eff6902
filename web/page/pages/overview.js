// How the project stands: counters, disk, running jobs, what was done, and what to do next.
import { html, useState } from "/core/html.js";
import { post } from "/core/api.js";
import { address } from "/core/router.js";
import { actions, activeJobs, at, here, jobList, standing, useAnswer } from "/core/state.js";
import { bytes, count, duration, plural, when } from "/core/words.js";
import { Icon } from "/parts/icons.js";
import { Bar, StatePill, timeLeft } from "/parts/progress.js";
import { attempt } from "/parts/toasts.js";

// The next sensible step, from what there is.
function nextStep(found) {
  const { counts } = found;
  const has = (name) => actions.value.some((one) => one.name === name);
  const ran = new Set(jobList.value.map((job) => job.action));
  const action = (name, title, why) => has(name) ? { title, why, to: address(here("action", name)) } : null;
  if (!counts.movie && !counts.image && !counts.package) return { title: "Import your movies", why: "Choose the files, check what the first header says, and give what it does not: pixel size, voltage, Cs, dose.", to: address(here("import", "movie")) };
  if (counts.movie && !counts.image) return action("align-movies", "Align Movies", `${plural(counts.movie, "movie")} wait to be aligned and summed.`);
  if (counts.image && found.with_ctf < counts.image) return action("find-ctf", "Find CTF", `${plural(counts.image - found.with_ctf, "image")} ${counts.image - found.with_ctf === 1 ? "has" : "have"} no CTF yet.`);
  if (counts.image && !counts.positions) return action("find-particles", "Find Particles", "The images have their CTF; now pick the particles.");
  if (counts.positions && !counts.package) return action("create-package", "Create Package", `${plural(found.particles, "particle")} picked; cut them into a stack.`);
  if (counts.package && !counts.classification) return action("classify-2d", "Classify 2D", "See what the particles look like, and leave out what is none.");
  for (const one of actions.value) if (counts.classification && !ran.has(one.name) && !["combine-packages", "align-movies", "find-ctf", "find-particles", "create-package", "classify-2d"].includes(one.name)) return { title: one.title, why: one.summary, to: address(here("action", one.name)) };
  return counts.volume ? { title: "Look at the map", why: "Slices, projections, FSC and the surface in 3D.", to: address(here("results", "maps")) } : null;
}

function Notes() {
  const { data } = useAnswer(at("/notes"));
  const [text, setText] = useState("");
  const add = async (event) => { event.preventDefault(); if (text.trim() && await attempt(() => post(at("/edit"), { edit: "note.add", text }))) setText(""); };
  return html`<div class="card"><header><h2>Notes</h2></header><div class="body col" style=${{ gap: "10px" }}>
    ${data?.notes.filter((one) => !one.about_kind).map((one) => html`<div key=${one.id} class="row top note"><span class="grow" style=${{ whiteSpace: "pre-wrap" }}>${one.text}</span><span class="faint small">${when(one.created)}</span>
      <button class="bare small bad" aria-label="Remove this note" onClick=${() => attempt(() => post(at("/edit"), { edit: "note.remove", note: one.id }))}><${Icon} name="close" /></button></div>`)}
    <form class="row" onSubmit=${add}><input class="grow" aria-label="New note" placeholder="Write a note" value=${text} onInput=${(event) => setText(event.target.value)} /><button disabled=${!text.trim()}>Add</button></form></div></div>`;
}

function Disk() {
  const { data, error } = useAnswer(at("/disk"), { live: false });
  const folders = data ? Object.entries(data.folders) : [];
  const most = Math.max(1, ...folders.map(([, size]) => size));
  return html`<div class="card"><header><h2 class="grow">Disk</h2>${data ? html`<span class="small soft">${bytes(data.free)} free of ${bytes(data.total)}</span>` : null}</header><div class="body col" style=${{ gap: "8px" }}>
    ${error ? html`<div class="note bad">${error}</div>` : null}${folders.map(([name, size]) => html`<div key=${name} class="row small"><span style=${{ width: "70px" }}>${name}</span><div class="bar grow"><i style=${{ width: `${(100 * size) / most}%` }}></i></div><span class="soft num" style=${{ width: "80px" }}>${bytes(size)}</span></div>`)}</div></div>`;
}

export function Overview() {
  const found = standing.value;
  if (!found) return html`<div class="page"><div class="empty">Opening the project…</div></div>`;
  const { counts } = found;
  const step = nextStep(found);
  const tiles = [["movie", "Movies", counts.movie], ["image", "Images", counts.image], ["image", "with CTF", found.with_ctf], ["positions", "Particles picked", found.particles], ["package", "Packages", counts.package], ["classification", "Classifications", counts.classification], ["volume", "Maps", counts.volume]];
  return html`<div class="page">
    <div class="page-head"><div class="grow"><h1>${found.name}</h1><p class="soft mono small">${found.folder}</p></div>
      <div class="small soft num">${plural(found.jobs, "job")} ended<br />${found.cpu_hours < 1 ? `${Math.round(found.cpu_hours * 60)} min` : `${found.cpu_hours.toFixed(1)} h`} of computing</div></div>
    ${found.owner ? html`<div class="note">In use by ${found.owner}; what you edit goes through it.</div>` : null}
    ${found.problems.map((one) => html`<div key=${one} class="note bad">${one}</div>`)}
    ${step ? html`<a class="card next-step" href=${step.to}><div class="grow"><div class="small soft">Next</div><h2>${step.title}</h2><p class="soft">${step.why}</p></div><${Icon} name="next" /></a>` : null}
    <div class="tiles">${tiles.map(([kind, title, n]) => html`<a key=${title} class="card tile" href=${address(here("assets", kind))}><div class="big">${count(n)}</div><div class="soft small">${title}</div></a>`)}</div>
    <div class="grid two">
      <div class="card"><header><h2 class="grow">Jobs</h2><a href=${address(here("jobs"))} class="small">All jobs</a></header>
        ${jobList.value.length ? html`<div class="job-lines">${jobList.value.slice(0, Math.max(6, activeJobs.value.length)).map((job) => html`<a key=${job.job} class="job-line" href=${address(here("job", String(job.job)))}>
          <span class="grow"><span class="strong">${job.title}</span>${["running", "starting"].includes(job.state) ? html`<span style=${{ display: "block", marginTop: "5px" }}><${Bar} done=${job.done} total=${job.total} /></span>` : html`<span class="faint small" style=${{ display: "block" }}>${when(job.created)}${job.results ? ` · ${plural(job.results, "result")}` : ""} · ${duration(job.cpu_seconds)} of computing</span>`}</span>
          <span class="small soft">${timeLeft(job)}</span><${StatePill} job=${job} /></a>`)}</div>` : html`<div class="empty small">No jobs yet.</div>`}</div>
      <div class="col"><${Disk} /><${Notes} /></div>
      <div class="card"><header><h2>What was done</h2></header><table class="plain"><tbody>${found.recent_edits.map((one) => html`<tr key=${one.n}><td>${one.summary}</td><td class="soft small num" style=${{ whiteSpace: "nowrap" }}>${one.user}, ${when(one.t)}</td></tr>`)}</tbody></table></div>
    </div></div>`;
}

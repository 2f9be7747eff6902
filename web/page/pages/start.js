// The list of projects, and making a new one.
import { html, useState } from "/core/html.js";
import { post } from "/core/api.js";
import { go } from "/core/router.js";
import { useAnswer } from "/core/state.js";
import { Dialog, close, show } from "/parts/dialog.js";
import { FileBrowser } from "/parts/files.js";
import { Icon } from "/parts/icons.js";
import { attempt } from "/parts/toasts.js";

async function open(folder) {
  const found = await attempt(() => post("/projects/open", { folder }));
  if (found) go(["p", found.key]);
}

function NewProject() {
  const [name, setName] = useState("");
  const [parent, setParent] = useState(null);
  const [busy, setBusy] = useState(false);
  const folder = parent && name.trim() ? `${parent.folder === "/" ? "" : parent.folder}/${name.trim().replace(/[\\/\s]+/g, "-")}` : "";
  const make = async (event) => {
    event?.preventDefault();
    setBusy(true);
    const found = await attempt(() => post("/projects/create", { folder, name: name.trim() }));
    setBusy(false);
    if (found) { close(); go(["p", found.key]); }
  };
  return html`<${Dialog} title="New project" wide="660" foot=${html`<span class="grow small soft cut">${folder ? html`Will be made: <span class="mono">${folder}</span>` : "Give it a name and choose where it shall lie."}</span>
    <button onClick=${close}>Cancel</button><button class="main-button" disabled=${!folder || busy} onClick=${make}>Make project</button>`}>
    <form class="col" onSubmit=${(event) => (folder ? make(event) : event.preventDefault())}><label class="col" style=${{ gap: "5px" }}><span class="small soft">Name</span><input autofocus placeholder="apoferritin" value=${name} onInput=${(event) => setName(event.target.value)} /></label>
    <div class="col" style=${{ gap: "5px" }}><span class="small soft">In the folder</span><${FileBrowser} pick="folder" height="230" onChange=${setParent} /></div>
    ${parent && !parent.writable ? html`<div class="note warn">You may not write in this folder; choose another.</div>` : null}</form></${Dialog}>`;
}

function OpenProject() {
  const [folder, setFolder] = useState(null);
  return html`<${Dialog} title="Open a project" wide="660" foot=${html`<span class="grow small soft">${folder?.is_project ? "This folder is a project." : "Go into a project's folder; projects have a star."}</span>
    <button onClick=${close}>Cancel</button><button class="main-button" disabled=${!folder?.is_project} onClick=${() => { close(); open(folder.folder); }}>Open</button>`}>
    <${FileBrowser} pick="folder" onChange=${setFolder} /></${Dialog}>`;
}

export function Start() {
  const { data } = useAnswer("/server", { live: false });
  return html`<div class="page" style=${{ maxWidth: "880px" }}>
    <div class="page-head" style=${{ paddingTop: "5vh" }}><div class="grow"><h1>Projects</h1><p class="soft">From movies of frozen particles to a 3D map. ${data ? html`<span class="faint">verglas ${data.version}, ${data.user} on ${data.host}</span>` : null}</p></div>
      <button onClick=${() => show(() => html`<${OpenProject} />`)}><${Icon} name="folder" />Open…</button><button class="main-button" onClick=${() => show(() => html`<${NewProject} />`)}><${Icon} name="plus" />New project</button></div>
    <div class="card">${data?.recent.length ? data.recent.map((one) => html`<button key=${one.folder} class="project-line" onClick=${() => open(one.folder)}>
        <${Icon} name="map" /><span class="grow"><span class="strong">${one.name}</span><span class="faint small cut" style=${{ display: "block" }}>${one.folder}</span></span>
        ${data.open.some((other) => other.folder === one.folder) ? html`<span class="pill good">open</span>` : null}<${Icon} name="next" /></button>`)
      : html`<div class="empty"><${Icon} name="folder" /><div class="strong">No projects yet</div><p>Make a new one, import movies, and press Start on Align Movies.</p></div>`}</div></div>`;
}

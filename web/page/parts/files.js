// A browser of the files on the server's machine.
import { html, useState, useEffect } from "/core/html.js";
import { get, query } from "/core/api.js";
import { bytes, plural, when } from "/core/words.js";
import { Dialog, show, close } from "/parts/dialog.js";
import { Icon } from "/parts/icons.js";

const KEPT = "verglas-folder";

// pick: "file", "files" or "folder"; onChange(folder answer, picked names).
export function FileBrowser({ start, endings = "", pick = "files", onChange, onOpen, height = 320 }) {
  const [folder, setFolder] = useState(start || localStorage.getItem(KEPT) || "");
  const [found, setFound] = useState(null);
  const [error, setError] = useState("");
  const [typed, setTyped] = useState(null);
  const [picked, setPicked] = useState(new Set());
  const [last, setLast] = useState(null);
  useEffect(() => {
    const stop = new AbortController();
    get(`/files${query({ folder, endings })}`, stop.signal).then((answer) => {
      setFound(answer); setError(""); setTyped(null); setPicked(new Set()); localStorage.setItem(KEPT, answer.folder); onChange?.(answer, []);
    }, (failed) => { if (failed.name === "AbortError") return; setError(failed.message); if (!found && folder !== "") setFolder(""); });
    return () => stop.abort();
  }, [folder, endings]);
  const choose = (event, name, index) => {
    let next = new Set(event.ctrlKey || event.metaKey || event.shiftKey ? picked : []);
    if (pick === "file") next = new Set([name]);
    else if (event.shiftKey && last !== null) for (let i = Math.min(last, index); i <= Math.max(last, index); i += 1) next.add(found.files[i].name);
    else if (next.has(name)) next.delete(name); else next.add(name);
    setLast(index); setPicked(next); onChange?.(found, [...next]);
  };
  const keys = (event) => {
    if (event.key === "Backspace" && found?.parent && event.target.tagName !== "INPUT") setFolder(found.parent);
    if ((event.ctrlKey || event.metaKey) && event.key === "a" && pick === "files" && event.target.tagName !== "INPUT") { event.preventDefault(); const all = found.files.map((one) => one.name); setPicked(new Set(all)); onChange?.(found, all); }
  };
  return html`<div class="files" onKeyDown=${keys}>
    <div class="row" style=${{ gap: "6px" }}><button class="bare" disabled=${!found?.parent} onClick=${() => setFolder(found.parent)} aria-label="One folder up" title="Up"><${Icon} name="up" /></button>
      <input class="grow mono" aria-label="Folder" spellcheck="false" value=${typed ?? found?.folder ?? folder} onInput=${(event) => setTyped(event.target.value)} onKeyDown=${(event) => { if (event.key === "Enter") { event.preventDefault(); setFolder(event.target.value); } }} /></div>
    ${error ? html`<div class="note bad">${error}</div>` : null}
    <div class="file-list" style=${{ height: `${height}px` }} tabindex="0">
      ${found?.folders.map((one) => html`<div key=${`d${one.name}`} class=${`entry ${one.project ? "project" : ""}`} tabindex="0" role="button" onClick=${() => setFolder(`${found.folder === "/" ? "" : found.folder}/${one.name}`)}
        onKeyDown=${(event) => event.key === "Enter" && setFolder(`${found.folder === "/" ? "" : found.folder}/${one.name}`)}><${Icon} name=${one.project ? "star" : "folder"} /><span class="grow cut">${one.name}</span>${one.project ? html`<span class="pill">project</span>` : null}</div>`)}
      ${pick === "folder" ? null : found?.files.map((one, index) => html`<div key=${one.name} class=${`entry ${picked.has(one.name) ? "picked" : ""}`} tabindex="0" role="option" aria-selected=${picked.has(one.name)} onClick=${(event) => choose(event, one.name, index)}
        onDblClick=${() => onOpen?.(`${found.folder}/${one.name}`)} onKeyDown=${(event) => (event.key === "Enter" || event.key === " ") && (event.preventDefault(), choose(event, one.name, index))}>
        <${Icon} name="file" /><span class="grow cut">${one.name}</span><span class="faint small">${bytes(one.bytes)}</span><span class="faint small when">${when(one.changed)}</span></div>`)}
      ${found && !found.folders.length && !found.files.length ? html`<div class="empty small">Nothing here${endings ? ` that ends in ${endings.replaceAll(",", ", ")}` : ""}.</div>` : null}
    </div>
    ${pick === "folder" || !found ? null : html`<div class="small soft">${plural(found.count, "file")}${found.count > found.files.length ? ` (the first ${found.files.length} are listed)` : ""}${picked.size ? `, ${picked.size} chosen` : ""}</div>`}</div>`;
}

export function chooseFile({ title, endings = "", go, pick = "file", start }) {
  show(() => {
    let chosen = null;
    const take = (path) => { if (path) { close(); go(path); } };
    return html`<${Dialog} title=${`Choose: ${title}`} wide="720" foot=${html`<button onClick=${close}>Cancel</button><button class="main-button" onClick=${() => take(chosen)}>Choose</button>`}>
      <${FileBrowser} start=${start} endings=${endings} pick=${pick} onOpen=${take} onChange=${(folder, names) => { chosen = pick === "folder" ? folder.folder : names.length ? `${folder.folder === "/" ? "" : folder.folder}/${names[0]}` : null; }} /></${Dialog}>`;
  });
}

// Assets of one kind: groups at the left, the table, and what is known of the one at hand below.
import { html, useCallback, useState } from "/core/html.js";
import { get, post, query } from "/core/api.js";
import { address, go, route } from "/core/router.js";
import { at, changes, here, useAnswer } from "/core/state.js";
import { count, label, number, plural, unitOf, when } from "/core/words.js";
import { Dialog, ask, close, confirm, show } from "/parts/dialog.js";
import { FilterDialog } from "/parts/filter_dialog.js";
import { Icon } from "/parts/icons.js";
import { Table } from "/parts/table.js";
import { attempt } from "/parts/toasts.js";
import { kindOf, openAddress } from "/pages/kinds.js";
import { exportPackage, newPackage } from "/pages/packages.js";

const edit = (content, words) => attempt(() => post(at("/edit"), content), words);

export function Assets() {
  const kind = kindOf(route.value.path[3] || "movie");
  return html`<${OneKind} key=${kind.kind} kind=${kind} />`;
}

function OneKind({ kind }) {
  const { group = "0", name = "", where = "" } = route.value.values;
  const [sort, setSort] = useState(null);
  const [picked, setPicked] = useState(new Set());
  const [now, setNow] = useState(null);
  const conditions = where ? where.split("\n") : [];
  const pattern = name ? (/[*?[]/.test(name) ? name : `*${name}*`) : "";
  const filter = { group, name: pattern, where: conditions };
  const fetchRows = useCallback((offset, limit) => get(`${at(`/assets/${kind.kind}`)}${query({ ...filter, offset, limit, sort: sort?.key, descending: sort?.descending || undefined })}`), [kind.kind, group, pattern, where, JSON.stringify(sort)]);
  const numbers = () => get(`${at(`/assets/${kind.kind}/numbers`)}${query(filter)}`).then((found) => found.numbers);
  const put = (values) => go(here("assets", kind.kind), { ...route.value.values, ...values }, { replace: true });
  const chosen = [...picked];
  const remove = () => confirm({
    title: group === "0" ? `Put ${plural(chosen.length, kind.one)} into the trash?` : `Take ${plural(chosen.length, kind.one)} out of the group?`,
    text: group === "0" ? "What was made from them goes along. It can be brought back under Settings, Trash. Imported files are never touched." : "They stay in the project.",
    button: group === "0" ? "Into the trash" : "Take out", bad: group === "0",
    go: async () => { const done = group === "0" ? await edit({ edit: "trash.add", items: chosen.map((id) => ({ kind: kind.kind, id })) }, "In the trash. Settings, Trash brings it back.") : await edit({ edit: "group.leave", kind: kind.kind, group: Number(group), members: chosen }); if (done) setPicked(new Set()); },
  });
  const columns = [{ key: "id", title: "ID", width: 64, num: true, sorts: true }, { key: "name", title: "Name", width: 200, grow: true, sorts: true, cell: (row) => html`<span class="strong">${row.name}</span>`, hint: (row) => row.name }, ...kind.columns];
  return html`<div class="page fill">
    <div class="page-head"><h1 class="grow">${kind.many}</h1>
      ${kind.kind === "package" ? html`<button class="main-button" onClick=${newPackage}><${Icon} name="plus" />New package</button><button disabled=${chosen.length !== 1} title="Choose one package first" onClick=${() => exportPackage(now)}><${Icon} name="download" />Export</button>` : null}
      ${kind.imports ? html`<a class="button" href=${address(here("import", kind.kind))}><${Icon} name="import" />Import</a>` : null}</div>
    <div class="asset-layout">
      <${Groups} kind=${kind} group=${group} picked=${picked} onGroup=${(id) => { setPicked(new Set()); put({ group: id === 0 ? null : String(id) }); }} />
      <div class="card" style=${{ display: "flex", flexDirection: "column", minHeight: 0 }}>
        <header style=${{ flexWrap: "wrap" }}><input aria-label="Find by name" placeholder="Find by name (* and ? fit any)" style=${{ width: "240px" }} value=${name} onInput=${(event) => put({ name: event.target.value || null })} />
          <button class=${conditions.length ? "on" : ""} onClick=${() => show(() => html`<${FilterDialog} kind=${kind} group=${group} conditions=${conditions} go=${(next) => put({ where: next.length ? next.join("\n") : null })} />`)}><${Icon} name="filter" />${conditions.length ? plural(conditions.length, "condition") : "Filter"}</button>
          ${conditions.length || name ? html`<button class="bare small" onClick=${async () => { const found = await attempt(numbers); if (found) ask({ title: "Keep as a group", label: `A group of the ${plural(found.length, kind.one)} shown`, button: "Make group", go: (text) => edit({ edit: "group.add", kind: kind.kind, name: text, members: found }, "The group is made.") }); }}>Keep as group…</button>` : null}
          <span class="grow"></span>
          ${chosen.length ? html`<span class="small soft">${count(chosen.length)} chosen</span>` : null}
          ${chosen.length ? html`<${GroupMenu} kind=${kind} members=${chosen} />` : null}
          <button class="bare" disabled=${chosen.length !== 1} title="Rename" aria-label="Rename" onClick=${() => ask({ title: "Rename", label: `Name of ${kind.one} ${chosen[0]}`, value: now?.name, go: (text) => edit({ edit: "asset.rename", kind: kind.kind, asset: chosen[0], name: text }) })}><${Icon} name="pencil" /></button>
          <button class="bare bad" disabled=${!chosen.length} title="Into the trash" aria-label="Remove" onClick=${remove}><${Icon} name="trash" /></button></header>
        <${Table} columns=${columns} fetchRows=${fetchRows} name=${`${kind.kind}|${group}|${pattern}|${where}`} tick=${changes.value} sort=${sort} onSort=${setSort} picked=${picked} onPick=${setPicked} onAt=${(row) => setNow(row)} at=${now?.id}
          onOpen=${(row) => { const to = openAddress(kind.kind, row); if (to) location.hash = to; }} onNumbers=${numbers} onKey=${(event) => event.key === "Delete" && chosen.length && (remove(), true)}
          draggable=${(event, row) => { const ids = picked.has(row.id) ? chosen : [row.id]; event.dataTransfer.setData("application/x-verglas", JSON.stringify({ kind: kind.kind, ids })); event.dataTransfer.effectAllowed = "copy"; }}
          foot=${(total) => html`<span>${total === null ? "…" : plural(total, kind.one)}</span><span class="faint">Click, Shift and Ctrl choose; Enter or a double click opens; drag onto a group.</span>`}
          empty=${html`<div class="empty"><${Icon} name="assets" /><div class="strong">No ${kind.many.toLowerCase()}${name || where || group !== "0" ? " fit" : " yet"}</div>${kind.imports && !name && !where && group === "0" ? html`<a class="button" href=${address(here("import", kind.kind))}><${Icon} name="import" />Import</a>` : null}</div>`} />
        ${now ? html`<${Strip} key=${`${kind.kind}${now.id}`} kind=${kind} id=${now.id} onClose=${() => setNow(null)} />` : null}
      </div>
    </div></div>`;
}

function Groups({ kind, group, onGroup, picked }) {
  const { last: data } = useAnswer(at(`/groups/${kind.kind}`));
  const [over, setOver] = useState(null);
  const groups = data?.groups || [];
  const own = groups.find((one) => String(one.id) === String(group) && one.id !== 0);
  const drop = (event, one) => { event.preventDefault(); setOver(null); const sent = JSON.parse(event.dataTransfer.getData("application/x-verglas") || "{}"); if (sent.kind === kind.kind) edit({ edit: "group.join", kind: kind.kind, group: one.id, members: sent.ids }, `Put into ${one.name}.`); };
  const parentKind = { image: "movie", positions: "image", classification: "package" }[kind.kind];
  return html`<div class="card groups"><header><h2 class="grow">Groups</h2>
    ${parentKind ? html`<button class="bare small" title=${`New group from a group of ${kindOf(parentKind).many.toLowerCase()}`} aria-label="New group from parent group" onClick=${() => show(() => html`<${FromParent} kind=${kind} parentKind=${parentKind} />`)}><${Icon} name="copy" /></button>` : null}
    <button class="bare small" title="New group of what is chosen" aria-label="New group" onClick=${() => ask({ title: "New group", label: picked.size ? `A group of the ${plural(picked.size, kind.one)} chosen` : "Name", button: "Make group", go: (text) => edit({ edit: "group.add", kind: kind.kind, name: text, members: [...picked] }) })}><${Icon} name="plus" /></button></header>
    <div class="group-list">${groups.map((one) => html`<button key=${one.id} class=${`${String(one.id) === String(group) ? "on" : ""} ${over === one.id ? "drop" : ""}`} onClick=${() => onGroup(one.id)}
      onDragOver=${one.id ? (event) => { if (event.dataTransfer.types.includes("application/x-verglas")) { event.preventDefault(); setOver(one.id); } } : undefined} onDragLeave=${() => setOver(null)} onDrop=${one.id ? (event) => drop(event, one) : undefined}><span class="grow cut">${one.name}</span><span class="faint">${count(one.size)}</span></button>`)}</div>
    ${own ? html`<div class="row wrap group-tools"><button class="small" onClick=${() => ask({ title: "Rename the group", label: "Name", value: own.name, go: (text) => edit({ edit: "group.rename", kind: kind.kind, group: own.id, name: text }) })}>Rename</button>
      <button class="small" onClick=${() => edit({ edit: "group.invert", kind: kind.kind, group: own.id }, "The group holds the others now.")}>Invert</button>
      <button class="small bad" onClick=${() => confirm({ title: `Remove the group ${own.name}?`, text: "What is in it stays in the project.", button: "Remove", bad: true, go: async () => { if (await edit({ edit: "group.remove", kind: kind.kind, group: own.id })) onGroup(0); } })}>Remove</button></div>` : null}</div>`;
}

function FromParent({ kind, parentKind }) {
  const { data } = useAnswer(at(`/groups/${parentKind}`), { live: false });
  const [parent, setParent] = useState("0");
  const [name, setName] = useState("");
  const make = async () => { if (await edit({ edit: "group.add", kind: kind.kind, name, parent_group: Number(parent) }, "The group is made.")) close(); };
  return html`<${Dialog} title="New group from parents" wide="440" foot=${html`<button onClick=${close}>Cancel</button><button class="main-button" disabled=${!name.trim()} onClick=${make}>Make group</button>`}>
    <label class="col" style=${{ gap: "5px" }}><span class="small soft">${kind.many} made from</span><select value=${parent} onChange=${(event) => setParent(event.target.value)}>${data?.groups.map((one) => html`<option key=${one.id} value=${one.id}>${one.name} (${one.size})</option>`)}</select></label>
    <label class="col" style=${{ gap: "5px" }}><span class="small soft">Name</span><input autofocus value=${name} onInput=${(event) => setName(event.target.value)} /></label></${Dialog}>`;
}

function GroupMenu({ kind, members }) {
  const [open, setOpen] = useState(false);
  const { data } = useAnswer(open ? at(`/groups/${kind.kind}`) : null, { live: false });
  return html`<div class="menu" onFocusout=${(event) => { if (!event.currentTarget.contains(event.relatedTarget)) setOpen(false); }}><button onClick=${() => setOpen(!open)} aria-haspopup="menu" aria-expanded=${open}>Add to group</button>
    ${open ? html`<div class="list" role="menu">${data?.groups.filter((one) => one.id).map((one) => html`<button key=${one.id} role="menuitem" onClick=${() => { setOpen(false); edit({ edit: "group.join", kind: kind.kind, group: one.id, members }, `Put into ${one.name}.`); }}>${one.name}</button>`)}
      <button role="menuitem" onClick=${() => { setOpen(false); ask({ title: "New group", label: `A group of the ${plural(members.length, kind.one)} chosen`, button: "Make group", go: (text) => edit({ edit: "group.add", kind: kind.kind, name: text, members }) }); }}><${Icon} name="plus" />New group…</button></div>` : null}</div>`;
}

const HIDDEN = new Set(["kind", "id", "name", "trash", "sources", "metadata", "created"]);

function Strip({ kind, id, onClose }) {
  const { data, error } = useAnswer(at(`/assets/${kind.kind}/${id}`));
  if (error) return null;
  const asset = data?.asset;
  const to = asset && openAddress(kind.kind, asset);
  const source = { image: asset?.scaled_path ? `asset:image:${id}:scaled` : `asset:image:${id}`, movie: null, volume: null }[kind.kind];
  return html`<div class="detail-strip">${asset ? html`
    <div class="row"><h2 class="grow cut">${asset.name}</h2>${data.results.length ? html`<span class="small soft">${plural(data.results.length, "result")}</span>` : null}
      ${kind.kind === "package" ? html`<button onClick=${() => exportPackage(asset)}><${Icon} name="download" />Export</button>` : to ? html`<a class="button" href=${to}>Open results</a>` : null}${["image", "volume", "package"].includes(kind.kind) ? html`<a class="button" href=${address(here("viewer"), { source: `asset:${kind.kind}:${id}` })}><${Icon} name="viewer" />Viewer</a>` : null}
      ${kind.kind === "volume" ? html`<a class="button" href=${address(here("map"), { source: `asset:volume:${id}` })}><${Icon} name="map" />3D</a>` : null}
      <button class="bare" onClick=${onClose} aria-label="Close details"><${Icon} name="close" /></button></div>
    <div class="row top" style=${{ gap: "18px" }}>${source ? html`<img class="shown" style=${{ width: "150px", height: "150px", objectFit: "cover" }} alt=${`Image ${asset.name}`} src=${`/api${at("/picture")}${query({ source, edge: 320 })}`} />` : null}
    <dl class="facts columns grow">${Object.entries(asset).filter(([name, value]) => !HIDDEN.has(name) && value !== null && value !== "").map(([name, value]) => html`<div key=${name}><dt>${label(name)}</dt><dd title=${String(value)}>${number(value, 6)}${unitOf(name) ? html` <span class="faint">${unitOf(name)}</span>` : null}${asset.sources?.[name] && asset.sources[name] !== "user" ? html` <span class="faint small">(${asset.sources[name]})</span>` : null}</dd></div>`)}
      <div><dt>Made</dt><dd>${when(asset.created)}</dd></div></dl></div>` : html`<div class="faint">…</div>`}</div>`;
}

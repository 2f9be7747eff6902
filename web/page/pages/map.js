// Maps in 3D: surfaces, contour levels in sigma and in the map's own values, clipping, colour by another map, the focus sphere.
import { html, useEffect, useRef, useState } from "/core/html.js";
import { bytes, query } from "/core/api.js";
import { go, route } from "/core/router.js";
import { at, here, loadActions, projectKey, useAnswer } from "/core/state.js";
import { number } from "/core/words.js";
import { chooseFile } from "/parts/files.js";
import { Icon } from "/parts/icons.js";
import { toast } from "/parts/toasts.js";
import { MapScene } from "/map/scene.js";
import { draft, drafted, rounded } from "/map/sphere.js";
import { SphereCard } from "/map/sphere_card.js";

const COLOURS = ["#7cc7de", "#e8b04e", "#b98be0", "#7ccf8f"];
const FIRST_EDGE = 256;

export function MapPage() {
  const { data } = useAnswer(at("/assets/volume?sort=id&descending=true&limit=500"));
  const { source = "" } = route.value.values;
  useEffect(() => { if (!source && data?.rows.length) go(here("map"), { source: `asset:volume:${data.rows[0].id}` }, { replace: true }); }, [source, data]);
  useEffect(() => { loadActions().catch(() => {}); }, []);
  return html`<div class="page fill"><div class="page-head"><h1 class="grow">3D map</h1>
      <select aria-label="Map" value=${source} onChange=${(event) => go(here("map"), { source: event.target.value })}>${source.startsWith("file:") ? html`<option value=${source}>${source.slice(5).split("/").pop()}</option>` : null}${!source ? html`<option value="">choose a map</option>` : null}${data?.rows.map((one) => html`<option key=${one.id} value=${`asset:volume:${one.id}`}>${one.id}: ${one.name}</option>`)}</select>
      <button onClick=${() => chooseFile({ title: "a map", endings: ".mrc,.map", go: (path) => go(here("map"), { source: `file:${path}` }) })}><${Icon} name="folder" />Open a file</button></div>
    ${source ? html`<${View} key=${source} source=${source} volumes=${data?.rows || []} />` : html`<div class="card empty" style=${{ flex: 1 }}><${Icon} name="map" /><div class="strong">No maps yet</div><p>Import a map, or make one: it is shown here as a surface.</p></div>`}</div>`;
}

// Fetch a map's voxels, binned to at most `edge`, into the worker; tells what is known of it.
async function fetchMap({ worker, waiting }, source, edge) {
  const { headers, buffer } = await bytes(`${at("/map")}${query({ source, edge })}`);
  const facts = JSON.parse(headers.get("x-map"));
  const scale = { factor: facts.factor, pixel: facts.pixel_size_A };
  const kept = await new Promise((done) => { waiting.set(source, done); worker.postMessage({ kind: "map", name: source, buffer, facts, scale }, [buffer]); });
  return { source, facts, scale, level: kept.level, range: kept.range };
}

function View({ source, volumes }) {
  const canvas = useRef(null);
  const box = useRef(null);
  const tools = useRef(null);
  const [edge, setEdge] = useState(FIRST_EDGE);
  const [layers, setLayers] = useState([]);
  const [error, setError] = useState("");
  const [clip, setClip] = useState(0);
  const [triangles, setTriangles] = useState({});
  const [sphere, setSphere] = useState(() => drafted(projectKey.value));
  const [showSphere, setShowSphere] = useState(false);
  const [paint, setPaint] = useState("");
  const tickets = useRef({});

  useEffect(() => {
    const worker = new Worker("/map/worker.js", { type: "module" });
    let scene;
    try { scene = new MapScene(canvas.current, { onSphere: (found) => setSphere(rounded(found)) }); } catch (failed) { setError(`This browser shows no WebGL2 (${failed.message}). The other pages show slices and projections.`); return () => worker.terminate(); }
    tools.current = { worker, scene, maps: new Map(), waiting: new Map() };
    canvas.current.verglasScene = scene;
    worker.onmessage = ({ data: mesh }) => {
      if (mesh.kind === "kept") { tools.current.waiting.get(mesh.name)?.(mesh); return; }
      const map = tools.current.maps.get(mesh.name);
      if (!map || tickets.current[mesh.name] !== mesh.ticket) return;
      scene.setSurface(mesh.name, mesh, map.scale, { ...map.look, range: map.colours || [0, 1] });
      canvas.current.dataset.triangles = mesh.triangles.length / 3;
      setTriangles((old) => ({ ...old, [mesh.name]: mesh.triangles.length / 3 }));
    };
    const watch = new ResizeObserver(() => box.current && scene.resize(box.current.clientWidth, box.current.clientHeight));
    watch.observe(box.current);
    return () => { watch.disconnect(); worker.terminate(); scene.end(); };
  }, []);

  const add = async (from, first) => {
    try {
      const map = await fetchMap(tools.current, from, edge);
      if (!tools.current) return;
      const { facts, level } = map;
      tools.current.maps.set(from, map);
      if (first) { tools.current.scene.frame([2, 1, 0].map((axis) => facts.whole[axis] * facts.pixel_size_A)); if (!sphere) setSphere(rounded({ x: (facts.whole[2] * facts.pixel_size_A) / 2, y: (facts.whole[1] * facts.pixel_size_A) / 2, z: (facts.whole[0] * facts.pixel_size_A) / 2, radius: (facts.whole[0] * facts.pixel_size_A) / 8 })); }
      setLayers((old) => (old.some((one) => one.source === from) ? old.map((one) => (one.source === from ? { ...one, facts } : one)) : [...old, { source: from, facts, level, colour: COLOURS[old.length % COLOURS.length], opacity: old.length ? 0.45 : 1, visible: true }]));
    } catch (failed) { setError(failed.message); }
  };
  useEffect(() => { for (const one of layers.length ? layers.map((layer) => layer.source) : [source]) add(one, one === source && !layers.length); }, [edge]);

  const shape = JSON.stringify([layers.map((one) => [one.source, one.level, one.colour, one.opacity, one.visible, one.facts.factor]), paint]);
  useEffect(() => {
    const held = tools.current;
    if (!held) return undefined;
    const timer = setTimeout(() => {
      for (const one of layers) {
        const map = held.maps.get(one.source);
        if (!map) continue;
        map.look = { colour: one.colour, opacity: one.opacity };
        if (!one.visible) { tickets.current[one.source] = -1; held.scene.drop(one.source); continue; }
        const painted = paint && one === layers[0] ? held.maps.get(paint) : null;
        if (painted) map.colours = painted.range;
        tickets.current[one.source] = (tickets.current[one.source] || 0) + 1;
        held.worker.postMessage({ kind: "surface", name: one.source, level: one.level, ticket: tickets.current[one.source], paint: painted ? paint : null });
      }
    }, 30);
    return () => clearTimeout(timer);
  }, [shape]);
  useEffect(() => { tools.current?.scene.setClip(clip); }, [clip]);
  useEffect(() => { tools.current?.scene.setSphere(showSphere ? sphere : null); if (sphere) draft(projectKey.value, sphere); }, [sphere, showSphere]);

  const choosePaint = async (from) => {
    if (from && !tools.current.maps.has(from)) {
      try { tools.current.maps.set(from, await fetchMap(tools.current, from, edge)); } catch (failed) { toast(failed.message, { bad: true }); return; }
    }
    setPaint(from);
  };
  const put = (from, values) => setLayers((old) => old.map((one) => (one.source === from ? { ...one, ...values } : one)));
  const main = layers[0];
  const others = [...volumes.map((one) => [`asset:volume:${one.id}`, `${one.id}: ${one.name}`]), ...volumes.filter((one) => source === `asset:volume:${one.id}`).flatMap((one) => [[one.half_map_1_path, "half1", "half map 1"], [one.half_map_2_path, "half2", "half map 2"], [one.mask_path, "mask", "mask"]].filter(([path]) => path).map(([, role, text]) => [`asset:volume:${one.id}:${role}`, text]))].filter(([from]) => !layers.some((one) => one.source === from));
  const binned = main && main.facts.factor > 1;
  const png = () => { const link = document.createElement("a"); link.href = canvas.current.toDataURL("image/png"); link.download = "map.png"; link.click(); };
  return html`<div class="map-layout"><div class="map-view" ref=${box}><canvas ref=${canvas} tabindex="0" aria-label="Surface of the map; drag turns it"></canvas>
      ${error ? html`<div class="note bad top">${error}</div>` : !layers.length ? html`<span class="pill busy top">reading the map</span>` : null}
      ${paint && tools.current?.maps.get(paint) ? html`<div class="legend" aria-label="Colours"><span>${number(tools.current.maps.get(paint).range[0], 3)}</span><i></i><span>${number(tools.current.maps.get(paint).range[1], 3)}</span></div>` : null}
      <div class="say">${main ? `${main.facts.whole[2]} × ${main.facts.whole[1]} × ${main.facts.whole[0]}, ${number(main.facts.pixel_size_A)} Å${binned ? `, shown binned by ${main.facts.factor}` : ""}${triangles[source] ? ` · ${triangles[source].toLocaleString("en-US")} triangles` : ""}` : ""}</div></div>
    <div class="panel">
      ${layers.map((one, index) => html`<${LayerCard} key=${one.source} one=${one} index=${index} name=${volumes.find((volume) => `asset:volume:${volume.id}` === one.source)?.name || one.source.split(/[/:]/).slice(-1)[0]} put=${(values) => put(one.source, values)} drop=${index ? () => { tools.current.scene.drop(one.source); tools.current.maps.delete(one.source); tools.current.worker.postMessage({ kind: "forget", name: one.source }); setLayers((old) => old.filter((other) => other.source !== one.source)); } : null} />`)}
      <div class="card"><div class="body col"><label class="field"><span class="label">Lay another map over it</span><select value="" onChange=${(event) => event.target.value && add(event.target.value)}><option value="">choose…</option>${others.map(([from, text]) => html`<option key=${from} value=${from}>${text}</option>`)}</select></label>
        <label class="field"><span class="label">Colour by the values of</span><select value=${paint} onChange=${(event) => choosePaint(event.target.value)}><option value="">one colour</option>${volumes.filter((one) => `asset:volume:${one.id}` !== source).map((one) => html`<option key=${one.id} value=${`asset:volume:${one.id}`}>${one.id}: ${one.name}</option>`)}</select></label>
        <label class="field"><span class="label">Clip the front</span><input type="range" aria-label="Clip the front" min="0" max="1" step="0.01" value=${clip} onInput=${(event) => setClip(Number(event.target.value))} /></label>
        <div class="row wrap" style=${{ gap: "6px" }}>${[["x", [1, 0, 0]], ["y", [0, 1, 0]], ["z", [0, 0, 1]]].map(([axis, way]) => html`<button key=${axis} class="small" title=${`Look along ${axis}`} onClick=${() => tools.current.scene.view(way)}>${axis}</button>`)}<button class="small" onClick=${png}>PNG</button>${binned ? html`<button class="small" onClick=${() => setEdge(400)}>Finer</button>` : null}</div></div></div>
      <${SphereCard} sphere=${sphere} setSphere=${setSphere} shown=${showSphere} setShown=${setShowSphere} most=${main ? (main.facts.whole[0] * main.facts.pixel_size_A) / 2 : 100} />
    </div></div>`;
}

function LayerCard({ one, index, name, put, drop }) {
  const { facts } = one;
  const sigma = (one.level - facts.mean) / (facts.deviation || 1);
  const most = (facts.most - facts.mean) / (facts.deviation || 1);
  return html`<div class="card"><header style=${{ padding: "8px 12px" }}><input type="color" aria-label="Colour" value=${one.colour} onInput=${(event) => put({ colour: event.target.value })} style=${{ width: "30px", height: "26px", padding: "1px", minHeight: 0 }} /><h3 class="grow cut">${name}</h3>
      <input type="checkbox" class="switch" aria-label="Show" checked=${one.visible} onChange=${(event) => put({ visible: event.target.checked })} />${drop ? html`<button class="bare small" aria-label="Take away" onClick=${drop}><${Icon} name="close" /></button>` : null}</header>
    <div class="body col" style=${{ gap: "8px", padding: "10px 12px" }}>
      <input type="range" aria-label="Contour level" min="0" max=${most.toFixed(2)} step="0.02" value=${sigma} onInput=${(event) => put({ level: facts.mean + Number(event.target.value) * facts.deviation })} />
      <div class="fields tight"><label class="field"><span class="label">Level</span><div class="with-unit"><input style=${{ width: "100%" }} aria-label="Level in sigma" inputmode="decimal" value=${sigma.toFixed(2)} onChange=${(event) => Number.isFinite(Number(event.target.value)) && put({ level: facts.mean + Number(event.target.value) * facts.deviation })} /><span>σ</span></div></label>
        <label class="field"><span class="label">in the map</span><input aria-label="Level in the map" inputmode="decimal" value=${Number(one.level.toPrecision(4))} onChange=${(event) => Number.isFinite(Number(event.target.value)) && put({ level: Number(event.target.value) })} /></label></div>
      <label class="field"><span class="label">Opacity</span><input type="range" aria-label="Opacity" min="0.1" max="1" step="0.05" value=${one.opacity} onInput=${(event) => put({ opacity: Number(event.target.value) })} /></label></div></div>`;
}

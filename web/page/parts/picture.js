// A picture that can be zoomed and moved, with things drawn over it. Coordinates are pixels of the file, from its first row, which is shown lowest.
import { html, useEffect, useRef, useState } from "/core/html.js";
import { query } from "/core/api.js";
import { at } from "/core/state.js";
import { useAnswer } from "/core/state.js";

// options: section, edge, low, high, invert, fft; overlay(pen, {toCanvas, scale}); onClick({x, y, event}); onDrag({from, to, event, ended}).
export function Picture({ source, options = {}, height = 420, overlay, onClick, onDrag, onMove, label = "Picture", scaleBar = true, say, tick }) {
  const canvas = useRef(null);
  const box = useRef(null);
  const image = useRef(null);
  const view = useRef(null);
  const frame = useRef(0);
  const [busy, setBusy] = useState(true);
  const [error, setError] = useState("");
  const [pointer, setPointer] = useState(null);
  const edge = options.edge || 1400;
  const { data: facts, error: factsError } = useAnswer(source ? `${at("/picture/facts")}${query({ source, section: options.section || undefined, edge: 256 })}` : null, { live: false });
  const factor = facts && !options.fft ? Math.ceil(Math.max(facts.n_x, facts.n_y) / edge) : 1;
  const url = source ? `/api${at("/picture")}${query({ source, section: options.section || undefined, edge, low: options.low, high: options.high, invert: options.invert || undefined, fft: options.fft || undefined, low_pass_A: options.lowPass || undefined, high_pass_A: options.highPass || undefined })}` : null;

  const fit = () => {
    const shown = image.current;
    if (!shown || !canvas.current) return;
    const w = canvas.current.clientWidth; const h = canvas.current.clientHeight;
    const scale = Math.min(w / shown.naturalWidth, h / shown.naturalHeight);
    view.current = { scale, x: (w - shown.naturalWidth * scale) / 2, y: (h - shown.naturalHeight * scale) / 2, name: `${source}${options.fft}` };
  };
  const toCanvas = (x, y) => { const v = view.current; return [v.x + (x / factor) * v.scale, v.y + (image.current.naturalHeight - y / factor) * v.scale]; };
  const toFile = (cx, cy) => { const v = view.current; return [((cx - v.x) / v.scale) * factor, (image.current.naturalHeight - (cy - v.y) / v.scale) * factor]; };

  const draw = () => {
    frame.current = 0;
    const element = canvas.current;
    if (!element) return;
    const ratio = devicePixelRatio || 1;
    const w = element.clientWidth; const h = element.clientHeight;
    if (element.width !== Math.round(w * ratio) || element.height !== Math.round(h * ratio)) { element.width = Math.round(w * ratio); element.height = Math.round(h * ratio); }
    const pen = element.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, w, h);
    const shown = image.current;
    if (!shown) return;
    if (!view.current || view.current.name !== `${source}${options.fft}`) fit();
    const v = view.current;
    pen.imageSmoothingEnabled = v.scale < 2;
    pen.drawImage(shown, v.x, v.y, shown.naturalWidth * v.scale, shown.naturalHeight * v.scale);
    if (overlay) { pen.save(); overlay(pen, { toCanvas, scale: v.scale / factor }); pen.restore(); }
    if (scaleBar && facts?.pixel_size_A && !options.fft) bar(pen, w, h, v.scale / factor / facts.pixel_size_A);
  };
  const redraw = () => { if (!frame.current) frame.current = requestAnimationFrame(draw); };

  useEffect(() => {
    if (!url) return undefined;
    let dropped = false;
    const next = new Image();
    setBusy(true);
    next.onload = () => { if (dropped) return; image.current = next; setBusy(false); setError(""); redraw(); };
    next.onerror = () => { if (!dropped) { setBusy(false); setError(factsError || "This picture cannot be read."); } };
    next.src = url;
    return () => { dropped = true; };
  }, [url]);
  useEffect(redraw, [overlay, facts, tick]);
  useEffect(() => {
    const watch = new ResizeObserver(() => { if (view.current) fit(); redraw(); });
    watch.observe(box.current);
    const element = canvas.current;
    const wheel = (event) => {
      if (!view.current) return;
      event.preventDefault();
      const [cx, cy] = place(event);
      zoom(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0016)), cx, cy);
    };
    element.addEventListener("wheel", wheel, { passive: false });
    return () => { watch.disconnect(); element.removeEventListener("wheel", wheel); };
  }, []);

  const latest = useRef({});
  latest.current = { redraw, fit };
  const place = (event) => { const rect = canvas.current.getBoundingClientRect(); return [event.clientX - rect.left, event.clientY - rect.top]; };
  const zoom = (by, cx, cy) => {
    const v = view.current;
    const scale = Math.min(60, Math.max(0.02, v.scale * by));
    v.x = cx - ((cx - v.x) * scale) / v.scale; v.y = cy - ((cy - v.y) * scale) / v.scale; v.scale = scale;
    latest.current.redraw();
  };
  const press = useRef(null);
  const down = (event) => {
    if (!view.current || event.button > 1) return;
    const [cx, cy] = place(event);
    press.current = { cx, cy, x: view.current.x, y: view.current.y, moved: false, drags: onDrag && (event.shiftKey || event.ctrlKey || options.dragTool) };
    canvas.current.setPointerCapture(event.pointerId);
  };
  const move = (event) => {
    if (!view.current || !image.current) return;
    const [cx, cy] = place(event);
    const [x, y] = toFile(cx, cy);
    if (onMove) onMove({ x, y });
    setPointer([x, y]);
    const held = press.current;
    if (!held) return;
    if (Math.hypot(cx - held.cx, cy - held.cy) > 3) held.moved = true;
    if (!held.moved) return;
    if (held.drags) onDrag({ from: toFile(held.cx, held.cy), to: [x, y], event, ended: false });
    else { view.current.x = held.x + cx - held.cx; view.current.y = held.y + cy - held.cy; }
    redraw();
  };
  const up = (event) => {
    const held = press.current;
    press.current = null;
    if (!held || !image.current) return;
    const [cx, cy] = place(event);
    const [x, y] = toFile(cx, cy);
    if (held.drags && held.moved) onDrag({ from: toFile(held.cx, held.cy), to: [x, y], event, ended: true });
    else if (!held.moved && onClick) onClick({ x, y, event, reach: 12 / (view.current.scale / factor) });
  };
  const keys = (event) => {
    if (!view.current) return;
    const [w, h] = [canvas.current.clientWidth / 2, canvas.current.clientHeight / 2];
    const by = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] }[event.key];
    if (by) { view.current.x += by[0]; view.current.y += by[1]; }
    else if (event.key === "+" || event.key === "=") zoom(1.3, w, h);
    else if (event.key === "-") zoom(1 / 1.3, w, h);
    else if (event.key === "0") fit();
    else return;
    event.preventDefault();
    redraw();
  };
  const inside = pointer && facts && pointer[0] >= 0 && pointer[1] >= 0 && pointer[0] < facts.n_x && pointer[1] < facts.n_y;
  return html`<div class="picture" ref=${box} style=${{ height: typeof height === "number" ? `${height}px` : height }}>
    <canvas ref=${canvas} tabindex="0" role="img" aria-label=${label} onPointerDown=${down} onPointerMove=${move} onPointerUp=${up} onPointerLeave=${() => setPointer(null)} onDblClick=${() => { if (!onClick) { fit(); redraw(); } }} onKeyDown=${keys}></canvas>
    ${error ? html`<div class="note bad" style=${{ position: "absolute", left: "12px", right: "12px", top: "12px" }}>${factsError || error}</div>` : busy ? html`<span class="pill busy busy-mark">reading</span>` : null}
    <span class="say">${say || ""}${inside && !options.fft ? ` x ${Math.round(pointer[0])}, y ${Math.round(pointer[1])} px${facts.pixel_size_A ? ` · ${(pointer[0] * facts.pixel_size_A).toFixed(0)}, ${(pointer[1] * facts.pixel_size_A).toFixed(0)} Å` : ""}` : facts && !say ? `${facts.n_x} × ${facts.n_y}` : ""}</span></div>`;
}

function bar(pen, w, h, pixelsPerA) {
  const wanted = (w / 5) / pixelsPerA;
  const power = 10 ** Math.floor(Math.log10(wanted));
  const length = [5, 2, 1].find((n) => n * power <= wanted) * power;
  const size = length * pixelsPerA;
  const words = length >= 10000 ? `${length / 10000} µm` : length >= 10 ? `${length / 10} nm` : `${length} Å`;
  pen.fillStyle = "rgba(4,14,20,.6)"; pen.fillRect(w - size - 26, h - 34, size + 18, 26);
  pen.fillStyle = "#fff"; pen.fillRect(w - size - 17, h - 16, size, 3);
  pen.font = "600 11px system-ui"; pen.textAlign = "center"; pen.fillText(words, w - size / 2 - 17, h - 20);
}

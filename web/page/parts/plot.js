// Line plots, points and histograms by uPlot, in the page's own colours.
import uPlot from "uplot";
import { html, useEffect, useRef } from "/core/html.js";
import { theme } from "/parts/theme.js";

const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
export const INKS = ["--accent", "--warn", "--good", "--bad", "--busy"];

// x: numbers; series: [{name, values, ink, width, points, bars, dash, scale}]; lines: [{y, text}] or [{x, text}].
export function Plot({ x, series, height = 240, xLabel = "", yLabel = "", xRange, yRange, xText, lines = [], onPoint, legend = series.length > 1, name }) {
  const box = useRef(null);
  const plot = useRef(null);
  const shape = JSON.stringify([series.map((one) => [one.name, one.ink, one.points, one.bars]), xLabel, yLabel, xRange, yRange, lines, height, theme.value]);
  useEffect(() => {
    const soft = style("--soft");
    const grid = style("--line");
    const font = `12px ${style("--font")}`;
    const axis = (text, size, values) => ({ stroke: soft, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid }, font, labelFont: font, label: text || undefined, labelSize: 22, size, ...(values ? { values } : {}) });
    const draw = (made) => {
      const pen = made.ctx;
      pen.save(); pen.strokeStyle = soft; pen.fillStyle = soft; pen.lineWidth = 1; pen.setLineDash([4, 4]); pen.font = font; pen.textAlign = "left";
      for (const line of lines) {
        pen.beginPath();
        if (line.y !== undefined) { const y = made.valToPos(line.y, "y", true); pen.moveTo(made.bbox.left, y); pen.lineTo(made.bbox.left + made.bbox.width, y); if (line.text) pen.fillText(line.text, made.bbox.left + 6, y - 5); }
        else { const at = made.valToPos(line.x, "x", true); pen.moveTo(at, made.bbox.top); pen.lineTo(at, made.bbox.top + made.bbox.height); if (line.text) pen.fillText(line.text, at + 5, made.bbox.top + 13); }
        pen.stroke();
      }
      pen.restore();
    };
    const options = {
      width: box.current.clientWidth || 400, height, legend: { show: legend, live: true }, cursor: { drag: { x: true, y: false }, points: { size: 7 } }, padding: [10, 14, 0, 0],
      scales: { x: { time: false, range: xRange ? () => xRange : undefined }, y: { range: yRange ? () => yRange : undefined } },
      axes: [axis(xLabel, 34, xText ? (_, ticks) => ticks.map(xText) : undefined), axis(yLabel, 56)],
      series: [{ label: xLabel || "x", value: (_, value) => (value === null || value === undefined ? "–" : xText ? xText(value) : Number(value.toPrecision(5))) },
        ...series.map((one, i) => ({ label: one.name, stroke: style(one.ink || INKS[i % INKS.length]), width: one.points ? 0 : one.width || 1.8, dash: one.dash, spanGaps: false, scale: "y",
          fill: one.bars ? `${style(one.ink || INKS[i % INKS.length])}55` : undefined, paths: one.points ? () => null : one.bars ? uPlot.paths.bars({ size: [0.95, 100] }) : undefined,
          points: one.points ? { show: true, size: one.points === true ? 5 : one.points, fill: style(one.ink || INKS[i % INKS.length]) } : { show: x.length < 25 && !one.bars, size: 5 }, value: (_, value) => (value === null || value === undefined ? "–" : Number(value.toPrecision(4))) }))],
      hooks: { draw: [draw] },
    };
    plot.current = new uPlot(options, [x, ...series.map((one) => one.values)], box.current);
    if (onPoint) plot.current.over.addEventListener("click", () => { const index = plot.current.cursor.idx; if (index !== null && index !== undefined) onPoint(index); });
    const watch = new ResizeObserver(() => plot.current && box.current?.clientWidth && plot.current.setSize({ width: box.current.clientWidth, height }));
    watch.observe(box.current);
    return () => { watch.disconnect(); plot.current.destroy(); plot.current = null; };
  }, [shape]);
  useEffect(() => { plot.current?.setData([x, ...series.map((one) => one.values)]); }, [x, series.map((one) => one.values)]);
  return html`<div class="plot" ref=${box} role="img" aria-label=${name || series.map((one) => one.name).join(", ")}></div>`;
}

export function Histogram({ values, bins: most = 40, height = 180, xLabel, lines, name }) {
  const there = values.filter((value) => Number.isFinite(value));
  const bins = Math.max(8, Math.min(most, Math.ceil(2.5 * Math.sqrt(there.length))));
  if (there.length < 2) return html`<div class="empty small">Too few values.</div>`;
  let low = Infinity; let high = -Infinity;
  for (const value of there) { if (value < low) low = value; if (value > high) high = value; }
  if (high <= low) high = low + 1;
  const counts = new Array(bins).fill(0);
  for (const value of there) counts[Math.min(bins - 1, Math.floor(((value - low) / (high - low)) * bins))] += 1;
  const x = counts.map((_, i) => low + ((i + 0.5) * (high - low)) / bins);
  return html`<${Plot} x=${x} series=${[{ name: "number", values: counts, bars: true }]} height=${height} xLabel=${xLabel} lines=${lines} xRange=${[low - (high - low) / bins, high + (high - low) / bins]} legend=${false} name=${name || xLabel} />`;
}

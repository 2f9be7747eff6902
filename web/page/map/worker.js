// Makes surfaces beside the page: keeps maps by name, tells how their values lie, answers each request for a level with a mesh.
import { sample, surface } from "/map/mesh.js";

const maps = new Map();

onmessage = ({ data: asked }) => {
  if (asked.kind === "map") { keep(asked); return; }
  if (asked.kind === "forget") { maps.delete(asked.name); return; }
  const map = maps.get(asked.name);
  if (!map) return;
  const made = surface(map.data, map.shape, asked.level);
  let colours = null;
  const paint = asked.paint && maps.get(asked.paint);
  if (paint) {
    colours = new Float32Array(made.positions.length / 3);
    const toPaint = (value) => ((value + 0.5) * map.scale.factor * map.scale.pixel) / (paint.scale.factor * paint.scale.pixel) - 0.5;
    for (let i = 0; i < colours.length; i += 1) colours[i] = sample(paint.data, paint.shape, toPaint(made.positions[3 * i]), toPaint(made.positions[3 * i + 1]), toPaint(made.positions[3 * i + 2]));
  }
  const parts = [made.positions.buffer, made.normals.buffer, made.triangles.buffer, ...(colours ? [colours.buffer] : [])];
  postMessage({ ...made, colours, kind: "surface", name: asked.name, ticket: asked.ticket, level: asked.level }, parts);
};

// Values come as whole numbers of 16 bits.
function keep({ name, buffer, facts, scale }) {
  const numbers = new Uint16Array(buffer);
  const data = new Float32Array(numbers.length);
  const { least, step } = facts;
  for (let i = 0; i < data.length; i += 1) data[i] = least + step * numbers[i];
  maps.set(name, { data, shape: facts.shape, scale });
  postMessage({ kind: "kept", name, ...levels(data, facts) });
}

// Where to begin: a level that the densest two hundredths of the voxels lie above, but not within three deviations, where noise is; and between
// which values colours run.
function levels(data, facts) {
  const kept = new Float32Array(Math.min(data.length, 200000));
  const stride = data.length / kept.length;
  for (let i = 0; i < kept.length; i += 1) kept[i] = data[Math.floor(i * stride)];
  const sorted = kept.sort();
  const found = sorted[Math.floor(sorted.length * 0.98)];
  const there = sorted.filter((value) => Math.abs(value) > facts.step);
  return {
    level: Math.min(Math.max(found, facts.mean + 3 * facts.deviation), facts.mean + 0.6 * (facts.most - facts.mean)),
    range: there.length ? [there[Math.floor(there.length * 0.05)], there[Math.floor(there.length * 0.95)]] : [0, 1],
  };
}

// The focus sphere: which parameters of an action take it, and the spheres that the project keeps.
import { post } from "/core/api.js";
import { at } from "/core/state.js";

export const PARTS = ["x", "y", "z", "radius"];
const startKey = (project) => `verglas-sphere-${project}`;

// From a schema of parameters to {x, y, z, radius, use}: the names of those that take a sphere, and of the switch that has it used;
// null where there are none.
export function sphereFields(schema) {
  const names = Object.keys(schema?.properties || {});
  const found = Object.fromEntries(PARTS.map((part) => [part, names.find((name) => (part === "radius" ? /(sphere|focus).*radius/ : new RegExp(`(sphere|focus)(_centre|_center)?_${part}(_|$)`)).test(name))]));
  const use = names.find((name) => /^(use_)?(focus|sphere|focus_sphere)$/.test(name) && schema.properties[name].type === "boolean");
  return PARTS.every((part) => found[part]) ? { ...found, use } : null;
}

// What is being placed in this browser, before it is kept.
export function drafted(project) { try { return JSON.parse(localStorage.getItem(startKey(project))) || null; } catch { return null; } }
export function draft(project, sphere) { localStorage.setItem(startKey(project), JSON.stringify(sphere)); }

// The values of those parameters for a sphere.
export const valuesFor = (fields, sphere) => ({ ...Object.fromEntries(PARTS.map((part) => [fields[part], sphere[part]])), ...(fields.use ? { [fields.use]: true } : {}) });
export const keep = (name, sphere) => post(at("/edit"), { edit: "sphere.keep", name, ...Object.fromEntries(PARTS.map((part) => [`${part}_A`, sphere[part]])) });
export const forget = (name) => post(at("/edit"), { edit: "sphere.remove", name });
export const fromKept = (kept) => Object.fromEntries(PARTS.map((part) => [part, kept[`${part}_A`]]));
export const rounded = (sphere) => Object.fromEntries(PARTS.map((part) => [part, Math.round(sphere[part] * 10) / 10]));
export const inWords = (sphere) => `${PARTS.slice(0, 3).map((part) => sphere[part]).join(", ")} Å, radius ${sphere.radius} Å`;

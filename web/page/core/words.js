// Values as people read them.
const ACRONYMS = { ctf: "CTF", eer: "EER", fsc: "FSC", snr: "SNR", id: "ID", pdb: "PDB", reslog: "ResLog", "2d": "2D", "3d": "3D", b: "B", cs: "Cs", mrc: "MRC", dpi: "DPI" };
const UNITS = [["_e_per_A2", "e/Å²"], ["_e_A2", "e/Å²"], ["_per_A", "1/Å"], ["_A2", "Å²"], ["_A3", "Å³"], ["_A", "Å"], ["_degrees", "°"], ["_deg", "°"], ["_kV", "kV"],
  ["_kDa", "kDa"], ["_mm", "mm"], ["_mrad", "mrad"], ["_um", "µm"], ["_px", "px"], ["_bytes", ""], ["_seconds", "s"]];

export function unitOf(name) {
  const found = UNITS.find(([ending]) => name.endsWith(ending));
  return found ? found[1] : "";
}

export function prettyUnit(unit) {
  return { A: "Å", "A^2": "Å²", "e/A^2": "e/Å²", degrees: "°", pixels: "px", "standard deviations": "σ", "standard deviations of the noise": "σ" }[unit] ?? unit;
}

export function label(name) {
  const found = UNITS.find(([ending]) => name.endsWith(ending));
  const bare = found ? name.slice(0, -found[0].length) : name;
  const text = bare.split(/[_-]/).filter(Boolean).map((word) => ACRONYMS[word.toLowerCase()] ?? word).join(" ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

export function number(value, digits = 4) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value)) return Math.abs(value) >= 1e5 ? value.toLocaleString("en-US") : String(value);
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e7)) return value.toExponential(2);
  return String(Number(value.toPrecision(Math.max(digits, Math.ceil(Math.log10(size || 1))))));
}

export const count = (value) => (value ?? 0).toLocaleString("en-US");
export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

export function bytes(size) {
  if (size === null || size === undefined) return "–";
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let i = 0;
  let left = size;
  while (left >= 1000 && i < units.length - 1) { left /= 1000; i += 1; }
  return `${left >= 100 || i === 0 ? Math.round(left) : left.toFixed(1)} ${units[i]}`;
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`;
  if (whole < 172800) return `${Math.floor(whole / 3600)} h ${String(Math.floor((whole % 3600) / 60)).padStart(2, "0")} min`;
  return `${(whole / 86400).toFixed(1)} days`;
}

export function when(time) {
  const date = typeof time === "number" ? new Date(time * 1000) : new Date(time);
  if (Number.isNaN(date.getTime())) return "–";
  const today = new Date().toDateString() === date.toDateString();
  const clock = date.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
  return today ? `today ${clock}` : `${date.toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric" })}, ${clock}`;
}

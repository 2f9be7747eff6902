// Forms made from a declaration's JSON schema: units, limits, help, basic and expert, what differs from the defaults.
import { html, useState } from "/core/html.js";
import { label, prettyUnit } from "/core/words.js";
import { Icon } from "/parts/icons.js";
import { chooseFile } from "/parts/files.js";

// From a schema to a list of fields.
export function fieldsOf(schema) {
  const required = new Set(schema.required || []);
  return Object.entries(schema.properties || {}).map(([name, raw]) => {
    const inner = raw.anyOf?.find((one) => one.type !== "null") || raw.allOf?.[0] || raw;
    const one = inner.$ref ? schema.$defs?.[inner.$ref.split("/").pop()] || inner : inner;
    const kind = one.enum || one.const !== undefined ? "choice" : one.type === "array" ? "list" : one.type || "string";
    return {
      name, kind, title: label(name), unit: prettyUnit(raw.unit || ""), help: raw.description || "", expert: Boolean(raw.expert), required: required.has(name),
      nullable: Boolean(raw.anyOf?.some((part) => part.type === "null")), default: raw.default, choices: one.enum || (one.const !== undefined ? [one.const] : null), items: one.prefixItems || null,
      least: one.minimum ?? one.exclusiveMinimum, most: one.maximum ?? one.exclusiveMaximum, above: one.exclusiveMinimum !== undefined, below: one.exclusiveMaximum !== undefined,
      isFile: /(^gain$|^dark$|_file$|_path$|_images$)/.test(name) && kind === "string",
    };
  });
}

export function limitsOf(field) {
  const parts = [];
  if (field.least !== undefined) parts.push(`${field.above ? ">" : "≥"} ${field.least}`);
  if (field.most !== undefined) parts.push(`${field.below ? "<" : "≤"} ${field.most}`);
  return parts.join(", ");
}

// Text that a person typed -> {value} or {error}.
export function parse(field, text) {
  const bare = String(text).trim();
  if (bare === "") {
    if (field.nullable) return { value: null };
    return field.required || field.kind !== "string" ? { error: "give a value" } : { value: "" };
  }
  if (field.kind === "integer" || field.kind === "number") {
    const value = Number(bare.replace(",", "."));
    if (!Number.isFinite(value)) return { error: "not a number" };
    if (field.kind === "integer" && !Number.isInteger(value)) return { error: "a whole number" };
    if (field.least !== undefined && (field.above ? value <= field.least : value < field.least)) return { error: limitsOf(field) };
    if (field.most !== undefined && (field.below ? value >= field.most : value > field.most)) return { error: limitsOf(field) };
    return { value };
  }
  if (field.kind === "list") {
    const parts = bare.split(/[\s,;]+/).map(Number);
    if (parts.some((one) => !Number.isFinite(one))) return { error: "numbers, with blanks between" };
    if (field.items && parts.length !== field.items.length) return { error: `${field.items.length} numbers` };
    return { value: parts };
  }
  return { value: bare };
}

const shownText = (value) => (value === null || value === undefined ? "" : Array.isArray(value) ? value.join(" ") : String(value));
const same = (a, b) => JSON.stringify(a ?? null) === JSON.stringify(b ?? null);

// values: name -> value of those that differ from the default; onChange(values, problems).
export function Form({ schema, values, onChange, showExpert, hideExpertSwitch = false, endings = "" }) {
  const fields = fieldsOf(schema);
  const [texts, setTexts] = useState({});
  const [own, setOwn] = useState(false);
  const expert = showExpert ?? own;
  const put = (field, text, direct) => {
    const nextTexts = { ...texts };
    const next = { ...values };
    if (direct) { delete nextTexts[field.name]; if (same(text, field.default)) delete next[field.name]; else next[field.name] = text; }
    else {
      const found = parse(field, text);
      if (found.error) { nextTexts[field.name] = { text, error: found.error }; delete next[field.name]; }
      else { delete nextTexts[field.name]; nextTexts[field.name] = { text }; if (same(found.value, field.default)) delete next[field.name]; else next[field.name] = found.value; }
    }
    setTexts(nextTexts);
    onChange(next, Object.fromEntries(Object.entries(nextTexts).filter(([, one]) => one.error).map(([name, one]) => [name, one.error])));
  };
  const reset = (field) => { const next = { ...values }; delete next[field.name]; const left = { ...texts }; delete left[field.name]; setTexts(left);
    onChange(next, Object.fromEntries(Object.entries(left).filter(([, one]) => one.error).map(([name, one]) => [name, one.error]))); };
  const one = (field) => {
    const changed = field.name in values || Boolean(texts[field.name]?.error);
    const value = field.name in values ? values[field.name] : field.default;
    return html`<${Field} key=${field.name} field=${field} value=${value} typed=${texts[field.name]} changed=${changed} put=${put} reset=${() => reset(field)} endings=${endings} />`;
  };
  const hidden = fields.filter((field) => field.expert);
  return html`<div class="form">
    <div class="fields">${fields.filter((field) => !field.expert).map(one)}</div>
    ${hidden.length ? html`<div class="expert">
      ${hideExpertSwitch ? null : html`<button class="bare expert-switch" aria-expanded=${expert} onClick=${() => setOwn(!expert)}><${Icon} name=${expert ? "up" : "next"} /> Expert options
        <span class="faint">${hidden.length}${hidden.some((field) => field.name in values) ? ` · ${hidden.filter((field) => field.name in values).length} changed` : ""}</span></button>`}
      ${expert ? html`<div class="fields">${hidden.map(one)}</div>` : null}</div>` : null}
  </div>`;
}

function Field({ field, value, typed, changed, put, reset, endings }) {
  const id = `field-${field.name}`;
  const limits = limitsOf(field);
  const placeholder = field.nullable ? "none" : field.required ? "required" : "";
  let control;
  if (field.kind === "boolean") control = html`<input id=${id} type="checkbox" class="switch" checked=${Boolean(value)} onChange=${(event) => put(field, event.target.checked, true)} />`;
  else if (field.kind === "choice" && field.choices.length <= 5 && field.choices.join("").length < 40)
    control = html`<div class="segments" id=${id} role="radiogroup" aria-label=${field.title}>${field.choices.map((choice) => html`<button key=${choice} type="button" role="radio" aria-checked=${value === choice} class=${value === choice ? "on" : ""} onClick=${() => put(field, choice, true)}>${choice}</button>`)}</div>`;
  else if (field.kind === "choice") control = html`<select id=${id} value=${value ?? ""} onChange=${(event) => put(field, field.choices.find((choice) => String(choice) === event.target.value) ?? null, true)}>
      ${field.nullable ? html`<option value="">none</option>` : null}${field.choices.map((choice) => html`<option key=${choice} value=${choice}>${choice}</option>`)}</select>`;
  else control = html`<div class="row" style=${{ gap: "6px" }}><div class=${`grow ${field.unit ? "with-unit" : ""}`}><input id=${id} style=${{ width: "100%" }} class=${typed?.error ? "wrong" : ""} inputmode=${field.kind === "string" ? "text" : "decimal"} spellcheck="false" autocomplete="off"
      placeholder=${placeholder} value=${typed?.text ?? shownText(value)} aria-describedby=${`${id}-help`} aria-invalid=${typed?.error ? "true" : "false"} onInput=${(event) => put(field, event.target.value)} />${field.unit ? html`<span title=${field.unit}>${field.unit}</span>` : null}</div>
      ${field.isFile ? html`<button type="button" class="small" onClick=${() => chooseFile({ title: field.title, endings, go: (path) => put(field, path) })} aria-label=${`Choose ${field.title}`}><${Icon} name="folder" /></button>` : null}</div>`;
  return html`<div class=${`field ${changed ? "changed" : ""} ${field.kind === "boolean" ? "flat" : ""}`}>
    <label for=${id}>${field.title}${changed && !field.required ? html`<button type="button" class="reset" title=${`Back to ${shownText(field.default) || "none"}`} onClick=${(event) => { event.preventDefault(); reset(); }}>reset</button>` : null}</label>
    ${control}
    <div class="help" id=${`${id}-help`}>${typed?.error ? html`<span class="bad-words">${typed.error}. </span>` : null}${field.help}${limits ? html` <span class="faint" style=${{ whiteSpace: "nowrap" }}>${limits}</span>` : null}</div></div>`;
}

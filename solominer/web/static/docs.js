// Renders /api/openapi.json: each endpoint with its parameters, its answers and a button that tries it.

const main = document.getElementById("main");
const LONGEST = 20000;

/** An element with properties, `class` and children (nodes or text). */
function el(name, properties = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key === "class") node.className = value;
    else node[key] = value;
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

/** Text with `code` in backquotes. */
function prose(text) {
  const parts = (text || "").split("`");
  return el("span", {}, ...parts.map((part, index) => (index % 2 ? el("code", {}, part) : part)));
}

function resolved(api, schema) {
  return schema.$ref ? api.components.schemas[schema.$ref.split("/").pop()] : schema;
}

/** A schema's type in words: `number or null`, `list of Share`. */
function typeName(schema) {
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(", ");
  if (schema.anyOf) return schema.anyOf.map(typeName).join(" or ");
  if (schema.type === "array") return `list of ${schema.items ? typeName(schema.items) : "values"}`;
  if (schema.type === "object" && schema.additionalProperties?.type) {
    return `object of ${typeName(schema.additionalProperties)}`;
  }
  return schema.type || "any";
}

function bounds(schema) {
  const found = [schema, ...(schema.anyOf || [])];
  const of = (name) => found.map((each) => each[name]).find((value) => value !== undefined);
  const parts = [];
  if (of("minimum") !== undefined) parts.push(`${of("minimum")} to ${of("maximum")}`);
  if (schema.default !== undefined && schema.default !== null) parts.push(`default ${schema.default}`);
  return parts.join(", ");
}

function table(heads, rows) {
  const line = (cells, kind) => el("tr", {}, ...cells.map((cell) => el(kind, {}, cell)));
  return el("div", { class: "scroll" }, el("table", {}, line(heads, "th"), ...rows.map((row) => line(row, "td"))));
}

/** The fields of a schema, and below it those of every schema that it names. */
function fields(api, schema, seen = new Set()) {
  const blocks = [];
  const visit = (part) => {
    if (part.$ref) {
      const name = part.$ref.split("/").pop();
      if (seen.has(name)) return;
      seen.add(name);
      const target = resolved(api, part);
      const rows = Object.entries(target.properties || {}).map(([key, value]) => [el("code", {}, key), typeName(value)]);
      blocks.push(el("h4", {}, name), el("p", { class: "soft" }, prose(target.description)));
      if (rows.length) blocks.push(table(["field", "type"], rows));
      else if (target.enum) blocks.push(el("p", {}, target.enum.join(", ")));
      Object.values(target.properties || {}).forEach(visit);
      return;
    }
    [...(part.anyOf || []), part.items, part.additionalProperties].forEach((inner) => inner?.constructor === Object && visit(inner));
  };
  visit(schema);
  return blocks;
}

/** The form that fills in the parameters and shows the answer. */
function trial(api, path, parameters) {
  const inputs = parameters.map((parameter) => {
    const schema = resolved(api, parameter.schema);
    const label = `${parameter.name} for ${path}`;
    const input = schema.enum
      ? el("select", { ariaLabel: label }, ...schema.enum.map((value) => el("option", {}, value)))
      : el("input", { ariaLabel: label, placeholder: parameter.required ? "required" : "" });
    if (parameter.schema.default !== undefined) input.value = parameter.schema.default ?? "";
    return input;
  });
  const rows = parameters.map((parameter, index) => [
    el("code", {}, parameter.name), prose(parameter.description || ""), bounds(parameter.schema), inputs[index],
  ]);
  const out = el("pre", { hidden: true, tabIndex: 0 });
  const button = el("button", { type: "submit" }, "Try");
  const form = el("form", {}, rows.length ? table(["parameter", "meaning", "bounds", "value"], rows) : null, button, out);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    let url = path;
    const query = new URLSearchParams();
    parameters.forEach((parameter, index) => {
      const value = inputs[index].value;
      if (parameter.in === "path") url = url.replace(`{${parameter.name}}`, encodeURIComponent(value));
      else if (value !== "") query.set(parameter.name, value);
    });
    if (query.size) url += `?${query}`;
    out.hidden = false;
    out.textContent = "…";
    try {
      const response = await fetch(url);
      const text = await response.text();
      let shown = text;
      try { shown = JSON.stringify(JSON.parse(text), null, 2); } catch { /* not JSON: shown as it is */ }
      if (shown.length > LONGEST) shown = `${shown.slice(0, LONGEST)}\n… (${text.length} characters in all)`;
      out.textContent = `GET ${url}\n${response.status} ${response.statusText}\n\n${shown}`;
    } catch (error) {
      out.textContent = `GET ${url}\n${error}`;
    }
  });
  return form;
}

function endpoint(api, path, method, operation) {
  const parts = [el("p", {}, prose(operation.description || operation.summary))];
  const streams = path.endsWith("/events");
  if (method === "get" && !streams) parts.push(trial(api, path, operation.parameters || []));
  for (const [status, response] of Object.entries(operation.responses)) {
    const schema = response.content?.["application/json"]?.schema;
    parts.push(el("h3", {}, `${status} `, el("span", { class: "soft" }, response.description)));
    if (schema) parts.push(...fields(api, schema));
  }
  const name = el("summary", {}, el("span", { class: "method" }, method.toUpperCase()), el("code", {}, path),
    el("span", { class: "soft" }, ` ${(operation.description || "").split(". ")[0].split("\n")[0]}`));
  return el("details", {}, name, ...parts);
}

function render(api) {
  const groups = new Map();
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const tag = operation.tags?.[0] || "other";
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push(endpoint(api, path, method, operation));
    }
  }
  main.replaceChildren(
    el("p", { class: "soft" }, `Version ${api.info.version}`),
    ...[...groups].flatMap(([tag, endpoints]) => [el("h2", {}, tag), ...endpoints]),
  );
}

try {
  const response = await fetch("/api/openapi.json");
  if (!response.ok) throw new Error(`${response.status} ${response.statusText}`);
  render(await response.json());
} catch (error) {
  document.getElementById("state").textContent = `The description cannot be loaded: ${error.message}`;
}

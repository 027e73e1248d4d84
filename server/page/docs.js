// The page of the REST interface: draws the OpenAPI document and sends what is filled in.
// Texts are only ever set as text, never as markup.

const make = (name, text, attributes = {}) => {
  const element = document.createElement(name);
  if (text !== undefined) element.textContent = text;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
};

const api = await (await fetch("/docs/openapi.json")).json();
document.querySelector("#about").textContent = api.info.description;
const token = document.querySelector("#token");

// A schema, with what it refers to put in; something that refers to itself ends after a few steps.
const resolve = (schema, depth = 0) => {
  if (!schema || depth > 6) return {};
  if (schema.$ref) return resolve(api.components.schemas[schema.$ref.split("/").pop()], depth + 1);
  return schema;
};

// An example of what a schema wants.
const example = (schema, depth = 0) => {
  const it = resolve(schema, depth);
  const kind = Array.isArray(it.type) ? it.type[0] : it.type;
  if (kind === "object") {
    const entries = Object.entries(it.properties ?? {});
    return Object.fromEntries(entries.map(([key, value]) => [key, example(value, depth + 1)]));
  }
  if (kind === "integer" || kind === "number") return it.minimum ?? 0;
  if (kind === "boolean") return true;
  if (kind === "array") return [];
  return "";
};

const parameterInput = (parameter) => {
  const label = make("label", `${parameter.name} (${parameter.in})`);
  const input = make("input", undefined, { name: parameter.name });
  if (parameter.required) input.required = true;
  if (parameter.description) input.placeholder = parameter.description;
  label.append(input);
  return { label, input };
};

const address = (path, fields) => {
  let url = path;
  const query = new URLSearchParams();
  for (const [parameter, input] of fields) {
    if (parameter.in === "path") {
      url = url.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
    } else if (input.value !== "") {
      query.set(parameter.name, input.value);
    }
  }
  return query.size > 0 ? `${url}?${query}` : url;
};

const send = async (method, url, body, out) => {
  const headers = {};
  if (token.value !== "") headers.authorization = `Bearer ${token.value}`;
  if (typeof body === "string") headers["content-type"] = "application/json";
  try {
    const reply = await fetch(url, { method: method.toUpperCase(), headers, body });
    const text = await reply.text();
    let shown = text;
    try {
      const value = JSON.parse(text);
      shown = JSON.stringify(value, null, 2);
      if (value.access_token) token.value = value.access_token;
    } catch { /* not JSON: shown as it came */ }
    out.textContent = `${reply.status} ${reply.statusText}\n\n${shown}`;
  } catch (error) {
    out.textContent = String(error);
  }
};

const draw = (path, method, operation) => {
  const details = make("details");
  const summary = make("summary");
  summary.append(make("span", method, { class: "method" }), make("code", path));
  summary.append(` ${operation.summary}`);
  const form = make("form");
  const fields = (operation.parameters ?? []).map((parameter) => {
    const { label, input } = parameterInput(parameter);
    form.append(label);
    return [parameter, input];
  });
  let area;
  const wanted = operation.requestBody?.content["application/json"]?.schema;
  const file = operation.requestBody?.content["multipart/form-data"]
    && make("input", undefined, { type: "file", name: "file", required: "" });
  if (file) form.append(make("label", "file"), file);
  if (wanted) {
    const label = make("label", "Body (JSON)");
    area = make("textarea", JSON.stringify(example(wanted), null, 2), { spellcheck: "false" });
    label.append(area);
    form.append(label);
  }
  form.append(make("button", "Send"));
  const statuses = Object.entries(operation.responses);
  const told = statuses.map(([status, { description }]) => `${status} ${description}`);
  const out = make("pre", told.join("\n"), { "aria-live": "polite" });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(method, address(path, fields), file ? new FormData(form) : area?.value, out);
  });
  details.append(summary, form, out);
  return details;
};

const list = document.querySelector("#operations");
list.replaceChildren();
const sections = new Map();
for (const [path, methods] of Object.entries(api.paths)) {
  for (const [method, operation] of Object.entries(methods)) {
    const [tag] = operation.tags;
    if (!sections.has(tag)) {
      const section = make("section");
      section.append(make("h2", tag));
      sections.set(tag, section);
      list.append(section);
    }
    sections.get(tag).append(draw(path, method, operation));
  }
}

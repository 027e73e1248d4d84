// The page of events and messages: draws the AsyncAPI document.
// Texts are only ever set as text, never as markup.

const make = (name, text, attributes = {}) => {
  const element = document.createElement(name);
  if (text !== undefined) element.textContent = text;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
};

const api = await (await fetch("/docs/asyncapi.json")).json();
document.querySelector("#about").textContent = api.info.description;

const found = ({ $ref: path }) => (
  path.slice(2).split("/").reduce((value, key) => value[key], api));
const message = (place) => found(found(place));

const kind = (schema) => {
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.type === "array") return `list of ${kind(schema.items)}`;
  if ("const" in schema) return JSON.stringify(schema.const);
  return schema.contentEncoding ? "bytes" : schema.type ?? "any";
};

const fields = (title, { properties, required }) => {
  const lines = Object.entries(properties).map(([name, schema]) => {
    const sign = required.includes(name) ? "" : "?";
    return `${name}${sign}: ${kind(schema)}${schema.description ? `  ${schema.description}` : ""}`;
  });
  return `${title}\n${lines.map((line) => `  ${line}`).join("\n")}`;
};

const draw = ({ action, summary: about, messages, reply }) => {
  const [{ name, payload }] = messages.map(message);
  const details = make("details");
  const summary = make("summary");
  const way = action === "receive" ? "ask" : "told";
  summary.append(make("span", way, { class: "method" }), make("code", name), ` ${about}`);
  const parts = [fields("carries", payload)];
  if (reply) parts.push(fields("is answered with", message(reply.messages[0]).payload));
  details.append(summary, make("pre", parts.join("\n\n")));
  return details;
};

const list = document.querySelector("#channels");
list.replaceChildren();
for (const [key, channel] of Object.entries(api.channels)) {
  const section = make("section");
  section.append(make("h2", `${key}: ${channel.address}`), make("p", channel.description));
  for (const operation of Object.values(api.operations)) {
    if (operation.channel.$ref === `#/channels/${key}`) section.append(draw(operation));
  }
  list.append(section);
}

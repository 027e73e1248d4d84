// Elements from data. In: a tag, properties, children. Out: nodes, whose texts are text nodes:
// there is no way here to hand in markup.

/** The element of that id, which the page has. */
export const byId = (id) => document.getElementById(id);

/**
 * A new element. `class` and names with `-` are attributes, `on...` are listeners, the rest are
 * properties; children are nodes or texts, and what is null or false is left out.
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class" || name === "role" || name.includes("-")) {
      element.setAttribute(name, value);
    } else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== false));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/** One of the drawings in icons.svg, which says nothing to a screen reader. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `${new URL("icons.svg", import.meta.url).pathname}#${name}`);
  svg.append(use);
  return svg;
}

const HUES = 8;

/** The round sign of a person: the first letter, on a colour that the name decides. */
export function avatar(name) {
  let sum = 0;
  for (const sign of name) sum = (sum * 31 + sign.codePointAt(0)) % 65_521;
  const [first = "?"] = name;
  const letter = h("span", { class: `avatar hue${sum % HUES}`, "aria-hidden": "true" });
  letter.textContent = first.toUpperCase();
  return letter;
}

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const DAY = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });

/** A time of day that says all of itself when it is pointed at. */
export function clock(ms) {
  const date = new Date(ms);
  const time = h("time", { dateTime: date.toISOString(), title: FULL.format(date) });
  time.textContent = CLOCK.format(date);
  return time;
}

/** The day of a time, as a heading. */
export function day(ms) {
  const date = new Date(ms);
  const days = Math.round((startOfDay(new Date()) - startOfDay(date)) / 86_400_000);
  if (days === 0) return "Today";
  return days === 1 ? "Yesterday" : DAY.format(date);
}

function startOfDay(date) {
  return new Date(date.getFullYear(), date.getMonth(), date.getDate()).valueOf();
}

/** What was kept in this browser under a name; null in a private window. */
export function recall(name) {
  try {
    return JSON.parse(localStorage.getItem(`ebbtide.${name}`));
  } catch {
    return null;
  }
}

/** Keeps a value in this browser; null forgets it. */
export function remember(name, value) {
  try {
    if (value === null) localStorage.removeItem(`ebbtide.${name}`);
    else localStorage.setItem(`ebbtide.${name}`, JSON.stringify(value));
  } catch { /* a private window keeps nothing */ }
}

/** Random text, safe in names and paths. Not `crypto.randomUUID`, which pages over plain HTTP
 * from another machine do not have. */
export function random() {
  const numbers = crypto.getRandomValues(new Uint32Array(4));
  return [...numbers].map((number) => number.toString(36)).join("");
}

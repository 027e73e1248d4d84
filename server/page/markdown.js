// A small, safe part of Markdown as nodes. In: what somebody wrote. Out: text nodes and a few
// kinds of elements: bold, italic, struck out, code, links to http and https, pictures and files
// that lie on this server. Anything else stays the text it is. There is no HTML, and no way to it.
// Work is linear in the length: each rule is tried once at each place, and what it looks for must
// stand near.

import { h } from "./dom.js";

const SPAN_MAX = 1_000; // how far a closing sign is looked for
const DEPTH_MAX = 3; // of bold in italic in struck out

/** Where uploaded files are; nothing else is loaded as a picture. */
const UPLOAD = /^\/api\/v1\/uploads\/[A-Za-z0-9][\w.-]*(?:\/[A-Za-z0-9][\w.-]*)?$/;

const PAIRS = [
  ["**", "strong"], ["__", "strong"], ["~~", "s"], ["*", "em"], ["_", "em"],
];
const ADDRESS = /https?:\/\/[^\s<>"'`]{1,2000}/y;
const LINK = /(!?)\[([^\]\n]{0,300})\]\(([^()\s]{1,2000})\)/y;

/** The nodes of a message; `picture(url, name)` makes those of an uploaded file. */
export function render(source, picture = link) {
  const nodes = [];
  const parts = String(source).split(/(?<!`)```(?!`)(?:[a-z0-9+-]*\n)?/);
  // An odd number of fences leaves the last one what it is.
  if (parts.length % 2 === 0) {
    const last = parts.pop();
    parts[parts.length - 1] += `\`\`\`${last}`;
  }
  parts.forEach((part, place) => {
    if (place % 2) nodes.push(h("pre", {}, h("code", {}, part.replace(/\n$/, ""))));
    else nodes.push(...inline(part, picture, DEPTH_MAX));
  });
  return nodes;
}

/** What a message says, without its signs, for where there is room for text alone. */
export function plain(source) {
  return String(source).replace(/!?\[([^\]\n]{0,300})\]\([^()\s]{1,2000}\)/g, "$1");
}

function inline(text, picture, depth) {
  const nodes = [];
  let from = 0; // of what has no meaning so far
  let at = 0;
  const take = (node, end) => {
    if (at > from) nodes.push(text.slice(from, at));
    nodes.push(node);
    at = end;
    from = end;
  };
  while (at < text.length) {
    const found = code(text, at) ?? linked(text, at, picture) ?? bare(text, at)
      ?? paired(text, at, picture, depth);
    if (found) take(found.node, found.end);
    else at += 1;
  }
  if (at > from) nodes.push(text.slice(from));
  return nodes;
}

function code(text, at) {
  if (text[at] !== "`") return null;
  const end = near(text, "`", at + 1);
  if (end <= at + 1) return null;
  return { node: h("code", {}, text.slice(at + 1, end)), end: end + 1 };
}

function linked(text, at, picture) {
  if (text[at] !== "[" && text[at] !== "!") return null;
  LINK.lastIndex = at;
  const match = LINK.exec(text);
  if (!match) return null;
  const [all, isPicture, name, target] = match;
  const end = at + all.length;
  if (UPLOAD.test(target)) return { node: picture(target, name, Boolean(isPicture)), end };
  const url = web(target);
  return url && !isPicture ? { node: link(url, name || url), end } : null;
}

function bare(text, at) {
  if (text[at] !== "h" || /\w/.test(text[at - 1] ?? "")) return null;
  ADDRESS.lastIndex = at;
  const found = ADDRESS.exec(text)?.[0].replace(/[.,;:!?)\]*_~]+$/, "");
  const url = found && web(found);
  return url ? { node: link(url, found), end: at + found.length } : null;
}

function paired(text, at, picture, depth) {
  if (depth === 0) return null;
  for (const [sign, tag] of PAIRS) {
    if (!text.startsWith(sign, at)) continue;
    const begin = at + sign.length;
    // Signs within words, as in names_like_this and 2*3*4, mean nothing.
    if (/\s/.test(text[begin] ?? " ") || /\w/.test(text[at - 1] ?? "")) continue;
    const end = near(text, sign, begin + 1);
    if (end < 0 || /\s/.test(text[end - 1]) || /\w/.test(text[end + sign.length] ?? "")) continue;
    const inner = inline(text.slice(begin, end), picture, depth - 1);
    return { node: h(tag, {}, ...inner), end: end + sign.length };
  }
  return null;
}

/** Where a sign stands next on the same paragraph, -1 when it does not. */
function near(text, sign, from) {
  const end = text.slice(from, from + SPAN_MAX).indexOf(sign);
  return end < 0 || text.slice(from, from + end).includes("\n\n") ? -1 : from + end;
}

/** An address of the web, or null for every other scheme. */
function web(target) {
  if (!/^https?:\/\//i.test(target)) return null;
  try {
    const url = new URL(target);
    return url.protocol === "http:" || url.protocol === "https:" ? url.href : null;
  } catch {
    return null;
  }
}

function link(url, name) {
  return h("a", { href: url, target: "_blank", rel: "noopener noreferrer nofollow" }, name);
}

// Files and pictures: on their way up, and as they are shown.
// In: files that are dropped, pasted or chosen; addresses of uploaded ones. Out: entries in the
// tray above the message box, the Markdown that names what was uploaded, elements that show it.
// Leaves to others: what a server takes (it says so), and where it lies.

import { account } from "./account.js";
import { byId, h, icon } from "./dom.js";

const AT_ONCE = 8; // files beside one message
const UNITS = ["bytes", "KB", "MB", "GB"];

/** What the answers mean that say more about the server than about the file. */
const ANSWERS = new Map([
  [401, "sign in to send files"], [403, "sign in to send files"],
  [404, "this server takes no files"], [405, "this server takes no files"],
  [413, "the file is too large for this server"],
  [415, "the server takes no files of this kind"], [501, "this server takes no files"],
]);

/** A size as a person reads it. */
export function size(bytes) {
  let [amount, unit] = [bytes, 0];
  while (amount >= 1_000 && unit < UNITS.length - 1) [amount, unit] = [amount / 1_000, unit + 1];
  return `${amount >= 10 || unit === 0 ? Math.round(amount) : amount.toFixed(1)} ${UNITS[unit]}`;
}

/** The tray of files that will go with the next message. */
export class Tray {
  #tray = byId("tray");
  #entries = new Set();
  #changed;

  constructor(changed) {
    this.#changed = changed;
  }

  get isBusy() {
    return [...this.#entries].some((entry) => entry.state === "going");
  }

  get isEmpty() {
    return ![...this.#entries].some((entry) => entry.state === "there");
  }

  /** @param {Iterable<File>} files */
  add(files) {
    for (const file of files) {
      if (this.#entries.size >= AT_ONCE) break;
      this.#upload({ file, name: file.name || "picture" });
    }
  }

  /** The Markdown of what has been uploaded, which leaves the tray. */
  take() {
    const there = [...this.#entries].filter((entry) => entry.state === "there");
    for (const entry of there) this.#remove(entry);
    return there.map(({ name, told }) => {
      const label = name.replace(/[[\]\n]/g, " ");
      return `${told.media_type?.startsWith("image/") ? "!" : ""}[${label}](${told.url})`;
    }).join("\n");
  }

  async #upload(entry) {
    entry.state = "going";
    this.#entries.add(entry);
    this.#draw(entry);
    const form = new FormData();
    form.append("file", entry.file, entry.name);
    try {
      entry.told = await account.call("POST", "/uploads", form);
      entry.state = "there";
    } catch (problem) {
      entry.state = "failed";
      entry.error = ANSWERS.get(problem.status) ?? problem.message;
    }
    if (this.#entries.has(entry)) this.#draw(entry);
  }

  #draw(entry) {
    const { name, file, state, error } = entry;
    const sign = { going: "clock", there: "check", failed: "warning" }[state];
    const words = { going: "uploading…", there: size(file.size), failed: error }[state];
    const old = entry.node;
    entry.node = h("li", { class: state },
      icon(sign),
      h("span", { class: "name" }, name), h("span", { class: "fact" }, words),
      state === "failed" && h("button", {
        type: "button", class: "link", onclick: () => this.#upload(entry),
      }, "Try again"),
      h("button", {
        type: "button", class: "small", "aria-label": `Remove ${name}`,
        onclick: () => this.#remove(entry),
      }, icon("close")));
    if (old) old.replaceWith(entry.node);
    else this.#tray.append(entry.node);
    this.#changed();
  }

  #remove(entry) {
    this.#entries.delete(entry);
    entry.node.remove();
    this.#changed();
  }
}

/** An uploaded file in a message: a picture that opens, or a link that saves. */
export function attached(url, name, isPicture) {
  const label = name || "file";
  const button = h("button", { type: "button", class: isPicture ? "picture" : "file" });
  if (!isPicture) {
    button.append(icon("file"), h("span", {}, label));
    button.addEventListener("click", () => save(button, url, label));
    return button;
  }
  button.setAttribute("aria-label", `Picture ${label}, opens large`);
  account.blob(`${url}/small`).then((blob) => {
    const image = h("img", { alt: label });
    show(image, blob);
    button.replaceChildren(image);
    button.addEventListener("click", () => enlarge(url, label));
  }, (problem) => {
    button.replaceChildren(icon("warning"), h("span", {}, `${label}: ${problem.message}`));
    button.className = "file";
  });
  button.append(h("span", {}, label));
  return button;
}

async function save(button, url, name) {
  try {
    const blob = await account.blob(url);
    const source = URL.createObjectURL(blob);
    h("a", { href: source, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(source), 10_000);
  } catch (problem) {
    button.append(` (${problem.message})`);
  }
}

/** Draws bytes that were fetched, because an element cannot show a token. */
function show(image, blob) {
  image.src = URL.createObjectURL(blob);
  const done = () => URL.revokeObjectURL(image.src);
  image.addEventListener("load", done, { once: true });
  image.addEventListener("error", done, { once: true });
}

async function enlarge(url, name) {
  let blob;
  try {
    blob = await account.blob(url);
  } catch { return; /* the small one stays, and may be asked again */ }
  const dialog = byId("picture");
  show(dialog.querySelector("img"), blob);
  dialog.querySelector("img").alt = name;
  dialog.querySelector("h2").textContent = name;
  dialog.showModal();
}

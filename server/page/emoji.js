// Emoji by name, and a picker that needs no pointer.
// In: keys and clicks. Out: signs put into the message box; `:names:` turned into signs.

import { byId, h } from "./dom.js";

const ALL = [
  ["smile", "😄"], ["grin", "😁"], ["joy", "😂"], ["wink", "😉"], ["blush", "😊"],
  ["heart_eyes", "😍"], ["kiss", "😘"], ["thinking", "🤔"], ["neutral", "😐"], ["smirk", "😏"],
  ["roll_eyes", "🙄"], ["grimace", "😬"], ["sleepy", "😴"], ["sad", "😢"], ["sob", "😭"],
  ["angry", "😠"], ["scream", "😱"], ["flushed", "😳"], ["sunglasses", "😎"], ["party", "🥳"],
  ["shrug", "🤷"], ["facepalm", "🤦"], ["wave", "👋"], ["thumbsup", "👍"], ["thumbsdown", "👎"],
  ["ok_hand", "👌"], ["clap", "👏"], ["pray", "🙏"], ["muscle", "💪"], ["eyes", "👀"],
  ["point_up", "☝️"], ["handshake", "🤝"], ["heart", "❤️"], ["broken_heart", "💔"], ["fire", "🔥"],
  ["sparkles", "✨"], ["star", "⭐"], ["tada", "🎉"], ["gift", "🎁"], ["rocket", "🚀"],
  ["bulb", "💡"], ["bug", "🐛"], ["wrench", "🔧"], ["hammer", "🔨"], ["lock", "🔒"],
  ["key", "🔑"], ["check", "✅"], ["cross", "❌"], ["warning", "⚠️"], ["question", "❓"],
  ["coffee", "☕"], ["tea", "🍵"], ["beer", "🍺"], ["cake", "🎂"], ["pizza", "🍕"],
  ["apple", "🍎"], ["sun", "☀️"], ["moon", "🌙"], ["rain", "🌧️"], ["wave_sea", "🌊"],
  ["tree", "🌳"], ["cat", "🐱"], ["dog", "🐶"], ["snail", "🐌"],
];
const COLUMNS = 8;
const BY_NAME = new Map(ALL);

/** The text with `:names:` as signs; other colons stay. */
export function withSigns(text) {
  return text.replace(/:([a-z_]{2,20}):/g, (all, name) => BY_NAME.get(name) ?? all);
}

/** The picker; `put(sign)` takes what was chosen. */
export class Picker {
  #panel = byId("emoji");
  #opener = byId("emoji-open");
  #buttons;

  constructor(put) {
    this.#buttons = ALL.map(([name, sign]) => h("button", {
      type: "button", title: `:${name}:`, "aria-label": name.replaceAll("_", " "), tabIndex: -1,
      onclick: () => {
        this.close();
        put(sign);
      },
    }, sign));
    this.#panel.append(...this.#buttons);
    this.#opener.addEventListener("click", () => {
      if (this.#panel.hidden) this.#open();
      else this.close();
    });
    this.#panel.addEventListener("keydown", (event) => this.#move(event));
    this.#panel.addEventListener("focusout", ({ relatedTarget }) => {
      const isOutside = relatedTarget && !this.#panel.contains(relatedTarget);
      if (isOutside && relatedTarget !== this.#opener) this.close();
    });
    document.addEventListener("pointerdown", ({ target }) => {
      if (!this.#panel.contains(target) && !this.#opener.contains(target)) this.close();
    });
  }

  close() {
    this.#panel.hidden = true;
    this.#opener.setAttribute("aria-expanded", "false");
  }

  #open() {
    this.#panel.hidden = false;
    this.#opener.setAttribute("aria-expanded", "true");
    this.#focus(0);
  }

  #focus(place) {
    const button = this.#buttons[place];
    if (!button) return;
    for (const one of this.#buttons) one.tabIndex = -1;
    button.tabIndex = 0;
    button.focus();
  }

  #move(event) {
    const place = this.#buttons.indexOf(document.activeElement);
    const step = {
      ArrowLeft: -1, ArrowRight: 1, ArrowUp: -COLUMNS, ArrowDown: COLUMNS,
      Home: -place, End: this.#buttons.length - 1 - place,
    }[event.key];
    if (event.key === "Escape") {
      this.close();
      this.#opener.focus();
    } else if (step !== undefined) this.#focus(place + step);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

// What stands beside the messages: rooms and private conversations, people, the connection.
// In: what the chat tells. Out: lists to choose from; on a narrow screen, as drawers.
// Leaves to others: choosing among all rooms (dialogs.js), notifications (notices.js).

import { account } from "./account.js";
import { avatar, byId, h, icon } from "./dom.js";

const COUNT_MAX = 99; // shown as 99+
const TYPISTS = 3; // named; more are "several people"
const TITLE = document.title;

export class Sidebar {
  #chat;
  #ticking = 0;

  constructor(chat) {
    this.#chat = chat;
    chat.addEventListener("state", () => this.#state());
    for (const name of ["opened", "list"]) chat.addEventListener(name, () => this.#rooms());
    for (const name of ["opened", "people"]) chat.addEventListener(name, () => this.#people());
    for (const name of ["opened", "typing"]) chat.addEventListener(name, () => this.#typing());
    byId("again").addEventListener("click", () => chat.wake());
    byId("leave").addEventListener("click", () => chat.leave(chat.current.id));
    this.draw();
  }

  draw() {
    byId("own-name").textContent = account.name;
    byId("own-kind").textContent = account.isSignedIn ? "Signed in" : "Guest";
    byId("own-avatar").replaceChildren(avatar(account.name));
    this.#state();
    this.#rooms();
    this.#people();
    this.#typing();
  }

  #state() {
    const { name, reason, wait = 0, attempts } = this.#chat.state;
    const state = byId("state");
    state.dataset.state = name;
    clearInterval(this.#ticking);
    const say = (text, more = "") => {
      byId("state-word").textContent = text;
      byId("trouble-word").textContent = more;
      byId("trouble").hidden = !more;
    };
    byId("again").hidden = name !== "waiting";
    if (name === "open") say("Connected");
    else if (name === "connecting") {
      say("Connecting…", attempts ? "Connecting again…" : "");
    } else if (name === "refused") say("Not signed in", reason ?? "The server asks who you are.");
    else if (name === "closed") say("Not connected");
    else this.#count(say, reason, Date.now() + wait);
  }

  /** Counts the seconds to the next attempt; the live region hears of the first alone. */
  #count(say, reason, until) {
    say("Not connected", " ");
    const tick = () => {
      const seconds = Math.max(1, Math.ceil((until - Date.now()) / 1_000));
      const why = navigator.onLine ? reason : "you are offline";
      const text = `Connection lost${why ? ` (${why})` : ""}. Trying again in ${seconds} s; `
        + "what you write meanwhile is sent then.";
      byId("trouble-word").textContent = text;
    };
    tick();
    this.#ticking = setInterval(tick, 1_000);
  }

  #rooms() {
    const all = [...this.#chat.conversations.values()];
    const lists = [["rooms", false], ["directs", true]];
    for (const [id, isDirect] of lists) {
      const list = byId(id);
      const hadFocus = list.contains(document.activeElement) && document.activeElement.dataset.id;
      const own = all.filter((one) => one.isDirect === isDirect);
      list.replaceChildren(...own.map((one) => this.#entry(one)));
      if (hadFocus) {
        [...list.querySelectorAll("button")].find((one) => one.dataset.id === hadFocus)?.focus();
      }
    }
    byId("directs-part").hidden = !all.some((one) => one.isDirect);
    const { current } = this.#chat;
    byId("room-name").textContent = current.label;
    byId("leave").hidden = all.length === 1;
    const leaving = current.isDirect ? "Close" : "Leave";
    byId("leave").setAttribute("aria-label", `${leaving} ${current.label}`);
    byId("leave").replaceChildren(icon(leaving.toLowerCase()));
    const unread = all.reduce((sum, one) => sum + one.unread, 0);
    document.title = `${unread ? `(${unread}) ` : ""}${current.label} – ${TITLE}`;
    byId("rooms-open").classList.toggle("news", unread > 0);
  }

  #entry(one) {
    const { id, title, label, unread, mentions, isDirect } = one;
    const isCurrent = one === this.#chat.current;
    const news = unread ? `, ${unread} unread` : "";
    const name = `${label}${news}${mentions ? ", you are named" : ""}`;
    const count = unread > COUNT_MAX ? `${COUNT_MAX}+` : String(unread);
    const button = h("button", {
      type: "button", class: unread ? "unread" : null, "aria-label": name,
      "aria-current": isCurrent ? "true" : null,
      onclick: () => {
        this.#chat.open(id);
        closeDrawers();
        byId("words").focus();
      },
    },
    isDirect ? avatar(title) : h("span", { class: "hash", "aria-hidden": "true" }, "#"),
    h("span", { class: "name" }, title),
    unread > 0 && h("span", { class: mentions ? "badge loud" : "badge" }, count));
    button.dataset.id = id;
    return h("li", {}, button);
  }

  #people() {
    const { current } = this.#chat;
    const list = byId("people-list");
    const { users, guests } = current.people;
    const sorted = [...users].sort((a, b) => a.name.localeCompare(b.name));
    list.replaceChildren(...sorted.map(({ name }) => h("li", {}, this.#person(name))));
    const hidden = guests > 0 && h("li", { class: "fact" }, `and ${guests} without a name`);
    if (hidden) list.append(hidden);
    const number = users.length + guests;
    byId("people-part").hidden = current.isDirect;
    byId("people-title").textContent = `Online – ${number}`;
    byId("room-fact").textContent = current.isDirect ? "Private conversation"
      : number === 1 ? "1 person online" : `${number} people online`;
    byId("people-open").setAttribute("aria-label", `People online, ${number}`);
  }

  #person(name) {
    if (name === account.name) {
      return h("span", { class: "person" }, avatar(name), h("span", { class: "name" }, name),
        h("span", { class: "fact" }, "you"));
    }
    return h("button", {
      type: "button", class: "person", title: `Write to ${name} alone`,
      "aria-label": `${name}, write to ${name} alone`,
      onclick: () => {
        this.#chat.open(this.#chat.direct(name).id);
        closeDrawers();
        byId("words").focus();
      },
    }, avatar(name), h("span", { class: "name" }, name), icon("direct"));
  }

  #typing() {
    const names = [...this.#chat.current.typing.keys()];
    const line = byId("typing");
    if (names.length === 0) line.textContent = "";
    else if (names.length > TYPISTS) line.textContent = "Several people are typing…";
    else {
      const who = new Intl.ListFormat(document.documentElement.lang).format(names);
      line.textContent = `${who} ${names.length === 1 ? "is" : "are"} typing…`;
    }
  }
}

const DRAWERS = [["rooms-open", "sidebar"], ["people-open", "people-part"]];

/** On a narrow screen: no drawer is open. */
export function closeDrawers() {
  for (const [opener, drawer] of DRAWERS) {
    byId(drawer).classList.remove("open");
    byId(opener).setAttribute("aria-expanded", "false");
  }
  byId("scrim").hidden = true;
  byId("conversation").inert = false;
}

/** Makes the buttons of narrow screens work. */
export function prepareDrawers() {
  for (const [opener, drawer] of DRAWERS) {
    byId(opener).addEventListener("click", () => {
      const isOpen = byId(drawer).classList.contains("open");
      closeDrawers();
      if (isOpen) return;
      byId(drawer).classList.add("open");
      byId(opener).setAttribute("aria-expanded", "true");
      byId("scrim").hidden = false;
      byId("conversation").inert = true;
      byId(drawer).querySelector("button, [tabindex]")?.focus();
    });
  }
  document.addEventListener("keydown", ({ key }) => {
    const open = DRAWERS.find(([, drawer]) => byId(drawer).classList.contains("open"));
    if (key !== "Escape" || !open) return;
    closeDrawers();
    byId(open[0]).focus();
  });
  byId("scrim").addEventListener("click", closeDrawers);
}

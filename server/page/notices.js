// What somebody should know who looks elsewhere: toasts, the bell with its list, the system's own
// notifications when they were allowed.
// In: notifications of the server (for users), what the chat noticed itself (for guests).
// Out: short words on the screen and in a live region, a number on the bell.

import { account } from "./account.js";
import { byId, clock, h, icon } from "./dom.js";
import { plain } from "./markdown.js";

const SHOWN_MS = 6_000;
const AT_ONCE = 3; // toasts
const KEPT = 50; // in the list behind the bell
const WORDS_MAX = 140;
const WORDS = { mention: "named you", direct: "wrote to you", room: "", system: "" };

export class Notices {
  #chat;
  #list = [];
  #unread = 0;
  #next = null;

  constructor(chat) {
    this.#chat = chat;
    chat.addEventListener("connected", () => this.#fetch());
    chat.addEventListener("opened", ({ detail }) => this.#seen(detail.conversation.id));
    chat.addEventListener("notice", ({ detail }) => this.#noticed(detail));
    chat.addEventListener("notification", ({ detail }) => {
      this.#told(detail.notifications ?? [], detail.unread);
    });
    chat.addEventListener("notification-read", ({ detail }) => this.#readElsewhere(detail));
    chat.addEventListener("trouble", ({ detail }) => toast({ title: detail.message, kind: "bad" }));
    byId("all-read").addEventListener("click", () => this.#readAll());
    byId("more-notices").addEventListener("click", () => this.#more());
    byId("notices").addEventListener("toggle", ({ newState }) => {
      byId("bell").setAttribute("aria-expanded", String(newState === "open"));
    });
    this.#draw();
  }

  /** What happened since the page was last open. */
  async #fetch() {
    if (!account.isSignedIn) return;
    try {
      const { notifications, unread, next } = await account.call("GET", "/notifications?limit=20");
      this.#list = notifications.map(entry);
      this.#unread = unread ?? this.#list.filter((one) => !one.isRead).length;
      this.#next = next;
      this.#draw();
    } catch { /* the bell stays as it was; the chat goes on */ }
  }

  async #more() {
    try {
      const path = `/notifications?limit=20&before=${this.#next}`;
      const { notifications, next } = await account.call("GET", path);
      this.#list.push(...notifications.map(entry));
      this.#next = next;
    } catch (problem) {
      toast({ title: problem.message, kind: "bad" });
    }
    this.#draw();
  }

  /** The chat itself saw something in a conversation that nobody looks at. */
  #noticed({ conversation, item, isLoud }) {
    // Users are told by the server as well, and over all their windows alike.
    if (!account.isSignedIn && isLoud) {
      const kind = conversation.isDirect ? "direct" : "mention";
      const { author, content, at } = item;
      const room = conversation.isDirect ? undefined : conversation.id;
      this.#told([{ kind, timestamp: at, body: { from: author, room, content } }]);
    } else if (document.hidden) {
      this.#system(`${item.author} in ${conversation.label}`, item.content, conversation.id);
    }
  }

  /** Another window of this account has read them. */
  #readElsewhere({ id, all, unread }) {
    for (const one of this.#list) if (all || one.id === id) one.isRead = true;
    this.#unread = unread ?? this.#unread;
    this.#draw();
  }

  #told(notifications, unread) {
    const seen = [];
    for (const one of notifications) {
      const added = entry(one);
      if (added.id !== undefined && this.#list.some(({ id }) => id === added.id)) continue;
      this.#list.unshift(added);
      this.#unread += added.isRead ? 0 : 1;
      // What it is about is in view already.
      if (added.place === this.#chat.current.id && !document.hidden) {
        seen.push(added);
        continue;
      }
      if (added.priority === "low" || added.priority === 0) continue;
      toast({ ...added, open: () => this.#open(added) });
      if (document.hidden) this.#system(added.title, added.words, added.place);
    }
    this.#list.length = Math.min(this.#list.length, KEPT);
    this.#unread = unread ?? this.#unread;
    for (const one of seen) this.#read(one);
    this.#draw();
  }

  #system(title, body, place) {
    if (typeof Notification === "undefined" || Notification.permission !== "granted") return;
    try {
      const shown = new Notification(title, { body: short(body), tag: place });
      shown.addEventListener("click", () => {
        window.focus();
        this.#go(place);
        shown.close();
      });
    } catch { /* some phones have the name and not the thing */ }
  }

  #open(one) {
    byId("notices").hidePopover();
    this.#read(one);
    this.#go(one.place);
  }

  #go(place) {
    if (!place) return;
    if (place.startsWith("@")) this.#chat.open(this.#chat.direct(place.slice(1)).id);
    else {
      this.#chat.join(place).catch((error) => toast({ title: error.message, kind: "bad" }));
    }
    byId("words").focus();
  }

  #read(one) {
    if (one.isRead) return;
    one.isRead = true;
    this.#unread = Math.max(0, this.#unread - 1);
    this.#draw();
    // Over the socket and not by REST: it has an answer, and other windows hear of it.
    if (one.id !== undefined) this.#tell({ id: one.id });
  }

  /** Somebody looks at what these are about. */
  #seen(place) {
    for (const card of [...byId("toasts").children]) if (card.place === place) card.remove();
    for (const one of this.#list) if (one.place === place) this.#read(one);
  }

  #readAll() {
    for (const one of this.#list) one.isRead = true;
    this.#unread = 0;
    this.#draw();
    if (account.isSignedIn) this.#tell({ all: true });
  }

  async #tell(what) {
    const options = { namespace: "/notifications" };
    try {
      await this.#chat.request("notification:read", what, options);
    } catch {
      const path = what.all ? "/notifications/read" : `/notifications/${what.id}/read`;
      await account.call("POST", path).catch(() => {});
    }
  }

  #draw() {
    const badge = byId("bell-count");
    badge.textContent = this.#unread > 99 ? "99+" : String(this.#unread);
    badge.hidden = this.#unread === 0;
    byId("bell").setAttribute("aria-label", this.#unread
      ? `Notifications, ${this.#unread} unread` : "Notifications");
    byId("all-read").hidden = this.#unread === 0;
    byId("more-notices").hidden = !this.#next;
    byId("no-notices").hidden = this.#list.length > 0;
    byId("notices-list").replaceChildren(...this.#list.map((one) => h("li", {},
      h("button", {
        type: "button", class: one.isRead ? "read" : "unread", onclick: () => this.#open(one),
      },
      h("span", { class: "title" }, one.title),
      h("span", { class: "words" }, short(one.words)),
      h("span", { class: "fact" }, clock(one.at))))));
  }
}

/** A notification as it is shown. */
function entry({ id, kind = "system", priority = "normal", body = {}, timestamp, read }) {
  const from = body.from?.name ?? body.from ?? body.username;
  const room = body.room?.id ?? body.room;
  const where = kind === "mention" && room ? ` in #${room}` : "";
  const title = body.title
    ?? (from ? `${from} ${WORDS[kind] ?? ""}${where}`.trim() : room ? `#${room}` : "Ebbtide");
  return {
    id, kind, priority, title, words: plain(body.content ?? body.text ?? ""),
    at: Number(timestamp) || Date.parse(timestamp) || Date.now(),
    isRead: Boolean(read), place: kind === "direct" && from ? `@${from}` : room,
  };
}

function short(text) {
  const line = plain(text ?? "").replace(/\s+/g, " ");
  return line.length > WORDS_MAX ? `${line.slice(0, WORDS_MAX - 1)}…` : line;
}

/** Says something for some seconds, longer while it is pointed at. */
export function toast({ title, words = "", kind = "note", open, place }) {
  const list = byId("toasts");
  const card = h("li", { class: `toast ${kind}` });
  card.place = place;
  let end = setTimeout(() => card.remove(), SHOWN_MS);
  const stay = () => clearTimeout(end);
  const go = () => { end = setTimeout(() => card.remove(), SHOWN_MS); };
  for (const [name, act] of [["pointerenter", stay], ["focusin", stay], ["pointerleave", go],
    ["focusout", go]]) card.addEventListener(name, act);
  const text = [h("span", { class: "title" }, title),
    words && h("span", { class: "words" }, short(words))];
  const act = () => {
    card.remove();
    open();
  };
  card.append(icon(kind === "bad" ? "warning" : "bell"),
    open ? h("button", { type: "button", class: "text", onclick: act }, ...text)
      : h("p", { class: "text" }, ...text),
    h("button", {
      type: "button", class: "small", "aria-label": "Dismiss", onclick: () => card.remove(),
    }, icon("close")));
  list.append(card);
  while (list.children.length > AT_ONCE) list.firstElementChild.remove();
}

// The messages of the conversation that is shown.
// In: what the chat tells of its items. Out: a list that stays at its newest line unless somebody
// reads above, keeps its place when older lines come in, and says new ones to a screen reader.
// Leaves to others: what is in the list (conversation.js), the meaning of the text (markdown.js).

import { account } from "./account.js";
import { avatar, byId, clock, day, h, icon } from "./dom.js";
import { attached } from "./files.js";
import { plain, render } from "./markdown.js";
import { mentions } from "./message.js";

const NEAR_END_PX = 80; // who is nearer to the end than this is not reading above
const NEAR_START_PX = 300; // older lines are fetched from here on
const TOGETHER_MS = 5 * 60_000; // lines of one person within it stand under one name
const SAID_AT_ONCE = 3; // more new lines than this are said as a number

export class Messages {
  #chat;
  #list = byId("messages");
  #newest = byId("newest");
  #said = byId("said");
  #nodes = new Map();
  #below = 0; // lines that came while somebody read above
  #unsaid = [];
  #isAtEnd = true;

  constructor(chat) {
    this.#chat = chat;
    chat.isWatched = () => this.#isAtEnd;
    const heard = {
      opened: () => this.#draw(true),
      items: () => this.#draw(false),
      added: ({ item }) => this.#add(item),
      changed: ({ item, moved }) => this.#change(item, moved),
      removed: ({ items }) => this.#remove(items),
      older: ({ items }) => this.#older(items),
    };
    for (const [name, act] of Object.entries(heard)) {
      chat.addEventListener(name, ({ detail }) => {
        if (detail.conversation === chat.current) act(detail);
      });
    }
    this.#list.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.#newest.addEventListener("click", () => {
      this.toEnd();
      this.#list.focus();
    });
    // A keyboard that slides in on a phone, or a box that grows, takes room from the list.
    new ResizeObserver(() => { if (this.#isAtEnd) this.toEnd(); }).observe(this.#list);
  }

  toEnd() {
    this.#list.scrollTop = this.#list.scrollHeight;
    this.#isAtEnd = true;
    this.#below = 0;
    this.#newest.hidden = true;
    this.#chat.see(this.#chat.current);
    const gone = this.#chat.current.trim();
    if (gone.length) {
      this.#forget(gone);
      this.#list.scrollTop = this.#list.scrollHeight;
    }
  }

  #draw(isOther) {
    const { current } = this.#chat;
    this.#nodes.clear();
    this.#list.replaceChildren(...current.items.map((item) => this.#line(item)));
    for (const line of this.#list.children) this.#arrange(line);
    if (isOther) this.#unsaid = [];
    this.#list.dataset.empty = String(current.isLoaded && current.items.length === 0);
    const mark = current.firstUnread && this.#nodes.get(current.firstUnread);
    mark?.classList.remove("follows");
    mark?.classList.add("first-unread");
    current.firstUnread = null;
    this.toEnd();
    if (mark && mark.offsetTop < this.#list.scrollTop) {
      this.#list.scrollTop = mark.offsetTop - NEAR_END_PX;
      this.#isAtEnd = false;
    }
    this.#fill();
  }

  #add(item) {
    const wasAtEnd = this.#isAtEnd;
    this.#put(item);
    if (wasAtEnd || item.isOwn) this.toEnd();
    else {
      this.#below += 1;
      const word = this.#below === 1 ? "1 new message" : `${this.#below} new messages`;
      this.#newest.lastElementChild.textContent = word;
      this.#newest.hidden = false;
    }
    if (!item.isOwn) this.#say(item);
  }

  #change(item, moved) {
    const line = this.#nodes.get(item);
    if (!line) return;
    const next = line.nextElementSibling;
    const hadFocus = line.contains(document.activeElement);
    line.remove();
    this.#put(item);
    if (moved && next) this.#arrange(next);
    if (hadFocus) byId("words").focus();
    if (item.state === "failed") this.#speak(`Not sent: ${item.error}`);
    if (this.#isAtEnd) this.toEnd();
  }

  #remove(items) {
    this.#forget(items);
    byId("words").focus();
  }

  #older(items) {
    const list = this.#list;
    const [height, top] = [list.scrollHeight, list.scrollTop];
    const lines = items.map((item) => this.#line(item));
    const first = list.firstElementChild;
    list.prepend(...lines);
    for (const line of lines) this.#arrange(line);
    if (first) this.#arrange(first);
    // What was in view stays where it was.
    list.scrollTop = top + list.scrollHeight - height;
  }

  #put(item) {
    const { items } = this.#chat.current;
    const line = this.#line(item);
    const place = items.indexOf(item);
    const next = items.slice(place + 1).map((one) => this.#nodes.get(one)).find(Boolean);
    this.#list.insertBefore(line, next ?? null);
    this.#list.dataset.empty = "false";
    this.#arrange(line);
    if (next) this.#arrange(next);
  }

  #forget(items) {
    for (const item of items) {
      const line = this.#nodes.get(item);
      const next = line?.nextElementSibling;
      line?.remove();
      this.#nodes.delete(item);
      if (next) this.#arrange(next);
    }
  }

  #line(item) {
    const line = item.kind === "system" ? system(item) : this.#message(item);
    line.item = item;
    this.#nodes.set(item, line);
    return line;
  }

  #message(item) {
    const { author, content, at, isOwn, state } = item;
    const isForMe = !isOwn && mentions(content, account.name);
    const who = isOwn ? "You" : author;
    const body = h("div", { class: "body" }, ...render(content, attached));
    const kinds = [isOwn ? "own" : "other", isForMe && "for-me", state].filter(Boolean);
    return h("li", { class: `line ${kinds.join(" ")}` },
      h("div", { class: "message" },
        avatar(author),
        h("div", { class: "bubble" },
          h("p", { class: "head" }, h("span", { class: "author" }, who), " ", clock(at)),
          body,
          this.#mark(item))));
  }

  /** Whether it has been sent. */
  #mark(item) {
    if (item.state === "pending") {
      return h("p", { class: "mark" }, icon("clock"), "Sending…");
    }
    if (item.state !== "failed") return null;
    const { current } = this.#chat;
    const choice = (words, act) => h("button", {
      type: "button", class: "link", onclick: () => act.call(this.#chat, current, item),
    }, words);
    return h("p", { class: "mark" }, icon("warning"), `Not sent: ${item.error}. `,
      choice("Send again", this.#chat.resend), choice("Discard", this.#chat.discard));
  }

  /** How a line stands to the one before it. */
  #arrange(line) {
    const before = line.previousElementSibling?.item;
    const { item } = line;
    const follows = before?.kind === "said" && item.kind === "said"
      && before.author === item.author && before.isOwn === item.isOwn
      && item.at - before.at < TOGETHER_MS && day(before.at) === day(item.at);
    const isFirst = line.classList.contains("first-unread");
    line.classList.toggle("follows", Boolean(follows) && !isFirst);
    const isNewDay = item.kind === "said" && (!before || day(before.at) !== day(item.at));
    line.querySelector(".day")?.remove();
    if (isNewDay) line.prepend(h("p", { class: "day" }, h("span", {}, day(item.at))));
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.#list;
    this.#isAtEnd = scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
    if (this.#isAtEnd) {
      this.#below = 0;
      this.#newest.hidden = true;
      this.#chat.see(this.#chat.current);
    }
    if (scrollTop < NEAR_START_PX) this.#chat.older(this.#chat.current).then(() => this.#fill());
  }

  /** A page that does not fill the list has no bar to scroll by. */
  #fill() {
    const { current } = this.#chat;
    const isShort = this.#list.scrollTop < NEAR_START_PX;
    if (current.isLoaded && current.hasOlder && isShort) this.#chat.older(current);
  }

  #say(item) {
    if (this.#unsaid.push(item) > 1) return;
    setTimeout(() => {
      const items = this.#unsaid.splice(0);
      if (items.length > SAID_AT_ONCE) this.#speak(`${items.length} new messages`);
      else {
        const words = ({ author, content }) => (author ? `${author}: ` : "") + plain(content);
        this.#speak(items.map(words).join("\n"));
      }
    }, 300);
  }

  #speak(text) {
    this.#said.replaceChildren(h("p", {}, text));
  }
}

function system({ content }) {
  return h("li", { class: "line system" }, h("p", {}, icon("info"), content));
}

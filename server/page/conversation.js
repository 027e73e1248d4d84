// What one conversation holds: its messages in order, and how much of it is here.
// In: messages as the server tells them, in any order and more than once. Out: a list without
// doubles, in the server's order, what is not yet sent at its end.
// Leaves to others: where messages come from (chat.js), how they look (messages.js).

export const KEPT = 600; // messages of a conversation; older ones are fetched again when wanted

/**
 * @typedef {object} Item one line of a conversation
 * @property {"said"|"system"} kind
 * @property {string} [author]
 * @property {string} content
 * @property {number} at Unix time in ms
 * @property {number} [seq] its number; without one it is not from the server, or not yet there
 * @property {number} [anchor] without a number: the newest number when it came
 * @property {string} [key] the author's own name for it
 * @property {boolean} [isOwn]
 * @property {"pending"|"failed"} [state]
 * @property {string} [error] why it failed
 */

export class Conversation {
  /** @type {Item[]} */
  items = [];
  /** Up to here everything is here. */
  synced = 0;
  isLoaded = false;
  isJoined = false;
  isLoading = false;
  hasOlder = true;
  /** What the server wants to be told for the page before; null when it counts by numbers. */
  cursor = null;
  unread = 0;
  mentions = 0;
  /** The first that was not seen when the conversation was left. */
  firstUnread = null;
  draft = "";
  /** Names of those who type, with the timers that forget them. */
  typing = new Map();
  people = { users: [], guests: 0 };
  #numbers = new Map();

  constructor(id, kind, title = id) {
    this.id = id;
    this.kind = kind;
    this.title = title;
  }

  get isDirect() {
    return this.kind === "direct";
  }

  /** How it is called on the screen. */
  get label() {
    return this.isDirect ? this.title : `#${this.title}`;
  }

  /** Number of the oldest message that is here; undefined when there is none. */
  get oldest() {
    return this.items.find((item) => item.seq !== undefined)?.seq;
  }

  /** Number of the newest message that is here, 0 when there is none. */
  get newest() {
    return this.items.findLast((item) => item.seq !== undefined)?.seq ?? 0;
  }

  /** The item of that number, if it is here. */
  find(seq) {
    return this.#numbers.get(seq);
  }

  /** The item that waits under a key. */
  pending(key) {
    return key && this.items.find((item) => item.key === key && item.state);
  }

  /** Puts an item where it belongs; false when it is here already. */
  insert(item) {
    if (item.seq !== undefined) {
      if (this.#numbers.has(item.seq)) return false;
      this.#numbers.set(item.seq, item);
    }
    item.anchor ??= this.newest;
    this.items.splice(this.#place(item), 0, item);
    return true;
  }

  /** What was waiting is there, with its number if it has one; false when it was before. */
  settle(item, seq, at) {
    delete item.state;
    delete item.error;
    if (at) item.at = at;
    if (item.seq !== undefined) return false;
    this.items.splice(this.items.indexOf(item), 1);
    item.anchor = this.newest;
    if (seq !== undefined) {
      item.seq = seq;
      this.#numbers.set(seq, item);
    }
    this.items.splice(this.#place(item), 0, item);
    return true;
  }

  remove(item) {
    this.items.splice(this.items.indexOf(item), 1);
    this.#numbers.delete(item.seq);
  }

  /** Lets everything go that came from the server. */
  clear() {
    this.items = this.items.filter((item) => item.state);
    this.#numbers.clear();
    this.synced = 0;
    this.isLoaded = false;
    this.hasOlder = true;
    this.cursor = null;
    this.firstUnread = null;
  }

  /** Lets the oldest go when there are too many; gives those that went. */
  trim() {
    if (this.items.length <= KEPT) return [];
    const gone = this.items.splice(0, this.items.length - Math.floor(KEPT / 2));
    for (const item of gone) this.#numbers.delete(item.seq);
    this.hasOlder = true;
    this.cursor = null;
    return gone;
  }

  #place(item) {
    let place = this.items.length;
    const own = rank(item);
    while (place > 0 && rank(this.items[place - 1]) > own) place -= 1;
    return place;
  }
}

/** Where an item stands: at its number, or behind the one that was the newest when it came. */
function rank({ state, seq, anchor }) {
  if (state) return Infinity;
  return seq ?? anchor + 0.5;
}
